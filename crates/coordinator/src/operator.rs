//! What operators ask.
//!
//! Every call that changes something is noted with who called, in the transaction of the change.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bailiwick_core::{
    check::{Check, CheckId},
    place::Place,
    vantage::VantageId,
};
use bailiwick_rpc::{
    Caller, Invitation, Name,
    access::{Role, Standing, Standings as _},
    agent::{Once, PlanItem, plan_item},
    operator::{self, operator_service_server::OperatorService},
};
use bailiwick_store::{
    Agent, AgentState, Audit, CheckRecord, Error, NewCheck, NewToken, Scope, Watch, WatchId,
};
use bailiwick_wire::{evidence, proto::report::v1 as pb, report};
use prost::Message;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    Shared,
    choosing::Chosen,
    clock,
    networks::Network,
    roster::Roster,
    rounds::{Event, GRACE, Round, round_of},
    watches::Refused,
};

/// Vantage points of a check that names no number, and the most for an operator and for an
/// administrator (limit B13).
const AGENTS: usize = 8;
const MOST_OF_OPERATOR: usize = 50;
const MOST_OF_ADMIN: usize = 500;
/// The longest that a check may take (limit B8).
const LONGEST: Duration = Duration::from_secs(45);
/// How long a token may be good.
const LONGEST_TOKEN: Duration = Duration::from_hours(7 * 24);
const USUAL_TOKEN: Duration = Duration::from_hours(1);
/// Labels of an agent, octets of each, and octets of a reason.
const LABELS: usize = 32;
const TEXT: usize = 1024;
/// Checks in a list.
const LISTED: usize = 50;
const MOST_LISTED: usize = 10_000;
/// How long before its end an authority is spoken of that was not renewed.
const AUTHORITY_ENDS: Duration = Duration::from_hours(60 * 24);
/// Parts of evidence that wait for whoever reads it.
const WAITING: usize = 64;

/// The service of operators.
#[derive(Clone, Debug)]
pub(crate) struct Operators(pub(crate) Arc<Shared>);

type Out<T> = Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl OperatorService for Operators {
    type CreateCheckStream = Out<operator::CheckEvent>;
    type GetEvidenceStream = Out<operator::EvidencePart>;

    async fn create_check(
        &self,
        request: Request<operator::CreateCheckRequest>,
    ) -> Result<Response<Self::CreateCheckStream>, Status> {
        let audit = self.audit(&request, "CreateCheck")?;
        let most = match self.role(&request)? {
            Role::Admin => MOST_OF_ADMIN,
            Role::Operator | Role::Viewer => MOST_OF_OPERATOR,
        };
        self.0.quota.take(&audit.who)?;
        let message = request.into_inner();
        let check = self.0.wanted(message.check.as_ref())?;
        let view = message.view.unwrap_or_default();
        if !bailiwick_render::FORMATS
            .iter()
            .any(|f| f.name == view.format)
        {
            return Err(invalid(format!("there is no format {:?}", view.format)));
        }
        let wanted = at_most(message.agents, most)?;
        let chosen = self.0.choose(&message.labels, wanted)?;
        let (round, events) = self.0.start(check, &chosen, audit).await?;
        Ok(Response::new(self.0.follow(&round, events, chosen, view)))
    }

    async fn create_watch(
        &self,
        request: Request<operator::CreateWatchRequest>,
    ) -> Result<Response<operator::CreateWatchResponse>, Status> {
        let audit = self.audit(&request, "CreateWatch")?;
        self.0.quota.take(&audit.who)?;
        let message = request.into_inner();
        let check = self.0.wanted(message.check.as_ref())?;
        let interval = u64::try_from(message.interval_ns).map_err(invalid)?;
        let interval = Duration::from_nanos(interval);
        let wanted = at_most(message.agents, MOST_OF_OPERATOR)?;
        let chosen = self.0.choose(&message.labels, wanted)?;
        let made = self.0.watch(check, interval, &chosen, audit).await;
        let watch = made.map_err(|refused| match refused {
            Refused::Store(error) => status(error),
            Refused::Status(status) => status,
        })?;
        Ok(Response::new(operator::CreateWatchResponse {
            watch: Some(to_watch(watch)),
            left_out: chosen.left_out,
        }))
    }

    async fn list_watches(
        &self,
        _: Request<operator::ListWatchesRequest>,
    ) -> Result<Response<operator::ListWatchesResponse>, Status> {
        let watches = self.0.store.watches().await.map_err(status)?;
        Ok(Response::new(operator::ListWatchesResponse {
            watches: watches.into_iter().map(to_watch).collect(),
        }))
    }

    async fn remove_watch(
        &self,
        request: Request<operator::RemoveWatchRequest>,
    ) -> Result<Response<operator::Watch>, Status> {
        let id = <[u8; 16]>::try_from(request.get_ref().watch.as_ref());
        let id = id.map_err(|_| invalid("a watch is named by 16 octets"))?;
        let id = WatchId(u128::from_be_bytes(id));
        let audit = self.audit(&request, &format!("RemoveWatch {:032x}", id.0))?;
        let watch = self.0.unwatch(id, &audit).await.map_err(status)?;
        Ok(Response::new(to_watch(watch)))
    }

    async fn list_checks(
        &self,
        request: Request<operator::ListChecksRequest>,
    ) -> Result<Response<operator::ListChecksResponse>, Status> {
        let message = request.get_ref();
        let zone = (!message.zone.is_empty()).then_some(&message.zone[..]);
        let limit = match message.limit as usize {
            0 => LISTED,
            limit => limit.min(MOST_LISTED),
        };
        let checks = self.0.store.checks(zone, limit).await.map_err(status)?;
        let checks = checks.into_iter().map(|check| {
            let outcome = check.outcome;
            operator::CheckSummary {
                check: check.id.0.to_be_bytes().to_vec().into(),
                zone: check.zone,
                created_us: check.created.0,
                operator: check.operator,
                exit_code: outcome.as_ref().map_or(0, |o| o.exit_code.into()),
                state: outcome
                    .as_ref()
                    .map(|o| o.state.clone())
                    .unwrap_or_default(),
                headline: outcome.map(|o| o.headline).unwrap_or_default(),
                asked: number(check.asked),
                reported: number(check.reported),
                revised: check.revisions > 0,
            }
        });
        Ok(Response::new(operator::ListChecksResponse {
            checks: checks.collect(),
        }))
    }

    async fn get_evidence(
        &self,
        request: Request<operator::GetEvidenceRequest>,
    ) -> Result<Response<Self::GetEvidenceStream>, Status> {
        let id = <[u8; 16]>::try_from(request.get_ref().check.as_ref());
        let id = id.map_err(|_| invalid("a check is named by 16 octets"))?;
        let id = CheckId(u128::from_be_bytes(id));
        let record = self.0.store.check(id).await.map_err(status)?;
        let record = record.ok_or_else(|| Status::not_found("there is no such check"))?;
        if self.0.is_forgotten(record.created) {
            let why = "its reports are too old and were forgotten; its verdict is in the history";
            return Err(Status::not_found(why));
        }
        let (to, from) = mpsc::channel(WAITING);
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            if let Err(error) = shared.tell(&record, &to).await {
                let _ = to.send(Err(error)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(from))))
    }

    async fn list_agents(
        &self,
        _: Request<operator::ListAgentsRequest>,
    ) -> Result<Response<operator::ListAgentsResponse>, Status> {
        self.0.roster.refresh().await.map_err(status)?;
        let agents = self.0.roster.agents();
        Ok(Response::new(operator::ListAgentsResponse {
            agents: agents.iter().map(|agent| self.0.describe(agent)).collect(),
        }))
    }

    async fn get_agent(
        &self,
        request: Request<operator::GetAgentRequest>,
    ) -> Result<Response<operator::Agent>, Status> {
        self.described(&request.get_ref().name).await
    }

    async fn invite_agent(
        &self,
        request: Request<operator::InviteAgentRequest>,
    ) -> Result<Response<operator::Invitation>, Status> {
        let audit = self.audit(&request, &format!("InviteAgent {}", request.get_ref().name))?;
        let message = request.into_inner();
        let name = named(&message.name)?;
        if message.labels.len() > LABELS || message.labels.iter().any(|l| l.len() > TEXT) {
            return Err(invalid(format!("at most {LABELS} labels of {TEXT} octets")));
        }
        Place::of_labels(message.labels.iter().map(String::as_str)).map_err(invalid)?;
        if !message.from.is_empty() {
            message.from.parse::<Network>().map_err(invalid)?;
        }
        let scope = Scope::Agent {
            name: VantageId(name.to_string()),
            labels: message.labels.into_iter().collect(),
            from: (!message.from.is_empty()).then_some(message.from),
            approve: message.approve,
        };
        self.invite(scope, message.valid_for_ns, audit).await
    }

    async fn approve_agent(
        &self,
        request: Request<operator::ApproveAgentRequest>,
    ) -> Result<Response<operator::Agent>, Status> {
        let name = request.get_ref().name.clone();
        let audit = self.audit(&request, &format!("ApproveAgent {name}"))?;
        let id = VantageId(name.clone());
        let agent = self.0.store.agent(&id).await.map_err(status)?;
        match agent.map(|agent| agent.state) {
            None => return Err(no_agent(&name)),
            Some(AgentState::Pending | AgentState::Active) => {}
            Some(AgentState::Banned { .. }) => {
                let why = "it is banned; invite it again to let it in";
                return Err(Status::failed_precondition(why));
            }
        }
        let set = self
            .0
            .store
            .set_agent_state(&id, &AgentState::Active, &audit);
        set.await.map_err(status)?;
        self.described(&name).await
    }

    async fn ban_agent(
        &self,
        request: Request<operator::BanAgentRequest>,
    ) -> Result<Response<operator::Agent>, Status> {
        let message = request.get_ref().clone();
        let audit = self.audit(&request, &format!("BanAgent {}", message.name))?;
        let state = AgentState::Banned {
            since: clock::now(),
            reason: message.reason.chars().take(TEXT).collect(),
        };
        let id = VantageId(message.name.clone());
        let set = self.0.store.set_agent_state(&id, &state, &audit);
        set.await.map_err(status)?;
        self.described(&message.name).await
    }

    async fn invite_operator(
        &self,
        request: Request<operator::InviteOperatorRequest>,
    ) -> Result<Response<operator::Invitation>, Status> {
        let what = format!("InviteOperator {}", request.get_ref().name);
        let audit = self.audit(&request, &what)?;
        let message = request.into_inner();
        let role = bailiwick_store::Role::named(&message.role);
        if self.0.operators.is_none() {
            let why = "operators from elsewhere are not let in: write operators = \"[::]:8444\" \
                       into coordinator.toml and start bailiwick-coordinator again";
            return Err(Status::failed_precondition(why));
        }
        let scope = Scope::Operator {
            name: named(&message.name)?.to_string(),
            role: role.ok_or_else(|| invalid("a role is viewer, operator or admin"))?,
        };
        self.invite(scope, message.valid_for_ns, audit).await
    }

    async fn get_status(
        &self,
        _: Request<operator::GetStatusRequest>,
    ) -> Result<Response<operator::Status>, Status> {
        let shared = &self.0;
        let usage = shared.store.usage().await.map_err(status)?;
        let mut notes = Vec::new();
        let agents = shared.roster.agents();
        let forgetful = agents.iter().filter(|agent| {
            let seen = agent.seen.as_ref();
            seen.is_some_and(|seen| !seen.durable) && shared.sessions.is_connected(&agent.name)
        });
        for agent in forgetful {
            notes.push(format!("{} keeps reports in memory only", agent.name.0));
        }
        let pending = agents.iter().filter(|a| a.state == AgentState::Pending);
        for agent in pending {
            notes.push(format!("{} waits to be approved", agent.name.0));
        }
        let again = match shared.revisions.waiting() {
            0 => None,
            1 => Some("one check waits to be judged again".to_owned()),
            more => Some(format!("{more} checks wait to be judged again")),
        };
        notes.extend(again);
        let ends = clock::of(shared.authority.issuing_ends());
        if ends < clock::now().after(AUTHORITY_ENDS) {
            notes.push(format!(
                "the issuing authority ends {ends}, and then no agent gets in: start the \
                 coordinator again, with root.key in its folder"
            ));
        }
        let left_out = match shared.quarantine.count() {
            0 => None,
            1 => Some("one report is left out".to_owned()),
            more => Some(format!("{more} reports are left out")),
        };
        notes.extend(left_out.map(|these| {
            format!("{these}, because a rule failed on it, which is a bug; the log says more")
        }));
        if usage.free == 0 {
            notes.push("the disk is nearly full: reports are refused".to_owned());
        }
        Ok(Response::new(operator::Status {
            build: concat!("bailiwick-coordinator ", env!("CARGO_PKG_VERSION")).to_owned(),
            started_us: shared.started.0,
            durability: "local".to_owned(),
            agents: usage.agents,
            connected: shared.sessions.count() as u64,
            reports: usage.reports,
            checks: usage.checks,
            open_checks: usage.open_checks,
            store_octets: usage.octets,
            store_free: usage.free,
            notes,
            trust_domain: shared.authority.trust_domain().to_string(),
        }))
    }
}

impl Operators {
    /// Says who called what, for the change that follows.
    fn audit<T: Message>(&self, request: &Request<T>, what: &str) -> Result<Audit, Status> {
        let caller = Caller::of(request)?;
        Ok(Audit {
            at: clock::now(),
            who: Roster::who(&caller.peer),
            what: what.to_owned(),
            request: report::hash(&request.get_ref().encode_to_vec()),
            result: "done".to_owned(),
        })
    }

    fn role<T>(&self, request: &Request<T>) -> Result<Role, Status> {
        match self.0.roster.standing(&Caller::of(request)?.peer) {
            Standing::Operator(role) => Ok(role),
            _ => Err(Status::permission_denied("not an operator")),
        }
    }

    async fn described(&self, name: &str) -> Result<Response<operator::Agent>, Status> {
        self.0.roster.refresh().await.map_err(status)?;
        let agent = self.0.roster.agent(&VantageId(name.to_owned()));
        let agent = agent.ok_or_else(|| no_agent(name))?;
        Ok(Response::new(self.0.describe(&agent)))
    }

    /// Makes a token. Its secret is in the answer and nowhere else.
    async fn invite(
        &self,
        scope: Scope,
        valid_for_ns: i64,
        audit: Audit,
    ) -> Result<Response<operator::Invitation>, Status> {
        let shared = &self.0;
        let valid = match u64::try_from(valid_for_ns) {
            Ok(0) => USUAL_TOKEN,
            Ok(nanoseconds) => Duration::from_nanos(nanoseconds),
            Err(_) => return Err(invalid("an invitation cannot have ended")),
        };
        if valid > LONGEST_TOKEN {
            return Err(invalid("an invitation is good for at most 7 days"));
        }
        let authority = &shared.authority;
        let domain = authority.trust_domain().clone();
        let hosts = shared.public();
        if hosts.is_empty() {
            let why = "where agents find this coordinator is not known: write public = \
                       [\"HOST:PORT\"] into coordinator.toml and start bailiwick-coordinator again";
            return Err(Status::failed_precondition(why));
        }
        let invitation = Invitation::new(domain, hosts, authority.pin())
            .map_err(|error| Status::internal(error.to_string()))?;
        let token = NewToken {
            id: bailiwick_store::TokenId(invitation.token.0),
            mac: shared.token_key.mac(&invitation.token, &invitation.secret),
            scope,
            created: audit.at,
            expires: audit.at.after(valid),
        };
        shared
            .store
            .create_token(&token, &audit)
            .await
            .map_err(status)?;
        Ok(Response::new(operator::Invitation {
            join: invitation.to_join().to_string(),
            until_us: token.expires.0,
        }))
    }
}

impl Shared {
    /// Reads what somebody wants to know, as far as it may be asked.
    fn wanted(&self, check: Option<&pb::Check>) -> Result<Check, Status> {
        let wanted = check.ok_or_else(|| invalid("check is missing"))?;
        let mut check = report::check(wanted).map_err(invalid)?;
        check.timeout = check.timeout.min(LONGEST);
        check.lab &= self.lab;
        Ok(check)
    }

    /// Writes the check down, and into the plans of those that are asked.
    async fn start(
        self: &Arc<Self>,
        check: Check,
        chosen: &Chosen,
        audit: Audit,
    ) -> Result<(Arc<Round>, broadcast::Receiver<Event>), Status> {
        let asked: BTreeSet<_> = chosen.agents.keys().cloned().collect();
        let sent = report::to_check(&check);
        let item = PlanItem {
            id: check.id.0.to_be_bytes().to_vec().into(),
            check: Some(sent.clone()),
            when: Some(plan_item::When::Once(Once {
                round: round_of(check.id).0,
            })),
            valid_for_ns: 0,
        };
        let zone = sent.zone.clone();
        let new = NewCheck {
            id: check.id,
            zone,
            check: sent.encode_to_vec().into(),
            operator: audit.who.clone(),
            created: audit.at,
            deadline: audit.at.after(check.timeout + GRACE),
            asked: asked.clone(),
            item: item.encode_to_vec().into(),
        };
        let until = Instant::now() + check.timeout + GRACE;
        // Before the plans say so: a report may be here before this call has ended.
        let round = self.rounds.begin(check, asked);
        let round = round.ok_or_else(|| status(Error::Exists { what: "check" }))?;
        // A round can be over before whoever asked follows it.
        let events = round.watch();
        let (shared, begun) = (Arc::clone(self), Arc::clone(&round));
        // Whoever asked may hang up at any moment, and then this call ends where it is. A check
        // that is in the store must have somebody who brings it to its end.
        let starting = tokio::spawn(async move {
            if let Err(error) = shared.store.create_check(&new, &audit).await {
                shared.rounds.forget(new.id);
                return Err(status(error));
            }
            shared.sessions.plan_changed(&begun.asked);
            tokio::spawn(shared.hold(begun, until));
            Ok(())
        });
        let started = starting.await;
        started.map_err(|error| Status::internal(error.to_string()))??;
        Ok((round, events))
    }

    /// Everything that a verdict was computed from.
    async fn tell(
        &self,
        record: &CheckRecord,
        to: &mpsc::Sender<Result<operator::EvidencePart, Status>>,
    ) -> Result<(), Status> {
        let judged = record.judgement.as_ref();
        let judged =
            judged.ok_or_else(|| Status::failed_precondition("the round is still open"))?;
        let mut head = operator::EvidencePart::decode(judged.places.clone())
            .map_err(|error| Status::data_loss(error.to_string()))?;
        if let Some(operator::evidence_part::Kind::Head(head)) = &mut head.kind {
            head.verdict = judged.verdict.clone();
        }
        let gone = |_| Status::cancelled("nobody listens");
        to.send(Ok(head)).await.map_err(gone)?;
        let mut after = None;
        loop {
            let kept = self.store.evidence(record.id, after.as_ref(), 16).await;
            let kept = kept.map_err(status)?;
            let Some(last) = kept.last() else {
                return Ok(());
            };
            after = Some(last.id.clone());
            for kept in kept {
                let envelope = pb::ReportEnvelope {
                    id: Some(pb::ReportId {
                        lane: report::to_lane(kept.id.report.lane),
                        epoch: kept.id.report.epoch,
                        seq: kept.id.report.seq,
                    }),
                    body: kept.body,
                    body_hash: kept.hash.to_vec().into(),
                    answers: kept.answers,
                };
                let part = evidence::to_report(&kept.id.agent, kept.received, envelope);
                to.send(Ok(part)).await.map_err(gone)?;
            }
        }
    }

    fn describe(&self, agent: &Agent) -> operator::Agent {
        let place = self.place(agent);
        let state = if self.clones.is_suspect(&agent.name) {
            "suspect-clone".to_owned()
        } else if self.sessions.is_quarantined(&agent.name) {
            "quarantined".to_owned()
        } else {
            agent.state.to_string()
        };
        let seen = agent.seen.as_ref();
        operator::Agent {
            name: agent.name.0.clone(),
            state,
            place: Some(evidence::to_place(&agent.name, &place)),
            connected: self.sessions.is_connected(&agent.name),
            enrolled_us: agent.enrolled.0,
            last_seen_us: seen.map_or(0, |seen| seen.at.0),
            build: seen.map(|seen| seen.build.clone()).unwrap_or_default(),
            reports: agent.reports,
            certificate_until_us: agent.current.map_or(0, |c| c.until.0),
            banned_us: match &agent.state {
                AgentState::Banned { since, .. } => since.0,
                AgentState::Pending | AgentState::Active => 0,
            },
            key: agent.key.0.to_vec().into(),
            clock_offset_ns: seen.map_or(0, |seen| seen.clock_offset),
            durable: seen.is_some_and(|seen| seen.durable),
        }
    }
}

/// How many vantage points are asked if somebody wants so many.
fn at_most(wanted: u32, most: usize) -> Result<usize, Status> {
    match wanted as usize {
        0 => Ok(AGENTS),
        number if number <= most => Ok(number),
        number => {
            let why = format!("{number} vantage points; at most {most} may be asked at once");
            Err(invalid(why))
        }
    }
}

fn to_watch(watch: Watch) -> operator::Watch {
    operator::Watch {
        watch: watch.id.0.to_be_bytes().to_vec().into(),
        zone: watch.zone,
        interval_ns: i64::try_from(watch.interval.as_nanos()).unwrap_or(i64::MAX),
        operator: watch.operator,
        created_us: watch.created.0,
        vantages: watch.asked.into_iter().map(|name| name.0).collect(),
        until_us: watch.not_after.0,
    }
}

fn named(name: &str) -> Result<Name, Status> {
    name.parse().map_err(invalid)
}

fn invalid(why: impl ToString) -> Status {
    Status::invalid_argument(why.to_string())
}

fn no_agent(name: &str) -> Status {
    Status::not_found(format!("there is no agent {name}"))
}

fn number(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What a failure of the store means to whoever asked.
fn status(error: Error) -> Status {
    let said = error.to_string();
    match error {
        Error::Busy | Error::Closed => Status::unavailable(said),
        Error::Full { .. } => Status::resource_exhausted(said),
        Error::Storage { .. } => {
            tracing::error!(said, "the store failed");
            Status::internal("the store failed; the coordinator's log says more")
        }
        Error::NoSuchAgent { .. }
        | Error::NoSuchOperator { .. }
        | Error::NoSuchCheck { .. }
        | Error::NoSuchWatch { .. } => Status::not_found(said),
        Error::Exists { .. } => Status::already_exists(said),
        Error::Banned { .. } | Error::Refused(_) => Status::permission_denied(said),
        Error::CheckClosed { .. } | Error::CheckOpen { .. } => Status::failed_precondition(said),
        Error::Invalid { .. } => Status::invalid_argument(said),
    }
}
