//! `child-acl-split`: a name server serves some networks, and turns others away.
//!
//! The address answers some vantage points with the zone and refuses others, or tells them that
//! the zone is not there; or it gives them, at one and the same serial, other name servers or
//! addresses. An access list or a view decides by the address of whoever asks. Resolvers in the
//! networks that are turned away do not get the zone from this server. With other servers they
//! may, so this stays unseen for long, and no check from a single place shows it.
//!
//! A name server of a public zone should answer everybody. Look for access lists
//! (`allow-query`), views and filters by country on the server. Different addresses for different
//! networks may be meant, for a zone; for the names of its name servers they are a trap, since
//! the glue at the parent is the same for all.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    vantage::VantageId,
};

use super::child_tcp_blocked::{server, who};
use crate::{
    picture::{Child, ChildView, Picture},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "child-acl-split",
    severity: Severity::Error,
    actor: Actor::Server,
    title: "a name server turns some networks away",
    text: include_str!("child_acl_split.rs"),
    source: "RFC 2182, section 3.1; RFC 1034, section 4.3.1",
    related: &["nameserver-not-responding", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let children = picture.children.values().filter(|child| !child.foreign);
    children
        .filter_map(|child| turned_away(picture, child).or_else(|| views(picture, child)))
        .collect()
}

/// Some are answered with authority, others without.
fn turned_away(picture: &Picture, child: &Child) -> Option<Finding> {
    let answered = child.views.iter().filter(|view| view.standing().answers());
    let (served, others): (Vec<&ChildView>, Vec<&ChildView>) =
        answered.partition(|view| view.standing().is_authoritative());
    let how = others.first().filter(|_| !served.is_empty())?.standing();
    let finding = RULE
        .about(picture.zone)
        .server(&server(child))
        .detail(format!(
            "{} serves {}, and not {} ({how})",
            who(child),
            witnesses(picture, &served),
            witnesses(picture, &others),
        ))
        .remedy(format!(
            "Let {} answer everybody: look for access lists, views and filters that leave out {}",
            child.address,
            witnesses(picture, &others)
        ))
        .evidence(child.sources());
    Some(finding.done())
}

/// All are answered with authority, and with different data of one version.
fn views(picture: &Picture, child: &Child) -> Option<Finding> {
    if child.agreed {
        return None;
    }
    let mut told: BTreeMap<_, BTreeMap<_, BTreeSet<&VantageId>>> = BTreeMap::new();
    for view in &child.views {
        let serial = view.serial();
        for (name, of, data) in view.statement() {
            let question = told.entry((serial, name, of)).or_default();
            question.entry(data).or_default().insert(view.vantage);
        }
    }
    let ((_, name, of), versions) = told
        .into_iter()
        .find(|((serial, ..), versions)| serial.is_some() && versions.len() > 1)?;
    let each: Vec<String> = versions
        .values()
        .map(|by| wording::witnesses(picture, by.iter().copied()))
        .collect();
    let finding = RULE
        .about(picture.zone)
        .severity(Severity::Warning)
        .server(&server(child))
        .detail(format!(
            "{} gives {} other {of} records for {name} than {}",
            who(child),
            each.first()?,
            wording::list(&each[1..]),
        ))
        .remedy(format!(
            "See whether {} is meant to tell networks apart; glue is the same for all",
            child.address
        ))
        .evidence(child.sources());
    Some(finding.done())
}

fn witnesses(picture: &Picture, views: &[&ChildView]) -> String {
    wording::witnesses(picture, views.iter().map(|view| view.vantage))
}

#[cfg(test)]
mod tests {
    use bailiwick_core::message::Rcode;

    use super::*;
    use crate::fixture::{Acts, Fixture, fleet, line};

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
    const OTHER: &str = "ns1.example.com. 192.0.2.9; ns2.example.com. 192.0.2.2";

    #[test]
    fn who_is_turned_away_is_named() {
        let well = || Fixture::healthy(BOTH);
        let refused = || well().acts("192.0.2.1", Acts::Code(Rcode::REFUSED));
        let view = |serial| well().zone_at("192.0.2.1", serial, OTHER);
        let away = "error ns1.example.com. 192.0.2.1: 192.0.2.1 (ns1.example.com.) serves fra \
                    (AS64500), and not nyc (AS64501) (answers REFUSED)";
        let split = "warning ns1.example.com. 192.0.2.1: 192.0.2.1 (ns1.example.com.) gives fra \
                     (AS64500) other A records for ns1.example.com. than nyc (AS64501)";
        let cases: [(Vec<Fixture>, &[&str], &str); 6] = [
            (vec![well(), well()], &[], "all are served"),
            (vec![refused(), refused()], &[], "nobody is: lame"),
            (vec![well(), refused()], &[away], "one is not"),
            (
                vec![well(), well().acts("192.0.2.1", Acts::Silent)],
                &[],
                "silence is another finding",
            ),
            (
                vec![well().zone_at("192.0.2.1", 1, BOTH), view(1)],
                &[split],
                "a view",
            ),
            (
                vec![well().zone_at("192.0.2.1", 1, BOTH), view(2)],
                &[],
                "another version, so perhaps a change between two questions",
            ),
        ];
        for (worlds, expected, why) in cases {
            let evidence = fleet(worlds);
            let found = find(&Picture::of(&evidence));
            assert_eq!(
                found.iter().map(line).collect::<Vec<_>>(),
                expected,
                "{why}"
            );
        }
    }
}
