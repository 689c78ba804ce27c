//! What users of public resolvers get, and which kinds of resolver could start cold.

use bailiwick_core::{
    message::Rcode,
    verdict::{ModelResult, ResolverRow, Verdict},
};

use super::ttl;
use crate::{
    layout::{Cell, Column, Paint, Sheet},
    words::count,
};

pub(super) fn resolvers(sheet: &mut Sheet, verdict: &Verdict) {
    if verdict.resolvers.is_empty() {
        return;
    }
    let heard = |row: &&ResolverRow| row.stub.or(row.fresh).or(row.warm.map(|w| w.0)).is_some();
    if verdict.resolvers.iter().find(heard).is_none() {
        let asked = count(verdict.resolvers.len(), "address");
        sheet.heading("RESOLVERS", &format!("no answer from {asked}"));
        return;
    }
    sheet.heading("RESOLVERS", "what users of public resolvers get");
    let rows: Vec<Vec<Cell>> = verdict.resolvers.iter().map(resolver_cells).collect();
    sheet.table(2, &RESOLVER_COLUMNS, &rows);
    if verdict.resolvers.iter().all(|row| row.fresh.is_none()) {
        return;
    }
    sheet.paragraph(
        "  ",
        2,
        "The NS answer of a resolver normally carries no glue, so it proves little. \"fresh\" is a \
         name that no cache can know: NXDOMAIN or NOERROR there means that the delegation was \
         followed to the end. \"CD\" is the same without DNSSEC validation.",
        Paint::Dim,
    );
}

const RESOLVER_COLUMNS: [Column; 7] = [
    Column::left("address", 25),
    Column::left("service", 12),
    Column::left("stub", 8),
    Column::left("fresh", 8),
    Column::left("CD", 8),
    Column::right("NS TTL", 6),
    Column::left("note", 80),
];

fn resolver_cells(row: &ResolverRow) -> Vec<Cell> {
    let rcode = |rcode: Option<Rcode>| {
        Cell::new(rcode.map_or_else(|| "-".to_owned(), |rcode| rcode.to_string()))
    };
    let mut notes = Vec::new();
    if !row.note.is_empty() {
        notes.push(row.note.clone());
    }
    if !row.extended_errors.is_empty() {
        let codes: Vec<String> = row.extended_errors.iter().map(u16::to_string).collect();
        notes.push(format!("EDE {}", codes.join(", ")));
    }
    if row.control == Some(false) {
        notes.push("fails on its control name, too".to_owned());
    }
    if let Some(identity) = &row.identity {
        notes.push(format!("instance {identity}"));
    }
    vec![
        Cell::new(row.address.to_string()),
        Cell::new(&row.service),
        rcode(row.stub),
        rcode(row.fresh),
        rcode(row.fresh_unchecked),
        Cell::new(ttl(row.warm.and_then(|(_, ttl)| ttl))),
        Cell::new(notes.join("; ")),
    ]
}

pub(super) fn models(sheet: &mut Sheet, verdict: &Verdict) {
    if verdict.models.is_empty() {
        return;
    }
    sheet.heading(
        "COLD START",
        "which kinds of resolver get in with an empty cache",
    );
    let (well, ill): (Vec<_>, Vec<_>) = verdict
        .models
        .iter()
        .partition(|result| result.success_percent == 100);
    if !well.is_empty() {
        let well: Vec<String> = well.iter().map(|r| r.model.to_string()).collect();
        sheet.paragraph("  yes: ", 7, &well.join(", "), Paint::Plain);
    }
    let mut groups: Vec<Vec<&ModelResult>> = Vec::new();
    for result in ill {
        let same = |other: &ModelResult| {
            (other.success_percent, &other.fails_at, other.baseline)
                == (result.success_percent, &result.fails_at, result.baseline)
        };
        match groups.iter_mut().find(|group| same(group[0])) {
            Some(group) => group.push(result),
            None => groups.push(vec![result]),
        }
    }
    for group in groups {
        let first = group[0];
        let share = match first.success_percent {
            0 => "no:  ".to_owned(),
            percent => format!("{percent} %: "),
        };
        let models: Vec<String> = group.iter().map(|r| r.model.to_string()).collect();
        let mut line = models.join(", ");
        if !first.baseline {
            line.push_str(" (not counted against the domain)");
        }
        if let Some(at) = &first.fails_at {
            line = format!("{line}: {at}");
        }
        let paint = if first.baseline {
            Paint::Bad
        } else {
            Paint::Dim
        };
        sheet.paragraph(&format!("  {share}"), 7, &line, paint);
    }
}
