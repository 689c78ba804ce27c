//! What each parent server publishes, as text.
//!
//! Servers that publish the same NS names and addresses stand together, so one
//! that does not is seen at once. Every row can be repeated with a line of `dig`.

use std::{collections::BTreeSet, fmt::Write as _, net::IpAddr, time::Duration};

use bailiwick_core::{
    delegation::{Glue, Relation},
    message::Question,
    name::Name,
    query::{Options, Via},
    record::RecordType,
    verdict::{Class, ParentRow},
};

use crate::{
    Style, dig,
    layout::{Cell, Column, Paint, Sheet},
    names::both,
    words::{count, round_trip, seconds, sentence},
};

/// What the parent servers publish, and how it is to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Published<'a> {
    /// The zone that is delegated.
    pub zone: &'a Name,
    /// The zone that delegates it, if the walk got there.
    pub parent: Option<&'a Name>,
    /// One row for each address, or each instance of it.
    pub parents: &'a [ParentRow],
    /// Whether all that answered publish the same.
    pub agree: bool,
    /// The exit code that belongs to it.
    pub exit_code: u8,
    /// How long it took.
    pub elapsed: Duration,
    /// Packets sent.
    pub packets: u32,
    /// The port that was asked.
    pub port: u16,
    /// Colours and width.
    pub style: Style,
}

/// Shows what the parent servers publish as text.
#[must_use]
pub fn glue(published: &Published<'_>) -> String {
    let mut sheet = Sheet::new(published.style);
    let versions = versions(published.parents);
    headline(&mut sheet, published, versions.len());
    for (at, version) in versions.iter().enumerate() {
        show(&mut sheet, published, version, at + 1, versions.len());
    }
    let silent: Vec<&ParentRow> = published
        .parents
        .iter()
        .filter(|row| row.class == Class::Silent)
        .collect();
    if !silent.is_empty() {
        let about = count(silent.len(), "address");
        sheet.heading("NO USABLE ANSWER", &about);
        rows(&mut sheet, &silent);
    }
    sheet.blank();
    let line = format!(
        "{}, {}, exit code {}",
        seconds(published.elapsed),
        count(published.packets as usize, "packet"),
        published.exit_code
    );
    sheet.paragraph("", 2, &line, Paint::Dim);
    let mut text = sheet.finish();
    text.push_str(&repeat(published));
    text
}

/// The lines that repeat each row. They are not wrapped, so that they can be pasted.
fn repeat(published: &Published<'_>) -> String {
    let servers: BTreeSet<_> = published.parents.iter().map(|row| &row.server).collect();
    if servers.is_empty() {
        return String::new();
    }
    let question = Question::new(published.zone.clone(), RecordType::NS);
    let mut text = "\nEach row, to look for yourself:\n".to_owned();
    for server in servers {
        let line = dig::command(
            server,
            &question,
            Via::Udp,
            Options::ITERATIVE,
            published.port,
        );
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

fn headline(sheet: &mut Sheet, published: &Published<'_>, versions: usize) {
    let zone = both(published.zone);
    let answered = published
        .parents
        .iter()
        .filter(|row| row.class != Class::Silent);
    let addresses: BTreeSet<IpAddr> = answered.clone().map(|row| row.server.address).collect();
    let none = answered.clone().all(|row| row.name_servers.is_empty());
    let Some(parent) = published.parent else {
        let line = format!(
            "The servers of the zone above {zone} could not be found: is this machine online?"
        );
        sheet.paragraph("", 0, &line, Paint::Bad);
        return;
    };
    let parent = both(parent);
    let seen = count(addresses.len(), "address");
    let (line, paint) = if addresses.is_empty() {
        (
            format!("No server of {parent} gave a usable answer for {zone}"),
            Paint::Bad,
        )
    } else if none {
        (
            format!("No server of {parent} delegates {zone} ({seen} answered)"),
            Paint::Bad,
        )
    } else if versions == 1 {
        (
            format!("All servers of {parent} that answered ({seen}) publish the same for {zone}"),
            Paint::Strong,
        )
    } else {
        (
            format!("The servers of {parent} publish {versions} different things for {zone}"),
            Paint::Bad,
        )
    };
    sheet.paragraph("", 0, &sentence(&line), paint);
}

/// Groups the rows that answered by what they publish, the most common first.
fn versions(rows: &[ParentRow]) -> Vec<Vec<&ParentRow>> {
    let mut versions: Vec<Vec<&ParentRow>> = Vec::new();
    for row in rows.iter().filter(|row| row.class != Class::Silent) {
        match versions
            .iter_mut()
            .find(|group| same_delegation(group[0], row))
        {
            Some(group) => group.push(row),
            None => versions.push(vec![row]),
        }
    }
    versions.sort_by_key(|group| std::cmp::Reverse(group.len()));
    versions
}

/// Returns whether two rows publish the same NS names and addresses; TTLs aside.
#[must_use]
pub fn same_delegation(one: &ParentRow, other: &ParentRow) -> bool {
    let addresses = |row: &ParentRow| -> Vec<(Name, Vec<IpAddr>)> {
        row.name_servers
            .iter()
            .map(|(name, glue)| (name.clone(), glue.keys().copied().collect()))
            .collect()
    };
    addresses(one) == addresses(other)
}

fn show(
    sheet: &mut Sheet,
    published: &Published<'_>,
    version: &[&ParentRow],
    number: usize,
    of: usize,
) {
    let title = if of == 1 {
        "PUBLISHED".to_owned()
    } else {
        format!("VERSION {number}")
    };
    sheet.heading(&title, &format!("at {}", count(version.len(), "address")));
    let hosts = &version[0].name_servers;
    if hosts.is_empty() {
        sheet.paragraph("  ", 2, "no delegation", Paint::Bad);
    }
    let cells: Vec<Vec<Cell>> = hosts
        .iter()
        .map(|(name, glue)| host(published, name, glue))
        .collect();
    let columns = [
        Column::left("name server", 34),
        Column::left("relation", 9),
        Column::left("glue (TTL)", 80),
    ];
    sheet.table(2, &columns, &cells);
    sheet.blank();
    rows(sheet, version);
}

fn host(published: &Published<'_>, name: &Name, glue: &Glue) -> Vec<Cell> {
    let relation = published
        .parent
        .map(|parent| Relation::of(name, published.zone, parent));
    let listed: Vec<String> = glue
        .iter()
        .map(|(address, ttl)| format!("{address} ({ttl})"))
        .collect();
    let (listed, paint) = match (listed.is_empty(), relation) {
        (true, Some(Relation::InDomain)) => {
            (format!("none; glue is REQUIRED for {name}"), Paint::Bad)
        }
        (true, _) => ("none, none is needed".to_owned(), Paint::Dim),
        (false, _) => (listed.join(", "), Paint::Plain),
    };
    vec![
        Cell::new(both(name)),
        Cell::new(relation.map(|r| r.to_string()).unwrap_or_default()),
        Cell::painted(listed, paint),
    ]
}

fn rows(sheet: &mut Sheet, parents: &[&ParentRow]) {
    let columns = [
        Column::left("address", 25),
        Column::left("where seen", 26),
        Column::right("NS TTL", 6),
        Column::right("RTT", 7),
        Column::left("note", 80),
    ];
    let cells: Vec<Vec<Cell>> = parents.iter().map(|row| parent_cells(row)).collect();
    sheet.table(2, &columns, &cells);
}

fn parent_cells(row: &ParentRow) -> Vec<Cell> {
    let mut notes = Vec::new();
    if let Some(nsid) = &row.nsid {
        notes.push(format!("NSID {nsid}"));
    }
    if let Some(serial) = row.serial {
        notes.push(format!("serial {serial}"));
    }
    if !row.note.is_empty() {
        notes.push(row.note.clone());
    }
    vec![
        Cell::new(row.server.address.to_string()),
        Cell::new(row.server.name.to_string()),
        Cell::new(row.ns_ttl.map(|ttl| ttl.to_string()).unwrap_or_default()),
        Cell::new(row.rtt.map(round_trip).unwrap_or_default()),
        Cell::new(notes.join(", ")),
    ]
}
