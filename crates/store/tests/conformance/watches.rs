//! Watches and their rounds (reliability: F6).

use std::sync::Arc;

use bailiwick_core::{check::CheckId, vantage::VantageId};
use bailiwick_store::{Error, ItemId, NewWatch, Slot, Store, Watch, WatchId};
use bytes::Bytes;

use crate::world::*;

fn watch(number: u128, minutes: u32, asked: &[&VantageId]) -> NewWatch {
    let item = |name: &&VantageId| ((*name).clone(), Bytes::from(format!("for {}", name.0)));
    NewWatch {
        id: WatchId(number),
        zone: zone("example.com."),
        check: Bytes::from_static(b"a check"),
        operator: "uid 0".to_owned(),
        created: later(minutes * MINUTE),
        interval: 5 * MINUTE,
        not_after: later(24 * HOUR),
        items: asked.iter().map(item).collect(),
    }
}

fn record(watch: NewWatch) -> Watch {
    Watch {
        id: watch.id,
        zone: watch.zone,
        check: watch.check,
        operator: watch.operator,
        created: watch.created,
        interval: watch.interval,
        not_after: watch.not_after,
        removed: None,
        asked: watch.items.into_keys().collect(),
    }
}

fn slot(number: u128, of: WatchId, minutes: u32) -> Slot {
    Slot {
        id: CheckId(number),
        watch: of,
        begins: later(minutes * MINUTE),
        deadline: later((minutes + 1) * MINUTE),
    }
}

async fn create(store: &dyn Store, watch: &NewWatch) {
    store.create_watch(watch, &audit("watch")).await.unwrap();
}

pub(crate) async fn a_watch_comes_back_as_it_was(store: Arc<dyn Store>) {
    let one = enrol(&*store, 1, "fra-1").await;
    let other = enrol(&*store, 2, "ams-1").await;
    let (second, first) = (watch(u128::MAX, 1, &[&one, &other]), watch(7, 0, &[]));
    create(&*store, &second).await;
    create(&*store, &first).await;
    let kept = store.watch(second.id).await.unwrap();
    assert_eq!(kept, Some(record(second.clone())));
    assert_eq!(store.watch(WatchId(1)).await.unwrap(), None);
    let again = store.create_watch(&first, &audit("again")).await;
    assert_eq!(again, Err(Error::Exists { what: "watch" }));
    let all = store.watches().await.unwrap();
    assert_eq!(all, [record(first), record(second)], "oldest first");
    assert!(store.audit(1).await.unwrap()[0].what == "watch");
}

pub(crate) async fn only_agents_are_asked(store: Arc<dyn Store>) {
    let there = enrol(&*store, 1, "fra-1").await;
    let absent = named("zrh-1");
    let begun = watch(1, 0, &[&there, &absent]);
    let refused = store.create_watch(&begun, &audit("watch")).await;
    assert_eq!(refused, Err(Error::NoSuchAgent { name: absent }));
    assert_eq!(store.watch(begun.id).await.unwrap(), None);
    assert_eq!(
        store.plan_since(&there, 0, now()).await.unwrap().revision,
        0
    );
}

pub(crate) async fn a_watch_is_in_the_plans_until_it_is_removed(store: Arc<dyn Store>) {
    let one = enrol(&*store, 1, "fra-1").await;
    let other = enrol(&*store, 2, "ams-1").await;
    let begun = watch(1, 0, &[&one, &other]);
    create(&*store, &begun).await;
    let plan = async |name: &VantageId, since, at| store.plan_since(name, since, at).await.unwrap();
    for name in [&one, &other] {
        let delta = plan(name, 0, now()).await;
        assert_eq!(delta.items.len(), 1);
        assert_eq!(delta.items[0].id, ItemId(1));
        assert_eq!(delta.items[0].spec, begun.items[name], "each has its own");
        assert_eq!(delta.items[0].not_after, begun.not_after);
    }
    // Also when the item has ended meanwhile.
    let day = later(25 * HOUR);
    assert_eq!(plan(&one, 0, day).await.items, []);
    let until = later(49 * HOUR);
    store.renew_watch(begun.id, until, day).await.unwrap();
    let delta = plan(&one, 1, day).await;
    assert_eq!((delta.revision, delta.items.len()), (2, 1));
    assert_eq!(delta.items[0].not_after, until);
    assert_eq!(delta.items[0].spec, begun.items[&one]);
    let kept = store.watch(begun.id).await.unwrap().unwrap();
    assert_eq!(kept.not_after, until);
    store
        .remove_watch(begun.id, &audit("remove"))
        .await
        .unwrap();
    let delta = plan(&one, 2, day).await;
    assert_eq!((delta.items.len(), delta.removed), (0, vec![ItemId(1)]));
}

pub(crate) async fn a_removed_watch_is_remembered_and_ends_once(store: Arc<dyn Store>) {
    let one = enrol(&*store, 1, "fra-1").await;
    let begun = watch(1, 0, &[&one]);
    create(&*store, &begun).await;
    let unknown = Err(Error::NoSuchWatch { id: begun.id });
    store
        .remove_watch(begun.id, &audit("remove"))
        .await
        .unwrap();
    assert_eq!(store.watches().await.unwrap(), []);
    let kept = store.watch(begun.id).await.unwrap().unwrap();
    assert_eq!(kept.removed, Some(now()));
    assert!(kept.asked.contains(&one), "its reports may be on their way");
    store.open_slots(&[slot(2, begun.id, 0)]).await.unwrap();
    let again = store.remove_watch(begun.id, &audit("again")).await;
    assert_eq!(again, unknown);
    let renewed = store.renew_watch(begun.id, later(HOUR), now()).await;
    assert_eq!(renewed, unknown);
    assert!(
        store
            .audit(9)
            .await
            .unwrap()
            .iter()
            .all(|a| a.what != "again")
    );
}

pub(crate) async fn rounds_of_a_watch_are_checks(store: Arc<dyn Store>) {
    let one = enrol(&*store, 1, "fra-1").await;
    let begun = watch(1, 0, &[&one]);
    create(&*store, &begun).await;
    let slots = [slot(20, begun.id, 5), slot(21, begun.id, 10)];
    store.open_slots(&slots).await.unwrap();
    store.open_slots(&slots[1..]).await.unwrap();
    let kept = store.check(CheckId(20)).await.unwrap().unwrap();
    assert_eq!(kept.watch, Some(begun.id));
    assert_eq!((kept.zone, kept.check), (begun.zone, begun.check));
    assert_eq!(
        (kept.created, kept.deadline),
        (slots[0].begins, slots[0].deadline)
    );
    assert_eq!(kept.asked, [one.clone()].into());
    let open: Vec<_> = store
        .open_checks(9)
        .await
        .unwrap()
        .iter()
        .map(|c| c.id)
        .collect();
    assert_eq!(open, [CheckId(20), CheckId(21)]);
    store
        .close_check(CheckId(20), &judgement("BROKEN"))
        .await
        .unwrap();
    store.open_slots(&slots).await.unwrap();
    let listed = store.checks(None, 9).await.unwrap();
    let ended: Vec<_> = listed
        .iter()
        .map(|c| (c.id.0, c.outcome.is_some()))
        .collect();
    assert_eq!(
        ended,
        [(21, false), (20, true)],
        "what is closed stays closed"
    );
    let plan = store.plan_since(&one, 0, now()).await.unwrap();
    assert_eq!((plan.revision, plan.items.len()), (1, 1), "the watch alone");
}

pub(crate) async fn a_round_of_no_watch_is_refused_with_the_others(store: Arc<dyn Store>) {
    let begun = watch(1, 0, &[]);
    create(&*store, &begun).await;
    let slots = [slot(20, begun.id, 5), slot(21, WatchId(2), 5)];
    let refused = store.open_slots(&slots).await;
    assert_eq!(refused, Err(Error::NoSuchWatch { id: WatchId(2) }));
    assert_eq!(store.check(CheckId(20)).await.unwrap(), None);
}

pub(crate) async fn old_rounds_are_forgotten_and_checks_stay(store: Arc<dyn Store>) {
    let one = enrol(&*store, 1, "fra-1").await;
    store
        .create_check(&check(9, 0, &[&one]), &audit("check"))
        .await
        .unwrap();
    let (stays, goes) = (watch(1, 0, &[&one]), watch(2, 0, &[&one]));
    create(&*store, &stays).await;
    create(&*store, &goes).await;
    for number in 0..5_u32 {
        let id = 20 + u128::from(number);
        store
            .open_slots(&[slot(id, stays.id, number * 5)])
            .await
            .unwrap();
        store
            .close_check(CheckId(id), &judgement("BROKEN"))
            .await
            .unwrap();
    }
    store.remove_watch(goes.id, &audit("remove")).await.unwrap();
    let before = later(15 * MINUTE);
    assert_eq!(store.forget_slots(before, 2).await.unwrap(), 2);
    assert!(
        store.watch(goes.id).await.unwrap().is_some(),
        "not all are gone"
    );
    assert_eq!(store.forget_slots(before, 2).await.unwrap(), 1);
    assert_eq!(store.forget_slots(before, 2).await.unwrap(), 0);
    let left = store.checks(None, 9).await.unwrap();
    let left: Vec<_> = left.iter().map(|check| check.id.0).collect();
    assert_eq!(left, [24, 23, 9]);
    assert_eq!(store.first_judgement(CheckId(20)).await.unwrap(), None);
    assert_eq!(store.watch(goes.id).await.unwrap(), None);
    assert!(store.watch(stays.id).await.unwrap().is_some());
}
