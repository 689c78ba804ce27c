//! Whatever names, texts and identifiers contain, no output lets an octet below 0x20 through but
//! the line feed, no line of text grows beyond its width, and names read back are the same.

#![allow(clippy::unwrap_used, reason = "what cannot be read fails the test")]

mod common;

use std::sync::Arc;

use bailiwick_core::{
    finding::{Actor, Severity},
    message::Edns,
    name::Name,
    observation::{Outcome, Unreadable},
    record::{Record, RecordData, RecordType},
    trace::Trace,
    vantage::VantageId,
    verdict::Verdict,
};
use bailiwick_render::{Page, Style, dig, glue, json, nagios, text, trace, tree};
use common::*;

/// What an attacker would try.
const TRICKS: [&[u8]; 16] = [
    b"\x1b[2J\x1b[31m",
    b"\r\n",
    b"\n| published=1",
    b"=cmd|'/C calc'!A0",
    b"'; DROP TABLE reports; --",
    b"\x00\x00",
    "\u{202e}moc.elpmaxe".as_bytes(),
    "\u{200b}\u{feff}".as_bytes(),
    b"$(reboot)`reboot`",
    b"-oProxyCommand=x",
    b"+short",
    b"<script>alert(1)</script>",
    b"\\010\\\"",
    b"xn--a-ecp",
    b"\x7f\x9b31m\xff\xfe",
    b"..%2f../etc/passwd",
];

/// Pseudo-random octets, the same in every run (xorshift; Marsaglia 2003).
struct Octets(u64);

impl Octets {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn some(&mut self, most: u64) -> Vec<u8> {
        let length = 1 + self.next() % most;
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// 500 hostile labels: every trick, alone and inside random octets, and labels of 63 octets.
fn labels() -> Vec<Vec<u8>> {
    let mut octets = Octets(0x9e37_79b9_7f4a_7c15);
    let mut labels: Vec<Vec<u8>> = TRICKS.iter().map(|trick| trick.to_vec()).collect();
    while labels.len() < 500 {
        let mut label = octets.some(30);
        let trick = TRICKS[labels.len() % TRICKS.len()];
        match labels.len() % 3 {
            0 => label.extend_from_slice(trick),
            1 => label = [octets.some(200), label].concat(),
            _ => {}
        }
        label.truncate(63);
        labels.push(label);
    }
    labels
}

/// The same text where a crate other than ours would have put foreign octets into a `String`.
fn text_of(label: &[u8]) -> String {
    String::from_utf8_lossy(label).into_owned()
}

/// A name of up to 255 octets made of a label.
fn long_name(label: &[u8]) -> Name {
    let short = &label[..label.len().min(50)];
    Name::from_labels([label, short, short, short]).unwrap()
}

fn poisoned(label: &[u8]) -> Verdict {
    let host = long_name(label);
    let words = text_of(label);
    let mut verdict = partly_published();
    verdict.check.zone = host.clone();
    verdict.parent = Some(host.clone());
    verdict.enclosing = Some(host.clone());
    verdict.headline = format!("about {words} and {host}");
    verdict.vantages[0].id = VantageId(words.clone());
    verdict.vantages[0].notes.push(words.clone());
    verdict.not_covered.push(words.clone());
    for row in &mut verdict.parents {
        row.server.name = host.clone();
        row.nsid = Some(words.clone());
        row.note.clone_from(&words);
        let glue = row.name_servers.values().next().cloned();
        Arc::make_mut(&mut row.name_servers).insert(host.clone(), glue.unwrap_or_default());
    }
    for row in &mut verdict.name_servers {
        row.name = host.clone();
        for address in &mut row.addresses {
            address.note.clone_from(&words);
        }
    }
    let mut resolvers = healthy().resolvers;
    for row in &mut resolvers {
        row.service.clone_from(&words);
        row.identity = Some(words.clone());
        row.note.clone_from(&words);
    }
    verdict.resolvers = resolvers;
    verdict.models[0].fails_at = Some(words.clone());
    let mut added = finding(
        "glue-mismatch",
        Severity::Error,
        Actor::Zone,
        &words,
        &words,
    );
    added.subject = host.clone();
    added.server = Some(host);
    added.evidence = glue_missing().findings[0].evidence.clone();
    verdict.findings.push(added);
    verdict
}

fn poisoned_walk(label: &[u8]) -> Trace {
    let host = long_name(label);
    let mut walk = walk();
    walk.question.name = host.clone();
    let txt = Record {
        name: host.clone(),
        ttl: 1,
        data: RecordData::Txt(vec![label.to_vec().into()]),
    };
    let other = Record {
        name: host.clone(),
        ttl: 1,
        data: RecordData::Other(RecordType(65_280), label.to_vec().into()),
    };
    walk.answer.records = vec![txt, other];
    for step in walk.observations.values_mut() {
        step.server.name = host.clone();
        step.question.name = host.clone();
        match &mut step.outcome {
            Outcome::Reply(message) => {
                Arc::make_mut(message).edns = Some(Edns {
                    nsid: Some(label.to_vec().into()),
                    ..Edns::default()
                });
            }
            outcome => {
                *outcome = Outcome::Unreadable(Unreadable::Malformed(text_of(label)));
            }
        }
    }
    for cut in &mut walk.path {
        cut.names.insert(host.clone());
    }
    walk
}

fn outputs(label: &[u8]) -> Vec<(&'static str, String)> {
    let verdict = poisoned(label);
    let walk = poisoned_walk(label);
    let mut report = report();
    report.observations.clone_from(&walk.observations);
    report.vantage.id = verdict.vantages[0].id.clone();
    let reports = [report];
    let page = Page {
        full: true,
        raw: true,
        ..page(&verdict, &reports)
    };
    let published = glue::Published {
        zone: &verdict.check.zone,
        parent: verdict.parent.as_ref(),
        parents: &verdict.parents,
        agree: false,
        exit_code: 11,
        elapsed: verdict.elapsed,
        packets: verdict.packets,
        port: 53,
        style: Style::PLAIN,
    };
    vec![
        ("text", text::check(&page)),
        ("json", json::check(&page)),
        ("nagios", nagios::check(&page)),
        ("dig", dig::check(&page)),
        ("glue", glue::glue(&published)),
        ("glue json", json::glue(&published)),
        ("trace", trace::trace(&walk, Style::PLAIN)),
        ("tree", tree::tree(&walk, Style::PLAIN)),
        ("trace json", json::trace(&walk, 0, true)),
        ("error", json::error(2, &text_of(label))),
    ]
}

#[test]
fn nothing_foreign_controls_a_terminal() {
    for label in labels() {
        for (format, output) in outputs(&label) {
            let bad = output.bytes().find(|&octet| octet < 0x20 && octet != b'\n');
            assert_eq!(bad, None, "{format}: {label:?}");
            if !format.contains("json") && format != "error" {
                let bad = output
                    .chars()
                    .find(|c| c.is_control() && *c != '\n' || matches!(c, '\u{202a}'..='\u{202e}'));
                assert_eq!(bad, None, "{format}: {label:?}");
            }
        }
    }
}

#[test]
fn no_line_of_text_grows_beyond_its_width() {
    for label in labels() {
        for (format, output) in outputs(&label) {
            if !["text", "glue", "trace", "tree"].contains(&format) {
                continue;
            }
            for line in output.lines().filter(|line| !line.starts_with("dig ")) {
                assert!(line.chars().count() <= 80, "{format}: {line:?}");
            }
        }
    }
}

#[test]
fn one_line_stays_one_line() {
    for label in labels() {
        let verdict = poisoned(&label);
        let line = nagios::check(&page(&verdict, &[]));
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert_eq!(line.matches('|').count(), 1, "{line:?}");
    }
}

#[test]
fn names_and_texts_in_json_read_back_the_same() {
    for label in labels() {
        let verdict = poisoned(&label);
        let value: serde_json::Value =
            serde_json::from_str(&json::check(&page(&verdict, &[]))).unwrap();
        let read: Name = value["zone"].as_str().unwrap().parse().unwrap();
        assert_eq!(read, verdict.check.zone);
        assert_eq!(value["headline"], verdict.headline);
        assert_eq!(value["vantages"][0]["id"], verdict.vantages[0].id.0);
    }
}

#[test]
fn a_shell_reads_a_dig_line_as_words_without_effect() {
    for label in labels() {
        let walk = poisoned_walk(&label);
        for step in walk.observations.values() {
            let line = dig::command(&step.server, &step.question, step.via, step.options, 53);
            let words = shell_words(&line);
            let name = step.question.name.to_string();
            assert!(words.contains(&name), "{line}");
        }
    }
}

/// Splits a line as a POSIX shell does, single quotes only; fails on anything that would act.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let word = words.last_mut().unwrap();
        match letter {
            '\'' => quoted = !quoted,
            _ if quoted => word.push(letter),
            ' ' => words.push(String::new()),
            '\\' => word.push(letters.next().unwrap()),
            plain => {
                assert!(
                    plain.is_ascii_alphanumeric() || ".-_+@:".contains(plain),
                    "{plain:?} acts in {line}"
                );
                word.push(plain);
            }
        }
    }
    assert!(!quoted, "{line}");
    words
}
