//! A coordinator that keeps everything in memory and does as a test says: silent, forgetful,
//! slow, mean with credit, gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use bailiwick_core::report::{Lane, ReportId};
use bailiwick_rpc::{
    AgentListener, Authority, Caller, Invitation, Kind, Name, Peer, Proof, PublicKey, Purpose,
    Secret, ServerTls, TokenKey, TrustDomain,
    access::{Access, Standing, Standings},
    agent::{
        Acknowledged, Credit, EnrollRequest, Farewell, FromAgent, Hello, Identity, PlanDelta,
        PlanItem, Progress, RenewRequest, ToAgent, Welcome, agent_service_server::AgentService,
        enrolment_service_server::EnrolmentService, from_agent, to_agent,
    },
    agent_routes,
};
use bailiwick_wire::{
    proto::report::v1::{Gap, ReportEnvelope},
    report,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// How it behaves.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// Of a session, at first, and how much more was granted since by hand.
    pub(crate) credit: u64,
    pub(crate) more: u64,
    /// Whether octets that arrived are given back.
    pub give_back: bool,
    pub(crate) acknowledge: bool,
    pub(crate) delay: Duration,
    /// Reports a second of one session that it takes, if it does not take as many as come. A batch
    /// is taken at once, and the message after it is not read before its time.
    pub(crate) pace: Option<f64>,
    /// Takes Hello and never says anything.
    pub(crate) silent: bool,
    pub(crate) farewell: Option<Duration>,
    /// Sessions that are open end when this changes.
    pub(crate) cut: u32,
    /// What certificates are said to be good for.
    pub(crate) life: Duration,
    /// How long ago certificates are made.
    pub(crate) ago: Duration,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            credit: 1 << 20,
            more: 0,
            give_back: true,
            acknowledge: true,
            delay: Duration::ZERO,
            pace: None,
            silent: false,
            farewell: None,
            cut: 0,
            life: Duration::from_secs(86_400),
            ago: Duration::ZERO,
        }
    }
}

/// A report as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) session: usize,
    pub(crate) id: ReportId,
    pub(crate) envelope: ReportEnvelope,
    /// Octets that had arrived in this session with this report, and those allowed by then.
    pub(crate) octets: u64,
    pub(crate) allowed: u64,
}

/// One session.
#[derive(Clone, Debug)]
pub(crate) struct Met {
    pub(crate) at: Instant,
    pub(crate) hello: Hello,
    pub(crate) serial: [u8; 16],
}

#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) sessions: Vec<Met>,
    pub(crate) reports: Vec<Arrived>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) progress: Vec<Progress>,
    /// Most reports and octets of a batch.
    pub(crate) batch: (usize, usize),
}

#[derive(Clone, Default)]
struct Planned {
    revision: u64,
    items: Vec<PlanItem>,
}

pub(crate) struct Kept {
    pub(crate) authority: Authority,
    tokens: TokenKey,
    invited: Mutex<BTreeMap<String, ([u8; 32], Name)>>,
    enrolled: Mutex<BTreeMap<[u8; 32], Name>>,
    pub(crate) banned: Mutex<BTreeSet<String>>,
    /// Serial numbers that are not known any more.
    pub(crate) replaced: Mutex<BTreeSet<[u8; 16]>>,
    pub(crate) heard: Mutex<Heard>,
    manner: watch::Sender<Manner>,
    plan: watch::Sender<Planned>,
}

pub(crate) struct Coordinator {
    pub(crate) kept: Arc<Kept>,
    pub(crate) address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Coordinator {
    pub(crate) async fn start() -> Self {
        let authority = Authority::create(TrustDomain::default(), SystemTime::now()).unwrap();
        let tls = ServerTls::new(&authority.server(SystemTime::now()).unwrap()).unwrap();
        let kept = Arc::new(Kept {
            authority,
            tokens: TokenKey::generate().unwrap(),
            invited: Mutex::default(),
            enrolled: Mutex::default(),
            banned: Mutex::default(),
            replaced: Mutex::default(),
            heard: Mutex::default(),
            manner: watch::channel(Manner::default()).0,
            plan: watch::channel(Planned::default()).0,
        });
        let listener = AgentListener::bind((Ipv4Addr::LOCALHOST, 0).into(), tls)
            .await
            .unwrap();
        let address = listener.address();
        let routes = agent_routes(Service(Arc::clone(&kept)), Service(Arc::clone(&kept)));
        let access = Access::new(Arc::clone(&kept) as _);
        let (stop, mut stopped) = watch::channel(false);
        let serving = tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            listener.serve(routes, access, stopped).await.unwrap();
        });
        Self {
            kept,
            address,
            stop,
            serving,
        }
    }

    /// An invitation to a place where the coordinator can be found.
    pub(crate) fn invite(&self, member: &str, at: SocketAddr) -> Invitation {
        let authority = &self.kept.authority;
        let host = at.to_string().parse().unwrap();
        let domain = authority.trust_domain().clone();
        let invitation = Invitation::new(domain, vec![host], authority.pin()).unwrap();
        let mac = self.kept.tokens.mac(&invitation.token, &invitation.secret);
        let mut invited = self.kept.invited.lock().unwrap();
        invited.insert(invitation.token.to_string(), (mac, member.parse().unwrap()));
        invitation
    }

    pub(crate) fn behave(&self, change: impl FnOnce(&mut Manner)) {
        self.kept.manner.send_modify(change);
    }

    /// Ends all sessions.
    pub(crate) fn cut(&self) {
        self.behave(|manner| manner.cut += 1);
    }

    /// Replaces the plan of everybody.
    pub(crate) fn plan(&self, items: Vec<PlanItem>) {
        self.kept.plan.send_modify(|plan| {
            plan.revision += 1;
            plan.items = items;
        });
    }

    /// Looks at what was heard until it is as wanted.
    ///
    /// # Panics
    ///
    /// Panics if that takes longer than 20 seconds.
    pub(crate) async fn until<T>(&self, what: &str, look: impl Fn(&Heard) -> Option<T>) -> T {
        for _ in 0..2000 {
            if let Some(found) = look(&self.kept.heard.lock().unwrap()) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let heard = self.kept.heard.lock().unwrap();
        panic!(
            "not within 20 s: {what}; {} sessions, {} reports",
            heard.sessions.len(),
            heard.reports.len()
        );
    }

    pub(crate) async fn reports(&self, count: usize) -> Vec<Arrived> {
        self.until(&format!("{count} reports"), |heard| {
            (heard.reports.len() >= count).then(|| heard.reports.clone())
        })
        .await
    }

    pub(crate) async fn sessions(&self, count: usize) -> Vec<Met> {
        self.until(&format!("{count} sessions"), |heard| {
            (heard.sessions.len() >= count).then(|| heard.sessions.clone())
        })
        .await
    }

    pub(crate) async fn stop(self) {
        self.cut();
        self.stop.send_replace(true);
        self.serving.await.unwrap();
    }
}

impl Standings for Kept {
    fn standing(&self, peer: &Peer) -> Standing {
        match peer {
            Peer::Agent(certified) => {
                let known = self.enrolled.lock().unwrap();
                let banned = self.banned.lock().unwrap();
                let replaced = self.replaced.lock().unwrap();
                match known.get(&certified.key.0) {
                    Some(name) if banned.contains(name.as_str()) => Standing::Banned,
                    Some(_) if !replaced.contains(&certified.serial.0) => Standing::Agent,
                    _ => Standing::Unknown,
                }
            }
            _ => Standing::Unknown,
        }
    }
}

#[derive(Clone)]
struct Service(Arc<Kept>);

impl Service {
    fn identity(&self, name: &Name, key: &PublicKey) -> Identity {
        let now = SystemTime::now() - self.0.manner.borrow().ago;
        let issued = self.0.authority.issue(Kind::Agent, name, key, now).unwrap();
        let life = self.0.manner.borrow().life;
        Identity {
            certificates: issued.chain.iter().map(|c| c.to_vec().into()).collect(),
            name: name.to_string(),
            valid_for_ns: life.as_nanos().try_into().unwrap(),
            ..Identity::default()
        }
    }

    fn proved<T>(
        &self,
        request: &Request<T>,
        proof: Option<&bailiwick_rpc::agent::Proof>,
        purpose: Purpose,
    ) -> Result<PublicKey, Status> {
        let exporter = Caller::of(request)?.exporter.unwrap();
        Proof::verify(proof, purpose, self.0.authority.trust_domain(), &exporter)
            .map_err(|error| Status::permission_denied(error.to_string()))
    }
}

#[tonic::async_trait]
impl EnrolmentService for Service {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<Identity>, Status> {
        let refused = || Status::permission_denied("this invitation cannot be used");
        let message = request.get_ref();
        let key = self.proved(&request, message.proof.as_ref(), Purpose::Enrol)?;
        let token = message.token_id.parse().map_err(|_| refused())?;
        let secret = Secret::from_octets(&message.secret).ok_or_else(refused)?;
        let invited = self.0.invited.lock().unwrap();
        let (mac, name) = invited.get(&message.token_id).ok_or_else(refused)?;
        if !self.0.tokens.verify(&token, &secret, mac) {
            return Err(refused());
        }
        let mut enrolled = self.0.enrolled.lock().unwrap();
        let holder = enrolled.iter().find(|(_, held)| *held == name);
        if holder.is_some_and(|(holder, _)| *holder != key.hash().0) {
            return Err(refused());
        }
        enrolled.insert(key.hash().0, name.clone());
        Ok(Response::new(self.identity(name, &key)))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<Identity>, Status> {
        let proof = request.get_ref().proof.as_ref();
        let key = self.proved(&request, proof, Purpose::Renew)?;
        let name = self.0.enrolled.lock().unwrap().get(&key.hash().0).cloned();
        let name = name.ok_or_else(|| Status::permission_denied("no such key"))?;
        if self.0.banned.lock().unwrap().contains(name.as_str()) {
            return Err(Status::permission_denied("this agent is banned"));
        }
        Ok(Response::new(self.identity(&name, &key)))
    }
}

#[tonic::async_trait]
impl AgentService for Service {
    type SessionStream = Out<ToAgent>;

    async fn session(
        &self,
        request: Request<Streaming<FromAgent>>,
    ) -> Result<Response<Out<ToAgent>>, Status> {
        let Peer::Agent(certified) = Caller::of(&request)?.peer.clone() else {
            return Err(Status::internal("not an agent"));
        };
        let (say, said) = mpsc::channel(64);
        let talk = Talk {
            kept: Arc::clone(&self.0),
            say,
            session: 0,
            granted: 0,
            given_back: 0,
            octets: 0,
            ready: Instant::now(),
        };
        tokio::spawn(talk.run(request.into_inner(), certified.serial.0));
        Ok(Response::new(Box::pin(ReceiverStream::new(said))))
    }
}

/// One session.
struct Talk {
    kept: Arc<Kept>,
    say: mpsc::Sender<Result<ToAgent, Status>>,
    session: usize,
    /// Credit that was given at first and by hand, and what was given back.
    granted: u64,
    given_back: u64,
    octets: u64,
    /// When the next message is read.
    ready: Instant,
}

/// The next message, not before a moment.
async fn next(
    heard: &mut Streaming<FromAgent>,
    ready: Instant,
) -> Result<Option<FromAgent>, Status> {
    tokio::time::sleep_until(ready.into()).await;
    heard.message().await
}

impl Talk {
    async fn say(&self, kind: to_agent::Kind) {
        let _ = self.say.send(Ok(ToAgent { kind: Some(kind) })).await;
    }

    async fn run(mut self, mut heard: Streaming<FromAgent>, serial: [u8; 16]) {
        let Ok(Some(FromAgent {
            kind: Some(from_agent::Kind::Hello(hello)),
        })) = heard.message().await
        else {
            return;
        };
        let has = hello.plan_revision;
        {
            let mut all = self.kept.heard.lock().unwrap();
            self.session = all.sessions.len();
            all.sessions.push(Met {
                at: Instant::now(),
                hello,
                serial,
            });
        }
        let mut manner = self.kept.manner.subscribe();
        let mut plan = self.kept.plan.subscribe();
        let cut = manner.borrow().cut;
        let silent = manner.borrow().silent;
        self.granted = manner.borrow().credit + manner.borrow().more;
        if !silent {
            self.say(to_agent::Kind::Welcome(Welcome {
                protocol: 1,
                credit: self.granted,
                authorities: vec![self.kept.authority.root().to_vec().into()],
                ..Welcome::default()
            }))
            .await;
            let first = plan.borrow_and_update().clone();
            if first.revision != has {
                self.plan(first).await;
            }
        }
        loop {
            let now = manner.borrow_and_update().clone();
            if now.cut != cut {
                return;
            }
            if !silent {
                if let Some(pause) = now.farewell {
                    self.say(to_agent::Kind::Farewell(Farewell {
                        reason: "the test says so".to_owned(),
                        retry_after_ns: pause.as_nanos().try_into().unwrap(),
                    }))
                    .await;
                    return;
                }
                let more = (now.credit + now.more).saturating_sub(self.granted);
                if more > 0 {
                    self.granted += more;
                    self.say(to_agent::Kind::Credit(Credit { octets: more }))
                        .await;
                }
            }
            tokio::select! {
                message = next(&mut heard, self.ready) => match message {
                    Ok(Some(message)) => self.hear(message, &now).await,
                    _ => return,
                },
                _ = manner.changed() => {}
                _ = plan.changed(), if !silent => {
                    let plan = plan.borrow_and_update().clone();
                    self.plan(plan).await;
                }
            }
        }
    }

    async fn plan(&self, plan: Planned) {
        self.say(to_agent::Kind::Plan(PlanDelta {
            revision: plan.revision,
            whole: true,
            items: plan.items,
            removed: Vec::new(),
        }))
        .await;
    }

    async fn hear(&mut self, message: FromAgent, manner: &Manner) {
        let batch = match message.kind {
            Some(from_agent::Kind::Reports(batch)) => batch,
            Some(from_agent::Kind::Progress(progress)) => {
                self.kept.heard.lock().unwrap().progress.push(progress);
                return;
            }
            _ => return,
        };
        let octets: usize = batch.reports.iter().map(octets).sum();
        let reports = batch.reports.len();
        let allowed = self.granted + self.given_back;
        {
            let mut heard = self.kept.heard.lock().unwrap();
            heard.batch.0 = heard.batch.0.max(reports);
            heard.batch.1 = heard.batch.1.max(if reports > 1 { octets } else { 0 });
            for envelope in batch.reports {
                self.octets += octets_of(&envelope);
                heard.reports.push(Arrived {
                    session: self.session,
                    id: id(&envelope),
                    envelope,
                    octets: self.octets,
                    allowed,
                });
            }
            heard.gaps.extend(batch.gaps);
        }
        let count = u32::try_from(reports).unwrap();
        let paced = manner.pace.map_or(0.0, |pace| f64::from(count) / pace);
        self.ready = Instant::now() + Duration::from_secs_f64(paced);
        tokio::time::sleep(manner.delay).await;
        if manner.acknowledge {
            for (lane, epoch, through) in self.through() {
                self.say(to_agent::Kind::Acknowledged(Acknowledged {
                    lane: report::to_lane(lane),
                    epoch,
                    through,
                }))
                .await;
            }
        }
        if manner.give_back {
            self.given_back += octets as u64;
            let octets = octets as u64;
            self.say(to_agent::Kind::Credit(Credit { octets })).await;
        }
    }

    /// What is there without a hole.
    fn through(&self) -> Vec<(Lane, u64, u64)> {
        let heard = self.kept.heard.lock().unwrap();
        let mut there: BTreeMap<(Lane, u64), BTreeSet<u64>> = BTreeMap::new();
        for arrived in &heard.reports {
            let id = arrived.id;
            there.entry((id.lane, id.epoch)).or_default().insert(id.seq);
        }
        for gap in &heard.gaps {
            let lane = report::lane(gap.lane).unwrap();
            let seqs = there.entry((lane, gap.epoch)).or_default();
            seqs.extend(gap.first..=gap.last);
        }
        there
            .into_iter()
            .map(|((lane, epoch), seqs)| {
                let through = (1..).take_while(|seq| seqs.contains(seq)).last();
                (lane, epoch, through.unwrap_or(0))
            })
            .collect()
    }
}

fn octets(envelope: &ReportEnvelope) -> usize {
    envelope.body.len() + envelope.answers.iter().map(|a| a.len()).sum::<usize>()
}

fn octets_of(envelope: &ReportEnvelope) -> u64 {
    octets(envelope) as u64
}

fn id(envelope: &ReportEnvelope) -> ReportId {
    let id = envelope.id.unwrap();
    ReportId {
        lane: report::lane(id.lane).unwrap(),
        epoch: id.epoch,
        seq: id.seq,
    }
}
