//! An agent as the coordinator sees it: a certificate, a stream, and reports with numbers.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use bailiwick_rpc::{
    Coordinator as Remote, Credentials, Link,
    agent::{FromAgent, Hello, ReportBatch, ToAgent, from_agent, to_agent},
};
use bailiwick_wire::proto::report::v1 as pb;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// How long a coordinator may take to welcome.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages to the coordinator that wait.
const OUTBOX: usize = 4;

/// Somebody with a key that is enrolled.
#[derive(Clone, Debug)]
pub struct Member {
    /// As enrolled.
    pub name: String,
    own: Credentials,
    remote: Remote,
    boot: [u8; 16],
}

/// A stream that is open.
#[derive(Debug)]
pub struct Stream {
    /// To the coordinator.
    pub say: mpsc::Sender<FromAgent>,
    /// From the coordinator, from after the welcome.
    pub heard: Streaming<ToAgent>,
    /// The connection; it ends when the last holder of this is gone.
    pub link: Link,
}

impl Member {
    pub(super) fn new(name: String, own: Credentials, remote: Remote) -> Self {
        let boot = rand::random();
        Self {
            name,
            own,
            remote,
            boot,
        }
    }

    /// Opens a stream and waits to be welcome.
    ///
    /// # Errors
    ///
    /// Fails if it is refused.
    pub async fn session(&self, plan_revision: u64) -> Result<Stream> {
        let link = self.remote.connect(Some(&self.own)).await?;
        let (say, said) = mpsc::channel(OUTBOX);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let hello = Hello {
            protocol_min: 1,
            protocol_max: 1,
            build: "load".to_owned(),
            boot: self.boot.to_vec().into(),
            clock_us: u64::try_from(now.as_micros())?,
            lab: true,
            durable: true,
            plan_revision,
            ..Hello::default()
        };
        say.send(message(from_agent::Kind::Hello(hello))).await?;
        let welcomed = timeout(PATIENCE, async {
            let mut client = link.agent();
            let mut heard = client
                .session(ReceiverStream::new(said))
                .await?
                .into_inner();
            match heard.message().await?.and_then(|message| message.kind) {
                Some(to_agent::Kind::Welcome(_)) => Ok(heard),
                other => bail!("no welcome, but {other:?}"),
            }
        });
        let heard = welcomed.await.context("no welcome")??;
        Ok(Stream { say, heard, link })
    }
}

/// A message to the coordinator.
#[must_use]
pub fn message(kind: from_agent::Kind) -> FromAgent {
    FromAgent { kind: Some(kind) }
}

/// Reports in one message.
#[must_use]
pub fn batch(reports: Vec<pb::ReportEnvelope>) -> FromAgent {
    message(from_agent::Kind::Reports(ReportBatch {
        reports,
        gaps: Vec::new(),
    }))
}
