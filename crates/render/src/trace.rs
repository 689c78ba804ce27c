//! A walk from the root, as text: every zone on the way, whom it was asked, what was said.

use std::{cmp::Reverse, collections::BTreeMap, net::IpAddr};

use bailiwick_core::{
    delegation::Delegation,
    message::{Message, Rcode},
    name::Name,
    observation::{Observation, Outcome, Withheld},
    query::Purpose,
    report::Cut,
    trace::Trace,
};

use crate::{
    Style,
    layout::{Cell, Column, Paint, Sheet},
    names::both,
    words::{self, count, round_trip},
};

/// Shows a walk as text.
#[must_use]
pub fn trace(trace: &Trace, style: Style) -> String {
    let mut sheet = Sheet::new(style);
    headline(&mut sheet, trace);
    for cut in &trace.path {
        zone(&mut sheet, trace, cut);
    }
    elsewhere(&mut sheet, trace);
    lookups(&mut sheet, trace);
    footer(&mut sheet, trace);
    sheet.finish()
}

/// Says what came of the walk, and shows the answer.
pub(crate) fn headline(sheet: &mut Sheet, trace: &Trace) {
    let name = both(&trace.question.name);
    let kind = trace.question.record_type;
    let answer = &trace.answer;
    let (line, paint) = match (answer.rcode, &answer.reason) {
        (Rcode::NOERROR, _) if answer.records.is_empty() => (
            format!("NOERROR: {name} exists, but has no {kind} record"),
            Paint::Strong,
        ),
        (Rcode::NOERROR, _) => (
            format!("NOERROR: {name} has an answer for {kind}"),
            Paint::Strong,
        ),
        (Rcode::NXDOMAIN, _) => (format!("NXDOMAIN: {name} does not exist"), Paint::Strong),
        (rcode, Some(reason)) => (format!("{rcode}: {}", words::lost(reason)), Paint::Bad),
        (rcode, None) => (format!("{rcode} for {name} {kind}"), Paint::Bad),
    };
    sheet.paragraph("", 0, &words::sentence(&line), paint);
    for record in &answer.records {
        sheet.paragraph("  ", 4, &record.to_string(), Paint::Good);
    }
}

fn zone(sheet: &mut Sheet, trace: &Trace, cut: &Cut) {
    let about = format!(
        "{} with {}",
        count(cut.names.len(), "name server"),
        count(cut.servers.len(), "address")
    );
    sheet.heading(&both(&cut.zone), &about);
    let rows: Vec<Vec<Cell>> = cut
        .names
        .iter()
        .map(|name| host(trace, cut, name))
        .collect();
    let columns = [
        Column::left("name server", 34),
        Column::left("known at", 80),
    ];
    sheet.table(2, &columns, &rows);
    let steps = trace
        .observations
        .values()
        .filter(|step| step.zone == cut.zone && step.purpose != Purpose::Lookup);
    sheet.blank();
    asked(sheet, steps);
}

fn host(trace: &Trace, cut: &Cut, name: &Name) -> Vec<Cell> {
    let addresses: Vec<String> = cut
        .servers
        .iter()
        .filter(|server| server.name == *name)
        .map(|server| server.address.to_string())
        .collect();
    let known = match (addresses.is_empty(), trace.lookups.get(name)) {
        (false, _) => Cell::new(addresses.join(", ")),
        (true, Some(found)) => Cell::painted(words::lookup(found), Paint::Bad),
        (true, None) => Cell::painted("no glue; not looked up", Paint::Dim),
    };
    vec![Cell::new(name.to_string()), known]
}

fn asked<'a>(sheet: &mut Sheet, steps: impl Iterator<Item = &'a Observation>) {
    let columns = [
        Column::left("asked", 25),
        Column::left("server", 26),
        Column::left("via", 4),
        Column::right("RTT", 8),
        Column::left("note", 80),
    ];
    let mut rows = Vec::new();
    let mut withheld: BTreeMap<Withheld, usize> = BTreeMap::new();
    for step in steps {
        if let Outcome::Withheld(why) = step.outcome {
            *withheld.entry(why).or_default() += 1;
            continue;
        }
        let (text, paint) = said(step);
        rows.push(vec![
            Cell::new(step.server.address.to_string()),
            Cell::new(step.server.name.to_string()),
            Cell::new(step.via.to_string()),
            Cell::new(round_trip(step.elapsed)),
            Cell::painted(text, paint),
        ]);
    }
    if !rows.is_empty() {
        sheet.table(2, &columns, &rows);
    }
    for (why, number) in withheld {
        let line = format!("{} {why}", count(number, "question"));
        sheet.paragraph("  ", 4, &line, Paint::Dim);
    }
}

/// Says what a server answered, in all detail.
fn said(step: &Observation) -> (String, Paint) {
    let (mut parts, paint) = led(step);
    let Some(message) = step.reply() else {
        return (parts.join(", "), paint);
    };
    if matches!(step.outcome, Outcome::Late(_)) {
        parts.push("late".to_owned());
    }
    if message.flags.truncated {
        parts.push("TC".to_owned());
    }
    if message.flags.recursion_available {
        parts.push("RA".to_owned());
    }
    if let Some((owner, soa)) = message.soa() {
        parts.push(format!("SOA {owner} serial {}", soa.serial));
    }
    if let Some(nsid) = message.nsid() {
        parts.push(format!("NSID {}", words::nsid(nsid)));
    }
    parts.push(count(message.octets, "octet"));
    (parts.join(", "), paint)
}

/// Says where an answer leads, and whether that is onwards.
pub(crate) fn led(step: &Observation) -> (Vec<String>, Paint) {
    let paint = match &step.outcome {
        Outcome::Reply(message) | Outcome::Late(message) => return meaning(step, message),
        Outcome::Withheld(_) => Paint::Dim,
        _ if !words::was_waited_for(step) => Paint::Dim,
        _ => Paint::Bad,
    };
    (vec![words::outcome(step)], paint)
}

/// Says where an answer leads, in a few words.
pub(crate) fn briefly(step: &Observation) -> (String, Paint) {
    let referral = step.reply().and_then(|message| {
        let zone = Delegation::owner(message)?;
        Delegation::read(message, zone).filter(|found| found.zone.is_below(&step.zone))
    });
    match referral {
        Some(found) => {
            let glue: usize = found.name_servers.values().map(BTreeMap::len).sum();
            let text = format!(
                "-> {} ({} NS, {glue} glue)",
                found.zone,
                found.name_servers.len()
            );
            (text, Paint::Plain)
        }
        None => {
            let (parts, paint) = led(step);
            (parts.join(", "), paint)
        }
    }
}

fn meaning(step: &Observation, message: &Message) -> (Vec<String>, Paint) {
    let referral = Delegation::owner(message).and_then(|zone| Delegation::read(message, zone));
    match referral {
        Some(found) if found.zone.is_below(&step.zone) => {
            let glue: usize = found.name_servers.values().map(BTreeMap::len).sum();
            let ttls: Vec<u32> = found
                .name_servers
                .values()
                .flat_map(|glue| glue.values().copied())
                .collect();
            let glue_ttl = ttls.iter().min();
            let mut parts = vec![
                format!("refers to {}", found.zone),
                format!("{} NS (TTL {})", found.name_servers.len(), found.ns_ttl),
            ];
            parts.push(match glue_ttl {
                Some(ttl) => format!("{} (TTL {ttl})", count(glue, "glue address")),
                None => "no glue".to_owned(),
            });
            (parts, Paint::Plain)
        }
        Some(found) => {
            let towards = format!("bad referral to {}: not below {}", found.zone, step.zone);
            (vec![towards], Paint::Bad)
        }
        None if message.flags.authoritative => {
            let answers = count(message.answer.len(), "record");
            let text = format!("answers {} with authority, {answers}", message.rcode);
            (vec![text], Paint::Good)
        }
        None => (
            vec![format!("answers {} without authority", message.rcode)],
            Paint::Bad,
        ),
    }
}

/// Exchanges that belong to no zone of the path: of aliases before the last, and of look-ups.
fn elsewhere(sheet: &mut Sheet, trace: &Trace) {
    let on_path = |step: &&Observation| {
        step.purpose != Purpose::Lookup && trace.path.iter().any(|cut| cut.zone == step.zone)
    };
    let mut by_zone: Vec<(&Name, Vec<&Observation>)> = Vec::new();
    for step in trace.observations.values().filter(|step| !on_path(step)) {
        match by_zone.iter_mut().find(|(zone, _)| *zone == &step.zone) {
            Some((_, steps)) => steps.push(step),
            None => by_zone.push((&step.zone, vec![step])),
        }
    }
    for (zone, steps) in by_zone {
        sheet.heading(
            &both(zone),
            "asked for an alias or for a name server's address",
        );
        asked(sheet, steps.into_iter());
    }
}

fn lookups(sheet: &mut Sheet, trace: &Trace) {
    if trace.lookups.is_empty() {
        return;
    }
    sheet.heading("LOOK-UPS", "name servers without glue");
    let columns = [Column::left("name", 34), Column::left("found", 80)];
    let rows: Vec<Vec<Cell>> = trace
        .lookups
        .iter()
        .map(|(name, found)| {
            let none = found.addresses().is_empty();
            let paint = if none { Paint::Bad } else { Paint::Plain };
            vec![
                Cell::new(both(name)),
                Cell::painted(words::lookup(found), paint),
            ]
        })
        .collect();
    sheet.table(2, &columns, &rows);
}

pub(crate) fn footer(sheet: &mut Sheet, trace: &Trace) {
    sheet.blank();
    let line = format!(
        "{}, {}, {}",
        trace.started,
        words::seconds(trace.elapsed),
        count(trace.packets as usize, "packet")
    );
    sheet.paragraph("", 2, &line, Paint::Dim);
}

/// Returns what is known best of an address asked as a server of a zone.
pub(crate) fn best<'a>(trace: &'a Trace, zone: &Name, address: IpAddr) -> Option<&'a Observation> {
    trace
        .observations
        .values()
        .filter(|step| step.zone == *zone && step.server.address == address)
        .min_by_key(|step| (step.outcome.rank(), Reverse(step.elapsed)))
}
