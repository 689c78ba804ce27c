//! A store of a test, and agents that have joined it.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses a part, and one that cannot go on fails here"
)]

use std::{collections::BTreeSet, path::Path, sync::Arc};

use bailiwick_core::{time::Timestamp, vantage::VantageId};
use bailiwick_store::{
    Audit, KeyHash, Location, NewToken, Options, Redemption, Reserve, Scope, Store, TokenId,
    open_with,
};

/// Without a reserve: what else fills the disk of this machine is not under test.
pub fn options() -> Options {
    let (octets, percent) = (0, 0);
    Options {
        reserve: Reserve { octets, percent },
        ..Options::default()
    }
}

pub fn location(folder: &Path) -> Location {
    Location::Sqlite(folder.join("store.db"))
}

pub async fn open(folder: &Path) -> Arc<dyn Store> {
    open_with(&location(folder), &options()).await.unwrap()
}

pub fn name(agent: u64) -> VantageId {
    VantageId(format!("agent-{agent}"))
}

pub fn audit(what: impl ToString) -> Audit {
    Audit {
        at: Timestamp(1),
        who: "uid 0".to_owned(),
        what: what.to_string(),
        request: [0; 32],
        result: "done".to_owned(),
    }
}

/// Lets an agent join.
pub async fn enrol(store: &dyn Store, agent: u64) {
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
    let audit = audit(format!("invite {agent}"));
    store.create_token(&token, &audit).await.unwrap();
    let redemption = Redemption {
        token: id,
        mac,
        key,
        at,
    };
    store.redeem(&redemption).await.unwrap();
}
