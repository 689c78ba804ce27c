//! The smallest coordinator that can be called: every service, answered in a line or two, behind
//! the real listeners.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses a part, and one that cannot go on fails here"
)]

mod credentials;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use bailiwick_rpc::{
    AgentListener, Authority, Caller, Coordinator, Credentials, HostPort, Invitation, Kind, Name,
    OperatorListener, Peer, Proof, Purpose, Secret, ServerTls, TokenKey, Trust, TrustDomain,
    access::{Access, Role, Standing, Standings},
    agent::{
        self, EnrollRequest, FromAgent, Identity, RenewRequest, ToAgent, Welcome,
        agent_service_server::AgentService, enrolment_service_server::EnrolmentService, to_agent,
    },
    agent_routes,
    operator::{self, operator_service_server::OperatorService},
    operator_routes,
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

pub use credentials::credentials;

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the coordinator keeps.
pub struct Kept {
    pub authority: Authority,
    pub tokens: TokenKey,
    /// By token: what is stored of it, and the name that it gives.
    pub invited: Mutex<BTreeMap<String, ([u8; 32], Name)>>,
    /// By key.
    pub enrolled: Mutex<BTreeMap<[u8; 32], Name>>,
    pub standings: Mutex<BTreeMap<String, Standing>>,
    /// Secrets that came in.
    pub secrets: Mutex<Vec<Vec<u8>>>,
    /// Messages of agents that came in.
    pub heard: AtomicUsize,
}

pub struct Toy {
    pub kept: Arc<Kept>,
    pub tls: Arc<ServerTls>,
    pub agents: SocketAddr,
    pub operators: SocketAddr,
    stop: watch::Sender<bool>,
    serving: Vec<JoinHandle<()>>,
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

impl Toy {
    pub async fn start() -> Self {
        let authority = Authority::create(TrustDomain::default(), SystemTime::now()).unwrap();
        Self::start_with(authority, None).await
    }

    pub async fn start_with(authority: Authority, socket: Option<&Path>) -> Self {
        let tls = ServerTls::new(&authority.server(SystemTime::now()).unwrap()).unwrap();
        let kept = Arc::new(Kept {
            authority,
            tokens: TokenKey::generate().unwrap(),
            invited: Mutex::default(),
            enrolled: Mutex::default(),
            standings: Mutex::default(),
            secrets: Mutex::default(),
            heard: AtomicUsize::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let until = |mut stopped: watch::Receiver<bool>| async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let access = Access::new(Arc::clone(&kept) as _);
        let listener = AgentListener::bind(local(0), Arc::clone(&tls))
            .await
            .unwrap();
        let agents = listener.address();
        let routes = agent_routes(Service(Arc::clone(&kept)), Service(Arc::clone(&kept)));
        let serving = listener.serve(routes, access.clone(), until(stopped.clone()));
        let mut tasks = vec![tokio::spawn(async { serving.await.unwrap() })];
        let listener = OperatorListener::bind(local(0), Arc::clone(&tls))
            .await
            .unwrap();
        let operators = listener.address().unwrap();
        let mut listeners = vec![listener];
        if let Some(socket) = socket {
            listeners.push(OperatorListener::bind_local(socket, None).unwrap());
        }
        for listener in listeners {
            let routes = operator_routes(Service(Arc::clone(&kept)));
            let serving = listener.serve(routes, access.clone(), until(stopped.clone()));
            tasks.push(tokio::spawn(async { serving.await.unwrap() }));
        }
        Self {
            kept,
            tls,
            agents,
            operators,
            stop,
            serving: tasks,
        }
    }

    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.serving {
            task.await.unwrap();
        }
    }

    /// Where agents come in, for whoever trusts the root.
    pub fn for_agents(&self) -> Coordinator {
        self.at(self.agents)
    }

    pub fn for_operators(&self) -> Coordinator {
        self.at(self.operators)
    }

    fn at(&self, address: SocketAddr) -> Coordinator {
        Coordinator {
            trust_domain: self.kept.authority.trust_domain().clone(),
            hosts: vec![address.to_string().parse().unwrap()],
            trust: Trust::Roots(vec![self.kept.authority.root().clone()]),
        }
    }

    pub fn invite(&self, member: &str) -> Invitation {
        let authority = &self.kept.authority;
        let host: HostPort = self.agents.to_string().parse().unwrap();
        let domain = authority.trust_domain().clone();
        let invitation = Invitation::new(domain, vec![host], authority.pin()).unwrap();
        let mac = self.kept.tokens.mac(&invitation.token, &invitation.secret);
        let mut invited = self.kept.invited.lock().unwrap();
        invited.insert(invitation.token.to_string(), (mac, name(member)));
        invitation
    }

    /// Credentials of a member with a standing, without going through enrolment.
    pub fn member(&self, kind: Kind, member: &str, standing: Standing) -> Credentials {
        let mut standings = self.kept.standings.lock().unwrap();
        standings.insert(member.to_owned(), standing);
        credentials(&self.kept.authority, kind, member, SystemTime::now())
    }

    pub fn agent(&self, member: &str) -> Credentials {
        self.member(Kind::Agent, member, Standing::Agent)
    }
}

/// What an agent says first.
pub fn hello() -> FromAgent {
    FromAgent {
        kind: Some(agent::from_agent::Kind::Hello(agent::Hello {
            build: "toy".to_owned(),
            ..agent::Hello::default()
        })),
    }
}

impl Standings for Kept {
    fn standing(&self, peer: &Peer) -> Standing {
        let standings = self.standings.lock().unwrap();
        match peer {
            Peer::Nobody => Standing::Unknown,
            Peer::Local { .. } => Standing::Operator(Role::Admin),
            Peer::Agent(certified) | Peer::Operator(certified) => standings
                .get(certified.name.as_str())
                .copied()
                .unwrap_or(Standing::Unknown),
        }
    }
}

#[derive(Clone)]
struct Service(Arc<Kept>);

impl Service {
    fn identity(&self, name: &Name, key: &bailiwick_rpc::PublicKey) -> Identity {
        let issued = self
            .0
            .authority
            .issue(Kind::Agent, name, key, SystemTime::now())
            .unwrap();
        let life = issued.not_after.duration_since(SystemTime::now()).unwrap();
        Identity {
            certificates: issued.chain.iter().map(|c| c.to_vec().into()).collect(),
            name: name.to_string(),
            valid_for_ns: life.as_nanos().try_into().unwrap(),
            operators: Vec::new(),
            authorities: vec![self.0.authority.root().to_vec().into()],
        }
    }

    fn proved<T>(
        &self,
        request: &Request<T>,
        proof: Option<&agent::Proof>,
        purpose: Purpose,
    ) -> Result<bailiwick_rpc::PublicKey, Status> {
        let exporter = Caller::of(request)?.exporter.unwrap();
        Proof::verify(proof, purpose, self.0.authority.trust_domain(), &exporter)
            .map_err(|error| Status::permission_denied(error.to_string()))
    }
}

#[tonic::async_trait]
impl EnrolmentService for Service {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<Identity>, Status> {
        let refused = || Status::permission_denied("no such token");
        let message = request.get_ref();
        self.0.secrets.lock().unwrap().push(message.secret.to_vec());
        let key = self.proved(&request, message.proof.as_ref(), Purpose::Enrol)?;
        let token = message.token_id.parse().map_err(|_| refused())?;
        let secret = Secret::from_octets(&message.secret).ok_or_else(refused)?;
        let (mac, name) = self
            .0
            .invited
            .lock()
            .unwrap()
            .remove(&message.token_id)
            .ok_or_else(refused)?;
        if !self.0.tokens.verify(&token, &secret, &mac) {
            return Err(refused());
        }
        self.0
            .enrolled
            .lock()
            .unwrap()
            .insert(key.hash().0, name.clone());
        self.0
            .standings
            .lock()
            .unwrap()
            .insert(name.to_string(), Standing::Agent);
        Ok(Response::new(self.identity(&name, &key)))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<Identity>, Status> {
        let proof = request.get_ref().proof.as_ref();
        let key = self.proved(&request, proof, Purpose::Renew)?;
        let name = self.0.enrolled.lock().unwrap().get(&key.hash().0).cloned();
        let name = name.ok_or_else(|| Status::permission_denied("no such key"))?;
        Ok(Response::new(self.identity(&name, &key)))
    }
}

#[tonic::async_trait]
impl AgentService for Service {
    type SessionStream = Out<ToAgent>;

    /// Welcomes by name, and again for each message.
    async fn session(
        &self,
        request: Request<Streaming<FromAgent>>,
    ) -> Result<Response<Out<ToAgent>>, Status> {
        let Peer::Agent(certified) = Caller::of(&request)?.peer.clone() else {
            return Err(Status::internal("not an agent"));
        };
        let kept = Arc::clone(&self.0);
        let answers = request.into_inner().map(move |message| {
            message?;
            kept.heard.fetch_add(1, Ordering::Relaxed);
            Ok(ToAgent {
                kind: Some(to_agent::Kind::Welcome(Welcome {
                    features: vec![certified.name.to_string()],
                    ..Welcome::default()
                })),
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

macro_rules! answers {
    ($($method:ident $asked:ident $answered:ident)*) => {
        #[tonic::async_trait]
        impl OperatorService for Service {
            type CreateCheckStream = Out<operator::CheckEvent>;
            type GetEvidenceStream = Out<operator::EvidencePart>;

            async fn create_check(
                &self,
                _: Request<operator::CreateCheckRequest>,
            ) -> Result<Response<Self::CreateCheckStream>, Status> {
                Ok(Response::new(Box::pin(tokio_stream::empty())))
            }

            async fn get_evidence(
                &self,
                _: Request<operator::GetEvidenceRequest>,
            ) -> Result<Response<Self::GetEvidenceStream>, Status> {
                Ok(Response::new(Box::pin(tokio_stream::empty())))
            }

            $(async fn $method(
                &self,
                _: Request<operator::$asked>,
            ) -> Result<Response<operator::$answered>, Status> {
                Ok(Response::new(operator::$answered::default()))
            })*
        }
    };
}

answers! {
    list_checks ListChecksRequest ListChecksResponse
    create_watch CreateWatchRequest CreateWatchResponse
    list_watches ListWatchesRequest ListWatchesResponse
    remove_watch RemoveWatchRequest Watch
    list_agents ListAgentsRequest ListAgentsResponse
    get_agent GetAgentRequest Agent
    invite_agent InviteAgentRequest Invitation
    approve_agent ApproveAgentRequest Agent
    ban_agent BanAgentRequest Agent
    invite_operator InviteOperatorRequest Invitation
    get_status GetStatusRequest Status
}

/// A client's TLS, made by hand.
pub mod raw {
    use std::sync::Arc;

    use bailiwick_rpc::{Authority, Kind, PublicKey};
    use rustls::{
        ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    };

    pub type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

    /// Certificate and key of a member.
    pub fn member(authority: &Authority, kind: Kind, name: &str) -> Chain {
        let key = rcgen::KeyPair::generate().unwrap();
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        let public = PublicKey::from_spki(&spki).unwrap();
        let now = std::time::SystemTime::now();
        let issued = authority
            .issue(kind, &super::name(name), &public, now)
            .unwrap();
        (issued.chain, private(&key))
    }

    pub fn private(key: &rcgen::KeyPair) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(key.serialize_der()).into()
    }

    /// A client that believes anybody, and offers whatever the library can.
    pub fn client(
        versions: &[&'static SupportedProtocolVersion],
        own: Option<Chain>,
    ) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody));
        let mut config = match own {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }

    #[derive(Debug)]
    struct Anybody;

    impl ServerCertVerifier for Anybody {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            ring::default_provider()
                .signature_verification_algorithms
                .supported_schemes()
        }
    }
}
