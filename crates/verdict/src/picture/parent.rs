//! One server of the parent zone, as one vantage point saw it.
//!
//! An address may be many machines (anycast). They are told apart by NSID (RFC 5001): answers
//! with one NSID are one [`Instance`]; answers without one belong to whatever else the address
//! said, unless UDP and TCP contradict each other: then they are taken for two machines, too.
//! The SOA of the parent zone is asked on the same TCP connection as the referral, so the
//! serial and that referral are from one machine for certain.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use bailiwick_core::{
    delegation::{Delegation, Glue},
    finding::Source,
    message::Message,
    name::Name,
    observation::Outcome,
    query::{Purpose, Via},
    record::{RecordType, Soa, Ttl},
    report::Report,
    server::{Family, Server},
    vantage::VantageId,
};

use super::{Answer, Reading, Referral, Seen, Vantage, all, referral::Reader};

/// One instance of one parent server address.
#[derive(Clone, Debug)]
pub struct Instance<'e> {
    /// Name and address.
    pub server: Server,
    /// Who saw it.
    pub vantage: &'e VantageId,
    /// The name server identifier that tells it from others at the same address (RFC 5001).
    pub nsid: Option<&'e [u8]>,
    /// Over UDP with EDNS, 1232 octets; the best of the tries.
    pub udp: Option<Answer<'e>>,
    /// Over TCP, with DO.
    pub tcp: Option<Answer<'e>>,
    /// Over UDP without EDNS, 512 octets; asked of a few addresses only.
    pub small: Option<Answer<'e>>,
    /// The SOA of the parent zone, from the TCP connection of the referral above.
    pub soa: Option<(&'e Soa, Seen<'e>)>,
    /// The TTL of that SOA.
    pub soa_ttl: Option<Ttl>,
    /// Whether others answer this vantage point in the family, so that silence says something.
    pub family_alive: bool,
}

impl<'e> Instance<'e> {
    /// Returns the answer that says most: over TCP, else over UDP. `None` if none is usable.
    /// The answer in 512 octets is never taken.
    #[must_use]
    pub fn best(&self) -> Option<&Answer<'e>> {
        [&self.tcp, &self.udp]
            .into_iter()
            .flatten()
            .find(|answer| answer.referral.is_some())
    }

    /// Returns what the instance says about the zone; `None` if it gave no usable answer.
    #[must_use]
    pub fn referral(&self) -> Option<&Referral> {
        self.best()?.referral.as_deref()
    }

    /// The same, as it is shared with others that say so.
    pub(crate) fn reading(&self) -> Option<&Reading> {
        self.best()?.referral.as_ref()
    }

    /// Returns the delegation, if the instance refers to the zone.
    #[must_use]
    pub fn delegation(&self) -> Option<&Delegation> {
        self.best()?.delegation()
    }

    /// Returns the glue of a host in a family. `None` if the instance does not name the host,
    /// or if there is none and the answer does not prove that there is none
    /// ([`Answer::is_complete`]).
    #[must_use]
    pub fn glue(&self, host: &Name, family: Family) -> Option<BTreeSet<IpAddr>> {
        let best = self.best()?;
        let glue: BTreeSet<IpAddr> = in_family(best.delegation()?.glue_of(host)?, family).collect();
        (!glue.is_empty() || best.is_complete()).then_some(glue)
    }

    /// Returns whether the absence of something in the best answer is proved.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.best().is_some_and(Answer::is_complete)
    }

    /// Returns the serial of the parent zone at this instance.
    #[must_use]
    pub fn serial(&self) -> Option<u32> {
        self.soa.map(|(soa, _)| soa.serial)
    }

    /// Returns the round trip over UDP.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        let answer = self.udp.as_ref()?;
        answer.message()?;
        Some(answer.seen.elapsed)
    }

    /// Returns where the best answer is; of an instance without one, all that was tried.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        match self.best() {
            Some(answer) => vec![answer.seen.source()],
            None => self.answers().map(|answer| answer.seen.source()).collect(),
        }
    }

    /// Returns the answers, over UDP, TCP and in 512 octets.
    pub fn answers(&self) -> impl Iterator<Item = &Answer<'e>> {
        [&self.udp, &self.tcp, &self.small].into_iter().flatten()
    }

    /// Returns the NSID as text, escaped where it is not printable ASCII.
    #[must_use]
    pub fn nsid_text(&self) -> Option<String> {
        self.nsid
            .map(|nsid| bailiwick_core::record::Escaped(nsid).to_string())
    }
}

/// The addresses of one family in glue, in ascending order.
pub(super) fn in_family(glue: &Glue, family: Family) -> impl Iterator<Item = IpAddr> {
    glue.keys()
        .copied()
        .filter(move |&address| Family::of(address) == family)
}

/// Where something was seen at the parent: at every address, or at these.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The server, if it is one only.
    pub server: Option<Server>,
    /// In words: `all 26 parent addresses`, `2 of 26 parent addresses (a.gtld.test. 192.0.2.1, …)`
    /// or `a.gtld.test. 192.0.2.1`.
    pub words: String,
    /// The evidence.
    pub evidence: Vec<Source>,
}

impl Place {
    /// Describes where `seen` is among the instances that gave an answer.
    #[must_use]
    pub fn of(seen: &[&Instance], answering: usize) -> Self {
        let servers: BTreeSet<&Server> = seen.iter().map(|instance| &instance.server).collect();
        let list = |most: usize| {
            let mut names: Vec<String> = servers.iter().take(most).map(|s| s.to_string()).collect();
            if servers.len() > most {
                names.push(format!("and {} more", servers.len() - most));
            }
            names.join(", ")
        };
        let words = match servers.len() {
            1 => list(1),
            n if seen.len() >= answering => format!("all {n} parent addresses"),
            n => format!("{n} parent addresses ({})", list(3)),
        };
        Self {
            server: (servers.len() == 1)
                .then(|| servers.first().map(|s| (*s).clone()))
                .flatten(),
            words,
            evidence: seen
                .iter()
                .flat_map(|instance| instance.sources())
                .collect(),
        }
    }
}

/// Returns the instances that a vantage point saw.
pub(super) fn instances<'e>(
    report: &'e Report,
    vantage: &Vantage<'e>,
    parent: Option<&Name>,
    reader: &mut Reader<'e>,
) -> Vec<Instance<'e>> {
    let mut asked: Vec<Seen<'e>> = all(report)
        .filter(|s| matches!(s.purpose, Purpose::Parent | Purpose::Small))
        .collect();
    // Stable: what one address said stays in order.
    asked.sort_by_key(|seen| seen.server.address);
    let unasked: BTreeMap<IpAddr, &Server> = report
        .path
        .last()
        .filter(|cut| Some(&cut.zone) == parent)
        .into_iter()
        .flat_map(|cut| &cut.servers)
        .map(|server| (server.address, server))
        .filter(|(address, _)| {
            asked
                .binary_search_by_key(address, |s| s.server.address)
                .is_err()
        })
        .collect();
    let mut instances: Vec<Instance<'e>> = asked
        .chunk_by(|a, b| a.server.address == b.server.address)
        .flat_map(|seen| at_address(seen, reader, parent, vantage))
        .collect();
    let empty = |server: &Server| Instance::empty(server.clone(), vantage);
    instances.extend(unasked.into_values().map(empty));
    // Instances are large, so what is sorted by is kept apart from them.
    instances.sort_by_cached_key(|instance| (instance.server.clone(), instance.nsid));
    instances
}

impl<'e> Instance<'e> {
    fn empty(server: Server, vantage: &Vantage<'e>) -> Self {
        let family_alive = vantage.alive(Family::of(server.address));
        Self {
            server,
            vantage: vantage.id,
            nsid: None,
            udp: None,
            tcp: None,
            small: None,
            soa: None,
            soa_ttl: None,
            family_alive,
        }
    }
}

/// Sorts what one address said into instances.
fn at_address<'e>(
    seen: &[Seen<'e>],
    reader: &mut Reader<'e>,
    parent: Option<&Name>,
    vantage: &Vantage<'e>,
) -> Vec<Instance<'e>> {
    let referrals = |seen: &&Seen<'e>| {
        seen.question.name == *reader.zone && seen.question.record_type == RecordType::NS
    };
    let mut answers: Vec<Answer<'e>> = seen
        .iter()
        .filter(referrals)
        .map(|s| Answer::of(*s, reader))
        .collect();
    // Answers first, and of two the one that came in time, then the earlier one.
    answers.sort_by_key(|a| (a.seen.outcome.rank(), a.seen.via == Via::Udp, a.seen.sent));
    let server = seen[0].server.clone();
    let mut instances = vec![Instance::empty(server, vantage)];
    for answer in answers {
        let nsid = answer.message().and_then(Message::nsid);
        let at = match nsid {
            // Two machines without a name: nobody says one thing over UDP and another over TCP.
            None if instances[0].contradicts(&answer) => {
                instances.push(Instance::empty(instances[0].server.clone(), vantage));
                instances.len() - 1
            }
            None => 0,
            Some(_) => match instances.iter().position(|i| i.nsid == nsid) {
                Some(known) => known,
                None if instances[0].nsid.is_none() => 0,
                None => {
                    instances.push(Instance::empty(instances[0].server.clone(), vantage));
                    instances.len() - 1
                }
            },
        };
        instances[at].take(answer);
    }
    for instance in &mut instances {
        instance.pair(seen, parent);
    }
    instances
}

impl<'e> Instance<'e> {
    /// Whether an answer says other things than the one over TCP, more than leaving things out.
    fn contradicts(&self, answer: &Answer) -> bool {
        let (Some(tcp), Purpose::Parent) = (&self.tcp, answer.seen.purpose) else {
            return false;
        };
        answer.difference(tcp).is_some()
    }

    /// Takes an answer; of several over one transport the first stays.
    fn take(&mut self, answer: Answer<'e>) {
        self.nsid = self.nsid.or(answer.message().and_then(Message::nsid));
        let place = match (answer.seen.via, answer.seen.purpose) {
            (_, Purpose::Small) => &mut self.small,
            (Via::Tcp, _) => &mut self.tcp,
            _ => &mut self.udp,
        };
        place.get_or_insert(answer);
    }

    /// Adds the SOA of the parent zone from the connection of the referral over TCP.
    fn pair(&mut self, seen: &[Seen<'e>], parent: Option<&Name>) {
        let Some(connection) = self.tcp.as_ref().map(|a| a.seen.id.query) else {
            return;
        };
        self.soa = seen
            .iter()
            .filter(|s| s.id.query == connection && Some(&s.question.name) == parent)
            .find_map(|s| {
                let message = s.observation.reply()?;
                let (owner, soa) = message.soa()?;
                (message.flags.authoritative && Some(owner) == parent).then_some((soa, *s))
            });
        self.soa_ttl = self.soa.and_then(|(_, seen)| {
            let message = seen.observation.reply()?;
            let of_soa = |r: &&bailiwick_core::record::Record| r.record_type() == RecordType::SOA;
            Some(message.answer.iter().find(of_soa)?.ttl)
        });
    }

    /// Returns why there is no usable answer, in a few words; empty if there is one.
    #[must_use]
    pub fn failure(&self) -> String {
        if self.referral().is_some() {
            return String::new();
        }
        let mut outcomes: Vec<String> = [(&self.udp, "UDP"), (&self.tcp, "TCP")]
            .into_iter()
            .filter_map(|(answer, via)| {
                let outcome = &answer.as_ref()?.seen.outcome;
                Some(match outcome {
                    Outcome::Silence => format!("no answer over {via}"),
                    Outcome::Rejected(why) => format!("{why} over {via}"),
                    Outcome::Unreadable(why) => format!("{why} over {via}"),
                    Outcome::Withheld(why) => why.to_string(),
                    Outcome::Reply(_) | Outcome::Late(_) => format!("unusable over {via}"),
                })
            })
            .collect();
        outcomes.dedup();
        if outcomes.is_empty() {
            "not asked".to_owned()
        } else {
            outcomes.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{fixture::Fixture, picture::Picture};

    #[test]
    fn instances_of_one_address_are_told_apart() {
        let both = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let old = "ns1.example.com. 192.0.2.10; ns2.example.com. 192.0.2.2";
        let a = "198.51.100.1";
        let world = || Fixture::healthy(both);
        type Instances = &'static [(Option<&'static str>, bool)];
        let cases: [(Fixture, Instances, &str); 5] = [
            (world(), &[(None, true)], "no identity: one instance"),
            (
                world().nsid_at(a, "x", "x"),
                &[(Some("x"), true)],
                "one identity: one instance",
            ),
            (
                world().nsid_at(a, "x", "y"),
                &[(Some("x"), true), (Some("y"), false)],
                "two identities; the serial goes with TCP",
            ),
            (
                world().parent_udp_at(a, old, false),
                &[(None, true), (None, false)],
                "no identity, and a contradiction",
            ),
            (
                world().parent_udp_at(a, "ns1.example.com.; ns2.example.com.", false),
                &[(None, true)],
                "leaving out is no contradiction",
            ),
        ];
        for (world, expected, why) in cases {
            let evidence = world.evidence();
            let picture = Picture::of(&evidence);
            let at_a = picture
                .instances
                .iter()
                .filter(|i| i.server.address.to_string() == a);
            let mut seen: Vec<_> = at_a
                .map(|i| (i.nsid_text(), i.serial().is_some()))
                .collect();
            seen.sort_by_key(|(nsid, paired)| (nsid.clone(), !paired));
            let seen: Vec<_> = seen.iter().map(|(n, p)| (n.as_deref(), *p)).collect();
            assert_eq!(seen, expected, "{why}");
        }
    }
}
