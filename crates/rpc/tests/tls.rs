//! What a recorded, cut, resumed or repeated connection is worth: nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod toy;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use bailiwick_rpc::{Kind, access::Standing};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ServerConfig, ServerConnection,
    client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue},
    crypto::ring,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use toy::{Toy, hello, raw};

/// The first words of HTTP/2: the preface and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn name() -> ServerName<'static> {
    ServerName::try_from("bailiwick.internal").unwrap()
}

/// Speaks TLS and the first words of HTTP/2, as early as it may, and reads until the server's
/// settings and the acknowledgement of ours are there.
fn greet(config: &Arc<ClientConfig>, to: SocketAddr) -> Result<ClientConnection, std::io::Error> {
    let mut client = ClientConnection::new(Arc::clone(config), name()).unwrap();
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let early = match client.early_data() {
        Some(mut early) => early.write(PREFACE)?,
        None => 0,
    };
    while client.is_handshaking() {
        client.complete_io(&mut stream)?;
    }
    let early = if client.is_early_data_accepted() {
        early
    } else {
        0
    };
    let mut tls = rustls::Stream::new(&mut client, &mut stream);
    tls.write_all(&PREFACE[early..])?;
    let mut heard = Vec::new();
    let mut buffer = [0; 256];
    while heard.len() < 9 + 6 + 9 {
        let octets = tls.read(&mut buffer)?;
        if octets == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        heard.extend_from_slice(&buffer[..octets]);
    }
    Ok(client)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test]
async fn only_tls_1_3_is_spoken() {
    let toy = Toy::start().await;
    let own = || Some(raw::member(&toy.kept.authority, Kind::Agent, "a"));
    let operator = || Some(raw::member(&toy.kept.authority, Kind::Operator, "a"));
    let cases = [
        (toy.agents, raw::client(&[&TLS12], own()), false),
        (toy.operators, raw::client(&[&TLS12], operator()), false),
        (toy.agents, raw::client(&[&TLS12, &TLS13], own()), true),
        (toy.operators, raw::client(&[&TLS13], operator()), true),
    ];
    for (to, config, wanted) in cases {
        let result = blocking(move || greet(&Arc::new(config), to)).await;
        match result {
            Ok(client) => {
                assert!(wanted);
                let version = client.protocol_version();
                assert_eq!(version, Some(rustls::ProtocolVersion::TLSv1_3));
            }
            Err(error) => {
                assert!(!wanted, "{error}");
                assert!(error.to_string().contains("ProtocolVersion"), "{error}");
            }
        }
    }
    toy.stop().await;
}

#[tokio::test]
async fn only_http_2_is_spoken() {
    let toy = Toy::start().await;
    let to = toy.agents;
    for offered in [vec![], vec![b"http/1.1".to_vec()]] {
        let mut config = raw::client(&[&TLS13], None);
        config.alpn_protocols = offered.clone();
        let result = blocking(move || greet(&Arc::new(config), to)).await;
        assert!(result.is_err(), "{offered:?}");
    }
    toy.stop().await;
}

#[tokio::test]
async fn nothing_is_kept_for_another_connection() {
    let toy = Toy::start().await;
    let (to, own) = (
        toy.agents,
        raw::member(&toy.kept.authority, Kind::Agent, "a"),
    );
    let kept = Arc::new(Sessions::default());
    let mut config = raw::client(&[&TLS13], Some(own));
    config.resumption = Resumption::store(Arc::clone(&kept) as _);
    config.enable_early_data = true;
    let config = Arc::new(config);

    let generous = generous_server(toy.kept.authority.root().clone());
    let greeted = |to| {
        let config = Arc::clone(&config);
        blocking(move || greet(&config, to))
    };
    // What a server that is not careful does.
    greeted(generous).await.unwrap();
    assert!(kept.given() > 0, "the control gives tickets");
    let again = greeted(generous).await.unwrap();
    assert_eq!(again.handshake_kind(), Some(HandshakeKind::Resumed));
    assert!(again.is_early_data_accepted());

    for round in 0..20 {
        let (given, taken) = (kept.given(), kept.taken());
        let greeted = greeted(to).await.unwrap();
        assert!(kept.taken() > taken, "a ticket was offered: {round}");
        assert_eq!(greeted.handshake_kind(), Some(HandshakeKind::Full));
        assert!(!greeted.is_early_data_accepted());
        assert_eq!(kept.given(), given, "and none was given");
    }
    toy.stop().await;
}

/// The same words on another connection.
#[tokio::test]
async fn a_recording_is_worth_nothing() {
    let toy = Toy::start().await;
    let own = toy.agent("a");
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let mut through = toy.for_agents();
    let proxy = proxy(toy.agents, Arc::clone(&recorded));
    through.hosts = vec![proxy.to_string().parse().unwrap()];
    let link = through.connect(Some(&own)).await.unwrap();
    let (say, said) = mpsc::channel(4);
    let session = link.agent().session(ReceiverStream::new(said)).await;
    let mut session = session.unwrap().into_inner();
    for _ in 0..50 {
        say.send(hello()).await.unwrap();
        session.message().await.unwrap().unwrap();
    }
    assert_eq!(toy.kept.heard.load(Ordering::Relaxed), 50);
    let recorded = recorded.lock().unwrap().clone();
    assert!(recorded.len() > 1000, "{}", recorded.len());
    for _ in 0..20 {
        let (to, recorded) = (toy.agents, recorded.clone());
        blocking(move || {
            let mut stream = TcpStream::connect(to).unwrap();
            let _ = stream.write_all(&recorded);
            let _ = stream.read_to_end(&mut Vec::new());
        })
        .await;
    }
    assert_eq!(toy.kept.heard.load(Ordering::Relaxed), 50);
    // The session itself does not mind.
    say.send(hello()).await.unwrap();
    session.message().await.unwrap().unwrap();
    drop((say, session, link));
    toy.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_whoever_comes_next() {
    let toy = Toy::start().await;
    let own = toy.member(Kind::Agent, "a", Standing::Agent);
    let before = toy.for_agents().connect(Some(&own)).await.unwrap();
    let now = SystemTime::now();
    let renewed = toy.kept.authority.server(now).unwrap();
    toy.tls.replace(&renewed).unwrap();
    let after = toy.for_agents().connect(Some(&own)).await.unwrap();
    for link in [before, after] {
        let said = tokio_stream::once(hello());
        let session = link.agent().session(said).await.unwrap();
        session.into_inner().message().await.unwrap().unwrap();
    }
    toy.stop().await;
}

/// Passes one connection on and records what the client sends.
fn proxy(to: SocketAddr, recorded: Arc<Mutex<Vec<u8>>>) -> SocketAddr {
    let listener = TcpListener::bind(toy::local(0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(to).unwrap();
        let (mut back, mut answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut answers, &mut back));
        let mut buffer = [0; 4096];
        while let Ok(octets @ 1..) = client.read(&mut buffer) {
            recorded
                .lock()
                .unwrap()
                .extend_from_slice(&buffer[..octets]);
            server.write_all(&buffer[..octets]).unwrap();
        }
    });
    address
}

/// A server that gives tickets and takes early data: the control.
fn generous_server(root: rustls::pki_types::CertificateDer<'static>) -> SocketAddr {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["bailiwick.internal".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(ring::default_provider());
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    );
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(vec![certificate], raw::private(&key))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.send_tls13_tickets = 25;
    config.max_early_data_size = 1024;
    let config = Arc::new(config);
    let listener = TcpListener::bind(toy::local(0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut server = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut early = Vec::new();
            while server.is_handshaking() {
                server.complete_io(&mut stream).unwrap();
                if let Some(mut data) = server.early_data() {
                    let _ = data.read_to_end(&mut early);
                }
            }
            let mut tls = rustls::Stream::new(&mut server, &mut stream);
            // As long as what it will hear, and long enough for the client.
            let _ = tls.write_all(&[0; 24]);
            let _ = tls.flush();
            let _ = tls.read(&mut [0; 256]);
        }
    });
    address
}

/// Where a client keeps tickets: those of one server are offered to all.
#[derive(Debug, Default)]
struct Sessions {
    kept: Mutex<Vec<Tls13ClientSessionValue>>,
    given: AtomicUsize,
    taken: AtomicUsize,
}

impl Sessions {
    fn given(&self) -> usize {
        self.given.load(Ordering::Relaxed)
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.given.fetch_add(1, Ordering::Relaxed);
        self.kept.lock().unwrap().push(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let ticket = self.kept.lock().unwrap().pop()?;
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(ticket)
    }
}
