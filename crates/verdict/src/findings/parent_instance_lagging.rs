//! `parent-instance-lagging`: a parent server has an older version of its zone.
//!
//! The serial of the parent zone, asked on the same TCP connection as the delegation, is lower
//! than the lowest one that is known to carry the new data. So this server has not loaded that
//! version yet: a delay, not a contradiction. It is said only for parent zones whose serials
//! read as the time of their making, as those of .com and .net do.
//!
//! There is nothing to do but wait.

use bailiwick_core::finding::{Actor, Finding, Severity};

use crate::{picture::Picture, publication::Published, rule::Rule, wording};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "parent-instance-lagging",
    severity: Severity::Info,
    actor: Actor::Nobody,
    title: "a parent server has an older version of its zone",
    text: include_str!("parent_instance_lagging.rs"),
    source: "RFC 1982; RFC 1034, section 4.3.5",
    related: &["zone-transfer"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let published = Published::of(picture);
    let Some(first) = published.first_new else {
        return Vec::new();
    };
    picture
        .sightings(published.lagging(picture))
        .into_iter()
        .filter_map(|seen| {
            let instance = seen.instance;
            let serial = instance.serial()?;
            let named = if picture.is_fleet() {
                seen.named(picture)
            } else {
                instance.server.to_string()
            };
            let behind = wording::span(first.wrapping_sub(serial));
            let finding = RULE
                .about(picture.zone)
                .server(&instance.server)
                .detail(format!(
                    "{named} has serial {serial}, {behind} older than {first}, the lowest that \
                     carries the new data"
                ))
                .remedy("Wait, and check again")
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
    const A: &str = "a.gtld.test.";
    const B: &str = "198.51.100.2";
    const NOW: u32 = 1_700_000_000;

    #[test]
    fn a_server_that_is_behind_says_so_by_its_serial() {
        let world = || Fixture::healthy(BOTH).parent_at(B, OLD);
        let behind = "info b.gtld.test. 198.51.100.2: b.gtld.test. 198.51.100.2 has serial \
                      1699999962, 38 seconds older than 1700000000, the lowest that carries the \
                      new data";
        let cases: [(Fixture, &[&str], &str); 4] = [
            (
                Fixture::healthy(BOTH).serial_at(B, NOW - 38),
                &[],
                "old version, same data",
            ),
            (
                world().serial_at(B, NOW - 38),
                &[behind],
                "old version, old data",
            ),
            (world().serial_at(B, NOW + 1), &[], "newer: a contradiction"),
            (
                world().serial_at(A, 17).serial_at(B, 16),
                &[],
                "serials that are no times",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
