//! The commands that ask a coordinator, over real gRPC on a unix socket.

#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, reason = "what cannot run fails the test")]

mod toy;

use std::{
    fs,
    io::Write as _,
    process::{Child, Command, Output, Stdio},
};

use bailiwick_render::{dig, json, text};
use bailiwick_rpc::access::Role;
use serde_json::Value;
use toy::{Ending, Toy, bailiwick, until};

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn good(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", err(output));
    assert_eq!(err(output), "", "nothing on standard error");
    let text = out(output);
    for line in text.lines().filter(|line| !line.starts_with("bw1.")) {
        assert!(line.chars().count() <= 80, "{line:?}");
    }
    text
}

#[test]
fn each_command_tells_what_the_coordinator_said() {
    let toy = Toy::start();
    let cases: &[(&[&str], &str, &[&str])] = &[
        (
            &["agents", "list"],
            "agents/1",
            &[
                "2 agents, 2 connected",
                "fra-1",
                "AS64500 ripe",
                "2026-09-21T14:14:50Z",
                "skewed",
            ],
        ),
        (
            &["agents", "show", "fra-1"],
            "agents/1",
            &["fra-1: active, connected", "50.11,8.68", "abababab"],
        ),
        (
            &["agents", "approve", "fra-1"],
            "agents/1",
            &["fra-1: active"],
        ),
        (
            &["agents", "ban", "fra-1", "--reason", "sold"],
            "agents/1",
            &["fra-1: banned", "2026-09-21T14:15:00Z"],
        ),
        (
            &["status"],
            "status/1",
            &["2 of 3 agents connected", "two agents share a network"],
        ),
        (
            &["history"],
            "history/1",
            &[
                "0abcdef00102",
                "CONSISTENT",
                "6/6",
                "example.com.: nothing is wrong",
            ],
        ),
    ];
    let watched: &[&str] = &[
        "0abcdef00102",
        "5 min",
        "2026-09-21",
        "alice",
        "example.com.",
    ];
    let of_watches: &[(&[&str], &[&str])] = &[
        (&["watch", "add", "example.com", "--every", "5m"], watched),
        (&["watch", "list"], watched),
        (
            &["watch", "remove", "0abc"],
            &["example.com. is watched no more by 2 vantage points"],
        ),
    ];
    let of_watches = of_watches.iter();
    let of_watches = of_watches.map(|(words, wanted)| (*words, "watches/1", *wanted));
    for (words, schema, wanted) in cases.iter().copied().chain(of_watches) {
        let text = good(&toy.run(words));
        for word in wanted {
            assert!(text.contains(word), "{words:?}: {word} in {text}");
        }
        let object = good_json(&toy, &[words, &["--output", "json"][..]].concat());
        assert_eq!(object["schema"], format!("bailiwick.{schema}"), "{words:?}");
    }
}

#[test]
fn an_invitation_is_one_string_and_advice_for_people() {
    let toy = Toy::start();
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["agents", "invite", "fra-9", "--approve"],
            &[
                "agent fra-9",
                "bailiwick-agent join -",
                "bailiwick agents approve fra-9",
            ],
        ),
        (
            &["operator", "invite", "alice", "--role", "viewer"],
            &["operator alice (role viewer)", "bailiwick operator join -"],
        ),
    ];
    for (words, advice) in cases {
        let output = toy.run(words);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert_eq!(out(&output), "bw1.aaaa.bbbb.cccc.dddd.eeee\n", "as $(…)");
        assert_eq!(err(&output), "", "nobody reads it");
        // On a terminal somebody does.
        let command = toy.command(words);
        let line: Vec<_> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        let terminal = Command::new("script")
            .args(["-qec", &line.join(" "), "/dev/null"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let shown = out(&terminal);
        assert!(
            shown.starts_with("bw1.aaaa.bbbb.cccc.dddd.eeee\r\n"),
            "{shown}"
        );
        for word in advice.iter().chain(&["2026-09-21T15:13:20Z"]) {
            assert!(shown.contains(word), "{word} in {shown}");
        }
        let object = good_json(&toy, &[words, &["--output", "json"][..]].concat());
        assert_eq!(object["schema"], "bailiwick.invitation/1");
        assert_eq!(object["join"], "bw1.aaaa.bbbb.cccc.dddd.eeee");
    }
}

fn good_json(toy: &Toy, words: &[&str]) -> Value {
    let output = toy.run(words);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}", err(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_is_typed_reaches_the_coordinator() {
    let toy = Toy::start();
    let cases: &[(&[&str], &[&str])] = &[
        (
            &[
                "agents",
                "invite",
                "fra-9",
                "--label",
                "asn=64500",
                "--label",
                "rir=ripe",
                "--ttl",
                "30m",
                "--from",
                "203.0.113.0/24",
                "--approve",
            ],
            &[
                "name: \"fra-9\"",
                "[\"asn=64500\", \"rir=ripe\"]",
                "valid_for_ns: 1800000000000",
                "from: \"203.0.113.0/24\"",
                "approve: true",
            ],
        ),
        (
            &[
                "operator", "invite", "alice", "--role", "admin", "--ttl", "2d",
            ],
            &["role: \"admin\"", "valid_for_ns: 172800000000000"],
        ),
        (
            &["agents", "ban", "fra-9", "--reason", "it was sold"],
            &["name: \"fra-9\"", "reason: \"it was sold\""],
        ),
        (
            &[
                "watch",
                "add",
                "Example.COM",
                "--every",
                "10m",
                "--from",
                "rir=ripe",
                "--agents",
                "5",
                "-6",
            ],
            &[
                "\\x07example\\x03com\\0",
                "interval_ns: 600000000000",
                "labels: [\"rir=ripe\"]",
                "agents: 5",
                "families: [V6]",
            ],
        ),
        (
            &["watch", "remove", "0ABC"],
            &["watch: b\"\\n\\xbc\\xde\\xf0\\x01\\x02"],
        ),
        (
            &["history", "Example.COM", "--limit", "3"],
            &["\\x07example\\x03com\\0", "limit: 3"],
        ),
        (
            &[
                "check",
                "example.com",
                "--from",
                "rir=ripe",
                "--agents",
                "5",
                "--expect",
                "ns1.example.com=192.0.2.1",
                "--full",
                "--no-resolvers",
                "-4",
                "--timeout",
                "3s",
                "--color",
                "always",
            ],
            &[
                "labels: [\"rir=ripe\"]",
                "agents: 5",
                "\\xc0\\0\\x02\\x01",
                "full: true",
                "color: true",
                "format: \"text\"",
                "resolvers: []",
                "timeout_ns: 3000000000",
                "families: [V4]",
            ],
        ),
    ];
    for (words, wanted) in cases {
        let output = toy.run(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", err(&output));
        let asked = toy.asked();
        for part in *wanted {
            assert!(asked.contains(part), "{words:?}: {part} in {asked}");
        }
    }
}

#[test]
fn a_check_of_the_fleet_ends_with_its_verdict_alone() {
    let toy = Toy::start();
    let page = toy.known.page();
    let check = ["check", "example.com"];
    assert_eq!(good(&toy.run(&check)), text::check(&page));
    let output = toy.run(&[&check[..], &["--output", "json"]].concat());
    assert_eq!(out(&output), json::check(&page));
    let output = toy.run(&[&check[..], &["--nagios"]].concat());
    assert!(out(&output).starts_with("BAILIWICK "), "{}", out(&output));
    assert_eq!(
        output.status.code(),
        Some(toy.known.verdict.nagios_code().into())
    );
    let output = toy.run(
        &[
            &check[..],
            &["--dig", "--port", "5300", "--allow-special-use"],
        ]
        .concat(),
    );
    let lines = dig::check(&bailiwick_render::Page { port: 5300, ..page });
    assert!(lines.contains("-p 5300"), "{lines}");
    assert!(out(&output).ends_with(&lines), "{}", out(&output));
}

#[test]
fn a_log_tells_what_happens_while_it_happens() {
    let toy = Toy::start();
    let output = toy.run(&["check", "example.com", "-v"]);
    let log = err(&output);
    for line in [
        "check 0abcdef00102 of 6 vantage points",
        "left out: syd: not connected\\027[2J",
        "nrt reported: ",
    ] {
        assert!(log.contains(line), "{line} in {log}");
    }
    assert_eq!(out(&output), text::check(&toy.known.page()));
}

#[test]
fn what_was_seen_is_not_lost_when_the_coordinator_goes_away() {
    let toy = Toy::with(Role::Admin, Ending::Unavailable);
    for words in [
        &["check", "example.com"][..],
        &["check", "example.com", "--output", "json"],
    ] {
        let output = toy.run(words);
        broken_off(&output);
        if words.contains(&"json") {
            let object: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(object["schema"], "bailiwick.error/1");
            assert_eq!(object["exit_code"], 3);
        } else {
            assert_eq!(out(&output), "", "no verdict");
        }
    }

    let mut toy = Toy::with(Role::Admin, Ending::Silence);
    let mut command = toy.command(&["check", "example.com", "-v"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = command.spawn().unwrap();
    until(|| !toy.known.asked.lock().unwrap().is_empty());
    // Time for the two reports to get there.
    std::thread::sleep(std::time::Duration::from_millis(500));
    toy.kill();
    broken_off(&running.wait_with_output().unwrap());
}

#[test]
fn what_was_seen_is_not_lost_when_somebody_has_enough() {
    let toy = Toy::with(Role::Admin, Ending::Silence);
    let mut command = toy.command(&["check", "example.com", "-v"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = command.spawn().unwrap();
    until(|| !toy.known.asked.lock().unwrap().is_empty());
    std::thread::sleep(std::time::Duration::from_millis(500));
    let id = running.id().to_string();
    let told = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(told.unwrap().success());
    let output = running.wait_with_output().unwrap();
    stopped_early(&output);
    assert!(err(&output).contains("interrupted"), "{}", err(&output));
}

fn broken_off(output: &Output) {
    stopped_early(output);
    assert!(err(output).contains("went away"), "{}", err(output));
}

fn stopped_early(output: &Output) {
    let said = err(output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for word in [
        "2 of 6 vantage points reported",
        "fra  AS64500 ripe",
        "reported",
        "waiting",
        "check 0abcdef00102 was not followed to its end",
        "bailiwick history",
    ] {
        assert!(said.contains(word), "{word} in {said}");
    }
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

#[test]
fn without_a_coordinator_the_way_out_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("no.sock");
    let dead = folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let cases = [
        (&nowhere, "no coordinator runs here (looked for "),
        (&dead, "nobody listens at "),
        (&file, "nobody listens at "),
    ];
    // Each waits a little for a coordinator that is being started; all of them together.
    let mut running = Vec::new();
    for (socket, wanted) in cases {
        for words in [
            &["status"][..],
            &["check", "example.com"],
            &["agents", "list"],
        ] {
            let mut command = bailiwick(words);
            command.arg("--coordinator").arg(socket);
            running.push((socket, wanted, started(command)));
        }
        // The same by the environment, for commands that only a coordinator can answer.
        let mut command = bailiwick(&["status", "--output", "json"]);
        command.env("BAILIWICK_COORDINATOR", socket);
        running.push((socket, wanted, started(command)));
    }
    for (socket, wanted, running) in running {
        let output = running.wait_with_output().unwrap();
        let said = err(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(
            said.contains(wanted) && said.contains(socket.to_str().unwrap()),
            "{said}"
        );
        assert!(said.contains("start bailiwick-coordinator"), "{said}");
        if !output.stdout.is_empty() {
            let object: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(object["exit_code"], 3);
            let message = object["message"].as_str().unwrap();
            assert!(message.contains(wanted), "{object}");
        }
    }
}

fn started(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn a_coordinator_that_is_being_started_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("moved-in.sock");
    let mut command = bailiwick(&["status", "--coordinator"]);
    command.arg(&place);
    let running = started(command);
    let toy = Toy::start();
    fs::rename(&toy.socket, &place).unwrap();
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
}

#[test]
fn a_refusal_is_a_sentence() {
    let viewer = Toy::with(Role::Viewer, Ending::Verdict);
    for words in [
        &["check", "example.com"][..],
        &["agents", "invite", "fra-9"],
        &["agents", "approve", "fra-9"],
        &["agents", "ban", "fra-9", "--reason", "x"],
        &["operator", "invite", "eve", "--role", "admin"],
    ] {
        let output = viewer.run(words);
        assert_eq!(output.status.code(), Some(3), "{words:?}");
        assert!(
            err(&output).contains("does not allow this"),
            "{}",
            err(&output)
        );
    }
    assert_eq!(
        viewer.run(&["status"]).status.code(),
        Some(0),
        "a viewer may look"
    );
    let output = viewer.run(&["agents", "show", "nobody"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("there is no agent nobody"),
        "{}",
        err(&output)
    );
}

#[test]
fn a_command_line_that_fits_no_fleet_is_refused() {
    let cases: &[(&[&str], &str)] = &[
        (&["check", "--coordinator", "example.com"], "at the end"),
        (
            &["check", "example.com", "--from", "rir=ripe"],
            "add --coordinator",
        ),
        (
            &["check", "example.com", "--agents", "3"],
            "add --coordinator",
        ),
        (
            &[
                "check",
                "example.com",
                "--bind",
                "192.0.2.1",
                "--coordinator",
            ],
            "agents have their own settings",
        ),
        (
            &["trace", "example.com", "--coordinator"],
            "leave --coordinator out",
        ),
        (&["replay", "x", "--coordinator"], "leave --coordinator out"),
        (&["agents", "invite", "Fra 1"], "a name is 1 to 63"),
        (
            &["agents", "invite", "fra-1", "--label", "rir=mars"],
            "regional Internet registry",
        ),
        (
            &["agents", "invite", "fra-1", "--label", "rir"],
            "LABEL=VALUE",
        ),
        (&["agents", "invite", "fra-1", "--ttl", "1"], "1h or 1d"),
        (&["agents", "ban", "fra-1"], "--reason"),
        (&["operator", "invite", "a", "--role", "king"], "viewer"),
        (&["operator", "join", "hello"], "begins with \"bw1.\""),
        (&["watch", "add", "example.com"], "--every"),
        (&["watch", "add", "example.com", "--every", "5"], "1h or 1d"),
        (&["watch", "remove", "xyz"], "bailiwick watch list"),
        (&["evidence", "xyz", "--save", "x"], "hexadecimal"),
        (&["evidence", "0abc"], "--save"),
        (&["replay", "/nonexistent"], "cannot read /nonexistent"),
        (
            &["replay", "x", "--verify", "--nagios"],
            "cannot be used with",
        ),
    ];
    for (words, wanted) in cases {
        let output = bailiwick(words).output().unwrap();
        let said = err(&output);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(wanted), "{words:?}: {wanted} in {said}");
    }
    let output = bailiwick(&["status"])
        .env("BAILIWICK_COORDINATOR", "nonsense")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("BAILIWICK_COORDINATOR=nonsense"),
        "{}",
        err(&output)
    );
}

#[test]
fn evidence_that_was_saved_gives_the_verdict_again() {
    let toy = Toy::start();
    let file = toy.file("check.evidence");
    let text = good(&toy.run(&["evidence", "0ABC", "--save", &file]));
    assert!(
        text.starts_with("The evidence of check 0abcdef00102 is in "),
        "{text}"
    );
    let again = good_json(
        &toy,
        &[
            "evidence",
            "0abcdef00102",
            "--save",
            &file,
            "--output",
            "json",
        ],
    );
    assert_eq!(again["schema"], "bailiwick.saved/1");
    assert_eq!(again["reports"], 6);
    assert_eq!(again["octets"], fs::metadata(&file).unwrap().len());
    let piped = toy.run(&[
        "evidence",
        "0abcdef00102030405060708090a0b0c",
        "--save",
        "-",
    ]);
    assert_eq!(
        piped.stdout,
        fs::read(&file).unwrap(),
        "the same through a pipe"
    );

    let page = toy.known.page();
    let replay = |more: &[&str]| {
        bailiwick(&[&["replay", &file], more].concat())
            .output()
            .unwrap()
    };
    assert_eq!(out(&replay(&[])), text::check(&page));
    assert_eq!(out(&replay(&["--output", "json"])), json::check(&page));
    assert!(out(&replay(&["--dig"])).ends_with(&dig::check(&page)));
    let code = Some(i32::from(toy.known.verdict.state.exit_code()));
    assert_eq!(replay(&[]).status.code(), code);

    let text = good(&replay(&["--verify"]));
    assert!(text.starts_with("SAME: "), "{text}");
    assert!(text.contains("policy 1, then and now"), "{text}");
    let value: Value =
        serde_json::from_slice(&replay(&["--verify", "--output=json"]).stdout).unwrap();
    assert_eq!(
        (&value["same"], &value["policy"]),
        (&Value::Bool(true), &1.into())
    );

    // From a pipe, as if it had been fetched just now.
    let mut piped = bailiwick(&["replay", "-", "--verify"]);
    let mut running = piped
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let octets = fs::read(&file).unwrap();
    running.stdin.take().unwrap().write_all(&octets).unwrap();
    assert_eq!(running.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn evidence_that_was_changed_does_not_pass() {
    let toy = Toy::start();
    let file = toy.file("check.evidence");
    good(&toy.run(&["evidence", "0abc", "--save", &file]));
    let octets = fs::read(&file).unwrap();
    let replay = || bailiwick(&["replay", &file, "--verify"]).output().unwrap();

    fs::write(&file, &octets[..octets.len() - 1]).unwrap();
    let output = replay();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        err(&output).contains("cut off after part 7"),
        "{}",
        err(&output)
    );

    // A word of the verdict itself.
    let mut other = octets.clone();
    let at = octets.windows(10).position(|w| w == b"CONSISTENT").unwrap();
    other[at] = b'X';
    fs::write(&file, &other).unwrap();
    let output = replay();
    assert_eq!(output.status.code(), Some(3), "{}", out(&output));
    assert!(out(&output).starts_with("DIFFERENT: "), "{}", out(&output));

    fs::write(&file, "{}").unwrap();
    let output = replay();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        err(&output).contains("no evidence of bailiwick"),
        "{}",
        err(&output)
    );
}

#[test]
fn half_of_the_evidence_is_not_left_behind() {
    let toy = Toy::with(Role::Admin, Ending::Unavailable);
    let file = toy.file("check.evidence");
    let output = toy.run(&["evidence", "0abc", "--save", &file]);
    assert_eq!(output.status.code(), Some(3));
    assert!(err(&output).contains("went away"), "{}", err(&output));
    let names: Vec<_> = fs::read_dir(toy.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        !names.iter().any(|name| name.contains("evidence")),
        "{names:?}"
    );
    for (digits, wanted) in [
        ("ffff", "no check begins with ffff"),
        ("0abcdef00102030405060708090a0b0d", "no such check"),
    ] {
        let output = toy.run(&["evidence", digits, "--save", &file]);
        assert_eq!(output.status.code(), Some(2));
        assert!(err(&output).contains(wanted), "{}", err(&output));
    }
}

#[test]
fn an_operator_joins_once_and_asks_from_elsewhere() {
    let toy = Toy::start();
    let elsewhere = toy.open();
    let state = toy.file("state");
    let run = |words: &[&str]| {
        let mut command = bailiwick(words);
        command.env("BAILIWICK_STATE", &state).output().unwrap()
    };
    let status = || run(&["status", "--coordinator", &elsewhere.at]);
    let output = status();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        err(&output).contains("bailiwick operator join"),
        "{}",
        err(&output)
    );

    let text = good(&run(&["operator", "join", &elsewhere.join]));
    assert!(
        text.starts_with("You are alice at bailiwick.internal."),
        "{text}"
    );
    assert!(
        text.contains(&format!("--coordinator {}", elsewhere.at)),
        "{text}"
    );
    assert!(good(&status()).contains("2 of 3 agents connected"));

    // The key is for its owner alone.
    let mut folders = fs::read_dir(format!("{state}/operator")).unwrap();
    let folder = folders.next().unwrap().unwrap().path();
    for entry in fs::read_dir(&folder).unwrap() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    // Past half of its life, and past its end, a certificate is renewed by the way.
    let file = folder.join("identity");
    let aged = |hours: u64| {
        let text = fs::read_to_string(&file).unwrap();
        let aged = text
            .lines()
            .map(|line| match line.strip_prefix("issued-us ") {
                Some(at) => {
                    let at: u64 = at.parse().unwrap();
                    format!("issued-us {}\n", at - hours * 3_600_000_000)
                }
                None => format!("{line}\n"),
            });
        let aged: String = aged.collect();
        fs::write(&file, &aged).unwrap();
        aged
    };
    let young = aged(1);
    good(&status());
    assert_eq!(fs::read_to_string(&file).unwrap(), young, "too early");
    for hours in [20, 100] {
        let old = aged(hours);
        good(&status());
        assert_ne!(fs::read_to_string(&file).unwrap(), old, "{hours} h");
    }

    // Without the coordinator an old certificate is worth nothing, and this is said.
    aged(100);
    let at = elsewhere.at.clone();
    toy.close(elsewhere);
    let output = run(&["status", "--coordinator", &at]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        err(&output).contains("could not be renewed"),
        "{}",
        err(&output)
    );
}
