//! Which kinds of resolver could start with an empty cache, computed from the evidence in hand.
//!
//! A resolver gets a referral from any one of the parent servers and has to get in with that
//! referral. So a model succeeds if it gets in from *every* instance that refers to the zone,
//! and fails if from one of them it provably does not. A model of which the evidence says
//! neither (no IPv6 at the vantage point, say) is left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bailiwick_core::{
    delegation::Relation,
    message::Message,
    observation::Withheld,
    query::Via,
    server::Family,
    verdict::{Model, ModelResult},
};

use crate::{
    picture::{Answer, ChildView, Instance, Picture, Referral, Standing},
    usable::{self, Addresses, How, Usable},
};

const ALL: [Model; 8] = [
    Model::ParentStrictV4,
    Model::ParentStrictV6,
    Model::ParentStrictDual,
    Model::ChildCentric,
    Model::NoSiblingGlue,
    Model::Udp512NoEdns,
    Model::TcpOnly,
    Model::SingleTry,
];

/// Returns the models of which the evidence says something, in a fixed order. Where there is
/// no way in, and that is not settled either (`outage`), it says nothing.
pub(crate) fn models(picture: &Picture, outage: bool) -> Vec<ModelResult> {
    let servers = picture.published_servers();
    let reached = servers
        .keys()
        .any(|at| usable::address(picture, *at, How::Either) == Usable::Yes);
    if !(reached || outage) {
        return Vec::new();
    }
    ALL.into_iter()
        .filter_map(|model| result(picture, model))
        .collect()
}

fn result(picture: &Picture, model: Model) -> Option<ModelResult> {
    if model == Model::SingleTry {
        return single_try(picture);
    }
    let outcome = match model {
        Model::ChildCentric => child_centric(picture),
        _ => from_parents(picture, model),
    };
    let (success_percent, fails_at) = match outcome {
        Outcome::In => (100, None),
        Outcome::Fails(step) => (0, Some(step)),
        Outcome::Unknown => return None,
    };
    Some(ModelResult {
        model,
        success_percent,
        baseline: is_baseline(picture, model),
        fails_at,
    })
}

/// Whether a failure is a fault of the domain: always for IPv4; for IPv6 and for both families
/// only where delegation or zone give a name server an IPv6 address.
fn is_baseline(picture: &Picture, model: Model) -> bool {
    let has_v6 = || {
        picture.hosts.values().any(|host| {
            let addresses = [host.published(), host.authoritative(), host.glue.clone()];
            addresses.iter().flatten().any(IpAddr::is_ipv6)
        })
    };
    match model {
        Model::ParentStrictV4 => true,
        Model::ParentStrictV6 | Model::ParentStrictDual => has_v6(),
        _ => false,
    }
}

enum Outcome {
    In,
    Unknown,
    Fails(String),
}

/// Tries the referral of every instance.
fn from_parents(picture: &Picture, model: Model) -> Outcome {
    let mut tried = 0;
    let mut unknown = false;
    let mut failing = Vec::new();
    // Most instances say the same, and whoever says the same lets in the same.
    let mut known = BTreeMap::new();
    for instance in &picture.instances {
        let Some(answer) = answer(instance, model) else {
            continue;
        };
        tried += 1;
        let said = (&answer.referral, answer.truncated, answer.is_complete());
        let outcome = known
            .entry(said)
            .or_insert_with(|| get_in(picture, answer, model));
        match outcome {
            Outcome::In => {}
            Outcome::Unknown => unknown = true,
            Outcome::Fails(step) => failing.push((&instance.server, step.clone())),
        }
    }
    match failing.first() {
        Some((_, step)) if failing.len() == tried => Outcome::Fails(step.clone()),
        Some((server, step)) => Outcome::Fails(format!("with the referral of {server}: {step}")),
        None if unknown || tried == 0 => Outcome::Unknown,
        None => Outcome::In,
    }
}

/// The answer of an instance that a resolver of this kind would get.
fn answer<'i, 'e>(instance: &'i Instance<'e>, model: Model) -> Option<&'i Answer<'e>> {
    let referring = |answer: &Answer| {
        matches!(
            answer.referral.as_deref(),
            Some(Referral::Delegation(_) | Referral::Hosted(_))
        )
    };
    let answer = match model {
        Model::TcpOnly => instance.tcp.as_ref(),
        // Truncation is what the model answers with TCP.
        Model::Udp512NoEdns => match &instance.small {
            Some(small) if small.message().is_some_and(truncated) => instance.tcp.as_ref(),
            small => small.as_ref(),
        },
        // Without TC nobody asks again over TCP.
        _ => match &instance.udp {
            Some(udp) if udp.referral.is_some() && !udp.truncated => Some(udp),
            _ => instance.best(),
        },
    };
    answer.filter(|answer| referring(answer))
}

fn truncated(message: &Message) -> bool {
    message.flags.truncated
}

fn get_in(picture: &Picture, answer: &Answer, model: Model) -> Outcome {
    let family = match model {
        Model::ParentStrictV4 => Some(Family::V4),
        Model::ParentStrictV6 => Some(Family::V6),
        _ => None,
    };
    let how = match model {
        Model::TcpOnly => How::Over(Via::Tcp),
        _ => How::Either,
    };
    let (delegation, hosted) = match answer.referral.as_deref() {
        Some(Referral::Delegation(delegation)) => (delegation, false),
        Some(Referral::Hosted(apex)) => (apex, true),
        _ => return Outcome::Unknown,
    };
    let mut tried: BTreeSet<IpAddr> = BTreeSet::new();
    let mut unknown = false;
    for host in delegation.name_servers.keys() {
        let found = if hosted {
            Addresses::Found(picture.published(host))
        } else if picture.relation(host) == Relation::InDomain && !answer.truncated {
            // The resolver takes what is there for all there is.
            let glue = delegation.glue_of(host).into_iter().flatten();
            Addresses::Found(glue.map(|(address, _)| *address).collect())
        } else {
            usable::addresses(picture, answer, host, model == Model::NoSiblingGlue)
        };
        match found {
            Addresses::Found(addresses) => tried.extend(usable::of_family(&addresses, family)),
            Addresses::Nowhere => {}
            Addresses::Unknown => unknown = true,
        }
    }
    match Usable::any(tried.iter().map(|at| usable::address(picture, *at, how))) {
        Usable::Yes => Outcome::In,
        Usable::No if !unknown => Outcome::Fails(why(picture, &tried, family, how)),
        Usable::No | Usable::Unknown => Outcome::Unknown,
    }
}

/// Says why none of the addresses lets a resolver in.
fn why(picture: &Picture, tried: &BTreeSet<IpAddr>, family: Option<Family>, how: How) -> String {
    let kind = family.map(|f| format!("{f} ")).unwrap_or_default();
    if tried.is_empty() {
        return format!("no {kind}address can be found for any name server");
    }
    let mut each: Vec<String> = tried
        .iter()
        .take(3)
        .map(|address| {
            let standing = picture.child(*address).map(|child| match how {
                How::Over(Via::Tcp) => child.tcp(),
                _ => child.standing(),
            });
            match standing {
                Some(standing) => format!("{address}: {standing}"),
                None => address.to_string(),
            }
        })
        .collect();
    if tried.len() > each.len() {
        each.push(format!("and {} more", tried.len() - each.len()));
    }
    let over = match how {
        How::Over(Via::Tcp) => " over TCP",
        _ => "",
    };
    format!(
        "no {kind}address answers with authority{over} ({})",
        each.join("; ")
    )
}

/// Gets in by the parent, then goes on with what the zone says of its name servers.
fn child_centric(picture: &Picture) -> Outcome {
    match from_parents(picture, Model::ParentStrictDual) {
        Outcome::In => {}
        other => return other,
    }
    let Some(apex) = &picture.wanted.names else {
        return Outcome::Unknown;
    };
    let mut tried = BTreeSet::new();
    let mut unknown = false;
    for host in apex.iter().filter_map(|name| picture.hosts.get(name)) {
        let known = host.authoritative();
        let settled = Family::ALL.map(|family| host.authoritative_in(family).is_some());
        unknown |= known.is_empty() && settled.contains(&false);
        tried.extend(known);
    }
    let each = tried
        .iter()
        .map(|at| usable::address(picture, *at, How::Either));
    match Usable::any(each) {
        Usable::Yes => Outcome::In,
        Usable::No if !unknown => Outcome::Fails(format!(
            "with what the zone says of its name servers: {}",
            why(picture, &tried, None, How::Either)
        )),
        Usable::No | Usable::Unknown => Outcome::Unknown,
    }
}

/// The share of published addresses that answer the first question over UDP, over all vantage
/// points that can tell.
fn single_try(picture: &Picture) -> Option<ModelResult> {
    let (mut good, mut all) = (0_usize, 0_usize);
    let mut bad = Vec::new();
    for (address, host) in picture.published_servers() {
        let Some(child) = picture.child(address) else {
            continue;
        };
        let that = |wanted| {
            let of = |view: &&ChildView| first_try(view, child.foreign) == wanted;
            let views = child.views.iter().filter(of).map(|view| view.vantage);
            views.collect::<Vec<_>>()
        };
        let failing = that(Usable::No);
        good += that(Usable::Yes).len();
        all += that(Usable::Yes).len() + failing.len();
        // A vantage point that reaches it does not make up for one that does not.
        if (1..child.views.len()).contains(&failing.len()) {
            bad.push(format!(
                "{host} {address} from {} of {}",
                picture.networks.count(failing).0,
                picture.networks_of(child.views.iter().map(|view| view.vantage))
            ));
        } else if !failing.is_empty() {
            bad.push(format!("{host} {address}"));
        }
    }
    let share = (good * 100 + all / 2).checked_div(all)?;
    // Not quite all is not all.
    let percent = if bad.is_empty() { 100 } else { share.min(99) };
    Some(ModelResult {
        model: Model::SingleTry,
        success_percent: u8::try_from(percent).unwrap_or(100),
        baseline: false,
        fails_at: (!bad.is_empty()).then(|| {
            bad.truncate(3);
            format!("if it picks {}", bad.join(" or "))
        }),
    })
}

fn first_try(view: &ChildView, foreign: bool) -> Usable {
    match &view.udp {
        Standing::Authoritative if !foreign => Usable::Yes,
        Standing::Authoritative | Standing::Foreign | Standing::Lame(_) => Usable::No,
        Standing::NotAsked(Some(Withheld::SpecialUse)) => Usable::No,
        _ if view.is_dead() || view.is_udp_blocked() => Usable::No,
        Standing::Silent(_) | Standing::NotAsked(_) => Usable::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture};

    const BOTH: &str = "ns1.example.com. 192.0.2.1 2001:db8::1; ns2.example.com. 192.0.2.2";

    type Failing = &'static [(Model, u8, bool)];

    fn failing(world: &Fixture) -> Vec<(Model, u8, bool)> {
        let evidence = world.evidence();
        models(&Picture::of(&evidence), true)
            .into_iter()
            .filter(|result| result.success_percent < 100)
            .map(|result| (result.model, result.success_percent, result.baseline))
            .collect()
    }

    #[test]
    fn every_kind_of_resolver_is_tried_on_the_evidence() {
        use Model::*;
        let world = || Fixture::healthy(BOTH);
        let no_glue = "ns1.example.com.; ns2.example.com.";
        let cases: [(Fixture, Failing, &str); 13] = [
            (world(), &[], "all get in"),
            (
                world().acts("192.0.2.1", Acts::Silent),
                &[(SingleTry, 67, false)],
                "one of three addresses is dead",
            ),
            (
                world().acts(
                    "2001:db8::1",
                    Acts::Code(bailiwick_core::message::Rcode::REFUSED),
                ),
                &[(ParentStrictV6, 0, true), (SingleTry, 67, false)],
                "the only IPv6 address is lame",
            ),
            (
                Fixture::healthy("ns1.example.com. 192.0.2.1"),
                &[(ParentStrictV6, 0, false)],
                "IPv4 only: IPv6 is not promised, so it is no fault",
            ),
            (
                Fixture::healthy("ns1.example.com. 192.0.2.1")
                    .zone("ns1.example.com. 192.0.2.1 2001:db8::1"),
                &[(ParentStrictV6, 0, true)],
                "the zone promises IPv6, the delegation does not give it",
            ),
            (
                world().parents(no_glue),
                &[
                    (ParentStrictV4, 0, true),
                    (ParentStrictV6, 0, true),
                    (ParentStrictDual, 0, true),
                    (ChildCentric, 0, false),
                    (NoSiblingGlue, 0, false),
                    (Udp512NoEdns, 0, false),
                    (TcpOnly, 0, false),
                ],
                "no glue: nobody gets in",
            ),
            (
                world().parent_at("b.gtld.test.", no_glue),
                &[
                    (ParentStrictV4, 0, true),
                    (ParentStrictV6, 0, true),
                    (ParentStrictDual, 0, true),
                    (ChildCentric, 0, false),
                    (NoSiblingGlue, 0, false),
                    (Udp512NoEdns, 0, false),
                    (TcpOnly, 0, false),
                ],
                "who asks the second server does not get in",
            ),
            (
                world().parent_small_at("*", no_glue),
                &[(Udp512NoEdns, 0, false)],
                "glue left out at 512 octets without TC",
            ),
            (
                ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
                    .into_iter()
                    .fold(world(), |w, at| w.acts(at, Acts::UdpOnly)),
                &[(TcpOnly, 0, false)],
                "TCP is blocked everywhere",
            ),
            (
                ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
                    .into_iter()
                    .fold(world(), |w, at| w.acts(at, Acts::TcpOnly)),
                &[(SingleTry, 0, false)],
                "UDP is blocked everywhere: a resolver may turn to TCP",
            ),
            (
                world()
                    .zone("ns3.example.com.")
                    .zone_at("192.0.2.9", 1, "ns3.example.com."),
                &[(ChildCentric, 0, false)],
                "the zone lives by glue only",
            ),
            (
                world()
                    .acts("2001:db8::1", Acts::Silent)
                    .without(Family::V6),
                &[],
                "without IPv6 here, nothing is said about IPv6",
            ),
            (
                world().acts("192.0.2.1", Acts::Silent).lose(5),
                &[],
                "who loses packets does not call anybody dead",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(failing(&world), expected, "{why}");
        }
    }
}
