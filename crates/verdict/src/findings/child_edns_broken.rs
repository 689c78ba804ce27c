//! `child-edns-broken`: a name server of the zone does not answer questions with EDNS.
//!
//! Nearly every question of today carries EDNS (RFC 6891). A server that does not know it has to
//! say FORMERR, and a server must not fall silent. This one answers a plain question of 1987 and
//! refuses or drops the same question with EDNS. Resolvers used to work around that by asking
//! again without; since the "DNS flag day" of 2019 many no longer do, and the rest lose time.
//! A signed zone cannot be served that way at all.
//!
//! Upgrade the server. If the server is new, look at what stands before it: firewalls that
//! inspect DNS drop options that they do not know, or answers above 512 octets.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    query::Via,
};

use super::child_tcp_blocked::{server, who};
use crate::{
    picture::{Child, EdnsBehaviour, Picture},
    rule::Rule,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "child-edns-broken",
    severity: Severity::Warning,
    actor: Actor::Server,
    title: "a name server does not answer EDNS",
    text: include_str!("child_edns_broken.rs"),
    source: "RFC 6891, section 7; RFC 8906, section 8.2",
    related: &["nameserver-not-responding", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    picture
        .children
        .values()
        .filter(|child| child.edns() == EdnsBehaviour::PlainOnly)
        .filter_map(|child| {
            let how = with_edns(child)?;
            let finding = RULE
                .about(picture.zone)
                .server(&server(child))
                .detail(format!(
                    "{} {how} to questions with EDNS over UDP, and answers plain ones",
                    who(child)
                ))
                .remedy(format!(
                    "Upgrade the name server at {}, or the firewall before it, so that it answers \
                     questions with EDNS",
                    child.address
                ))
                .evidence(child.sources());
            Some(finding.done())
        })
        .collect()
}

/// What comes of EDNS; `None` if it is silence that may be loss.
fn with_edns(child: &Child) -> Option<String> {
    let questions = || {
        child
            .views
            .iter()
            .flat_map(|view| view.seen.iter().map(move |seen| (view, seen)))
            .filter(|(_, seen)| seen.via == Via::Udp && seen.options.edns)
    };
    let refusal = questions().find_map(|(_, seen)| Some(seen.reply()?.rcode));
    match refusal {
        Some(rcode) => Some(format!("says {rcode}")),
        None => questions()
            .any(|(view, _)| view.udp_counts)
            .then(|| "says nothing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, lines};

    #[test]
    fn plain_answers_are_not_enough() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        let silent = "warning ns1.example.com. 192.0.2.1: 192.0.2.1 (ns1.example.com.) says \
                      nothing to questions with EDNS over UDP, and answers plain ones";
        let cases: [(Fixture, &[&str], &str); 4] = [
            (world(), &[], "EDNS works"),
            (
                world().acts("192.0.2.1", Acts::PlainOnly),
                &[silent],
                "EDNS is dropped",
            ),
            (
                world().acts("192.0.2.1", Acts::PlainOnly).lose(1),
                &[],
                "two datagrams may be lost where packets are lost",
            ),
            (
                world().acts("192.0.2.1", Acts::TcpOnly),
                &[],
                "no UDP: another finding",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
