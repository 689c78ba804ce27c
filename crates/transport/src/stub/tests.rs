//! Look-ups over TLS and HTTPS, with a resolver whose certificate only these tests believe.
//!
//! `tests/*.der` is a certificate for 127.0.0.1, its key, and the authority that signed it;
//! the authority's key was thrown away.

use std::{net::SocketAddr, time::Duration};

use bailiwick_core::{
    message::{Message, Question, Rcode},
    query::{Options, Purpose, QueryId, Via},
    record::{Record, RecordData, RecordType},
    server::{Role, Server},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener as Listener,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::*;
use crate::{Network, Settings};

fn trusting() -> Arc<PoolContext> {
    let mut roots = RootCertStore::empty();
    let authority = include_bytes!("tests/authority.der");
    roots.add(CertificateDer::from(authority.to_vec())).unwrap();
    Arc::new(PoolContext::new(
        options(),
        TlsConfig { config: tls(roots) },
    ))
}

fn acceptor(alpn: &[u8]) -> TlsAcceptor {
    let certificate = CertificateDer::from(include_bytes!("tests/server.der").to_vec());
    let key = include_bytes!("tests/server-key.der").to_vec();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certificate], PrivateKeyDer::try_from(key).unwrap())
    .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

fn reply(query: &[u8]) -> Vec<u8> {
    let message = Message {
        rcode: Rcode::NXDOMAIN,
        answer: vec![Record {
            name: "example.".parse().unwrap(),
            ttl: 60,
            data: RecordData::Ns("ns.example.".parse().unwrap()),
        }],
        ..Message::default()
    };
    dns::encode_reply(&message, &dns::peek(query).unwrap())
}

/// Answers one connection with one question (RFC 7858; RFC 8484).
async fn serve(stub: Stub, listener: Listener) {
    let (stream, _) = listener.accept().await.unwrap();
    let alpn: &[u8] = if stub == Stub::Https { b"h2" } else { b"dot" };
    let Ok(stream) = acceptor(alpn).accept(stream).await else {
        return;
    };
    match stub {
        Stub::Https => serve_https(stream).await,
        _ => serve_tls(stream).await,
    }
}

async fn serve_tls<S>(mut stream: TlsStream<S>)
where
    TlsStream<S>: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let length = stream.read_u16().await.unwrap();
    let mut query = vec![0; length.into()];
    stream.read_exact(&mut query).await.unwrap();
    let reply = reply(&query);
    let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
    stream
        .write_all(&[&length, &reply[..]].concat())
        .await
        .unwrap();
    // Keeps the connection until the client has read it.
    let _ = stream.read_u16().await;
}

async fn serve_https<S>(stream: TlsStream<S>)
where
    TlsStream<S>: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        assert_eq!(request.uri().path(), "/dns-query");
        let mut body = request.into_body();
        let query = body.data().await.unwrap().unwrap();
        let response = http::Response::builder()
            .header("content-type", "application/dns-message")
            .body(())
            .unwrap();
        let mut send = respond.send_response(response, false).unwrap();
        send.send_data(reply(&query).into(), true).unwrap();
    }
}

async fn look_up(stub: Stub, context: Arc<PoolContext>) -> (Outcome, usize, u32) {
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(stub, listener));
    let network = Network::new(Settings {
        limits: Limits::FULL_ROUND,
        allow_special_use: true,
        port: address.port(),
        bind: Vec::new(),
        blackholes: Vec::new(),
    })
    .unwrap();
    let query = Query {
        id: QueryId(0),
        server: Server {
            name: "resolver.test.".parse().unwrap(),
            address: address.ip(),
        },
        role: Role::Resolver,
        zone: ".".parse().unwrap(),
        purpose: Purpose::Child,
        via: Via::Stub(stub),
        questions: vec![Question::new("example.".parse().unwrap(), RecordType::NS)],
        options: Options::RECURSIVE,
        patience: Duration::from_secs(5),
    };
    let shared = &network.shared;
    let public = shared.filter.admit(address.ip(), query.role).unwrap();
    let lookup = Arc::new(Lookup::new(shared, public, query.questions[0].clone()));
    let observation = observe(&lookup, &query, stub, context).await;
    server.abort();
    (
        observation.outcome,
        observation.octets.len(),
        network.packets(),
    )
}

#[tokio::test]
async fn answers_come_over_tls_and_https_with_their_octets() {
    for stub in [Stub::Tls, Stub::Https] {
        let (outcome, octets, packets) = look_up(stub, trusting()).await;
        let Outcome::Reply(message) = outcome else {
            panic!("{stub:?}: {outcome:?}");
        };
        assert_eq!(
            (message.rcode, message.answer.len()),
            (Rcode::NXDOMAIN, 1),
            "{stub:?}"
        );
        assert_eq!(
            (message.octets, packets),
            (octets, 1),
            "{stub:?}: one connection"
        );
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_signed_is_not_believed() {
    for stub in [Stub::Tls, Stub::Https] {
        let (outcome, _, packets) = look_up(stub, context(stub)).await;
        let Outcome::Unreadable(Unreadable::Malformed(why)) = outcome else {
            panic!("{stub:?}: {outcome:?}");
        };
        assert!(why.contains("UnknownIssuer"), "{stub:?}: {why}");
        assert_eq!(packets, 1, "{stub:?}");
    }
}

#[test]
fn well_known_resolvers_have_names() {
    let cases = [
        ("8.8.4.4", "dns.google"),
        ("2606:4700:4700::1111", "cloudflare-dns.com"),
        ("2620:fe::fe", "dns.quad9.net"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
    ];
    for (address, name) in cases {
        assert_eq!(host_name(address.parse().unwrap()), name);
    }
}
