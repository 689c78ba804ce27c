//! `bailiwick.check/1`: a verdict.

use std::{net::IpAddr, time::Duration};

use bailiwick_core::{
    finding::Finding,
    name::Name,
    observation::Observation,
    report::Report,
    server::Role,
    verdict::{AddressRow, HostRow, ResolverRow, Verdict},
};
use serde::Serialize;

use super::{
    Address, Exchange, Parent, Source, exchange, milliseconds, parents, print, whole_milliseconds,
};
use crate::{Page, names::unicode, words, words::glue_ttl};

#[derive(Serialize)]
struct Check<'a> {
    schema: &'static str,
    zone: String,
    zone_unicode: Option<String>,
    state: String,
    scope: String,
    intent: String,
    exit_code: u8,
    headline: &'a str,
    axes: Axes,
    published: Share,
    parent: Option<String>,
    enclosing: Option<String>,
    vantages: Vec<Vantage<'a>>,
    findings: Vec<FindingRow<'a>>,
    parents: Vec<Parent<'a>>,
    name_servers: Vec<Host<'a>>,
    resolvers: Vec<Resolver<'a>>,
    models: Vec<Model<'a>>,
    not_covered: &'a [String],
    times: Times,
    packets_sent: u32,
    elapsed_ms: u64,
}

#[derive(Serialize)]
struct Axes {
    publication: String,
    reachability: String,
    caches: String,
}

/// How many instances publish all of it, of how many seen.
#[derive(Serialize)]
struct Share {
    instances: usize,
    of: usize,
}

#[derive(Serialize)]
struct Vantage<'a> {
    id: &'a str,
    fitness: String,
    families: Vec<String>,
    notes: &'a [String],
    packets_sent: u32,
}

#[derive(Serialize)]
struct FindingRow<'a> {
    id: &'static str,
    severity: String,
    actor: String,
    subject: String,
    server: Option<String>,
    address: Option<IpAddr>,
    source: Option<Source>,
    detail: &'a str,
    remedy: &'a str,
    evidence: Vec<Evidence<'a>>,
}

#[derive(Serialize)]
struct Evidence<'a> {
    vantage: &'a str,
    #[serde(flatten)]
    exchange: Exchange,
}

#[derive(Serialize)]
struct Host<'a> {
    name: String,
    relation: &'static str,
    glue_required: bool,
    in_delegation: bool,
    in_apex: bool,
    glue: Vec<Address>,
    authoritative: Vec<Address>,
    expected: Vec<Address>,
    addresses: Vec<HostAddress<'a>>,
}

#[derive(Serialize)]
struct HostAddress<'a> {
    address: IpAddr,
    source: Source,
    udp: String,
    tcp: String,
    serial: Option<u32>,
    rtt_ms: Option<f64>,
    note: &'a str,
}

#[derive(Serialize)]
struct Resolver<'a> {
    service: &'a str,
    address: IpAddr,
    source: Source,
    identity: Option<&'a str>,
    stub: Option<String>,
    warm: Option<Warm>,
    fresh: Option<String>,
    fresh_unchecked: Option<String>,
    extended_errors: Vec<u16>,
    control: Option<bool>,
    note: &'a str,
}

#[derive(Serialize)]
struct Warm {
    rcode: String,
    ttl_seconds: Option<u32>,
}

#[derive(Serialize)]
struct Model<'a> {
    model: String,
    success_percent: u8,
    baseline: bool,
    fails_at: Option<&'a str>,
}

#[derive(Serialize)]
struct Times {
    at: String,
    evidence_ms: u64,
    parent_ttl_seconds: Option<u32>,
    child_ttl_seconds: Option<u32>,
    negative_ttl_seconds: Option<u32>,
}

/// Writes a verdict as `bailiwick.check/1`.
#[must_use]
pub fn check(page: &Page<'_>) -> String {
    let verdict = page.verdict;
    print(&Check {
        schema: "bailiwick.check/1",
        zone: verdict.check.zone.to_string(),
        zone_unicode: unicode(&verdict.check.zone),
        state: verdict.state.to_string(),
        scope: verdict.scope.to_string(),
        intent: verdict.intent.to_string(),
        exit_code: verdict.state.exit_code(),
        headline: &verdict.headline,
        axes: Axes {
            publication: verdict.publication.to_string(),
            reachability: verdict.reachability.to_string(),
            caches: verdict.caches.to_string(),
        },
        published: Share {
            instances: verdict.published.0,
            of: verdict.published.1,
        },
        parent: verdict.parent.as_ref().map(Name::to_string),
        enclosing: verdict.enclosing.as_ref().map(Name::to_string),
        vantages: vantages(verdict),
        findings: verdict.findings.iter().map(|f| finding(page, f)).collect(),
        parents: parents(&verdict.parents),
        name_servers: verdict
            .name_servers
            .iter()
            .map(|h| host(verdict, h))
            .collect(),
        resolvers: verdict.resolvers.iter().map(resolver).collect(),
        models: models(verdict),
        not_covered: &verdict.not_covered,
        times: Times {
            at: verdict.at.to_string(),
            evidence_ms: whole_milliseconds(evidence_in_hand(page.reports)),
            parent_ttl_seconds: verdict.bounds.parent_ttl,
            child_ttl_seconds: verdict.bounds.child_ttl,
            negative_ttl_seconds: verdict.bounds.negative_ttl,
        },
        packets_sent: verdict.packets,
        elapsed_ms: whole_milliseconds(verdict.elapsed),
    })
}

/// Returns when the last outcome at a server of the root, of a parent or of the zone was known,
/// since the check began. What public resolvers need for their own work is not ours.
fn evidence_in_hand(reports: &[Report]) -> Duration {
    let own = |o: &&Observation| matches!(o.role, Role::Root | Role::Parent | Role::Child);
    let observations = reports
        .iter()
        .flat_map(|report| report.observations.values());
    let ends = observations.filter(own).map(|o| o.sent + o.elapsed);
    ends.max().unwrap_or_default()
}

fn vantages(verdict: &Verdict) -> Vec<Vantage<'_>> {
    verdict
        .vantages
        .iter()
        .map(|row| Vantage {
            id: &row.id.0,
            fitness: row.fitness.to_string(),
            families: row.families.iter().map(ToString::to_string).collect(),
            notes: &row.notes,
            packets_sent: row.packets,
        })
        .collect()
}

fn finding<'a>(page: &Page<'a>, finding: &'a Finding) -> FindingRow<'a> {
    let evidence = finding.evidence.iter().filter_map(|source| {
        let report = page
            .reports
            .iter()
            .find(|report| report.vantage.id == source.vantage)?;
        let observation = report.observations.get(&source.observation)?;
        Some(Evidence {
            vantage: &source.vantage.0,
            exchange: exchange(observation, page.raw),
        })
    });
    FindingRow {
        id: finding.code.0,
        severity: finding.severity.to_string(),
        actor: finding.actor.to_string(),
        subject: finding.subject.to_string(),
        server: finding.server.as_ref().map(Name::to_string),
        address: finding.address,
        source: finding
            .address
            .map(|address| known_from(page.verdict, address)),
        detail: &finding.detail,
        remedy: &finding.remedy,
        evidence: evidence.collect(),
    }
}

/// Says where an address is known from, the nearest to the zone first.
fn known_from(verdict: &Verdict, address: IpAddr) -> Source {
    if verdict.resolvers.iter().any(|row| row.address == address) {
        return Source::Settings;
    }
    verdict
        .name_servers
        .iter()
        .find_map(|host| said_by(host, address))
        .unwrap_or(Source::Walk)
}

fn said_by(host: &HostRow, address: IpAddr) -> Option<Source> {
    if host.glue.contains(&address) {
        Some(Source::Parent)
    } else if host.authoritative.contains(&address) {
        Some(Source::Zone)
    } else if host.expected.contains(&address) {
        Some(Source::Expected)
    } else {
        None
    }
}

fn host<'a>(verdict: &Verdict, row: &'a HostRow) -> Host<'a> {
    use bailiwick_core::delegation::Relation;
    let all = |addresses: &std::collections::BTreeSet<IpAddr>, source| -> Vec<Address> {
        addresses
            .iter()
            .map(|&address| Address {
                address,
                source,
                ttl: None,
            })
            .collect()
    };
    Host {
        name: row.name.to_string(),
        relation: words::relation(row.relation),
        glue_required: row.relation == Relation::InDomain,
        in_delegation: row.in_delegation,
        in_apex: row.in_apex,
        glue: row
            .glue
            .iter()
            .map(|&address| Address {
                address,
                source: Source::Parent,
                ttl: glue_ttl(verdict, &row.name, address),
            })
            .collect(),
        authoritative: all(&row.authoritative, Source::Zone),
        expected: all(&row.expected, Source::Expected),
        addresses: row.addresses.iter().map(|a| host_address(row, a)).collect(),
    }
}

fn host_address<'a>(host: &HostRow, row: &'a AddressRow) -> HostAddress<'a> {
    HostAddress {
        address: row.address,
        source: said_by(host, row.address).unwrap_or(Source::Walk),
        udp: row.udp.to_string(),
        tcp: row.tcp.to_string(),
        serial: row.serial,
        rtt_ms: row.rtt.map(milliseconds),
        note: &row.note,
    }
}

fn resolver(row: &ResolverRow) -> Resolver<'_> {
    Resolver {
        service: &row.service,
        address: row.address,
        source: Source::Settings,
        identity: row.identity.as_deref(),
        stub: row.stub.map(|rcode| rcode.to_string()),
        warm: row.warm.map(|(rcode, ttl)| Warm {
            rcode: rcode.to_string(),
            ttl_seconds: ttl,
        }),
        fresh: row.fresh.map(|rcode| rcode.to_string()),
        fresh_unchecked: row.fresh_unchecked.map(|rcode| rcode.to_string()),
        extended_errors: row.extended_errors.iter().copied().collect(),
        control: row.control,
        note: &row.note,
    }
}

fn models(verdict: &Verdict) -> Vec<Model<'_>> {
    verdict
        .models
        .iter()
        .map(|result| Model {
            model: result.model.to_string(),
            success_percent: result.success_percent,
            baseline: result.baseline,
            fails_at: result.fails_at.as_deref(),
        })
        .collect()
}
