//! Checks and verdicts (reliability: F17).

use std::sync::Arc;

use bailiwick_core::{check::CheckId, report::Lane};
use bailiwick_store::{
    CheckRecord, Error, Incoming, ItemId, Judgement, NewCheck, NewReport, Outcome, Store,
};
use bytes::Bytes;

use crate::world::*;

fn record(check: NewCheck) -> CheckRecord {
    CheckRecord {
        id: check.id,
        zone: check.zone,
        check: check.check,
        operator: check.operator,
        created: check.created,
        deadline: check.deadline,
        asked: check.asked,
        judgement: None,
        revisions: 0,
        watch: None,
    }
}

async fn create(store: &dyn Store, check: &NewCheck) {
    store.create_check(check, &audit("check")).await.unwrap();
}

pub(crate) async fn a_check_comes_back_as_it_was(store: Arc<dyn Store>) {
    let one = enrol(&*store, 1, "fra-1").await;
    let other = enrol(&*store, 2, "ams-1").await;
    let begun = check(u128::MAX, 0, &[&one, &other]);
    create(&*store, &begun).await;
    let kept = store.check(begun.id).await.unwrap();
    assert_eq!(kept, Some(record(begun)));
    let unasked = check(0, 0, &[]);
    create(&*store, &unasked).await;
    let kept = store.check(unasked.id).await.unwrap();
    assert_eq!(kept, Some(record(unasked)));
}

pub(crate) async fn an_identity_is_given_once(store: Arc<dyn Store>) {
    create(&*store, &check(1, 0, &[])).await;
    let again = store.create_check(&check(1, 1, &[]), &audit("again")).await;
    assert_eq!(again, Err(Error::Exists { what: "check" }));
}

pub(crate) async fn only_agents_are_asked(store: Arc<dyn Store>) {
    let there = enrol(&*store, 1, "fra-1").await;
    let absent = named("ams-1");
    let begun = check(1, 0, &[&there, &absent]);
    let refused = store.create_check(&begun, &audit("check")).await;
    assert_eq!(refused, Err(Error::NoSuchAgent { name: absent }));
}

pub(crate) async fn a_check_is_closed_once(store: Arc<dyn Store>) {
    create(&*store, &check(1, 0, &[])).await;
    let id = CheckId(1);
    store
        .close_check(id, &judgement("PUBLISHED"))
        .await
        .unwrap();
    let again = store.close_check(id, &judgement("BROKEN")).await;
    assert_eq!(again, Err(Error::CheckClosed { id }));
    let kept = store.check(id).await.unwrap().unwrap();
    assert_eq!(kept.judgement, Some(judgement("PUBLISHED")));
    assert_eq!(kept.revisions, 0);
    assert_eq!(store.first_judgement(id).await.unwrap(), kept.judgement);
}

pub(crate) async fn an_open_check_is_not_revised(store: Arc<dyn Store>) {
    create(&*store, &check(1, 0, &[])).await;
    let id = CheckId(1);
    let early = store.revise_check(id, &judgement("PUBLISHED")).await;
    assert_eq!(early, Err(Error::CheckOpen { id }));
    let kept = store.check(id).await.unwrap().unwrap();
    assert_eq!(kept.judgement, None);
}

pub(crate) async fn revisions_keep_the_first_and_the_latest(store: Arc<dyn Store>) {
    create(&*store, &check(1, 0, &[])).await;
    let id = CheckId(1);
    store.close_check(id, &judgement("A")).await.unwrap();
    for (number, state) in (1..).zip(["B", "C", "A", "D"]) {
        let revisions = store.revise_check(id, &judgement(state)).await;
        assert_eq!(revisions, Ok(number));
        let kept = store.check(id).await.unwrap().unwrap();
        assert_eq!(kept.judgement, Some(judgement(state)));
        assert_eq!(kept.revisions, number);
        let first = store.first_judgement(id).await.unwrap();
        assert_eq!(first, Some(judgement("A")));
        let listed = store.checks(None, 1).await.unwrap().remove(0);
        assert_eq!(listed.outcome.unwrap().state, state);
        assert_eq!(listed.revisions, number);
    }
}

pub(crate) async fn the_same_verdict_again_is_no_revision(store: Arc<dyn Store>) {
    create(&*store, &check(1, 0, &[])).await;
    let id = CheckId(1);
    store.close_check(id, &judgement("A")).await.unwrap();
    let again = Judgement {
        judged: later(HOUR),
        ..judgement("A")
    };
    assert_eq!(store.revise_check(id, &again).await, Ok(0));
    let kept = store.check(id).await.unwrap().unwrap();
    assert_eq!(kept.judgement, Some(judgement("A")), "and its moment stays");
    assert_eq!(store.revise_check(id, &judgement("B")).await, Ok(1));
    assert_eq!(store.revise_check(id, &judgement("B")).await, Ok(1));
}

pub(crate) async fn other_rules_are_a_revision(store: Arc<dyn Store>) {
    create(&*store, &check(1, 0, &[])).await;
    let id = CheckId(1);
    store.close_check(id, &judgement("A")).await.unwrap();
    let other = Judgement {
        policy: 4,
        ..judgement("A")
    };
    assert_eq!(store.revise_check(id, &other).await, Ok(1));
    let kept = store.check(id).await.unwrap().unwrap();
    assert_eq!(kept.judgement, Some(other));
}

async fn listed(store: &dyn Store, zone: Option<&[u8]>, limit: usize) -> Vec<u128> {
    let checks = store.checks(zone, limit).await.unwrap();
    checks.iter().map(|check| check.id.0).collect()
}

pub(crate) async fn checks_come_latest_first(store: Arc<dyn Store>) {
    for (number, minute) in [(1, 5), (2, 9), (3, 1), (4, 9)] {
        create(&*store, &check(number, minute, &[])).await;
    }
    assert_eq!(listed(&*store, None, 100).await, [4, 2, 1, 3]);
    assert_eq!(listed(&*store, None, 2).await, [4, 2]);
    assert_eq!(listed(&*store, None, 0).await, []);
    let id = CheckId(1);
    store.close_check(id, &judgement("A")).await.unwrap();
    let all = store.checks(None, 100).await.unwrap();
    assert_eq!(all[3].outcome, None);
    let outcome = Outcome {
        state: "A".to_owned(),
        exit_code: 11,
        headline: "it is A".to_owned(),
    };
    assert_eq!(all[2].outcome, Some(outcome));
    assert_eq!(all[2].created, later(5 * MINUTE));
    assert_eq!(all[2].operator, "uid 0");
}

pub(crate) async fn checks_are_listed_by_zone(store: Arc<dyn Store>) {
    let zones = ["example.com.", "example.net.", "example.com.", "."];
    for (number, name) in (1..).zip(zones) {
        let minute = u32::try_from(number).unwrap();
        let begun = NewCheck {
            zone: zone(name),
            ..check(number, minute, &[])
        };
        create(&*store, &begun).await;
    }
    let of = async |name: &str| listed(&*store, Some(&zone(name)), 100).await;
    assert_eq!(of("example.com.").await, [3, 1]);
    assert_eq!(of("example.net.").await, [2]);
    assert_eq!(of(".").await, [4]);
    assert_eq!(of("com.").await, []);
    assert_eq!(listed(&*store, Some(&zone("example.com.")), 1).await, [3]);
    let odd = Bytes::from_static(b"\x03a\0b\x02%_\0");
    let begun = NewCheck {
        zone: odd.clone(),
        ..check(9, 9, &[])
    };
    create(&*store, &begun).await;
    assert_eq!(listed(&*store, Some(&odd), 9).await, [9], "octets, no text");
}

pub(crate) async fn open_checks_come_by_deadline(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    for (number, minute) in [(1, 5), (2, 9), (3, 1), (4, 7)] {
        create(&*store, &check(number, minute, &[&name])).await;
    }
    store
        .close_check(CheckId(1), &judgement("A"))
        .await
        .unwrap();
    let open = store.open_checks(100).await.unwrap();
    let expected = [(3, 1), (4, 7), (2, 9)];
    assert_eq!(open, expected.map(|(n, m)| record(check(n, m, &[&name]))));
    assert_eq!(store.open_checks(1).await.unwrap(), open[..1]);
}

pub(crate) async fn vantage_points_that_reported_are_counted_once(store: Arc<dyn Store>) {
    let one = enrol(&*store, 1, "fra-1").await;
    let other = enrol(&*store, 2, "ams-1").await;
    let silent = enrol(&*store, 3, "nyc-1").await;
    create(&*store, &check(CHECK.0, 0, &[&one, &other, &silent])).await;
    let counted = async || {
        let check = store.checks(None, 1).await.unwrap().remove(0);
        (check.asked, check.reported)
    };
    assert_eq!(counted().await, (3, 0));
    ingest(&*store, &one, vec![change(1), change(2)]).await;
    assert_eq!(counted().await, (3, 1), "twice the same");
    ingest(&*store, &other, vec![change(1)]).await;
    assert_eq!(counted().await, (3, 2));
    let elsewhere = NewReport {
        check: Some(CheckId(99)),
        ..report(id(Lane::Change, 1, 1))
    };
    ingest(&*store, &silent, vec![Incoming::Report(elsewhere)]).await;
    assert_eq!(counted().await, (3, 2), "on another check");
}

pub(crate) async fn nothing_is_known_of_an_unknown_check(store: Arc<dyn Store>) {
    let id = CheckId(1);
    let unknown = Error::NoSuchCheck { id };
    assert_eq!(store.check(id).await.unwrap(), None);
    assert_eq!(store.first_judgement(id).await.unwrap(), None);
    let verdict = judgement("A");
    assert_eq!(store.close_check(id, &verdict).await, Err(unknown.clone()));
    assert_eq!(store.revise_check(id, &verdict).await, Err(unknown));
    assert_eq!(evidence(&*store, id).await, []);
}

pub(crate) async fn a_check_is_in_the_plans_until_it_is_closed(store: Arc<dyn Store>) {
    let one = enrol(&*store, 1, "fra-1").await;
    let other = enrol(&*store, 2, "ams-1").await;
    let unasked = enrol(&*store, 3, "nyc-1").await;
    create(&*store, &check(1, 0, &[&one, &other])).await;
    for name in [&one, &other] {
        let delta = store.plan_since(name, 0, now()).await.unwrap();
        assert_eq!(delta.revision, 1);
        assert_eq!(delta.items.len(), 1);
        assert_eq!(delta.items[0].id, ItemId(1));
        assert_eq!(delta.items[0].spec, "an item");
        assert_eq!(delta.items[0].not_after, check(1, 0, &[]).deadline);
    }
    let verdict = Judgement {
        judged: now(),
        ..judgement("A")
    };
    store.close_check(CheckId(1), &verdict).await.unwrap();
    for name in [&one, &other] {
        let delta = store.plan_since(name, 1, now()).await.unwrap();
        assert_eq!((delta.revision, delta.items), (2, vec![]));
        assert_eq!(delta.removed, [ItemId(1)]);
    }
    let delta = store.plan_since(&unasked, 0, now()).await.unwrap();
    assert_eq!((delta.revision, delta.items), (0, vec![]));
}

pub(crate) async fn a_refused_check_leaves_nothing(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "ams-1").await;
    let begun = check(1, 0, &[&name, &named("nobody")]);
    assert!(store.create_check(&begun, &audit("check")).await.is_err());
    assert_eq!(store.check(CheckId(1)).await.unwrap(), None);
    let delta = store.plan_since(&name, 0, now()).await.unwrap();
    assert_eq!((delta.revision, delta.items), (0, vec![]));
    create(&*store, &check(1, 0, &[&name])).await;
}
