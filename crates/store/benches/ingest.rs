//! How many reports a second can be kept, beside the floor: the same rows written to the same
//! tables by hand, many in a statement, with commits of the same size.
//!
//! `cargo bench -p bailiwick-store`; `BAILIWICK_REPORTS` says how many reports each run keeps
//! (default 100,000). A thousand agents send at once, each waits for its acknowledgement. Both
//! sides are measured in turn, three times, and the medians are compared.

#![allow(
    clippy::unwrap_used,
    reason = "a measurement that cannot go on ends here"
)]
#![allow(clippy::cast_precision_loss, reason = "a rate has three digits")]

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bailiwick_core::{
    check::CheckId,
    report::{Lane, ReportId},
    time::Timestamp,
    vantage::VantageId,
};
use bailiwick_store::{
    Audit, Incoming, KeyHash, Location, NewReport, NewToken, Redemption, Scope, Store, TokenId,
    open,
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};
use rusqlite::{Connection, params_from_iter, types::Value};

const AGENTS: u64 = 1000;
/// Octets of a report.
const SIZE: usize = 1024;
/// Reports of a commit: what fits into 256 KiB.
const GROUP: usize = 256;
/// Rows of a statement of the floor.
const ROWS: usize = 64;
const RUNS: usize = 3;

fn name(agent: u64) -> VantageId {
    VantageId(format!("agent-{agent}"))
}

fn body(agent: u64, seq: u64) -> Vec<u8> {
    let mut body = format!("report {seq} of {agent} ").into_bytes();
    // Octets that nothing can guess, as signatures and times are.
    let mut state = agent << 32 | seq | 1;
    while body.len() < SIZE {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        body.extend(state.to_be_bytes());
    }
    body.truncate(SIZE);
    body
}

async fn enrol(store: &dyn Store, agent: u64) {
    let mut id = TokenId([0; 10]);
    id.0[..8].copy_from_slice(&agent.to_be_bytes());
    let mut key = KeyHash([0; 32]);
    key.0[..8].copy_from_slice(&agent.to_be_bytes());
    let (mac, at) = ([0; 32], Timestamp(1));
    let token = NewToken {
        id,
        mac,
        scope: Scope::Agent {
            name: name(agent),
            labels: BTreeSet::new(),
            from: None,
            approve: false,
        },
        created: at,
        expires: Timestamp(2),
    };
    let audit = Audit {
        at,
        who: String::new(),
        what: agent.to_string(),
        request: [0; 32],
        result: String::new(),
    };
    store.create_token(&token, &audit).await.unwrap();
    let token = id;
    let redemption = Redemption {
        token,
        mac,
        key,
        at,
    };
    store.redeem(&redemption).await.unwrap();
}

/// Sends reports, a batch each so often, and returns how long each batch waited.
async fn send(
    store: Arc<dyn Store>,
    agent: u64,
    reports: u64,
    batch: u64,
    each: Duration,
) -> Vec<Duration> {
    let mut waited = Vec::new();
    let mut seq = 1;
    // Not all at once.
    let first = tokio::time::Instant::now() + each.mul_f64(agent as f64 / AGENTS as f64);
    let mut ticks = tokio::time::interval_at(first, each.max(Duration::from_nanos(1)));
    while seq <= reports {
        if !each.is_zero() {
            ticks.tick().await;
        }
        let end = (seq + batch).min(reports + 1);
        let items = (seq..end).map(|seq| {
            Incoming::Report(NewReport {
                id: ReportId {
                    lane: Lane::Change,
                    epoch: agent,
                    seq,
                },
                check: Some(CheckId(seq.into())),
                body: body(agent, seq).into(),
                answers: vec![],
                received: Timestamp(seq),
            })
        });
        let items = items.collect();
        let began = Instant::now();
        store.ingest(&name(agent), items).await.unwrap();
        waited.push(began.elapsed());
        seq = end;
    }
    waited
}

/// Returns reports a second, and how long 99 of 100 calls waited at most.
fn through_the_store(folder: &Path, reports: u64, batch: u64, each: Duration) -> (f64, Duration) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let location = Location::Sqlite(folder.join("store.db"));
        let store = open(&location).await.unwrap();
        let enrolled = (0..AGENTS).map(|agent| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { enrol(&*store, agent).await })
        });
        for task in enrolled.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        let began = Instant::now();
        let senders = (0..AGENTS).map(|agent| {
            let store = Arc::clone(&store);
            tokio::spawn(send(store, agent, reports / AGENTS, batch, each))
        });
        let mut waited = Vec::new();
        for task in senders.collect::<Vec<_>>() {
            waited.extend(task.await.unwrap());
        }
        let rate = reports as f64 / began.elapsed().as_secs_f64();
        assert_eq!(store.usage().await.unwrap().reports, reports);
        waited.sort();
        (rate, waited[waited.len() * 99 / 100])
    })
}

/// Returns rows a second.
fn by_hand(folder: &Path, reports: u64) -> f64 {
    // The same tables, made by the store.
    let path = folder.join("store.db");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    drop(
        runtime
            .block_on(open(&Location::Sqlite(path.clone())))
            .unwrap(),
    );
    let db = Connection::open(&path).unwrap();
    for (pragma, value) in [
        ("journal_mode", "WAL"),
        ("synchronous", "FULL"),
        ("wal_autocheckpoint", "4096"),
        ("cache_size", "-16384"),
    ] {
        db.pragma_update(None, pragma, value).unwrap();
    }
    let mut sql = "INSERT INTO report (agent_id, lane, epoch, seq, bucket, check_id, received_at,
        hash, answers, body) VALUES "
        .to_owned();
    for row in 0..ROWS {
        let comma = if row == 0 { "" } else { "," };
        write!(sql, "{comma}(?,?,?,?,?,?,?,?,?,?)").unwrap();
    }
    sql.push_str(" ON CONFLICT (agent_id, lane, epoch, seq) DO NOTHING");
    let began = Instant::now();
    let mut insert = db.prepare(&sql).unwrap();
    // As they come through the store: all agents, then the next of all agents.
    let rows: Vec<(u64, u64)> = (1..=reports / AGENTS)
        .flat_map(|seq| (0..AGENTS).map(move |agent| (agent, seq)))
        .collect();
    let mut written = 0;
    for group in rows.chunks(GROUP) {
        db.execute_batch("BEGIN IMMEDIATE").unwrap();
        for rows in group.chunks(ROWS) {
            let mut values = rows.iter().flat_map(row).collect::<Vec<_>>();
            // The last statement says its last row again.
            while values.len() < ROWS * 10 {
                values.extend(row(&rows[rows.len() - 1]));
            }
            written += insert.execute(params_from_iter(values)).unwrap();
        }
        db.execute_batch("COMMIT").unwrap();
    }
    assert_eq!(written as u64, reports);
    reports as f64 / began.elapsed().as_secs_f64()
}

fn row(&(agent, seq): &(u64, u64)) -> [Value; 10] {
    let hashed = bailiwick_wire::report::hash(name(agent).0.as_bytes());
    let key = i64::from_be_bytes(hashed[..8].try_into().unwrap());
    let body = body(agent, seq);
    [
        Value::Integer(key),
        Value::Integer(1),
        Value::Integer(agent.cast_signed()),
        Value::Integer(seq.cast_signed()),
        Value::Integer(0),
        Value::Blob(u128::from(seq).to_be_bytes().to_vec()),
        Value::Integer(seq.cast_signed()),
        Value::Blob(bailiwick_wire::report::hash(&body).to_vec()),
        Value::Blob(vec![]),
        Value::Blob(body),
    ]
}

/// Returns how long this program has kept processors busy, threads and system included. Unlike
/// a rate it says the same on a busy machine.
fn busy() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let micros = [usage.user_time(), usage.system_time()].map(|time| time.num_microseconds());
    Duration::from_micros(micros.iter().sum::<i64>().unsigned_abs())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() {
    let reports = std::env::var("BAILIWICK_REPORTS").map_or(100_000, |n| n.parse().unwrap());
    let reports = reports / AGENTS * AGENTS;
    println!("{reports} reports of {SIZE} octets from {AGENTS} agents, {RUNS} runs, medians");
    for batch in [1, 10, 64] {
        let (mut store, mut floor, mut waits) = (Vec::new(), Vec::new(), Vec::new());
        let (mut store_busy, mut floor_busy) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..RUNS {
            let folder = || tempfile::tempdir().unwrap();
            let before = busy();
            floor.push(by_hand(folder().path(), reports));
            let between = busy();
            let now = Duration::ZERO;
            let (rate, waited) = through_the_store(folder().path(), reports, batch, now);
            store_busy += busy() - between;
            floor_busy += between - before;
            store.push(rate);
            waits.push(waited);
        }
        waits.sort();
        let (store, floor) = (median(store), median(floor));
        println!(
            "{batch:3} a call: store {store:7.0}/s, floor {floor:7.0}/s, ratio {:.2}, p99 wait {:?}",
            store / floor,
            waits[RUNS / 2]
        );
        let each = |busy: Duration| busy.as_secs_f64() * 1e6 / (reports * RUNS as u64) as f64;
        println!(
            "     processors: store {:.1} us a report, floor {:.1} us",
            each(store_busy),
            each(floor_busy)
        );
        // How long one waits when there is time.
        let each = Duration::from_secs_f64((AGENTS * batch) as f64 / (store / 2.0));
        let folder = tempfile::tempdir().unwrap();
        let (rate, waited) = through_the_store(folder.path(), reports, batch, each);
        println!("     at half of it, {rate:.0}/s: p99 wait {waited:?}");
    }
}
