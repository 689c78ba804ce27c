//! `glue-duplicate-address`: two name servers are one and the same.
//!
//! Two names of the delegation have exactly the same addresses, so they are one server with two
//! names. A zone is to have two servers at least, at different places (RFC 2182, section 3.1),
//! so that it survives the loss of one; two names for one machine satisfy a form and nothing
//! else. Some registries refuse such a delegation.
//!
//! If that leaves a single address for the whole zone, `ns-below-minimum` says so, too.
//!
//! Add a second server at another place, with an address of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    name::Name,
};

use crate::{picture::Picture, rule::Rule, wording};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-duplicate-address",
    severity: Severity::Warning,
    actor: Actor::Zone,
    title: "two name servers have the same addresses",
    text: include_str!("glue_duplicate_address.rs"),
    source: "RFC 2182, section 3.1",
    related: &["nameserver-not-responding"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let mut names: BTreeMap<BTreeSet<IpAddr>, Vec<&Name>> = BTreeMap::new();
    for host in picture.delegated_hosts() {
        names.entry(host.published()).or_default().push(&host.name);
    }
    names
        .into_iter()
        .filter(|(addresses, names)| !addresses.is_empty() && names.len() > 1)
        .map(|(addresses, names)| finding(picture, &addresses, &names))
        .collect()
}

fn finding(picture: &Picture, addresses: &BTreeSet<IpAddr>, names: &[&Name]) -> Finding {
    let sources = picture.delegating().flat_map(|i| i.sources());
    let looked_up = names.iter().flat_map(|name| picture.lookup_sources(name));
    RULE.about(names[0])
        .detail(format!(
            "{} are one server: {} have {}",
            wording::list(names),
            if names.len() > 2 { "all" } else { "both" },
            wording::list(addresses)
        ))
        .remedy(format!(
            "Give {} an address of its own, on another server at another place",
            wording::list(&names[1..])
        ))
        .evidence(sources.chain(looked_up))
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    #[test]
    fn names_with_the_same_addresses_are_one_server() {
        let cases: [(&str, &[&str], &str); 5] = [
            (
                "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2",
                &[],
                "two servers",
            ),
            (
                "ns1.example.com. 192.0.2.1 2001:db8::1; ns2.example.com. 192.0.2.1 2001:db8::1",
                &[
                    "warning: ns1.example.com. and ns2.example.com. are one server: both have \
                     192.0.2.1 and 2001:db8::1",
                ],
                "every address is shared",
            ),
            (
                "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.1 192.0.2.2",
                &[],
                "one has another address, too",
            ),
            (
                "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.1; ns3.example.com. \
                 192.0.2.1; ns4.example.com. 192.0.2.4",
                &[
                    "warning: ns1.example.com., ns2.example.com. and ns3.example.com. are one \
                     server: all have 192.0.2.1",
                ],
                "three names",
            ),
            (
                "ns1.example.com. 192.0.2.1; ns2.example.com.",
                &[],
                "one has no address: glue-missing-in-domain",
            ),
        ];
        for (zone, expected, why) in cases {
            assert_eq!(lines(&RULE, &Fixture::healthy(zone)), expected, "{why}");
        }
    }
}
