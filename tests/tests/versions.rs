//! Programs of this version with those of the one before (fault F35).
//!
//! ```text
//! BAILIWICK_PREVIOUS=/folder/with/its/three/programs cargo test -p bailiwick-tests --test versions
//! ```
//!
//! Every agent works with every coordinator. The coordinator is upgraded first and takes its store
//! along; an agent takes its identity, plan and spool along in both directions, with reports in the
//! spool that nobody has yet. Without a version before, this one is held against itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use bailiwick_tests::{
    fleet::folder,
    internet::can_run,
    programs::{FLEET, built},
};
use serde_json::Value;

const PREVIOUS: &str = "BAILIWICK_PREVIOUS";

/// Plays in namespaces of its own. Programs are those of `$C` and `$A`, and after the upgrade those
/// of `$C2` and `$A2`.
const SCRIPT: &str = r#"
mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/lib; ip link set lo up
"$OURS/bailiwick" demo --serve --port 5399 --hints named.root > demo.log 2>&1 &
for i in $(seq 200); do grep -q 'It runs until' demo.log && break; sleep 0.05; done

serve() { "$1/bailiwick-coordinator" serve --dir coordinator 2>> coordinator.log & SERVER=$!; }
join() {
    local string; string=$("$C/bailiwick" agents invite "$1" --label "asn=$2")
    "$A/bailiwick-agent" join "$string" --state-dir "$1" --allow-special-use --port 5399 \
        --bind "$3" >> "$1.log" 2>&1 &
    AGENTS+=($!)
}
both() {
    for i in $(seq 200); do
        "$1/bailiwick" agents list | grep -q ', 2 connected' && return; sleep 0.05
    done
}
check() {
    "$1/bailiwick" check stale.test --coordinator --root-hints named.root --port 5399 \
        --allow-special-use --output json
}

"$C/bailiwick-coordinator" init --lab --dir coordinator --agents 127.0.0.1:8443
serve "$C"
join one 64501 127.53.1.1
join two 64502 127.53.1.2
both "$C"
check "$C" > before.json

# The coordinator dies while they look; what they see stays in their spools.
check "$C" > /dev/null 2>&1 &
sleep 0.5; kill -9 $SERVER; sleep 3; kill -9 ${AGENTS[*]}
# Until it is gone, each holds the lock of its folder.
wait $SERVER ${AGENTS[*]} || true

serve "$C2"
for name in one two; do "$A2/bailiwick-agent" run --state-dir $name >> $name.log 2>&1 & done
both "$C2"
for i in $(seq 200); do
    "$C2/bailiwick" history --output json > history.json
    [ "$(grep -c '"vantages_reported": 2' history.json)" = 2 ] && break
    sleep 0.05
done
check "$C2" > after.json
id=$("$C2/bailiwick" history --limit 1 --output json | grep -o '[0-9a-f]\{32\}' | head -n 1)
"$C2/bailiwick" evidence "$id" --save evidence > /dev/null
"$C2/bailiwick" replay evidence --verify > replay.txt
"#;

/// Who runs which version: the coordinator and the agents, before and after the upgrade.
struct Versions<'a> {
    coordinator: [&'a Path; 2],
    agents: [&'a Path; 2],
}

#[test]
fn programs_of_two_versions_work_together() -> Result<()> {
    let test = "programs_of_two_versions_work_together";
    if !can_run(test) {
        return Ok(());
    }
    let Some(ours) = built(test, &FLEET)? else {
        return Ok(());
    };
    let Some(previous) = std::env::var_os(PREVIOUS).map(PathBuf::from) else {
        eprintln!("skipped: {test}: {PREVIOUS} names no other version; this one with itself:");
        return play("this version alone", &ours, &Versions::alone(&ours));
    };
    for program in FLEET {
        let program = previous.join(program);
        ensure!(
            program.is_file(),
            "{PREVIOUS}: there is no {}",
            program.display()
        );
    }
    let (old, new) = (previous.as_path(), ours.as_path());
    let cases = [
        ("all are upgraded at once", [old, new], [old, new]),
        (
            "old agents stay with a new coordinator",
            [new, new],
            [old, old],
        ),
        ("new agents with an old coordinator", [old, old], [new, new]),
        (
            "agents go back, with what is in their spools",
            [new, new],
            [new, old],
        ),
        ("agents follow their coordinator", [new, new], [old, new]),
    ];
    for (what, coordinator, agents) in cases {
        let versions = Versions {
            coordinator,
            agents,
        };
        play(what, &ours, &versions)?;
    }
    Ok(())
}

impl<'a> Versions<'a> {
    fn alone(one: &'a Path) -> Self {
        Self {
            coordinator: [one; 2],
            agents: [one; 2],
        }
    }
}

fn play(what: &str, ours: &Path, versions: &Versions<'_>) -> Result<()> {
    let folder = folder()?;
    let mut shell = Command::new("timeout");
    shell
        .args([
            "90",
            "unshare",
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
        ])
        .args(["bash", "-c", SCRIPT])
        .current_dir(folder.path())
        .env("OURS", ours)
        .env("C", versions.coordinator[0])
        .env("C2", versions.coordinator[1])
        .env("A", versions.agents[0])
        .env("A2", versions.agents[1])
        .env("HOME", folder.path())
        .env_remove("BAILIWICK_COORDINATOR")
        .env_remove("RUST_LOG");
    let output = shell.output()?;
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    let logs = || {
        let shown =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        let logs = ["coordinator.log", "one.log", "two.log"]
            .map(read)
            .join("---\n");
        format!("{what}: {shown}\n{logs}")
    };
    for name in ["before.json", "after.json"] {
        let said: Value = serde_json::from_str(&read(name)).with_context(logs)?;
        ensure!(
            said["state"] == "NOT_PUBLISHED",
            "{name}: {}\n{}",
            said["headline"],
            logs()
        );
        let vantages = said["vantages"].as_array().context("vantages")?;
        let healthy = vantages
            .iter()
            .filter(|seen| seen["fitness"] == "healthy")
            .count();
        ensure!(
            healthy == 2,
            "{name}: {healthy} of 2 have a voice\n{}",
            logs()
        );
    }
    let history: Value = serde_json::from_str(&read("history.json")).with_context(logs)?;
    let checks = history["checks"].as_array().context("checks")?;
    ensure!(checks.len() == 2, "{history:#}\n{}", logs());
    for check in checks {
        // Also of the check during which the coordinator died: it came out of the spools.
        ensure!(check["vantages_reported"] == 2, "{check:#}\n{}", logs());
    }
    ensure!(
        read("replay.txt").starts_with("SAME"),
        "{}\n{}",
        read("replay.txt"),
        logs()
    );
    eprintln!("{what}: works");
    Ok(())
}
