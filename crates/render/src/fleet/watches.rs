//! Watches as text.

use super::{Watch, short};
use crate::{
    Style,
    layout::{Cell, Column, Paint, Sheet},
    names::both,
    words::{count, span},
};

/// Lists watches, in the order given.
#[must_use]
pub fn watches(watches: &[Watch], style: Style) -> String {
    let mut sheet = Sheet::new(style);
    if watches.is_empty() {
        let line = "Nothing is watched. Begin with: bailiwick watch add ZONE --every 5m";
        sheet.paragraph("", 0, line, Paint::Plain);
        return sheet.finish();
    }
    let columns = [
        Column::left("watch", 12),
        Column::left("every", 10),
        Column::left("since", 20),
        Column::left("by", 12),
        Column::right("asked", 5),
        Column::left("zone", 60),
    ];
    let rows: Vec<Vec<Cell>> = watches.iter().map(row).collect();
    sheet.table(0, &columns, &rows);
    sheet.finish()
}

fn row(watch: &Watch) -> Vec<Cell> {
    vec![
        Cell::painted(short(watch.watch), Paint::Strong),
        Cell::new(every(watch)),
        Cell::new(watch.created.to_string()),
        Cell::new(&watch.operator),
        Cell::new(watch.vantages.len().to_string()),
        Cell::new(both(&watch.zone)),
    ]
}

fn every(watch: &Watch) -> String {
    span(u32::try_from(watch.interval.as_secs()).unwrap_or(u32::MAX))
}

/// Says that a watch was ended.
#[must_use]
pub fn removed(watch: &Watch, style: Style) -> String {
    let mut sheet = Sheet::new(style);
    let line = format!(
        "{} is watched no more by {}. What was seen stays: bailiwick history",
        both(&watch.zone),
        count(watch.vantages.len(), "vantage point"),
    );
    sheet.paragraph("", 0, &line, Paint::Plain);
    sheet.finish()
}
