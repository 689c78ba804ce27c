//! `ns-is-alias`: the name of a name server is an alias.
//!
//! An NS record must name a host that has addresses of its own; the name must not be the owner
//! of a CNAME record (RFC 2181, section 10.3). Some resolvers follow the alias, others do not
//! and lose this name server. Glue cannot help: it belongs to the name in the NS record, and
//! whoever holds that name has no address for it.
//!
//! Use the name that the alias leads to as name server, in the zone and at the registrar; or
//! give the name addresses of its own instead of the CNAME record.

use bailiwick_core::{
    delegation::Relation,
    finding::{Actor, Finding, Severity},
    name::Name,
};

use crate::{
    picture::{Host, Picture, Says},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "ns-is-alias",
    severity: Severity::Error,
    actor: Actor::Zone,
    title: "the name of a name server is an alias",
    text: include_str!("ns_is_alias.rs"),
    source: "RFC 2181, section 10.3",
    related: &["servfail", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    picture
        .hosts
        .values()
        .filter(|host| host.in_delegation || host.in_apex)
        .filter_map(|host| Some(finding(picture, host, host.alias()?)))
        .collect()
}

fn finding(picture: &Picture, host: &Host, target: &Name) -> Finding {
    let told = host
        .answers
        .iter()
        .filter(|answer| matches!(*answer.says, Says::Alias(_)))
        .map(|answer| answer.seen.source());
    let remedy = if host.relation == Relation::InDomain {
        format!(
            "Replace the CNAME record of {} by A and AAAA records with the addresses of {target}",
            host.name
        )
    } else {
        format!(
            "Use {} instead of {} as name server, in the zone and at the registrar",
            wording::host_object(target),
            wording::host_object(&host.name)
        )
    };
    RULE.about(&host.name)
        .detail(format!(
            "the name server {} is an alias for {target}, where an address should be",
            host.name
        ))
        .remedy(remedy)
        .evidence(told)
        .evidence(picture.lookup_sources(&host.name))
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, address, lines, name};
    use bailiwick_core::report::Lookup;

    #[test]
    fn a_name_server_must_not_be_an_alias() {
        let both = "ns1.example.com. 192.0.2.1; ns.provider.net.";
        let world = |lookup| Fixture::healthy(both).lookup("ns.provider.net.", lookup);
        let alias = Lookup::Alias {
            target: name("real.provider.net."),
            addresses: [address("192.0.2.2")].into(),
        };
        let cases: [(Fixture, &[&str], &str); 4] = [
            (
                Fixture::healthy(both).lookup_finds("ns.provider.net.", &["192.0.2.2"]),
                &[],
                "a name with an address",
            ),
            (
                world(alias),
                &[
                    "error: the name server ns.provider.net. is an alias for real.provider.net., \
                     where an address should be",
                ],
                "an alias elsewhere",
            ),
            (
                Fixture::healthy(both).alias("ns1.example.com.", "www.example.com."),
                &[
                    "error: the name server ns1.example.com. is an alias for www.example.com., \
                     where an address should be",
                ],
                "an alias in the zone, in spite of the glue",
            ),
            (
                Fixture::healthy(both).alias("www.example.com.", "example.com."),
                &[],
                "an alias that is no name server",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
