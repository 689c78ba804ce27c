//! `bad-referral`: a server refers upwards, sideways or to itself.
//!
//! A referral leads downwards: to a zone below the one that the server was asked for, on the
//! way to the name in question. This server answered with the name servers of a zone above, of
//! another branch, or of the very zone it was asked for. A resolver that followed it would go in
//! circles, so none does, and neither does this program: the answer is as good as none. Old
//! servers refer to the root for whatever they do not have.
//!
//! If the server is one of the zone's own, it has no authority for the zone, and
//! `glue-lame-address` tells what that means for the users; this finding tells where the answer
//! would have led. If it is a server of the parent zone, or further up, users that happen to ask
//! it lose time.
//!
//! Load the zone there, or remove the server from the delegation.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_core::{
    delegation::Delegation,
    finding::{Actor, Finding, Severity, Source},
    name::Name,
    observation::Observation,
    query::Purpose,
    server::{Role, Server},
};

use crate::{picture::Picture, rule::Rule, wording};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "bad-referral",
    severity: Severity::Warning,
    actor: Actor::Server,
    title: "a server refers upwards, sideways or to itself",
    text: include_str!("bad_referral.rs"),
    source: "RFC 1034, sections 4.3.2 and 5.3.3",
    related: &["servfail", "resolution-failure"],
    find,
};

/// Servers that give the same bad referral, with the evidence.
#[derive(Default)]
struct Group<'e> {
    servers: BTreeSet<&'e Server>,
    sources: Vec<Source>,
}

fn find(picture: &Picture) -> Vec<Finding> {
    let mut groups: BTreeMap<(bool, &Name, &Name), Group> = BTreeMap::new();
    for seen in &picture.observations {
        let observation = seen.observation;
        if let Some(owner) = leads_to(observation, picture.zone) {
            let child = observation.role == Role::Child;
            let group = groups.entry((child, &observation.zone, owner)).or_default();
            group.servers.insert(&observation.server);
            group.sources.push(seen.source());
        }
    }
    groups
        .into_iter()
        .map(|((child, zone, owner), group)| finding(child, zone, owner, group))
        .collect()
}

/// The owner of the NS set, if the answer is a referral that does not lead downwards.
fn leads_to<'e>(observation: &'e Observation, checked: &Name) -> Option<&'e Name> {
    let on_the_way = matches!(
        observation.purpose,
        Purpose::Walk | Purpose::Lookup | Purpose::Parent | Purpose::Child
    );
    let message = observation.reply().filter(|_| on_the_way)?;
    let owner = Delegation::owner(message)?;
    let (zone, name) = (&observation.zone, &observation.question.name);
    let down = owner.is_below(zone) && name.is_at_or_below(owner);
    // With AA the NS set of the zone itself beside no data is an answer without SOA.
    let nodata = owner == zone && message.flags.authoritative;
    // A child is asked for names in other zones, too, and may refer to those.
    let other_name = observation.role == Role::Child && name != checked;
    (!down && !nodata && !other_name).then_some(owner)
}

fn finding(child: bool, zone: &Name, owner: &Name, group: Group) -> Finding {
    let mut told: Vec<String> = group.servers.iter().map(ToString::to_string).collect();
    if told.len() > 3 {
        let more = format!("{} more", told.len() - 2);
        told.splice(2.., [more]);
    }
    let servers = wording::list(told);
    let direction = if owner == zone {
        "to itself"
    } else if zone.is_below(owner) {
        "upwards"
    } else {
        "sideways"
    };
    let one = match group.servers.len() {
        1 => group.servers.first().copied(),
        _ => None,
    };
    let (actor, remedy) = if child {
        let remedy = format!(
            "Load {zone} on {servers}, or remove the server from the delegation and the zone"
        );
        (Actor::Server, remedy)
    } else {
        let remedy = format!("Report it to whoever runs {servers}: {zone} is not loaded there");
        (Actor::Registry, remedy)
    };
    RULE.about(zone)
        .actor(actor)
        .server_if(one)
        .detail(format!(
            "{servers} {} {direction}, to the servers of {owner}, where {zone} was asked for; \
             not followed",
            wording::verb(group.servers.len(), "refers", "refer")
        ))
        .remedy(remedy)
        .evidence(group.sources)
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, findings, lines};

    #[test]
    fn referrals_must_lead_downwards() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        let of_child = "warning ns2.example.com. 192.0.2.2: ns2.example.com. 192.0.2.2 refers \
                        upwards, to the servers of ., where example.com. was asked for; not \
                        followed";
        let of_parent = "warning a.gtld.test. 198.51.100.1: a.gtld.test. 198.51.100.1 refers \
                         upwards, to the servers of ., where com. was asked for; not followed";
        let of_many = "warning: a.gtld.test. 198.51.100.1, a.gtld.test. 2001:db8:100::1 and 2 \
                       more refer upwards, to the servers of ., where com. was asked for; not \
                       followed";
        let cases: [(Fixture, &[&str], Option<Actor>, &str); 5] = [
            (world(), &[], None, "every referral leads downwards"),
            (
                world().acts("192.0.2.2", Acts::Upward),
                &[of_child],
                Some(Actor::Server),
                "a server of the zone",
            ),
            (
                world().parent_acts("198.51.100.1", &Acts::Upward),
                &[of_parent],
                Some(Actor::Registry),
                "a server of the parent zone",
            ),
            (
                world().parent_acts("*", &Acts::Upward),
                &[of_many],
                Some(Actor::Registry),
                "the same of many servers is one finding",
            ),
            (
                world().acts("192.0.2.2", Acts::Recursive),
                &[],
                None,
                "an answer without authority is no referral",
            ),
        ];
        for (world, expected, actor, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
            let found = findings(&RULE, &world);
            assert_eq!(found.first().map(|f| f.actor), actor, "{why}");
        }
    }
}
