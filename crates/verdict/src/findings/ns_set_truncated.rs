//! `ns-set-truncated`: there is more than was looked at.
//!
//! To stay harmless to others, a check looks at no more than 13 names of a delegation, at 4
//! addresses of a name in each family and 32 in all (limit B4), makes no more than 8 look-ups of
//! names without glue (B5), and sends no more than 320 packets (B1), 12 of them to one address
//! (B2). Here something had to be left out, so what is said about the zone does not hold for
//! all of it. The finding says how much. A repeated question that was saved is not meant, only
//! one without which an address was never asked.
//!
//! Most resolvers have limits of the same kind: name servers beyond the first dozen are a
//! burden rather than a help (RFC 2182, section 5).
//!
//! Use fewer name servers.

use std::net::IpAddr;

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    name::Name,
    observation::Withheld,
    report::Lookup,
    server::Family,
};

use crate::{
    picture::{Picture, Standing},
    rule::Rule,
    wording,
};

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
    let not_tried: Vec<&Name> = picture
        .lookups
        .iter()
        .filter(|(_, lookup)| ***lookup == Lookup::NotTried)
        .map(|(name, _)| *name)
        .collect();
    // With glue, a look-up would only have told whether the glue is right.
    let untried = not_tried
        .iter()
        .filter(|name| picture.published(name).is_empty());
    let nested = left_out.lookups.saturating_sub(not_tried.len());
    let unasked = unasked(picture);
    let parts = [
        (left_out.names, "name"),
        (left_out.addresses, "address"),
        (untried.clone().count() + nested, "look-up"),
        (
            if unasked.is_empty() {
                0
            } else {
                left_out.exchanges
            },
            "question",
        ),
    ];
    let told: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, noun)| wording::count(count, noun))
        .collect();
    if told.is_empty() {
        return Vec::new();
    }
    let mut which: Vec<String> = untried
        .map(ToString::to_string)
        .chain(unasked.iter().map(ToString::to_string))
        .collect();
    if which.len() > SHOWN {
        let more = format!("{} more", which.len() - SHOWN);
        which.splice(SHOWN.., [more]);
    }
    let which = if which.is_empty() {
        String::new()
    } else {
        format!(" ({})", wording::list(which))
    };
    let finding = RULE
        .about(picture.zone)
        .detail(format!(
            "{} more than the limits allow, and not tried{which}",
            wording::list(told)
        ))
        .remedy(format!("Use fewer name servers for {}", picture.zone))
        .evidence(picture.delegating().flat_map(|i| i.sources()));
    vec![finding.done()]
}

/// How many names and addresses are listed.
const SHOWN: usize = 4;

/// Published addresses of a family in use that were not asked, for a limit or for none given.
fn unasked(picture: &Picture) -> Vec<IpAddr> {
    let by_limit = |standing: &Standing| match standing {
        Standing::NotAsked(why) => matches!(
            why,
            None | Some(
                Withheld::Packets
                    | Withheld::PacketsToAddress
                    | Withheld::SameQuestion
                    | Withheld::Time
                    | Withheld::Octets
            )
        ),
        _ => false,
    };
    let published = picture.published_servers().into_keys();
    published
        .filter(|address| picture.check.families.contains(&Family::of(*address)))
        .filter(|address| {
            let child = picture.child(*address);
            child.is_none_or(|child| by_limit(child.standing()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, lines};
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
        let packets = LeftOut {
            exchanges: 3,
            ..LeftOut::default()
        };
        let cases: [(Fixture, &[&str], &str); 6] = [
            (world(), &[], "nothing was left out"),
            (
                world().left_out(some),
                &["warning: 2 names and 1 address more than the limits allow, and not tried"],
                "limit B4",
            ),
            (
                world()
                    .left_out(lookups.clone())
                    .lookup("ns.provider.net.", Lookup::NotTried),
                &[
                    "warning: 1 look-up more than the limits allow, and not tried \
                     (ns.provider.net.)",
                ],
                "limit B5",
            ),
            (
                Fixture::healthy("ns1.example.com. 192.0.2.1; ns1.other.com. 192.0.2.2")
                    .left_out(lookups)
                    .lookup("ns1.other.com.", Lookup::NotTried),
                &[],
                "a sibling with glue: its look-up would only confirm it",
            ),
            (
                world().left_out(packets.clone()),
                &[],
                "a question that was saved",
            ),
            (
                world()
                    .left_out(packets)
                    .acts("192.0.2.1", Acts::Withheld(Withheld::Packets)),
                &["warning: 3 questions more than the limits allow, and not tried (192.0.2.1)"],
                "limit B1",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
