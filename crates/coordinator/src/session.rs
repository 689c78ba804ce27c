//! The stream of one agent.
//!
//! ```text
//!  Hello ─▶ Welcome, what is acknowledged already, the plan
//!  ReportBatch ─▶ store ─▶ (on the disk) ─▶ Acknowledged, Credit      and to the round
//!  (plan changed) ─▶ PlanDelta
//! ```
//!
//! Back-pressure is credit: reports of at most [`CREDIT`] octets are on their way. Without an
//! answer of the store there is neither acknowledgement nor credit, and the agent keeps what it
//! has in its spool. Of all agents together at most [`INTAKE`] octets wait for the store; beyond
//! that nothing more is read, and HTTP/2 holds the rest back.
//!
//! What an agent has to be told waits, too, but not much of it and not long: who takes nothing for
//! [`PATIENCE`] loses its connection.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bailiwick_core::{
    report::{Lane, ReportId},
    vantage::VantageId,
};
use bailiwick_rpc::{
    Caller, Certified, HangUp, Peer,
    agent::{
        Acknowledged, Credit, Farewell, FromAgent, Hello, ReportBatch, ToAgent, Welcome,
        agent_service_server::AgentService, from_agent, to_agent,
    },
};
use bailiwick_store::{BootId, Fate, Gap, Incoming, Ingested, Mark, NewReport, Seen, Serial, Slot};
use bailiwick_wire::{proto::report::v1 as pb, report};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    Shared, clock,
    pieces::pieces,
    rounds::Arrival,
    sessions::{End, Open},
    watches::About,
};

/// Octets of reports that may be on their way.
const CREDIT: u64 = 1024 * 1024;
/// Reports a second that one agent may send over time, and how many at once.
const RATE: f64 = 20.0;
const BURST: f64 = 256.0;
/// Reports in one message.
const BATCH: usize = 64;
/// How long an agent may take to say the first word, and to take a message.
const FIRST_WORD: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(20);
/// Messages to an agent that wait: with the pieces of a plan, 256 KiB.
const WAITING: usize = 16;
/// Octets of reports of all agents that wait for the store, and what each batch counts besides.
/// It is less than the store's own queue, which turns away what is too much.
pub(crate) const INTAKE: usize = 48 << 20;
const OF_BATCH: u32 = 512;
/// The version of the protocol.
const PROTOCOL: u32 = 1;
/// The call, for the table of rights.
const PATH: &str = "/bailiwick.agent.v1.AgentService/Session";

/// The service of agents.
#[derive(Clone, Debug)]
pub(crate) struct Agents(pub(crate) Arc<Shared>);

type Out = Pin<Box<dyn tokio_stream::Stream<Item = Result<ToAgent, Status>> + Send>>;

#[tonic::async_trait]
impl AgentService for Agents {
    type SessionStream = Out;

    async fn session(
        &self,
        request: Request<Streaming<FromAgent>>,
    ) -> Result<Response<Out>, Status> {
        let caller = Caller::of(&request)?.clone();
        let Peer::Agent(certified) = &caller.peer else {
            return Err(Status::permission_denied("not an agent"));
        };
        let certified = certified.clone();
        let hang_up = HangUp::of(&request)?;
        let (to, from) = mpsc::channel(WAITING);
        let shared = Arc::clone(&self.0);
        let inbound = request.into_inner();
        // Answers begin before the agent has said anything: it waits for the headers.
        tokio::spawn(async move {
            let name = certified.name.as_str().to_owned();
            let line = Line { name, to, hang_up };
            if let Err(end) = Talk::hold(shared, caller, certified, inbound, &line).await {
                line.end(end).await;
            }
        });
        let said = ReceiverStream::new(from).map(|message| *message);
        Ok(Response::new(Box::pin(said)))
    }
}

/// How a stream ends.
#[derive(Debug)]
enum Ending {
    /// The agent went, or does not listen; then its connection is ended, too.
    Gone,
    /// It is told to come back.
    Farewell(&'static str, Duration),
    /// It did what nobody may do.
    Refused(Status),
}

impl From<Status> for Ending {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

/// The way to the agent.
struct Line {
    /// To whom.
    name: String,
    /// In boxes: a channel has room for many from its beginning.
    to: mpsc::Sender<Box<Result<ToAgent, Status>>>,
    hang_up: HangUp,
}

impl Line {
    async fn say(&self, kind: to_agent::Kind) -> Result<(), Ending> {
        let message = ToAgent { kind: Some(kind) };
        match timeout(PATIENCE, self.to.send(Box::new(Ok(message)))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ending::Gone),
            // What waits for it would be kept as long as the connection lives.
            Err(_) => {
                let agent = &self.name;
                tracing::warn!(agent, "does not take what it is told: its connection ends");
                self.hang_up.now();
                Err(Ending::Gone)
            }
        }
    }

    async fn end(&self, ending: Ending) {
        match ending {
            Ending::Gone => {}
            Ending::Farewell(reason, retry) => {
                let farewell = Farewell {
                    reason: reason.to_owned(),
                    retry_after_ns: i64::try_from(retry.as_nanos()).unwrap_or(i64::MAX),
                };
                let _ = self.say(to_agent::Kind::Farewell(farewell)).await;
            }
            Ending::Refused(status) => {
                let _ = timeout(PATIENCE, self.to.send(Box::new(Err(status)))).await;
            }
        }
    }
}

/// A stream that has begun.
struct Talk<'a> {
    shared: Arc<Shared>,
    caller: Caller,
    name: VantageId,
    line: &'a Line,
    open: Open,
    /// The revision of the plan that the agent holds.
    revision: u64,
    plan: u64,
    /// Octets that are on their way to the store.
    outstanding: u64,
    bucket: Bucket,
}

/// What came of a batch that the store has taken.
type Kept = Result<(Ingested, u64), bailiwick_store::Error>;
/// On its way back to the stream; in boxes, as the messages of a [`Line`].
type Keeping = mpsc::Sender<Box<Kept>>;

/// What the agent is to be told of reports that are on the disk.
#[derive(Default)]
struct Told {
    marks: BTreeMap<(Lane, u64), u64>,
    octets: u64,
}

impl<'a> Talk<'a> {
    /// Holds the whole conversation.
    async fn hold(
        shared: Arc<Shared>,
        caller: Caller,
        certified: Certified,
        mut inbound: Streaming<FromAgent>,
        line: &'a Line,
    ) -> Result<(), Ending> {
        let first = timeout(FIRST_WORD, inbound.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("nothing was said"))??;
        let Some(from_agent::Kind::Hello(hello)) = first.and_then(|message| message.kind) else {
            return Err(Status::invalid_argument("the first message is Hello").into());
        };
        let mut talk = Self::begin(shared, caller, &certified, &hello, line).await?;
        talk.greet(&hello).await?;
        talk.listen(inbound, certified.not_after).await
    }

    async fn begin(
        shared: Arc<Shared>,
        caller: Caller,
        certified: &Certified,
        hello: &Hello,
        line: &'a Line,
    ) -> Result<Self, Ending> {
        let name = VantageId(certified.name.as_str().to_owned());
        if hello.protocol_min > PROTOCOL || hello.protocol_max < PROTOCOL {
            let wanted = format!(
                "this coordinator speaks version {PROTOCOL}, the agent {} to {}: update the older one",
                hello.protocol_min, hello.protocol_max
            );
            return Err(Status::failed_precondition(wanted).into());
        }
        let boot = <[u8; 16]>::try_from(hello.boot.as_ref())
            .map_err(|_| Status::invalid_argument("boot has 16 octets"))?;
        let now = clock::now();
        let used = shared
            .store
            .certificate_used(&name, Serial(certified.serial.0));
        if !used.await.map_err(unavailable)? {
            return Err(Status::unauthenticated("this certificate was replaced").into());
        }
        let address = caller.source.map(|source| source.ip().to_canonical());
        let seen = Seen {
            at: now,
            address: address.ok_or_else(|| Status::internal("no source address"))?,
            build: hello.build.chars().take(256).collect(),
            boot: BootId(boot),
            durable: hello.durable,
            lab: hello.lab,
            clock_offset: offset(hello.clock_us, now.0),
        };
        shared
            .store
            .note_seen(&name, &seen)
            .await
            .map_err(unavailable)?;
        let session = shared
            .store
            .take_session(&name, &shared.replica, BootId(boot), now)
            .await
            .map_err(unavailable)?;
        shared.clones.note(&name, session.takeovers);
        shared.roster.look_at(&name).await.map_err(unavailable)?;
        let open = shared.sessions.open(&name, session.epoch);
        tracing::info!(
            agent = name.0,
            epoch = session.epoch,
            build = seen.build,
            "connected"
        );
        Ok(Self {
            shared,
            caller,
            name,
            line,
            open,
            revision: hello.plan_revision,
            plan: 0,
            outstanding: 0,
            bucket: Bucket::full(),
        })
    }

    /// Says what the agent has to know first.
    async fn greet(&mut self, hello: &Hello) -> Result<(), Ending> {
        let welcome = Welcome {
            protocol: PROTOCOL,
            features: Vec::new(),
            clock_us: clock::now().0,
            credit: CREDIT,
            authorities: self.shared.authorities(),
        };
        self.line.say(to_agent::Kind::Welcome(welcome)).await?;
        let marks = self.shared.store.marks(&self.name).await;
        for mark in marks.map_err(unavailable)? {
            self.acknowledge(mark).await?;
        }
        self.revision = hello.plan_revision;
        self.send_plan().await
    }

    async fn listen(
        &mut self,
        mut inbound: Streaming<FromAgent>,
        not_after: SystemTime,
    ) -> Result<(), Ending> {
        let left = not_after
            .duration_since(SystemTime::now())
            .unwrap_or_default();
        let ended = tokio::time::sleep(left);
        tokio::pin!(ended);
        let (kept, mut keeping) = mpsc::channel::<Box<Kept>>(WAITING);
        let mut look = tokio::time::interval(crate::roster::REFRESH);
        loop {
            let ready = self.bucket.ready();
            tokio::select! {
                biased;
                changed = self.open.signals.changed() => {
                    changed.map_err(|_| Ending::Gone)?;
                    self.signalled().await?;
                }
                Some(done) = keeping.recv() => {
                    let mut told = Told::default();
                    self.kept(*done, &mut told).await?;
                    // One word for all that are on the disk by now.
                    while let Ok(done) = keeping.try_recv() {
                        self.kept(*done, &mut told).await?;
                    }
                    self.tell(told).await?;
                }
                () = &mut ended => {
                    return Err(Ending::Farewell("the certificate has ended", Duration::ZERO));
                }
                _ = look.tick() => self.may_still()?,
                message = next(&mut inbound, ready) => {
                    let Some(message) = message? else { return Ok(()) };
                    self.may_still()?;
                    self.hear(message, &kept).await?;
                }
            }
        }
    }

    /// Every message and every few seconds: a ban ends the stream.
    fn may_still(&self) -> Result<(), Ending> {
        let access = self.shared.access.check(PATH, &self.caller);
        access.map_err(|refusal| Ending::Refused(refusal.into()))
    }

    async fn signalled(&mut self) -> Result<(), Ending> {
        let signal = *self.open.signals.borrow_and_update();
        match signal.end {
            Some(End::TakenOver) => {
                let why = "another session of this agent began";
                return Err(Ending::Farewell(why, Duration::from_secs(10)));
            }
            Some(End::Stopping) => {
                return Err(Ending::Farewell("the coordinator stops", Duration::ZERO));
            }
            None => {}
        }
        if signal.plan != self.plan {
            self.plan = signal.plan;
            self.send_plan().await?;
        }
        Ok(())
    }

    async fn send_plan(&mut self) -> Result<(), Ending> {
        let now = clock::now();
        let delta = self.shared.store.plan_since(&self.name, self.revision, now);
        let delta = delta.await.map_err(unavailable)?;
        if delta.revision == self.revision && !delta.whole {
            return Ok(());
        }
        // An agent that hears only some of the pieces holds what it held before, and asks again.
        let held = if delta.whole { 0 } else { self.revision };
        self.revision = delta.revision;
        for piece in pieces(delta, held, now) {
            self.line.say(to_agent::Kind::Plan(piece)).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, message: FromAgent, kept: &Keeping) -> Result<(), Ending> {
        match message.kind {
            Some(from_agent::Kind::Reports(batch)) => self.reports(batch, kept).await,
            Some(from_agent::Kind::Progress(progress)) => {
                self.shared.rounds.progress(&self.name, &progress);
                Ok(())
            }
            Some(from_agent::Kind::Hello(_)) => {
                Err(Status::invalid_argument("Hello comes once").into())
            }
            // Something that a later version says.
            None => Ok(()),
        }
    }

    async fn reports(&mut self, batch: ReportBatch, kept: &Keeping) -> Result<(), Ending> {
        if batch.reports.len() > BATCH || batch.gaps.len() > BATCH {
            let many = format!("a message holds at most {BATCH} reports");
            return Err(Status::invalid_argument(many).into());
        }
        let octets: usize = batch.reports.iter().map(octets).sum();
        let octets = octets as u64;
        self.outstanding += octets;
        if self.outstanding > CREDIT {
            return Err(Status::resource_exhausted("more than the credit allows").into());
        }
        self.bucket.take(batch.reports.len());
        let shared = Arc::clone(&self.shared);
        let (name, kept) = (self.name.clone(), kept.clone());
        let size = u32::try_from(octets).unwrap_or(u32::MAX) + OF_BATCH;
        let room = Arc::clone(&shared.intake).acquire_many_owned(size).await;
        tokio::spawn(async move {
            let done = shared.keep(&name, batch).await;
            drop(room);
            let done = done.map(|(ingested, arrivals)| {
                // What is stored counts, even if the agent hung up meanwhile. It will send it
                // again, and then it is nothing new.
                arrivals
                    .into_iter()
                    .for_each(|arrival| shared.arrived(arrival));
                (ingested, octets)
            });
            // Nobody who listens: the stream has ended, and the agent asks again.
            let _ = kept.send(Box::new(done)).await;
        });
        Ok(())
    }

    async fn kept(&mut self, done: Kept, told: &mut Told) -> Result<(), Ending> {
        let (ingested, octets) = match done {
            Ok(done) => done,
            Err(bailiwick_store::Error::Banned { .. }) => {
                return Err(Status::permission_denied("banned").into());
            }
            Err(error @ bailiwick_store::Error::Invalid { .. }) => {
                return Err(Status::invalid_argument(error.to_string()).into());
            }
            Err(error) => {
                if let bailiwick_store::Error::Full { .. } = error {
                    self.shared.refusals.refuse(&self.name);
                }
                tracing::warn!(agent = self.name.0, %error, "reports are not taken");
                let why = "reports cannot be stored now";
                return Err(Ending::Farewell(why, Duration::from_secs(5)));
            }
        };
        self.shared.refusals.take(&self.name);
        for mark in ingested.marks {
            let through = told.marks.entry((mark.lane, mark.epoch)).or_default();
            *through = mark.through.max(*through);
        }
        self.outstanding = self.outstanding.saturating_sub(octets);
        told.octets += octets;
        if ingested.fates.contains(&Fate::Equivocated) {
            tracing::warn!(
                agent = self.name.0,
                "EQUIVOCATION: two reports were sent as one"
            );
            self.shared
                .roster
                .look_at(&self.name)
                .await
                .map_err(unavailable)?;
        }
        Ok(())
    }

    async fn tell(&self, told: Told) -> Result<(), Ending> {
        for ((lane, epoch), through) in told.marks {
            self.acknowledge(Mark {
                lane,
                epoch,
                through,
            })
            .await?;
        }
        let octets = told.octets;
        self.line
            .say(to_agent::Kind::Credit(Credit { octets }))
            .await
    }

    async fn acknowledge(&self, mark: Mark) -> Result<(), Ending> {
        let acknowledged = Acknowledged {
            lane: report::to_lane(mark.lane),
            epoch: mark.epoch,
            through: mark.through,
        };
        self.line
            .say(to_agent::Kind::Acknowledged(acknowledged))
            .await
    }
}

impl Shared {
    /// Brings what an agent sent into the store. Returns what the rounds have to know of it.
    async fn keep(
        &self,
        name: &VantageId,
        batch: ReportBatch,
    ) -> Result<(Ingested, Vec<Arrival>), bailiwick_store::Error> {
        let received = clock::now();
        let mut items = Vec::with_capacity(batch.reports.len() + batch.gaps.len());
        let mut checks = Vec::new();
        let mut slots: Vec<Slot> = Vec::new();
        for envelope in batch.reports {
            let id = identity(envelope.id.as_ref())?;
            let about = self.about(&envelope.body, name).await?;
            let whole = report::hash(&envelope.body)[..] == envelope.body_hash[..]
                && octets(&envelope) <= report::MAX_REPORT;
            // What nobody asked for and what is damaged is not kept, and not sent again.
            match about.filter(|_| whole) {
                Some(about) => {
                    let check = about.check();
                    let slot = match about {
                        About::Slot(slot) => Some(slot),
                        About::Check(_) => None,
                    };
                    slots.extend(slot.filter(|slot| !slots.contains(slot)));
                    checks.push((
                        items.len(),
                        (check, slot.map(|slot| slot.deadline)),
                        envelope.body.clone(),
                        envelope.answers.clone(),
                    ));
                    items.push(Incoming::Report(NewReport {
                        id,
                        check: Some(check),
                        body: envelope.body,
                        answers: envelope.answers,
                        received,
                    }));
                }
                None => {
                    tracing::warn!(agent = name.0, whole, "a report that nobody asked for");
                    items.push(Incoming::Gap(Gap {
                        lane: id.lane,
                        epoch: id.epoch,
                        first: id.seq,
                        last: id.seq,
                    }));
                }
            }
        }
        for gap in batch.gaps {
            items.push(Incoming::Gap(Gap {
                lane: lane(gap.lane)?,
                epoch: gap.epoch,
                first: gap.first,
                last: gap.last,
            }));
        }
        self.open_slots(&slots).await?;
        let ingested = self.store.ingest(name, items).await?;
        let arrivals = checks
            .into_iter()
            .filter(|(place, ..)| ingested.fates.get(*place) == Some(&Fate::Stored))
            .map(|(_, (check, open_until), body, answers)| Arrival {
                check,
                open_until,
                vantage: name.clone(),
                body,
                answers,
                at: Instant::now(),
            })
            .collect();
        Ok((ingested, arrivals))
    }
}

fn octets(envelope: &pb::ReportEnvelope) -> usize {
    envelope.body.len() + envelope.answers.iter().map(|a| a.len()).sum::<usize>()
}

fn identity(id: Option<&pb::ReportId>) -> Result<ReportId, bailiwick_store::Error> {
    let id = id.ok_or(bailiwick_store::Error::Invalid {
        what: "the identity of a report",
        value: 0,
    })?;
    Ok(ReportId {
        lane: lane(id.lane)?,
        epoch: id.epoch,
        seq: id.seq,
    })
}

fn lane(lane: i32) -> Result<bailiwick_core::report::Lane, bailiwick_store::Error> {
    report::lane(lane).map_err(|_| bailiwick_store::Error::Invalid {
        what: "a lane",
        value: u64::try_from(lane).unwrap_or_default(),
    })
}

/// How far the agent's clock is ahead, in nanoseconds. The way that the message took is in it.
fn offset(theirs: u64, ours: u64) -> i64 {
    let ahead = i128::from(theirs) - i128::from(ours);
    i64::try_from(ahead * 1_000).unwrap_or(if ahead < 0 { i64::MIN } else { i64::MAX })
}

fn unavailable(error: bailiwick_store::Error) -> Ending {
    tracing::warn!(%error, "the store does not answer");
    Ending::Farewell("the store does not answer", Duration::from_secs(5))
}

/// The next message, not before a moment.
async fn next(
    inbound: &mut Streaming<FromAgent>,
    ready: Option<Instant>,
) -> Result<Option<FromAgent>, Ending> {
    if let Some(ready) = ready {
        tokio::time::sleep_until(ready.into()).await;
    }
    match inbound.next().await {
        None => Ok(None),
        Some(Ok(message)) => Ok(Some(message)),
        // The connection broke; there is nobody to tell.
        Some(Err(_)) => Err(Ending::Gone),
    }
}

/// Reports that an agent may send now.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full() -> Self {
        Self {
            tokens: BURST,
            at: Instant::now(),
        }
    }

    /// Takes as many as came; the debt is paid before the next message is read.
    #[allow(clippy::cast_precision_loss, reason = "at most 64")]
    fn take(&mut self, reports: usize) {
        let now = Instant::now();
        let filled = (now - self.at).as_secs_f64() * RATE;
        self.tokens = (self.tokens + filled).min(BURST) - reports as f64;
        self.at = now;
    }

    /// Returns when the next message may be read, if not now.
    fn ready(&self) -> Option<Instant> {
        (self.tokens < 0.0).then(|| self.at + Duration::from_secs_f64(-self.tokens / RATE))
    }
}
