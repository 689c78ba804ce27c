//! The program as people run it.

use std::{
    io::{Read as _, Write as _},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Agent, PORT, coordinator::Coordinator, once};

fn program(agent: &Agent, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick-agent"));
    command
        .env("BAILIWICK_AGENT_STATE_DIR", agent.path())
        .env_remove("RUST_LOG")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Lets the program end by itself, with this on its standard input.
async fn ended(agent: &Agent, words: &[&str], typed: &str) -> Output {
    let mut child = program(agent, words).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(typed.as_bytes())
        .unwrap();
    tokio::task::spawn_blocking(|| child.wait_with_output().unwrap())
        .await
        .unwrap()
}

fn both(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(err)
}

#[tokio::test]
async fn it_says_what_it_is_and_what_is_wrong() {
    let agent = Agent::new();
    let folder = agent.path().display().to_string();
    let cases: [(&[&str], i32, &str); 7] = [
        (&["--version"], 0, env!("CARGO_PKG_VERSION")),
        (&["--help"], 0, "bailiwick-agent join bw1."),
        (&["join", "--help"], 0, "standard input"),
        (&[], 2, "run `bailiwick-agent join STRING`"),
        (&["join", "bw1.a.b"], 2, "copy the whole string"),
        (
            &["join", "bw1.a.b", "--port", "53"],
            2,
            "--allow-special-use",
        ),
        (&["--check-config"], 0, "right"),
    ];
    for (words, code, wanted) in cases {
        let output = ended(&agent, words, "").await;
        let said = both(&output);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.contains(wanted), "{words:?}: {said}");
    }
    std::fs::create_dir_all(agent.path()).unwrap();
    std::fs::write(agent.path().join("agent.toml"), "version = 1\nbnid = []").unwrap();
    for words in [&["--check-config"][..], &["run"]] {
        let output = ended(&agent, words, "").await;
        let said = both(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("did you mean bind?") && said.contains(&folder),
            "{said}"
        );
    }
}

#[tokio::test]
async fn it_joins_works_and_stops() {
    let coordinator = Coordinator::start().await;
    coordinator.plan(vec![once(1)]);
    let agent = Agent::new();
    let invitation = coordinator.invite("fra-1", coordinator.address).to_join();
    let port = PORT.to_string();
    let words = [
        "join",
        "-",
        "--enrol-only",
        "--allow-special-use",
        "--port",
        &port,
    ];
    for time in ["first", "again"] {
        let output = ended(&agent, &words, &invitation).await;
        let said = both(&output);
        assert_eq!(output.status.code(), Some(0), "{time}: {said}");
        assert!(said.contains("fra-1 is enrolled"), "{time}: {said}");
    }
    let words = ["join", &invitation];
    let mut child = program(&agent, &words).spawn().unwrap();
    coordinator.reports(1).await;
    let second = ended(&agent, &["run"], "").await;
    assert!(
        both(&second).contains("in use by another program"),
        "{}",
        both(&second)
    );
    assert_eq!(second.status.code(), Some(3));
    let began = Instant::now();
    kill(
        Pid::from_raw(child.id().try_into().unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    let status = tokio::task::spawn_blocking(move || {
        let status = child.wait().unwrap();
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        (status, said)
    });
    let (status, said) = status.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("in session as fra-1"), "{said}");
    assert!(
        !said.contains(invitation.split('.').nth(3).unwrap()),
        "no secret is told"
    );
    coordinator.stop().await;
}
