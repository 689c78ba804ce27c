//! `vantage-resolver-hijacked`: public resolvers invent answers when they are asked from here.
//!
//! A random name under `.invalid` cannot exist (RFC 6761), and a resolver gave an address for it.
//! The large public resolvers do not do that. So either the address of the resolver leads
//! somewhere else from here, or something rewrites its answers on the way. What these resolvers
//! say about your zone is not used.
//!
//! Check from another network, or ask resolvers over TLS or HTTPS.

use bailiwick_core::finding::{Actor, Finding, Severity};

use crate::{picture::Picture, rule::Rule, wording};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "vantage-resolver-hijacked",
    severity: Severity::Warning,
    actor: Actor::Vantage,
    title: "public resolvers invent answers at this place",
    text: include_str!("vantage_resolver_hijacked.rs"),
    source: "RFC 6761, section 6.4; RFC 2308; control C5",
    related: &["resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    picture
        .vantages
        .iter()
        .filter(|vantage| !vantage.hijacked.is_empty())
        .map(|vantage| {
            let finding = RULE
                .about(picture.zone)
                .detail(format!(
                    "{} {} addresses for names that do not exist, when asked from {}",
                    wording::list(&vantage.hijacked),
                    wording::verb(vantage.hijacked.len(), "invents", "invent"),
                    vantage.called()
                ))
                .remedy("Check from another network, or ask resolvers over TLS or HTTPS")
                .evidence(vantage.suspicious.clone());
            finding.done()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    #[test]
    fn a_name_that_cannot_exist_has_no_address() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        assert!(lines(&RULE, &world()).is_empty());
        assert_eq!(
            lines(&RULE, &world().hijacked("google")),
            [
                "warning: 8.8.8.8 invents addresses for names that do not exist, when asked from this \
              machine"
            ]
        );
    }
}
