//! A vantage point and its controls: may it testify, in which families, does its silence count?
//!
//! Read [`Vantage::of`]. The controls are those of this project's measuring rules: C2
//! (something authoritative answers, per family and transport), C3 (where nothing may answer,
//! nothing does), C4 (nobody answers in place of the servers asked), C5 (what does not exist
//! does not resolve), C8 (loss), C9 (the case of the question is kept).
//!
//! *Loss* is counted where a server is known to be alive: a question that stays without
//! answer at an address which answers other questions over the same transport. A server that
//! never answers is dead, not lossy, and says nothing about the vantage point.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use bailiwick_core::{
    finding::Source,
    message::Rcode,
    name::Name,
    observation::Outcome,
    place::Place,
    query::{Control, Purpose, Via},
    record::{RecordType, Ttl},
    report::Report,
    server::{Family, Role},
    time::Timestamp,
    vantage::{Fitness, Objection, VantageId},
};

use super::Seen;

/// How many of the questions to living servers stayed without answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Loss {
    /// Questions asked of servers that are alive.
    pub asked: usize,
    /// Of these, those without answer.
    pub lost: usize,
}

impl Loss {
    /// Returns whether silence cannot be told from loss: at least 5 % and at least two.
    #[must_use]
    pub fn is_too_high(self) -> bool {
        self.lost >= 2 && self.lost * 20 >= self.asked
    }
}

/// A vantage point, by its controls.
#[derive(Clone, Debug)]
pub struct Vantage<'e> {
    /// Identity.
    pub id: &'e VantageId,
    /// Whether it may testify.
    pub fitness: Fitness,
    /// Families in which it asked, or was to ask, a root or parent server.
    pub tried: BTreeSet<Family>,
    /// Families and transports in which it asked, or was to ask, a root or parent server.
    pub asked: BTreeSet<(Family, Via)>,
    /// Families and transports in which some authoritative server answered.
    pub heard: BTreeSet<(Family, Via)>,
    /// Loss (control C8).
    pub loss: Loss,
    /// Questions that were answered only after their patience was over.
    pub late: usize,
    /// Resolver addresses that invent answers for names that do not exist (control C5).
    pub hijacked: BTreeSet<IpAddr>,
    /// Answers that nobody should have given.
    pub suspicious: Vec<Source>,
    /// Questions to root and parent servers without answer, in families and over transports in
    /// which nothing answers.
    pub unanswered: Vec<Source>,
    /// What the controls noticed, one line each.
    pub notes: Vec<String>,
    /// Packets sent.
    pub packets: u32,
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub elapsed: Duration,
    /// Where it stands, if its coordinator said so.
    pub place: Option<&'e Place>,
    /// What is held against it, whatever its controls say.
    pub objections: BTreeSet<Objection>,
}

impl<'e> Vantage<'e> {
    /// Reads the controls of a report.
    #[must_use]
    pub fn of(report: &'e Report) -> Self {
        let all: Vec<Seen> = super::all(report).collect();
        let (asked, heard) = (asked(&all, &report.vantage.families), heard(&all));
        let mut vantage = Self {
            id: &report.vantage.id,
            fitness: Fitness::Healthy,
            tried: asked.iter().map(|(family, _)| *family).collect(),
            asked,
            loss: loss(&all, &heard),
            heard,
            late: all
                .iter()
                .filter(|seen| matches!(seen.outcome, Outcome::Late(_)))
                .count(),
            hijacked: hijacked(&all),
            suspicious: Vec::new(),
            unanswered: Vec::new(),
            notes: Vec::new(),
            packets: report.packets,
            started: report.started,
            elapsed: report.elapsed,
            place: None,
            objections: BTreeSet::new(),
        };
        vantage.judge(&all);
        vantage
    }

    /// Adds what its coordinator knows.
    #[must_use]
    pub fn at(self, place: Option<&'e Place>) -> Self {
        let objections = place.map(|place| place.objections.clone());
        Self {
            place,
            objections: objections.unwrap_or_default(),
            ..self
        }
    }

    /// Returns whether what it heard from authoritative servers counts.
    #[must_use]
    pub fn testifies(&self) -> bool {
        matches!(self.fitness, Fitness::Healthy | Fitness::Lossy)
            && !self.objections.iter().any(|o| o.forbids_testimony())
    }

    /// Returns whether its silence counts: it is healthy, and nothing is held against it.
    #[must_use]
    pub fn votes(&self) -> bool {
        self.fitness == Fitness::Healthy && self.objections.is_empty()
    }

    /// Returns whether some authoritative server answered in this family.
    #[must_use]
    pub fn alive(&self, family: Family) -> bool {
        self.heard.iter().any(|(heard, _)| *heard == family)
    }

    /// Returns the families in which it reaches anything.
    #[must_use]
    pub fn families(&self) -> BTreeSet<Family> {
        self.heard.iter().map(|(family, _)| *family).collect()
    }

    /// Returns whether it asked root or parent servers that way, and none answered.
    #[must_use]
    pub fn lacks(&self, family: Family, via: Via) -> bool {
        self.asked.contains(&(family, via)) && !self.heard.contains(&(family, via))
    }

    /// Returns what to call it in a sentence.
    #[must_use]
    pub fn called(&self) -> &'e str {
        match self.id.0.as_str() {
            "local" => "this machine",
            other => other,
        }
    }

    /// Returns whether silence in this family over this transport says something about the
    /// server: the vantage point votes and others answer it that way.
    #[must_use]
    pub fn silence_counts(&self, family: Family, via: Via) -> bool {
        self.votes() && self.heard.contains(&(family, via))
    }

    fn judge(&mut self, all: &[Seen]) {
        self.note_families(all);
        let blackhole = self.note_blackhole(all);
        let proxied = self.note_answers_for_others(all);
        let always_yes = self.note_inventions(all);
        self.note_case(all);
        if self.loss.lost > 0 {
            self.notes.push(format!(
                "{} of {} questions to servers that are alive stayed without answer",
                self.loss.lost, self.loss.asked
            ));
        }
        self.fitness = if blackhole || proxied {
            Fitness::Intercepted
        } else if self.heard.is_empty() {
            Fitness::Offline
        } else if always_yes {
            Fitness::Sick
        } else if self.loss.is_too_high() {
            Fitness::Lossy
        } else {
            Fitness::Healthy
        };
    }

    fn note_families(&mut self, all: &[Seen]) {
        self.unanswered = all
            .iter()
            .copied()
            .filter(|s| upwards(s) && self.lacks(Family::of(s.server.address), s.via))
            .map(|s| s.source())
            .collect();
        for family in self.tried.clone() {
            if !self.alive(family) {
                self.notes.push(format!("nothing answers over {family}"));
                continue;
            }
            for (via, text) in [(Via::Udp, "UDP"), (Via::Tcp, "TCP")] {
                if self.lacks(family, via) {
                    self.notes
                        .push(format!("nothing answers over {family} {text}"));
                }
            }
        }
    }

    /// C3: an address where nothing may answer.
    fn note_blackhole(&mut self, all: &[Seen]) -> bool {
        let answered = all
            .iter()
            .find(|s| s.role == Role::Blackhole && s.reply().is_some());
        if let Some(seen) = answered {
            self.suspicious.push(seen.source());
            self.notes.push(format!(
                "{} answers, though nothing may answer there",
                seen.server.address
            ));
        }
        answered.is_some()
    }

    /// C4: recursion offered in the place of root and parent servers, errors from all of them
    /// about their own zones, or TTLs that count down.
    fn note_answers_for_others(&mut self, all: &[Seen]) -> bool {
        let mut offers: BTreeMap<IpAddr, bool> = BTreeMap::new();
        let over_udp = |s: &&Seen| s.via == Via::Udp && upwards(s);
        for seen in all.iter().filter(over_udp) {
            if let Some(message) = seen.reply().filter(|_| !seen.options.recursion_desired) {
                *offers.entry(seen.server.address).or_default() |=
                    message.flags.recursion_available;
            }
        }
        let offering = offers.values().filter(|offers| **offers).count();
        let everybody = offering >= 2 && offering * 2 >= offers.len();
        if everybody {
            let offered = all
                .iter()
                .filter(over_udp)
                .filter(|s| s.reply().is_some_and(|m| m.flags.recursion_available));
            self.suspicious.extend(offered.map(|s| s.source()));
            self.notes.push(format!(
                "{offering} of {} root and parent servers seem to offer recursion",
                offers.len()
            ));
        }
        let disowning = disowning(all);
        if !disowning.is_empty() {
            self.notes.push(format!(
                "all of {} root and parent servers seem to know nothing of their own zones",
                disowning.len()
            ));
            self.suspicious.extend(disowning.values().cloned());
        }
        let counting = counting_down(all);
        if let Some(later) = counting {
            self.suspicious.push(later.source());
            self.notes.push(format!(
                "the TTLs of {} count down as in a cache",
                later.server.address
            ));
        }
        everybody || counting.is_some() || !disowning.is_empty()
    }

    /// C5: returns whether even authoritative servers seem to invent answers.
    fn note_inventions(&mut self, all: &[Seen]) -> bool {
        for address in &self.hijacked {
            self.notes.push(format!(
                "the resolver {address} invents answers for names that do not exist"
            ));
        }
        let invented_by = control(all, Control::Absent).filter(invented);
        self.suspicious.extend(invented_by.map(|s| s.source()));
        let parent =
            control(all, Control::Absent).any(|s| s.role != Role::Resolver && invented(&s));
        if parent {
            self.notes
                .push("the parent zone answers for names that do not exist".to_owned());
        }
        parent && !self.hijacked.is_empty()
    }

    /// C9: a note only; some servers fold the case of what they are asked.
    fn note_case(&mut self, all: &[Seen]) {
        let folded = all.iter().filter(|s| s.case_kept == Some(false)).count();
        if folded > 0 {
            self.notes.push(format!(
                "{folded} answers did not keep the case of the question"
            ));
        }
    }
}

/// Root and parent servers that answer with an error for the apex of their own zone, if it is all
/// of two or more: one may be lame, but then others are not.
fn disowning(all: &[Seen]) -> BTreeMap<IpAddr, Source> {
    let own = all
        .iter()
        .copied()
        .filter(|seen| upwards(seen) && seen.question.name == seen.zone)
        .filter_map(|seen| Some((seen, seen.reply()?)));
    let mut errors = BTreeMap::new();
    for (seen, message) in own {
        if message.rcode == Rcode::NOERROR {
            return BTreeMap::new();
        }
        errors.insert(seen.server.address, seen.source());
    }
    if errors.len() < 2 {
        errors.clear();
    }
    errors
}

fn control<'e>(all: &[Seen<'e>], wanted: Control) -> impl Iterator<Item = Seen<'e>> {
    let purpose = Purpose::Control(wanted);
    all.iter()
        .copied()
        .filter(move |seen| seen.purpose == purpose)
}

fn upwards(seen: &Seen) -> bool {
    matches!(seen.role, Role::Root | Role::Parent)
}

fn authoritative(seen: &Seen) -> bool {
    matches!(seen.role, Role::Root | Role::Parent | Role::Child)
}

fn asked(all: &[Seen], families: &BTreeSet<Family>) -> BTreeSet<(Family, Via)> {
    let ways = all
        .iter()
        .copied()
        .filter(upwards)
        .map(|seen| (Family::of(seen.server.address), seen.via))
        .filter(|(family, _)| families.contains(family));
    distinct(ways)
}

fn heard(all: &[Seen]) -> BTreeSet<(Family, Via)> {
    let ways = all
        .iter()
        .copied()
        .filter(|seen| authoritative(seen) && seen.reply().is_some())
        .map(|seen| (Family::of(seen.server.address), seen.via));
    distinct(ways)
}

/// Of many values the few that there are. Collecting would sort them all first.
fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> BTreeSet<T> {
    let mut few = BTreeSet::new();
    few.extend(values);
    few
}

/// C8. A question counts if the same address answered another one over the same transport and
/// with EDNS alike, or, at a root or parent server, any other one: those are expected to answer
/// every way, as far as the family has that transport here at all. A way in which an address
/// never answers counts once, since it may be closed for good.
fn loss(all: &[Seen], heard: &BTreeSet<(Family, Via)>) -> Loss {
    let asked = all.iter().copied().filter(authoritative);
    let (answered, silent): (Vec<Seen>, Vec<Seen>) = asked.partition(|s| s.reply().is_some());
    let kept = answered
        .iter()
        .filter(|s| counted(s) && expected(s))
        .count();
    let lost = lost(&answered, &silent, heard);
    Loss {
        asked: kept + lost,
        lost,
    }
}

/// How many questions stayed without answer that count. Where all were answered, as they mostly
/// are, nobody need know which ways work.
fn lost(answered: &[Seen], silent: &[Seen], heard: &BTreeSet<(Family, Via)>) -> usize {
    if silent.is_empty() {
        return 0;
    }
    let way = |seen: &Seen| (seen.server.address, seen.via, seen.options.edns);
    let ways: BTreeSet<(IpAddr, Via, bool)> = distinct(answered.iter().map(way));
    let alive: BTreeSet<IpAddr> = ways.iter().map(|(address, ..)| *address).collect();
    let mut closed = BTreeSet::new();
    let mut lost = 0;
    for seen in silent {
        let address = seen.server.address;
        let expected = if ways.contains(&way(seen)) {
            expected(seen)
        } else {
            upwards(seen) && alive.contains(&address) && closed.insert((address, seen.via))
        };
        let heard = || heard.contains(&(Family::of(address), seen.via));
        if expected && counted(seen) && seen.outcome == Outcome::Silence && heard() {
            lost += 1;
        }
    }
    lost
}

/// Whether every server that is alive answers this.
fn expected(seen: &Seen) -> bool {
    upwards(seen) || plain_question(seen)
}

/// A connection is lost or kept as a whole: its first question stands for it.
fn counted(seen: &Seen) -> bool {
    seen.via != Via::Tcp || seen.id.question == 0
}

/// SOA and NS: what every server of a zone answers. It may drop other types for ever, so only
/// these tell loss from that.
fn plain_question(seen: &Seen) -> bool {
    matches!(seen.question.record_type, RecordType::SOA | RecordType::NS)
}

fn invented(seen: &Seen) -> bool {
    seen.reply().is_some_and(|m| {
        m.rcode == Rcode::NOERROR && m.answer.iter().any(|r| r.data.address().is_some())
    })
}

fn hijacked(all: &[Seen]) -> BTreeSet<IpAddr> {
    control(all, Control::Absent)
        .filter(|s| s.role == Role::Resolver && invented(s))
        .map(|s| s.server.address)
        .collect()
}

/// A server whose referral three seconds later has smaller TTLs than at first.
fn counting_down<'e>(all: &[Seen<'e>]) -> Option<Seen<'e>> {
    control(all, Control::Constancy).find_map(|later| {
        let first = all.iter().copied().find(|first| {
            first.purpose == Purpose::Parent
                && first.server.address == later.server.address
                && first.via == later.via
                && first.question == later.question
                && first.sent < later.sent
                && first.reply().is_some()
        })?;
        let (before, after) = (ttls(&first), ttls(&later));
        let fewer = after
            .iter()
            .any(|(name, ttl)| before.get(name).is_some_and(|first| ttl < first));
        let more = after
            .iter()
            .any(|(name, ttl)| before.get(name).is_some_and(|first| ttl > first));
        (fewer && !more).then_some(later)
    })
}

fn ttls<'e>(seen: &Seen<'e>) -> BTreeMap<(&'e Name, RecordType), Ttl> {
    let message = seen.observation.reply();
    message
        .iter()
        .flat_map(|m| m.authority.iter().chain(&m.additional))
        .map(|record| ((&record.name, record.record_type()), record.ttl))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture};

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";

    #[test]
    fn controls_decide_who_may_testify() {
        let world = || Fixture::healthy(BOTH);
        let dead = || world().parent_acts("198.51.100.1", &Acts::Silent);
        let cases = [
            (world(), Fitness::Healthy, "all is well"),
            (
                world().lose(1),
                Fitness::Healthy,
                "one lost packet is no loss",
            ),
            (world().lose(2), Fitness::Lossy, "two of some thirty are"),
            (
                dead(),
                Fitness::Healthy,
                "a server that never answers is dead, not lossy",
            ),
            (
                world().acts("192.0.2.1", Acts::TcpOnly),
                Fitness::Healthy,
                "a server of the zone without UDP says nothing about this place",
            ),
            (
                world().parent_acts("198.51.100.1", &Acts::TcpOnly),
                Fitness::Healthy,
                "a single silence is no loss either",
            ),
            (
                world().parent_acts("*", &Acts::Recursive),
                Fitness::Intercepted,
                "parent servers that offer recursion are not those asked",
            ),
            (
                world().parent_acts("198.51.100.1", &Acts::Recursive),
                Fitness::Healthy,
                "one that does is odd, but itself",
            ),
            (
                world().blackhole_answers(),
                Fitness::Intercepted,
                "an answer from nowhere",
            ),
            (
                world().hijacked("google"),
                Fitness::Healthy,
                "a matter of the resolver",
            ),
            (
                world().without(Family::V6),
                Fitness::Healthy,
                "half of the Internet",
            ),
            (world().offline(), Fitness::Offline, "none of it"),
        ];
        for (world, expected, why) in cases {
            let report = world.report();
            let vantage = Vantage::of(&report);
            assert_eq!(vantage.fitness, expected, "{why}: {:?}", vantage.notes);
        }
    }

    #[test]
    fn silence_counts_where_others_answer() {
        let world = || Fixture::healthy(BOTH);
        let cases = [
            (world(), [true; 4], "all ways work"),
            (
                world().without(Family::V6),
                [true, true, false, false],
                "no IPv6",
            ),
            (world().without_tcp(), [true, false, true, false], "no TCP"),
            (world().lose(5), [false; 4], "lossy"),
        ];
        for (world, expected, why) in cases {
            let report = world.report();
            let vantage = Vantage::of(&report);
            let ways =
                Family::ALL.map(|f| [Via::Udp, Via::Tcp].map(|v| vantage.silence_counts(f, v)));
            assert_eq!(ways.concat(), expected, "{why}");
        }
    }
}
