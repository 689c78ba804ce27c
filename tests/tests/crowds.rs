//! Many vantage points that are wrong together: fifty machines of one network that lie (threat
//! T21), and half of a fleet or more that is cut off (fault F30).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::fmt::Write as _;

use bailiwick_core::verdict::{Reachability, State, Verdict};
use bailiwick_lab::scenario::Scenario;
use bailiwick_verdict::{Evidence, Policy, judge};

const PLACES: [(&str, &str); 6] = [
    ("fra", "asn=64500 rir=ripe geo=50.11,8.68"),
    ("mad", "asn=64501 rir=ripe geo=40.42,-3.70"),
    ("nyc", "asn=64502 rir=arin geo=40.71,-74.01"),
    ("sea", "asn=64503 rir=arin geo=47.61,-122.33"),
    ("nrt", "asn=64504 rir=apnic geo=35.68,139.69"),
    ("gru", "asn=64505 rir=lacnic geo=-23.55,-46.63"),
];

fn run(text: &str, seed: u64) -> Verdict {
    let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
    let reports = scenario.run(seed).into_iter().map(Evidence::of);
    let evidence = reports.reduce(Evidence::join).unwrap();
    let placed = scenario.places();
    let evidence = placed.fold(evidence, |evidence, (who, place)| {
        evidence.place(who, place)
    });
    judge(&evidence, &Policy::default())
}

/// A zone with so many servers; what follows the name of each says how it behaves.
fn servers(count: u64, behaviour: &str) -> String {
    (0..count).fold(String::new(), |mut text, host| {
        let _ = write!(
            text,
            "\n[server ns{host}.example.com. 192.0.2.{}]\n{behaviour}zone example.com.\n",
            10 + host
        );
        text
    })
}

/// What five honest vantage points say, and what the same say beside fifty others of one network
/// to which all servers of the zone are dead.
fn beside_sybils(seed: u64, sybils: usize) -> Verdict {
    let mut text = "[check example.com.]\nno-resolvers\n\n".to_owned();
    for (name, place) in &PLACES[..5] {
        let _ = writeln!(text, "[vantage {name} {place}]");
    }
    let mut lies = String::new();
    for number in 0..sybils {
        let _ = writeln!(text, "[vantage s{number} asn=64511 rir=lacnic]");
        let _ = writeln!(lies, "silent from s{number}");
    }
    text += &servers(2 + seed % 3, &lies);
    run(&(text + "\n[verdict]\n"), seed)
}

#[test]
fn fifty_machines_of_one_network_outvote_nobody() {
    for seed in 0..20 {
        let honest = beside_sybils(seed, 0);
        assert_eq!(honest.state, State::Consistent, "seed {seed}");
        let beside = beside_sybils(seed, 50);
        // Fifty are heard as one is: servers that one network does not reach.
        let one = beside_sybils(seed, 1);
        assert_eq!(beside.state, one.state, "seed {seed}");
        assert_eq!(beside.reachability, one.reachability, "seed {seed}");
        assert_ne!(beside.reachability, Reachability::Broken, "seed {seed}");
        assert_ne!(beside.reachability, Reachability::Unknown, "seed {seed}");
        assert_eq!(beside.publication, honest.publication, "seed {seed}");
        assert_eq!(beside.quorum.networks, 6, "five, and one more");
    }
    // That all networks agree would be heard.
    let dead = "silent\n";
    let mut text = "[check example.com.]\nno-resolvers\n\n".to_owned();
    for (name, place) in PLACES {
        let _ = writeln!(text, "[vantage {name} {place}]");
    }
    let verdict = run(&(text + &servers(2, dead) + "\n[verdict]\n"), 1);
    assert_eq!(verdict.state, State::Broken);
}

/// A world in which so many of six vantage points reach nothing.
fn cut_off(number: u64, sick: usize, behaviour: &str) -> Verdict {
    let mut text = "[check example.com.]\nno-resolvers\n\n".to_owned();
    for (at, (name, place)) in PLACES.into_iter().enumerate() {
        // Others are sick in each world.
        let turn = (at + usize::try_from(number).unwrap()) % PLACES.len();
        let path = if turn < sick { "silent\n" } else { "" };
        let _ = writeln!(text, "[vantage {name} {place}]\n{path}");
    }
    text += &servers(1 + number % 5, behaviour);
    run(&(text + "\n[verdict]\n"), number)
}

#[test]
fn half_of_a_fleet_cut_off_breaks_no_zone() {
    let mut right = 0;
    for number in 0..25 {
        for sick in [3, 5] {
            let why = format!("world {number}, {sick} of 6 are cut off");
            let verdict = cut_off(number, sick, "");
            assert_eq!(verdict.state, State::Consistent, "a healthy zone: {why}");
            let verdict = cut_off(number, sick, "silent\n");
            assert_eq!(
                verdict.reachability,
                Reachability::Unknown,
                "too few say that it is dead: {why}"
            );
            assert_ne!(verdict.state, State::Broken, "{why}");
            right += 1;
        }
    }
    println!("{right} of 50");
    let whole = cut_off(1, 0, "silent\n");
    assert_eq!(whole.state, State::Broken, "all together would be heard");
}
