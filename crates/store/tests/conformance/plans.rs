//! Plans and their revisions (reliability: 5.1, 5.3).

use std::{sync::Arc, time::Duration};

use bailiwick_core::{time::Timestamp, vantage::VantageId};
use bailiwick_store::{Error, ItemId, PlanDelta, PlanItem, Store};

use crate::world::*;

fn item(number: u128, spec: &str) -> PlanItem {
    PlanItem {
        id: ItemId(number),
        spec: spec.to_owned().into(),
        not_after: later(HOUR),
    }
}

async fn put(store: &dyn Store, name: &VantageId, item: &PlanItem) -> u64 {
    store.put_plan_item(name, item, now()).await.unwrap()
}

async fn remove(store: &dyn Store, name: &VantageId, number: u128) -> u64 {
    let id = ItemId(number);
    store.remove_plan_item(name, id, now()).await.unwrap()
}

async fn since(store: &dyn Store, name: &VantageId, revision: u64) -> PlanDelta {
    store.plan_since(name, revision, now()).await.unwrap()
}

pub(crate) async fn revisions_have_no_gaps(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    assert_eq!(since(&*store, &name, 0).await.revision, 0);
    for revision in 1..=10 {
        let item = item(u128::from(revision % 3), "x");
        assert_eq!(put(&*store, &name, &item).await, revision);
    }
    assert_eq!(remove(&*store, &name, 1).await, 11);
    assert_eq!(since(&*store, &name, 0).await.revision, 11);
}

pub(crate) async fn a_delta_has_what_changed(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    for number in [3, 1, 2] {
        put(&*store, &name, &item(number, "old")).await;
    }
    put(&*store, &name, &item(1, "new")).await;
    remove(&*store, &name, 3).await;
    let delta = PlanDelta {
        revision: 5,
        whole: false,
        items: vec![item(2, "old"), item(1, "new")],
        removed: vec![ItemId(3)],
    };
    assert_eq!(since(&*store, &name, 1).await, delta);
    assert_eq!(since(&*store, &name, 2).await, delta);
    let items = vec![item(1, "new")];
    assert_eq!(
        since(&*store, &name, 3).await,
        PlanDelta {
            items,
            ..delta.clone()
        }
    );
    let items = vec![];
    assert_eq!(since(&*store, &name, 4).await, PlanDelta { items, ..delta });
    let nothing = since(&*store, &name, 5).await;
    assert_eq!((nothing.items, nothing.removed), (vec![], vec![]));
}

pub(crate) async fn a_changed_item_comes_once(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    for spec in ["a", "b", "c"] {
        put(&*store, &name, &item(1, spec)).await;
    }
    assert_eq!(since(&*store, &name, 0).await.items, [item(1, "c")]);
    assert_eq!(since(&*store, &name, 2).await.items, [item(1, "c")]);
}

pub(crate) async fn removing_what_is_not_there_changes_nothing(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    assert_eq!(remove(&*store, &name, 1).await, 0);
    put(&*store, &name, &item(1, "x")).await;
    assert_eq!(remove(&*store, &name, 2).await, 1);
    assert_eq!(remove(&*store, &name, 1).await, 2);
    assert_eq!(remove(&*store, &name, 1).await, 2);
    let nobody = store
        .remove_plan_item(&named("ams-1"), ItemId(1), now())
        .await;
    let name = named("ams-1");
    assert_eq!(nobody, Err(Error::NoSuchAgent { name }));
}

pub(crate) async fn the_whole_plan_has_no_removals(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    put(&*store, &name, &item(1, "x")).await;
    put(&*store, &name, &item(2, "x")).await;
    remove(&*store, &name, 1).await;
    let whole = PlanDelta {
        revision: 3,
        whole: true,
        items: vec![item(2, "x")],
        removed: vec![],
    };
    assert_eq!(since(&*store, &name, 0).await, whole);
}

pub(crate) async fn an_unknown_revision_gets_the_whole_plan(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    put(&*store, &name, &item(1, "x")).await;
    for revision in [2, 1000, u64::MAX] {
        let delta = since(&*store, &name, revision).await;
        assert!(delta.whole, "{revision}");
        assert_eq!((delta.revision, delta.items), (1, vec![item(1, "x")]));
    }
}

pub(crate) async fn items_end_by_themselves(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    put(&*store, &name, &item(1, "x")).await;
    put(&*store, &name, &item(2, "x")).await;
    let long = PlanItem {
        not_after: later(2 * HOUR),
        ..item(3, "x")
    };
    put(&*store, &name, &long).await;
    remove(&*store, &name, 2).await;
    let at = |moment: Timestamp| store.plan_since(&name, 1, moment);
    let just = Timestamp(later(HOUR).0 - 1);
    assert_eq!(at(just).await.unwrap().removed, [ItemId(2)]);
    let after = at(later(HOUR)).await.unwrap();
    assert_eq!((after.items, after.removed), (vec![long.clone()], vec![]));
    // Whatever is written next clears up.
    let end = later(HOUR + Duration::from_secs(1));
    assert_eq!(store.put_plan_item(&name, &long, end).await.unwrap(), 5);
    let whole = since(&*store, &name, 0).await;
    assert_eq!(whole.items, [long], "even seen from before its end");
}

pub(crate) async fn plans_are_of_one_agent(store: Arc<dyn Store>) {
    let one = enrol(&*store, 1, "fra-1").await;
    let other = enrol(&*store, 2, "ams-1").await;
    assert_eq!(put(&*store, &one, &item(1, "x")).await, 1);
    assert_eq!(put(&*store, &other, &item(1, "y")).await, 1);
    assert_eq!(remove(&*store, &other, 1).await, 2);
    assert_eq!(since(&*store, &one, 0).await.items, [item(1, "x")]);
    let name = named("nobody");
    let nobody = Err(Error::NoSuchAgent { name: name.clone() });
    assert_eq!(store.plan_since(&name, 0, now()).await, nobody);
    let put = store.put_plan_item(&name, &item(1, "x"), now()).await;
    assert!(put.is_err());
}

pub(crate) async fn a_removed_item_can_come_back(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    put(&*store, &name, &item(1, "x")).await;
    remove(&*store, &name, 1).await;
    assert_eq!(put(&*store, &name, &item(1, "y")).await, 3);
    let delta = since(&*store, &name, 1).await;
    assert_eq!((delta.items, delta.removed), (vec![item(1, "y")], vec![]));
}
