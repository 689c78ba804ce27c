//! The fleet of the demo: a coordinator and an agent for each vantage point of the world, over
//! mutually authenticated TLS on the loopback, as they would run on machines far apart.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bailiwick_agent::{Clock, Settings};
use bailiwick_coordinator::{Config, Coordinator, LocalRights, Networks};
use bailiwick_core::{check::Check, verdict::Verdict};
use bailiwick_rpc::{Authority, Link, TokenKey, TrustDomain, operator};
use bailiwick_store::Location;
use bailiwick_verdict::{Evidence, Policy, judge};
use bailiwick_wire::{evidence, report};
use tokio::{sync::watch, task::JoinSet};

use super::DemoError;
use crate::world::Vantage;

/// How long agents may take to connect.
const CONNECTED: Duration = Duration::from_secs(20);

/// A coordinator and its agents. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Fleet {
    coordinator: Coordinator,
    operator: Link,
    agents: JoinSet<Result<(), String>>,
    stop: watch::Sender<bool>,
}

fn failed(error: impl ToString) -> DemoError {
    DemoError::Fleet(error.to_string())
}

impl Fleet {
    /// Starts a coordinator and lets one agent join for each vantage point. Everything that they
    /// keep is in the folder.
    pub(super) async fn start(
        folder: &Path,
        vantages: &[Vantage],
        port: u16,
    ) -> Result<Self, DemoError> {
        let socket = folder.join("coordinator.sock");
        let coordinator = coordinator(socket.clone()).await?;
        let operator = Link::local(&socket).await.map_err(failed)?;
        let (stop, stopped) = watch::channel(false);
        let mut fleet = Self {
            coordinator,
            operator,
            agents: JoinSet::new(),
            stop,
        };
        for vantage in vantages {
            let settings = Settings {
                bind: vantage.addresses.clone(),
                allow_special_use: true,
                port,
                ..Settings::new(folder.join(&vantage.name))
            };
            fleet.join(vantage, &settings).await?;
            let mut stopped = stopped.clone();
            let until = async move {
                // An error means that the fleet is gone, which is as good.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            fleet.agents.spawn(async {
                let ran = bailiwick_agent::run(settings, until).await;
                ran.map_err(|error| format!("{error:#}"))
            });
        }
        fleet.connected(vantages.len()).await?;
        Ok(fleet)
    }

    /// Invites an agent and lets it join, with what the world says of its place.
    async fn join(&self, vantage: &Vantage, settings: &Settings) -> Result<(), DemoError> {
        let labels = [
            vantage.place.asn.map(|asn| format!("asn={}", asn.0)),
            vantage.place.rir.map(|rir| format!("rir={rir}")),
        ];
        let request = operator::InviteAgentRequest {
            name: vantage.name.clone(),
            labels: labels.into_iter().flatten().collect(),
            ..operator::InviteAgentRequest::default()
        };
        let invited = self.operator.operator().invite_agent(request).await;
        let invitation = invited.map_err(failed)?.into_inner().join;
        let invitation = invitation.parse().map_err(failed)?;
        let joined = bailiwick_agent::join(&settings.folder, &invitation, &Clock::default()).await;
        joined
            .map(drop)
            .map_err(|error| failed(format!("{error:#}")))
    }

    /// Waits until all agents have a session.
    async fn connected(&mut self, agents: usize) -> Result<(), DemoError> {
        let wait = async {
            loop {
                let status = operator::GetStatusRequest {};
                let status = self.operator.operator().get_status(status).await;
                if status.map_err(failed)?.into_inner().connected >= agents as u64 {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            connected = tokio::time::timeout(CONNECTED, wait) => {
                connected.unwrap_or_else(|_| Err(failed("the agents do not connect")))
            }
            Some(ended) = self.agents.join_next() => Err(match ended {
                Ok(Err(error)) => failed(error),
                _ => failed("an agent has ended"),
            }),
        }
    }

    /// Lets all agents check, and returns the verdict on what they saw: computed here once more
    /// from the evidence that the coordinator keeps.
    pub(super) async fn check(&self, check: &Check) -> Result<Option<Verdict>, DemoError> {
        let request = operator::CreateCheckRequest {
            check: Some(report::to_check(check)),
            view: Some(operator::View {
                format: "nagios".to_owned(),
                ..operator::View::default()
            }),
            ..operator::CreateCheckRequest::default()
        };
        let mut operator = self.operator.operator();
        let mut events = operator
            .create_check(request)
            .await
            .map_err(failed)?
            .into_inner();
        while events.message().await.map_err(failed)?.is_some() {}
        let request = operator::GetEvidenceRequest {
            check: check.id.0.to_be_bytes().to_vec().into(),
        };
        let mut told = operator
            .get_evidence(request)
            .await
            .map_err(failed)?
            .into_inner();
        let mut parts = Vec::new();
        while let Some(part) = told.message().await.map_err(failed)? {
            parts.push(part);
        }
        let saved = evidence::read(&parts).map_err(failed)?;
        let reports = saved
            .reports
            .into_iter()
            .map(|(_, report)| Evidence::of(report));
        let Some(joined) = reports.reduce(Evidence::join) else {
            return Ok(None);
        };
        let placed = saved.places.into_iter();
        let evidence = placed.fold(joined, |joined, (who, place)| joined.place(who, place));
        Ok(Some(judge(&evidence, &Policy::default())))
    }

    /// Ends agents and coordinator.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.agents.join_next().await.is_some() {}
        drop(self.operator);
        self.coordinator.stop().await;
    }
}

async fn coordinator(socket: PathBuf) -> Result<Coordinator, DemoError> {
    let config = Config {
        agents: ([127, 0, 0, 1], 0).into(),
        operators: None,
        local: LocalRights::of_this_user(),
        socket: Some(socket),
        public: Vec::new(),
        networks: Networks::default(),
        lab: true,
    };
    let now = SystemTime::now();
    let authority = Authority::create(TrustDomain::default(), now).map_err(failed)?;
    let key = TokenKey::generate().map_err(failed)?;
    let store = bailiwick_store::open(&Location::Memory)
        .await
        .map_err(failed)?;
    Coordinator::start(config, authority, key, Arc::clone(&store))
        .await
        .map_err(failed)
}
