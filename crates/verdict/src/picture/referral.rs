//! One answer of a parent server to the question for the NS set of the zone.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    ops::Deref,
    rc::Rc,
};

use bailiwick_core::{
    delegation::{Delegation, Glue},
    message::{Message, Rcode},
    name::Name,
    query::{UDP_SIZE, Via},
    record::{RecordData, RecordType},
    report::Inside,
};

use super::Seen;

/// What an answer to `ZONE NS` from a server of the parent zone means.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Referral {
    /// The NS set of the zone is in the authority section: a referral.
    Delegation(Delegation),
    /// The server hosts the zone itself and answers with authority: no referral can be seen.
    /// The NS set is that of the apex, with the addresses in the additional section.
    Hosted(Delegation),
    /// NXDOMAIN: there is no such name in the parent zone.
    Absent,
    /// The name is in the parent zone, but not delegated.
    Inside(Inside),
    /// A referral to the name server of another zone: upwards, sideways or to the server itself.
    Elsewhere(Name),
    /// An answer without authority and without referral, as from a cache, or an empty one.
    NotAuthoritative,
    /// Any other response code.
    Error(Rcode),
}

impl Referral {
    /// Reads a reply to the question `zone NS`.
    #[must_use]
    pub fn read(message: &Message, zone: &Name) -> Self {
        let alias = |r: &RecordData| matches!(r, RecordData::Cname(_) | RecordData::Dname(_));
        if message.answer.iter().any(|r| alias(&r.data)) {
            return Self::Inside(Inside::Alias);
        }
        match message.rcode {
            Rcode::NOERROR => {}
            Rcode::NXDOMAIN => return Self::Absent,
            other => return Self::Error(other),
        }
        if message.answers(zone, RecordType::NS).next().is_some() {
            return Self::in_answer(message, zone);
        }
        if let Some(delegation) = Delegation::read(message, zone) {
            return Self::Delegation(delegation);
        }
        if let Some(owner) = Delegation::owner(message) {
            return Self::Elsewhere(owner.clone());
        }
        match message.soa() {
            Some((owner, _)) if message.flags.authoritative && zone.is_at_or_below(owner) => {
                Self::Inside(Inside::Data)
            }
            _ => Self::NotAuthoritative,
        }
    }

    /// The NS set is in the answer section: the server has the zone, or remembers it.
    fn in_answer(message: &Message, zone: &Name) -> Self {
        let moved = Message {
            authority: message.answer.clone(),
            additional: message.additional.clone(),
            ..Message::default()
        };
        match Delegation::read(&moved, zone) {
            Some(apex) if message.flags.authoritative => Self::Hosted(apex),
            _ => Self::NotAuthoritative,
        }
    }
}

/// A [`Referral`] that all answers share which were seen to say the same.
#[derive(Clone, Debug, Eq)]
pub struct Reading(Rc<Referral>);

impl Deref for Reading {
    type Target = Referral;

    fn deref(&self) -> &Referral {
        &self.0
    }
}

impl PartialEq for Reading {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl PartialOrd for Reading {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Reading {
    /// Compares what is said; what is shared is equal without looking.
    fn cmp(&self, other: &Self) -> Ordering {
        if Rc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        self.0.cmp(&other.0)
    }
}

/// Reads replies. The servers of a parent zone mostly say one thing to everybody, so a few readings are
/// kept for replies that equal one of the last.
#[derive(Debug)]
pub(super) struct Reader<'e> {
    /// The zone that was asked for.
    pub(super) zone: &'e Name,
    /// The latest first.
    last: VecDeque<(&'e Message, Reading)>,
}

impl<'e> Reader<'e> {
    /// Readings kept.
    const KEPT: usize = 4;

    pub(super) fn new(zone: &'e Name) -> Self {
        let last = VecDeque::new();
        Self { zone, last }
    }

    fn read(&mut self, message: &'e Message) -> Reading {
        let known = self
            .last
            .iter()
            .position(|(m, _)| says_the_same(m, message));
        let reading = match known.and_then(|at| self.last.remove(at)) {
            Some((_, reading)) => reading,
            None => Reading(Rc::new(Referral::read(message, self.zone))),
        };
        self.last.truncate(Self::KEPT - 1);
        self.last.push_front((message, reading.clone()));
        reading
    }
}

/// Whether two replies are the same in everything that [`Referral::read`] looks at.
fn says_the_same(a: &Message, b: &Message) -> bool {
    let parts = |m: &'_ Message| (m.rcode, m.flags.authoritative);
    // What was read once for many answers is one message.
    std::ptr::eq(a, b)
        || parts(a) == parts(b)
            && a.answer == b.answer
            && a.authority == b.authority
            && a.additional == b.additional
}

/// One answer to `ZONE NS`, or the lack of one, over one transport.
#[derive(Clone, Debug)]
pub struct Answer<'e> {
    /// The observation; its outcome may be silence.
    pub seen: Seen<'e>,
    /// What it means; `None` without a usable reply.
    pub referral: Option<Reading>,
    /// TC.
    pub truncated: bool,
}

impl<'e> Answer<'e> {
    pub(super) fn of(seen: Seen<'e>, reader: &mut Reader<'e>) -> Self {
        let reply = seen.observation.reply();
        let truncated = reply.is_some_and(|m| m.flags.truncated);
        Self {
            seen,
            referral: reply
                .map(|message| reader.read(message))
                // What was cut off says nothing about what is there.
                .filter(|reading| !truncated || matches!(**reading, Referral::Delegation(_))),
            truncated,
        }
    }

    /// Returns the reply.
    #[must_use]
    pub fn message(&self) -> Option<&'e Message> {
        self.seen.observation.reply()
    }

    /// Returns the delegation, if the answer is a referral to the zone.
    #[must_use]
    pub fn delegation(&self) -> Option<&Delegation> {
        match self.referral.as_deref() {
            Some(Referral::Delegation(delegation)) => Some(delegation),
            _ => None,
        }
    }

    /// Says in which way this answer contradicts a complete one from the same address. That it
    /// leaves glue out is no contradiction, and neither is anything in it if TC is set.
    #[must_use]
    pub fn difference(&self, complete: &Self) -> Option<String> {
        if self.truncated {
            return None;
        }
        let (short, whole) = (self.referral.as_ref()?, complete.referral.as_ref()?);
        if short == whole {
            return None;
        }
        match (&**short, &**whole) {
            (Referral::Delegation(short), Referral::Delegation(whole)) => {
                contradiction(short, whole)
            }
            (Referral::Delegation(_), Referral::Absent | Referral::Inside(_)) => {
                Some("it has a delegation".to_owned())
            }
            (Referral::Absent | Referral::Inside(_), Referral::Delegation(_)) => {
                Some("it has no delegation".to_owned())
            }
            _ => None,
        }
    }

    /// Returns whether what this answer leaves out is not there: TC is not set, and it came
    /// over TCP, or with EDNS and room for one more address (28 octets at most). Some servers
    /// leave glue out without setting TC (RFC 9471, section 3.1 forbids it).
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let Some(message) = self.message() else {
            return false;
        };
        let roomy = message.edns.is_some() && message.octets + 28 <= usize::from(UDP_SIZE);
        !self.truncated && (self.seen.via == Via::Tcp || roomy)
    }
}

fn contradiction(short: &Delegation, whole: &Delegation) -> Option<String> {
    if !short.name_servers.keys().eq(whole.name_servers.keys()) {
        return Some("the NS names differ".to_owned());
    }
    short.name_servers.iter().find_map(|(host, glue)| {
        let known = whole.glue_of(host)?;
        let other = glue.keys().find(|address| !known.contains_key(*address))?;
        Some(format!("{host} is {other}"))
    })
}

/// What an instance publishes of a delegation, as far as every server of a parent zone has to
/// publish the same: NS names, and glue of in-domain name servers. Other glue is optional
/// (RFC 9471, section 3.2).
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Content {
    /// There is no delegation.
    Nothing,
    /// NS names with their in-domain glue; other names have none.
    Delegation(BTreeMap<Name, BTreeSet<IpAddr>>),
}

impl Content {
    /// Reads what an answer publishes. `None` if it does not say, leaves something out that may
    /// be there, or comes from a server that hosts the zone itself.
    #[must_use]
    pub fn of(answer: &Answer, zone: &Name) -> Option<Self> {
        match answer.referral.as_deref()? {
            Referral::Absent | Referral::Inside(_) => Some(Self::Nothing),
            Referral::Delegation(delegation) if answer.is_complete() => {
                let in_domain = |host: &Name, glue: &Glue| match host.is_at_or_below(zone) {
                    true => glue.keys().copied().collect(),
                    false => BTreeSet::new(),
                };
                let servers = delegation.name_servers.iter();
                Some(Self::Delegation(
                    servers
                        .map(|(host, glue)| (host.clone(), in_domain(host, glue)))
                        .collect(),
                ))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bailiwick_core::{
        message::{Edns, Flags},
        observation::Outcome,
        query::Purpose,
        record::{Record, Soa},
    };

    use super::*;
    use crate::{
        fixture::{Fixture, name},
        picture::all,
    };

    fn record(owner: &str, data: RecordData) -> Record {
        Record {
            name: name(owner),
            ttl: 60,
            data,
        }
    }

    #[test]
    fn an_answer_of_a_parent_server_is_read() {
        let zone = name("example.com.");
        let ns = || record("example.com.", RecordData::Ns(name("ns1.example.com.")));
        let elsewhere = |owner: &str| record(owner, RecordData::Ns(name("a.test.")));
        let soa = |owner: &str| {
            let soa = Soa {
                mname: name("a.test."),
                rname: name("b.test."),
                serial: 1,
                refresh: 1,
                retry: 1,
                expire: 1,
                minimum: 1,
            };
            record(owner, RecordData::Soa(soa))
        };
        let aa = Flags {
            authoritative: true,
            ..Flags::default()
        };
        let message = |rcode, flags, answer: Vec<Record>, authority: Vec<Record>| Message {
            rcode,
            flags,
            answer,
            authority,
            ..Message::default()
        };
        let no = Flags::default();
        let ok = Rcode::NOERROR;
        let cases = [
            (
                message(ok, no, vec![], vec![ns()]),
                "Delegation",
                "a referral",
            ),
            (
                message(ok, aa, vec![], vec![ns()]),
                "Delegation",
                "a referral with AA: odd, but one",
            ),
            (
                message(ok, aa, vec![ns()], vec![]),
                "Hosted",
                "the server has the zone",
            ),
            (
                message(ok, no, vec![ns()], vec![]),
                "NotAuthoritative",
                "an answer from a cache",
            ),
            (
                message(Rcode::NXDOMAIN, aa, vec![], vec![soa("com.")]),
                "Absent",
                "NXDOMAIN",
            ),
            (
                message(ok, aa, vec![], vec![soa("com.")]),
                "Inside(Data)",
                "NODATA",
            ),
            (
                message(ok, no, vec![], vec![soa("com.")]),
                "NotAuthoritative",
                "NODATA without AA",
            ),
            (
                message(ok, aa, vec![], vec![soa("other.net.")]),
                "NotAuthoritative",
                "the SOA of a zone that does not hold the name",
            ),
            (
                message(
                    ok,
                    aa,
                    vec![record("example.com.", RecordData::Cname(name("x.test.")))],
                    vec![],
                ),
                "Inside(Alias)",
                "an alias",
            ),
            (
                message(ok, no, vec![], vec![elsewhere(".")]),
                "Elsewhere(.)",
                "upwards",
            ),
            (
                message(ok, no, vec![], vec![elsewhere("net.")]),
                "Elsewhere(net.)",
                "sideways",
            ),
            (
                message(Rcode::REFUSED, no, vec![], vec![]),
                "Error(Rcode(5))",
                "REFUSED",
            ),
            (
                message(ok, no, vec![], vec![]),
                "NotAuthoritative",
                "nothing at all",
            ),
        ];
        for (message, expected, why) in cases {
            let read = format!("{:?}", Referral::read(&message, &zone));
            assert!(read.starts_with(expected), "{why}: {read}");
        }
    }

    #[test]
    fn absence_is_proved_over_tcp_or_with_room_to_spare() {
        let both = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";
        let report = Fixture::healthy(both).report();
        let seen = |via| {
            let found = all(&report).find(|s| s.purpose == Purpose::Parent && s.via == via);
            found.expect("a check asks every way").observation.clone()
        };
        let cases = [
            (Via::Tcp, 4000, false, false, true, "TCP has room for all"),
            (Via::Udp, 200, false, true, true, "EDNS, and room for more"),
            (
                Via::Udp,
                1210,
                false,
                true,
                false,
                "EDNS, and no room for one more",
            ),
            (Via::Udp, 200, true, true, false, "TC"),
            (
                Via::Udp,
                200,
                false,
                false,
                false,
                "no EDNS: perhaps cut at 512 octets",
            ),
        ];
        for (via, octets, truncated, edns, expected, why) in cases {
            let mut observation = seen(via);
            if let Outcome::Reply(message) = &mut observation.outcome {
                let message = Arc::make_mut(message);
                message.octets = octets;
                message.flags.truncated = truncated;
                message.edns = edns.then(Edns::default);
            }
            let answer = Answer::of(
                Seen {
                    vantage: &report.vantage.id,
                    observation: &observation,
                },
                &mut Reader::new(&report.check.zone),
            );
            assert_eq!(answer.is_complete(), expected, "{why}");
        }
    }
}
