//! Checks of the past as text.

use bailiwick_core::check::CheckId;

use super::Past;
use crate::{
    Style,
    layout::{Cell, Column, Paint, Sheet},
    names::both,
};

/// Returns the beginning of a check's identity, long enough to be told from others by people.
#[must_use]
pub fn short(check: CheckId) -> String {
    format!("{:032x}", check.0)[..12].to_owned()
}

/// Lists checks, in the order given.
#[must_use]
pub fn history(checks: &[Past], style: Style) -> String {
    let mut sheet = Sheet::new(style);
    if checks.is_empty() {
        sheet.paragraph("", 0, "No check is known.", Paint::Plain);
        return sheet.finish();
    }
    let columns = [
        Column::left("began", 20),
        Column::left("check", 12),
        Column::left("state", 18),
        Column::right("seen", 7),
        Column::left("by", 12),
        Column::left("what", 80),
    ];
    let rows: Vec<Vec<Cell>> = checks.iter().map(row).collect();
    sheet.table(0, &columns, &rows);
    sheet.finish()
}

fn row(past: &Past) -> Vec<Cell> {
    let state = match &past.outcome {
        Some((state, code)) => Cell::painted(state, paint(*code)),
        None => Cell::painted("open", Paint::Dim),
    };
    let revised = match past.revised {
        true => " (revised by late reports)",
        false => "",
    };
    let zone = both(&past.zone);
    let what = match past.headline.as_str() {
        "" => format!("{zone}{revised}"),
        headline => format!("{zone}: {headline}{revised}"),
    };
    vec![
        Cell::new(past.created.to_string()),
        Cell::painted(short(past.check), Paint::Strong),
        state,
        Cell::new(format!("{}/{}", past.reported, past.asked)),
        Cell::new(&past.operator),
        Cell::new(what),
    ]
}

/// By the exit code of a state: what is well, what needs patience, and what is broken.
fn paint(code: u8) -> Paint {
    match code {
        0 => Paint::Good,
        30.. => Paint::Bad,
        _ => Paint::Warn,
    }
}
