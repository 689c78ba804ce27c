//! What must hold of every run, whatever the zone does, and what must come of
//! the zone in particular.
//!
//! The limits are written here once more, as numbers: a limit that is changed
//! in the program must be changed by somebody who reads this, too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;

use super::names;
use super::special_use::is_special;
use super::world::Outcome;
use super::{Task, Zone};
use crate::internet::standard::{GTLD_SERVERS, RESOLVERS, ROOT_SERVERS};

/// B1: packets of a check.
const PACKETS: u64 = 320;
/// B2: packets to one address.
const PER_ADDRESS: u64 = 12;
/// B3: the same question to one address over one transport.
const SAME_QUESTION: usize = 3;
/// Beyond the time that the program was given.
const OVERTIME: Duration = Duration::from_secs(2);
/// Of the whole process, not only of the check (B11).
const PEAK_KIB: u64 = 64 * 1024;
/// B10: a connection from its acceptance to its end.
const CONNECTION: Duration = Duration::from_millis(5500);
/// Where control C3 sends what must not be answered.
const BLACKHOLES: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
/// The exit codes of the states, which 2 (no zone) is one of.
const STATES: [(&str, i64); 12] = [
    ("NOT_A_ZONE", 2),
    ("REGRESSED", 31),
    ("BROKEN", 30),
    ("DIVERGENT", 21),
    ("NOT_PUBLISHED", 12),
    ("PUBLISHING", 11),
    ("INCONCLUSIVE", 40),
    ("DEGRADED", 20),
    ("STALLED", 22),
    ("PUBLISHED_DRAINING", 10),
    ("CONFIRMED", 0),
    ("CONSISTENT", 0),
];
/// The exit codes of `trace` by its response code.
const RCODES: [(&str, i64); 3] = [("NOERROR", 0), ("NXDOMAIN", 0), ("SERVFAIL", 30)];

/// The root servers and those of com and net: no part of the attack, so only
/// what goes beyond controls and the sweep over the parent is counted.
const ROOT_CONTROLS: u64 = 8;
const PARENT_SWEEP: u64 = 26 * 2 + 4 + 1;

/// What the program itself says of a run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Said {
    /// The state of a check, or the response code of a trace.
    pub state: String,
    /// The findings of a check.
    pub findings: BTreeSet<String>,
    /// The packets that it says it sent.
    pub packets: Option<u64>,
    /// The exit code that it says it will end with.
    pub code: Option<i64>,
}

impl Said {
    /// Reads standard output.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub fn read(task: &Task, output: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(output).map_err(|error| error.to_string())?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (schema, state) = match task {
            Task::Check(_) => ("bailiwick.check/1", &json["state"]),
            Task::Trace(_) => ("bailiwick.trace/1", &json["outcome"]["rcode"]),
        };
        if json["schema"] != schema {
            return Err(format!("the schema is {}", json["schema"]));
        }
        let findings = json["findings"].as_array();
        Ok(Self {
            state: text(state),
            findings: findings
                .into_iter()
                .flatten()
                .map(|finding| text(&finding["id"]))
                .collect(),
            packets: json["packets_sent"].as_u64(),
            code: json["exit_code"].as_i64(),
        })
    }
}

/// Returns what is wrong with a run; nothing, if all is well.
#[must_use]
pub fn faults(zone: &Zone, outcome: &Outcome) -> Vec<String> {
    let mut faults = Faults::default();
    faults.ending(zone, outcome);
    faults.packets(outcome);
    faults.questions(outcome);
    faults.connections(outcome);
    faults.machine(outcome);
    faults.expected(zone, outcome);
    faults.0
}

#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn unless(&mut self, good: bool, fault: impl FnOnce() -> String) {
        if !good {
            self.0.push(fault());
        }
    }

    /// How it ended, and what it says of that.
    fn ending(&mut self, zone: &Zone, outcome: &Outcome) {
        let said = match Said::read(&zone.task, &outcome.output) {
            Ok(said) => said,
            Err(error) => {
                let start: String = outcome.output.chars().take(200).collect();
                self.0.push(format!(
                    "exit code {:?}, output is no report: {error}\n{start}\n{}",
                    outcome.code, outcome.errors
                ));
                return;
            }
        };
        let codes: &[(&str, i64)] = match zone.task {
            Task::Check(_) => &STATES,
            Task::Trace(_) => &RCODES,
        };
        let known = codes.iter().find(|(state, _)| *state == said.state);
        self.unless(known.map(|(_, code)| *code) == outcome.code, || {
            format!("{} with exit code {:?}", said.state, outcome.code)
        });
        self.unless(said.code.is_none() || said.code == outcome.code, || {
            format!("says {:?}, ends with {:?}", said.code, outcome.code)
        });
        let counted = outcome.counts.packets();
        self.unless(said.packets.is_none_or(|says| says == counted), || {
            format!("says {:?} packets, sent {counted}", said.packets)
        });
        self.unless(!outcome.errors.contains("panicked"), || {
            format!("panic: {}", outcome.errors)
        });
        let controls = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
        self.unless(
            !controls(&outcome.output) && !controls(&outcome.errors),
            || "control characters in the output".to_owned(),
        );
        self.unless(outcome.wall <= zone.given + OVERTIME, || {
            format!("took {} ms", outcome.wall.as_millis())
        });
    }

    /// B1, B2, and where nobody may be sent.
    fn packets(&mut self, outcome: &Outcome) {
        let counts = &outcome.counts;
        self.unless(counts.packets() <= PACKETS, || {
            format!("{} packets", counts.packets())
        });
        for (address, packets) in counts.per_address() {
            self.unless(packets <= PER_ADDRESS, || {
                format!("{packets} packets to {address}")
            });
            let is_control = BLACKHOLES.contains(&address.to_string().as_str());
            self.unless(is_control || !is_special(address), || {
                format!("{packets} packets to {address}, which is not for everybody")
            });
        }
        self.unless(counts.ports().iter().all(|port| *port == 53), || {
            format!("ports {:?}", counts.ports())
        });
    }

    /// B3.
    fn questions(&mut self, outcome: &Outcome) {
        let mut times = BTreeMap::new();
        for seen in &outcome.questions {
            *times
                .entry((seen.to, seen.via, &seen.question))
                .or_insert(0_usize) += 1;
        }
        for ((to, via, question), times) in times {
            self.unless(times <= SAME_QUESTION, || {
                format!("{question} asked {times} times of {to} over {via:?}")
            });
        }
    }

    /// B10.
    fn connections(&mut self, outcome: &Outcome) {
        for connection in &outcome.connections {
            self.unless(connection.lasted <= CONNECTION, || {
                format!(
                    "a connection to {} was held for {} ms",
                    connection.to,
                    connection.lasted.as_millis()
                )
            });
        }
    }

    /// What it cost the machine that it ran on.
    fn machine(&mut self, outcome: &Outcome) {
        self.unless(outcome.peak_kib <= PEAK_KIB, || {
            format!("{} KiB of memory", outcome.peak_kib)
        });
        self.unless(outcome.loopback == 0, || {
            format!("{} packets within the machine", outcome.loopback)
        });
        self.unless(outcome.to_itself.is_empty(), || {
            format!("asked itself: {:?}", outcome.to_itself)
        });
    }

    /// What the zone was made for.
    fn expected(&mut self, zone: &Zone, outcome: &Outcome) {
        let expected = &zone.expected;
        let said = Said::read(&zone.task, &outcome.output).unwrap_or_default();
        let found = |code: &&str| said.findings.contains(*code);
        self.unless(
            expected.findings.is_empty() || expected.findings.iter().any(found),
            || format!("none of {:?}, but {:?}", expected.findings, said.findings),
        );
        for code in expected.never.iter().filter(|code| found(code)) {
            self.0.push(format!("finding {code}"));
        }
        let states = &expected.states;
        self.unless(
            states.is_empty() || states.contains(&said.state.as_str()),
            || format!("{} ({:?}), not {states:?}", said.state, said.findings),
        );
        let per_address = outcome.counts.per_address();
        for trap in &expected.traps {
            let packets = per_address.get(trap).copied().unwrap_or(0);
            self.unless(packets == 0, || {
                format!("{packets} packets to {trap}, which only a bad referral names")
            });
        }
        if let Some(most) = expected.most_packets {
            let packets = outcome.counts.packets();
            self.unless(packets <= most, || format!("{packets} packets, not {most}"));
        }
        if let Some(most) = expected.most_for_attack {
            let beyond = attacked(outcome);
            self.unless(beyond <= most, || {
                format!("{beyond} packets for the attack, not {most}")
            });
        }
        if let Some(last) = expected.last_server {
            let reached = per_address
                .keys()
                .filter_map(|a| names::server_at(*a))
                .max();
            self.unless(reached == Some(last), || {
                format!("went down to server {reached:?}, not {last}")
            });
        }
    }
}

/// Returns the packets that the attack has caused: all to the hostile host and
/// to nobody, and those to the root and the registries that no check sends.
#[must_use]
pub fn attacked(outcome: &Outcome) -> u64 {
    let mut beyond = 0;
    let mut root = 0;
    let mut registry = 0;
    for (address, packets) in outcome.counts.per_address() {
        let is_control = BLACKHOLES.contains(&address.to_string().as_str());
        if is_control || is_resolver(address) {
            continue;
        }
        if is_among(&ROOT_SERVERS, address) {
            root += packets;
        } else if is_among(&GTLD_SERVERS, address) {
            registry += packets;
        } else {
            beyond += packets;
        }
    }
    beyond + root.saturating_sub(ROOT_CONTROLS) + registry.saturating_sub(PARENT_SWEEP)
}

fn is_resolver(address: IpAddr) -> bool {
    let addresses = RESOLVERS.map(|(_, _, addresses)| addresses);
    is_among(&addresses, address)
}

fn is_among(servers: &[[&str; 2]], address: IpAddr) -> bool {
    let text = address.to_string();
    servers.iter().flatten().any(|known| *known == text)
}
