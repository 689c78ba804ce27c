//! Tokens (reliability: T29, T33).

use std::sync::Arc;

use bailiwick_store::{
    AgentState, Error, NewToken, Redemption, Refusal, Role, Scope, Seen, Store, TokenId,
};

use crate::world::*;

async fn refused(store: &dyn Store, redemption: &Redemption) -> Refusal {
    match store.redeem(redemption).await {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_token_comes_back_as_it_was(store: Arc<dyn Store>) {
    for made in [token(1, "fra-1"), operator_token(2, "ann", Role::Viewer)] {
        store.create_token(&made, &audit("invite")).await.unwrap();
        let kept = store.token(made.id).await.unwrap().unwrap();
        assert_eq!(kept.scope, made.scope);
        assert_eq!((kept.created, kept.expires), (made.created, made.expires));
        assert_eq!(kept.used, None);
    }
    store.redeem(&redemption(1, 9)).await.unwrap();
    let kept = store.token(TokenId([1; 10])).await.unwrap().unwrap();
    assert_eq!(kept.used, Some((key(9), later(MINUTE))));
}

pub(crate) async fn an_unknown_token_is_not_there(store: Arc<dyn Store>) {
    assert_eq!(store.token(TokenId([1; 10])).await.unwrap(), None);
}

pub(crate) async fn an_identity_is_given_once(store: Arc<dyn Store>) {
    let first = token(1, "fra-1");
    store.create_token(&first, &audit("first")).await.unwrap();
    let other = token(1, "ams-1");
    let again = store.create_token(&other, &audit("again")).await;
    assert_eq!(again, Err(Error::Exists { what: "token" }));
    let kept = store.token(first.id).await.unwrap().unwrap();
    assert_eq!(kept.scope, first.scope, "the first stays");
}

pub(crate) async fn a_token_makes_an_agent(store: Arc<dyn Store>) {
    let redeemed = redeem(&*store, &token(1, "fra-1")).await;
    assert_eq!(redeemed.scope, token(1, "fra-1").scope);
    assert!(!redeemed.again);
    let agent = store.agent(&named("fra-1")).await.unwrap().unwrap();
    assert_eq!((agent.key, agent.state), (key(1), AgentState::Active));
    assert_eq!(agent.enrolled, later(MINUTE));
    assert!(agent.labels.contains("asn=64500"));
    assert_eq!((agent.current, agent.next, agent.seen), (None, None, None));
    assert_eq!((agent.reports, agent.equivocations), (0, 0));
}

pub(crate) async fn a_token_with_approval_makes_a_pending_agent(store: Arc<dyn Store>) {
    let mut careful = token(1, "fra-1");
    if let Scope::Agent { approve, .. } = &mut careful.scope {
        *approve = true;
    }
    redeem(&*store, &careful).await;
    let agent = store.agent(&named("fra-1")).await.unwrap().unwrap();
    assert_eq!(agent.state, AgentState::Pending);
}

pub(crate) async fn a_token_makes_an_operator(store: Arc<dyn Store>) {
    for (number, role) in (1..).zip(Role::ALL) {
        let made = operator_token(number, &format!("ann-{number}"), role);
        redeem(&*store, &made).await;
        let operator = store.operator_by_key(key(number)).await.unwrap().unwrap();
        assert_eq!(operator.name, format!("ann-{number}"));
        assert_eq!((operator.role, operator.enrolled), (role, later(MINUTE)));
    }
    assert_eq!(store.agents().await.unwrap(), []);
}

pub(crate) async fn a_wrong_secret_is_refused_and_costs_nothing(store: Arc<dyn Store>) {
    let made = token(1, "fra-1");
    store.create_token(&made, &audit("invite")).await.unwrap();
    let wrong = Redemption {
        mac: [2; 32],
        ..redemption(1, 1)
    };
    assert_eq!(refused(&*store, &wrong).await, Refusal::WrongSecret);
    assert!(!store.redeem(&redemption(1, 1)).await.unwrap().again);
    assert_eq!(refused(&*store, &wrong).await, Refusal::WrongSecret);
}

pub(crate) async fn an_unknown_token_is_refused(store: Arc<dyn Store>) {
    assert_eq!(refused(&*store, &redemption(1, 1)).await, Refusal::Unknown);
}

pub(crate) async fn an_expired_token_is_refused(store: Arc<dyn Store>) {
    let made = token(1, "fra-1");
    store.create_token(&made, &audit("invite")).await.unwrap();
    let late = Redemption {
        at: made.expires,
        ..redemption(1, 1)
    };
    assert_eq!(refused(&*store, &late).await, Refusal::Expired);
    let just = Redemption {
        at: bailiwick_core::time::Timestamp(made.expires.0 - 1),
        ..late
    };
    assert!(!store.redeem(&just).await.unwrap().again);
}

pub(crate) async fn a_used_token_is_refused_to_another_key(store: Arc<dyn Store>) {
    enrol(&*store, 1, "fra-1").await;
    assert_eq!(refused(&*store, &redemption(1, 2)).await, Refusal::Used);
    let agent = store.agent(&named("fra-1")).await.unwrap().unwrap();
    assert_eq!(agent.key, key(1));
}

pub(crate) async fn the_same_key_gets_the_same_identity_for_ten_minutes(store: Arc<dyn Store>) {
    for made in [token(1, "fra-1"), operator_token(2, "ann", Role::Admin)] {
        let number = made.id.0[0];
        redeem(&*store, &made).await;
        let cases = [
            (1, true, "at once"),
            (5, true, "after four minutes"),
            (11, true, "after ten minutes"),
            (12, false, "after eleven minutes"),
        ];
        for (minute, accepted, why) in cases {
            let retry = Redemption {
                at: later(minute * MINUTE),
                ..redemption(number, number)
            };
            match store.redeem(&retry).await {
                Ok(redeemed) => assert!(accepted && redeemed.again, "{why}"),
                Err(error) => {
                    assert_eq!(error, Error::Refused(Refusal::Used), "{why}");
                    assert!(!accepted, "{why}");
                }
            }
        }
    }
    assert_eq!(store.agents().await.unwrap().len(), 1);
}

pub(crate) async fn the_retry_needs_the_secret(store: Arc<dyn Store>) {
    enrol(&*store, 1, "fra-1").await;
    let wrong = Redemption {
        mac: [2; 32],
        ..redemption(1, 1)
    };
    assert_eq!(refused(&*store, &wrong).await, Refusal::WrongSecret);
}

pub(crate) async fn the_retry_ends_when_another_key_is_enrolled(store: Arc<dyn Store>) {
    enrol(&*store, 1, "fra-1").await;
    enrol(&*store, 2, "fra-1").await;
    assert_eq!(refused(&*store, &redemption(1, 1)).await, Refusal::Used);
}

pub(crate) async fn a_key_is_one_identity(store: Arc<dyn Store>) {
    enrol(&*store, 1, "fra-1").await;
    redeem(&*store, &operator_token(2, "ann", Role::Admin)).await;
    let cases: [(NewToken, u8); 4] = [
        (token(3, "ams-1"), 1),
        (token(4, "ams-1"), 2),
        (operator_token(5, "bob", Role::Admin), 1),
        (operator_token(6, "bob", Role::Admin), 2),
    ];
    for (made, held) in cases {
        let number = made.id.0[0];
        store.create_token(&made, &audit("invite")).await.unwrap();
        let theirs = redemption(number, held);
        assert_eq!(refused(&*store, &theirs).await, Refusal::KeyInUse);
        let kept = store.token(made.id).await.unwrap().unwrap();
        assert_eq!(kept.used, None, "the token is still good for another key");
    }
    assert_eq!(store.agents().await.unwrap().len(), 1);
    assert_eq!(store.operators().await.unwrap().len(), 1);
}

pub(crate) async fn a_banned_agent_stays_banned(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let banned = AgentState::Banned {
        since: now(),
        reason: "it lies".to_owned(),
    };
    store
        .set_agent_state(&name, &banned, &audit("ban"))
        .await
        .unwrap();
    let made = token(2, "fra-1");
    store.create_token(&made, &audit("invite")).await.unwrap();
    assert_eq!(refused(&*store, &redemption(2, 2)).await, Refusal::Banned);
    let agent = store.agent(&name).await.unwrap().unwrap();
    assert_eq!((agent.key, agent.state), (key(1), banned));
}

pub(crate) async fn a_new_token_gives_an_agent_a_new_key_and_keeps_the_rest(store: Arc<dyn Store>) {
    let name = enrol(&*store, 1, "fra-1").await;
    let seen = Seen {
        at: now(),
        address: "192.0.2.1".parse().unwrap(),
        build: "bailiwick-agent 0.1.0".to_owned(),
        boot: bailiwick_store::BootId([1; 16]),
        durable: true,
        lab: false,
        clock_offset: -3,
    };
    let certificate = bailiwick_store::Certificate {
        serial: bailiwick_store::Serial([1; 16]),
        until: later(HOUR),
    };
    store.note_seen(&name, &seen).await.unwrap();
    store.certificate_issued(&name, &certificate).await.unwrap();
    assert!(
        store
            .certificate_used(&name, certificate.serial)
            .await
            .unwrap()
    );
    store.certificate_issued(&name, &certificate).await.unwrap();
    ingest(&*store, &name, vec![change(1)]).await;
    enrol(&*store, 2, "fra-1").await;
    let agent = store.agent(&name).await.unwrap().unwrap();
    assert_eq!((agent.key, agent.reports), (key(2), 1));
    assert_eq!((agent.current, agent.next), (None, None));
    assert_eq!(agent.seen, Some(seen));
    assert_eq!(store.agent_by_key(key(1)).await.unwrap(), None);
    assert_eq!(
        ingest(&*store, &name, vec![change(1)]).await,
        ingested(&[bailiwick_store::Fate::Known], 1),
        "its reports are still known"
    );
}

pub(crate) async fn a_thousand_redemptions_give_one_identity(store: Arc<dyn Store>) {
    let made = token(1, "fra-1");
    store.create_token(&made, &audit("invite")).await.unwrap();
    let tasks: Vec<_> = (0..1000_u32)
        .map(|number| {
            let store = Arc::clone(&store);
            let mut own = [0; 32];
            own[..4].copy_from_slice(&number.to_be_bytes());
            let theirs = Redemption {
                key: bailiwick_store::KeyHash(own),
                ..redemption(1, 0)
            };
            tokio::spawn(async move { (theirs.key, store.redeem(&theirs).await) })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (key, Ok(redeemed)) => {
                assert!(!redeemed.again);
                winners.push(key);
            }
            (_, Err(error)) => assert_eq!(error, Error::Refused(Refusal::Used)),
        }
    }
    assert_eq!(winners.len(), 1);
    let agents = store.agents().await.unwrap();
    assert_eq!(agents.len(), 1);
    assert_eq!(agents[0].key, winners[0]);
}

pub(crate) async fn hostile_text_comes_back(store: Arc<dyn Store>) {
    let texts = [
        "'; DROP TABLE agent; --",
        "a\0b",
        "\u{202e}gnp.exe",
        "\u{1b}[31m",
        "\\n\n\r",
        "%_*?",
        "ä€😀",
        "",
    ];
    for (number, text) in (1..).zip(texts) {
        let mut made = token(number, text);
        if let Scope::Agent { labels, .. } = &mut made.scope {
            labels.insert(format!("label={text}"));
        }
        let redeemed = redeem(&*store, &made).await;
        assert_eq!(redeemed.scope, made.scope);
        let agent = store.agent(&named(text)).await.unwrap().unwrap();
        assert_eq!(agent.name, named(text));
        assert!(agent.labels.contains(&format!("label={text}")), "{text:?}");
        let reason = text.to_owned();
        let banned = AgentState::Banned {
            since: now(),
            reason,
        };
        let noted = audit(text);
        store
            .set_agent_state(&named(text), &banned, &noted)
            .await
            .unwrap();
        let agent = store.agent(&named(text)).await.unwrap().unwrap();
        assert_eq!(agent.state, banned);
        assert!(store.audit(100).await.unwrap().contains(&noted));
    }
    assert_eq!(store.agents().await.unwrap().len(), texts.len());
}
