//! `parent-instance-contradicts`: a parent server has a new version of its zone and old data.
//!
//! The serial of the parent zone, asked on the same TCP connection as the delegation, is as high
//! as, or higher than, the lowest one that is known to carry the wanted data, and still the
//! server publishes something else. A delay cannot explain that. Either the registry's servers
//! are fed from different sources, or somebody answers in the place of the registry's server.
//!
//! It is said only for parent zones whose serials read as the time of their making, as those of
//! .com and .net do. It needs no second witness, but get one: ask the same address over TCP from
//! another network, and give the registry both answers with the identifiers of the instances.
//! Where a fleet looks and only one of its networks saw this, and not over TCP with an identifier
//! (NSID), the finding says that it has a single source: look at that vantage point, too.

use bailiwick_core::finding::{Actor, Finding, Severity};

use super::parent_servers_divergent::publishes;
use crate::{
    picture::{Content, Picture},
    publication::Published,
    rule::Rule,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "parent-instance-contradicts",
    severity: Severity::Critical,
    actor: Actor::Registry,
    title: "a parent server contradicts the others with a version as new",
    text: include_str!("parent_instance_contradicts.rs"),
    source: "RFC 1982; RFC 1034, section 4.3.5",
    related: &["resolution-failure", "domain-transfer"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let published = Published::of(picture);
    let Some(first) = published.first_new else {
        return Vec::new();
    };
    picture
        .sightings(published.contradicting(picture))
        .into_iter()
        .filter_map(|seen| {
            let instance = seen.instance;
            let serial = instance.serial()?;
            let content = Content::of(instance.best()?, picture.zone);
            let what = content.map_or_else(|| "other data".to_owned(), |c| publishes(&c));
            let single = if seen.is_single_source(picture) {
                "; a single source: no other network saw it"
            } else {
                ""
            };
            let finding = RULE
                .about(picture.zone)
                .server(&instance.server)
                .detail(format!(
                    "{} publishes {what} at serial {serial}, though serial {first} has the wanted \
                     data elsewhere{single}",
                    seen.named(picture)
                ))
                .remedy(format!(
                    "Ask {} over TCP from another network, and report both answers to the registry \
                     of {}",
                    instance.server.address,
                    picture.parent.map(ToString::to_string).unwrap_or_default()
                ))
                .evidence(seen.sources());
            Some(finding.done())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
    const OLD: &str = "ns1.example.com. 192.0.2.10; ns2.example.com. 192.0.2.2";
    const B: &str = "198.51.100.2";
    const NOW: u32 = 1_700_000_000;

    #[test]
    fn a_version_as_new_has_to_have_the_data() {
        let world = || Fixture::healthy(BOTH).parent_at(B, OLD);
        let cases = [
            (world().serial_at(B, NOW - 1), 0, "older: it lags"),
            (world().serial_at(B, NOW), 1, "the same version"),
            (world().serial_at(B, NOW + 600), 1, "a newer version"),
            (
                world().parent_at(B, "").serial_at(B, NOW),
                1,
                "no delegation in it",
            ),
            (
                Fixture::healthy(BOTH).parents(OLD),
                0,
                "nobody has the wanted data, so no serial is known to carry it",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world).len(), expected, "{why}");
        }
        assert_eq!(
            lines(&RULE, &world().serial_at(B, NOW + 600)),
            [
                "critical b.gtld.test. 198.51.100.2: b.gtld.test. 198.51.100.2 publishes \
              ns1.example.com. 192.0.2.10, ns2.example.com. 192.0.2.2 at serial 1700000600, \
              though serial 1700000000 has the wanted data elsewhere"
            ]
        );
    }
}
