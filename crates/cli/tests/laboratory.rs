//! The commands against the simulated internet of `bailiwick demo --serve`, over real sockets of
//! the loopback.

#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, reason = "what cannot run fails the test")]

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use bailiwick_lab::demo::{Serving, serve};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// A running internet with its root hints.
struct Internet {
    runtime: Option<Runtime>,
    serving: Option<Serving>,
    port: u16,
    hints: PathBuf,
    _folder: tempfile::TempDir,
}

impl Internet {
    fn start() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let hints = folder.path().join("named.root");
        let serving = runtime.block_on(serve(None, &hints)).unwrap();
        Self {
            port: serving.port(),
            runtime: Some(runtime),
            serving: Some(serving),
            hints,
            _folder: folder,
        }
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_bailiwick"))
            .args(words)
            .arg("--root-hints")
            .arg(&self.hints)
            .args(["--port", &self.port.to_string(), "--allow-special-use"])
            .env_remove("RUST_LOG")
            .output()
            .unwrap()
    }

    fn check(&self, zone: &str, more: &[&str]) -> Output {
        let resolvers = ["--resolver=one=127.53.0.81", "--resolver=two=127.53.0.82"];
        self.run(&[&["check", zone], &resolvers[..], more].concat())
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        // The servers are tasks: they have to go before the runtime that runs them.
        drop(self.serving.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

fn json(output: &Output) -> Value {
    let said = text(&output.stdout);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn each_zone_is_judged_and_the_exit_code_says_so() {
    let internet = Internet::start();
    let cases = [
        ("example.test", "CONSISTENT", 0),
        ("elsewhere.test", "CONSISTENT", 0),
        ("dead.test", "DEGRADED", 20),
        ("lame.test", "DEGRADED", 20),
        ("missing.test", "BROKEN", 30),
        ("stale.test", "NOT_PUBLISHED", 12),
    ];
    for (zone, state, code) in cases {
        let output = internet.check(zone, &["--output", "json"]);
        let value = json(&output);
        assert_eq!(value["schema"], "bailiwick.check/1");
        assert_eq!(value["state"], state, "{zone}: {value:#}");
        assert_eq!(value["exit_code"], code);
        assert_eq!(output.status.code(), Some(code), "{zone}");
        assert_eq!(text(&output.stderr), "", "{zone}: no live view in a pipe");
    }
}

#[test]
fn an_expectation_that_is_half_published_is_being_published() {
    let internet = Internet::start();
    let output = internet.check("moving.test", &["--expect", "ns1.moving.test=127.53.0.31"]);
    let page = text(&output.stdout);
    assert_eq!(output.status.code(), Some(11), "{page}");
    assert!(
        page.contains("1 of 2 parent instances publish it"),
        "{page}"
    );
}

#[test]
fn a_page_can_be_checked_with_dig_and_fits_the_terminal() {
    let internet = Internet::start();
    let output = internet.check("missing.test", &["--dig"]);
    let page = text(&output.stdout);
    let line = format!(
        "dig +norecurse +nsid +ignore -p {} @127.53.0.11 missing.test. NS",
        internet.port
    );
    assert!(page.contains(&line), "{page}");
    for line in page.lines().filter(|line| !line.starts_with("dig ")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(!page.contains('\u{1b}'), "no colours in a pipe");
    let coloured = internet.check("missing.test", &["--color", "always"]);
    assert!(text(&coloured.stdout).contains("\u{1b}[1;31m"));
}

#[test]
fn a_monitoring_system_gets_one_line_and_its_own_exit_codes() {
    let internet = Internet::start();
    for (zone, code, word) in [
        ("example.test", 0, "OK"),
        ("lame.test", 1, "WARNING"),
        ("missing.test", 2, "CRITICAL"),
    ] {
        let output = internet.check(zone, &["--nagios"]);
        let line = text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{line}");
        assert!(
            line.starts_with(&format!("BAILIWICK {word} - {zone}.")),
            "{line}"
        );
        assert_eq!(line.lines().count(), 1);
    }
}

#[test]
fn a_name_inside_a_zone_is_no_zone() {
    let internet = Internet::start();
    let output = internet.check("www.example.test", &[]);
    let page = text(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{page}");
    assert!(page.contains("bailiwick check example.test."), "{page}");
    let output = internet.run(&["glue", "www.example.test"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("bailiwick glue example.test."));
}

#[test]
fn walks_end_with_an_answer_or_a_reason() {
    let internet = Internet::start();
    let cases = [
        (&["trace", "www.example.test"][..], 0, "NOERROR"),
        (&["trace", "nothing.example.test"], 0, "NXDOMAIN"),
        (&["trace", "missing.test", "SOA"], 30, "SERVFAIL"),
    ];
    for (words, code, rcode) in cases {
        let output = internet.run(&[words, &["--output", "json"]].concat());
        let value = json(&output);
        assert_eq!(value["outcome"]["rcode"], rcode, "{value:#}");
        assert_eq!(output.status.code(), Some(code), "{words:?}");
        assert!(!value["steps"].as_array().unwrap().is_empty());
        let page = text(&internet.run(words).stdout);
        assert!(page.starts_with(rcode), "{page}");
    }
}

#[test]
fn a_tree_has_every_server_and_marks_the_leaves_that_fail() {
    let internet = Internet::start();
    for (zone, good, bad) in [
        ("lame.test", "127.53.0.24", "127.53.0.28"),
        ("stale.test", "127.53.0.26", "127.53.0.29"),
    ] {
        let page = text(&internet.run(&["trace", "--tree", zone, "NS"]).stdout);
        let line = |address: &str| {
            let found = page.lines().find(|line| line.contains(address));
            found.unwrap_or_else(|| panic!("{address} is missing in {page}"))
        };
        assert!(line(bad).contains("FAILS"), "{page}");
        for address in [
            good,
            "127.53.0.1 ",
            "127.53.0.2 ",
            "127.53.0.11",
            "127.53.0.12",
        ] {
            let line = line(address);
            assert!(!line.contains("FAILS") && !line.contains("not"), "{page}");
        }
        assert!(page.contains("1 of these paths fails."), "{page}");
    }
}

#[test]
fn glue_shows_what_each_parent_server_publishes() {
    let internet = Internet::start();
    let cases = [
        (&["glue", "example.test"][..], 0, true, 2),
        (&["glue", "missing.test"], 0, true, 2),
        (&["glue", "moving.test"], 11, false, 2),
        (&["glue", "moving.test", "--at", "a.gtld.test"], 0, true, 1),
        (&["glue", "moving.test", "--at", "127.53.0.12"], 0, true, 1),
        (&["glue", "nosuch.test"], 12, true, 2),
    ];
    for (words, code, agree, parents) in cases {
        let output = internet.run(&[words, &["--output", "json"]].concat());
        let value = json(&output);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {value:#}");
        assert_eq!(value["agree"], agree, "{words:?}");
        assert_eq!(value["parents"].as_array().unwrap().len(), parents);
    }
    let output = internet.run(&["glue", "moving.test", "--at", "127.53.0.99"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("a.gtld.test., b.gtld.test."));
}
