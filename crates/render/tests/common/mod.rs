//! Verdicts, reports and walks made by hand.

#![allow(dead_code, reason = "each test uses some of them")]
#![allow(clippy::unwrap_used, reason = "the texts are constants")]

pub(crate) mod schema;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use bailiwick_core::{
    check::{Check, CheckId, Expectation},
    delegation::{Glue, Relation},
    finding::{Actor, Code, Finding, Severity, Source},
    message::{Edns, Flags, Message, Question, Rcode},
    name::Name,
    observation::{Observation, ObservationId, Outcome, Rejection, Withheld},
    query::{Options, Purpose, Query, QueryId, Stub, Via},
    record::{Record, RecordData, RecordType, Soa},
    report::{Cut, Found, LeftOut, Lookup, Lost, Report, RoundId},
    server::{Family, Role, Server},
    time::Timestamp,
    trace::{Answer, Trace},
    vantage::{Fitness, VantageId, VantagePoint},
    verdict::*,
};
use bailiwick_render::{Page, Style};

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn server(host: &str, at: &str) -> Server {
    Server {
        name: name(host),
        address: address(at),
    }
}

fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
    addresses.iter().map(|text| address(text)).collect()
}

pub(crate) fn page<'a>(verdict: &'a Verdict, reports: &'a [Report]) -> Page<'a> {
    Page {
        verdict,
        reports,
        style: Style::PLAIN,
        full: false,
        raw: false,
        port: 53,
    }
}

pub(crate) fn check(zone: &str) -> Check {
    Check {
        id: CheckId(7),
        zone: name(zone),
        expectation: Expectation::default(),
        roots: vec![server("a.root-servers.net", "198.41.0.4")],
        resolvers: Vec::new(),
        stub: Stub::Plain,
        families: Family::ALL.into(),
        minimise: true,
        timeout: Duration::from_secs(5),
        nonce: 1,
        blackholes: Vec::new(),
        lab: false,
    }
}

/// A zone with two name servers of its own, as it should be.
pub(crate) fn healthy() -> Verdict {
    let glue = [
        ("ns1.example.com", "192.0.2.1"),
        ("ns1.example.com", "2001:db8::1"),
        ("ns2.example.com", "198.51.100.2"),
    ];
    Verdict {
        check: check("example.com"),
        state: State::Consistent,
        scope: Scope::Local,
        quorum: QuorumCount::default(),
        intent: Intent::Inferred,
        publication: Publication::Published,
        published: (26, 26),
        reachability: Reachability::Reachable,
        caches: Caches::SampledOk,
        headline: "example.com. is delegated as its own servers say, and every address answers"
            .to_owned(),
        parent: Some(name("com")),
        enclosing: None,
        vantages: vec![VantageRow {
            id: VantageId("local".to_owned()),
            fitness: Fitness::Healthy,
            families: Family::ALL.into(),
            notes: vec!["0x20 case is kept".to_owned()],
            packets: 140,
            place: None,
            objections: BTreeSet::new(),
            published: (26, 26),
            reached: (3, 3),
        }],
        findings: vec![finding(
            "quorum-not-met",
            Severity::Info,
            Actor::Vantage,
            "seen from 1 network; other networks, other anycast instances and caches are not proved",
            "",
        )],
        parents: gtld(&glue),
        name_servers: vec![
            host("ns1.example.com", &["192.0.2.1", "2001:db8::1"]),
            host("ns2.example.com", &["198.51.100.2"]),
        ],
        resolvers: vec![
            resolver("google", "8.8.8.8", Rcode::NXDOMAIN),
            resolver("google", "2001:4860:4860::8888", Rcode::NXDOMAIN),
        ],
        models: vec![
            model(Model::ParentStrictV4, 100, true),
            model(Model::ParentStrictV6, 100, true),
            model(Model::ChildCentric, 100, true),
        ],
        not_covered: vec![
            "seen from 1 network; other networks, other anycast instances and caches are not proved"
                .to_owned(),
            "what caches hold that were not asked".to_owned(),
        ],
        bounds: Bounds {
            parent_ttl: Some(172_800),
            child_ttl: Some(3_600),
            negative_ttl: Some(900),
        },
        at: Timestamp(1_769_860_800_000_000),
        elapsed: Duration::from_millis(1_234),
        packets: 140,
    }
}

fn model(model: Model, success_percent: u8, baseline: bool) -> ModelResult {
    ModelResult {
        model,
        success_percent,
        baseline,
        fails_at: (success_percent < 100).then(|| "the glue of ns1.example.com.".to_owned()),
    }
}

pub(crate) fn finding(
    code: &'static str,
    severity: Severity,
    actor: Actor,
    detail: &str,
    remedy: &str,
) -> Finding {
    Finding {
        code: Code(code),
        severity,
        actor,
        subject: name("example.com"),
        server: None,
        address: None,
        detail: detail.to_owned(),
        remedy: remedy.to_owned(),
        evidence: Vec::new(),
    }
}

fn hosts(glue: &[(&str, &str)]) -> BTreeMap<Name, Glue> {
    let mut hosts: BTreeMap<Name, Glue> = BTreeMap::new();
    for (host, at) in glue {
        let glue = hosts.entry(name(host)).or_default();
        if !at.is_empty() {
            glue.insert(address(at), 172_800);
        }
    }
    hosts
}

/// The 26 addresses of the 13 servers of com, all of which publish the same.
fn gtld(glue: &[(&str, &str)]) -> Vec<ParentRow> {
    ('a'..='m')
        .enumerate()
        .flat_map(|(at, letter)| {
            let host = format!("{letter}.gtld-servers.net");
            [
                parent(&host, &format!("192.5.6.{}", 30 + at), glue),
                parent(&host, &format!("2001:503:a83e::2:{}", 30 + at), glue),
            ]
        })
        .collect()
}

pub(crate) fn parent(host: &str, at: &str, glue: &[(&str, &str)]) -> ParentRow {
    ParentRow {
        server: server(host, at),
        nsid: Some(format!("nnn1-{}", &host[..1])),
        vantage: VantageId("local".to_owned()),
        class: Class::New,
        serial: Some(1_769_860_700),
        name_servers: hosts(glue).into(),
        ns_ttl: Some(172_800),
        rtt: Some(Duration::from_micros(12_400)),
        note: String::new(),
    }
}

fn host(host: &str, addresses: &[&str]) -> HostRow {
    HostRow {
        name: name(host),
        relation: Relation::InDomain,
        in_delegation: true,
        in_apex: true,
        glue: set(addresses),
        authoritative: set(addresses),
        expected: BTreeSet::new(),
        addresses: addresses.iter().map(|at| answering(at)).collect(),
    }
}

fn answering(at: &str) -> AddressRow {
    AddressRow {
        address: address(at),
        udp: Condition::Authoritative,
        tcp: Condition::Authoritative,
        serial: Some(2_026_013_101),
        rtt: Some(Duration::from_micros(8_700)),
        note: String::new(),
    }
}

fn resolver(service: &str, at: &str, fresh: Rcode) -> ResolverRow {
    ResolverRow {
        service: service.to_owned(),
        address: address(at),
        identity: Some("fra01".to_owned()),
        stub: Some(Rcode::NOERROR),
        warm: Some((Rcode::NOERROR, Some(3_000))),
        fresh: Some(fresh),
        fresh_unchecked: Some(fresh),
        extended_errors: BTreeSet::new(),
        control: Some(true),
        note: String::new(),
    }
}

/// In-domain name servers without any glue; their addresses answer when asked directly.
pub(crate) fn glue_missing() -> Verdict {
    let glue = [("ns1.example.com", ""), ("ns2.example.com", "")];
    let bare = |text: &str, at: &str| HostRow {
        glue: BTreeSet::new(),
        ..host(text, &[at])
    };
    let mut failing = resolver("google", "8.8.8.8", Rcode::SERVFAIL);
    failing.stub = Some(Rcode::SERVFAIL);
    failing.warm = Some((Rcode::SERVFAIL, None));
    failing.extended_errors = [22].into();
    failing.note = "fails, though its control name resolves".to_owned();
    let mut first = finding(
        "glue-missing-all",
        Severity::Critical,
        Actor::Registrar,
        "every name server of example.com. is in-domain and none has glue at com., over TCP too",
        "create host objects at the registrar: ns1.example.com. with 192.0.2.1, ns2.example.com. \
         with 198.51.100.2; nothing in the zone can fix this",
    );
    first.server = Some(name("a.gtld-servers.net"));
    first.address = Some(address("192.5.6.30"));
    first.evidence = vec![Source {
        vantage: VantageId("local".to_owned()),
        observation: ObservationId {
            query: QueryId(1),
            question: 0,
        },
    }];
    let mut rows = gtld(&glue);
    for row in &mut rows {
        row.class = Class::Other;
        row.note = "no glue".to_owned();
    }
    Verdict {
        state: State::Broken,
        publication: Publication::NotPublished,
        published: (0, 26),
        reachability: Reachability::Broken,
        caches: Caches::BrokenResolver,
        headline:
            "com. publishes no glue for ns1.example.com. and ns2.example.com., so no resolver \
                   with an empty cache reaches example.com."
                .to_owned(),
        findings: vec![first],
        parents: rows,
        name_servers: vec![
            bare("ns1.example.com", "192.0.2.1"),
            bare("ns2.example.com", "198.51.100.2"),
        ],
        resolvers: vec![failing],
        models: vec![
            model(Model::ParentStrictV4, 0, true),
            model(Model::ParentStrictV6, 0, false),
            model(Model::SingleTry, 0, true),
        ],
        ..healthy()
    }
}

/// New glue that one of three parent addresses does not have yet, one server dead over TCP, with
/// what was expected.
pub(crate) fn partly_published() -> Verdict {
    let new = [("ns1.example.com", "192.0.2.20"), ("ns.other.net", "")];
    let old = [("ns1.example.com", "192.0.2.10"), ("ns.other.net", "")];
    let mut lagging = parent("c.gtld.test", "192.0.2.4", &old);
    lagging.class = Class::Old;
    lagging.note = "ns1.example.com. is 192.0.2.10, expected 192.0.2.20".to_owned();
    let mut silent = parent("d.gtld.test", "2001:db8:1234:5678:9abc:def0:1234:5678", &[]);
    silent.class = Class::Silent;
    (silent.ns_ttl, silent.rtt, silent.serial) = (None, None, None);
    silent.note = "no answer over UDP or TCP".to_owned();
    let mut moved = host("ns1.example.com", &["192.0.2.10", "192.0.2.20"]);
    moved.authoritative = set(&["192.0.2.20"]);
    moved.expected = set(&["192.0.2.20"]);
    moved.addresses[0].tcp = Condition::Silent;
    moved.addresses[0].serial = Some(2_026_013_100);
    moved.addresses[0].note = "serial is behind".to_owned();
    let mut unrelated = host("ns.other.net", &["203.0.113.5"]);
    unrelated.relation = Relation::Unrelated;
    unrelated.glue = BTreeSet::new();
    unrelated.authoritative = BTreeSet::new();
    let mut sibling = host("ns.sister.com", &[]);
    sibling.relation = Relation::Sibling;
    sibling.in_delegation = false;
    Verdict {
        state: State::Publishing,
        intent: Intent::Expected,
        publication: Publication::Publishing,
        published: (2, 3),
        reachability: Reachability::Degraded,
        headline: "2 of 3 parent servers publish the expected glue".to_owned(),
        findings: vec![
            finding(
                "glue-differs-from-expected",
                Severity::Error,
                Actor::Registrar,
                "c.gtld.test. 192.0.2.4: ns1.example.com. is 192.0.2.10, expected 192.0.2.20",
                "wait until every parent server has it; if it stays so, ask the registrar",
            ),
            finding(
                "parent-coverage-incomplete",
                Severity::Warning,
                Actor::Registry,
                "1 of 4 parent addresses did not answer",
                "",
            ),
        ],
        parents: vec![
            parent("a.gtld.test", "192.0.2.2", &new),
            parent("b.gtld.test", "192.0.2.3", &new),
            lagging,
            silent,
        ],
        name_servers: vec![moved, unrelated, sibling],
        resolvers: Vec::new(),
        caches: Caches::Unknown,
        models: vec![model(Model::SingleTry, 75, true)],
        not_covered: vec!["resolvers: none was asked (--no-resolvers)".to_owned()],
        ..healthy()
    }
}

/// Thirteen in-domain name servers with both families.
pub(crate) fn thirteen() -> Verdict {
    let names: Vec<String> = ('a'..='m').map(|c| format!("{c}.ns.example.com")).collect();
    let four: Vec<String> = (1..=13).map(|n| format!("192.0.2.{n}")).collect();
    let six: Vec<String> = (1..=13).map(|n| format!("2001:db8:0:{n}::53")).collect();
    let glue: Vec<(&str, &str)> = names
        .iter()
        .zip(four.iter().zip(&six))
        .flat_map(|(host, (four, six))| [(host.as_str(), four.as_str()), (host, six)])
        .collect();
    Verdict {
        parents: gtld(&glue),
        name_servers: names
            .iter()
            .zip(four.iter().zip(&six))
            .map(|(text, (four, six))| host(text, &[four, six]))
            .collect(),
        findings: Vec::new(),
        ..healthy()
    }
}

pub(crate) fn zone_moved_glue_not() -> Verdict {
    let mut host = host(
        "ns1.xn--bcher-kva.example",
        &[
            "2001:db8:1111:2222:3333:4444:5555:6666",
            "2001:db8:1111:2222:3333:4444:5555:7777",
        ],
    );
    host.authoritative = set(&["2001:db8:1111:2222:3333:4444:5555:7777"]);
    host.glue = set(&["2001:db8:1111:2222:3333:4444:5555:6666"]);
    let findings = (0..26)
        .map(|at| {
            finding(
                "glue-stale-address",
                Severity::Error,
                Actor::Registrar,
                &format!("parent server {at} hands out an address that does not answer"),
                "change the host object of ns1 at the registrar",
            )
        })
        .collect();
    Verdict {
        check: check("xn--bcher-kva.example"),
        state: State::NotPublished,
        publication: Publication::NotPublished,
        published: (0, 1),
        headline: "the registry does not publish what your zone says".to_owned(),
        parent: Some(name("example")),
        parents: vec![parent("a.nic.example", "192.0.2.77", &[])],
        name_servers: vec![host],
        findings,
        resolvers: Vec::new(),
        models: Vec::new(),
        ..healthy()
    }
}

pub(crate) fn offline() -> Verdict {
    Verdict {
        state: State::Inconclusive,
        publication: Publication::Unknown,
        published: (0, 0),
        reachability: Reachability::Unknown,
        caches: Caches::Unknown,
        headline: "no root server answers: is this machine online?".to_owned(),
        parent: None,
        vantages: vec![VantageRow {
            id: VantageId("local".to_owned()),
            fitness: Fitness::Offline,
            families: BTreeSet::new(),
            notes: Vec::new(),
            packets: 0,
            place: None,
            objections: BTreeSet::new(),
            published: (0, 0),
            reached: (0, 0),
        }],
        findings: Vec::new(),
        parents: Vec::new(),
        name_servers: Vec::new(),
        resolvers: Vec::new(),
        models: Vec::new(),
        not_covered: vec!["everything".to_owned()],
        bounds: Bounds::default(),
        packets: 0,
        ..healthy()
    }
}

pub(crate) fn not_a_zone() -> Verdict {
    Verdict {
        check: check("www.example.com"),
        state: State::NotAZone,
        publication: Publication::Unknown,
        published: (0, 0),
        reachability: Reachability::Unknown,
        caches: Caches::Unknown,
        headline: "www.example.com. is no zone; it lies inside example.com.".to_owned(),
        enclosing: Some(name("example.com")),
        ..offline()
    }
}

pub(crate) fn all_verdicts() -> Vec<(&'static str, Verdict)> {
    vec![
        ("healthy", healthy()),
        ("glue_missing", glue_missing()),
        ("partly_published", partly_published()),
        ("thirteen", thirteen()),
        ("zone_moved_glue_not", zone_moved_glue_not()),
        ("offline", offline()),
        ("not_a_zone", not_a_zone()),
    ]
}

pub(crate) fn referral(zone: &str, glue: &[(&str, &str)]) -> Message {
    let record = |owner: &str, data| Record {
        name: name(owner),
        ttl: 172_800,
        data,
    };
    let mut message = Message {
        edns: Some(Edns {
            nsid: Some(b"nnn1-fra5".to_vec().into()),
            ..Edns::default()
        }),
        octets: 164,
        ..Message::default()
    };
    for (host, at) in glue {
        let ns = record(zone, RecordData::Ns(name(host)));
        if !message.authority.contains(&ns) {
            message.authority.push(ns);
        }
        if !at.is_empty() {
            message.additional.push(record(host, address(at).into()));
        }
    }
    message
}

pub(crate) fn authoritative(answer: Vec<Record>, zone: &str) -> Message {
    Message {
        flags: Flags {
            authoritative: true,
            ..Flags::default()
        },
        authority: vec![Record {
            name: name(zone),
            ttl: 3_600,
            data: RecordData::Soa(Soa {
                mname: name("ns1.example.com"),
                rname: name("hostmaster.example.com"),
                serial: 2_026_013_101,
                refresh: 7_200,
                retry: 600,
                expire: 1_209_600,
                minimum: 900,
            }),
        }],
        answer,
        octets: 101,
        ..Message::default()
    }
}

pub(crate) fn observation(
    id: u32,
    zone: &str,
    whom: (&str, &str),
    question: &str,
    outcome: Outcome,
) -> Observation {
    let query = Query {
        id: QueryId(id),
        server: server(whom.0, whom.1),
        role: if zone == "." {
            Role::Root
        } else {
            Role::Parent
        },
        zone: name(zone),
        purpose: Purpose::Walk,
        via: Via::Udp,
        questions: vec![Question::new(name(question), RecordType::A)],
        options: Options::ITERATIVE,
        patience: Duration::from_millis(1_500),
    };
    let mut observation = Observation::of(&query, 0, Duration::ZERO, outcome);
    observation.elapsed = Duration::from_millis(u64::from(id) * 7 + 5);
    observation.octets = vec![0xbe, 0xef].into();
    observation
}

fn cut(zone: &str, glue: &[(&str, &str)]) -> Cut {
    Cut {
        zone: name(zone),
        names: glue.iter().map(|(host, _)| name(host)).collect(),
        servers: glue
            .iter()
            .filter(|(_, at)| !at.is_empty())
            .map(|(host, at)| server(host, at))
            .collect(),
    }
}

const ROOTS: [(&str, &str); 1] = [("a.root-servers.net", "198.41.0.4")];
const COM: [(&str, &str); 2] = [
    ("a.gtld-servers.net", "192.5.6.30"),
    ("a.gtld-servers.net", "2001:503:a83e::2:30"),
];
const EXAMPLE: [(&str, &str); 4] = [
    ("ns1.example.com", "192.0.2.1"),
    ("ns2.example.com", "192.0.2.2"),
    ("ns2.example.com", "2001:db8::2"),
    ("ns3.example.com", ""),
];

/// A walk to a zone with three name servers: one answers, one refuses and is closed, one has no
/// address.
pub(crate) fn walk() -> Trace {
    let question = "www.example.com";
    let answer = Record {
        name: name(question),
        ttl: 300,
        data: address("192.0.2.80").into(),
    };
    let refused = Message {
        rcode: Rcode::REFUSED,
        octets: 33,
        ..Message::default()
    };
    let ask = |id, zone: &str, whom, outcome| observation(id, zone, whom, question, outcome);
    let steps = [
        ask(
            0,
            ".",
            ROOTS[0],
            Outcome::Reply(referral("com", &COM).into()),
        ),
        ask(
            1,
            "com",
            COM[0],
            Outcome::Reply(referral("example.com", &EXAMPLE).into()),
        ),
        ask(2, "com", COM[1], Outcome::Withheld(Withheld::NoRoute)),
        ask(
            3,
            "example.com",
            EXAMPLE[0],
            Outcome::Reply(authoritative(vec![answer.clone()], "example.com").into()),
        ),
        ask(4, "example.com", EXAMPLE[1], Outcome::Reply(refused.into())),
        ask(
            5,
            "example.com",
            EXAMPLE[2],
            Outcome::Rejected(Rejection::Port),
        ),
        ask(
            6,
            "example.net",
            ("ns.example.net", "203.0.113.9"),
            Outcome::Silence,
        ),
    ];
    Trace {
        question: Question::new(name(question), RecordType::A),
        answer: Answer {
            rcode: Rcode::NOERROR,
            records: vec![answer],
            reason: None,
        },
        path: vec![
            cut(".", &ROOTS),
            cut("com", &COM),
            cut("example.com", &EXAMPLE),
        ],
        lookups: [(
            name("ns.example.net"),
            Lookup::Lost(Lost::NoUsableAnswer {
                zone: name("example.net"),
            }),
        )]
        .into(),
        observations: steps.into_iter().map(|step| (step.id, step)).collect(),
        started: Timestamp(1_769_860_800_000_000),
        elapsed: Duration::from_millis(83),
        packets: 6,
    }
}

/// The same walk, ended without an answer.
pub(crate) fn lost_walk() -> Trace {
    Trace {
        answer: Answer {
            rcode: Rcode::SERVFAIL,
            records: Vec::new(),
            reason: Some(Lost::NoUsableAnswer {
                zone: name("example.com"),
            }),
        },
        ..walk()
    }
}

/// A report with the observations of [`walk`].
pub(crate) fn report() -> Report {
    let walk = walk();
    Report {
        check: check("example.com"),
        round: RoundId(1),
        vantage: VantagePoint::local(Family::ALL.into()),
        started: walk.started,
        elapsed: walk.elapsed,
        path: walk.path,
        found: Found::Delegated,
        lookups: walk.lookups,
        observations: walk.observations,
        left_out: LeftOut::default(),
        packets: walk.packets,
    }
}

pub(crate) fn explanation() -> bailiwick_render::Explanation {
    bailiwick_render::Explanation {
        code: "glue-missing-in-domain",
        severity: Severity::Error,
        actor: Actor::Registrar,
        title: "referral without glue for an in-domain name server",
        text: "`glue-missing-in-domain`: a parent server refers to the zone without its glue.\n\n\
               An in-domain name server cannot be reached without glue, so a parent\n\
               server must hand out all it has, or set TC.\n\n\
               - create the host object\n- wait for the registry\n"
            .to_owned(),
        source: "RFC 9471, section 3.1",
        related: &["servfail", "resolution-failure"],
    }
}
