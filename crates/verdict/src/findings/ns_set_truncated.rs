//! `ns-set-truncated`: there is more than was looked at.
//!
//! To stay harmless to others, a check looks at no more than 13 names of a delegation, at 4
//! addresses of a name in each family and 32 in all (limit B4), makes no more than 8 look-ups of
//! names without glue (B5), and sends no more than 320 packets (B1), 12 of them to one address
//! (B2). Here something had to be left out, so what is said about the zone does not hold for
//! all of it. The finding says how much.
//!
//! Most resolvers have limits of the same kind: name servers beyond the first dozen are a
//! burden rather than a help (RFC 2182, section 5).
//!
//! Use fewer name servers.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    name::Name,
    report::Lookup,
};

use crate::{picture::Picture, rule::Rule, wording};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "ns-set-truncated",
    severity: Severity::Warning,
    actor: Actor::Zone,
    title: "more name servers than were looked at",
    text: include_str!("ns_set_truncated.rs"),
    source: "RFC 2182, section 5; the limits of this program",
    related: &[],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let left_out = &picture.left_out;
    let untried: Vec<&Name> = picture
        .lookups
        .iter()
        .filter(|(_, lookup)| ***lookup == Lookup::NotTried)
        .map(|(name, _)| *name)
        .collect();
    let parts = [
        (left_out.names, "name"),
        (left_out.addresses, "address"),
        (left_out.lookups, "look-up"),
        (left_out.exchanges, "question"),
    ];
    let told: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, noun)| wording::count(count, noun))
        .collect();
    if told.is_empty() {
        return Vec::new();
    }
    let names = if untried.is_empty() {
        String::new()
    } else {
        format!(" (not looked up: {})", wording::list(&untried))
    };
    let finding = RULE
        .about(picture.zone)
        .detail(format!(
            "{} more than the limits allow, and not tried{names}",
            wording::list(told)
        ))
        .remedy(format!("Use fewer name servers for {}", picture.zone))
        .evidence(picture.delegating().flat_map(|i| i.sources()));
    vec![finding.done()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};
    use bailiwick_core::report::LeftOut;

    #[test]
    fn what_was_left_out_is_counted() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns.provider.net.");
        let some = LeftOut {
            names: 2,
            addresses: 1,
            ..LeftOut::default()
        };
        let lookups = LeftOut {
            lookups: 1,
            ..LeftOut::default()
        };
        let cases: [(Fixture, &[&str], &str); 3] = [
            (world(), &[], "nothing was left out"),
            (
                world().left_out(some),
                &["warning: 2 names and 1 address more than the limits allow, and not tried"],
                "limit B4",
            ),
            (
                world()
                    .left_out(lookups)
                    .lookup("ns.provider.net.", Lookup::NotTried),
                &[
                    "warning: 1 look-up more than the limits allow, and not tried (not looked \
                     up: ns.provider.net.)",
                ],
                "limit B5",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
