//! The README's fleet on one machine, played word for word.
//!
//! From an empty folder, in namespaces where nothing else runs: what is in the blocks is given to a
//! shell as it stands there, and the verdict of all three agents must be on the screen.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use bailiwick_tests::{
    fleet::folder,
    internet::can_run,
    programs::{FLEET, built},
};

const README: &str = include_str!("../../README.md");

/// The blocks of shell commands between two places of the README.
fn blocks(from: &str, to: &str) -> Result<Vec<&'static str>> {
    let (_, rest) = README
        .split_once(from)
        .with_context(|| format!("no {from:?}"))?;
    let (part, _) = rest.split_once(to).with_context(|| format!("no {to:?}"))?;
    let blocks = part.split("```sh\n").skip(1);
    Ok(blocks
        .filter_map(|block| Some(block.split_once("```")?.0))
        .collect())
}

#[test]
fn a_fleet_on_one_machine_comes_up_as_the_readme_says() -> Result<()> {
    let test = "a_fleet_on_one_machine_comes_up_as_the_readme_says";
    if !can_run(test) {
        return Ok(());
    }
    let Some(programs) = built(test, &FLEET)? else {
        return Ok(());
    };
    let blocks = blocks(
        "To try that on one machine",
        "An agent is one small static program",
    )?;
    let [internet, fleet, check] = blocks[..] else {
        anyhow::bail!("{} blocks instead of three", blocks.len());
    };
    let commands = fleet.lines().count();
    ensure!(
        commands <= 5,
        "a coordinator and three agents need {commands} commands"
    );

    let folder = folder()?;
    let script = format!(
        "mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/lib; ip link set lo up
         ( {internet} ) > demo.log 2>&1 &
         for i in $(seq 200); do grep -q 'It runs until' demo.log && break; sleep 0.05; done
         {fleet}
         for i in $(seq 200); do
             listed=$(bailiwick agents list); grep -q '3 connected' <<<\"$listed\" && break
             sleep 0.05
         done
         echo \"$listed\"
         {check}
         echo \"exit code $?\"
         ls"
    );
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("timeout");
    shell
        .args([
            "60",
            "unshare",
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
        ])
        .args(["bash", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("HOME", folder.path())
        .env_remove("BAILIWICK_COORDINATOR")
        .env_remove("RUST_LOG");
    let output = shell.output()?;
    let shown = String::from_utf8(output.stdout)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    for wanted in [
        "3 agents, 3 connected",
        "NOT_PUBLISHED  seen from 3 vantage points",
        "seen from 3 networks",
        "vantage one: healthy",
        "vantage two: healthy",
        "vantage three: healthy",
        "glue-stale-address",
        "exit code 12",
    ] {
        ensure!(shown.contains(wanted), "no {wanted:?}: {shown}\n{errors}");
    }
    // What is to be done is the same as in the picture of the README.
    let advice = "-> At the registrar, change the host object ns1.stale.test from";
    ensure!(README.contains(advice) && shown.contains(advice), "{shown}");
    // And all that is left of it is in this folder.
    ensure!(
        shown.contains("coordinator\ndemo.log\nnamed.root\none\nthree\ntwo\n"),
        "{shown}"
    );
    Ok(())
}
