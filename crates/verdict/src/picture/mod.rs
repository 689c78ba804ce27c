//! The picture: what the evidence shows, put in order once, before any rule reads it.
//!
//! Everything here borrows from the evidence and says *what was seen*, not whether it is
//! good. Three groups of servers, each with the observations it rests on:
//!
//! ```text
//!  parents:   Picture::instances  ─▶ Instance ─▶ Answer ─▶ Referral ─▶ Delegation
//!  the zone:  Picture::hosts      ─▶ Host     (a name: glue, zone data, expectation)
//!             Picture::children   ─▶ Child    (an address: how it stands over UDP and TCP)
//!  resolvers: Picture::resolvers  ─▶ Resolver
//! ```
//!
//! What is *wanted* of the parents is [`Wanted`], and how an instance differs from it is
//! [`Picture::differences`]; what is wrong with the glue of a host, and where, is
//! [`Picture::glue_facts`].
//!
//! Who may testify is settled here, too. A vantage point that is sick, intercepted or
//! offline adds nothing to `instances`, `hosts` and `children`; one that loses packets adds
//! what it heard, but its silence does not count ([`Child::is_dead`]). The same holds for what a
//! coordinator holds against one. Where vantage points heard different things of one server, what
//! most *networks* heard goes first, and nothing is left out: [`Networks`] counts them.
//!
//! Every piece of evidence is a [`Seen`]; [`Seen::source`] is what a finding cites.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::{Deref, Range},
};

use bailiwick_core::{
    check::Check,
    delegation::Relation,
    finding::Source,
    name::Name,
    observation::Observation,
    report::{Cut, Found, LeftOut, Lookup, Report},
    server::{Family, Server},
    time::Timestamp,
    vantage::{Objection, VantageId},
    verdict::QuorumCount,
};

use crate::{
    evidence::Evidence,
    quorum::{self, Networks},
    state::Axes,
    wording,
};

mod addresses;
mod child;
mod controls;
mod dependency;
mod glue;
mod host;
mod parent;
mod referral;
mod resolver;
mod sighting;
mod standing;
mod wanted;

pub use addresses::{Given, HostAddresses};
pub use child::{Child, ChildView, EdnsBehaviour};
pub use controls::{Loss, Vantage};
pub use dependency::is_own_glue_missing;
pub use glue::{GlueFact, GlueFault, Sides};
pub use host::{Host, HostAnswer, Says};
pub use parent::{Instance, Place};
use referral::Reader;
pub use referral::{Answer, Content, Reading, Referral};
pub use resolver::{Resolver, Result as ResolverResult};
pub use sighting::Sighting;
pub use standing::{Lame, Silent, Standing};
pub use wanted::{Difference, Want, Wanted};

/// One observation, with who made it. Reads as the [`Observation`] itself.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'e> {
    /// Who saw it.
    pub vantage: &'e VantageId,
    /// What was seen.
    pub observation: &'e Observation,
}

impl Seen<'_> {
    /// Returns where this evidence is, for a finding.
    #[must_use]
    pub fn source(&self) -> Source {
        Source {
            vantage: self.vantage.clone(),
            observation: self.observation.id,
        }
    }
}

impl<'e> Deref for Seen<'e> {
    type Target = &'e Observation;

    fn deref(&self) -> &Self::Target {
        &self.observation
    }
}

/// What the evidence shows.
#[derive(Clone, Debug)]
pub struct Picture<'e> {
    /// What was asked for.
    pub check: &'e Check,
    /// The zone that was checked.
    pub zone: &'e Name,
    /// The parent zone, or the zone that the name lies inside; `None` if the walk was lost.
    pub parent: Option<&'e Name>,
    /// What the walk from the root found at the name, by the vantage point that got furthest.
    pub found: &'e Found,
    /// The zones from the root down to the parent, by the same vantage point.
    pub path: &'e [Cut],
    /// Every vantage point with its controls, also those that may not testify; by name.
    pub vantages: Vec<Vantage<'e>>,
    /// Which of them stand in different networks.
    pub networks: Networks<'e>,
    /// In how many networks those stand that vote.
    pub quorum: QuorumCount,
    /// The parent zone's servers: one entry per vantage point, address and instance, in this
    /// order. An address without any answer has one entry, too.
    pub instances: Vec<Instance<'e>>,
    /// Every name server's name: those of the delegation, of the apex and of the expectation.
    pub hosts: BTreeMap<Name, Host<'e>>,
    /// Every address that one of these names has by anybody's word, or that was asked.
    pub children: BTreeMap<IpAddr, Child<'e>>,
    /// The public resolvers: one entry per vantage point and address.
    pub resolvers: Vec<Resolver<'e>>,
    /// Look-ups of name servers' names, for the zone and for its parent.
    pub lookups: BTreeMap<&'e Name, &'e Lookup>,
    /// What the parent should publish.
    pub wanted: Wanted,
    /// What limits left out.
    pub left_out: LeftOut,
    /// Vantage points that were asked and did not report.
    pub missing: Vec<&'e VantageId>,
    /// Everything that vantage points fit to testify observed, in order.
    pub observations: Vec<Seen<'e>>,
    /// The instances that say the same by their best answers, as places in `instances`: whatever
    /// follows from an answer alone is found out once for all of them.
    pub(crate) sayings: Vec<Vec<usize>>,
    /// What [`Picture::glue_facts`] found, once for all the rules that ask.
    faults: OnceCell<glue::Faults>,
    /// What [`Axes::of`] found.
    pub(crate) axes: OnceCell<Axes>,
}

impl<'e> Picture<'e> {
    /// Puts the evidence in order.
    ///
    /// # Panics
    ///
    /// Never: evidence holds at least one report.
    #[must_use]
    pub fn of(evidence: &'e Evidence) -> Self {
        let reports = evidence.latest();
        let vantages = vantages(evidence, &reports);
        let networks = Networks::of(&vantages);
        let mut fit: Vec<(&'e Report, &Vantage)> = reports
            .iter()
            .zip(&vantages)
            .filter(|(_, vantage)| vantage.testifies())
            .map(|(report, vantage)| (*report, vantage))
            .collect();
        fit.sort_by_key(|(report, _)| depth(&report.found));
        let leader = fit
            .first()
            .map(|(report, _)| *report)
            .or(reports.first().copied())
            .expect("evidence holds at least one report");
        fit.sort_by_key(|(report, _)| &report.vantage.id);

        let zone = &leader.check.zone;
        let parent = match leader.found {
            Found::Lost(_) => None,
            _ => leader.path.last().map(|cut| &cut.zone),
        };
        let lookups = lookups(&fit, &networks);
        let observations = fit
            .iter()
            .flat_map(|(report, _)| all(report))
            .collect::<Vec<_>>();
        let mut reader = Reader::new(zone);
        let instances = fit
            .iter()
            .flat_map(|(report, vantage)| parent::instances(report, vantage, parent, &mut reader))
            .collect::<Vec<_>>();
        let mut children = child::children(&fit, &networks);
        let mut hosts = host::hosts(&leader.check, parent, &instances, &children, &lookups);
        child::mark_foreign(&mut children, &mut hosts);
        host::settle(&mut hosts, &children, &lookups);
        child::name(&mut children, &hosts, zone);
        let wanted = Wanted::of(&leader.check, &hosts, &children);
        let resolvers = reports
            .iter()
            .flat_map(|r| resolver::resolvers(r))
            .collect();
        Self {
            check: &leader.check,
            zone,
            parent,
            found: &leader.found,
            path: &leader.path,
            sayings: sayings(&instances),
            instances,
            hosts,
            children,
            resolvers,
            lookups,
            wanted,
            left_out: left_out(&fit),
            missing: evidence.missing().collect(),
            observations,
            quorum: quorum::count(&networks, &vantages),
            networks,
            vantages,
            faults: OnceCell::new(),
            axes: OnceCell::new(),
        }
    }

    /// Returns the instances that refer to the zone (in any transport).
    pub fn delegating(&self) -> impl Iterator<Item = &Instance<'e>> {
        self.instances.iter().filter(|i| i.delegation().is_some())
    }

    /// Returns the instances that gave a usable answer of any kind.
    pub fn answering(&self) -> impl Iterator<Item = &Instance<'e>> {
        self.instances.iter().filter(|i| i.referral().is_some())
    }

    /// Returns the instances that say what they publish, sorted by what that is.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<Content, Vec<&Instance<'e>>> {
        let mut versions: BTreeMap<Content, Vec<usize>> = BTreeMap::new();
        for places in &self.sayings {
            let best = self.instances[places[0]].best();
            let content = best.and_then(|answer| Content::of(answer, self.zone));
            if let Some(content) = content {
                versions.entry(content).or_default().extend(places);
            }
        }
        let in_order = |mut places: Vec<usize>| {
            places.sort_unstable();
            places.into_iter().map(|at| &self.instances[at]).collect()
        };
        versions
            .into_iter()
            .map(|(content, places)| (content, in_order(places)))
            .collect()
    }

    /// Returns the NS names of the delegation: those that any instance gives.
    pub fn delegated_hosts(&self) -> impl Iterator<Item = &Host<'e>> {
        self.hosts.values().filter(|host| host.in_delegation)
    }

    /// Returns the relation of a name to the zone.
    #[must_use]
    pub fn relation(&self, host: &Name) -> Relation {
        relation(host, self.zone, self.parent)
    }

    /// Returns the addresses that a resolver which follows the parent finds for a name server
    /// of the delegation: its glue, else what a look-up of the name from the root gives.
    #[must_use]
    pub fn published(&self, host: &Name) -> BTreeSet<IpAddr> {
        self.hosts
            .get(host)
            .map(Host::published)
            .unwrap_or_default()
    }

    /// Returns every published address with one of the names that have it.
    #[must_use]
    pub fn published_servers(&self) -> BTreeMap<IpAddr, &Name> {
        let mut servers = BTreeMap::new();
        for host in self.delegated_hosts() {
            for address in host.published() {
                servers.entry(address).or_insert(&host.name);
            }
        }
        servers
    }

    /// Returns the child at an address, if it is known.
    #[must_use]
    pub fn child(&self, address: IpAddr) -> Option<&Child<'e>> {
        self.children.get(&address)
    }

    /// Returns a vantage point, if it reported.
    #[must_use]
    pub fn vantage(&self, id: &VantageId) -> Option<&Vantage<'e>> {
        let place = self
            .vantages
            .binary_search_by_key(&id, |vantage| vantage.id);
        place.ok().map(|place| &self.vantages[place])
    }

    /// Returns the places in `instances` of those that a vantage point saw.
    pub(crate) fn seen_by(&self, vantage: &VantageId) -> Range<usize> {
        let before = |wanted: fn(&VantageId, &VantageId) -> bool| {
            self.instances
                .partition_point(|instance| wanted(instance.vantage, vantage))
        };
        before(|own, wanted| own < wanted)..before(|own, wanted| own <= wanted)
    }

    /// Returns whether any vantage point is fit to testify.
    #[must_use]
    pub fn has_witness(&self) -> bool {
        self.vantages.iter().any(Vantage::testifies)
    }

    /// Returns the vantage points that are fit and reach something in the family.
    pub fn witnesses(&self, family: Family) -> impl Iterator<Item = &Vantage<'e>> {
        self.vantages
            .iter()
            .filter(move |v| v.testifies() && v.alive(family))
    }

    /// Says in a few words from how many networks this was seen: `1 network`, `3 networks`.
    #[must_use]
    pub fn seen_from(&self) -> String {
        let witnesses = self.vantages.iter().filter(|v| v.testifies());
        self.networks_of(witnesses.map(|v| v.id))
    }

    /// Says in how many networks these vantage points stand.
    #[must_use]
    pub fn networks_of<'v>(&self, vantages: impl IntoIterator<Item = &'v VantageId>) -> String {
        wording::count(self.networks.count(vantages).0, "network")
    }

    /// Says in how many networks something was seen at one of these addresses.
    #[must_use]
    pub fn networks_that(
        &self,
        children: &[&Child<'e>],
        shows: impl Fn(&ChildView<'e>) -> bool,
    ) -> String {
        let views = children.iter().flat_map(|child| &child.views);
        self.networks_of(views.filter(|view| shows(view)).map(|view| view.vantage))
    }

    /// Returns whether more than one vantage point looked.
    #[must_use]
    pub fn is_fleet(&self) -> bool {
        self.vantages.len() > 1
    }

    /// Returns when the check was begun, by the latest of the clocks that are right.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let right = |v: &&Vantage| !v.objections.contains(&Objection::Skewed);
        let clocks = |right: &dyn Fn(&&Vantage) -> bool| {
            self.vantages.iter().filter(right).map(|v| v.started).max()
        };
        clocks(&right).or(clocks(&|_| true)).unwrap_or_default()
    }
}

/// The vantage points with what their coordinator knows. Who looks at a laboratory has no say
/// beside those that look at the Internet.
fn vantages<'e>(evidence: &'e Evidence, reports: &[&'e Report]) -> Vec<Vantage<'e>> {
    let place = |report: &Report| evidence.place_of(&report.vantage.id);
    let real = reports.iter().any(|r| place(r).is_some_and(|p| !p.lab));
    reports
        .iter()
        .map(|report| {
            let mut vantage = Vantage::of(report).at(place(report));
            if real && vantage.place.is_some_and(|place| place.lab) {
                vantage.objections.insert(Objection::Laboratory);
            }
            vantage
        })
        .collect()
}

/// How far a walk got, best first.
fn depth(found: &Found) -> u8 {
    match found {
        Found::Delegated => 0,
        Found::SharedServers => 1,
        Found::Inside(_) => 2,
        Found::Absent => 3,
        Found::Lost(_) => 4,
    }
}

fn relation(host: &Name, zone: &Name, parent: Option<&Name>) -> Relation {
    match parent {
        Some(parent) => Relation::of(host, zone, parent),
        None if host.is_at_or_below(zone) => Relation::InDomain,
        None => Relation::Unrelated,
    }
}

fn all<'e>(report: &'e Report) -> impl Iterator<Item = Seen<'e>> {
    report.observations.values().map(|observation| Seen {
        vantage: &report.vantage.id,
        observation,
    })
}

/// Of several look-ups of one name, the one that most networks made, and of those the one that
/// found more addresses. One that ended without a result counts only where there is no other.
fn lookups<'e>(
    fit: &[(&'e Report, &Vantage)],
    networks: &Networks,
) -> BTreeMap<&'e Name, &'e Lookup> {
    let mut found: BTreeMap<&Name, BTreeMap<&Lookup, Vec<&VantageId>>> = BTreeMap::new();
    for (report, vantage) in fit {
        for (name, lookup) in &report.lookups {
            let results = found.entry(name).or_default();
            results.entry(lookup).or_default().push(vantage.id);
        }
    }
    let told = |lookup: &Lookup| !matches!(lookup, Lookup::Lost(_) | Lookup::NotTried);
    let best = |results: BTreeMap<&'e Lookup, Vec<&VantageId>>| {
        let strength = |(lookup, by): &(&Lookup, Vec<&VantageId>)| {
            let found = lookup.addresses().len();
            (told(lookup), networks.count(by.iter().copied()).0, found)
        };
        // Of equals the first, whatever the order of arrival was.
        let mut results = results.into_iter();
        let first = results.next()?;
        let keep = |best, next| {
            if strength(&next) > strength(&best) {
                next
            } else {
                best
            }
        };
        Some(results.fold(first, keep).0)
    };
    found
        .into_iter()
        .filter_map(|(name, results)| Some((name, best(results)?)))
        .collect()
}

/// Sorts the instances by what they say, so that equal answers are looked at once.
fn sayings(instances: &[Instance]) -> Vec<Vec<usize>> {
    let mut sayings: BTreeMap<(Option<&Reading>, bool), Vec<usize>> = BTreeMap::new();
    for (place, instance) in instances.iter().enumerate() {
        let saying = (instance.reading(), instance.is_complete());
        sayings.entry(saying).or_default().push(place);
    }
    sayings.into_values().collect()
}

/// The most that any vantage point left out.
fn left_out(fit: &[(&Report, &Vantage)]) -> LeftOut {
    let most = |count: fn(&LeftOut) -> usize| {
        fit.iter()
            .map(|(report, _)| count(&report.left_out))
            .max()
            .unwrap_or(0)
    };
    LeftOut {
        names: most(|l| l.names),
        addresses: most(|l| l.addresses),
        lookups: most(|l| l.lookups),
        exchanges: most(|l| l.exchanges),
    }
}

/// Returns the name of a server with its address, as people read it.
#[must_use]
pub fn at(server: &Server) -> String {
    server.to_string()
}
