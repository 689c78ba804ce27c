//! `referral-oversize`: the referral is too large for a small UDP answer.
//!
//! A referral has the question, the NS set, the glue of all in-domain name servers and, for a
//! signed zone, the DS set with its signature. If that is more than 512 octets, a resolver that
//! does not use EDNS gets a truncated answer (or one with glue missing, from servers that do not
//! set TC) and has to come again over TCP; there are hardly any such resolvers left, so this is
//! only worth knowing. If it is more than 1232 octets, the size that resolvers ask for by default
//! since 2020, every resolver has to come again over TCP, which is slower and does not work
//! everywhere: a warning.
//!
//! The size is computed for the smallest message that says it all, with names compressed;
//! what the parent really sends may be larger.
//!
//! Use fewer name servers, or shorter names with a common ending, which compress well. Four
//! name servers are enough for most zones (RFC 2182, section 5).

use std::collections::BTreeSet;

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    name::Name,
    query::UDP_SIZE,
    record::{RecordData, RecordType},
};

use crate::{
    picture::{Answer, Instance, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "referral-oversize",
    severity: Severity::Info,
    actor: Actor::Zone,
    title: "the referral does not fit into a small UDP answer",
    text: include_str!("referral_oversize.rs"),
    source: "RFC 9471, section 3.1; RFC 6891, section 6.2.5",
    related: &[],
    find,
};

/// The size of an answer without EDNS, in octets (RFC 1035, section 4.2.1).
const PLAIN: usize = 512;

fn find(picture: &Picture) -> Vec<Finding> {
    let sizes = picture.sayings.iter().filter_map(|places| {
        let place = *places.last()?;
        let answer = picture.instances[place].best()?;
        Some((size(picture, answer)?, place))
    });
    let largest = sizes.max_by_key(|(size, place)| (size.signed, size.plain, *place));
    largest
        .and_then(|(size, place)| finding(picture, &size, &picture.instances[place]))
        .into_iter()
        .collect()
}

/// Lengths of the smallest referral, in octets.
struct Size {
    /// Without EDNS and without DS.
    plain: usize,
    /// With EDNS, and with DS as far as the answer has it.
    signed: usize,
    names: usize,
    addresses: usize,
}

fn finding(picture: &Picture, size: &Size, instance: &Instance) -> Option<Finding> {
    if size.plain <= PLAIN && size.signed <= usize::from(UDP_SIZE) {
        return None;
    }
    let what = format!(
        "{} and {} of in-domain glue",
        wording::count(size.names, "name server"),
        wording::count(size.addresses, "address")
    );
    let (severity, detail) = if size.signed > usize::from(UDP_SIZE) {
        let detail = format!(
            "the smallest referral has {} octets ({what}): more than {UDP_SIZE}, so every \
             resolver has to ask over TCP",
            size.signed
        );
        (Severity::Warning, detail)
    } else {
        let detail = format!(
            "the smallest referral has {} octets ({what}): more than {PLAIN}, so resolvers \
             without EDNS have to ask over TCP{}",
            size.plain,
            if dropped(instance) {
                ", and some parent servers leave out glue for them without setting TC"
            } else {
                ""
            }
        );
        (Severity::Info, detail)
    };
    let draft = RULE
        .about(picture.zone)
        .severity(severity)
        .detail(detail)
        .remedy(format!(
            "Use fewer than {} name servers, or shorter names that end alike",
            size.names
        ))
        .evidence(instance.answers().map(|answer| answer.seen.source()));
    Some(draft.done())
}

/// Whether the answer in 512 octets has less glue, and TC is not set.
fn dropped(instance: &Instance) -> bool {
    let addresses = |answer: &Answer| answer.delegation().map(|d| d.servers().count());
    let small = instance.small.as_ref().filter(|small| !small.truncated);
    match (
        small.and_then(addresses),
        instance.best().and_then(addresses),
    ) {
        (Some(small), Some(all)) => small < all,
        _ => false,
    }
}

fn size(picture: &Picture, answer: &Answer) -> Option<Size> {
    let delegation = answer.delegation()?;
    let mut names = Compressor::default();
    // Header, then the question with its type and class.
    let mut plain = 12 + names.length(picture.zone) + 4;
    for host in delegation.name_servers.keys() {
        plain += RECORD + names.length(host);
    }
    let mut addresses = 0;
    for server in delegation.servers() {
        if server.name.is_at_or_below(picture.zone) {
            plain += RECORD + if server.address.is_ipv4() { 4 } else { 16 };
            addresses += 1;
        }
    }
    Some(Size {
        plain,
        signed: plain + OPT + signed_part(answer),
        names: delegation.name_servers.len(),
        addresses,
    })
}

/// A record without its data: a pointer to the owner, type, class, TTL and length.
const RECORD: usize = 2 + 2 + 2 + 4 + 2;
/// The OPT record (RFC 6891, section 6.1.2).
const OPT: usize = 11;

/// DS and RRSIG records of a referral to a signed zone. The proof that there is none is left
/// out: its size is the parent's affair.
fn signed_part(answer: &Answer) -> usize {
    let Some(message) = answer.message() else {
        return 0;
    };
    let has_ds = |r: &bailiwick_core::record::Record| r.record_type() == RecordType::DS;
    if !message.authority.iter().any(has_ds) {
        return 0;
    }
    let data = message.authority.iter().map(|record| match &record.data {
        RecordData::Ds(ds) => RECORD + 4 + ds.digest.len(),
        RecordData::Other(RecordType::RRSIG, data) => RECORD + data.len(),
        _ => 0,
    });
    data.sum()
}

/// Knows which endings of names a message has already (RFC 1035, section 4.1.4).
#[derive(Default)]
struct Compressor {
    known: BTreeSet<Name>,
}

impl Compressor {
    /// Returns how many octets a name takes, and remembers it.
    fn length(&mut self, name: &Name) -> usize {
        let mut length = 0;
        let mut rest = name.clone();
        while !rest.is_root() {
            if !self.known.insert(rest.clone()) {
                return length + 2;
            }
            length += 1 + rest.labels().next().map_or(0, <[u8]>::len);
            rest = rest.parent().unwrap_or_else(Name::root);
        }
        length + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines, name};

    #[test]
    fn names_are_compressed() {
        let mut names = Compressor::default();
        let cases = [
            ("example.com.", 13, "in full"),
            ("ns1.example.com.", 6, "a label and a pointer"),
            ("example.com.", 2, "a pointer"),
            (
                "ns1.example.net.",
                17,
                "nothing in common: endings count, not beginnings",
            ),
            (".", 1, "the root is shorter than a pointer"),
        ];
        for (text, length, why) in cases {
            assert_eq!(names.length(&name(text)), length, "{text}: {why}");
        }
    }

    #[test]
    fn the_size_is_that_of_the_message() {
        // 12 + 17 (question) + 2 * (12 + 6) (NS) + 16 + 28 (A, AAAA).
        let world = Fixture::healthy("ns1.example.com. 192.0.2.1 2001:db8::1; ns2.example.com.");
        let evidence = world.evidence();
        let picture = Picture::of(&evidence);
        let answer = picture.instances[0].best().unwrap();
        let size = size(&picture, answer).unwrap();
        assert_eq!((size.plain, size.signed), (109, 120));
    }

    #[test]
    fn large_delegations_are_told() {
        let servers = |count: u8| {
            let one = |n: u8| format!("ns{n}.example.com. 192.0.2.{n} 2001:db8::{n}");
            (1..=count).map(one).collect::<Vec<_>>().join("; ")
        };
        let large = "info: the smallest referral has 525 octets (8 name servers and 16 addresses \
                     of in-domain glue): more than 512, so resolvers without EDNS have to ask \
                     over TCP";
        let huge = "warning: the smallest referral has 1291 octets (20 name servers and 40 \
                    addresses of in-domain glue): more than 1232, so every resolver has to ask \
                    over TCP";
        let cases: [(Fixture, &[&str], &str); 5] = [
            (Fixture::healthy(&servers(7)), &[], "it fits"),
            (Fixture::healthy(&servers(8)), &[large], "more than 512"),
            (Fixture::healthy(&servers(20)), &[huge], "more than 1232"),
            (
                Fixture::healthy(&servers(8).replace(".com.", ".net.")),
                &[],
                "no glue is needed for unrelated names",
            ),
            (
                Fixture::healthy(&servers(8))
                    .parent_small_at("*", &servers(8).replace(" 2001:db8::8", "")),
                &[
                    "info: the smallest referral has 525 octets (8 name servers and 16 addresses \
                   of in-domain glue): more than 512, so resolvers without EDNS have to ask over \
                   TCP, and some parent servers leave out glue for them without setting TC",
                ],
                "and glue is dropped",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
