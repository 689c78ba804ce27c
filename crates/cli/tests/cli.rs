//! The program as a script sees it: arguments, exit codes, standard output and standard error.
//! Nothing here sends a packet.

#![allow(clippy::unwrap_used, reason = "what cannot run fails the test")]

use std::process::{Command, Output};

use serde_json::Value;

fn bailiwick(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(words)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

#[test]
fn a_wrong_command_line_ends_with_2_and_names_the_way_out() {
    let cases: &[(&[&str], &str)] = &[
        (&["chekc", "example.com"], "check"),
        (&["check", "example.com", "--expct", "x"], "--expect"),
        (&["check"], "<ZONE>"),
        (&["check", "a..b"], "empty label"),
        (
            &["check", "https://example.com/"],
            "give the name example.com",
        ),
        (&["check", "192.0.2.1"], "an address, not a name"),
        (&["check", "."], "no parent"),
        (&["check", "example.com", "--timeout", "5"], "2s, 500ms"),
        (&["check", "example.com", "--timeout", "60s"], "at most 45s"),
        (
            &["check", "example.com", "--expect", "ns1.example.com"],
            "HOST=ADDR",
        ),
        (
            &["check", "example.com", "--resolver", "8.8.8.8"],
            "NAME=ADDR",
        ),
        (
            &["check", "example.com", "--port", "5300"],
            "--allow-special-use",
        ),
        (&["check", "example.com", "-4", "-6"], "cannot be used with"),
        (
            &["check", "example.com", "--root-hints", "/nonexistent"],
            "cannot read /nonexistent",
        ),
        (
            &["check", "example.com", "--nagios", "--output", "json"],
            "leave --output json out",
        ),
        (&["trace", "example.com", "AAAAA"], "unknown record type"),
        (
            &["explain", "glue-mising-al"],
            "`bailiwick explain` lists all",
        ),
        (&["completions", "bsh"], "bash"),
        (&["man", "/nonexistent"], "no folder"),
        (&["glue", "example.com", "--at", "a..b"], "empty label"),
    ];
    for (words, way_out) in cases {
        let output = bailiwick(words);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(way_out), "{words:?}: {said}");
        if !words.contains(&"json") {
            assert!(output.stdout.is_empty(), "{words:?}");
        }
    }
}

#[test]
fn errors_are_json_where_json_is_wanted() {
    for words in [
        &["check", "a..b", "--output", "json"][..],
        &["--output=json", "chekc"],
        &["man", "/nonexistent", "--output", "json"],
        &[
            "check",
            "example.com",
            "--root-hints",
            "/nonexistent",
            "--output=json",
        ],
    ] {
        let output = bailiwick(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["schema"], "bailiwick.error/1");
        assert_eq!(value["exit_code"], 2);
        assert!(!value["message"].as_str().unwrap().is_empty());
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let top = text(&bailiwick(&["--help"]).stdout);
    let commands: Vec<&str> = top
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| *word != "help")
        .collect();
    for expected in ["check", "trace", "glue", "explain", "completions", "man"] {
        assert!(commands.contains(&expected), "{expected} in {commands:?}");
    }
    for command in commands {
        let output = bailiwick(&[command, "--help"]);
        let help = text(&output.stdout);
        assert!(output.status.success());
        assert!(help.contains("Example"), "{command}: {help}");
        assert!(help.contains(&format!("bailiwick {command}")), "{help}");
        for option in ["--output", "--color"] {
            assert!(help.contains(option), "{command} has {option}");
        }
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = bailiwick(&["completions", shell]);
        let script = text(&output.stdout);
        assert!(output.status.success(), "{shell}");
        for word in ["check", "trace", "expect-file"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn manual_pages_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let output = bailiwick(&["man", folder.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for page in ["bailiwick.1", "bailiwick-check.1", "bailiwick-trace.1"] {
        let page = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(page.starts_with(".ie"), "{page}");
    }
}

#[test]
fn explanations_are_listed_shown_and_found_by_topic() {
    let list = text(&bailiwick(&["explain"]).stdout);
    let codes: Vec<&str> = list
        .lines()
        .skip(1)
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(!codes.is_empty(), "{list}");
    for code in &codes {
        let output = bailiwick(&["explain", code]);
        let page = text(&output.stdout);
        assert!(page.starts_with(code), "{code}: {page}");
        for part in ["severity", "changed by", "source"] {
            assert!(page.contains(part), "{code}: {page}");
        }
    }
    let reference = text(&bailiwick(&["explain", "--markdown"]).stdout);
    let value: Value =
        serde_json::from_slice(&bailiwick(&["explain", "--output", "json"]).stdout).unwrap();
    assert_eq!(value["findings"].as_array().unwrap().len(), codes.len());
    for code in codes {
        assert!(reference.contains(&format!("## `{code}`")), "{code}");
    }
    let output = bailiwick(&["explain", "SERVFAIL"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn the_version_is_said() {
    let output = bailiwick(&["--version"]);
    assert_eq!(
        text(&output.stdout),
        format!("bailiwick {}\n", env!("CARGO_PKG_VERSION"))
    );
}

/// What stands in the README is a command line of this program.
#[test]
fn every_command_of_the_readme_is_understood() {
    use bailiwick_cli::args::Arguments;
    use clap::Parser as _;

    let blocks = include_str!("../../../README.md").split("```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap().lines());
    let mut seen = 0;
    for line in lines {
        // A command within another, comments and pipes are the shell's.
        let command = line
            .split("$(")
            .nth(1)
            .map_or(line, |inner| inner.split(')').next().unwrap());
        let command = command
            .split(['#', '|'])
            .next()
            .unwrap()
            .trim()
            .trim_end_matches(" &");
        let command = command.replacen("cargo run --release --", "bailiwick", 1);
        let words: Vec<&str> = command.split_whitespace().collect();
        if words.first() != Some(&"bailiwick") {
            continue;
        }
        if let Err(error) = Arguments::try_parse_from(&words) {
            panic!("{line}: {error}");
        }
        seen += 1;
    }
    assert!(seen >= 18, "{seen} commands");
}
