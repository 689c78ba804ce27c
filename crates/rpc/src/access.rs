//! Who may call what. A call that has no row is refused.
//!
//! The rows say which standing a call needs; [`Standings`] says which standing a peer has at this
//! moment. That is asked for every call, because a certificate that was good this morning says
//! nothing about a ban since. Inside a stream, [`Access::check`] asks again.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use tonic::{Status, body::Body};
use tower::{Layer, Service};

use crate::{
    identity::{Caller, Certified, Peer},
    limited::Guest,
};

/// Who may make a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Who {
    /// Whoever can connect.
    Anyone,
    /// Who has no certificate: the call itself shows who it is. Anyone may, it changes nothing for
    /// members.
    Newcomer,
    /// Who has no certificate, or an agent: the call itself shows the key.
    KeyHolder,
    /// An agent.
    Agent,
    /// An operator with this role or a higher one.
    Operator(Role),
}

/// What an operator may do. Each role has the rights of those before.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Starts checks.
    Operator,
    /// Decides who takes part.
    Admin,
}

/// A call and who may make it.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// Who may call it.
    pub who: Who,
}

const fn rule(path: &'static str, who: Who) -> Rule {
    Rule { path, who }
}

/// Every call that is served.
pub const RULES: &[Rule] = &[
    rule("/bailiwick.agent.v1.EnrolmentService/Enroll", Who::Newcomer),
    rule("/bailiwick.agent.v1.EnrolmentService/Renew", Who::KeyHolder),
    rule("/bailiwick.agent.v1.AgentService/Session", Who::Agent),
    rule(
        "/bailiwick.operator.v1.OperatorService/CreateCheck",
        OPERATOR,
    ),
    rule("/bailiwick.operator.v1.OperatorService/ListChecks", VIEWER),
    rule("/bailiwick.operator.v1.OperatorService/GetEvidence", VIEWER),
    rule(
        "/bailiwick.operator.v1.OperatorService/CreateWatch",
        OPERATOR,
    ),
    rule("/bailiwick.operator.v1.OperatorService/ListWatches", VIEWER),
    rule(
        "/bailiwick.operator.v1.OperatorService/RemoveWatch",
        OPERATOR,
    ),
    rule("/bailiwick.operator.v1.OperatorService/ListAgents", VIEWER),
    rule("/bailiwick.operator.v1.OperatorService/GetAgent", VIEWER),
    rule("/bailiwick.operator.v1.OperatorService/InviteAgent", ADMIN),
    rule("/bailiwick.operator.v1.OperatorService/ApproveAgent", ADMIN),
    rule("/bailiwick.operator.v1.OperatorService/BanAgent", ADMIN),
    rule(
        "/bailiwick.operator.v1.OperatorService/InviteOperator",
        ADMIN,
    ),
    rule("/bailiwick.operator.v1.OperatorService/GetStatus", VIEWER),
    rule("/grpc.health.v1.Health/Check", Who::Anyone),
    rule(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        VIEWER,
    ),
];

const VIEWER: Who = Who::Operator(Role::Viewer);
const OPERATOR: Who = Who::Operator(Role::Operator);
const ADMIN: Who = Who::Operator(Role::Admin);

/// What a peer counts as at this moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Nobody knows it, or not with this key and serial number.
    Unknown,
    /// Known, and banned.
    Banned,
    /// An agent in good standing.
    Agent,
    /// An operator.
    Operator(Role),
}

/// Who knows the standing of peers: the coordinator.
pub trait Standings: Send + Sync + 'static {
    /// Returns what a peer counts as now. It is called for each call and must not wait.
    fn standing(&self, peer: &Peer) -> Standing;
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Who calls is not known.
    #[error("who calls is not known here")]
    Unknown,
    /// Who calls is known and may not.
    #[error("who calls may not do this")]
    NoRight,
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => Status::unauthenticated(refusal.to_string()),
            Refusal::NoRight => Status::permission_denied(refusal.to_string()),
        }
    }
}

/// Decides one call.
///
/// # Errors
///
/// Returns why the call is refused.
pub fn decide(path: &str, peer: &Peer, standing: Standing) -> Result<(), Refusal> {
    let who = RULES.iter().find(|rule| rule.path == path).map(|r| r.who);
    let nobody = *peer == Peer::Nobody;
    let may = match who {
        Some(Who::Anyone) => true,
        Some(Who::Newcomer) => nobody,
        Some(Who::KeyHolder) => nobody || standing == Standing::Agent,
        Some(Who::Agent) => standing == Standing::Agent,
        Some(Who::Operator(least)) => {
            matches!(standing, Standing::Operator(role) if role >= least)
        }
        None => false,
    };
    match may {
        true => Ok(()),
        false if nobody || standing == Standing::Unknown => Err(Refusal::Unknown),
        false => Err(Refusal::NoRight),
    }
}

/// Refuses calls before they reach a service.
#[derive(Clone)]
pub struct Access {
    standings: Arc<dyn Standings>,
}

impl Access {
    /// Asks `standings` about each call.
    pub fn new(standings: Arc<dyn Standings>) -> Self {
        Self { standings }
    }

    /// Whether a caller may still do what a call does. For streams: before each message counts.
    ///
    /// # Errors
    ///
    /// Returns why not.
    pub fn check(&self, path: &str, caller: &Caller) -> Result<(), Refusal> {
        let ended = |certified: &Certified| certified.not_after < SystemTime::now();
        let standing = match &caller.peer {
            Peer::Nobody => Standing::Unknown,
            peer if peer.certificate().is_some_and(ended) => Standing::Unknown,
            peer => self.standings.standing(peer),
        };
        decide(path, &caller.peer, standing)
    }
}

impl<S> Layer<S> for Access {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            access: self.clone(),
            inner,
        }
    }
}

/// A service behind [`Access`].
#[derive(Clone)]
pub struct Guarded<S> {
    access: Access,
    inner: S,
}

impl<S> Service<http::Request<Body>> for Guarded<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let decided = match request.extensions_mut().remove::<Guest>() {
            None => Err(Refusal::Unknown.into()),
            Some(guest) if !guest.pace.call() => Err(Status::resource_exhausted("too many calls")),
            Some(Guest {
                caller, hang_up, ..
            }) => {
                let checked = self.access.check(request.uri().path(), &caller);
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(hang_up);
                checked.map_err(Status::from)
            }
        };
        match decided {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(status) => Box::pin(async move { Ok(status.into_http()) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{identity::Serial, key::KeyHash};

    /// Knows everybody as an agent.
    struct Trusting;

    impl Standings for Trusting {
        fn standing(&self, _: &Peer) -> Standing {
            Standing::Agent
        }
    }

    #[test]
    fn a_certificate_that_ended_counts_for_nothing_inside_a_connection_either() {
        let caller = |not_after| Caller {
            peer: Peer::Agent(Certified {
                name: "a".parse().unwrap(),
                key: KeyHash([0; 32]),
                serial: Serial([0; 16]),
                not_after,
            }),
            source: None,
            exporter: None,
        };
        let access = Access::new(Arc::new(Trusting));
        let check = |not_after| {
            let session = "/bailiwick.agent.v1.AgentService/Session";
            access.check(session, &caller(not_after))
        };
        let (now, minute) = (SystemTime::now(), Duration::from_secs(60));
        assert_eq!(check(now + minute), Ok(()));
        assert_eq!(check(now - minute), Err(Refusal::Unknown));
    }
}
