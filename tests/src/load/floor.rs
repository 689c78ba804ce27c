//! What the same octets cost at least: in gRPC without a store, and in SQLite without gRPC.

use std::{
    fmt::Write as _, net::SocketAddr, path::Path, pin::Pin, sync::Arc, time::Duration,
    time::Instant, time::SystemTime,
};

use anyhow::{Result, ensure};
use bailiwick_core::check::CheckId;
use bailiwick_rpc::{
    AgentListener, Authority, Peer, ServerTls,
    access::{Access, Standing, Standings},
    agent::{
        Acknowledged, Credit, EnrollRequest, FromAgent, Identity, RenewRequest, ToAgent, Welcome,
        agent_service_server::AgentService, enrolment_service_server::EnrolmentService, from_agent,
        to_agent,
    },
    agent_routes,
};
use bailiwick_store::Location;
use bailiwick_wire::report::{self, Encoded};
use rusqlite::{Connection, params_from_iter, types::Value};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

/// Reports of a commit: as many as the coordinator puts into one at most, by octets.
const GROUP: usize = 256;
/// Rows of a statement.
const ROWS: usize = 64;

/// Answers every report at once, and keeps nothing: the same listener, TLS and messages as those of
/// the coordinator.
///
/// # Errors
///
/// Fails if it cannot listen.
pub async fn echo(authority: &Authority, address: SocketAddr) -> Result<()> {
    let shown = ServerTls::new(&authority.server(SystemTime::now())?)?;
    let listener = AgentListener::bind(address, shown).await?;
    let routes = agent_routes(Nobody, Echo);
    let access = Access::new(Arc::new(Trusting));
    Ok(listener
        .serve(routes, access, std::future::pending())
        .await?)
}

/// Knows everybody as an agent.
struct Trusting;

impl Standings for Trusting {
    fn standing(&self, _: &Peer) -> Standing {
        Standing::Agent
    }
}

/// Enrols nobody.
struct Nobody;

#[tonic::async_trait]
impl EnrolmentService for Nobody {
    async fn enroll(&self, _: Request<EnrollRequest>) -> Result<Response<Identity>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<Identity>, Status> {
        Err(Status::unimplemented(""))
    }
}

struct Echo;

#[tonic::async_trait]
impl AgentService for Echo {
    type SessionStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<ToAgent, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<FromAgent>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut inbound = request.into_inner();
        let (say, said) = mpsc::channel(16);
        tokio::spawn(async move {
            let tell = async |kind| say.send(Ok(ToAgent { kind: Some(kind) })).await.is_ok();
            while let Some(Ok(message)) = inbound.next().await {
                let told = match message.kind {
                    Some(from_agent::Kind::Hello(_)) => {
                        tell(to_agent::Kind::Welcome(Welcome {
                            protocol: 1,
                            ..Welcome::default()
                        }))
                        .await
                    }
                    Some(from_agent::Kind::Reports(batch)) => {
                        let last = batch.reports.last().and_then(|last| last.id);
                        let last = last.unwrap_or_default();
                        let octets = batch.reports.iter().map(|r| r.body.len() as u64).sum();
                        tell(to_agent::Kind::Acknowledged(Acknowledged {
                            lane: last.lane,
                            epoch: last.epoch,
                            through: last.seq,
                        }))
                        .await
                            && tell(to_agent::Kind::Credit(Credit { octets })).await
                    }
                    _ => true,
                };
                if !told {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(said))))
    }
}

/// Writes the same rows into the same tables by hand, many in a statement, with commits of the
/// size of the coordinator's largest. Returns how long that took.
///
/// # Errors
///
/// Fails if SQLite does.
pub async fn sqlite(folder: &Path, sent: &[(CheckId, Encoded)], agents: usize) -> Result<Duration> {
    let path = folder.join("floor.db");
    // The tables are made by the store.
    drop(bailiwick_store::open(&Location::Sqlite(path.clone())).await?);
    let db = Connection::open(&path)?;
    for (pragma, value) in [
        ("journal_mode", "WAL"),
        ("synchronous", "FULL"),
        ("wal_autocheckpoint", "4096"),
        ("cache_size", "-16384"),
    ] {
        db.pragma_update(None, pragma, value)?;
    }
    let mut sql = "INSERT INTO report (agent_id, lane, epoch, seq, bucket, check_id, received_at,
        hash, answers, body) VALUES "
        .to_owned();
    for row in 0..ROWS {
        let comma = if row == 0 { "" } else { "," };
        write!(sql, "{comma}(?,?,?,?,?,?,?,?,?,?)")?;
    }
    sql.push_str(" ON CONFLICT (agent_id, lane, epoch, seq) DO NOTHING");
    let began = Instant::now();
    let mut insert = db.prepare(&sql)?;
    // As they come: one of each agent, then the next of each.
    let all: Vec<(usize, usize)> = (0..sent.len())
        .flat_map(|seq| (0..agents).map(move |agent| (agent, seq)))
        .collect();
    let mut written = 0;
    for group in all.chunks(GROUP) {
        db.execute_batch("BEGIN IMMEDIATE")?;
        for rows in group.chunks(ROWS) {
            let values = rows.iter().map(|&(agent, seq)| row(agent, seq, &sent[seq]));
            let mut values: Vec<Value> = values.flatten().collect();
            // The last statement says its last row again.
            let last = rows[rows.len() - 1];
            while values.len() < ROWS * 10 {
                values.extend(row(last.0, last.1, &sent[last.1]));
            }
            written += insert.execute(params_from_iter(values))?;
        }
        db.execute_batch("COMMIT")?;
    }
    ensure!(written == all.len(), "{written} of {}", all.len());
    Ok(began.elapsed())
}

fn row(agent: usize, seq: usize, (check, encoded): &(CheckId, Encoded)) -> [Value; 10] {
    let hashed = report::hash(format!("agent-{agent}").as_bytes());
    let key = hashed.first_chunk::<8>().copied().unwrap_or_default();
    let number = |number: usize| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let answers = encoded.answers.iter().flat_map(|a| report::hash(a));
    [
        Value::Integer(i64::from_be_bytes(key)),
        Value::Integer(1),
        number(agent),
        number(seq),
        Value::Integer(0),
        Value::Blob(check.0.to_be_bytes().to_vec()),
        number(seq),
        Value::Blob(report::hash(&encoded.body).to_vec()),
        Value::Blob(answers.collect()),
        Value::Blob(encoded.body.to_vec()),
    ]
}
