//! Operators, and the notes of what they did (reliability: 4.4).

use std::sync::Arc;

use bailiwick_store::{AgentState, Audit, Error, Role, Store};

use crate::world::*;

pub(crate) async fn operators_are_listed_by_name(store: Arc<dyn Store>) {
    for (number, name) in (1..).zip(["bob", "ann", "Zoe"]) {
        redeem(&*store, &operator_token(number, name, Role::Viewer)).await;
    }
    let operators = store.operators().await.unwrap();
    let names: Vec<&str> = operators.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["Zoe", "ann", "bob"]);
    for operator in operators {
        let found = store.operator_by_key(operator.key).await.unwrap();
        assert_eq!(found, Some(operator));
    }
    assert_eq!(store.operator_by_key(key(9)).await.unwrap(), None);
}

pub(crate) async fn roles_change_and_are_noted(store: Arc<dyn Store>) {
    redeem(&*store, &operator_token(1, "ann", Role::Viewer)).await;
    for role in Role::ALL {
        let noted = audit(&format!("role {role}"));
        store.set_role("ann", role, &noted).await.unwrap();
        let operator = store.operator_by_key(key(1)).await.unwrap().unwrap();
        assert_eq!(operator.role, role);
        assert!(store.audit(100).await.unwrap().contains(&noted));
    }
}

pub(crate) async fn an_operator_can_be_removed(store: Arc<dyn Store>) {
    redeem(&*store, &operator_token(1, "ann", Role::Admin)).await;
    redeem(&*store, &operator_token(2, "bob", Role::Admin)).await;
    store
        .remove_operator("ann", &audit("remove"))
        .await
        .unwrap();
    assert_eq!(store.operator_by_key(key(1)).await.unwrap(), None);
    assert_eq!(store.operators().await.unwrap().len(), 1);
    let retry = store.redeem(&redemption(1, 1)).await;
    assert!(retry.is_err(), "the token does not bring ann back");
}

pub(crate) async fn nobody_is_changed_who_is_not_there(store: Arc<dyn Store>) {
    let name = "ann".to_owned();
    let nobody = Err(Error::NoSuchOperator { name });
    let noted = audit("change");
    assert_eq!(store.set_role("ann", Role::Admin, &noted).await, nobody);
    assert_eq!(store.remove_operator("ann", &noted).await, nobody);
    assert_eq!(store.audit(100).await.unwrap(), []);
}

pub(crate) async fn notes_come_latest_first(store: Arc<dyn Store>) {
    let noted = |minute: u32| Audit {
        at: later(minute * MINUTE),
        ..audit("look")
    };
    for minute in [3, 1, 4, 2, 5] {
        store.note(&noted(minute)).await.unwrap();
    }
    let all: Vec<Audit> = [5, 4, 3, 2, 1].map(noted).into();
    assert_eq!(store.audit(100).await.unwrap(), all);
    assert_eq!(store.audit(2).await.unwrap(), all[..2]);
    assert_eq!(store.audit(0).await.unwrap(), []);
}

pub(crate) async fn equal_notes_are_one(store: Arc<dyn Store>) {
    let one = audit("look");
    let mut others = vec![one.clone(); 6];
    others[1].at = later(MINUTE);
    others[2].who.push('x');
    others[3].what.push('x');
    others[4].request = [8; 32];
    others[5].result.push('x');
    for noted in others.iter().chain(&others) {
        store.note(noted).await.unwrap();
    }
    others.sort();
    others.reverse();
    assert_eq!(store.audit(100).await.unwrap(), others);
}

pub(crate) async fn a_refused_call_is_not_noted(store: Arc<dyn Store>) {
    let made = token(1, "fra-1");
    store.create_token(&made, &audit("first")).await.unwrap();
    let again = store.create_token(&made, &audit("again")).await;
    assert!(again.is_err());
    let absent = named("ams-1");
    let banned = AgentState::Pending;
    let noted = audit("refused");
    let state = store.set_agent_state(&absent, &banned, &noted).await;
    assert!(state.is_err());
    let begun = check(1, 0, &[&absent]);
    assert!(store.create_check(&begun, &noted).await.is_err());
    let noted = store.audit(100).await.unwrap();
    assert_eq!(noted, [audit("first")]);
}
