//! Axis B: whether a resolver with an empty cache reaches the zone by what the parent publishes.
//!
//! One answer with authority at one published address is enough to say that there is a way in.
//! That there is none is *proved* where servers said so: no address anywhere, addresses that
//! nobody may use, answers without authority, a circle, or keys that the parent does not vouch
//! for. Where it rests on silence, at least two resolver services have to fail as well, and one
//! of them that succeeds shows that the fault is on the way from here. A fleet needs no resolvers
//! for that: it is an outage where no address lets its networks in, but for so few of them as a
//! quorum may miss.

use std::{collections::BTreeSet, net::IpAddr};

use bailiwick_core::{
    observation::Withheld,
    record::{Dnskey, Ds},
    report::{Found, Lookup, Lost},
    vantage::VantageId,
    verdict::{Model, ModelResult, QuorumCount, Reachability},
};

use crate::{
    caches::{self, Fresh, Sampled},
    chain,
    picture::{Child, Instance, Picture, Vantage},
    usable::{self, Addresses, How, Usable},
};

/// How many resolver services have to fail before silence is called an outage.
const WITNESSES: usize = 2;

/// Why there is no way in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outage {
    /// The parent has no delegation.
    NoDelegation,
    /// The addresses lead round in a circle, above the zone or at it.
    Cycle,
    /// No name server has an address.
    NoAddress,
    /// Every address is unusable, and said so itself.
    Unusable,
    /// No address answers, and resolvers fail, too.
    Silence,
    /// Nearly no network of a fleet gets in.
    Nowhere,
    /// The DS set matches no key.
    Chain,
}

/// Judges the published addresses, knowing whether there is an outage.
pub(crate) fn reachability(
    picture: &Picture,
    sampled: &Sampled,
    outage: Option<Outage>,
    models: &[ModelResult],
) -> Reachability {
    if outage.is_some() {
        return Reachability::Broken;
    }
    let servers = picture.published_servers();
    if !servers.is_empty() && shut_out(picture) {
        return Reachability::Partial;
    }
    let each: Vec<Usable> = servers
        .keys()
        .map(|address| usable::address(picture, *address, How::Either))
        .collect();
    if !each.contains(&Usable::Yes) {
        return if is_silent_here_only(picture, sampled) {
            Reachability::Partial
        } else {
            Reachability::Unknown
        };
    }
    let model_fails = models.iter().any(|model| {
        model.success_percent < 100 && (model.baseline || model.model == Model::SingleTry)
    });
    if each.contains(&Usable::No) || model_fails || !broken_chain(picture).is_empty() {
        Reachability::Degraded
    } else {
        Reachability::Reachable
    }
}

/// Whether no published address answers here, at least one is dead as far as can be seen from
/// here, and some public resolver reaches the zone all the same.
pub(crate) fn is_silent_here_only(picture: &Picture, sampled: &Sampled) -> bool {
    let published = || picture.children.values().filter(|child| child.published);
    published().any(Child::is_dead)
        && !published().any(|child| child.standing().answers())
        && !sampled.resolving.is_empty()
}

/// Whether some vantage point that votes gets in nowhere, while another one does.
fn shut_out(picture: &Picture) -> bool {
    let any = |wanted| {
        let mut voters = picture.vantages.iter().filter(|vantage| vantage.votes());
        voters.any(|vantage| usable::from(picture, vantage) == wanted)
    };
    any(Usable::No) && any(Usable::Yes)
}

/// Returns the vantage points that vote and get in nowhere, neither by themselves nor through a
/// public resolver.
pub(crate) fn cut_off<'p, 'e>(picture: &'p Picture<'e>) -> Vec<&'p Vantage<'e>> {
    let helped: BTreeSet<&VantageId> = caches::usable(picture)
        .filter(|resolver| caches::fresh(picture, resolver) == Fresh::Resolved)
        .map(|resolver| resolver.vantage)
        .collect();
    picture
        .vantages
        .iter()
        .filter(|vantage| vantage.votes() && !helped.contains(vantage.id))
        .filter(|vantage| usable::from(picture, vantage) == Usable::No)
        .collect()
}

/// Whether a fleet gets in nowhere, but for so few networks as a quorum may miss. A network that
/// some vantage point reaches the zone from is not cut off.
fn is_cut_off_everywhere(picture: &Picture) -> bool {
    let quorum = picture.quorum;
    if !quorum.is_met() {
        return false;
    }
    let reaching: Vec<&VantageId> = picture
        .vantages
        .iter()
        .filter(|vantage| vantage.testifies() && usable::from(picture, vantage) == Usable::Yes)
        .map(|vantage| vantage.id)
        .collect();
    let cut_off = cut_off(picture);
    let cut_off = cut_off.iter().map(|vantage| vantage.id);
    let alone = cut_off.filter(|id| !picture.networks.shares(id, reaching.iter().copied()));
    let (networks, regions) = picture.networks.count(alone);
    networks >= quorum.networks - quorum.allowed_silence() && regions >= QuorumCount::REGIONS
}

/// Returns why there is no way in, if that is settled.
pub(crate) fn outage(picture: &Picture, sampled: &Sampled) -> Option<Outage> {
    if let Found::Lost(lost) = picture.found {
        return lost_for_good(picture, lost).then_some(Outage::Cycle);
    }
    let delegating = picture.delegating().count();
    let has_servers = delegating > 0 || matches!(picture.found, Found::SharedServers);
    if !has_servers {
        return matches!(picture.found, Found::Absent).then_some(Outage::NoDelegation);
    }
    let found: Vec<Addresses> = hosts_of(picture);
    let addresses: BTreeSet<_> = found
        .iter()
        .flat_map(|addresses| match addresses {
            Addresses::Found(addresses) => addresses.clone(),
            _ => BTreeSet::new(),
        })
        .collect();
    let complete = !found.contains(&Addresses::Unknown);
    let failing = sampled.failing.len() >= WITNESSES && sampled.resolving.is_empty();
    if addresses.is_empty() && delegating > 0 {
        if complete {
            return Some(no_address(picture));
        }
        // The servers of the names' own zones are silent here, and resolvers fail, too.
        return (is_lost_in_silence(picture) && failing).then_some(Outage::Silence);
    }
    let each = addresses
        .iter()
        .map(|at| (*at, usable::address(picture, *at, How::Either)));
    let each: Vec<_> = each.collect();
    if is_cut_off_everywhere(picture) {
        return Some(if complete && said_so(picture, &addresses) {
            Outage::Unusable
        } else {
            Outage::Nowhere
        });
    }
    if each.iter().any(|(_, usable)| *usable == Usable::Yes) {
        return chain_is_broken(picture).then_some(Outage::Chain);
    }
    if complete && said_so(picture, &addresses) {
        return Some(Outage::Unusable);
    }
    let nothing_heard = each.iter().any(|(at, _)| {
        picture
            .child(*at)
            .is_some_and(|c| c.is_dead() || c.standing().answers())
    });
    (nothing_heard && failing).then_some(Outage::Silence)
}

/// Whether every address gave an answer, if a bad one, or is of a kind that nobody may use.
fn said_so(picture: &Picture, addresses: &BTreeSet<IpAddr>) -> bool {
    addresses.iter().all(|at| {
        picture.child(*at).is_some_and(|child| {
            child.standing().answers() || child.withheld() == Some(Withheld::SpecialUse)
        })
    })
}

/// What every name server of the delegation has for addresses, by every referral.
fn hosts_of(picture: &Picture) -> Vec<Addresses> {
    let mut found = Vec::new();
    for answer in picture.delegating().filter_map(Instance::best) {
        let names = answer
            .delegation()
            .into_iter()
            .flat_map(|d| d.name_servers.keys());
        for host in names {
            found.push(usable::addresses(picture, answer, host, false));
        }
    }
    if found.is_empty() {
        let servers = picture.published_servers().into_keys().collect();
        found.push(Addresses::Found(servers));
    }
    found
}

/// Whether the walk to the address of some name server ended where nobody gave a usable answer,
/// as seen from a place whose silence counts.
fn is_lost_in_silence(picture: &Picture) -> bool {
    let silent = |lost: &Lost| matches!(lost, Lost::NoUsableAnswer { .. } | Lost::NoAddress { .. });
    picture.vantages.iter().any(Vantage::votes)
        && picture
            .delegated_hosts()
            .any(|host| matches!(host.lookup, Some(Lookup::Lost(lost)) if silent(lost)))
}

fn no_address(picture: &Picture) -> Outage {
    let circle = picture
        .delegated_hosts()
        .any(|host| matches!(host.lookup, Some(Lookup::Lost(Lost::Cycle { .. }))));
    if circle {
        Outage::Cycle
    } else {
        Outage::NoAddress
    }
}

/// Whether the walk ended in something that no resolver gets past: a circle, or a zone above
/// none of whose name servers has an address.
fn lost_for_good(picture: &Picture, lost: &Lost) -> bool {
    match lost {
        Lost::Cycle { .. } => true,
        Lost::NoAddress { zone } => {
            let cut = picture.path.iter().find(|cut| cut.zone == *zone);
            cut.is_some_and(|cut| {
                !cut.names.is_empty()
                    && cut.names.iter().all(|name| {
                        matches!(
                            picture.lookups.get(name),
                            Some(Lookup::Absent { .. } | Lookup::Lost(Lost::Cycle { .. }))
                        )
                    })
            })
        }
        Lost::NoUsableAnswer { .. }
        | Lost::TooDeep { .. }
        | Lost::AliasLoop { .. }
        | Lost::Exhausted => false,
    }
}

/// Whether every instance vouches for keys that no server of the zone has.
fn chain_is_broken(picture: &Picture) -> bool {
    let mut signers = picture.delegating().filter_map(signers).peekable();
    let keys: Vec<Vec<&Dnskey>> = served_keys(picture).map(|(_, keys)| keys).collect();
    signers.peek().is_some()
        && !keys.is_empty()
        && signers.all(|ds| {
            chain::known(ds).next().is_some()
                && keys
                    .iter()
                    .all(|keys| !chain::matches(picture.zone, ds, keys.iter().copied()))
        })
}

/// Returns the published addresses that answer with authority and have no key for which any
/// parent instance vouches. None if the parent vouches for nothing.
pub(crate) fn broken_chain<'p, 'e>(picture: &'p Picture<'e>) -> Vec<&'p Child<'e>> {
    let ds: BTreeSet<Ds> = picture
        .delegating()
        .filter_map(signers)
        .flatten()
        .cloned()
        .collect();
    if chain::known(&ds).next().is_none() {
        return Vec::new();
    }
    served_keys(picture)
        .filter(|(_, keys)| !chain::matches(picture.zone, &ds, keys.iter().copied()))
        .map(|(child, _)| child)
        .collect()
}

/// The DS set of a referral that was asked for with DO; `None` of any other.
fn signers<'p>(instance: &'p Instance<'_>) -> Option<&'p BTreeSet<Ds>> {
    let answer = instance.best()?;
    answer.seen.options.dnssec_ok.then_some(())?;
    Some(&answer.delegation()?.ds)
}

fn served_keys<'p, 'e>(
    picture: &'p Picture<'e>,
) -> impl Iterator<Item = (&'p Child<'e>, Vec<&'e Dnskey>)> {
    picture
        .children
        .values()
        .filter(|child| child.published && child.is_authoritative())
        .filter_map(|child| Some((child, child.keys()?.0)))
}

#[cfg(test)]
mod tests {
    use bailiwick_core::{message::Rcode, report::Inside};

    use super::*;
    use crate::{
        chain::tests::pair,
        fixture::{Acts, Fixture, name},
        state::Axes,
    };

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";

    fn of(world: &Fixture) -> (Reachability, Option<Outage>) {
        let evidence = world.evidence();
        let picture = Picture::of(&evidence);
        let axes = Axes::of(&picture);
        (axes.reachability, axes.outage)
    }

    fn all(world: Fixture, acts: &Acts) -> Fixture {
        ["192.0.2.1", "192.0.2.2"]
            .into_iter()
            .fold(world, |world, at| world.acts(at, acts.clone()))
    }

    #[test]
    fn a_way_in_is_shown_and_its_absence_is_proved() {
        use Reachability::{Broken, Degraded, Partial, Reachable, Unknown};
        let world = || Fixture::healthy(BOTH);
        let fail = Some(Rcode::SERVFAIL);
        let silent = || all(world(), &Acts::Silent);
        let refused = Acts::Code(Rcode::REFUSED);
        let cycle = || Lost::Cycle {
            path: vec![name("other.com.")],
        };
        let dependency_lost = || {
            let lost = Lost::NoUsableAnswer {
                zone: name("other.net."),
            };
            Fixture::healthy("ns1.other.net.").lookup("ns1.other.net.", Lookup::Lost(lost))
        };
        let cases = [
            (world(), Reachable, None, "all well"),
            (
                world().acts("192.0.2.1", Acts::Silent),
                Degraded,
                None,
                "one is dead",
            ),
            (
                world().acts("192.0.2.1", refused.clone()),
                Degraded,
                None,
                "one is lame",
            ),
            (
                world().parents("ns1.example.com.; ns2.example.com."),
                Broken,
                Some(Outage::NoAddress),
                "no glue at all",
            ),
            (
                world().parents("ns1.example.com. 192.0.2.1; ns2.example.com."),
                Reachable,
                None,
                "one without glue is not seen here, but as a finding",
            ),
            (
                all(world(), &refused),
                Broken,
                Some(Outage::Unusable),
                "all refuse",
            ),
            (
                all(world(), &Acts::Upward),
                Broken,
                Some(Outage::Unusable),
                "all refer upwards",
            ),
            (
                all(world(), &Acts::Withheld(Withheld::SpecialUse)),
                Broken,
                Some(Outage::Unusable),
                "addresses that nobody may use",
            ),
            (
                silent(),
                Partial,
                None,
                "silent from here, resolving elsewhere",
            ),
            (
                silent().all_resolvers(fail, &[22]),
                Broken,
                Some(Outage::Silence),
                "silent from here, and resolvers fail",
            ),
            (
                silent().no_resolvers(),
                Unknown,
                None,
                "silent from here, and nobody else was asked",
            ),
            (
                silent().all_resolvers(fail, &[]).lose(5),
                Unknown,
                None,
                "silence of who loses packets proves nothing",
            ),
            (
                all(world(), &Acts::Withheld(Withheld::NoRoute)),
                Unknown,
                None,
                "no route from here",
            ),
            (
                world()
                    .parent_at("a.gtld.test.", "")
                    .parent_at("b.gtld.test.", ""),
                Broken,
                Some(Outage::NoDelegation),
                "NXDOMAIN",
            ),
            (
                world()
                    .parent_at("a.gtld.test.", "")
                    .parent_at("b.gtld.test.", "")
                    .expect(BOTH),
                Broken,
                Some(Outage::NoDelegation),
                "NXDOMAIN of what is expected: the state will be another",
            ),
            (
                world()
                    .parent_at("*", "")
                    .found(Found::Inside(Inside::Data)),
                Unknown,
                None,
                "no zone",
            ),
            (
                Fixture::healthy("ns1.other.com.; ns2.other.com.")
                    .lookup("ns1.other.com.", Lookup::Lost(cycle()))
                    .lookup("ns2.other.com.", Lookup::Lost(cycle())),
                Broken,
                Some(Outage::Cycle),
                "siblings that lead back here",
            ),
            (
                Fixture::healthy("ns1.other.net.").lookup(
                    "ns1.other.net.",
                    Lookup::Absent {
                        rcode: Rcode::NXDOMAIN,
                        zone: name("net."),
                    },
                ),
                Broken,
                Some(Outage::NoAddress),
                "the only name does not exist",
            ),
            (
                dependency_lost().all_resolvers(fail, &[22]),
                Broken,
                Some(Outage::Silence),
                "the zone of the only name is silent, and resolvers fail",
            ),
            (
                dependency_lost(),
                Unknown,
                None,
                "the zone of the only name is silent here, resolvers get through",
            ),
            (
                dependency_lost().all_resolvers(fail, &[22]).lose(5),
                Unknown,
                None,
                "the zone of the only name is silent for who loses packets",
            ),
            (
                Fixture::healthy("ns1.other.net.").lookup("ns1.other.net.", Lookup::NotTried),
                Unknown,
                None,
                "the only name was not looked up",
            ),
            (world().offline(), Unknown, None, "nothing answers"),
            (
                world().found(Found::Lost(cycle())),
                Broken,
                Some(Outage::Cycle),
                "a circle above the zone",
            ),
        ];
        for (world, reachability, outage, why) in cases {
            assert_eq!(of(&world), (reachability, outage), "{why}");
        }
    }

    #[test]
    fn a_ds_without_its_key_is_an_outage() {
        use Reachability::{Broken, Degraded, Reachable};
        let (key, ds) = pair("example.com.", 1);
        let (other, _) = pair("example.com.", 2);
        let world = || Fixture::healthy(BOTH);
        let cases = [
            (
                world().signed(ds.clone(), vec![other.clone(), key.clone()]),
                Reachable,
                None,
                "one of the keys matches",
            ),
            (
                world().signed(ds.clone(), vec![other.clone()]),
                Broken,
                Some(Outage::Chain),
                "no key matches",
            ),
            (
                world().signed(ds.clone(), Vec::new()),
                Broken,
                Some(Outage::Chain),
                "the zone is not signed any more",
            ),
            (
                world()
                    .signed(ds.clone(), vec![key])
                    .keys_at("192.0.2.2", vec![other]),
                Degraded,
                None,
                "one of two servers has other keys",
            ),
        ];
        for (world, reachability, outage, why) in cases {
            assert_eq!(of(&world), (reachability, outage), "{why}");
        }
    }
}
