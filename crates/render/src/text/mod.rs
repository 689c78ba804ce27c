//! A verdict as a page for a terminal.
//!
//! In the order in which people ask: what is wrong (one sentence), how bad it
//! is (the state and its three axes), where that was seen (Parent, NS and SOA,
//! the order of the well-known web checkers, then the public resolvers), what to do and who
//! can do it, and what this page does not prove.

use std::collections::BTreeSet;

use bailiwick_core::{
    vantage::Fitness,
    verdict::{Class, Intent, ParentRow, Scope, VantageRow, Verdict},
};

use crate::{
    Page,
    layout::{Cell, Column, Paint, Sheet},
    names::both,
    words::{self, count, round_trip, sentence, span},
};

mod name_servers;
mod resolvers;
mod tasks;

use name_servers::{name_servers, serials};
use resolvers::{models, resolvers};
use tasks::to_do;

/// Rows that are shown of a longer group that says the same.
const SHOWN_OF_GROUP: usize = 2;
/// Up to so many parent addresses are always shown.
const FEW: usize = 8;

/// Shows a verdict as text.
#[must_use]
pub fn check(page: &Page<'_>) -> String {
    let mut sheet = Sheet::new(page.style);
    summary(&mut sheet, page.verdict);
    parents(&mut sheet, page);
    name_servers(&mut sheet, page.verdict);
    serials(&mut sheet, page.verdict);
    resolvers(&mut sheet, page.verdict);
    models(&mut sheet, page.verdict);
    to_do(&mut sheet, page.verdict);
    not_covered(&mut sheet, page.verdict);
    footer(&mut sheet, page.verdict);
    sheet.finish()
}

fn summary(sheet: &mut Sheet, verdict: &Verdict) {
    let paint = words::paint_state(verdict.state);
    let strong = if paint == Paint::Good {
        Paint::Strong
    } else {
        paint
    };
    sheet.paragraph("", 0, &sentence(&verdict.headline), strong);
    sheet.blank();
    let rows = [
        (
            "state",
            verdict.state.to_string(),
            paint,
            seen_from(verdict),
        ),
        (
            "publication",
            verdict.publication.to_string(),
            words::paint_publication(verdict.publication),
            words::publication(verdict.publication, verdict.published),
        ),
        (
            "reachability",
            verdict.reachability.to_string(),
            words::paint_reachability(verdict.reachability),
            words::reachability(verdict.reachability).to_owned(),
        ),
        (
            "caches",
            verdict.caches.to_string(),
            words::paint_caches(verdict.caches),
            words::caches(verdict.caches).to_owned(),
        ),
    ];
    let width = rows.iter().map(|row| row.1.len()).max().unwrap_or(0);
    for (label, value, paint, rest) in rows {
        let value = Cell::painted(value, paint);
        sheet.row(&[label_cell(label), (width, value)], &rest);
    }
    sheet.row(&[label_cell("measured by")], wanted(verdict.intent));
    sheet.row(&[label_cell("zone")], &both(&verdict.check.zone));
    if let Some(enclosing) = &verdict.enclosing {
        sheet.row(&[label_cell("lies inside")], &both(enclosing));
    }
}

fn label_cell(label: &str) -> (usize, Cell) {
    (12, Cell::painted(label, Paint::Dim))
}

fn seen_from(verdict: &Verdict) -> String {
    let online = |row: &&VantageRow| row.fitness != Fitness::Offline;
    let places = verdict.vantages.iter().filter(online).count();
    match (places, verdict.scope) {
        (0, _) => "nothing was seen from here".to_owned(),
        (1, Scope::Local) => "seen from 1 network".to_owned(),
        (_, Scope::Local | Scope::Fleet) => format!("seen from {}", count(places, "vantage point")),
    }
}

fn wanted(intent: Intent) -> &'static str {
    match intent {
        Intent::Declared => "the declared change",
        Intent::Expected => "what was expected (--expect)",
        Intent::Inferred => "what the zone itself says",
    }
}

fn parents(sheet: &mut Sheet, page: &Page<'_>) {
    let verdict = page.verdict;
    let Some(parent) = &verdict.parent else {
        return;
    };
    let names: BTreeSet<_> = verdict.parents.iter().map(|row| &row.server.name).collect();
    let addresses: BTreeSet<_> = verdict
        .parents
        .iter()
        .map(|row| row.server.address)
        .collect();
    let about = format!(
        "{}: {} with {}",
        both(parent),
        count(names.len(), "server"),
        count(addresses.len(), "address")
    );
    sheet.heading("PARENT", &about);
    let several = verdict.vantages.len() > 1;
    let mut rows = Vec::new();
    let mut more = Vec::new();
    for group in alike(&verdict.parents) {
        let all = page.full || verdict.parents.len() <= FEW || group.len() <= SHOWN_OF_GROUP + 1;
        let shown = if all { group.len() } else { SHOWN_OF_GROUP };
        rows.extend(group[..shown].iter().map(|row| parent_cells(row, several)));
        if shown < group.len() {
            more.push(format!(
                "{} more: {} as above, TTL {}",
                count(group.len() - shown, "address"),
                group[0].class,
                ttl(group[0].ns_ttl)
            ));
        }
    }
    sheet.table(2, &PARENT_COLUMNS, &rows);
    for line in more {
        sheet.paragraph("  + ", 4, &line, Paint::Dim);
    }
    if let Some(seconds) = verdict.bounds.parent_ttl {
        let line = format!(
            "A resolver may keep what the parent says now for {}.",
            span(seconds)
        );
        sheet.paragraph("  ", 2, &line, Paint::Plain);
    }
}

const PARENT_COLUMNS: [Column; 6] = [
    Column::left("address", 25),
    Column::left("where seen", 26),
    Column::left("class", 6),
    Column::right("TTL", 6),
    Column::right("RTT", 7),
    Column::left("note", 80),
];

fn parent_cells(row: &ParentRow, several: bool) -> Vec<Cell> {
    let place = if several {
        format!("{} from {}", row.server.name, row.vantage.0)
    } else {
        row.server.name.to_string()
    };
    vec![
        Cell::new(row.server.address.to_string()),
        Cell::new(place),
        Cell::painted(row.class.to_string(), words::paint_class(row.class)),
        Cell::new(ttl(row.ns_ttl)),
        Cell::new(row.rtt.map(round_trip).unwrap_or_default()),
        Cell::new(&row.note),
    ]
}

fn ttl(ttl: Option<u32>) -> String {
    ttl.map_or_else(|| "-".to_owned(), |ttl| ttl.to_string())
}

/// Groups rows that publish the same, in the order of their first row; what is not as wanted
/// comes first.
fn alike(rows: &[ParentRow]) -> Vec<Vec<&ParentRow>> {
    let mut groups: Vec<Vec<&ParentRow>> = Vec::new();
    for row in rows {
        let same = |other: &ParentRow| {
            (other.class, other.ns_ttl, &other.note, &other.name_servers)
                == (row.class, row.ns_ttl, &row.note, &row.name_servers)
        };
        match groups.iter_mut().find(|group| same(group[0])) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups.sort_by_key(|group| group[0].class == Class::New);
    groups
}

fn not_covered(sheet: &mut Sheet, verdict: &Verdict) {
    if verdict.not_covered.is_empty() {
        return;
    }
    sheet.heading("NOT COVERED", "");
    for line in &verdict.not_covered {
        sheet.paragraph("  - ", 4, &sentence(line), Paint::Plain);
    }
}

fn footer(sheet: &mut Sheet, verdict: &Verdict) {
    sheet.blank();
    for row in &verdict.vantages {
        let families: Vec<String> = row.families.iter().map(ToString::to_string).collect();
        let families = if families.is_empty() {
            "no network".to_owned()
        } else {
            families.join(" and ")
        };
        let mut line = format!("vantage {}: {}, {families}", row.id.0, row.fitness);
        for note in &row.notes {
            line.push_str("; ");
            line.push_str(note);
        }
        sheet.paragraph("", 2, &line, Paint::Dim);
    }
    let line = format!(
        "{}, {}, {}, exit code {}",
        verdict.at,
        words::seconds(verdict.elapsed),
        count(verdict.packets as usize, "packet"),
        verdict.state.exit_code()
    );
    sheet.paragraph("", 2, &line, Paint::Dim);
}
