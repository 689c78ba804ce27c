//! `bailiwick.trace/1`: a walk from the root.

use std::net::IpAddr;

use bailiwick_core::{
    name::Name,
    observation::Observation,
    query::Purpose,
    report::{Cut, Lookup},
    trace::Trace,
};
use serde::Serialize;

use super::{
    Address, NameServer, Question, Record, Source, exchange, milliseconds, print,
    whole_milliseconds,
};
use crate::{names::unicode, words};

#[derive(Serialize)]
struct TraceObject {
    schema: &'static str,
    question: Question,
    name_unicode: Option<String>,
    outcome: Outcome,
    path: Vec<Zone>,
    lookups: Vec<LookupRow>,
    steps: Vec<Step>,
    exit_code: u8,
    times: Times,
    packets_sent: u32,
    elapsed_ms: u64,
}

#[derive(Serialize)]
struct Outcome {
    rcode: String,
    answers: Vec<Record>,
    reason: Option<String>,
}

#[derive(Serialize)]
struct Zone {
    zone: String,
    name_servers: Vec<NameServer>,
}

#[derive(Serialize)]
struct LookupRow {
    name: String,
    found: String,
    addresses: Vec<Address>,
}

/// One exchange, flat, so that a script need not dig for the rcode.
#[derive(Serialize)]
struct Step {
    zone: String,
    server: String,
    address: IpAddr,
    source: Source,
    transport: String,
    lookup: bool,
    question: Question,
    outcome: &'static str,
    detail: String,
    rtt_ms: f64,
    rcode: Option<String>,
    aa: Option<bool>,
    tc: Option<bool>,
    ra: Option<bool>,
    nsid: Option<String>,
    serial: Option<u32>,
    refers_to: Option<String>,
    ns_ttl_seconds: Option<u32>,
    referral: Vec<String>,
    glue: Vec<GlueRow>,
    bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    octets: Option<String>,
}

#[derive(Serialize)]
struct GlueRow {
    name: String,
    #[serde(flatten)]
    address: Address,
}

#[derive(Serialize)]
struct Times {
    at: String,
}

/// Writes a walk as `bailiwick.trace/1`, on request with the octets of every reply.
#[must_use]
pub fn trace(trace: &Trace, exit_code: u8, raw: bool) -> String {
    print(&TraceObject {
        schema: "bailiwick.trace/1",
        question: Question {
            name: trace.question.name.to_string(),
            record_type: trace.question.record_type.to_string(),
            class: "IN",
        },
        name_unicode: unicode(&trace.question.name),
        outcome: Outcome {
            rcode: trace.answer.rcode.to_string(),
            answers: trace.answer.records.iter().map(Record::from).collect(),
            reason: trace.answer.reason.as_ref().map(words::lost),
        },
        path: trace.path.iter().map(zone).collect(),
        lookups: trace.lookups.iter().map(lookup).collect(),
        steps: trace
            .observations
            .values()
            .map(|observation| step(observation, raw))
            .collect(),
        exit_code,
        times: Times {
            at: trace.started.to_string(),
        },
        packets_sent: trace.packets,
        elapsed_ms: whole_milliseconds(trace.elapsed),
    })
}

fn zone(cut: &Cut) -> Zone {
    let glue = |name: &Name| {
        cut.servers
            .iter()
            .filter(|server| server.name == *name)
            .map(|server| walked(server.address))
            .collect()
    };
    Zone {
        zone: cut.zone.to_string(),
        name_servers: cut
            .names
            .iter()
            .map(|name| NameServer {
                name: name.to_string(),
                glue: glue(name),
            })
            .collect(),
    }
}

fn walked(address: IpAddr) -> Address {
    Address {
        address,
        source: Source::Walk,
        ttl: None,
    }
}

fn lookup((name, found): (&Name, &Lookup)) -> LookupRow {
    LookupRow {
        name: name.to_string(),
        found: words::lookup(found),
        addresses: found.addresses().into_iter().map(walked).collect(),
    }
}

fn step(observation: &Observation, raw: bool) -> Step {
    let all = exchange(observation, raw);
    let (mut rcode, mut aa, mut tc, mut ra) = (None, None, None, None);
    let (mut nsid, mut serial, mut bytes, mut refers_to) = (None, None, None, None);
    let (mut ns_ttl_seconds, mut referral, mut glue) = (None, Vec::new(), Vec::new());
    if let Some(reply) = all.reply {
        (rcode, aa, tc, ra) = (
            Some(reply.rcode),
            Some(reply.aa),
            Some(reply.tc),
            Some(reply.ra),
        );
        (nsid, serial, bytes) = (reply.nsid, reply.serial, Some(reply.bytes));
        if let Some(found) = reply.referral {
            refers_to = Some(found.zone);
            ns_ttl_seconds = Some(found.ns_ttl_seconds);
            for server in found.name_servers {
                glue.extend(server.glue.into_iter().map(|address| GlueRow {
                    name: server.name.clone(),
                    address,
                }));
                referral.push(server.name);
            }
        }
    }
    Step {
        zone: all.zone,
        server: all.server,
        address: all.address,
        source: all.source,
        transport: all.via,
        lookup: observation.purpose == Purpose::Lookup,
        question: all.question,
        outcome: all.outcome,
        detail: all.detail,
        rtt_ms: milliseconds(observation.elapsed),
        rcode,
        aa,
        tc,
        ra,
        nsid,
        serial,
        refers_to,
        ns_ttl_seconds,
        referral,
        glue,
        bytes,
        octets: all.octets,
    }
}
