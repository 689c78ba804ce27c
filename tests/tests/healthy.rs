//! Wrong verdicts where they are likeliest: healthy worlds seen through a bad network.
//!
//! Two hundred worlds in which every delegation is right, and servers are slow, datagrams are
//! lost, or one family is sick. None may be called `BROKEN`, and whatever is less than
//! `CONSISTENT` must be justified by what was observed. The rule for that is written here once
//! more, from the raw observations, and knows nothing of the verdict's own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::IpAddr,
};

use bailiwick_core::{
    finding::{Actor, Severity},
    observation::Outcome,
    query::Via,
    report::Report,
    server::Role,
    verdict::{State, Verdict},
};
use bailiwick_lab::scenario::Scenario;
use bailiwick_verdict::{Evidence, Policy, judge};

const WORLDS: u64 = 200;

/// What the network does to a world that is in order. Conditions go on the vantage point's path,
/// delays on the servers.
const PATHS: [&str; 10] = [
    "",
    "loss 5%\n",
    "loss 10%\n",
    "silent v6\n",
    "no-route v6\n",
    "loss 10% v6\n",
    "loss 60% v6\n",
    "silent v4\n",
    "loss 5%\nrtt 180ms\n",
    "loss 10%\nrtt 250ms\n",
];
const DELAYS: [&str; 5] = [
    "",
    "rtt 240ms\n",
    "late 700ms udp\n",
    "late 1100ms\n",
    "rtt 400ms\n",
];

/// Returns the world of a number: each combination of layout, path and delays comes with
/// another seed, so that other datagrams are lost.
fn world(number: u64) -> String {
    let pick = |list: &[&'static str], salt: u64| {
        let place = (number / salt) % list.len() as u64;
        list[usize::try_from(place).unwrap()]
    };
    let path = pick(&PATHS, 1);
    let hosts = 2 + number / 10 % 3;
    let elsewhere = number / 30 % 2 == 1;
    let mut text = format!("[check example.com.]\n\n[vantage local]\n{path}\n");
    for parent in ["a.gtld.test.", "b.gtld.test."] {
        let delay = pick(&DELAYS, if parent.starts_with('a') { 7 } else { 11 });
        let _ = write!(text, "[server {parent}]\n{delay}\n");
    }
    for host in 0..hosts {
        let delay = pick(&DELAYS, 3 + host);
        // The last name server may be a sibling: below the same parent, outside of the zone.
        let home = if elsewhere && host + 1 == hosts {
            "other.com"
        } else {
            "example.com"
        };
        let _ = write!(
            text,
            "[server ns{host}.{home}. 192.0.2.{} 2001:db8:{host}::53]\n{delay}zone example.com.\n",
            10 + host
        );
        if home == "other.com" {
            text.push_str("zone other.com.\n");
        }
        text.push('\n');
    }
    text + "[verdict]\n"
}

fn run(text: &str, seed: u64) -> (Report, Verdict) {
    let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
    let report = scenario.run(seed).remove(0);
    let verdict = judge(&Evidence::of(report.clone()), &Policy::default());
    (report, verdict)
}

/// How the questions to one address over one transport went.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    sent: usize,
    in_time: usize,
    answered: usize,
}

fn heard(report: &Report, role: Role) -> BTreeMap<(IpAddr, Via), Heard> {
    let mut all: BTreeMap<_, Heard> = BTreeMap::new();
    for observation in report.observations.values().filter(|o| o.role == role) {
        let heard = all
            .entry((observation.server.address, observation.via))
            .or_default();
        heard.sent += usize::from(!matches!(observation.outcome, Outcome::Withheld(_)));
        heard.in_time += usize::from(matches!(observation.outcome, Outcome::Reply(_)));
        heard.answered += usize::from(observation.reply().is_some());
    }
    all
}

/// Returns why a verdict is not justified by the observations, if it is not.
fn unjustified(report: &Report, verdict: &Verdict) -> Option<String> {
    let children = heard(report, Role::Child);
    let parents = heard(report, Role::Parent);
    let unheard = |heard: &&Heard| heard.sent > 0 && heard.answered == 0;
    match verdict.state {
        State::Consistent => {}
        State::Degraded => {
            if !children.values().any(|h| unheard(&h)) {
                return Some("DEGRADED, though every server of the zone was heard".to_owned());
            }
        }
        State::Inconclusive => {
            let silent_parent = parents.values().any(|h| unheard(&h));
            let nothing = children.values().all(|heard| heard.answered == 0);
            if !silent_parent && !nothing {
                return Some("INCONCLUSIVE, though everybody was heard".to_owned());
            }
        }
        state => return Some(format!("{state} in a healthy world")),
    }
    let blamed = verdict
        .findings
        .iter()
        .filter(|f| f.severity >= Severity::Warning && f.actor != Actor::Vantage);
    for finding in blamed {
        let mut lost = children
            .iter()
            .chain(&parents)
            .filter(|((address, _), heard)| {
                finding.address.is_none_or(|at| at == *address) && heard.in_time < heard.sent
            });
        if lost.next().is_none() {
            return Some(format!("{} rests on no lost question", finding.code));
        }
    }
    None
}

#[test]
fn a_bad_network_breaks_no_healthy_world() {
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut worlds = BTreeSet::new();
    for number in 0..WORLDS {
        let text = world(number);
        let (report, verdict) = run(&text, number);
        *states.entry(verdict.state.to_string()).or_default() += 1;
        if let Some(why) = unjustified(&report, &verdict) {
            let findings: Vec<_> = verdict
                .findings
                .iter()
                .map(|f| format!("  {} {}: {}", f.code, f.severity, f.detail))
                .collect();
            wrong.push(format!("{number}: {why}\n{text}{}\n", findings.join("\n")));
        }
        worlds.insert((text, number));
    }
    println!("{WORLDS} worlds: {states:?}");
    assert_eq!(worlds.len(), 200, "no world is counted twice");
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_same_worlds_with_dead_servers_are_broken() {
    for number in 0..20 {
        // Silent name servers, seen from a good network.
        let text = world(number * 10).replace("zone example.com.", "silent\nzone example.com.");
        let (_, verdict) = run(&text, number);
        assert_eq!(verdict.state, State::Broken, "resolvers fail, too:\n{text}");
    }
}

#[test]
fn the_rule_refuses_what_nothing_was_observed_for() {
    let (report, verdict) = run(&world(0), 0);
    assert_eq!(verdict.state, State::Consistent);
    assert_eq!(unjustified(&report, &verdict), None);
    for state in [
        State::Degraded,
        State::Inconclusive,
        State::Broken,
        State::Publishing,
    ] {
        let claimed = Verdict {
            state,
            ..verdict.clone()
        };
        assert!(unjustified(&report, &claimed).is_some(), "{state}");
    }
}
