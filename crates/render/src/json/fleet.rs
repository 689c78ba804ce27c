//! What operators see of a fleet: `bailiwick.agents/1` and the like.

use std::{collections::BTreeMap, net::IpAddr};

use bailiwick_core::{check::CheckId, place::Place, time::Timestamp};
use serde::Serialize;

use super::{hex, print};
use crate::{
    fleet::{self, Invited},
    names::unicode,
};

#[derive(Serialize)]
struct Agents<'a> {
    schema: &'static str,
    agents: Vec<Agent<'a>>,
}

#[derive(Serialize)]
struct Agent<'a> {
    name: &'a str,
    state: &'a str,
    connected: bool,
    place: Stand<'a>,
    enrolled_at: Option<String>,
    last_seen_at: Option<String>,
    certificate_until: Option<String>,
    banned_at: Option<String>,
    build: &'a str,
    reports: u64,
    key_sha256: String,
    clock_offset_ms: i64,
    durable: bool,
}

/// Where a vantage point stands.
#[derive(Serialize)]
struct Stand<'a> {
    asn: Option<u32>,
    rir: Option<String>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    operator: Option<&'a str>,
    observed: Option<IpAddr>,
    labels: &'a BTreeMap<String, String>,
    lab: bool,
    without_vote: Vec<String>,
}

impl<'a> From<&'a Place> for Stand<'a> {
    fn from(place: &'a Place) -> Self {
        let degrees = place.position.map(|position| {
            let (latitude, longitude) = position.micro_degrees();
            (f64::from(latitude) / 1e6, f64::from(longitude) / 1e6)
        });
        Self {
            asn: place.asn.map(|asn| asn.0),
            rir: place.rir.map(|rir| rir.to_string()),
            latitude: degrees.map(|(latitude, _)| latitude),
            longitude: degrees.map(|(_, longitude)| longitude),
            operator: place.operator.as_deref(),
            observed: place.address,
            labels: &place.labels,
            lab: place.lab,
            without_vote: place.objections.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Writes agents as `bailiwick.agents/1`.
#[must_use]
pub fn agents(agents: &[fleet::Agent]) -> String {
    print(&Agents {
        schema: "bailiwick.agents/1",
        agents: agents.iter().map(agent).collect(),
    })
}

fn agent(agent: &fleet::Agent) -> Agent<'_> {
    Agent {
        name: &agent.name,
        state: &agent.state,
        connected: agent.connected,
        place: (&agent.place).into(),
        enrolled_at: agent.enrolled.map(text),
        last_seen_at: agent.last_seen.map(text),
        certificate_until: agent.certificate_until.map(text),
        banned_at: agent.banned.map(text),
        build: &agent.build,
        reports: agent.reports,
        key_sha256: hex(&agent.key),
        clock_offset_ms: agent.clock_offset / 1_000_000,
        durable: agent.durable,
    }
}

fn text(at: Timestamp) -> String {
    at.to_string()
}

fn id(check: CheckId) -> String {
    format!("{:032x}", check.0)
}

/// Writes how a coordinator does as `bailiwick.status/1`.
#[must_use]
pub fn status(status: &fleet::Status) -> String {
    #[derive(Serialize)]
    struct Status<'a> {
        schema: &'static str,
        trust_domain: &'a str,
        build: &'a str,
        started_at: Option<String>,
        durability: &'a str,
        agents: u64,
        agents_connected: u64,
        reports: u64,
        checks: u64,
        checks_open: u64,
        store_octets: u64,
        store_free_octets: u64,
        notes: &'a [String],
    }
    print(&Status {
        schema: "bailiwick.status/1",
        trust_domain: &status.trust_domain,
        build: &status.build,
        started_at: status.started.map(text),
        durability: &status.durability,
        agents: status.agents,
        agents_connected: status.connected,
        reports: status.reports,
        checks: status.checks,
        checks_open: status.open_checks,
        store_octets: status.store_octets,
        store_free_octets: status.store_free,
        notes: &status.notes,
    })
}

#[derive(Serialize)]
struct History<'a> {
    schema: &'static str,
    checks: Vec<Past<'a>>,
}

#[derive(Serialize)]
struct Past<'a> {
    check: String,
    zone: String,
    zone_unicode: Option<String>,
    created_at: String,
    operator: &'a str,
    state: Option<&'a str>,
    exit_code: Option<u8>,
    headline: &'a str,
    vantages_asked: u32,
    vantages_reported: u32,
    revised: bool,
}

/// Writes checks of the past as `bailiwick.history/1`.
#[must_use]
pub fn history(checks: &[fleet::Past]) -> String {
    let checks = checks.iter().map(|past| Past {
        check: id(past.check),
        zone: past.zone.to_string(),
        zone_unicode: unicode(&past.zone),
        created_at: text(past.created),
        operator: &past.operator,
        state: past.outcome.as_ref().map(|(state, _)| state.as_str()),
        exit_code: past.outcome.as_ref().map(|(_, code)| *code),
        headline: &past.headline,
        vantages_asked: past.asked,
        vantages_reported: past.reported,
        revised: past.revised,
    });
    print(&History {
        schema: "bailiwick.history/1",
        checks: checks.collect(),
    })
}

/// Writes watches as `bailiwick.watches/1`.
#[must_use]
pub fn watches(watches: &[fleet::Watch]) -> String {
    #[derive(Serialize)]
    struct Watches<'a> {
        schema: &'static str,
        watches: Vec<Watch<'a>>,
    }
    #[derive(Serialize)]
    struct Watch<'a> {
        watch: String,
        zone: String,
        zone_unicode: Option<String>,
        interval_seconds: f64,
        created_at: String,
        operator: &'a str,
        vantages: &'a [String],
        planned_until: String,
    }
    let watches = watches.iter().map(|watch| Watch {
        watch: id(watch.watch),
        zone: watch.zone.to_string(),
        zone_unicode: unicode(&watch.zone),
        interval_seconds: watch.interval.as_secs_f64(),
        created_at: text(watch.created),
        operator: &watch.operator,
        vantages: &watch.vantages,
        planned_until: text(watch.until),
    });
    print(&Watches {
        schema: "bailiwick.watches/1",
        watches: watches.collect(),
    })
}

/// Writes an invitation as `bailiwick.invitation/1`.
#[must_use]
pub fn invitation(invitation: &fleet::Invitation) -> String {
    #[derive(Serialize)]
    struct Invitation<'a> {
        schema: &'static str,
        kind: &'static str,
        name: &'a str,
        role: Option<&'a str>,
        approve: bool,
        join: &'a str,
        until: String,
    }
    let (kind, role, approve) = match &invitation.of {
        Invited::Agent { approve } => ("agent", None, *approve),
        Invited::Operator { role } => ("operator", Some(role.as_str()), false),
    };
    print(&Invitation {
        schema: "bailiwick.invitation/1",
        kind,
        name: &invitation.name,
        role,
        approve,
        join: &invitation.join,
        until: text(invitation.until),
    })
}

/// Writes what is known after joining as `bailiwick.joined/1`.
#[must_use]
pub fn joined(joined: &fleet::Joined) -> String {
    #[derive(Serialize)]
    struct Joined<'a> {
        schema: &'static str,
        name: &'a str,
        trust_domain: &'a str,
        coordinators: &'a [String],
        certificate_until: String,
        folder: &'a str,
    }
    print(&Joined {
        schema: "bailiwick.joined/1",
        name: &joined.name,
        trust_domain: &joined.trust_domain,
        coordinators: &joined.operators,
        certificate_until: text(joined.until),
        folder: &joined.folder,
    })
}

/// Writes where evidence is as `bailiwick.saved/1`.
#[must_use]
pub fn saved(saved: &fleet::Saved) -> String {
    #[derive(Serialize)]
    struct Saved<'a> {
        schema: &'static str,
        check: String,
        file: &'a str,
        reports: usize,
        octets: u64,
    }
    print(&Saved {
        schema: "bailiwick.saved/1",
        check: id(saved.check),
        file: &saved.file,
        reports: saved.reports,
        octets: saved.octets,
    })
}

/// Writes whether a verdict came out the same as `bailiwick.replayed/1`.
#[must_use]
pub fn replayed(replayed: &fleet::Replayed) -> String {
    #[derive(Serialize)]
    struct Replayed {
        schema: &'static str,
        check: String,
        same: bool,
        policy: u32,
        own_policy: u32,
        octets: usize,
        differs_at: Option<usize>,
    }
    print(&Replayed {
        schema: "bailiwick.replayed/1",
        check: id(replayed.check),
        same: replayed.differs_at.is_none(),
        policy: replayed.policy,
        own_policy: replayed.own_policy,
        octets: replayed.octets,
        differs_at: replayed.differs_at,
    })
}
