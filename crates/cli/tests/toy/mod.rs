//! A coordinator that tells what it was made with, behind the real listener of operators on a
//! unix socket. Its evidence is that of a scenario.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that cannot go on fails here"
)]

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    pin::Pin,
    process::{Command, Output},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bailiwick_core::{
    check::Check, report::Report, time::Timestamp, vantage::Objection, verdict::Verdict,
};
use bailiwick_lab::scenario::Scenario;
use bailiwick_render::{Page, Style, json, show};
use bailiwick_rpc::{
    AgentListener, Authority, Caller, Invitation, Kind as Member, OperatorListener, Peer, Proof,
    Purpose, ServerTls, TrustDomain,
    access::{Access, Role, Standing, Standings},
    agent::{
        EnrollRequest, FromAgent, Identity, Proof as Shown, RenewRequest, ToAgent,
        agent_service_server::AgentService, enrolment_service_server::EnrolmentService,
    },
    agent_routes,
    operator::{self as pb, check_event::Kind, operator_service_server::OperatorService},
    operator_routes,
};
use bailiwick_verdict::{Evidence, Policy, judge};
use bailiwick_wire::{evidence, proto::report::v1::ReportEnvelope, report};
use tokio::{runtime::Runtime, task::JoinHandle};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

const SCENARIO: &str =
    include_str!("../../../../tests/scenarios/w06-one-network-is-intercepted.txt");
pub const CHECK: [u8; 16] = [
    0x0a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
];

/// How the coordinator ends a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// With a verdict.
    Verdict,
    /// It says in the middle that it is going away.
    Unavailable,
    /// It never says anything more.
    Silence,
}

/// What it knows and how it behaves.
pub struct Toy {
    pub folder: tempfile::TempDir,
    pub socket: PathBuf,
    pub known: Arc<Known>,
    serving: Option<JoinHandle<()>>,
    runtime: Runtime,
}

pub struct Known {
    pub role: Role,
    pub ending: Ending,
    pub scenario: Scenario,
    pub reports: Vec<Report>,
    pub verdict: Verdict,
    /// What was asked, as it came.
    pub asked: Mutex<Vec<String>>,
}

impl Toy {
    pub fn start() -> Self {
        Self::with(Role::Admin, Ending::Verdict)
    }

    pub fn with(role: Role, ending: Ending) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("coordinator.sock");
        let known = Arc::new(Known::new(role, ending));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let serving = runtime.spawn({
            let _entered = runtime.enter();
            let listener = OperatorListener::bind_local(&socket, None).unwrap();
            let access = Access::new(Arc::clone(&known) as Arc<dyn Standings>);
            let routes = operator_routes(Service(Arc::clone(&known)));
            async move {
                let serving = listener.serve(routes, access, std::future::pending());
                serving.await.unwrap();
            }
        });
        Self {
            folder,
            socket,
            known,
            serving: Some(serving),
            runtime,
        }
    }

    /// Runs the program with this coordinator.
    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = bailiwick(words);
        command.arg("--coordinator").arg(&self.socket);
        command
    }

    /// Lets operators in from elsewhere, too. Returns what one needs to join.
    pub fn open(&self) -> Elsewhere {
        let _entered = self.runtime.enter();
        let now = SystemTime::now();
        let authority = Arc::new(Authority::create(TrustDomain::default(), now).unwrap());
        let tls = ServerTls::new(&authority.server(now).unwrap()).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let bound = OperatorListener::bind(any, Arc::clone(&tls));
        let operators = self.runtime.block_on(bound).unwrap();
        let agents = self
            .runtime
            .block_on(AgentListener::bind(any, tls))
            .unwrap();
        let at = operators.address().unwrap().to_string();
        let host = agents.address().to_string().parse().unwrap();
        let domain = authority.trust_domain().clone();
        let invitation = Invitation::new(domain, vec![host], authority.pin()).unwrap();
        let access = Access::new(Arc::clone(&self.known) as Arc<dyn Standings>);
        let routes = operator_routes(Service(Arc::clone(&self.known)));
        let serving = operators.serve(routes, access.clone(), std::future::pending());
        let mut tasks = vec![self.runtime.spawn(async { serving.await.unwrap() })];
        let enrolment = Enrolment {
            authority,
            operators: at.clone(),
        };
        let routes = agent_routes(enrolment.clone(), enrolment);
        let serving = agents.serve(routes, access, std::future::pending());
        tasks.push(self.runtime.spawn(async { serving.await.unwrap() }));
        Elsewhere {
            join: invitation.to_join().to_string(),
            at,
            tasks,
        }
    }

    /// Ends a part of it as a crash does.
    pub fn close(&self, elsewhere: Elsewhere) {
        for task in elsewhere.tasks {
            task.abort();
            let _ = self.runtime.block_on(task);
        }
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        let serving = self.serving.take().unwrap();
        serving.abort();
        let _ = self.runtime.block_on(serving);
    }

    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The last thing that was asked.
    pub fn asked(&self) -> String {
        self.known
            .asked
            .lock()
            .unwrap()
            .last()
            .cloned()
            .unwrap_or_default()
    }
}

pub fn bailiwick(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    command
        .args(words)
        .env_remove("RUST_LOG")
        .env_remove("BAILIWICK_COORDINATOR")
        .env_remove("BAILIWICK_STATE");
    command
}

impl Known {
    fn new(role: Role, ending: Ending) -> Self {
        let scenario = Scenario::parse(SCENARIO).unwrap();
        let reports: Vec<Report> = scenario
            .run(1)
            .iter()
            .map(|report| {
                // As it would have come.
                let sent = report::encode(report);
                report::decode(&sent.body, &sent.answers, report.vantage.id.clone()).unwrap()
            })
            .collect();
        let joined = reports.iter().cloned().map(Evidence::of);
        let mut evidence = joined.reduce(Evidence::join).unwrap();
        for vantage in &scenario.world.vantages {
            let id = bailiwick_core::vantage::VantageId(vantage.name.clone());
            evidence = evidence.place(id, vantage.place.clone());
        }
        let verdict = judge(&evidence, &Policy::default());
        Self {
            role,
            ending,
            scenario,
            reports: evidence.reports().cloned().collect(),
            verdict,
            asked: Mutex::default(),
        }
    }

    pub fn page(&self) -> Page<'_> {
        Page {
            verdict: &self.verdict,
            reports: &self.reports,
            style: Style::PLAIN,
            full: false,
            raw: false,
            port: 53,
        }
    }

    fn parts(&self) -> Vec<pb::EvidencePart> {
        let check: &Check = &self.scenario.check;
        let places: Vec<_> = self
            .scenario
            .world
            .vantages
            .iter()
            .map(|v| {
                let id = bailiwick_core::vantage::VantageId(v.name.clone());
                (id, v.place.clone())
            })
            .collect();
        let verdict = json::check(&self.page()).into();
        let places = places.iter().map(|(vantage, place)| (vantage, place));
        let mut parts = vec![evidence::to_head(check, places, 1, verdict)];
        parts.extend(self.reports.iter().map(|report| {
            let sent = report::encode(report);
            let envelope = ReportEnvelope {
                id: None,
                body_hash: report::hash(&sent.body).to_vec().into(),
                body: sent.body,
                answers: sent.answers,
            };
            evidence::to_report(&report.vantage.id, Timestamp(1), envelope)
        }));
        parts
    }

    fn rows(&self, state: pb::VantageState) -> Vec<pb::VantageRow> {
        let row = |report: &Report| {
            let name = report.vantage.id.0.clone();
            let vantages = &self.scenario.world.vantages;
            let vantage = vantages.iter().find(|v| v.name == name).unwrap();
            let mut row = pb::VantageRow {
                place: vantage.place.to_string(),
                name,
                state: state.into(),
                ..pb::VantageRow::default()
            };
            if state != pb::VantageState::Waiting {
                row.asked = u32::try_from(report.observations.len()).unwrap();
                row.answered = row.asked - 1;
                row.elapsed_ns = 312_000_000;
            }
            row
        };
        self.reports.iter().map(row).collect()
    }

    fn events(&self, view: &pb::View) -> Vec<Result<pb::CheckEvent, Status>> {
        let event = |kind| Ok(pb::CheckEvent { kind: Some(kind) });
        let mut events = vec![event(Kind::Started(pb::CheckStarted {
            check: CHECK.to_vec().into(),
            vantages: self.rows(pb::VantageState::Waiting),
            left_out: vec!["syd: not connected\u{1b}[2J".to_owned()],
            deadline_ns: 1_000_000_000,
        }))];
        let reported = self.rows(pb::VantageState::Reported);
        if self.ending != Ending::Verdict {
            events.extend(
                reported
                    .into_iter()
                    .take(2)
                    .map(|row| event(Kind::Vantage(row))),
            );
            events.push(Err(Status::unavailable("the store is closing")));
            return events;
        }
        let measuring = self.rows(pb::VantageState::Measuring);
        let rows = measuring.into_iter().chain(reported);
        events.extend(rows.map(|row| event(Kind::Vantage(row))));
        let mut page = self.page();
        page.style.color = view.color;
        page.full = view.full;
        page.raw = view.raw;
        let code = match view.format.as_str() {
            "nagios" => self.verdict.nagios_code(),
            _ => self.verdict.state.exit_code(),
        };
        events.push(event(Kind::Ended(pb::CheckEnded {
            state: self.verdict.state.to_string(),
            exit_code: code.into(),
            shown: show(&view.format, &page).unwrap(),
            judged_ns: 1,
            elapsed_ns: 2,
        })));
        events
    }

    fn watch(&self) -> pb::Watch {
        pb::Watch {
            watch: CHECK.to_vec().into(),
            zone: self.scenario.check.zone.to_wire().into(),
            interval_ns: 300_000_000_000,
            operator: "alice".to_owned(),
            created_us: 1_790_000_000_000_000,
            vantages: ["fra-1", "nyc-1"].map(str::to_owned).to_vec(),
            until_us: 1_790_086_400_000_000,
        }
    }

    fn agent(&self, name: &str) -> pb::Agent {
        let vantage = &self.scenario.world.vantages[0];
        let mut place = vantage.place.clone();
        place.objections.insert(Objection::Skewed);
        let id = bailiwick_core::vantage::VantageId(name.to_owned());
        pb::Agent {
            name: name.to_owned(),
            state: "active".to_owned(),
            place: Some(evidence::to_place(&id, &place)),
            connected: true,
            enrolled_us: 1_790_000_000_000_000,
            last_seen_us: 1_790_000_090_000_000,
            build: "bailiwick-agent 0.1.0".to_owned(),
            reports: 7,
            key: vec![0xab; 32].into(),
            ..pb::Agent::default()
        }
    }
}

impl Standings for Known {
    fn standing(&self, peer: &Peer) -> Standing {
        match peer {
            Peer::Local { .. } | Peer::Operator(_) => Standing::Operator(self.role),
            _ => Standing::Unknown,
        }
    }
}

/// Where operators come in from elsewhere.
pub struct Elsewhere {
    pub join: String,
    pub at: String,
    tasks: Vec<JoinHandle<()>>,
}

/// Makes an operator of whoever has a key.
#[derive(Clone)]
struct Enrolment {
    authority: Arc<Authority>,
    operators: String,
}

impl Enrolment {
    fn identity<T>(
        &self,
        request: &Request<T>,
        proof: Option<&Shown>,
        purpose: Purpose,
    ) -> Result<Response<Identity>, Status> {
        let exporter = Caller::of(request)?.exporter.unwrap();
        let domain = self.authority.trust_domain();
        let key = Proof::verify(proof, purpose, domain, &exporter)
            .map_err(|error| Status::permission_denied(error.to_string()))?;
        let now = SystemTime::now();
        let name = "alice".parse().unwrap();
        let issued = self
            .authority
            .issue(Member::Operator, &name, &key, now)
            .unwrap();
        let life = issued.not_after.duration_since(now).unwrap();
        Ok(Response::new(Identity {
            certificates: issued.chain.iter().map(|c| c.to_vec().into()).collect(),
            name: name.to_string(),
            valid_for_ns: life.as_nanos().try_into().unwrap(),
            operators: vec![self.operators.clone()],
            // As those that know of one root only.
            authorities: Vec::new(),
        }))
    }
}

#[tonic::async_trait]
impl EnrolmentService for Enrolment {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<Identity>, Status> {
        self.identity(&request, request.get_ref().proof.as_ref(), Purpose::Enrol)
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<Identity>, Status> {
        self.identity(&request, request.get_ref().proof.as_ref(), Purpose::Renew)
    }
}

#[tonic::async_trait]
impl AgentService for Enrolment {
    type SessionStream = Out<ToAgent>;

    async fn session(
        &self,
        _: Request<tonic::Streaming<FromAgent>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        Err(Status::unimplemented("there are no agents here"))
    }
}

struct Service(Arc<Known>);

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Service {
    fn note<T: std::fmt::Debug>(&self, request: &Request<T>) {
        let mut asked = self.0.asked.lock().unwrap();
        asked.push(format!("{:?}", request.get_ref()));
    }
}

#[tonic::async_trait]
impl OperatorService for Service {
    type CreateCheckStream = Out<pb::CheckEvent>;
    type GetEvidenceStream = Out<pb::EvidencePart>;

    async fn create_check(
        &self,
        request: Request<pb::CreateCheckRequest>,
    ) -> Result<Response<Self::CreateCheckStream>, Status> {
        self.note(&request);
        let mut events = self.0.events(request.get_ref().view.as_ref().unwrap());
        if self.0.ending == Ending::Silence {
            events.pop();
            let rest = tokio_stream::pending();
            let events = tokio_stream::StreamExt::chain(tokio_stream::iter(events), rest);
            return Ok(Response::new(Box::pin(events)));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(events))))
    }

    async fn get_evidence(
        &self,
        request: Request<pb::GetEvidenceRequest>,
    ) -> Result<Response<Self::GetEvidenceStream>, Status> {
        self.note(&request);
        if request.get_ref().check != CHECK.as_slice() {
            return Err(Status::not_found("there is no such check"));
        }
        let mut parts: Vec<_> = self.0.parts().into_iter().map(Ok).collect();
        if self.0.ending == Ending::Unavailable {
            parts.truncate(2);
            parts.push(Err(Status::unavailable("the store is closing")));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(parts))))
    }

    async fn list_checks(
        &self,
        request: Request<pb::ListChecksRequest>,
    ) -> Result<Response<pb::ListChecksResponse>, Status> {
        self.note(&request);
        let check = pb::CheckSummary {
            check: CHECK.to_vec().into(),
            zone: self.0.scenario.check.zone.to_wire().into(),
            created_us: 1_790_000_000_000_000,
            operator: "alice".to_owned(),
            state: "CONSISTENT".to_owned(),
            exit_code: 0,
            headline: "nothing is wrong".to_owned(),
            asked: 6,
            reported: 6,
            revised: false,
        };
        Ok(Response::new(pb::ListChecksResponse {
            checks: vec![check],
        }))
    }

    async fn create_watch(
        &self,
        request: Request<pb::CreateWatchRequest>,
    ) -> Result<Response<pb::CreateWatchResponse>, Status> {
        self.note(&request);
        Ok(Response::new(pb::CreateWatchResponse {
            watch: Some(self.0.watch()),
            left_out: Vec::new(),
        }))
    }

    async fn list_watches(
        &self,
        request: Request<pb::ListWatchesRequest>,
    ) -> Result<Response<pb::ListWatchesResponse>, Status> {
        self.note(&request);
        Ok(Response::new(pb::ListWatchesResponse {
            watches: vec![self.0.watch()],
        }))
    }

    async fn remove_watch(
        &self,
        request: Request<pb::RemoveWatchRequest>,
    ) -> Result<Response<pb::Watch>, Status> {
        self.note(&request);
        Ok(Response::new(self.0.watch()))
    }

    async fn list_agents(
        &self,
        request: Request<pb::ListAgentsRequest>,
    ) -> Result<Response<pb::ListAgentsResponse>, Status> {
        self.note(&request);
        let agents = ["fra-1", "nyc-1"].map(|name| self.0.agent(name)).to_vec();
        Ok(Response::new(pb::ListAgentsResponse { agents }))
    }

    async fn get_agent(
        &self,
        request: Request<pb::GetAgentRequest>,
    ) -> Result<Response<pb::Agent>, Status> {
        self.note(&request);
        match request.get_ref().name.as_str() {
            "nobody" => Err(Status::not_found("there is no agent nobody")),
            name => Ok(Response::new(self.0.agent(name))),
        }
    }

    async fn invite_agent(
        &self,
        request: Request<pb::InviteAgentRequest>,
    ) -> Result<Response<pb::Invitation>, Status> {
        self.note(&request);
        Ok(Response::new(invitation()))
    }

    async fn approve_agent(
        &self,
        request: Request<pb::ApproveAgentRequest>,
    ) -> Result<Response<pb::Agent>, Status> {
        self.note(&request);
        Ok(Response::new(self.0.agent(&request.get_ref().name)))
    }

    async fn ban_agent(
        &self,
        request: Request<pb::BanAgentRequest>,
    ) -> Result<Response<pb::Agent>, Status> {
        self.note(&request);
        Ok(Response::new(pb::Agent {
            state: "banned".to_owned(),
            banned_us: 1_790_000_100_000_000,
            ..self.0.agent(&request.get_ref().name)
        }))
    }

    async fn invite_operator(
        &self,
        request: Request<pb::InviteOperatorRequest>,
    ) -> Result<Response<pb::Invitation>, Status> {
        self.note(&request);
        Ok(Response::new(invitation()))
    }

    async fn get_status(
        &self,
        request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::Status>, Status> {
        self.note(&request);
        Ok(Response::new(pb::Status {
            build: "bailiwick-coordinator 0.1.0".to_owned(),
            trust_domain: "bailiwick.internal".to_owned(),
            started_us: 1_790_000_000_000_000,
            durability: "local".to_owned(),
            agents: 3,
            connected: 2,
            notes: vec!["two agents share a network".to_owned()],
            ..pb::Status::default()
        }))
    }
}

fn invitation() -> pb::Invitation {
    pb::Invitation {
        join: "bw1.aaaa.bbbb.cccc.dddd.eeee".to_owned(),
        until_us: 1_790_003_600_000_000,
    }
}

/// Waits until something is so, at most a few seconds.
pub fn until(mut so: impl FnMut() -> bool) {
    for _ in 0..500 {
        if so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it never was so");
}
