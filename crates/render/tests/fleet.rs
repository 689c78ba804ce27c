//! What operators see of a fleet: how it looks, that it fits, that it holds to the published
//! schemas, and that nothing in it can mislead a terminal.

#![allow(clippy::unwrap_used, reason = "what cannot be read fails the test")]

mod common;

use std::time::Duration;

use bailiwick_core::{check::CheckId, place::Place, time::Timestamp, vantage::Objection};
use bailiwick_render::{
    Style,
    fleet::{self, Agent, Invitation, Invited, Joined, Past, Replayed, Saved, Status, Watch},
    json,
};
use common::{name, schema::Schema};
use serde_json::Value;

const ESCAPE: &str = "evil\u{1b}[2J\u{202e}\n| x";

fn at(second: u64) -> Timestamp {
    Timestamp((1_790_000_000 + second) * 1_000_000)
}

fn agents() -> Vec<Agent> {
    let labels = [
        "asn=64500",
        "rir=ripe",
        "geo=50.11,8.68",
        "operator=acme",
        "role=probe",
    ];
    let mut place = Place::of_labels(labels).unwrap();
    place.address = Some("192.0.2.7".parse().unwrap());
    let good = Agent {
        name: "fra-1".to_owned(),
        state: "active".to_owned(),
        place,
        connected: true,
        enrolled: Some(at(0)),
        last_seen: Some(at(90)),
        certificate_until: Some(at(86_400)),
        banned: None,
        build: "bailiwick-agent 0.1.0".to_owned(),
        reports: 1234,
        key: (0..32).collect(),
        clock_offset: -12_345_678,
        durable: true,
    };
    let pending = Agent {
        name: "a-rather-long-name-of-an-agent.somewhere.example".to_owned(),
        state: "pending".to_owned(),
        ..Agent::default()
    };
    let mut banned = Agent {
        name: ESCAPE.to_owned(),
        state: ESCAPE.to_owned(),
        build: ESCAPE.repeat(20),
        banned: Some(at(100)),
        ..good.clone()
    };
    banned.place.objections = Objection::ALL.into();
    banned.place.operator = Some(ESCAPE.to_owned());
    banned.place.labels = [(ESCAPE.to_owned(), ESCAPE.to_owned())].into();
    vec![good, pending, banned]
}

fn status() -> Status {
    Status {
        trust_domain: "bailiwick.internal".to_owned(),
        build: "bailiwick-coordinator 0.1.0".to_owned(),
        started: Some(at(0)),
        durability: "local".to_owned(),
        agents: 3,
        connected: 1,
        reports: 123_456,
        checks: 99,
        open_checks: 1,
        store_octets: 123_456_789,
        store_free: 1023,
        notes: vec![
            "fra-1 and fra-2 share a network".to_owned(),
            ESCAPE.repeat(30),
        ],
    }
}

fn history() -> Vec<Past> {
    let past = |id: u128, zone: &str, outcome: Option<(&str, u8)>| Past {
        check: CheckId(id << 100),
        zone: name(zone),
        created: at(0),
        operator: "alice".to_owned(),
        outcome: outcome.map(|(state, code)| (state.to_owned(), code)),
        headline: String::new(),
        asked: 8,
        reported: 3,
        revised: false,
    };
    vec![
        Past {
            headline: "the registry publishes the new glue on 1 of 13 servers".to_owned(),
            revised: true,
            ..past(0x0abc_def0, "example.com.", Some(("PUBLISHING", 11)))
        },
        past(1, "xn--bcher-kva.example.", None),
        Past {
            operator: ESCAPE.repeat(10),
            headline: ESCAPE.repeat(10),
            ..past(2, r"\027\255\..example.", Some((ESCAPE, 255)))
        },
    ]
}

fn watches() -> Vec<Watch> {
    let watch = |id: u128, zone: &str, seconds: u64, operator: String| Watch {
        watch: CheckId(id << 100),
        zone: name(zone),
        interval: Duration::from_secs(seconds),
        created: at(0),
        operator,
        vantages: vec!["ams-1".to_owned(), ESCAPE.to_owned()],
        until: at(86_400),
    };
    vec![
        watch(0x0abc_def0, "example.com.", 300, "alice".to_owned()),
        watch(1, "xn--bcher-kva.example.", 86_400, "uid 0".to_owned()),
        watch(2, r"\027\255\..example.", 10, ESCAPE.repeat(10)),
    ]
}

fn invitations() -> [Invitation; 3] {
    let of = |of: Invited, name: &str| Invitation {
        of,
        name: name.to_owned(),
        join: format!("bw1.{}.{}", "a".repeat(60), "b".repeat(100)),
        until: at(3600),
    };
    [
        of(Invited::Agent { approve: false }, "fra-1"),
        of(Invited::Agent { approve: true }, "fra-1"),
        of(
            Invited::Operator {
                role: "viewer".to_owned(),
            },
            "alice",
        ),
    ]
}

fn joined() -> Joined {
    Joined {
        name: "alice".to_owned(),
        trust_domain: "bailiwick.internal".to_owned(),
        operators: vec!["coordinator.example.org:8444".to_owned()],
        until: at(43_200),
        folder: "/var/lib/bailiwick/operator/coordinator.example.org".to_owned(),
    }
}

fn saved() -> Saved {
    Saved {
        check: CheckId(0x0abc_def0 << 96),
        file: ESCAPE.to_owned(),
        reports: 3,
        octets: 5 << 20,
    }
}

fn replayed(policy: u32, octets: usize, differs_at: Option<usize>) -> Replayed {
    Replayed {
        check: CheckId(0x0abc_def0 << 96),
        policy,
        own_policy: 1,
        octets,
        differs_at,
    }
}

fn replays() -> [Replayed; 3] {
    [
        replayed(1, 12_345, None),
        replayed(2, 12_345, Some(678)),
        replayed(1, 0, Some(1)),
    ]
}

/// Every text with its label.
fn texts(style: Style) -> Vec<(String, String)> {
    let mut texts = vec![
        ("agents".to_owned(), fleet::agents(&agents(), style)),
        ("agents_none".to_owned(), fleet::agents(&[], style)),
        ("status".to_owned(), fleet::status(&status(), style)),
        ("history".to_owned(), fleet::history(&history(), style)),
        ("history_none".to_owned(), fleet::history(&[], style)),
        ("watches".to_owned(), fleet::watches(&watches(), style)),
        ("watches_none".to_owned(), fleet::watches(&[], style)),
        (
            "watch_removed".to_owned(),
            fleet::removed(&watches()[0], style),
        ),
        ("joined".to_owned(), fleet::joined(&joined(), style)),
        ("saved".to_owned(), fleet::saved(&saved(), style)),
    ];
    let nobody = Joined {
        operators: Vec::new(),
        ..joined()
    };
    texts.push(("joined_nowhere".to_owned(), fleet::joined(&nobody, style)));
    for (n, agent) in agents().iter().enumerate() {
        texts.push((format!("agent_{n}"), fleet::agent(agent, style)));
    }
    for (n, invitation) in invitations().iter().enumerate() {
        texts.push((
            format!("invitation_{n}"),
            fleet::invitation(invitation, style),
        ));
    }
    for (n, replayed) in replays().iter().enumerate() {
        texts.push((format!("replayed_{n}"), fleet::replayed(replayed, style)));
    }
    texts
}

#[test]
fn texts_look_as_before() {
    for (label, text) in texts(Style::PLAIN) {
        insta::assert_snapshot!(format!("fleet_{label}"), text);
    }
}

#[test]
fn texts_fit_and_cannot_mislead() {
    for width in [40, 80, 120] {
        let style = Style {
            color: false,
            width,
        };
        for (label, text) in texts(style) {
            for line in text.lines() {
                // A join string is to be pasted, so it is not broken.
                let fits = line.starts_with("bw1.") || line.chars().count() <= width;
                assert!(fits, "{label}, {width}: {line:?}");
                assert_eq!(line, line.trim_end(), "{label}: blanks at the end");
            }
            let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!text.contains(bad), "{label}: {text:?}");
        }
    }
}

#[test]
fn a_join_string_stands_alone_on_its_line() {
    for invitation in invitations() {
        let text = fleet::invitation(&invitation, Style::PLAIN);
        assert_eq!(text.lines().next(), Some(invitation.join.as_str()));
        assert_eq!(text.lines().nth(1), Some(""));
    }
}

#[test]
fn objects_hold_to_their_schemas() {
    let mut cases = vec![
        (
            include_str!("../schemas/agents-1.json"),
            json::agents(&agents()),
        ),
        (include_str!("../schemas/agents-1.json"), json::agents(&[])),
        (
            include_str!("../schemas/status-1.json"),
            json::status(&status()),
        ),
        (
            include_str!("../schemas/history-1.json"),
            json::history(&history()),
        ),
        (
            include_str!("../schemas/watches-1.json"),
            json::watches(&watches()),
        ),
        (
            include_str!("../schemas/watches-1.json"),
            json::watches(&[]),
        ),
        (
            include_str!("../schemas/joined-1.json"),
            json::joined(&joined()),
        ),
        (
            include_str!("../schemas/saved-1.json"),
            json::saved(&saved()),
        ),
    ];
    let invited = include_str!("../schemas/invitation-1.json");
    cases.extend(invitations().iter().map(|i| (invited, json::invitation(i))));
    let compared = include_str!("../schemas/replayed-1.json");
    cases.extend(replays().iter().map(|r| (compared, json::replayed(r))));
    for (schema, text) in cases {
        let value: Value = serde_json::from_str(&text).unwrap();
        let errors = Schema::read(schema).errors(&value);
        assert!(errors.is_empty(), "{errors:#?} in {text}");
        assert!(text.starts_with("{\n  \"schema\": "), "{text}");
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(control), "{text:?}");
    }
}

#[test]
fn the_first_difference_is_found() {
    let cases: [(&str, &str, Option<usize>, &str); 6] = [
        ("", "", None, "nothing is nothing"),
        ("abc", "abc", None, "equal"),
        ("abc", "abd", Some(3), "the last octet"),
        ("abc", "ab", Some(3), "cut off"),
        ("ab", "abc", Some(3), "more"),
        ("", "x", Some(1), "nothing was given"),
    ];
    for (given, again, at, why) in cases {
        let found = fleet::differs_at(given.as_bytes(), again.as_bytes());
        assert_eq!(found, at, "{why}");
    }
}

#[test]
fn times_are_rfc_3339_and_what_never_was_is_null() {
    let value: Value = serde_json::from_str(&json::agents(&agents())).unwrap();
    assert_eq!(value["agents"][0]["last_seen_at"], "2026-09-21T14:14:50Z");
    assert_eq!(value["agents"][0]["clock_offset_ms"], -12);
    assert_eq!(value["agents"][1]["last_seen_at"], Value::Null);
    assert_eq!(value["agents"][1]["place"]["asn"], Value::Null);
    let value: Value = serde_json::from_str(&json::history(&history())).unwrap();
    assert_eq!(value["checks"][1]["state"], Value::Null, "still open");
    assert_eq!(value["checks"][0]["check"].as_str().unwrap().len(), 32);
}
