//! How a key becomes a member, and how a member gets the certificate of the next day.
//!
//! Whoever fails learns one thing only: that it was refused. Why is in the log.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use bailiwick_core::vantage::VantageId;
use bailiwick_rpc::{
    Caller, Kind, Name, Proof, PublicKey, Purpose, Secret, TokenId,
    agent::{EnrollRequest, Identity, RenewRequest, enrolment_service_server::EnrolmentService},
};
use bailiwick_store::{AgentState, Certificate, KeyHash, Redemption, Scope, Serial};
use tonic::{Request, Response, Status};

use crate::{Shared, clock, networks::Network};

/// How long after its last certificate a key may still ask for another.
const REAUTHENTICATION: Duration = Duration::from_hours(30 * 24);

/// The service for whoever has no certificate that is valid.
#[derive(Clone, Debug)]
pub(crate) struct Enrolment(pub(crate) Arc<Shared>);

#[tonic::async_trait]
impl EnrolmentService for Enrolment {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<Identity>, Status> {
        let source = source(&request)?;
        let message = request.get_ref();
        let token: TokenId = message.token_id.parse().map_err(|_| no_invitation())?;
        self.may(source, Some(&token))
            .map_err(|_| no_invitation())?;
        let enrolled = self.redeem(&request, token, source).await;
        if let Err(why) = &enrolled {
            self.failed(source, Some(&token));
            tracing::warn!(%source, %token, %why, "enrolment refused");
        }
        enrolled.map(Response::new).map_err(|_| no_invitation())
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<Identity>, Status> {
        let source = source(&request)?;
        self.may(source, None)?;
        let renewed = self.give_another(&request).await;
        if let Err(why) = &renewed {
            self.failed(source, None);
            tracing::warn!(%source, %why, "renewal refused");
        }
        renewed.map(Response::new).map_err(|_| refused())
    }
}

/// Why somebody is refused, for the log.
type Why = String;

impl Enrolment {
    fn may(&self, source: SocketAddr, token: Option<&TokenId>) -> Result<(), Status> {
        let attempts = self
            .0
            .attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let may = attempts.may(source.ip(), token, Instant::now());
        may.then_some(()).ok_or_else(refused)
    }

    fn failed(&self, source: SocketAddr, token: Option<&TokenId>) {
        let mut attempts = self
            .0
            .attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        attempts.failed(source.ip(), token, Instant::now());
    }

    async fn redeem(
        &self,
        request: &Request<EnrollRequest>,
        token: TokenId,
        source: SocketAddr,
    ) -> Result<Identity, Why> {
        let shared = &self.0;
        let message = request.get_ref();
        let secret = Secret::from_octets(&message.secret).ok_or("not a secret")?;
        let key = self.proved(request, message.proof.as_ref(), Purpose::Enrol)?;
        let id = bailiwick_store::TokenId(token.0);
        let known = shared.store.token(id).await.map_err(|e| e.to_string())?;
        if let Some(Scope::Agent {
            from: Some(from), ..
        }) = known.map(|token| token.scope)
        {
            let network: Network = from.parse().map_err(|_| "the token names no network")?;
            if !network.contains(source.ip()) {
                return Err(format!("{source} is not in {from}"));
            }
        }
        let redemption = Redemption {
            token: id,
            mac: shared.token_key.mac(&token, &secret),
            key: KeyHash(key.hash().0),
            at: clock::now(),
        };
        let redeemed = shared.store.redeem(&redemption).await;
        let redeemed = redeemed.map_err(|error| error.to_string())?;
        let (identity, looked) = match redeemed.scope {
            Scope::Agent { name, .. } => {
                let identity = self.agent(&name, &key).await?;
                (identity, shared.roster.look_at(&name).await)
            }
            Scope::Operator { name, .. } => {
                let identity = self.identity(Kind::Operator, &name, &key)?.0;
                (identity, shared.roster.refresh().await)
            }
        };
        looked.map_err(|error| error.to_string())?;
        tracing::info!(name = identity.name, again = redeemed.again, "enrolled");
        Ok(identity)
    }

    async fn give_another(&self, request: &Request<RenewRequest>) -> Result<Identity, Why> {
        let shared = &self.0;
        let proof = request.get_ref().proof.as_ref();
        let key = self.proved(request, proof, Purpose::Renew)?;
        let hash = KeyHash(key.hash().0);
        let agent = shared.store.agent_by_key(hash).await;
        if let Some(agent) = agent.map_err(|e| e.to_string())? {
            if let AgentState::Banned { reason, .. } = agent.state {
                return Err(format!("{} is banned: {reason}", agent.name.0));
            }
            let last = [agent.current, agent.next].into_iter().flatten();
            let ended = last.map(|certificate| certificate.until).max();
            if ended.is_some_and(|ended| ended.after(REAUTHENTICATION) < clock::now()) {
                return Err(format!("{} was away too long", agent.name.0));
            }
            let identity = self.agent(&agent.name, &key).await?;
            let looked = shared.roster.look_at(&agent.name).await;
            looked.map_err(|error| error.to_string())?;
            return Ok(identity);
        }
        let operator = shared.store.operator_by_key(hash).await;
        let operator = operator.map_err(|e| e.to_string())?.ok_or("no such key")?;
        Ok(self.identity(Kind::Operator, &operator.name, &key)?.0)
    }

    /// Gives an agent a certificate, and remembers it first, so that none is out that nobody knows.
    async fn agent(&self, name: &VantageId, key: &PublicKey) -> Result<Identity, Why> {
        let (identity, certificate) = self.identity(Kind::Agent, &name.0, key)?;
        let kept = self.0.store.certificate_issued(name, &certificate).await;
        kept.map_err(|error| error.to_string())?;
        Ok(identity)
    }

    fn identity(
        &self,
        kind: Kind,
        name: &str,
        key: &PublicKey,
    ) -> Result<(Identity, Certificate), Why> {
        let name: Name = name
            .parse()
            .map_err(|_| "the name cannot be in a certificate")?;
        let now = SystemTime::now();
        let issued = self.0.authority.issue(kind, &name, key, now);
        let issued = issued.map_err(|error| error.to_string())?;
        let life = issued.not_after.duration_since(now).unwrap_or_default();
        let identity = Identity {
            certificates: issued.chain.iter().map(|c| c.to_vec().into()).collect(),
            name: name.to_string(),
            valid_for_ns: i64::try_from(life.as_nanos()).unwrap_or(i64::MAX),
            operators: match kind {
                Kind::Agent => Vec::new(),
                Kind::Operator => self.0.for_operators(),
            },
            authorities: self.0.authorities(),
        };
        let certificate = Certificate {
            serial: Serial(issued.serial.0),
            until: clock::of(issued.not_after),
        };
        Ok((identity, certificate))
    }

    fn proved<T>(
        &self,
        request: &Request<T>,
        proof: Option<&bailiwick_rpc::agent::Proof>,
        purpose: Purpose,
    ) -> Result<PublicKey, Why> {
        let caller = Caller::of(request).map_err(|status| status.message().to_owned())?;
        let exporter = caller.exporter.ok_or("not a TLS connection")?;
        Proof::verify(proof, purpose, self.0.authority.trust_domain(), &exporter)
            .map_err(|error| error.to_string())
    }
}

fn source<T>(request: &Request<T>) -> Result<SocketAddr, Status> {
    Caller::of(request)?.source.ok_or_else(refused)
}

/// The one answer to all that is not right with an invitation.
fn no_invitation() -> Status {
    Status::permission_denied(
        "this invitation cannot be used: it was used, has ended, is for another network, or there \
         were too many tries; the coordinator's log says which, and a new one is made there",
    )
}

/// The one answer to all that is not right otherwise.
fn refused() -> Status {
    Status::permission_denied("refused; the coordinator's log says why")
}
