//! `glue-missing-all`: nobody can find the first server of the zone.
//!
//! Every name server of the delegation is in-domain (at or below the zone itself; RFC 9471,
//! section 2.1), or is a sibling in a circle with the zone, and the parent gives an address of
//! none. To ask the zone one needs an address that only the zone knows: a circle without a way
//! in. No resolver that starts with an empty cache reaches the domain from anywhere; those that
//! still remember an address lose it when its TTL runs out.
//!
//! This takes the place of `glue-missing-in-domain` for each name. It rests on what the parent
//! servers said over TCP, or over UDP with EDNS, room left and TC not set, not on silence.
//!
//! Nothing in the zone or on its servers can repair it. Create a host object with its addresses
//! for each name at the registrar; the menu is called host names, child nameservers, personal
//! DNS or glue. One name with a right address is enough to bring the domain back. If it
//! happened at a transfer, the new registrar may not have taken over the host objects.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    name::Name,
};

use crate::{picture::Picture, rule::Rule, wording};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-missing-all",
    severity: Severity::Critical,
    actor: Actor::Registrar,
    title: "no glue for any name server: the zone cannot be reached",
    text: include_str!("glue_missing_all.rs"),
    source: "RFC 9471, section 3.1; RFC 1034, section 4.2.1",
    related: &["servfail", "resolution-failure", "domain-transfer"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let Some(facts) = picture.lacks_all_glue() else {
        return Vec::new();
    };
    let mut addresses: BTreeMap<&Name, BTreeSet<_>> = BTreeMap::new();
    for fact in &facts {
        addresses
            .entry(&fact.host.name)
            .or_default()
            .extend(fact.wanted());
    }
    let siblings: Vec<&Name> = picture
        .delegated_hosts()
        .map(|host| &host.name)
        .filter(|name| !addresses.contains_key(name))
        .collect();
    let circle = match siblings.as_slice() {
        [] => String::new(),
        names => format!(
            ", and the look-up of {} leads in a circle",
            wording::list(names)
        ),
    };
    let objects = if addresses.values().all(BTreeSet::is_empty) {
        let names = addresses.keys().map(|host| wording::host_object(host));
        format!("{} with their addresses", wording::list(names))
    } else {
        let objects = addresses.iter();
        wording::list(objects.map(|(host, addresses)| wording::object(host, addresses)))
    };
    let finding = RULE
        .about(picture.zone)
        .detail(format!(
            "{} refers to {} without the address of any: no resolver can start{circle}",
            picture.parent.map(ToString::to_string).unwrap_or_default(),
            wording::list(addresses.keys()),
        ))
        .remedy(format!(
            "{}, create the host objects {objects} {}; nothing in your zone can repair this",
            wording::at_the_registrar(picture),
            wording::CALLED
        ))
        .evidence(facts.iter().flat_map(|fact| fact.evidence()))
        .done();
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, findings, lines, name};
    use bailiwick_core::report::{Lookup, Lost};

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
    const NONE: &str = "ns1.example.com.; ns2.example.com.";

    fn circle(host: &str) -> Lookup {
        let path = [host, "ns1.example.com.", host].map(name).to_vec();
        Lookup::Lost(Lost::Cycle { path })
    }

    #[test]
    fn without_any_glue_nobody_can_start() {
        let none = "critical: com. refers to ns1.example.com. and ns2.example.com. without the \
                    address of any: no resolver can start";
        let with_sibling = "critical: com. refers to ns1.example.com. without the address of any: \
                            no resolver can start, and the look-up of ns1.other.com. leads in a \
                            circle";
        let world = || Fixture::healthy(BOTH);
        let cases: [(Fixture, &[&str], &str); 8] = [
            (world(), &[], "all have glue"),
            (world().parents(NONE), &[none], "none has"),
            (
                world().parents(NONE).expect(BOTH),
                &[none],
                "an expectation does not change it",
            ),
            (
                world().parents("ns1.example.com. 192.0.2.1; ns2.example.com."),
                &[],
                "one has: glue-missing-in-domain",
            ),
            (
                world().parent_at("a.gtld.test.", NONE),
                &[],
                "others have: those that ask them can start",
            ),
            (
                world().parent_udp_at("*", NONE, false),
                &[],
                "TCP has it: glue-truncated-without-tc",
            ),
            (
                world()
                    .parents("ns1.example.com.; ns1.other.com.")
                    .lookup("ns1.other.com.", circle("ns1.other.com.")),
                &[with_sibling],
                "the only other name is in a circle",
            ),
            (
                world()
                    .parents("ns1.example.com.; ns1.other.com.")
                    .lookup_finds("ns1.other.com.", &["192.0.2.2"]),
                &[],
                "the other name leads in",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }

    #[test]
    fn the_remedy_names_every_host_with_its_addresses() {
        let world = Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        let known = findings(&RULE, &world.parents(NONE).expect(BOTH)).remove(0);
        assert!(
            known.remedy.starts_with(
                "At the registrar, create the host objects ns1.example.com with 192.0.2.1 and \
                 ns2.example.com with 192.0.2.2"
            ),
            "{}",
            known.remedy
        );
        let unknown = findings(&RULE, &Fixture::healthy(NONE)).remove(0);
        assert!(
            unknown.remedy.starts_with(
                "At the registrar, create the host objects ns1.example.com and ns2.example.com \
                 with their addresses"
            ),
            "{}",
            unknown.remedy
        );
    }
}
