//! `glue-partially-updated`: some of the expected host objects are published, others are not.
//!
//! Each name server has a host object of its own at the registry, and each has to be changed.
//! Every parent server that was asked has the expected addresses for some of the hosts and other
//! addresses for the rest. Since none is further than the others, this is hardly a delay: most
//! likely only some of the host objects were changed, or some of the changes were refused.
//!
//! Go through the hosts named here at the registrar. If all of them are right there, ask whether
//! the change of the others was forwarded to the registry.

use std::collections::BTreeSet;

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    name::Name,
    verdict::{Class, Intent},
};

use crate::{picture::Picture, publication::Published, rule::Rule, wording};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-partially-updated",
    severity: Severity::Error,
    actor: Actor::Registrar,
    title: "only some of the expected hosts are published",
    text: include_str!("glue_partially_updated.rs"),
    source: "RFC 5732 (EPP host objects), section 3.2.5",
    related: &["resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let published = Published::of(picture);
    let mixed: Vec<_> = published
        .classified(picture)
        .filter(|(_, class)| *class != Class::Silent)
        .collect();
    if mixed.is_empty() || mixed.iter().any(|(_, class)| *class != Class::Mixed) {
        return Vec::new();
    }
    let behind: BTreeSet<Name> = mixed
        .iter()
        .flat_map(|(instance, _)| picture.differences(instance))
        .filter(|d| d.is_material() && d.wanted.intent != Intent::Inferred)
        .map(|d| d.host)
        .collect();
    let expected = picture.wanted.expected_hosts();
    let done: BTreeSet<&Name> = expected
        .iter()
        .copied()
        .filter(|host| !behind.contains(*host))
        .collect();
    let changes: Vec<String> = behind
        .iter()
        .filter_map(|host| {
            let expected = &picture.hosts.get(host)?.expected;
            let host = wording::host_object(host);
            Some(format!("{host} to {}", wording::list(expected)))
        })
        .collect();
    let fact = if done.is_empty() {
        format!(
            "only a part of the addresses of {} is published",
            wording::list(&behind)
        )
    } else {
        format!(
            "{} of {} expected hosts are published ({}); {} still differ{}",
            done.len(),
            expected.len(),
            wording::list(&done),
            wording::list(&behind),
            wording::verb(behind.len(), "s", "")
        )
    };
    let finding = RULE
        .about(picture.zone)
        .detail(fact)
        .remedy(format!(
            "{}, set {}",
            wording::at_the_registrar(picture),
            wording::list(changes)
        ))
        .evidence(mixed.iter().flat_map(|(instance, _)| instance.sources()));
    vec![finding.done()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, findings, lines};

    #[test]
    fn every_server_has_a_part_of_what_is_expected() {
        let old = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let new = "ns1.example.com. 192.0.2.21; ns2.example.com. 192.0.2.22";
        let half = "ns1.example.com. 192.0.2.21; ns2.example.com. 192.0.2.2";
        let world = || Fixture::healthy(old).expect(new);
        let finding = "error: 1 of 2 expected hosts are published (ns1.example.com.); \
                       ns2.example.com. still differs";
        let cases: [(Fixture, &[&str], &str); 4] = [
            (world(), &[], "nothing is published"),
            (world().parents(new), &[], "all is published"),
            (world().parents(half), &[finding], "one of two, everywhere"),
            (
                world().parents(half).parent_at("b.gtld.test.", new),
                &[],
                "one server is further: it is on its way",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
        let found = findings(&RULE, &world().parents(half)).remove(0);
        assert_eq!(
            found.remedy,
            "At the registrar, set ns2.example.com to 192.0.2.22"
        );
    }
}
