//! `ds-broken-after-move`: the parent vouches for a key that the zone's servers do not have.
//!
//! The DS set at the parent names keys of the zone. A resolver that validates refuses every
//! answer of a zone none of whose keys is among them. That is what happens when a signed zone
//! moves to new servers which sign with keys of their own, or not at all, and the DS set stays
//! behind. To users it looks like dead name servers, and it is no glue problem: with CD=1
//! (validation left out) the answers are fine.
//!
//! Remove the DS set at the registrar, or replace it by the one of the new keys; or load the old
//! keys at the new servers until the DS set has been changed and its TTL has passed.
//!
//! Only the link between DS and DNSKEY is checked here, not the signatures.

use std::collections::BTreeSet;

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    record::Ds,
};

use crate::{
    chain,
    picture::{Child, Instance, Picture},
    reachability::{self, Outage},
    rule::Rule,
    state::Axes,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "ds-broken-after-move",
    severity: Severity::Critical,
    actor: Actor::Registrar,
    title: "the DS set matches no key of the zone",
    text: include_str!("ds_broken_after_move.rs"),
    source: "RFC 4035, sections 2.4 and 5.2; RFC 6781, section 4.3.5",
    related: &["servfail", "domain-transfer", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let broken = reachability::broken_chain(picture);
    if broken.is_empty() {
        return Vec::new();
    }
    // Where some server still has the key, a resolver that tries all of them gets in.
    let severity = match Axes::of(picture).outage {
        Some(Outage::Chain) => Severity::Critical,
        _ => Severity::Error,
    };
    let referrals: Vec<&Instance> = picture
        .delegating()
        .filter(|i| i.delegation().is_some_and(|d| !d.ds.is_empty()))
        .collect();
    let ds: BTreeSet<&Ds> = referrals
        .iter()
        .filter_map(|instance| instance.delegation())
        .flat_map(|delegation| chain::known(&delegation.ds))
        .collect();
    let tags: BTreeSet<u16> = ds.iter().map(|ds| ds.key_tag).collect();
    let keys = broken
        .iter()
        .filter_map(|child| Some(child.keys()?.1.source()));
    let finding = RULE
        .about(picture.zone)
        .severity(severity)
        .detail(format!(
            "the DS set of {} names {} {}, and {}",
            picture.zone,
            wording::verb(tags.len(), "key", "keys"),
            wording::list(&tags),
            instead(&broken)
        ))
        .remedy(format!(
            "{}, remove the DS set of {} or replace it by that of the keys in use; or load the \
             old keys at the servers until then",
            wording::at_the_registrar(picture),
            picture.zone
        ))
        .evidence(keys.chain(referrals.iter().flat_map(|i| i.sources())));
    vec![finding.done()]
}

fn instead(broken: &[&Child]) -> String {
    let addresses = wording::list(broken.iter().map(|child| child.address));
    let tags: BTreeSet<u16> = broken
        .iter()
        .filter_map(|child| Some(child.keys()?.0))
        .flatten()
        .map(bailiwick_core::record::Dnskey::key_tag)
        .collect();
    if tags.is_empty() {
        format!(
            "{addresses} {} no key",
            wording::verb(broken.len(), "has", "have")
        )
    } else {
        format!(
            "{addresses} {} only {}",
            wording::verb(broken.len(), "has", "have"),
            wording::list(&tags)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chain::tests::pair,
        fixture::{Fixture, lines},
    };

    #[test]
    fn a_ds_needs_its_key() {
        let (key, ds) = pair("example.com.", 1);
        let (other, _) = pair("example.com.", 2);
        let (old, new) = (key.key_tag(), other.key_tag());
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        let gost = Ds {
            digest_type: 3,
            ..ds.clone()
        };
        let cases = [
            (world(), vec![], "unsigned"),
            (
                world().signed(ds.clone(), vec![key.clone()]),
                vec![],
                "signed",
            ),
            (
                world().signed(ds.clone(), vec![other.clone()]),
                vec![format!(
                    "critical: the DS set of example.com. names key {old}, and 192.0.2.1 and \
                     192.0.2.2 have only {new}"
                )],
                "new keys, old DS",
            ),
            (
                world().signed(ds.clone(), Vec::new()),
                vec![format!(
                    "critical: the DS set of example.com. names key {old}, and 192.0.2.1 and \
                     192.0.2.2 have no key"
                )],
                "no keys any more",
            ),
            (
                world()
                    .signed(ds, vec![key])
                    .keys_at("192.0.2.2", vec![other.clone()]),
                vec![format!(
                    "error: the DS set of example.com. names key {old}, and 192.0.2.2 has only {new}"
                )],
                "one server has new keys",
            ),
            (
                world().signed(gost, vec![other]),
                vec![],
                "a DS that no validator knows is none",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
