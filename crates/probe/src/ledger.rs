//! What was asked, what came of it, and what more may be asked (limits B1 to B3).
//!
//! The transport enforces the same limits once more at the socket; planning
//! with them here lets the important questions go first and names what was
//! left out.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use bailiwick_core::{
    limit::Limits,
    message::Question,
    observation::{Observation, ObservationId, Outcome, Withheld},
    query::{Query, QueryId, Via},
};

/// The accounts of one check.
#[derive(Debug)]
pub(crate) struct Ledger {
    limits: Limits,
    next: u32,
    packets: u32,
    to_address: BTreeMap<IpAddr, u32>,
    of_question: BTreeMap<(IpAddr, Via, Question), u32>,
    flying: BTreeMap<QueryId, Flight>,
    observations: BTreeMap<ObservationId, Observation>,
    answered: usize,
    asked: usize,
    refused: usize,
}

#[derive(Debug)]
struct Flight {
    query: Query,
    sent: Duration,
    /// Questions without an outcome.
    open: u32,
}

impl Ledger {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            next: 0,
            packets: 0,
            to_address: BTreeMap::new(),
            of_question: BTreeMap::new(),
            flying: BTreeMap::new(),
            observations: BTreeMap::new(),
            answered: 0,
            asked: 0,
            refused: 0,
        }
    }

    /// Books a query and gives it its number.
    ///
    /// # Errors
    ///
    /// Returns the limit that forbids it; then nothing is booked.
    pub(crate) fn book(&mut self, now: Duration, mut query: Query) -> Result<Query, Withheld> {
        let address = query.server.address;
        let to_address = self.to_address.get(&address).copied().unwrap_or(0);
        let key = |question: &Question| (address, query.via, question.clone());
        let repeated = query.questions.iter().any(|question| {
            self.of_question
                .get(&key(question))
                .is_some_and(|&n| n >= self.limits.same_question)
        });
        let refusal = if self.packets >= self.limits.packets {
            Some(Withheld::Packets)
        } else if to_address >= self.limits.packets_per_address {
            Some(Withheld::PacketsToAddress)
        } else if repeated {
            Some(Withheld::SameQuestion)
        } else {
            None
        };
        if let Some(withheld) = refusal {
            self.refused += 1;
            return Err(withheld);
        }
        self.packets += 1;
        self.to_address.insert(address, to_address + 1);
        for question in &query.questions {
            *self.of_question.entry(key(question)).or_insert(0) += 1;
        }
        query.id = QueryId(self.next);
        self.next += 1;
        self.asked += query.questions.len();
        let open = u32::try_from(query.questions.len()).unwrap_or(u32::MAX);
        self.flying.insert(
            query.id,
            Flight {
                query: query.clone(),
                sent: now,
                open,
            },
        );
        Ok(query)
    }

    /// Returns whether an observation says more than is known of its question.
    pub(crate) fn is_news(&self, observation: &Observation) -> bool {
        self.observations
            .get(&observation.id)
            .is_none_or(|known| observation.outcome.rank() < known.outcome.rank())
    }

    /// Keeps an observation.
    pub(crate) fn keep(&mut self, observation: Observation) {
        let id = observation.id;
        if let Some(known) = self.observations.remove(&id) {
            self.observations.insert(id, known.join(observation));
            return;
        }
        self.answered += 1;
        if let Some(flight) = self.flying.get_mut(&id.query) {
            flight.open = flight.open.saturating_sub(1);
            if flight.open == 0 {
                let flight = self.flying.remove(&id.query);
                self.give_back(flight, &observation.outcome);
            }
        }
        self.observations.insert(id, observation);
    }

    /// What never left this machine cost nobody anything.
    fn give_back(&mut self, flight: Option<Flight>, outcome: &Outcome) {
        if let (Some(flight), Outcome::Withheld(_)) = (flight, outcome) {
            self.packets = self.packets.saturating_sub(1);
            let address = flight.query.server.address;
            if let Some(count) = self.to_address.get_mut(&address) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Returns whether no question of this kind is without an outcome.
    pub(crate) fn settled(&self, mut kind: impl FnMut(&Query) -> bool) -> bool {
        !self.flying.values().any(|flight| kind(&flight.query))
    }

    /// Returns whether a question of this kind got no answer in time that may still come.
    pub(crate) fn is_waiting(&self, mut kind: impl FnMut(&Observation) -> bool) -> bool {
        self.observations.values().any(|observation| {
            observation.via == Via::Udp
                && observation.outcome == Outcome::Silence
                && kind(observation)
        })
    }

    /// Returns how many questions were asked and how many have an outcome.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.asked, self.answered)
    }

    /// Returns how many queries were refused for a limit.
    pub(crate) fn refused(&self) -> usize {
        self.refused
    }

    pub(crate) fn observations(&self) -> &BTreeMap<ObservationId, Observation> {
        &self.observations
    }

    /// Returns all observations; whatever has no outcome yet was silent for as long as it was
    /// listened to.
    pub(crate) fn close(mut self, now: Duration) -> BTreeMap<ObservationId, Observation> {
        for flight in self.flying.values() {
            for question in 0..flight.query.questions.len() {
                let mut silent =
                    Observation::of(&flight.query, question, flight.sent, Outcome::Silence);
                silent.elapsed = now.saturating_sub(flight.sent);
                self.observations.entry(silent.id).or_insert(silent);
            }
        }
        self.observations
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_core::{
        name::Name,
        query::{Options, Purpose},
        record::RecordType,
        server::{Role, Server},
    };

    fn query(last: u8, record_type: RecordType) -> Query {
        Query {
            id: QueryId(0),
            server: Server {
                name: Name::root(),
                address: IpAddr::from([192, 0, 2, last]),
            },
            role: Role::Root,
            zone: Name::root(),
            purpose: Purpose::Walk,
            via: Via::Udp,
            questions: vec![Question::new(Name::root(), record_type)],
            options: Options::ITERATIVE,
            patience: Duration::from_secs(1),
        }
    }

    #[test]
    fn limits_refuse_what_is_too_much() {
        let mut ledger = Ledger::new(Limits::FULL_ROUND);
        for _ in 0..3 {
            assert!(
                ledger
                    .book(Duration::ZERO, query(1, RecordType::NS))
                    .is_ok()
            );
        }
        let fourth = ledger.book(Duration::ZERO, query(1, RecordType::NS));
        assert_eq!(fourth, Err(Withheld::SameQuestion), "B3");
        for number in 100..109 {
            assert!(
                ledger
                    .book(Duration::ZERO, query(1, RecordType(number)))
                    .is_ok()
            );
        }
        let thirteenth = ledger.book(Duration::ZERO, query(1, RecordType(200)));
        assert_eq!(thirteenth, Err(Withheld::PacketsToAddress), "B2");
        for number in 0..308_u32 {
            let other = query(
                2 + u8::try_from(number / 12).unwrap(),
                RecordType(u16::try_from(number).unwrap()),
            );
            assert!(ledger.book(Duration::ZERO, other).is_ok());
        }
        let last = ledger.book(Duration::ZERO, query(250, RecordType::A));
        assert_eq!((last, ledger.packets), (Err(Withheld::Packets), 320), "B1");
    }
}
