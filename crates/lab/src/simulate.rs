//! A check in a world without sockets and without waiting.
//!
//! [`simulate`] is the loop of `bailiwick-transport` with simulated time: a queue of what will
//! arrive when. Equal worlds, settings and machines give equal runs.
//!
//! What the transport promises holds here, too: each question has one outcome in time, an answer
//! over UDP that comes after all is [`Outcome::Late`](bailiwick_core::observation::Outcome::Late), limits B1, B2, B3, B8 and B10 are kept, and
//! whatever is not sent is [`Outcome::Withheld`](bailiwick_core::observation::Outcome::Withheld).

use std::{collections::BTreeMap, time::Duration};

use bailiwick_core::{
    limit::Limits,
    observation::Observation,
    report::{Report, RoundId},
    vantage::{VantageId, VantagePoint},
};
use bailiwick_probe::{Ended, Machine, Session};

use crate::{
    network::Network,
    scenario::{START, Scenario},
    world::World,
};

/// Steps after which a machine that is still not finished is said to go round in circles.
const STEPS: usize = 100_000;

/// From where a check looks, and what it may do.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The name of the vantage point in the world; one that the world lacks has a clean path.
    pub vantage: &'a str,
    /// Decides which datagrams are lost.
    pub seed: u64,
    /// The limits.
    pub limits: Limits,
    /// Whether addresses that are not globally reachable may be asked.
    pub allow_special_use: bool,
}

impl Settings<'_> {
    /// Returns the settings of a laboratory: the vantage point `local`, all addresses allowed.
    #[must_use]
    pub fn laboratory() -> Settings<'static> {
        Settings {
            vantage: "local",
            seed: 1,
            limits: Limits::FULL_ROUND,
            allow_special_use: true,
        }
    }
}

/// Lets a machine run in the world until it is finished. Returns how long that took in simulated
/// time, and how many packets were sent.
///
/// # Panics
///
/// Panics if the machine is not finished after a hundred thousand steps: it goes in circles.
pub fn simulate<M: Machine>(
    machine: &mut M,
    world: &World,
    settings: &Settings<'_>,
) -> (Duration, u32) {
    let mut network = Network::new(world, settings);
    let mut arriving: BTreeMap<(Duration, u64), Observation> = BTreeMap::new();
    let mut now = Duration::ZERO;
    let mut number = 0;
    for _ in 0..STEPS {
        while let Some(query) = machine.poll_query(now) {
            for (at, observation) in network.exchange(&query, now) {
                arriving.insert((at, number), observation);
                number += 1;
            }
        }
        if machine.is_finished(now) {
            return (now, network.packets());
        }
        let next = arriving.keys().next().map(|(at, _)| *at);
        // A machine that wants to be woken at once gets a pause, as from the transport.
        let wake = machine
            .next_wake()
            .map(|at| at.max(now + Duration::from_millis(1)));
        let Some(until) = next.into_iter().chain(wake).min() else {
            return (now, network.packets());
        };
        now = now.max(until);
        while let Some(entry) = arriving.first_entry() {
            if entry.key().0 > now {
                break;
            }
            machine.handle(now, entry.remove());
        }
    }
    panic!("the machine is not finished after {STEPS} steps");
}

impl Scenario {
    /// Runs the check of the scenario from every vantage point of its world.
    #[must_use]
    pub fn run(&self, seed: u64) -> Vec<Report> {
        self.world
            .vantages
            .iter()
            .map(|vantage| self.run_from(&vantage.name, seed))
            .collect()
    }

    fn run_from(&self, vantage: &str, seed: u64) -> Report {
        let settings = Settings {
            vantage,
            seed,
            limits: self.limits,
            allow_special_use: self.check.lab,
        };
        let mut session = Session::new(self.check.clone(), self.limits);
        let (elapsed, packets) = simulate(&mut session, &self.world, &settings);
        session.finish(Ended {
            vantage: VantagePoint {
                id: VantageId(vantage.to_owned()),
                families: self.check.families.clone(),
            },
            round: RoundId(1),
            started: START,
            elapsed,
            packets,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_runs_are_equal() {
        let text = include_str!("../../../tests/scenarios/vantage-lossy.txt");
        let scenario = Scenario::parse(text).unwrap();
        assert_eq!(scenario.run(7), scenario.run(7));
    }
}
