//! One address of a name server of the zone, and how it stands.
//!
//! Every address that the delegation, the zone or the expectation names is asked for the SOA
//! and the NS set of the zone, over UDP and over TCP. [`Standing`] is what came of it over one
//! transport. A [`Child`] joins the views of all vantage points: one that got an answer with
//! authority is enough to say that the server has the zone, while silence counts only from
//! vantage points that are healthy and that others answer in the same family and transport.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use bailiwick_core::{
    finding::Source,
    message::{Message, Question, Rcode},
    name::Name,
    observation::Withheld,
    query::{Purpose, Via},
    record::{Dnskey, RecordData, RecordType, Soa, Ttl},
    report::Report,
    server::Family,
    vantage::VantageId,
};

use super::{Host, Lame, Networks, Seen, Silent, Standing, Vantage, all, standing::standing};

/// How an address takes EDNS (RFC 6891) over UDP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EdnsBehaviour {
    /// It answers questions with EDNS.
    Works,
    /// It answers questions without EDNS only.
    PlainOnly,
    /// It was not seen to answer at all.
    Unknown,
}

/// What one vantage point saw of one address.
#[derive(Clone, Debug)]
pub struct ChildView<'e> {
    /// Who saw it.
    pub vantage: &'e VantageId,
    /// Over UDP.
    pub udp: Standing,
    /// Over TCP.
    pub tcp: Standing,
    /// Whether silence over both transports says something about the server: two tries over
    /// UDP and one over TCP, from a healthy vantage point that others answer in the family.
    pub counts: bool,
    /// Whether silence over UDP alone does, though TCP answers: not a single question of this
    /// vantage point was lost at servers that are alive.
    pub udp_counts: bool,
    /// The same for TCP alone.
    pub tcp_counts: bool,
    /// EDNS over UDP.
    pub edns: EdnsBehaviour,
    /// Everything that was asked of the address, in order.
    pub seen: Vec<Seen<'e>>,
}

impl<'e> ChildView<'e> {
    /// Returns the better of both transports.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        (&self.udp).min(&self.tcp)
    }

    /// Returns whether the address is dead as seen from here: it was asked, answered nothing
    /// over either transport, and this vantage point's silence counts.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        let answers = self.udp.answers() || self.tcp.answers();
        self.counts && self.udp.is_silent() && !answers
    }

    /// Returns whether UDP is silent here while TCP answers, and that says something.
    #[must_use]
    pub fn is_udp_blocked(&self) -> bool {
        self.udp.is_silent() && self.tcp.answers() && (self.udp_counts || rejected(&self.udp))
    }

    /// Returns whether TCP is silent here while UDP answers, and that says something. Questions
    /// over TCP have EDNS, so they tell nothing about a server that takes plain ones only.
    #[must_use]
    pub fn is_tcp_blocked(&self) -> bool {
        let counts = self.tcp_counts && self.edns != EdnsBehaviour::PlainOnly;
        self.tcp.is_silent() && self.udp.answers() && (counts || rejected(&self.tcp))
    }

    /// Returns where the evidence for the standing is: the questions for SOA and NS of the zone.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        self.seen
            .iter()
            .filter(|s| s.question.record_type == RecordType::SOA)
            .map(Seen::source)
            .collect()
    }

    /// Returns whether recursion was offered in an answer (RA).
    #[must_use]
    pub fn offers_recursion(&self) -> bool {
        self.replies().any(|(_, m)| m.flags.recursion_available)
    }

    fn replies(&self) -> impl Iterator<Item = (Seen<'e>, &'e Message)> {
        self.seen
            .iter()
            .filter_map(|seen| Some((*seen, seen.observation.reply()?)))
    }

    /// Returns the serial of the zone, by the first answer with authority to the question for it.
    #[must_use]
    pub fn serial(&self) -> Option<u32> {
        self.authoritative()
            .filter(|(seen, _)| seen.question.record_type == RecordType::SOA)
            .find_map(|(_, message)| Some(message.soa()?.1.serial))
    }

    /// What was heard here with authority; nothing where there was no such answer.
    pub(crate) fn statement(&self) -> Statement<'e> {
        let told = self.told().map(|(question, message)| {
            let mut data: Vec<&RecordData> = answered(question, message).collect();
            data.sort();
            (&question.name, question.record_type, data)
        });
        told.collect()
    }

    /// Returns whether another heard the same, record by record. False says nothing: the same in
    /// another order is the same [statement](Self::statement), and found out at a higher price.
    fn repeats(&self, other: &Self) -> bool {
        let mut others = other.told();
        let repeated = self.told().all(|(question, message)| {
            others.next().is_some_and(|(theirs, their_message)| {
                question == theirs
                    && answered(question, message).eq(answered(theirs, their_message))
            })
        });
        repeated && others.next().is_none()
    }

    /// Replies with authority, versions left out: these differ from moment to moment.
    fn told(&self) -> impl Iterator<Item = (&'e Question, &'e Message)> {
        self.authoritative()
            .map(|(seen, message)| (&seen.observation.question, message))
            .filter(|(question, _)| question.record_type != RecordType::SOA)
    }

    /// Replies with authority.
    pub(super) fn authoritative(&self) -> impl Iterator<Item = (Seen<'e>, &'e Message)> {
        self.replies().filter(|(_, m)| m.flags.authoritative)
    }
}

/// One address of a name server of the zone.
#[derive(Clone, Debug)]
pub struct Child<'e> {
    /// The address.
    pub address: IpAddr,
    /// The names that have it by anybody's word: parent, zone, look-up, expectation.
    pub names: BTreeSet<Name>,
    /// Whether a resolver that follows the parent would use it.
    pub published: bool,
    /// Whether it is among the addresses that the zone (or a look-up) gives for a name.
    pub authoritative: bool,
    /// Whether the expectation names it.
    pub expected: bool,
    /// One entry per vantage point that asked; those first that heard what most networks heard.
    pub views: Vec<ChildView<'e>>,
    /// Whether it answers with somebody else's zone content.
    pub foreign: bool,
    /// Whether all that were answered with authority heard the same.
    pub(crate) agreed: bool,
    zone: &'e Name,
    /// How it stands over UDP and over TCP by its views, from where it stands best.
    udp: Standing,
    tcp: Standing,
}

impl<'e> Child<'e> {
    /// Returns how the address stands over UDP, from where it stands best.
    #[must_use]
    pub fn udp(&self) -> &Standing {
        self.unless_foreign(&self.udp)
    }

    /// Returns how the address stands over TCP, from where it stands best.
    #[must_use]
    pub fn tcp(&self) -> &Standing {
        self.unless_foreign(&self.tcp)
    }

    /// Returns how the address stands over the better transport, from where it stands best.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        self.udp().min(self.tcp())
    }

    fn unless_foreign<'s>(&self, best: &'s Standing) -> &'s Standing {
        match best {
            Standing::Authoritative if self.foreign => &Standing::Foreign,
            best => best,
        }
    }

    /// Returns whether it answers with authority, with the zone's own content.
    #[must_use]
    pub fn is_authoritative(&self) -> bool {
        self.standing().is_authoritative()
    }

    /// Returns whether it answered nobody, and silence counts from at least one vantage point.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.views.iter().any(ChildView::is_dead) && !self.standing().answers()
    }

    /// Returns what a vantage point saw of it.
    #[must_use]
    pub fn view_from(&self, vantage: &VantageId) -> Option<&ChildView<'e>> {
        if self.agreed {
            // Nothing has changed their order, which is by name.
            let place = self
                .views
                .binary_search_by_key(&vantage, |view| view.vantage);
            return place.ok().map(|place| &self.views[place]);
        }
        self.views.iter().find(|view| view.vantage == vantage)
    }

    /// Returns why it was never asked, if a rule of this machine forbade it.
    #[must_use]
    pub fn withheld(&self) -> Option<Withheld> {
        match self.standing() {
            Standing::NotAsked(why) => *why,
            _ => None,
        }
    }

    /// Returns the SOA of the zone there, from an answer with authority.
    #[must_use]
    pub fn soa(&self) -> Option<(&'e Soa, Seen<'e>)> {
        self.authoritative_answers(RecordType::SOA)
            .find_map(|(seen, message)| {
                message.answer.iter().find_map(|r| match &r.data {
                    RecordData::Soa(soa) if r.name == *self.zone => Some((soa, seen)),
                    _ => None,
                })
            })
    }

    /// Returns the NS set of the apex there, from an answer with authority, with its TTL.
    #[must_use]
    pub fn ns(&self) -> Option<(BTreeSet<&'e Name>, Ttl, Seen<'e>)> {
        self.authoritative_answers(RecordType::NS)
            .find_map(|(seen, message)| {
                let records = || message.answers(self.zone, RecordType::NS);
                let names: BTreeSet<&Name> = records()
                    .filter_map(|r| match &r.data {
                        RecordData::Ns(name) => Some(name),
                        _ => None,
                    })
                    .collect();
                Some((names, records().map(|r| r.ttl).min()?, seen))
            })
    }

    /// Returns the keys of the zone there; `None` if no answer with authority says so, and
    /// nothing in it if the answer says that there is none.
    #[must_use]
    pub fn keys(&self) -> Option<(Vec<&'e Dnskey>, Seen<'e>)> {
        self.authoritative_answers(RecordType::DNSKEY)
            .filter(|(_, message)| message.rcode == Rcode::NOERROR && !message.flags.truncated)
            .map(|(seen, message)| {
                let keys = message
                    .answers(self.zone, RecordType::DNSKEY)
                    .filter_map(|r| match &r.data {
                        RecordData::Dnskey(key) => Some(key),
                        _ => None,
                    })
                    .collect();
                (keys, seen)
            })
            .next()
    }

    /// Answers with authority to a question about the apex.
    fn authoritative_answers(
        &self,
        record_type: RecordType,
    ) -> impl Iterator<Item = (Seen<'e>, &'e Message)> {
        self.views
            .iter()
            .flat_map(ChildView::authoritative)
            .filter(move |(seen, _)| {
                seen.question.record_type == record_type && seen.question.name == *self.zone
            })
    }

    /// Returns the round trip over UDP.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.views
            .iter()
            .flat_map(|view| &view.seen)
            .find(|seen| seen.via == Via::Udp && seen.reply().is_some())
            .map(|seen| seen.elapsed)
    }

    /// Returns how it takes EDNS, from where it does best.
    #[must_use]
    pub fn edns(&self) -> EdnsBehaviour {
        let any = |wanted| self.views.iter().any(|view| view.edns == wanted);
        if any(EdnsBehaviour::Works) {
            EdnsBehaviour::Works
        } else if any(EdnsBehaviour::PlainOnly) {
            EdnsBehaviour::PlainOnly
        } else {
            EdnsBehaviour::Unknown
        }
    }

    /// Returns where the evidence for the standing is.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        self.views.iter().flat_map(ChildView::sources).collect()
    }

    /// Returns the family of the address.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.address)
    }
}

/// Returns every address that was asked as a server of the zone.
pub(super) fn children<'e>(
    fit: &[(&'e Report, &Vantage<'e>)],
    networks: &Networks,
) -> BTreeMap<IpAddr, Child<'e>> {
    let mut children: BTreeMap<IpAddr, Child<'e>> = BTreeMap::new();
    for (report, vantage) in fit {
        let zone = &report.check.zone;
        let mut asked: BTreeMap<IpAddr, Vec<Seen<'e>>> = BTreeMap::new();
        for seen in all(report).filter(|seen| seen.purpose == Purpose::Child) {
            asked.entry(seen.server.address).or_default().push(seen);
        }
        for (address, seen) in asked {
            children
                .entry(address)
                .or_insert_with(|| Child::empty(address, zone))
                .views
                .push(ChildView::of(vantage, zone, address, seen));
        }
    }
    for child in children.values_mut() {
        child.settle(networks);
    }
    children
}

/// The data of the answer to a question, in the order of the message.
fn answered<'e>(
    question: &'e Question,
    message: &'e Message,
) -> impl Iterator<Item = &'e RecordData> {
    message
        .answers(&question.name, question.record_type)
        .map(|record| &record.data)
}

/// What a server says of the zone, with authority: names, addresses and keys.
pub(crate) type Statement<'e> = BTreeSet<(&'e Name, RecordType, Vec<&'e RecordData>)>;

impl<'e> Child<'e> {
    fn empty(address: IpAddr, zone: &'e Name) -> Self {
        Self {
            address,
            names: BTreeSet::new(),
            published: false,
            authoritative: false,
            expected: false,
            views: Vec::new(),
            foreign: false,
            agreed: true,
            zone,
            udp: Standing::NotAsked(None),
            tcp: Standing::NotAsked(None),
        }
    }

    /// Once all views are in: how it stands by the best of them, and whether they agree.
    fn settle(&mut self, networks: &Networks) {
        let best = |of: for<'v> fn(&'v ChildView<'e>) -> &'v Standing| {
            let best = self.views.iter().map(of).min();
            best.cloned().unwrap_or(Standing::NotAsked(None))
        };
        (self.udp, self.tcp) = (best(|view| &view.udp), best(|view| &view.tcp));
        self.sort_views(networks);
    }

    /// Puts first what most networks heard, so that one that is lied to, or lies, does not
    /// decide for all.
    fn sort_views(&mut self, networks: &Networks) {
        let Some((first, others)) = self.views.split_first() else {
            return;
        };
        if others.iter().all(|view| view.repeats(first)) {
            return;
        }
        let mut heard: BTreeMap<Statement, Vec<&VantageId>> = BTreeMap::new();
        for view in &self.views {
            let by = heard.entry(view.statement()).or_default();
            by.push(view.vantage);
        }
        if heard.len() < 2 {
            return;
        }
        self.agreed = false;
        let weight: BTreeMap<Statement, usize> = heard
            .into_iter()
            .map(|(statement, by)| (statement, networks.count(by).0))
            .collect();
        // Stable: of equals the first by name.
        self.views
            .sort_by_cached_key(|view| Reverse(weight.get(&view.statement()).copied()));
    }
}

impl<'e> ChildView<'e> {
    fn of(vantage: &Vantage<'e>, zone: &Name, address: IpAddr, seen: Vec<Seen<'e>>) -> Self {
        let family = Family::of(address);
        let over = |via: Via| {
            seen.iter()
                .filter(|s| s.via == via && s.question.name == *zone)
                .map(|s| standing(s, zone))
                .min()
                .unwrap_or(Standing::NotAsked(None))
        };
        let (mut udp, tcp) = (over(Via::Udp), over(Via::Tcp));
        if udp == Standing::Lame(Lame::Truncated) && tcp.is_authoritative() {
            // That is what TC is for.
            udp = Standing::Authoritative;
        }
        Self {
            vantage: vantage.id,
            udp,
            tcp,
            counts: vantage.silence_counts(family, Via::Udp),
            udp_counts: vantage.silence_counts(family, Via::Udp) && vantage.loss.lost == 0,
            tcp_counts: vantage.silence_counts(family, Via::Tcp) && vantage.loss.lost == 0,
            edns: edns(&seen),
            seen,
        }
    }
}

/// Whether somebody said that this transport is closed, so that it cannot be loss.
fn rejected(standing: &Standing) -> bool {
    matches!(standing, Standing::Silent(Silent::Rejected(_)))
}

fn edns(seen: &[Seen]) -> EdnsBehaviour {
    let answers = |with_edns: bool| {
        seen.iter().any(|s| {
            s.via == Via::Udp
                && s.options.edns == with_edns
                && s.reply().is_some_and(|m| {
                    !matches!(m.rcode, Rcode::FORMERR | Rcode::NOTIMP | Rcode::BADVERS)
                })
        })
    };
    if answers(true) {
        EdnsBehaviour::Works
    } else if answers(false) {
        EdnsBehaviour::PlainOnly
    } else {
        EdnsBehaviour::Unknown
    }
}

/// Marks addresses that answer with authority for somebody else: their NS set shares no name
/// with the delegation, while another server's does or is the one that was expected. Where no
/// server shares a name with the delegation, the sets are disjoint and nobody is foreign.
pub(super) fn mark_foreign(
    children: &mut BTreeMap<IpAddr, Child<'_>>,
    hosts: &mut BTreeMap<Name, Host<'_>>,
) {
    let delegated: BTreeSet<&Name> = hosts
        .values()
        .filter(|host| host.in_delegation)
        .map(|host| &host.name)
        .collect();
    let expected: BTreeSet<IpAddr> = hosts.values().flat_map(|h| h.expected.clone()).collect();
    let sets: BTreeMap<IpAddr, BTreeSet<Name>> = children
        .values()
        .filter_map(|child| {
            let (names, _, _) = child.ns()?;
            Some((child.address, names.into_iter().cloned().collect()))
        })
        .collect();
    let ours: Vec<&BTreeSet<Name>> = sets
        .iter()
        .filter(|(address, names)| {
            expected.contains(address) || names.iter().any(|name| delegated.contains(name))
        })
        .map(|(_, names)| names)
        .collect();
    let foreign: BTreeSet<IpAddr> = sets
        .iter()
        .filter(|(_, names)| {
            !ours.is_empty() && !ours.iter().any(|set| set.iter().any(|n| names.contains(n)))
        })
        .map(|(address, _)| *address)
        .collect();
    for child in children.values_mut() {
        child.foreign = foreign.contains(&child.address);
    }
    for host in hosts.values_mut() {
        host.answers
            .retain(|answer| !foreign.contains(&answer.server));
        // Names that only a foreign server gives are not names of this zone.
        host.in_apex = sets
            .iter()
            .any(|(address, names)| !foreign.contains(address) && names.contains(&host.name));
    }
    hosts.retain(|_, host| host.in_delegation || host.in_apex || host.is_expected);
}

/// Notes at every address whose it is, and adds those that nobody asked.
pub(super) fn name<'e>(
    children: &mut BTreeMap<IpAddr, Child<'e>>,
    hosts: &BTreeMap<Name, Host<'e>>,
    zone: &'e Name,
) {
    for host in hosts.values() {
        let published = host.published();
        let known = host.authoritative();
        let all = published.iter().chain(&known).chain(&host.expected);
        for address in all.copied().collect::<BTreeSet<_>>() {
            let child = children
                .entry(address)
                .or_insert_with(|| Child::empty(address, zone));
            child.names.insert(host.name.clone());
            child.published |= published.contains(&address);
            child.authoritative |= known.contains(&address);
            child.expected |= host.expected.contains(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_core::verdict::Condition;

    use super::*;
    use crate::{
        fixture::{Acts, Fixture, address},
        picture::Picture,
    };

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
    const PARKING: &str = "ns1.parking.test. 203.0.113.1; ns2.parking.test. 203.0.113.2";

    #[test]
    fn an_address_stands_as_its_answers_say() {
        use Condition::{Authoritative, Lame, Silent};
        let cases = [
            (Acts::Well, (Authoritative, Authoritative), false, ""),
            (Acts::Silent, (Silent, Silent), true, "no answer"),
            (Acts::Rejecting, (Silent, Silent), true, "port unreachable"),
            (Acts::UdpOnly, (Authoritative, Silent), false, ""),
            (Acts::TcpOnly, (Silent, Authoritative), false, ""),
            (Acts::PlainOnly, (Authoritative, Authoritative), false, ""),
            (
                Acts::Code(Rcode::REFUSED),
                (Lame, Lame),
                false,
                "answers REFUSED",
            ),
            (
                Acts::Code(Rcode::NXDOMAIN),
                (Lame, Lame),
                false,
                "answers NXDOMAIN",
            ),
            (
                Acts::Recursive,
                (Lame, Lame),
                false,
                "answers without authority (AA is not set)",
            ),
            (
                Acts::Upward,
                (Lame, Lame),
                false,
                "refers to the servers of .",
            ),
            (
                Acts::Withheld(Withheld::SpecialUse),
                (Condition::Withheld, Condition::Withheld),
                false,
                "not asked: the address is not globally reachable",
            ),
        ];
        for (acts, (udp, tcp), dead, text) in cases {
            let evidence = Fixture::healthy(BOTH)
                .acts("192.0.2.1", acts.clone())
                .evidence();
            let picture = Picture::of(&evidence);
            let child = picture.child(address("192.0.2.1")).unwrap();
            let seen = (child.udp().condition(), child.tcp().condition());
            assert_eq!(seen, (udp, tcp), "{acts:?}");
            assert_eq!(child.is_dead(), dead, "{acts:?}");
            assert_eq!(child.standing().to_string(), text, "{acts:?}");
        }
    }

    #[test]
    fn silence_makes_an_address_dead_only_if_it_counts() {
        let world = || Fixture::healthy(BOTH).acts("192.0.2.1", Acts::Silent);
        let cases = [
            (world(), true, "silent for a healthy vantage point"),
            (world().lose(5), false, "silent for one that loses packets"),
            (
                world().without(Family::V4),
                false,
                "silent like everything in its family",
            ),
            (world().without_tcp(), true, "two tries over UDP are enough"),
        ];
        for (world, dead, why) in cases {
            let evidence = world.evidence();
            let picture = Picture::of(&evidence);
            assert_eq!(
                picture.children[&address("192.0.2.1")].is_dead(),
                dead,
                "{why}"
            );
        }
        let well = Fixture::healthy(BOTH).from("eu").evidence();
        let joined = world().from("ap").evidence().join(well);
        let picture = Picture::of(&joined);
        assert!(
            !picture.children[&address("192.0.2.1")].is_dead(),
            "another one hears it"
        );
    }

    #[test]
    fn somebody_elses_zone_is_told_from_a_disjoint_one() {
        let world = || Fixture::healthy(BOTH);
        let new = "ns1.new.test. 192.0.2.1; ns2.new.test. 192.0.2.2";
        let cases: [(Fixture, &[&str], &str); 4] = [
            (world(), &[], "all ours"),
            (
                world().zone_at("192.0.2.2", 9, PARKING),
                &["192.0.2.2"],
                "one is parked",
            ),
            (
                world().zone(new),
                &[],
                "nobody names the delegation's servers: disjoint",
            ),
            (
                world()
                    .zone_at("192.0.2.1", 9, PARKING)
                    .zone_at("192.0.2.2", 9, PARKING)
                    .zone_at("192.0.2.21", 9, "ns1.example.com. 192.0.2.21")
                    .expect("ns1.example.com. 192.0.2.21"),
                &["192.0.2.1", "192.0.2.2"],
                "the expected server is ours, both others are parked",
            ),
        ];
        for (world, expected, why) in cases {
            let evidence = world.evidence();
            let picture = Picture::of(&evidence);
            let foreign = picture.children.values().filter(|child| child.foreign);
            let foreign: Vec<String> = foreign.map(|child| child.address.to_string()).collect();
            assert_eq!(foreign, expected, "{why}");
        }
    }
}
