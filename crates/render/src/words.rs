//! The words that several outputs share: outcomes, durations, what an axis means.

use std::{net::IpAddr, time::Duration};

use bailiwick_core::{
    delegation::Relation,
    finding::Severity,
    name::Name,
    observation::{Observation, Outcome},
    record::{Escaped, Ttl},
    report::{Lookup, Lost},
    verdict::{Caches, Class, Condition, ParentRow, Publication, Reachability, State, Verdict},
};

use crate::layout::Paint;

/// Returns a count with its noun, such as `1 server` or `13 servers`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ if noun.ends_with('s') => format!("{number} {noun}es"),
        _ => format!("{number} {noun}s"),
    }
}

/// Closes a sentence. A name at its end closes it already.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with(['.', '!', '?']) {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}

/// Returns a round trip as `12 ms`, or `0.4 ms` below one millisecond.
pub(crate) fn round_trip(rtt: Duration) -> String {
    let micros = rtt.as_micros();
    if micros < 1_000 {
        format!("0.{} ms", micros / 100)
    } else {
        format!("{} ms", (micros + 500) / 1_000)
    }
}

/// Returns a TTL for people, such as `2 d`, `1 h 30 min` or `45 s`.
pub(crate) fn span(seconds: u32) -> String {
    let parts = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut told = Vec::new();
    for (unit, word) in parts {
        let number = rest / unit;
        rest %= unit;
        if number > 0 {
            told.push(format!("{number} {word}"));
        }
    }
    told.truncate(2);
    if told.is_empty() {
        "0 s".to_owned()
    } else {
        told.join(" ")
    }
}

/// Returns seconds with one decimal, such as `1.2 s`.
pub(crate) fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}

/// Returns what came of a question, in a few words.
pub(crate) fn outcome(observation: &Observation) -> String {
    match &observation.outcome {
        Outcome::Reply(message) => message.rcode.to_string(),
        Outcome::Late(message) => format!("{}, late", message.rcode),
        Outcome::Rejected(why) => why.to_string(),
        Outcome::Unreadable(why) => why.to_string(),
        Outcome::Silence if !was_waited_for(observation) => {
            "not waited for: others had answered".to_owned()
        }
        Outcome::Silence => format!("no answer within {}", seconds(observation.elapsed)),
        Outcome::Withheld(why) => why.to_string(),
    }
}

/// Silence that is shorter than this says nothing: whoever asked went on without the answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Returns whether an answer had the time to come.
pub(crate) fn was_waited_for(observation: &Observation) -> bool {
    observation.outcome != Outcome::Silence || observation.elapsed >= PATIENCE
}

/// Returns the stable word for the kind of an outcome, for scripts.
pub(crate) fn outcome_kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Reply(_) => "reply",
        Outcome::Late(_) => "late",
        Outcome::Rejected(_) => "rejected",
        Outcome::Unreadable(_) => "unreadable",
        Outcome::Silence => "silence",
        Outcome::Withheld(_) => "withheld",
    }
}

/// Returns the identifier of a name server instance as text (RFC 5001 leaves its form open).
pub(crate) fn nsid(octets: &[u8]) -> String {
    Escaped(octets).to_string()
}

/// Returns why a walk ended before its goal.
pub(crate) fn lost(lost: &Lost) -> String {
    match lost {
        Lost::NoUsableAnswer { zone } if zone.is_root() => {
            "no root server gave a usable answer: is this machine online?".to_owned()
        }
        Lost::NoUsableAnswer { zone } => format!("no server of {zone} gave a usable answer"),
        Lost::NoAddress { zone } => {
            format!("no server of {zone} has an address that can be found without {zone} itself")
        }
        Lost::Cycle { path } => {
            let path: Vec<String> = path.iter().map(Name::to_string).collect();
            format!(
                "finding the name servers' addresses leads round in a circle: {}",
                path.join(" -> ")
            )
        }
        Lost::TooDeep { zone } => format!("the walk ended at {zone}: too many referrals"),
        Lost::AliasLoop { name } => {
            format!("the aliases at {name} lead back to where they began, or are too many")
        }
        Lost::Exhausted => "packets or time of this run were used up".to_owned(),
    }
}

/// Returns what a look-up of a name server's name gave.
pub(crate) fn lookup(found: &Lookup) -> String {
    match found {
        Lookup::Addresses(addresses) if addresses.is_empty() => "no address".to_owned(),
        Lookup::Addresses(addresses) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            addresses.join(", ")
        }
        Lookup::Alias { target, .. } => format!("an alias of {target}, which RFC 2181 forbids"),
        Lookup::Absent { rcode, zone } => format!("{rcode}: {zone} knows no address of it"),
        Lookup::Lost(why) => lost(why),
        Lookup::NotTried => "not looked up: limit reached".to_owned(),
    }
}

pub(crate) fn relation(relation: Relation) -> &'static str {
    match relation {
        Relation::InDomain => "in_domain",
        Relation::Sibling => "sibling",
        Relation::Unrelated => "unrelated",
    }
}

/// Returns the smallest TTL with which a parent server hands out an address of a host.
pub(crate) fn glue_ttl(verdict: &Verdict, host: &Name, address: IpAddr) -> Option<Ttl> {
    let of = |row: &ParentRow| row.name_servers.get(host)?.get(&address).copied();
    verdict.parents.iter().filter_map(of).min()
}

/// Returns what a value of axis A says, with the instances that publish it and those seen.
pub(crate) fn publication(axis: Publication, (published, of): (usize, usize)) -> String {
    let share = format!("{published} of {of} parent instances publish it");
    match axis {
        Publication::Unknown if of == 0 => "no parent server was seen".to_owned(),
        Publication::Unknown => format!("not known; {share}"),
        Publication::Regressed => format!("{share}; one that did does so no more"),
        Publication::Divergent => format!("{share}; they contradict each other"),
        _ => share,
    }
}

/// Returns what a value of axis B says.
pub(crate) fn reachability(axis: Reachability) -> &'static str {
    match axis {
        Reachability::Broken => "no resolver with an empty cache gets in",
        Reachability::Partial => "reachable from some networks only",
        Reachability::Degraded => "resolvers get in, but not every way works",
        Reachability::Reachable => "every way in that was tried works",
        Reachability::Unknown => "no way in could be judged",
    }
}

/// Returns what a value of axis C says.
pub(crate) fn caches(axis: Caches) -> &'static str {
    match axis {
        Caches::BrokenResolver => "a resolver that is well otherwise fails here",
        Caches::Draining => "old data is still handed out, or may be",
        Caches::Exposed => "caches with the old data reach no server",
        Caches::Stalled => "caches keep renewing the old data",
        Caches::Converged => "no cache holds the old data any more",
        Caches::SampledOk => "the resolvers asked hold no old data",
        Caches::Unknown => "no resolver that is well was asked",
    }
}

pub(crate) fn paint_state(state: State) -> Paint {
    match state {
        State::Confirmed | State::Consistent => Paint::Good,
        State::Regressed | State::Broken | State::Divergent | State::NotPublished => Paint::Bad,
        _ => Paint::Warn,
    }
}

pub(crate) fn paint_publication(axis: Publication) -> Paint {
    match axis {
        Publication::Published => Paint::Good,
        Publication::Publishing | Publication::Unknown => Paint::Warn,
        _ => Paint::Bad,
    }
}

pub(crate) fn paint_reachability(axis: Reachability) -> Paint {
    match axis {
        Reachability::Reachable => Paint::Good,
        Reachability::Broken => Paint::Bad,
        _ => Paint::Warn,
    }
}

pub(crate) fn paint_caches(axis: Caches) -> Paint {
    match axis {
        Caches::Converged | Caches::SampledOk => Paint::Good,
        Caches::BrokenResolver | Caches::Exposed => Paint::Bad,
        _ => Paint::Warn,
    }
}

pub(crate) fn paint_class(class: Class) -> Paint {
    match class {
        Class::New => Paint::Good,
        Class::Silent => Paint::Warn,
        _ => Paint::Bad,
    }
}

pub(crate) fn paint_condition(condition: Condition) -> Paint {
    match condition {
        Condition::Authoritative => Paint::Good,
        Condition::Withheld => Paint::Dim,
        _ => Paint::Bad,
    }
}

pub(crate) fn paint_severity(severity: Severity) -> Paint {
    match severity {
        Severity::Critical | Severity::Error => Paint::Bad,
        Severity::Warning => Paint::Warn,
        Severity::Info => Paint::Dim,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_ends_once() {
        let cases = [
            ("glue is missing", "glue is missing."),
            ("is this machine online?", "is this machine online?"),
            (
                "no delegation of example.com.",
                "no delegation of example.com.",
            ),
            ("all well (so far)", "all well (so far)."),
        ];
        for (text, closed) in cases {
            assert_eq!(sentence(text), closed);
        }
    }

    #[test]
    fn spans_are_told_in_two_units() {
        let cases = [
            (0, "0 s"),
            (45, "45 s"),
            (5_400, "1 h 30 min"),
            (172_800, "2 d"),
            (90_061, "1 d 1 h"),
        ];
        for (seconds, told) in cases {
            assert_eq!(span(seconds), told);
        }
    }

    #[test]
    fn round_trips_are_told_in_milliseconds() {
        let cases = [(420, "0.4 ms"), (1_499, "1 ms"), (12_700, "13 ms")];
        for (micros, told) in cases {
            assert_eq!(round_trip(Duration::from_micros(micros)), told);
        }
    }
}
