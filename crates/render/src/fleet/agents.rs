//! Agents as text.

use std::fmt::Write as _;

use super::{Agent, facts, moment};
use crate::{
    Style,
    layout::{Cell, Column, Paint, Sheet},
    words::count,
};

/// Lists agents.
#[must_use]
pub fn agents(agents: &[Agent], style: Style) -> String {
    let mut sheet = Sheet::new(style);
    if agents.is_empty() {
        let line = "No agent yet. Invite one: bailiwick agents invite NAME";
        sheet.paragraph("", 0, line, Paint::Plain);
        return sheet.finish();
    }
    let connected = agents.iter().filter(|agent| agent.connected).count();
    let line = format!("{}, {connected} connected", count(agents.len(), "agent"));
    sheet.paragraph("", 0, &line, Paint::Strong);
    sheet.blank();
    let columns = [
        Column::left("name", 16),
        Column::left("state", 13),
        Column::left("link", 4),
        Column::left("network", 16),
        Column::left("last seen", 20),
        Column::left("held against it", 40),
    ];
    let rows: Vec<Vec<Cell>> = agents.iter().map(row).collect();
    sheet.table(0, &columns, &rows);
    sheet.finish()
}

fn row(agent: &Agent) -> Vec<Cell> {
    let (link, paint) = match agent.connected {
        true => ("up", Paint::Good),
        false => ("down", Paint::Warn),
    };
    vec![
        Cell::new(&agent.name),
        Cell::painted(&agent.state, paint_state(&agent.state)),
        Cell::painted(link, paint),
        Cell::new(network(agent)),
        Cell::new(moment(agent.last_seen)),
        Cell::painted(objections(agent), Paint::Warn),
    ]
}

/// Its network and region, if one of them is known.
fn network(agent: &Agent) -> String {
    match (agent.place.asn, agent.place.rir) {
        (None, None) => String::new(),
        _ => agent.place.to_string(),
    }
}

fn objections(agent: &Agent) -> String {
    let words: Vec<String> = agent
        .place
        .objections
        .iter()
        .map(ToString::to_string)
        .collect();
    words.join(", ")
}

fn paint_state(state: &str) -> Paint {
    match state {
        "active" => Paint::Good,
        "banned" | "suspect-clone" => Paint::Bad,
        _ => Paint::Warn,
    }
}

/// Shows all that is known of one agent.
#[must_use]
pub fn agent(agent: &Agent, style: Style) -> String {
    let mut sheet = Sheet::new(style);
    let link = match agent.connected {
        true => "connected",
        false => "not connected",
    };
    let line = format!("{}: {}, {link}", agent.name, agent.state);
    sheet.paragraph("", 0, &line, paint_state(&agent.state));
    sheet.blank();
    let place = &agent.place;
    let labels: Vec<String> = place
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let clock = match agent.last_seen {
        Some(_) => offset(agent.clock_offset),
        None => String::new(),
    };
    let reports = match agent.durable {
        true => format!("{}; those not sent yet outlive a restart", agent.reports),
        false => agent.reports.to_string(),
    };
    let rows = [
        ("network", network(agent)),
        ("seen from", place.address.map(text).unwrap_or_default()),
        ("position", place.position.map(text).unwrap_or_default()),
        ("operator", place.operator.clone().unwrap_or_default()),
        ("labels", labels.join(" ")),
        (
            "looks at",
            if place.lab { "a laboratory" } else { "" }.to_owned(),
        ),
        ("held against it", objections(agent)),
        ("enrolled", moment(agent.enrolled)),
        ("last seen", moment(agent.last_seen)),
        ("certificate until", moment(agent.certificate_until)),
        ("banned since", moment(agent.banned)),
        ("program", agent.build.clone()),
        ("clock", clock),
        ("reports", reports),
        ("key (SHA-256)", hex(&agent.key)),
    ];
    facts(&mut sheet, &rows);
    sheet.finish()
}

fn text(value: impl ToString) -> String {
    value.to_string()
}

/// How far a clock is off, to the millisecond.
fn offset(nanoseconds: i64) -> String {
    let milliseconds = nanoseconds.unsigned_abs() / 1_000_000;
    match (milliseconds, nanoseconds > 0) {
        (0, _) => "right, to the millisecond".to_owned(),
        (_, true) => format!("{milliseconds} ms ahead"),
        (_, false) => format!("{milliseconds} ms behind"),
    }
}

pub(crate) fn hex(octets: &[u8]) -> String {
    let mut text = String::new();
    for octet in octets {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
    }
    text
}
