//! JSON for scripts: one object per run, its schema first, versioned.
//!
//! Names are fully qualified in presentation form (RFC 1035, section 5.1),
//! times are RFC 3339 in UTC, durations end in `_ms` or `_seconds`. Every object
//! with an `address` has a `source`: where that address is known from. What is
//! written here and the folder `schemas` say the same; a test compares them.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use bailiwick_core::{
    delegation::{Delegation, Glue},
    message::Message,
    name::Name,
    observation::Observation,
    verdict::ParentRow,
};
use serde::Serialize;

use crate::words;

mod check;
mod fleet;
mod glue;
mod trace;

pub use check::check;
pub use fleet::{agents, history, invitation, joined, replayed, saved, status, watches};
pub use glue::glue;
pub use trace::trace;

/// Writes an error as `bailiwick.error/1`.
#[must_use]
pub fn error(exit_code: u8, message: &str) -> String {
    #[derive(Serialize)]
    struct Error<'a> {
        schema: &'static str,
        exit_code: u8,
        message: &'a str,
    }
    print(&Error {
        schema: "bailiwick.error/1",
        exit_code,
        message,
    })
}

/// Writes an object over several lines, the last one ended.
fn print(object: &impl Serialize) -> String {
    // Only maps whose keys are no strings could fail, and all keys here are.
    let mut text = serde_json::to_string_pretty(object).unwrap_or_default();
    text.push('\n');
    text
}

/// Where an address is known from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    /// On the way from the root: hints, glue of the zones above, look-ups.
    Walk,
    /// Glue of the zone at its parent.
    Parent,
    /// A or AAAA in the zone that has the name.
    Zone,
    /// Somebody said that it should be so.
    Expected,
    /// A setting of this program.
    Settings,
}

/// An address that one place says of a host.
#[derive(Serialize)]
struct Address {
    address: IpAddr,
    source: Source,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
}

/// A name server with its glue, as a referral gives it.
#[derive(Serialize)]
struct NameServer {
    name: String,
    glue: Vec<Address>,
}

fn name_servers(hosts: &BTreeMap<Name, Glue>) -> Vec<NameServer> {
    hosts
        .iter()
        .map(|(name, glue)| NameServer {
            name: name.to_string(),
            glue: glue
                .iter()
                .map(|(&address, &ttl)| Address {
                    address,
                    source: Source::Parent,
                    ttl: Some(ttl),
                })
                .collect(),
        })
        .collect()
}

/// One address of a parent server, and what it publishes.
#[derive(Serialize)]
struct Parent<'a> {
    server: String,
    address: IpAddr,
    source: Source,
    nsid: Option<&'a str>,
    vantage: &'a str,
    class: String,
    serial: Option<u32>,
    ns_ttl_seconds: Option<u32>,
    name_servers: Vec<NameServer>,
    rtt_ms: Option<f64>,
    note: &'a str,
}

fn parents(rows: &[ParentRow]) -> Vec<Parent<'_>> {
    rows.iter()
        .map(|row| Parent {
            server: row.server.name.to_string(),
            address: row.server.address,
            source: Source::Walk,
            nsid: row.nsid.as_deref(),
            vantage: &row.vantage.0,
            class: row.class.to_string(),
            serial: row.serial,
            ns_ttl_seconds: row.ns_ttl,
            name_servers: name_servers(&row.name_servers),
            rtt_ms: row.rtt.map(milliseconds),
            note: &row.note,
        })
        .collect()
}

/// What was asked.
#[derive(Serialize)]
struct Question {
    name: String,
    #[serde(rename = "type")]
    record_type: String,
    class: &'static str,
}

/// A record, in presentation form.
#[derive(Serialize)]
struct Record {
    name: String,
    ttl: u32,
    #[serde(rename = "type")]
    record_type: String,
    data: String,
}

impl From<&bailiwick_core::record::Record> for Record {
    fn from(record: &bailiwick_core::record::Record) -> Self {
        Self {
            name: record.name.to_string(),
            ttl: record.ttl,
            record_type: record.record_type().to_string(),
            data: record.data.to_string(),
        }
    }
}

/// One question to one server, and what came of it.
#[derive(Serialize)]
struct Exchange {
    query: u32,
    via: String,
    zone: String,
    server: String,
    address: IpAddr,
    source: Source,
    question: Question,
    outcome: &'static str,
    detail: String,
    elapsed_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<Reply>,
    #[serde(skip_serializing_if = "Option::is_none")]
    octets: Option<String>,
}

/// What a checker of delegations reads of a reply.
#[derive(Serialize)]
struct Reply {
    rcode: String,
    aa: bool,
    tc: bool,
    ra: bool,
    bytes: usize,
    nsid: Option<String>,
    extended_errors: Vec<u16>,
    serial: Option<u32>,
    referral: Option<Referral>,
    answers: Vec<Record>,
}

/// A referral, read as a delegation.
#[derive(Serialize)]
struct Referral {
    zone: String,
    ns_ttl_seconds: u32,
    name_servers: Vec<NameServer>,
}

/// The most answer records shown of one reply; all are in the octets.
const MOST_ANSWERS: usize = 32;

fn exchange(observation: &Observation, raw: bool) -> Exchange {
    use bailiwick_core::{message::Class, server::Role};
    let source = match observation.role {
        Role::Resolver | Role::Blackhole => Source::Settings,
        _ => Source::Walk,
    };
    Exchange {
        query: observation.id.query.0,
        via: observation.via.to_string(),
        zone: observation.zone.to_string(),
        server: observation.server.name.to_string(),
        address: observation.server.address,
        source,
        question: Question {
            name: observation.question.name.to_string(),
            record_type: observation.question.record_type.to_string(),
            class: match observation.question.class {
                Class::In => "IN",
                Class::Chaos => "CH",
            },
        },
        outcome: words::outcome_kind(&observation.outcome),
        detail: words::outcome(observation),
        elapsed_ms: milliseconds(observation.elapsed),
        reply: observation.reply().map(reply),
        octets: (raw && !observation.octets.is_empty()).then(|| hex(&observation.octets)),
    }
}

fn reply(message: &Message) -> Reply {
    let referral = Delegation::owner(message)
        .and_then(|zone| Delegation::read(message, zone))
        .map(|delegation| Referral {
            zone: delegation.zone.to_string(),
            ns_ttl_seconds: delegation.ns_ttl,
            name_servers: name_servers(&delegation.name_servers),
        });
    Reply {
        rcode: message.rcode.to_string(),
        aa: message.flags.authoritative,
        tc: message.flags.truncated,
        ra: message.flags.recursion_available,
        bytes: message.octets,
        nsid: message.nsid().map(words::nsid),
        extended_errors: message.extended_errors().collect(),
        serial: message.soa().map(|(_, soa)| soa.serial),
        referral,
        answers: message
            .answer
            .iter()
            .take(MOST_ANSWERS)
            .map(Record::from)
            .collect(),
    }
}

/// Milliseconds with three decimals.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

/// Whole milliseconds.
fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
