//! Agents and a coordinator over real TLS on the loopback. The servers that are asked do not
//! exist: that makes short checks with true reports.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod coordinator;
mod delivery;
mod full;
mod joining;
mod kill;
mod life;
mod outage;
mod planning;
mod program;
mod wire;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use bailiwick_agent::{Clock, Retry, Settings, join, run};
use bailiwick_core::{
    check::{Check, CheckId, Expectation},
    query::Stub,
    server::{Family, Server},
};
use bailiwick_rpc::agent::{Once, PlanItem, Standing, plan_item::When};
use bailiwick_wire::report;
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

use coordinator::Coordinator;

/// Nobody listens there.
const PORT: u16 = 9;

/// A check that is over soon: the only root server's port is closed.
pub(crate) fn check(number: u8) -> Check {
    Check {
        id: CheckId(number.into()),
        zone: format!("zone{number}.test.").parse().unwrap(),
        expectation: Expectation::default(),
        roots: vec![Server {
            name: "root.test.".parse().unwrap(),
            address: Ipv4Addr::new(127, 53, 9, number.max(1)).into(),
        }],
        resolvers: Vec::new(),
        stub: Stub::Plain,
        families: [Family::V4].into(),
        minimise: true,
        timeout: Duration::from_secs(5),
        nonce: number.into(),
        blackholes: Vec::new(),
        lab: true,
    }
}

pub(crate) fn item_id(number: u8) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

/// To be done now.
pub(crate) fn once(number: u8) -> PlanItem {
    PlanItem {
        id: item_id(number).to_vec().into(),
        check: Some(report::to_check(&check(number))),
        when: Some(When::Once(Once {
            round: 1000 + u64::from(number),
        })),
        valid_for_ns: 3_600_000_000_000,
    }
}

/// To be done every second.
pub(crate) fn standing(number: u8) -> PlanItem {
    PlanItem {
        when: Some(When::Standing(Standing {
            interval_ns: 1_000_000_000,
            offset_ns: i64::from(number) * 7_000_000,
        })),
        ..once(number)
    }
}

/// How long a fault lasts: what the variable says, or what fits an ordinary run.
pub(crate) fn seconds(variable: &str, ordinary: u64) -> Duration {
    let said = std::env::var(variable).map(|value| value.parse().expect("seconds"));
    Duration::from_secs(said.unwrap_or(ordinary))
}

/// An agent with its folder.
pub(crate) struct Agent {
    _folder: TempDir,
    pub(crate) settings: Settings,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Agent {
    /// One that has joined.
    pub(crate) async fn joined(coordinator: &Coordinator, at: SocketAddr) -> Self {
        Self::joined_as("fra-1", coordinator, at).await
    }

    /// One that has joined under a name.
    pub(crate) async fn joined_as(name: &str, coordinator: &Coordinator, at: SocketAddr) -> Self {
        let agent = Self::new();
        let invitation = coordinator.invite(name, at);
        let joined = join(agent.path(), &invitation, &Clock::default()).await;
        assert_eq!(joined.unwrap(), name);
        agent
    }

    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            allow_special_use: true,
            port: PORT,
            flush: Duration::from_millis(100),
            retry: Retry {
                first: Duration::from_millis(20),
                most: Duration::from_millis(200),
                steady: Duration::from_secs(60),
            },
            ..Settings::new(folder.path().join("state"))
        };
        Self {
            _folder: folder,
            settings,
            running: None,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.settings.folder
    }

    pub(crate) fn start(&mut self) {
        let (stop, stopped) = oneshot::channel();
        let settings = self.settings.clone();
        let running = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            run(settings, stopped).await.unwrap();
        });
        self.running = Some((stop, running));
    }

    pub(crate) async fn stop(&mut self) {
        if let Some((stop, running)) = self.running.take() {
            let _ = stop.send(());
            tokio::time::timeout(Duration::from_secs(2), running)
                .await
                .expect("an agent stops within 2 seconds")
                .unwrap();
        }
    }

    /// Waits until the spool has a file of a lane with something in it.
    pub(crate) async fn spooled(&self, lane: &str) {
        let spool = self.path().join("spool");
        for _ in 0..1000 {
            let there = std::fs::read_dir(&spool).into_iter().flatten().any(|file| {
                let file = file.unwrap();
                file.file_name().to_string_lossy().ends_with(lane)
                    && file.metadata().is_ok_and(|data| data.len() > 100)
            });
            if there {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nothing of the {lane} lane was spooled");
    }
}
