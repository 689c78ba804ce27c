//! What operators see of a fleet: its agents, its checks and how their coordinator does.
//!
//! The values are those that a coordinator tells; whatever they hold is shown so that no terminal
//! can be misled. [`live`] draws a check while it runs.

use std::time::Duration;

use bailiwick_core::{check::CheckId, name::Name, place::Place, time::Timestamp};

use crate::{
    Style,
    layout::{Cell, Paint, Sheet},
    words::count,
};

mod agents;
mod history;
pub mod live;
mod notes;
mod watches;

pub use agents::{agent, agents};
pub use history::{history, short};
pub use notes::{invitation, joined, replayed, saved};
pub use watches::{removed, watches};

/// An agent, as its coordinator knows it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Agent {
    /// As enrolled.
    pub name: String,
    /// One word, such as `active`.
    pub state: String,
    /// Where it stands, and what is held against it.
    pub place: Place,
    /// Whether it is connected now.
    pub connected: bool,
    /// Since when its key is known.
    pub enrolled: Option<Timestamp>,
    /// When something was last heard of it.
    pub last_seen: Option<Timestamp>,
    /// Until when it may connect without renewing.
    pub certificate_until: Option<Timestamp>,
    /// Since when it is banned.
    pub banned: Option<Timestamp>,
    /// Name and version of its program.
    pub build: String,
    /// Reports of it that are kept.
    pub reports: u64,
    /// SHA-256 of its public key.
    pub key: Vec<u8>,
    /// How far its clock is ahead, in nanoseconds.
    pub clock_offset: i64,
    /// Whether its reports outlive a restart there.
    pub durable: bool,
}

/// A check of the past, or one that is open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Past {
    /// Identity.
    pub check: CheckId,
    /// What was checked.
    pub zone: Name,
    /// When it began.
    pub created: Timestamp,
    /// Who asked.
    pub operator: String,
    /// The name of the state, and its exit code; `None` while the round is open.
    pub outcome: Option<(String, u8)>,
    /// What it says in one line.
    pub headline: String,
    /// Vantage points that were asked.
    pub asked: u32,
    /// Those of them that reported.
    pub reported: u32,
    /// Whether late reports changed the verdict.
    pub revised: bool,
}

/// A check that agents do again and again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Watch {
    /// Identity, as that of a check.
    pub watch: CheckId,
    /// What is checked.
    pub zone: Name,
    /// From one round to the next.
    pub interval: Duration,
    /// When it began.
    pub created: Timestamp,
    /// Who asked.
    pub operator: String,
    /// The vantage points that are asked.
    pub vantages: Vec<String>,
    /// Until when they go on if they do not hear of the coordinator again.
    pub until: Timestamp,
}

/// How a coordinator does.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Status {
    /// What its root vouches for.
    pub trust_domain: String,
    /// Name and version of its program.
    pub build: String,
    /// Since when it runs.
    pub started: Option<Timestamp>,
    /// `local` or `replicated`.
    pub durability: String,
    /// Agents that are enrolled.
    pub agents: u64,
    /// Those of them that are connected.
    pub connected: u64,
    /// Reports that are kept.
    pub reports: u64,
    /// Checks that are kept.
    pub checks: u64,
    /// Those of them that are open.
    pub open_checks: u64,
    /// Octets that the store takes.
    pub store_octets: u64,
    /// Octets that it may still take.
    pub store_free: u64,
    /// What an operator should know, one line each.
    pub notes: Vec<String>,
}

/// One string with which somebody joins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invitation {
    /// As what.
    pub of: Invited,
    /// Under which name.
    pub name: String,
    /// The string. It is secret.
    pub join: String,
    /// Until when it can be used.
    pub until: Timestamp,
}

/// As what somebody is invited.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Invited {
    /// A vantage point.
    Agent {
        /// Whether it has no voice before somebody approves it.
        approve: bool,
    },
    /// Somebody who asks.
    Operator {
        /// `viewer`, `operator` or `admin`.
        role: String,
    },
}

/// What is known after joining as an operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Joined {
    /// Under which name.
    pub name: String,
    /// With whom.
    pub trust_domain: String,
    /// Where operators come in, as `host:port`.
    pub operators: Vec<String>,
    /// Until when the first certificate is good; it is renewed without being asked for.
    pub until: Timestamp,
    /// Where key and certificate are.
    pub folder: String,
}

/// Evidence that was written to a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Saved {
    /// Of which check.
    pub check: CheckId,
    /// Where it is.
    pub file: String,
    /// How many reports it has.
    pub reports: usize,
    /// How long it is.
    pub octets: u64,
}

/// A verdict that was computed again and compared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Replayed {
    /// Of which check.
    pub check: CheckId,
    /// The rules by which it was judged then.
    pub policy: u32,
    /// The rules of this program.
    pub own_policy: u32,
    /// How long the verdict is that was given then, in octets; 0 if none was given.
    pub octets: usize,
    /// The first octet that differs, from 1; `None` if all are the same.
    pub differs_at: Option<usize>,
}

/// Returns the first octet, from 1, in which two texts differ; `None` if they are the same.
#[must_use]
pub fn differs_at(given: &[u8], again: &[u8]) -> Option<usize> {
    let same = given.iter().zip(again).take_while(|(a, b)| a == b).count();
    (same < given.len().max(again.len())).then_some(same + 1)
}

/// Shows how a coordinator does.
#[must_use]
pub fn status(status: &Status, style: Style) -> String {
    let mut sheet = Sheet::new(style);
    let line = format!(
        "{} of {} connected, {} open",
        status.connected,
        count(number(status.agents), "agent"),
        count(number(status.open_checks), "check"),
    );
    let paint = match status.connected {
        0 => Paint::Warn,
        _ => Paint::Good,
    };
    sheet.paragraph("", 0, &line, paint);
    sheet.blank();
    let rows = [
        ("coordinator", status.build.clone()),
        ("trust domain", status.trust_domain.clone()),
        ("running since", moment(status.started)),
        ("checks", status.checks.to_string()),
        ("reports", status.reports.to_string()),
        ("durability", status.durability.clone()),
        (
            "store",
            format!(
                "{}, {} free",
                octets(status.store_octets),
                octets(status.store_free)
            ),
        ),
    ];
    facts(&mut sheet, &rows);
    if !status.notes.is_empty() {
        sheet.heading("TO KNOW", "");
        for note in &status.notes {
            sheet.paragraph("  - ", 4, note, Paint::Warn);
        }
    }
    sheet.finish()
}

/// Writes one fact a line. What is not known is left out.
fn facts(sheet: &mut Sheet, rows: &[(&str, String)]) {
    let widest = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    for (label, value) in rows {
        if !value.is_empty() {
            sheet.row(&[(widest, Cell::painted(label, Paint::Dim))], value);
        }
    }
}

fn moment(at: Option<Timestamp>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

fn number(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Octets for people: `12 octets`, `3.4 MiB`.
fn octets(octets: u64) -> String {
    const STEPS: [(&str, u64); 4] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    match STEPS.iter().find(|(_, step)| octets >= *step) {
        None => count(number(octets), "octet"),
        Some((unit, step)) => {
            let tenths = u128::from(octets) * 10 / u128::from(*step);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

/// Whole milliseconds for people.
fn milliseconds(elapsed: Duration) -> String {
    format!("{} ms", elapsed.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_have_a_unit_that_people_can_read() {
        let cases = [
            (0, "0 octets"),
            (1, "1 octet"),
            (1023, "1023 octets"),
            (1024, "1.0 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (3 << 19, "1.5 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ];
        for (count, text) in cases {
            assert_eq!(octets(count), text);
        }
    }
}
