//! F1: the process is killed at any moment, and what was acknowledged is kept.
//!
//! A child keeps reports of many agents and says each time what was acknowledged; its parent
//! kills it, opens the store and looks. The oracle is what the parent heard, so nothing that the
//! store says about itself is believed.
//!
//! 20 kills by default; `BAILIWICK_KILLS=1000` for all. This shows nothing about power cuts: what
//! was written before a kill is safe without any sync. For that see `tests/crash.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::RandomState},
    hash::BuildHasher as _,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bailiwick_core::{
    check::CheckId,
    report::{Lane, ReportId},
    time::Timestamp,
};
use bailiwick_store::{Fate, Incoming, NewReport, Store};

use common::{enrol, name, open};

/// Where the child finds its store.
const FOLDER: &str = "BAILIWICK_KILL_FOLDER";
const AGENTS: u64 = 100;
/// How many kills one store lives through.
const LIVES: usize = 10;
const CHECK: CheckId = CheckId(1);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap()
}

/// The one report of that identity: what is in it is told by its identity.
fn report(agent: u64, seq: u64) -> NewReport {
    let text = format!("report {seq} of agent {agent} ");
    let answer = format!("answer {}", seq % 7);
    NewReport {
        id: ReportId {
            lane: Lane::Change,
            epoch: agent,
            seq,
        },
        check: Some(CHECK),
        body: text.repeat(20).into(),
        answers: vec![answer.into()],
        received: Timestamp(seq),
    }
}

/// The child: sends, and says what was acknowledged.
#[test]
#[ignore = "is started by its parent"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    runtime().block_on(async {
        let store = open(Path::new(&folder)).await;
        println!("ready");
        let agents = (0..AGENTS).map(|agent| tokio::spawn(send(Arc::clone(&store), agent)));
        for task in agents.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}

/// One agent: goes on where it was acknowledged, and sends the last ones again.
async fn send(store: Arc<dyn Store>, agent: u64) {
    let marks = store.marks(&name(agent)).await.unwrap();
    let through = marks.first().map_or(0, |mark| mark.through);
    let mut next = through.saturating_sub(3) + 1;
    loop {
        let batch = next..next + 1 + (next + agent) % 8;
        next = batch.end;
        let items = batch
            .clone()
            .map(|seq| Incoming::Report(report(agent, seq)));
        let done = store.ingest(&name(agent), items.collect()).await.unwrap();
        assert!(!done.fates.contains(&Fate::Equivocated));
        // One line is one write, so a line is there or not.
        println!("acknowledged {agent} {}", done.marks[0].through);
    }
}

/// What the child said before it was killed, and how long it took to be ready.
struct Heard {
    acknowledged: BTreeMap<u64, u64>,
    ready: Option<Duration>,
}

/// Lets a child work for that long.
fn kill(folder: &Path, after: Duration) -> Heard {
    let started = Instant::now();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = child.stderr.take().unwrap();
    let errors = thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).map(|_| text)
    });
    let output = BufReader::new(child.stdout.take().unwrap());
    let listener = thread::spawn(move || {
        let mut heard = Heard {
            acknowledged: BTreeMap::new(),
            ready: None,
        };
        for line in output.split(b'\n') {
            let line = String::from_utf8(line.unwrap()).unwrap();
            if line.ends_with("ready") {
                heard.ready = Some(started.elapsed());
            }
            let words: Vec<&str> = line.split(' ').collect();
            if let ["acknowledged", agent, through] = words[..] {
                // The last line may be half a line: half a number is a smaller one.
                let (agent, through) = (agent.parse().unwrap(), through.parse().unwrap_or(0));
                heard.acknowledged.insert(agent, through);
            }
        }
        heard
    });
    thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    let errors = errors.join().unwrap().unwrap();
    assert!(!errors.contains("panicked"), "{errors}");
    listener.join().unwrap()
}

/// Looks whether all that was acknowledged is there once, and nothing that was never sent.
async fn look(store: &dyn Store, acknowledged: &BTreeMap<u64, u64>) {
    let mut kept: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    let mut last = None;
    let mut rows = 0;
    loop {
        let page = store.evidence(CHECK, last.as_ref(), 1000).await.unwrap();
        let Some(end) = page.last() else { break };
        last = Some(end.id.clone());
        for row in page {
            let ReportId {
                epoch: agent, seq, ..
            } = row.id.report;
            assert_eq!(row.id.agent, name(agent));
            let sent = report(agent, seq);
            assert_eq!((row.body, row.answers), (sent.body, sent.answers));
            assert!(kept.entry(agent).or_default().insert(seq), "twice");
            rows += 1;
        }
    }
    for agent in 0..AGENTS {
        let marks = store.marks(&name(agent)).await.unwrap();
        let through = marks.first().map_or(0, |mark| mark.through);
        let heard = acknowledged.get(&agent).copied().unwrap_or(0);
        assert!(
            through >= heard,
            "agent {agent}: {heard} acknowledged, {through} kept"
        );
        let kept = kept.remove(&agent).unwrap_or_default();
        assert!(
            (1..=through).eq(kept),
            "agent {agent}: all up to {through} and no more"
        );
    }
    assert_eq!(
        store.usage().await.unwrap().reports,
        rows,
        "each counted once"
    );
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let kills: usize = std::env::var("BAILIWICK_KILLS").map_or(20, |n| n.parse().unwrap());
    let runtime = runtime();
    let mut total = 0;
    let mut ready = Vec::new();
    let mut life = None;
    for kill_number in 0..kills {
        let (folder, acknowledged): &mut (tempfile::TempDir, BTreeMap<u64, u64>) = match &mut life {
            Some(life) if kill_number % LIVES != 0 => life,
            life => {
                let folder = tempfile::tempdir().unwrap();
                runtime.block_on(async {
                    let store = open(folder.path()).await;
                    for agent in 0..AGENTS {
                        enrol(&*store, agent).await;
                    }
                });
                life.insert((folder, BTreeMap::new()))
            }
        };
        let after = 50 + RandomState::new().hash_one(kill_number) % 750;
        let heard = kill(folder.path(), Duration::from_millis(after));
        total += heard.acknowledged.iter().fold(0, |sum, (agent, &through)| {
            sum + through.saturating_sub(acknowledged.get(agent).copied().unwrap_or(0))
        });
        acknowledged.extend(heard.acknowledged);
        ready.extend(heard.ready);
        runtime.block_on(async {
            let store = open(folder.path()).await;
            look(&*store, acknowledged).await;
        });
    }
    ready.sort();
    assert!(ready.len() * 2 > kills, "most children had time to work");
    assert!(total > 0, "something was acknowledged");
    println!(
        "{kills} kills: {total} reports acknowledged, 0 lost; ready within {:?} (99 of 100)",
        ready[(ready.len() - 1) * 99 / 100]
    );
}
