//! An agent that takes nothing of what it is told, and is alive otherwise.
//!
//! It keeps the window of HTTP/2 shut (RFC 9113, section 6.9): whatever the coordinator has to say
//! stays with the coordinator. Pings are answered, so no keepalive ends this.

use std::sync::Arc;

use anyhow::{Context, Result};
use bailiwick_rpc::{
    PublicKey,
    agent::{FromAgent, Hello, from_agent},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
    version::TLS13,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::agent::message;

/// A key that rustls can use without our own client.
#[derive(Debug)]
pub struct RawKey(rcgen::KeyPair);

impl RawKey {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// Fails if the system gives no random numbers.
    pub fn generate() -> Result<Self> {
        Ok(Self(rcgen::KeyPair::generate()?))
    }

    /// The public half.
    ///
    /// # Errors
    ///
    /// Fails if the key is none that may be enrolled.
    pub fn public(&self) -> Result<PublicKey> {
        let spki = rcgen::PublicKeyData::subject_public_key_info(&self.0);
        Ok(PublicKey::from_spki(&spki)?)
    }
}

/// Who takes nothing.
#[derive(Debug)]
pub struct Deaf {
    name: String,
    config: Arc<ClientConfig>,
    domain: ServerName<'static>,
    address: std::net::SocketAddr,
}

/// A stream that it has.
#[derive(Debug)]
pub struct Stream {
    _say: h2::SendStream<Bytes>,
    heard: h2::RecvStream,
}

impl Deaf {
    pub(super) fn new(
        name: String,
        chain: Vec<CertificateDer<'static>>,
        key: &RawKey,
        root: CertificateDer<'static>,
        domain: &str,
        address: std::net::SocketAddr,
    ) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(root)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.0.serialize_der()));
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            name,
            config: Arc::new(config),
            domain: ServerName::try_from(domain.to_owned())?,
            address,
        })
    }

    /// As enrolled.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens a stream and says the first word.
    ///
    /// # Errors
    ///
    /// Fails if it is refused.
    pub async fn session(&self) -> Result<Stream> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect(self.domain.clone(), stream).await?;
        let mut http = h2::client::Builder::new();
        http.initial_window_size(0);
        let (calls, connection) = http.handshake(stream).await?;
        tokio::spawn(connection);
        let request = http::Request::post(
            "http://bailiwick.internal/bailiwick.agent.v1.AgentService/Session",
        )
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
        let (answer, mut say) = calls.ready().await?.send_request(request, false)?;
        let hello = Hello {
            protocol_min: 1,
            protocol_max: 1,
            build: "deaf".to_owned(),
            boot: vec![7; 16].into(),
            lab: true,
            durable: true,
            ..Hello::default()
        };
        say.send_data(framed(&message(from_agent::Kind::Hello(hello))), false)?;
        let heard = answer.await.context("no answer")?.into_body();
        Ok(Stream { _say: say, heard })
    }
}

impl Stream {
    /// Waits until the coordinator has had enough.
    pub async fn ended(mut self) {
        while let Some(Ok(_)) = self.heard.data().await {}
    }
}

/// A message as gRPC frames it: not compressed, with its length.
fn framed(message: &FromAgent) -> Bytes {
    let octets = message.encode_to_vec();
    let mut framed = BytesMut::with_capacity(octets.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(octets.len()).unwrap_or(u32::MAX));
    framed.put_slice(&octets);
    framed.freeze()
}
