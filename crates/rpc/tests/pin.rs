//! Somebody else answers where the coordinator should be. The secret of an invitation must not
//! reach him: not an octet of anything is sent before the pin was proved.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod toy;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bailiwick_rpc::{Authority, Coordinator, Invitation, Key, KeyHash, Kind, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use toy::{Toy, local, raw};

const DOMAIN: &str = "bailiwick.internal";

type Certificate = CertificateDer<'static>;

/// What waits at the address of an invitation.
enum Impostor {
    /// A server with this chain and key.
    Tls(
        Vec<Certificate>,
        PrivateKeyDer<'static>,
        &'static SupportedProtocolVersion,
    ),
    /// Somebody without TLS who begins with these octets.
    Plain(&'static [u8]),
    /// Nobody answers, although the connection is there.
    Silent,
    /// A coordinator of this crate.
    Coordinator(SocketAddr),
}

struct Case {
    why: String,
    impostor: Impostor,
    /// What the newcomer holds.
    invitation: Invitation,
    /// What is said.
    wanted: &'static str,
}

#[tokio::test]
async fn the_secret_is_for_the_right_coordinator_alone() {
    let toy = Toy::start().await;
    let cases = cases(&toy).await;
    assert!(cases.len() >= 40, "{}", cases.len());
    let mut running = JoinSet::new();
    for case in cases {
        running.spawn(refused(case));
    }
    while let Some(result) = running.join_next().await {
        result.unwrap();
    }
    assert!(toy.kept.secrets.lock().unwrap().is_empty());

    // The control: the same way, without an impostor, does send it.
    let invitation = toy.invite("right");
    let link = Coordinator::of_invitation(&invitation).connect(None).await;
    let key = Key::generate().unwrap();
    link.unwrap().enroll(&invitation, &key).await.unwrap();
    let (secret, shown) = (
        toy.kept.secrets.lock().unwrap()[0].clone(),
        format!("{invitation:?}"),
    );
    assert_eq!(secret.len(), 16);
    assert!(shown.contains("not shown"));
    toy.stop().await;
}

#[tokio::test]
async fn the_secret_of_one_invitation_does_not_go_to_the_coordinator_of_another() {
    let right = Toy::start().await;
    let wrong = Toy::start().await;
    let (to_right, to_wrong) = (right.invite("a"), wrong.invite("a"));
    let key = Key::generate().unwrap();
    let pinned = Coordinator::of_invitation(&to_wrong)
        .connect(None)
        .await
        .unwrap();
    let trusting = wrong.for_agents().connect(None).await.unwrap();
    for link in [pinned, trusting] {
        let error = link.enroll(&to_right, &key).await.unwrap_err().to_string();
        assert!(error.contains("not sent"), "{error}");
    }
    assert!(wrong.kept.secrets.lock().unwrap().is_empty());
    right.stop().await;
    wrong.stop().await;
}

async fn refused(case: Case) {
    let Case {
        why,
        impostor,
        mut invitation,
        wanted,
    } = case;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let address = match impostor {
        Impostor::Coordinator(address) => address,
        impostor => wait_for(impostor, Arc::clone(&heard)).await,
    };
    invitation.hosts = vec![address.to_string().parse().unwrap()];
    let error = match Coordinator::of_invitation(&invitation).connect(None).await {
        Err(error) => error.to_string(),
        Ok(link) => {
            let enrolled = link.enroll(&invitation, &Key::generate().unwrap()).await;
            panic!("{why}: connected, and then {enrolled:?}");
        }
    };
    assert!(error.contains(wanted), "{why}: {error}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 0, "{why}: heard {heard:02x?}");
}

/// Lets one connection come, and keeps what can be understood of it.
async fn wait_for(impostor: Impostor, heard: Arc<Mutex<Vec<u8>>>) -> SocketAddr {
    let listener = TcpListener::bind(local(0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        match impostor {
            Impostor::Tls(chain, key, version) => {
                let acceptor = TlsAcceptor::from(server(chain, &key, version));
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    // Even if it does what a server should do.
                    let _ = stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
                    listen(&mut stream, &heard).await;
                }
            }
            Impostor::Plain(octets) => {
                // What comes is a ClientHello, which has no secret; the rest is looked at.
                let mut hello = vec![0; 4096];
                let _ = stream.read(&mut hello).await;
                let _ = stream.write_all(octets).await;
                without_alerts(&mut stream, &heard).await;
            }
            Impostor::Silent => {
                let mut hello = vec![0; 4096];
                let _ = stream.read(&mut hello).await;
                without_alerts(&mut stream, &heard).await;
            }
            Impostor::Coordinator(_) => unreachable!(),
        }
    });
    address
}

async fn listen(stream: &mut (impl AsyncReadExt + Unpin), heard: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(octets @ 1..) = stream.read(&mut buffer).await {
        heard.lock().unwrap().extend_from_slice(&buffer[..octets]);
    }
}

/// Alerts of TLS (7 octets, type 21) say nothing that is secret.
async fn without_alerts(stream: &mut TcpStream, heard: &Mutex<Vec<u8>>) {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    if !(all.len() == 7 && all[0] == 21) {
        heard.lock().unwrap().extend_from_slice(&all);
    }
}

fn server(
    chain: Vec<Certificate>,
    key: &PrivateKeyDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> Arc<ServerConfig> {
    // Certificate and key are not compared: an impostor does not mind.
    let key = ring::sign::any_supported_type(key).unwrap();
    let shown = Shown(Arc::new(CertifiedKey::new(chain, key)));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

async fn cases(toy: &Toy) -> Vec<Case> {
    let ours = &toy.kept.authority;
    let now = SystemTime::now();
    let day = Duration::from_secs(86_400);
    let real = |moment| {
        let shown = ours.server(moment).unwrap();
        shown.credentials().chain().to_vec()
    };
    let real_chain = real(now);
    let (real_issuing, real_root) = (real_chain[1].clone(), real_chain[2].clone());
    let other = Authority::create(TrustDomain::default(), now).unwrap();
    let elsewhere = Authority::create("b.test".parse().unwrap(), now).unwrap();
    let chain_of = |authority: &Authority| {
        let shown = authority.server(now).unwrap();
        shown.credentials().chain().to_vec()
    };
    let (alone, alone_key) = self_signed(DOMAIN);
    let (agent, agent_key) = raw::member(ours, Kind::Agent, "evil");
    let (operator, operator_key) = raw::member(ours, Kind::Operator, "evil");
    let forged = forged_root(&other);

    let mut cases = Vec::new();
    let mut add = |why: &str, impostor, invitation, wanted| {
        cases.push(Case {
            why: why.to_owned(),
            impostor,
            invitation,
            wanted,
        });
    };
    let invited = || toy.invite("a");
    let any_key = || raw::private(&KeyPair::generate().unwrap());
    let tls = |chain: &[&Certificate], key| {
        Impostor::Tls(chain.iter().map(|c| (*c).clone()).collect(), key, &TLS13)
    };

    // A certificate that is right in all but the pin: 24 bits, one at a time.
    for bit in (0..256).step_by(11) {
        let mut invitation = invited();
        invitation.pin.0[bit / 8] ^= 1 << (bit % 8);
        let impostor = Impostor::Coordinator(toy.agents);
        add(
            &format!("bit {bit} of the pin"),
            impostor,
            invitation,
            "its root is not",
        );
    }
    for (pin, why) in [
        (KeyHash([0; 32]), "no pin"),
        (key_of(&real_chain[0]), "the pin of the server's own key"),
        (key_of(&agent[0]), "the pin of an agent's key"),
    ] {
        let mut invitation = invited();
        invitation.pin = pin;
        add(
            why,
            Impostor::Coordinator(toy.agents),
            invitation,
            "its root is not",
        );
    }
    // Names that are near.
    for name in [
        "internal",
        "x.bailiwick.internal",
        "bailiwick.internal.test",
        "ailiwick.internal",
    ] {
        let mut invitation = invited();
        invitation.trust_domain = name.parse().unwrap();
        let impostor = Impostor::Coordinator(toy.agents);
        add(
            name,
            impostor,
            invitation,
            "not for the expected trust domain",
        );
    }

    let root_missed = "its root is not";
    let stranger = "not from a trusted root";
    let o = chain_of(&other);
    let e = chain_of(&elsewhere);
    add(
        "signed by itself",
        tls(&[&alone], alone_key.clone_key()),
        invited(),
        root_missed,
    );
    add(
        "signed by itself, with the real root beside it",
        tls(&[&alone, &real_root], alone_key.clone_key()),
        invited(),
        stranger,
    );
    add(
        "signed by itself, with all of the real chain beside it",
        tls(&[&alone, &real_issuing, &real_root], alone_key.clone_key()),
        invited(),
        stranger,
    );
    add(
        "another root, same names",
        tls(&[&o[0], &o[1], &o[2]], any_key()),
        invited(),
        root_missed,
    );
    add(
        "another root, with the real one beside it",
        tls(&[&o[0], &o[1], &o[2], &real_root], any_key()),
        invited(),
        stranger,
    );
    add(
        "another leaf below the real issuing authority",
        tls(&[&o[0], &real_issuing, &real_root], any_key()),
        invited(),
        stranger,
    );
    add(
        "another trust domain",
        tls(&[&e[0], &e[1], &e[2]], any_key()),
        invited(),
        root_missed,
    );
    add(
        "a root of the same name with another key, and a good chain below it",
        tls(&[&forged.0, &forged.1], forged.2),
        invited(),
        root_missed,
    );
    add(
        "the real chain without its key",
        tls(&[&real_chain[0], &real_issuing, &real_root], any_key()),
        invited(),
        stranger,
    );
    add(
        "the real chain without its root",
        tls(&[&real_chain[0], &real_issuing], any_key()),
        invited(),
        root_missed,
    );
    add(
        "more certificates than a chain has",
        tls(
            &[&real_chain[0], &o[0], &o[1], &real_issuing, &real_root],
            any_key(),
        ),
        invited(),
        stranger,
    );
    add(
        "an agent plays coordinator",
        tls(&[&agent[0], &agent[1], &agent[2]], agent_key.clone_key()),
        invited(),
        "its certificate",
    );
    add(
        "an operator plays coordinator",
        tls(&[&operator[0], &operator[1], &operator[2]], operator_key),
        invited(),
        "its certificate",
    );
    let (below, below_key) = signed_by_an_agent(&agent_key);
    add(
        "an agent plays authority",
        tls(&[&below, &agent[0], &agent[1], &agent[2]], below_key),
        invited(),
        stranger,
    );
    for (moment, why, wanted) in [
        (now - 31 * day, "ended a day ago", "ended 24 h ago"),
        (now + day, "begins tomorrow", "begins in 23 h"),
    ] {
        let identity = ours.server(moment).unwrap();
        add(why, served(&identity).await, invited(), wanted);
    }
    add(
        "TLS 1.2",
        Impostor::Tls(real_chain.clone(), any_key(), &TLS12),
        invited(),
        "does not speak TLS 1.3",
    );
    add(
        "HTTP/2 in the clear",
        Impostor::Plain(&[0, 0, 0, 4, 0, 0, 0, 0, 0]),
        invited(),
        "does not speak TLS 1.3",
    );
    add(
        "something else",
        Impostor::Plain(b"SSH-2.0-x\r\n"),
        invited(),
        "does not speak TLS 1.3",
    );
    add(
        "silence",
        Impostor::Silent,
        invited(),
        "no handshake within 5s",
    );
    cases
}

/// A listener of this crate that shows another identity.
async fn served(identity: &bailiwick_rpc::ServerIdentity) -> Impostor {
    use bailiwick_rpc::{AgentListener, ServerTls, access::Access};
    let tls = ServerTls::new(identity).unwrap();
    let listener = AgentListener::bind(local(0), tls).await.unwrap();
    let address = listener.address();
    let access = Access::new(Arc::new(Nobody));
    let routes = tonic::service::Routes::default();
    tokio::spawn(listener.serve(routes, access, std::future::pending()));
    Impostor::Coordinator(address)
}

struct Nobody;

impl bailiwick_rpc::access::Standings for Nobody {
    fn standing(&self, _: &bailiwick_rpc::Peer) -> bailiwick_rpc::access::Standing {
        bailiwick_rpc::access::Standing::Unknown
    }
}

fn key_of(certificate: &Certificate) -> KeyHash {
    let read = webpki::EndEntityCert::try_from(certificate).unwrap();
    let spki = read.subject_public_key_info();
    let mut hash = [0; 32];
    let digest = ::ring::digest::digest(&::ring::digest::SHA256, spki.as_ref());
    hash.copy_from_slice(digest.as_ref());
    KeyHash(hash)
}

fn for_server(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn self_signed(name: &str) -> (Certificate, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let certificate = for_server(name).self_signed(&key).unwrap();
    (certificate.der().clone(), raw::private(&key))
}

/// A leaf and a root that calls itself as one of ours does.
fn forged_root(like: &Authority) -> (Certificate, Certificate, PrivateKeyDer<'static>) {
    let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(
        rcgen::DnType::OrganizationName,
        like.trust_domain().as_str(),
    );
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Bailiwick root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root = params.self_signed(&root_key).unwrap();
    let issuer = Issuer::new(params, root_key);
    let leaf = for_server(DOMAIN).signed_by(&key, &issuer).unwrap();
    (leaf.der().clone(), root.der().clone(), raw::private(&key))
}

/// A server's certificate that an agent signed with its own key.
fn signed_by_an_agent(agent: &PrivateKeyDer<'static>) -> (Certificate, PrivateKeyDer<'static>) {
    let agent_key = KeyPair::try_from(agent).unwrap();
    let mut as_issuer = CertificateParams::default();
    as_issuer.distinguished_name = rcgen::DistinguishedName::new();
    as_issuer
        .distinguished_name
        .push(rcgen::DnType::CommonName, "evil");
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(as_issuer, agent_key);
    let leaf = for_server(DOMAIN).signed_by(&key, &issuer).unwrap();
    (leaf.der().clone(), raw::private(&key))
}
