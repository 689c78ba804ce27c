//! `old-address-still-authoritative`: a former address still serves the zone as it was.
//!
//! You said which addresses to expect. At another address, one that the delegation still gives
//! here and there, a server answers with authority, and with its own address instead of the
//! expected one. As long as it does, the old world agrees with itself: resolvers that hold the
//! old delegation are satisfied with it, and renew it from the old server again and again. Such
//! a resolver never notices the move.
//!
//! Load the new version of the zone at the old server, or take the server down, but not before
//! the parent publishes the new addresses and the TTLs of the old ones have passed.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    verdict::Intent,
};

use super::child_tcp_blocked::{server, who};
use crate::{
    picture::{Child, Picture, Says, Seen},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "old-address-still-authoritative",
    severity: Severity::Warning,
    actor: Actor::Server,
    title: "a former address still serves the old zone",
    text: include_str!("old_address_still_authoritative.rs"),
    source: "RFC 2181, section 5.4.1; RFC 9199, section 3.5",
    related: &["domain-transfer"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    picture
        .children
        .values()
        .filter(|child| child.is_authoritative() && !is_wanted(picture, child))
        .filter_map(|child| {
            let (host, expected, seen) = insists(picture, child)?;
            let finding = RULE
                .about(picture.zone)
                .server(&server(child))
                .detail(format!(
                    "{} still serves the zone with {host} at {}, expected {expected}",
                    who(child),
                    child.address
                ))
                .remedy(format!(
                    "Load the new version of {} at {}; stop the server when the TTLs of the old \
                     delegation have passed",
                    picture.zone, child.address
                ))
                .evidence([seen.source()]);
            Some(finding.done())
        })
        .collect()
}

fn is_wanted(picture: &Picture, child: &Child) -> bool {
    picture
        .wanted
        .addresses()
        .any(|(_, _, want)| want.addresses.contains(&child.address))
}

/// A host of which the server says, against the expectation, that it is the server itself.
fn insists<'e>(picture: &Picture<'e>, child: &Child) -> Option<(String, String, Seen<'e>)> {
    picture.hosts.values().find_map(|host| {
        host.answers.iter().find_map(|answer| {
            let want = picture.wanted.of_host(&host.name, answer.family)?;
            let itself = matches!(&*answer.says, Says::Addresses(a) if a.contains(&child.address));
            (answer.server == child.address && itself && want.intent != Intent::Inferred).then(
                || {
                    let expected = wording::list(&want.addresses);
                    (host.name.to_string(), expected, answer.seen)
                },
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, lines};

    #[test]
    fn an_old_server_that_goes_on_is_found() {
        let old = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let new = "ns1.example.com. 192.0.2.21; ns2.example.com. 192.0.2.2";
        let moved = || {
            Fixture::healthy(old)
                .zone_at("192.0.2.21", 2_026_020_101, new)
                .expect("ns1.example.com. 192.0.2.21")
        };
        let finding = "warning ns1.example.com. 192.0.2.1: 192.0.2.1 (ns1.example.com.) still \
                       serves the zone with ns1.example.com. at 192.0.2.1, expected 192.0.2.21";
        let cases: [(Fixture, &[&str], &str); 4] = [
            (Fixture::healthy(old), &[], "nothing is expected"),
            (moved(), &[finding], "the old server has the old zone"),
            (
                moved().zone_at("192.0.2.1", 2_026_020_101, new),
                &[],
                "the old server has the new zone",
            ),
            (
                moved().acts("192.0.2.1", Acts::Silent),
                &[],
                "the old server is gone",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
