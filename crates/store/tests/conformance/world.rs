//! What the stories are about.

use std::{collections::BTreeSet, time::Duration};

use bailiwick_core::{
    check::CheckId,
    report::{Lane, ReportId},
    time::Timestamp,
    vantage::VantageId,
};
use bailiwick_store::{
    Audit, Fate, Gap, Incoming, Ingested, Judgement, Kept, KeyHash, Mark, NewCheck, NewReport,
    NewToken, Redeemed, Redemption, Role, Scope, Store, TokenId,
};
use bytes::Bytes;

pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// A moment like any other.
pub(crate) fn now() -> Timestamp {
    Timestamp(1_800_000_000_000_000)
}

pub(crate) fn later(by: Duration) -> Timestamp {
    now().after(by)
}

pub(crate) fn named(name: &str) -> VantageId {
    VantageId(name.to_owned())
}

pub(crate) fn key(number: u8) -> KeyHash {
    KeyHash([number; 32])
}

pub(crate) fn audit(what: &str) -> Audit {
    Audit {
        at: now(),
        who: "uid 0".to_owned(),
        what: what.to_owned(),
        request: [7; 32],
        result: "done".to_owned(),
    }
}

/// A token for an agent, with the number as identity and secret.
pub(crate) fn token(number: u8, name: &str) -> NewToken {
    NewToken {
        id: TokenId([number; 10]),
        mac: [number; 32],
        scope: Scope::Agent {
            name: named(name),
            labels: ["role=probe".to_owned(), "asn=64500".to_owned()].into(),
            from: Some("192.0.2.0/24".to_owned()),
            approve: false,
        },
        created: now(),
        expires: later(HOUR),
    }
}

pub(crate) fn operator_token(number: u8, name: &str, role: Role) -> NewToken {
    NewToken {
        scope: Scope::Operator {
            name: name.to_owned(),
            role,
        },
        ..token(number, name)
    }
}

/// The redemption of the token of that number with the key of that number.
pub(crate) fn redemption(number: u8, key_number: u8) -> Redemption {
    Redemption {
        token: TokenId([number; 10]),
        mac: [number; 32],
        key: key(key_number),
        at: later(MINUTE),
    }
}

/// Makes a token and uses it, both of that number.
pub(crate) async fn redeem(store: &dyn Store, token: &NewToken) -> Redeemed {
    store.create_token(token, &audit("invite")).await.unwrap();
    let redemption = Redemption {
        token: token.id,
        mac: token.mac,
        key: key(token.id.0[0]),
        at: later(MINUTE),
    };
    store.redeem(&redemption).await.unwrap()
}

/// Enrols an agent with the token and key of that number.
pub(crate) async fn enrol(store: &dyn Store, number: u8, name: &str) -> VantageId {
    redeem(store, &token(number, name)).await;
    named(name)
}

pub(crate) fn id(lane: Lane, epoch: u64, seq: u64) -> ReportId {
    ReportId { lane, epoch, seq }
}

/// A body with a moment in it, as reports have: field 4 is when it began.
pub(crate) fn body(started: Timestamp, rest: &str) -> Bytes {
    let mut octets = vec![4 << 3];
    let mut number = started.0;
    while number >= 0x80 {
        octets.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    octets.push(u8::try_from(number).unwrap());
    // Field 99 is not known to anybody, and kept all the same.
    octets.extend([0x9a, 0x06, u8::try_from(rest.len()).unwrap()]);
    octets.extend(rest.as_bytes());
    octets.into()
}

pub(crate) const CHECK: CheckId = CheckId(0x1234);

/// A report on [`CHECK`] with two answers.
pub(crate) fn report(report: ReportId) -> NewReport {
    let text = format!("{} {:x} {}", report.lane, report.epoch, report.seq);
    NewReport {
        id: report,
        check: Some(CHECK),
        body: body(now(), &text),
        answers: vec![Bytes::from_static(b"an answer"), text.into()],
        received: later(MINUTE),
    }
}

/// The report of that number in the change lane of epoch 1.
pub(crate) fn change(seq: u64) -> Incoming {
    Incoming::Report(report(id(Lane::Change, 1, seq)))
}

pub(crate) fn gap(first: u64, last: u64) -> Incoming {
    Incoming::Gap(Gap {
        lane: Lane::Change,
        epoch: 1,
        first,
        last,
    })
}

/// What is returned when the mark of the change lane of epoch 1 is there.
pub(crate) fn ingested(fates: &[Fate], through: u64) -> Ingested {
    Ingested {
        fates: fates.to_vec(),
        marks: vec![Mark {
            lane: Lane::Change,
            epoch: 1,
            through,
        }],
    }
}

pub(crate) async fn ingest(store: &dyn Store, name: &VantageId, items: Vec<Incoming>) -> Ingested {
    store.ingest(name, items).await.unwrap()
}

/// All reports on a check.
pub(crate) async fn evidence(store: &dyn Store, check: CheckId) -> Vec<Kept> {
    store.evidence(check, None, usize::MAX).await.unwrap()
}

pub(crate) fn zone(name: &str) -> Bytes {
    let mut octets = Vec::new();
    for label in name.split_terminator('.') {
        octets.push(u8::try_from(label.len()).unwrap());
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    octets.into()
}

/// A check of that number, made so many minutes from now.
pub(crate) fn check(number: u128, minutes: u32, asked: &[&VantageId]) -> NewCheck {
    NewCheck {
        id: CheckId(number),
        zone: zone("example.com."),
        check: Bytes::from_static(b"a check"),
        operator: "uid 0".to_owned(),
        created: later(minutes * MINUTE),
        deadline: later(minutes * MINUTE + Duration::from_secs(45)),
        asked: asked
            .iter()
            .map(|&name| name.clone())
            .collect::<BTreeSet<_>>(),
        item: Bytes::from_static(b"an item"),
    }
}

pub(crate) fn judgement(state: &str) -> Judgement {
    Judgement {
        state: state.to_owned(),
        exit_code: 11,
        headline: format!("it is {state}"),
        policy: 3,
        judged: later(MINUTE),
        verdict: format!("{{\"state\":\"{state}\"}}").into(),
        places: Bytes::from_static(b"places"),
    }
}

/// A shuffle that is the same every time (xorshift64).
pub(crate) fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for last in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = usize::try_from(state % (last as u64 + 1)).unwrap();
        items.swap(last, other);
    }
}
