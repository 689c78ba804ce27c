//! Any calls in any order: the store in memory says what is right, and SQLite must say the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{sync::Arc, time::Duration};

use bailiwick_core::{
    check::CheckId,
    report::{Lane, ReportId},
    time::Timestamp,
    vantage::VantageId,
};
use bailiwick_store::{
    AgentState, Audit, BootId, Certificate, Gap, Incoming, ItemId, Judgement, KeyHash, Location,
    NewCheck, NewReport, NewToken, Options, PlanItem, Redemption, Reserve, Role, Scope, Seen,
    Serial, Store, TokenId, open_with,
};
use proptest::{collection::vec, prelude::*};

/// One call. Numbers are small, so that calls meet each other.
#[derive(Clone, Debug)]
enum Call {
    CreateToken(u8, u8, bool, u64),
    Redeem(u8, u8, u8, u64),
    SetState(u8, u8, u64),
    CertificateIssued(u8, u8),
    CertificateUsed(u8, u8),
    NoteSeen(u8, u8, i64),
    TakeSession(u8, u8, u64),
    SetRole(u8, u8),
    RemoveOperator(u8),
    Note(u64, u8),
    CreateCheck(u8, u8, u64, Vec<u8>),
    CloseCheck(u8, u8, u64),
    ReviseCheck(u8, u8),
    PutItem(u8, u8, u64, u64),
    RemoveItem(u8, u8, u64),
    PlanSince(u8, u64, u64),
    Ingest(u8, Vec<Item>),
    Evidence(u8, u8, bool, u64, usize),
    Forget(u64, usize),
    Reopen,
}

#[derive(Clone, Debug)]
enum Item {
    Report {
        lane: bool,
        epoch: u8,
        seq: u64,
        body: u8,
        check: Option<u8>,
        answers: Vec<u8>,
    },
    Gap(bool, u8, u64, u64),
}

fn item() -> impl Strategy<Value = Item> {
    let report = (
        any::<bool>(),
        0..2_u8,
        0..12_u64,
        prop_oneof![9 => Just(0_u8), 1 => 1..3_u8],
        proptest::option::of(0..3_u8),
        vec(0..5_u8, 0..4),
    );
    let gap = (any::<bool>(), 0..2_u8, 1..12_u64, 0..4_u64);
    prop_oneof![
        5 => report.prop_map(|(lane, epoch, seq, body, check, answers)| Item::Report {
            lane,
            epoch,
            // 0 cannot be, and should be rare.
            seq: if seq == 0 && body == 0 { 1 } else { seq },
            body,
            check,
            answers,
        }),
        1 => gap.prop_map(|(lane, epoch, first, more)| Item::Gap(lane, epoch, first, first + more)),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let agent = 0..3_u8;
    let minute = 0..30_u64;
    prop_oneof![
        3 => (0..6_u8, 0..5_u8, any::<bool>(), 1..20_u64)
            .prop_map(|(t, name, approve, life)| Call::CreateToken(t, name, approve, life)),
        6 => (0..6_u8, prop_oneof![9 => Just(0_u8), 1 => Just(1_u8)], 0..6_u8, minute.clone())
            .prop_map(|(t, secret, key, at)| Call::Redeem(t, secret, key, at)),
        1 => (agent.clone(), 0..4_u8, minute.clone()).prop_map(|(a, s, at)| Call::SetState(a, s, at)),
        1 => (agent.clone(), 0..3_u8).prop_map(|(a, s)| Call::CertificateIssued(a, s)),
        1 => (agent.clone(), 0..3_u8).prop_map(|(a, s)| Call::CertificateUsed(a, s)),
        1 => (agent.clone(), any::<u8>(), any::<i64>()).prop_map(|(a, x, o)| Call::NoteSeen(a, x, o)),
        2 => (agent.clone(), 0..3_u8, minute.clone()).prop_map(|(a, b, at)| Call::TakeSession(a, b, at)),
        1 => (0..5_u8, 0..3_u8).prop_map(|(o, role)| Call::SetRole(o, role)),
        1 => (0..5_u8).prop_map(Call::RemoveOperator),
        1 => (minute.clone(), 0..3_u8).prop_map(|(at, what)| Call::Note(at, what)),
        3 => (0..3_u8, 0..2_u8, minute.clone(), vec(agent.clone(), 0..3))
            .prop_map(|(c, z, at, asked)| Call::CreateCheck(c, z, at, asked)),
        2 => (0..3_u8, 0..3_u8, minute.clone()).prop_map(|(c, s, at)| Call::CloseCheck(c, s, at)),
        2 => (0..3_u8, 0..3_u8).prop_map(|(c, s)| Call::ReviseCheck(c, s)),
        3 => (agent.clone(), 0..4_u8, minute.clone(), minute.clone())
            .prop_map(|(a, i, end, at)| Call::PutItem(a, i, end, at)),
        2 => (agent.clone(), 0..4_u8, minute.clone()).prop_map(|(a, i, at)| Call::RemoveItem(a, i, at)),
        2 => (agent.clone(), 0..8_u64, minute).prop_map(|(a, r, at)| Call::PlanSince(a, r, at)),
        12 => (agent.clone(), vec(item(), 0..6)).prop_map(|(a, items)| Call::Ingest(a, items)),
        2 => (0..3_u8, agent, any::<bool>(), 0..12_u64, 0..5_usize)
            .prop_map(|(c, a, lane, seq, limit)| Call::Evidence(c, a, lane, seq, limit)),
        1 => (0..15_u64, 0..6_usize).prop_map(|(before, limit)| Call::Forget(before, limit)),
        1 => Just(Call::Reopen),
    ]
}

fn at(minute: u64) -> Timestamp {
    Timestamp(1_800_000_000_000_000 + minute * 60_000_000)
}

fn agent(number: u8) -> VantageId {
    VantageId(format!("agent-{number}"))
}

fn audit(at: Timestamp, what: String) -> Audit {
    let (who, result) = ("uid 0".to_owned(), "done".to_owned());
    let request = [0; 32];
    Audit {
        at,
        who,
        what,
        request,
        result,
    }
}

fn lane(urgent: bool) -> Lane {
    if urgent { Lane::Change } else { Lane::Routine }
}

/// Epochs on both sides of what databases count with.
fn epoch(number: u8) -> u64 {
    [3, u64::MAX - 3][usize::from(number)]
}

fn incoming(item: Item) -> Incoming {
    match item {
        Item::Report {
            lane: urgent,
            epoch: number,
            seq,
            body,
            check,
            answers,
        } => Incoming::Report(NewReport {
            id: ReportId {
                lane: lane(urgent),
                epoch: epoch(number),
                seq,
            },
            check: check.map(|check| CheckId(check.into())),
            body: vec![body; 3].into(),
            answers: answers
                .into_iter()
                .map(|n| vec![n; n.into()].into())
                .collect(),
            received: at(seq),
        }),
        Item::Gap(urgent, number, first, last) => Incoming::Gap(Gap {
            lane: lane(urgent),
            epoch: epoch(number),
            first,
            last,
        }),
    }
}

fn judgement(state: u8, judged: u64) -> Judgement {
    Judgement {
        state: format!("STATE-{state}"),
        exit_code: state,
        headline: String::new(),
        policy: 1,
        judged: at(judged),
        verdict: vec![state].into(),
        places: vec![].into(),
    }
}

/// Makes the call, and returns all that it said.
async fn make(store: &dyn Store, call: Call) -> String {
    match call {
        Call::CreateToken(number, name, approve, life) => {
            // Names below 3 are agents, the others operators.
            let scope = if name < 3 {
                Scope::Agent {
                    name: agent(name),
                    labels: [format!("token={number}")].into(),
                    from: None,
                    approve,
                }
            } else {
                let (name, role) = (format!("operator-{name}"), Role::Viewer);
                Scope::Operator { name, role }
            };
            let token = NewToken {
                id: TokenId([number; 10]),
                mac: [0; 32],
                scope,
                created: at(0),
                expires: at(life),
            };
            let noted = audit(at(0), format!("invite {number}"));
            format!("{:?}", store.create_token(&token, &noted).await)
        }
        Call::Redeem(token, secret, key, minute) => {
            let redemption = Redemption {
                token: TokenId([token; 10]),
                mac: [secret; 32],
                key: KeyHash([key; 32]),
                at: at(minute),
            };
            format!("{:?}", store.redeem(&redemption).await)
        }
        Call::SetState(name, state, minute) => {
            let state = match state {
                0 => AgentState::Pending,
                1 | 2 => AgentState::Active,
                _ => AgentState::Banned {
                    since: at(minute),
                    reason: "it lies".to_owned(),
                },
            };
            let noted = audit(at(minute), format!("{state} {name}"));
            format!(
                "{:?}",
                store.set_agent_state(&agent(name), &state, &noted).await
            )
        }
        Call::CertificateIssued(name, serial) => {
            let certificate = Certificate {
                serial: Serial([serial; 16]),
                until: at(serial.into()),
            };
            format!(
                "{:?}",
                store.certificate_issued(&agent(name), &certificate).await
            )
        }
        Call::CertificateUsed(name, serial) => {
            let serial = Serial([serial; 16]);
            format!("{:?}", store.certificate_used(&agent(name), serial).await)
        }
        Call::NoteSeen(name, address, clock_offset) => {
            let seen = Seen {
                at: at(address.into()),
                address: [192, 0, 2, address].into(),
                build: "0.1".to_owned(),
                boot: BootId([1; 16]),
                durable: true,
                lab: false,
                clock_offset,
            };
            format!("{:?}", store.note_seen(&agent(name), &seen).await)
        }
        Call::TakeSession(name, boot, minute) => {
            let boot = BootId([boot; 16]);
            let session = store
                .take_session(&agent(name), "replica", boot, at(minute))
                .await;
            format!("{session:?}")
        }
        Call::SetRole(name, role) => {
            let (name, role) = (format!("operator-{name}"), Role::ALL[usize::from(role)]);
            let noted = audit(at(0), format!("{role} {name}"));
            format!("{:?}", store.set_role(&name, role, &noted).await)
        }
        Call::RemoveOperator(name) => {
            let name = format!("operator-{name}");
            let noted = audit(at(0), format!("remove {name}"));
            format!("{:?}", store.remove_operator(&name, &noted).await)
        }
        Call::Note(minute, what) => {
            let noted = audit(at(minute), what.to_string());
            format!("{:?}", store.note(&noted).await)
        }
        Call::CreateCheck(number, zone, minute, asked) => {
            let check = NewCheck {
                id: CheckId(number.into()),
                zone: vec![zone].into(),
                check: vec![1].into(),
                operator: "uid 0".to_owned(),
                created: at(minute),
                deadline: at(minute).after(Duration::from_mins(5)),
                asked: asked.into_iter().map(agent).collect(),
                item: vec![2].into(),
            };
            let noted = audit(at(minute), format!("check {number}"));
            format!("{:?}", store.create_check(&check, &noted).await)
        }
        Call::CloseCheck(number, state, minute) => {
            let (id, verdict) = (CheckId(number.into()), judgement(state, minute));
            format!("{:?}", store.close_check(id, &verdict).await)
        }
        Call::ReviseCheck(number, state) => {
            let (id, verdict) = (CheckId(number.into()), judgement(state, 29));
            format!("{:?}", store.revise_check(id, &verdict).await)
        }
        Call::PutItem(name, number, end, minute) => {
            let item = PlanItem {
                id: ItemId(number.into()),
                spec: vec![number].into(),
                not_after: at(end),
            };
            let put = store.put_plan_item(&agent(name), &item, at(minute)).await;
            format!("{put:?}")
        }
        Call::RemoveItem(name, number, minute) => {
            let id = ItemId(number.into());
            let removed = store.remove_plan_item(&agent(name), id, at(minute)).await;
            format!("{removed:?}")
        }
        Call::PlanSince(name, revision, minute) => {
            let delta = store.plan_since(&agent(name), revision, at(minute)).await;
            format!("{delta:?}")
        }
        Call::Ingest(name, items) => {
            let items = items.into_iter().map(incoming).collect();
            format!("{:?}", store.ingest(&agent(name), items).await)
        }
        Call::Evidence(check, name, urgent, seq, limit) => {
            let after = bailiwick_store::KeptId {
                agent: agent(name),
                report: ReportId {
                    lane: lane(urgent),
                    epoch: epoch(0),
                    seq,
                },
            };
            let check = CheckId(check.into());
            format!("{:?}", store.evidence(check, Some(&after), limit).await)
        }
        Call::Forget(before, limit) => {
            format!("{:?}", store.forget_reports(at(before), limit).await)
        }
        Call::Reopen => String::new(),
    }
}

/// Returns all that can be seen.
async fn state(store: &dyn Store) -> Vec<String> {
    let mut seen = vec![
        format!("{:?}", store.agents().await.unwrap()),
        format!("{:?}", store.operators().await.unwrap()),
        format!("{:?}", store.audit(1000).await.unwrap()),
        format!("{:?}", store.checks(None, 1000).await.unwrap()),
        format!("{:?}", store.checks(Some(&[0]), 1000).await.unwrap()),
        format!("{:?}", store.open_checks(1000).await.unwrap()),
    ];
    for number in 0..6 {
        let token = TokenId([number; 10]);
        seen.push(format!("{:?}", store.token(token).await.unwrap()));
    }
    for number in 0..3 {
        let id = CheckId(number);
        seen.push(format!("{:?}", store.check(id).await.unwrap()));
        seen.push(format!("{:?}", store.first_judgement(id).await.unwrap()));
        seen.push(format!(
            "{:?}",
            store.evidence(id, None, 1000).await.unwrap()
        ));
    }
    for number in 0..3 {
        let name = agent(number);
        seen.push(format!("{:?}", store.session(&name).await.unwrap()));
        seen.push(format!("{:?}", store.marks(&name).await.unwrap()));
        seen.push(format!(
            "{:?}",
            store.equivocations(&name, 1000).await.unwrap()
        ));
        seen.push(format!("{:?}", store.plan_since(&name, 0, at(0)).await));
    }
    let usage = store.usage().await.unwrap();
    let counts = (usage.agents, usage.reports, usage.checks, usage.open_checks);
    seen.push(format!("{counts:?}"));
    seen
}

async fn open(location: &Location) -> Arc<dyn Store> {
    let (octets, percent) = (0, 0);
    let options = Options {
        reserve: Reserve { octets, percent },
        ..Options::default()
    };
    open_with(location, &options).await.unwrap()
}

async fn compare(calls: Vec<Call>) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("store.db"));
    let memory = open(&Location::Memory).await;
    let mut sqlite = open(&location).await;
    for (number, call) in calls.into_iter().enumerate() {
        if matches!(call, Call::Reopen) {
            drop(sqlite);
            sqlite = open(&location).await;
        }
        let expected = make(&*memory, call.clone()).await;
        let said = make(&*sqlite, call.clone()).await;
        prop_assert_eq!(said, expected, "call {}: {:?}", number, call);
    }
    prop_assert_eq!(state(&*sqlite).await, state(&*memory).await);
    Ok(())
}

proptest! {
    // `PROPTEST_CASES=10000` for a night.
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(64),
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn sqlite_says_what_memory_says(calls in vec(call(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(compare(calls))?;
    }
}
