//! Zones of people who mean harm, made from seeds.
//!
//! ```text
//!  Family::zone(number, index) ─▶ Zone ─┬─ what the registries of com and net are told
//!                                       ├─ what its servers do about each question
//!                                       ├─ what the program is to do: check, or trace
//!                                       └─ what must come of it
//! ```
//!
//! Each [`Family`] is one threat and one file. It has *shapes*, the table of
//! what can be varied on purpose, and takes everything else from a seed; an
//! index counts through the shapes, then through seeds. [`corpus`] mixes all
//! families. [`world`] puts zones on a host in an Internet of namespaces and
//! runs a program against them; [`server`] plays their scripts.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_core::message::Question;
use bailiwick_core::name::Name;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::internet::standard::Delegation;

mod alias_loops;
mod bad_referrals;
mod black_holes;
mod compositions;
mod cycles;
mod descent;
mod fan_out;
pub mod judge;
mod junk;
pub mod log;
mod malformed;
pub mod names;
pub mod realm;
pub mod script;
pub mod server;
mod special_use;
mod streams;
pub mod world;

use names::{apex, two_hosts};
use script::{Asked, Script};
use server::Play;

/// What the program is given by default.
const GIVEN: Duration = Duration::from_secs(5);

/// A threat, and the kind of zone that carries it out.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// Referrals to many names without glue (NXNSAttack).
    FanOut,
    /// Name servers that never answer (NRDelegation).
    BlackHoles,
    /// Delegations that lead round in a circle (TsuNAME).
    Cycles,
    /// Delegations that go down for ever (iDNS).
    Descent,
    /// Aliases times name servers times minimised names (CAMP).
    Compositions,
    /// Aliases that lead round in a circle.
    AliasLoops,
    /// Referrals that lead upwards, sideways or nowhere.
    BadReferrals,
    /// Name servers at addresses that are nobody's business.
    SpecialUse,
    /// TCP connections that never come to an end.
    Streams,
    /// Messages that are none.
    Malformed,
    /// Junk before the true answer.
    Junk,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::FanOut,
        Self::BlackHoles,
        Self::Cycles,
        Self::Descent,
        Self::Compositions,
        Self::AliasLoops,
        Self::BadReferrals,
        Self::SpecialUse,
        Self::Streams,
        Self::Malformed,
        Self::Junk,
    ];

    /// Returns how many of a thousand zones are of this family.
    #[must_use]
    pub const fn share(self) -> usize {
        match self {
            Self::FanOut | Self::AliasLoops => 112,
            Self::BlackHoles => 72,
            Self::Junk => 48,
            Self::Cycles => 80,
            Self::Descent => 32,
            Self::Compositions => 136,
            Self::BadReferrals => 60,
            Self::SpecialUse => 80,
            Self::Streams | Self::Malformed => 134,
        }
    }

    /// Returns how many shapes the family has, before seeds only vary them.
    #[must_use]
    pub fn shapes(self) -> usize {
        match self {
            Self::FanOut => fan_out::SHAPES,
            Self::BlackHoles => black_holes::SHAPES,
            Self::Cycles => cycles::SHAPES,
            Self::Descent => descent::SHAPES,
            Self::Compositions => compositions::SHAPES,
            Self::AliasLoops => alias_loops::SHAPES,
            Self::BadReferrals => bad_referrals::SHAPES,
            Self::SpecialUse => special_use::shapes(),
            Self::Streams => streams::SHAPES,
            Self::Malformed => malformed::SHAPES,
            Self::Junk => junk::SHAPES,
        }
    }

    /// Makes a zone: `number` names it, `index` says which of the family it is.
    #[must_use]
    pub fn zone(self, number: usize, index: usize) -> Zone {
        let shape = spread(index % self.shapes(), self.shapes());
        let seed = (self as u64) << 32 | index as u64;
        let seed = Seed {
            number,
            shape,
            turn: index / self.shapes(),
            random: StdRng::seed_from_u64(seed),
        };
        let plan = match self {
            Self::FanOut => fan_out::plan(seed),
            Self::BlackHoles => black_holes::plan(seed),
            Self::Cycles => cycles::plan(seed),
            Self::Descent => descent::plan(seed),
            Self::Compositions => compositions::plan(seed),
            Self::AliasLoops => alias_loops::plan(seed),
            Self::BadReferrals => bad_referrals::plan(seed),
            Self::SpecialUse => special_use::plan(seed),
            Self::Streams => streams::plan(seed),
            Self::Malformed => malformed::plan(seed),
            Self::Junk => junk::plan(seed),
        };
        Zone {
            family: self,
            number,
            about: plan.about,
            delegations: plan.delegations,
            play: plan.play,
            task: plan.task,
            given: plan.given,
            expected: plan.expected,
        }
    }
}

/// Goes through all shapes in steps, so that the first few differ much.
fn spread(index: usize, shapes: usize) -> usize {
    let coprime = |step: &usize| {
        let (mut a, mut b) = (shapes, *step);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a == 1
    };
    // Near the golden ratio the steps leave no large gaps.
    let first = shapes * 618 / 1000 + 1;
    let step = (first..first + shapes).find(coprime).unwrap_or(1);
    index * step % shapes
}

/// What makes a zone the one it is.
struct Seed {
    number: usize,
    shape: usize,
    /// How often all shapes have been made before.
    turn: usize,
    random: StdRng,
}

impl Seed {
    /// Takes one of `choices` from the shape, and leaves the rest of it.
    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        let choice = choices[self.shape % choices.len()].clone();
        self.shape /= choices.len();
        choice
    }

    fn apex(&self, part: &str, tld: &str) -> String {
        apex(self.number, part, tld)
    }
}

/// What a family says of a zone.
struct Plan {
    about: String,
    delegations: Vec<Delegation>,
    play: Play,
    task: Task,
    given: Duration,
    expected: Expected,
}

impl Plan {
    /// A check of a zone, both apexes delegated to servers 0 and 1.
    fn check(seed: &Seed, zone: &str, about: String, play: Play) -> Self {
        Self {
            about,
            delegations: ["com", "net"]
                .map(|tld| delegation(&seed.apex("", tld), &two_hosts([0, 1])))
                .into(),
            play,
            task: Task::Check(name(zone)),
            given: GIVEN,
            expected: Expected::default(),
        }
    }

    /// Replaces what a registry is told of a zone, or adds it.
    fn registered(mut self, zone: &str, text: &str) -> Self {
        self.delegations.retain(|known| known.zone != zone);
        self.delegations.push(delegation(zone, text));
        self
    }

    fn expecting(mut self, expected: Expected) -> Self {
        self.expected = expected;
        self
    }
}

fn delegation(zone: &str, text: &str) -> Delegation {
    Delegation {
        zone: zone.to_owned(),
        text: text.to_owned(),
    }
}

/// Reads a name that the generator wrote.
fn name(text: &str) -> Name {
    text.parse().expect("names of the generator are names")
}

fn play(play: impl Fn(&Asked) -> Script + Send + Sync + 'static) -> Play {
    Arc::new(play)
}

/// What the program is asked to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Task {
    /// `check`.
    Check(Name),
    /// `trace`.
    Trace(Question),
}

/// What must come of it, beyond the limits that always hold.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Findings of which one at least is made; none: any will do.
    pub findings: Vec<&'static str>,
    /// Findings that are not made.
    pub never: Vec<&'static str>,
    /// States of which it is one; none: any will do.
    pub states: Vec<&'static str>,
    /// Addresses that are asked nothing.
    pub traps: Vec<IpAddr>,
    /// The most packets of all.
    pub most_packets: Option<u64>,
    /// The most packets that the attack may cause ([`judge::attacked`]).
    pub most_for_attack: Option<u64>,
    /// The last server that is asked, where servers stand for steps.
    pub last_server: Option<u8>,
    /// Whether resolvers are to be asked, too, if it matters.
    pub resolvers: Option<bool>,
}

/// A hostile zone.
#[derive(Clone)]
pub struct Zone {
    /// The threat.
    pub family: Family,
    /// The number in its names.
    pub number: usize,
    /// What is special about it, for whoever reads of a failure.
    pub about: String,
    /// What the registries are told.
    pub delegations: Vec<Delegation>,
    /// What its servers do.
    pub play: Play,
    /// What the program is asked.
    pub task: Task,
    /// The time that it is given.
    pub given: Duration,
    /// What must come of it.
    pub expected: Expected,
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{:?} {}: {}",
            self.family, self.number, self.about
        )
    }
}

/// Returns so many zones of all families, each with its share, those of one
/// family apart from each other. `first` is the index at which each begins.
#[must_use]
pub fn corpus(zones: usize, first: usize) -> Vec<Zone> {
    let mut wanted: Vec<(Family, usize, usize)> = Family::ALL
        .into_iter()
        .flat_map(|family| {
            let count = (family.share() * zones).div_ceil(1000);
            (0..count).map(move |index| (family, index, count))
        })
        .collect();
    // The place of each within its family decides, so that all are spread.
    wanted.sort_by_key(|(family, index, count)| ((2 * index + 1) * 500_000 / count, *family));
    wanted
        .into_iter()
        .enumerate()
        .map(|(number, (family, index, _))| family.zone(number + 1, first + index))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::script::Step;
    use super::*;
    use crate::internet::switch::Transport;
    use bailiwick_core::query::Options;
    use bailiwick_core::record::RecordType;
    use bailiwick_wire::{dns, zone};

    #[test]
    fn the_shares_are_a_whole() {
        let sum: usize = Family::ALL.iter().map(|family| family.share()).sum();
        assert_eq!(sum, 1000);
        assert_eq!(corpus(1000, 0).len(), 1000);
        for family in Family::ALL {
            assert!(
                family.share() >= 30,
                "{family:?} is seen in a short run, too"
            );
        }
    }

    #[test]
    fn steps_through_shapes_miss_none() {
        for shapes in [1, 2, 3, 7, 48, 60, 112, 180, 257] {
            let seen: BTreeSet<usize> = (0..shapes).map(|index| spread(index, shapes)).collect();
            assert_eq!(seen.len(), shapes, "{shapes} shapes");
        }
    }

    /// The questions that a checker asks a server of a zone, and some more.
    fn questions(zone: &Zone) -> Vec<Question> {
        let target = match &zone.task {
            Task::Check(name) => name.clone(),
            Task::Trace(question) => question.name.clone(),
        };
        let apex: Name = names::apex(zone.number, "", "com").parse().unwrap();
        let mut questions = Vec::new();
        for name in [target.clone(), apex.clone()] {
            for record_type in [RecordType::NS, RecordType::SOA, RecordType::A] {
                questions.push(Question::new(name.clone(), record_type));
            }
            questions.extend(
                [b"ns1".as_slice(), b"absent"]
                    .into_iter()
                    .filter_map(|label| name.child(label).ok())
                    .map(|name| Question::new(name, RecordType::A)),
            );
        }
        questions
    }

    /// Asks every server of a zone everything; returns what it would send at once.
    fn answers(zone: &Zone) -> Vec<(Family, Step)> {
        let mut steps = Vec::new();
        for question in questions(zone) {
            for options in [Options::ITERATIVE, Options::PLAIN] {
                let query = dns::encode_query(&question, &options, 7, u64::MAX / 3);
                for server in 0..8 {
                    for via in [Transport::Udp, Transport::Tcp] {
                        let to = names::v4(server);
                        let asked = Asked::read(&query, to, via).unwrap();
                        steps.extend((zone.play)(&asked).into_iter().map(|s| (zone.family, s)));
                    }
                }
            }
        }
        steps
    }

    #[test]
    fn every_shape_can_be_made_registered_and_asked() {
        for family in Family::ALL {
            for index in 0..family.shapes() {
                let zone = family.zone(index + 1, index);
                assert!(!zone.about.is_empty());
                for Delegation { zone: apex, text } in &zone.delegations {
                    let origin: Name = apex.parse().unwrap();
                    assert_eq!(names::number_of(&origin), Some(index + 1), "{apex}");
                    let records = zone::records(text, &origin);
                    assert!(records.is_ok(), "{zone:?}: {records:?}\n{text}");
                }
            }
        }
    }

    #[test]
    fn what_is_well_formed_can_be_read_and_what_is_not_does_not_panic() {
        for family in Family::ALL {
            let zones: Vec<Zone> = (0..family.shapes().min(16))
                .map(|index| family.zone(index + 1, index))
                .collect();
            for zone in &zones {
                for (_, step) in answers(zone) {
                    let Step::Send(octets) = step else { continue };
                    let decoded = dns::decode(&octets);
                    let framed = octets.get(2..).map(dns::decode);
                    let honest =
                        !matches!(family, Family::Malformed | Family::Junk | Family::Streams);
                    let is_read = decoded.is_ok() || matches!(framed, Some(Ok(_)));
                    assert!(!honest || is_read, "{zone:?}: {decoded:?}");
                }
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_zone_again() {
        for family in Family::ALL {
            let [once, again] = [family.zone(5, 77), family.zone(5, 77)];
            assert_eq!(once.about, again.about);
            assert_eq!(answers(&once), answers(&again), "{once:?}");
        }
    }
}
