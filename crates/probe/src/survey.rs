//! What the public resolvers hand out.

use std::{net::IpAddr, time::Duration};

use bailiwick_core::{
    check::{Check, Resolver},
    message::{Class, Question},
    name::Name,
    query::{Options, Purpose, Query, QueryId, Survey, Via},
    record::RecordType,
    server::{Family, Role, Server},
};

use crate::patience;

/// Addresses of Google Public DNS; it names the resolver's address under a name of its own and
/// does not answer `id.server`.
const GOOGLE: [[u16; 8]; 2] = [
    [0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888],
    [0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8844],
];

/// Returns the questions that need to know nothing but the zone.
pub(crate) fn questions(check: &Check) -> Vec<Query> {
    let mut queries = Vec::new();
    for (resolver, address) in addresses(check) {
        let ask = |survey, question| query(resolver, address, survey, question);
        let soa = Question::new(check.zone.clone(), RecordType::SOA);
        let stub = ask(Survey::Stub, soa);
        queries.push(Query {
            via: Via::Stub(check.stub),
            ..stub
        });
        queries.push(ask(
            Survey::Warm,
            Question::new(check.zone.clone(), RecordType::NS),
        ));
        if let Some(name) = fresh(check, address, 0) {
            queries.push(ask(Survey::Fresh, Question::new(name, RecordType::A)));
        }
        if let Some(name) = fresh(check, address, 1) {
            let unchecked = ask(Survey::FreshUnchecked, Question::new(name, RecordType::A));
            let options = Options {
                checking_disabled: true,
                ..Options::RECURSIVE
            };
            queries.push(Query {
                options,
                ..unchecked
            });
        }
        if let Some(question) = resolver.well_known.then(|| identity(address)).flatten() {
            queries.push(ask(Survey::Identity, question));
        }
    }
    queries
}

/// Returns the question that a resolver answers if it is well: the SOA of the parent zone.
pub(crate) fn controls(check: &Check, parent: &Name) -> Vec<Query> {
    let soa = Question::new(parent.clone(), RecordType::SOA);
    addresses(check)
        .map(|(resolver, address)| query(resolver, address, Survey::Control, soa.clone()))
        .collect()
}

/// Returns every address of every resolver in the families of the check.
pub(crate) fn addresses(check: &Check) -> impl Iterator<Item = (&Resolver, IpAddr)> {
    check.resolvers.iter().flat_map(|resolver| {
        let usable = resolver
            .addresses
            .iter()
            .filter(|&&a| check.families.contains(&Family::of(a)));
        usable.map(move |&address| (resolver, address))
    })
}

/// Returns the server to whom a question of the survey goes. A resolver has no host name that
/// anybody looked up; its service name stands in as a single label.
pub(crate) fn server(resolver: &Resolver, address: IpAddr) -> Server {
    let name = Name::from_labels([resolver.name.as_bytes()]).unwrap_or_else(|_| Name::root());
    Server { name, address }
}

/// A name below the zone that no cache can know.
fn fresh(check: &Check, address: IpAddr, number: u64) -> Option<Name> {
    let spread = match address {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        IpAddr::V6(address) => u64::from_be_bytes(address.octets()[8..].try_into().ok()?) ^ 1 << 40,
    };
    let nonce = mix(check.nonce ^ mix(spread ^ number << 56));
    check.zone.child(format!("bw-{nonce:016x}").as_bytes()).ok()
}

/// Spreads 64 bits (the finaliser of SplitMix64), so that neighbours give unlike labels.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A label that no cache and no zone can know.
pub(crate) fn unknown_label(check: &Check) -> String {
    format!("bw-{:016x}", mix(check.nonce ^ 0x00ab_5e47))
}

fn identity(address: IpAddr) -> Option<Question> {
    let google = match address {
        IpAddr::V4(address) => matches!(address.octets(), [8, 8, 8, 8] | [8, 8, 4, 4]),
        IpAddr::V6(address) => GOOGLE.contains(&address.segments()),
    };
    let name = if google {
        "o-o.myaddr.l.google.com."
    } else {
        "id.server."
    };
    let class = if google { Class::In } else { Class::Chaos };
    Some(Question {
        name: name.parse().ok()?,
        record_type: RecordType::TXT,
        class,
    })
}

fn query(resolver: &Resolver, address: IpAddr, survey: Survey, question: Question) -> Query {
    Query {
        id: QueryId::default(),
        server: server(resolver, address),
        role: Role::Resolver,
        zone: Name::root(),
        purpose: Purpose::Survey(survey),
        via: Via::Udp,
        questions: vec![question],
        options: Options::RECURSIVE,
        patience: patience_of(survey),
    }
}

fn patience_of(survey: Survey) -> Duration {
    match survey {
        Survey::Identity => patience::TCP,
        _ => patience::RESOLVER,
    }
}
