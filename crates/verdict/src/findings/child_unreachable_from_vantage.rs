//! `child-unreachable-from-vantage`: a name server can be reached from elsewhere, not from here.
//!
//! The address does not answer a vantage point that is well, while it answers others, or while
//! public resolvers resolve fresh names of the zone. So the server is up, and something between
//! it and this network is not: routing, a filter by address or country, or a limit of rate.
//! The users of this network are cut off from that server.
//!
//! Ask whoever runs the server, or the network before it, whether this network is filtered.
//! A traceroute from both sides shows how far the packets come.

use std::collections::BTreeSet;

use bailiwick_core::finding::{Actor, Finding, Severity};

use super::child_tcp_blocked::{server, who};
use crate::{
    caches::Sampled,
    picture::{Child, ChildView, Picture},
    reachability,
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "child-unreachable-from-vantage",
    severity: Severity::Error,
    actor: Actor::Server,
    title: "a name server answers others, not this network",
    text: include_str!("child_unreachable_from_vantage.rs"),
    source: "RFC 2182, section 3.1",
    related: &["nameserver-not-responding", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let sampled = Sampled::of(picture);
    if reachability::is_silent_here_only(picture, &sampled) {
        return vec![cut_off(picture, &sampled)];
    }
    picture
        .children
        .values()
        .filter(|child| child.standing().answers())
        .filter_map(|child| not_from_everywhere(picture, child))
        .collect()
}

/// No address answers here, and public resolvers reach the zone.
fn cut_off(picture: &Picture, sampled: &Sampled) -> Finding {
    let dead: Vec<&Child> = picture.children.values().filter(|c| c.published).collect();
    let addresses: BTreeSet<_> = dead.iter().map(|child| child.address).collect();
    let here = if picture.is_fleet() {
        let views = dead.iter().flat_map(|child| &child.views);
        let silent = views.filter(|view| view.is_dead()).map(|view| view.vantage);
        wording::witnesses(picture, silent)
    } else {
        "this network".to_owned()
    };
    RULE.about(picture.zone)
        .detail(format!(
            "no server of {} answers {here} ({}), while {} {} it",
            picture.zone,
            wording::list(&addresses),
            wording::list(&sampled.resolving),
            wording::verb(sampled.resolving.len(), "resolves", "resolve"),
        ))
        .remedy(format!(
            "Ask whoever runs {} whether this network is filtered or not routed",
            wording::list(&addresses)
        ))
        .evidence(dead.iter().flat_map(|child| child.sources()))
        .done()
}

fn not_from_everywhere(picture: &Picture, child: &Child) -> Option<Finding> {
    let (dead, answering): (Vec<_>, Vec<_>) = child
        .views
        .iter()
        .filter(|view| view.is_dead() || view.standing().answers())
        .partition(|view| view.is_dead());
    if dead.is_empty() {
        return None;
    }
    let names =
        |views: &[&ChildView]| wording::witnesses(picture, views.iter().map(|view| view.vantage));
    let finding = RULE
        .about(picture.zone)
        .server(&server(child))
        .detail(format!(
            "{} does not answer {}, and answers {}",
            who(child),
            names(&dead),
            names(&answering)
        ))
        .remedy(format!(
            "Ask whoever runs {} whether the network of {} is filtered or not routed",
            child.address,
            names(&dead)
        ))
        .evidence(child.sources());
    Some(finding.done())
}

#[cfg(test)]
mod tests {
    use bailiwick_core::message::Rcode;

    use super::*;
    use crate::fixture::{Acts, Fixture, line, lines};

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";

    #[test]
    fn resolvers_show_that_the_servers_are_up() {
        let world = || Fixture::healthy(BOTH);
        let dead = || {
            world()
                .acts("192.0.2.1", Acts::Silent)
                .acts("192.0.2.2", Acts::Silent)
        };
        let finding = "error: no server of example.com. answers this network (192.0.2.1 and \
                       192.0.2.2), while cloudflare, google and quad9 resolve it";
        let cases: [(Fixture, &[&str], &str); 5] = [
            (world(), &[], "all answer"),
            (
                world().acts("192.0.2.1", Acts::Silent),
                &[],
                "one answers: no matter of this network",
            ),
            (
                dead(),
                &[finding],
                "none answers here, and resolvers resolve",
            ),
            (
                dead().all_resolvers(Some(Rcode::SERVFAIL), &[]),
                &[],
                "resolvers fail, too",
            ),
            (dead().lose(5), &[], "silence of who loses packets"),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }

    #[test]
    fn another_vantage_point_shows_that_the_server_is_up() {
        let dead = Fixture::healthy(BOTH)
            .acts("192.0.2.1", Acts::Silent)
            .from("ap");
        let evidence = Fixture::healthy(BOTH)
            .from("eu")
            .evidence()
            .join(dead.evidence());
        let found: Vec<String> = find(&Picture::of(&evidence)).iter().map(line).collect();
        assert_eq!(
            found,
            [
                "error ns1.example.com. 192.0.2.1: 192.0.2.1 (ns1.example.com.) does not answer ap, \
              and answers eu"
            ]
        );
    }
}
