//! The disk of an agent is full.
//!
//! `BAILIWICK_FULL_SECONDS=3600 cargo test -p bailiwick-agent --test agent full` keeps it full for an hour.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bailiwick_agent::Said;
use bailiwick_core::report::Lane;
use bailiwick_wire::report;

use crate::{
    Agent, PORT,
    coordinator::{Coordinator, Heard},
    once, seconds, standing,
};

/// Resident memory that an agent may take, in KiB.
const RESIDENT: u64 = 128 * 1024;

/// A program in a mount namespace of its own, in which its folder is a file system of 64 MiB.
struct Cramped {
    program: Child,
    /// The file system, from outside.
    disk: PathBuf,
}

impl Cramped {
    /// Takes over the state of an agent that has joined.
    fn start(agent: &Agent, mount: &Path, log: File) -> Self {
        let script = "mount -t tmpfs -o size=64m tmpfs \"$1\" && cp -a \"$2\" \"$1/state\" \
                      && exec \"$0\" run --state-dir \"$1/state\"";
        let program = Command::new("unshare")
            .args(["--mount", "bash", "-c", script])
            .arg(env!("CARGO_BIN_EXE_bailiwick-agent"))
            .args([mount, agent.path()])
            .env("RUST_LOG", "info")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let root = format!("/proc/{}/root", program.id());
        let disk = Path::new(&root).join(mount.strip_prefix("/").unwrap());
        Self { program, disk }
    }

    /// Others write until nothing more fits.
    fn fill(&self) {
        let mut filler = File::create(self.disk.join("of others")).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
    }

    fn clear(&self) {
        fs::remove_file(self.disk.join("of others")).unwrap();
    }

    /// It lives, and within its memory.
    fn is_well(&mut self) {
        assert_eq!(self.program.try_wait().unwrap(), None, "it has ended");
        let status = fs::read_to_string(format!("/proc/{}/status", self.program.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let resident: u64 = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        assert!(resident <= RESIDENT, "{resident} KiB");
    }
}

impl Drop for Cramped {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// By lane and epoch: reports that arrived and those that were said to be missing.
fn counts(heard: &Heard) -> BTreeMap<(Lane, u64), BTreeMap<u64, bool>> {
    let mut all: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for arrived in &heard.reports {
        let lane = all.entry((arrived.id.lane, arrived.id.epoch)).or_default();
        lane.insert(arrived.id.seq, true);
    }
    for gap in &heard.gaps {
        let lane = all
            .entry((report::lane(gap.lane).unwrap(), gap.epoch))
            .or_default();
        for seq in gap.first..=gap.last {
            let twice = lane.insert(seq, false);
            assert_ne!(twice, Some(true), "number {seq} arrived and is missing");
        }
    }
    all
}

#[tokio::test]
async fn a_full_disk_costs_what_is_worth_least_and_each_loss_is_counted() {
    if !nix::unistd::geteuid().is_root() {
        let on_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!on_ci, "this must run on CI, as root");
        eprintln!("skipped: a full disk: only root can mount a file system");
        return;
    }
    let step = seconds("BAILIWICK_FULL_SECONDS", 15) / 5;
    let coordinator = Coordinator::start().await;
    coordinator.behave(|manner| manner.credit = 0);
    let agent = Agent::joined(&coordinator, coordinator.address).await;
    let said = Said {
        allow_special_use: true,
        port: Some(PORT),
        ..Said::default()
    };
    said.write(agent.path()).unwrap();
    let settings = agent.path().join("agent.toml");
    let text = fs::read_to_string(&settings).unwrap() + "spool = \"8MiB\"\n";
    fs::write(&settings, text).unwrap();
    let standing: Vec<_> = (1..=50).map(standing).collect();
    coordinator.plan(standing.clone());

    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mount = folder.path().join("disk");
    fs::create_dir(&mount).unwrap();
    let mut cramped = Cramped::start(&agent, &mount, File::create(&log).unwrap());
    coordinator.sessions(1).await;
    for full in [false, true, false, true] {
        match full {
            true => cramped.fill(),
            false => drop(fs::remove_file(cramped.disk.join("of others"))),
        }
        tokio::time::sleep(step).await;
        cramped.is_well();
    }
    // What somebody waits for finds its place on the full disk: the rest makes room.
    let live = (201..=210).map(once);
    coordinator.plan(standing.iter().cloned().chain(live).collect());
    tokio::time::sleep(step).await;
    cramped.is_well();
    coordinator.plan(Vec::new());
    tokio::time::sleep(Duration::from_secs(1)).await;
    coordinator.behave(|manner| manner.credit = 1 << 20);

    // Until nothing comes any more.
    let mut heard = (0, 0);
    let told = || fs::read_to_string(&log).unwrap();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = coordinator.kept.heard.lock().unwrap();
        let count = (now.reports.len(), now.gaps.len());
        if count == heard && count.0 > 0 {
            break;
        }
        heard = count;
    }
    cramped.is_well();
    cramped.clear();
    // The plan is a picture that cannot be drawn anew then; the one in memory is followed.
    let lines = |line: &&str| !line.contains("/state/plan: No space left");
    let said: String = told().lines().filter(lines).collect();
    for trouble in ["in memory only", "cannot be kept", "panicked", "ERROR"] {
        assert!(!said.contains(trouble), "{said}");
    }
    let heard = coordinator.kept.heard.lock().unwrap();
    let (mut delivered, mut missing) = (0, 0);
    for ((lane, _), numbers) in counts(&heard) {
        let there = numbers.values().filter(|there| **there).count();
        let last = *numbers.keys().next_back().unwrap();
        assert_eq!(
            numbers.len() as u64,
            last,
            "{lane}: every number is accounted for"
        );
        if lane == Lane::Change {
            // A slow machine may not come to the last of them before the plan is empty.
            assert!(there > 0, "somebody waited");
            assert_eq!(
                there as u64, last,
                "nothing that somebody waits for is lost"
            );
        }
        delivered += there;
        missing += numbers.len() - there;
    }
    eprintln!("{delivered} reports delivered, {missing} counted as missing");
    assert!(delivered > 10, "not all of it is what somebody waits for");
    assert!(missing > 10, "the disk was full");
    // It went on measuring, as fast as it may ask.
    let produced = u64::try_from(delivered + missing).unwrap();
    assert!(produced >= 2 * 5 * step.as_secs(), "{produced}");
}
