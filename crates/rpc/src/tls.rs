//! TLS 1.3 with both ends named, and nothing kept from one connection to the next.
//!
//! A resumed session would skip the look at the certificate, and early data can be sent twice. So
//! no tickets are given or taken, no session is stored, and no early data is accepted.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError,
    RootCertStore, ServerConfig, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::TLS13,
};

use crate::{
    agent,
    authority::{self, ServerIdentity},
    identity::{Exporter, Kind, Peer, TrustDomain},
    key::{Key, KeyHash, Pin},
};

/// HTTP/2, and nothing else.
const ALPN: &[u8] = b"h2";
/// RFC 5705: who uses keying material for something new chooses a label of its own.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-bailiwick-proof-v1";
/// Most certificates in a chain that is looked at: leaf, issuing authority, root, and one root
/// that follows while they are exchanged.
const LONGEST_CHAIN: usize = 4;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Certificates or keys are unusable.
    #[error("certificates cannot be used: {0}")]
    Certificates(#[from] rustls::Error),
    /// What came is not what was asked for.
    #[error("the certificate that came is not for the key that asked")]
    OtherKey,
    /// No roots.
    #[error("nobody is trusted: there is no root certificate")]
    NoRoot,
}

impl From<rustls::server::VerifierBuilderError> for TlsError {
    fn from(_: rustls::server::VerifierBuilderError) -> Self {
        Self::NoRoot // Lists of revoked certificates, the other reason, are not used.
    }
}

/// A certificate with its chain and its key, to show oneself.
#[derive(Clone)]
pub struct Credentials {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl Credentials {
    /// Joins a chain, leaf first, with the key of the leaf.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: &Key) -> Self {
        Self {
            chain,
            key: Arc::new(key.for_tls()),
        }
    }

    /// Takes what a coordinator answered to an enrolment or renewal.
    ///
    /// # Errors
    ///
    /// Returns [`TlsError::OtherKey`] if the certificate is not for this key.
    pub fn of_identity(identity: &agent::Identity, key: &Key) -> Result<Self, TlsError> {
        let chain: Vec<CertificateDer<'static>> = identity
            .certificates
            .iter()
            .take(LONGEST_CHAIN)
            .map(|octets| CertificateDer::from(octets.to_vec()))
            .collect();
        match chain.first().and_then(authority::spki) {
            Some(spki) if spki == key.public().spki() => Ok(Self::new(chain, key)),
            _ => Err(TlsError::OtherKey),
        }
    }

    /// The chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} certificates)", self.chain.len())
    }
}

/// How a server speaks TLS with members of one kind.
pub(crate) fn server(
    identity: &ServerIdentity,
    kind: Kind,
    newcomers: bool,
) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(&identity.roots)?, provider()).build()?;
    let members = Members {
        inner: verifier,
        domain: identity.domain.clone(),
        kind,
        newcomers,
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(members))
        .with_single_cert(
            identity.credentials.chain.clone(),
            identity.credentials.key(),
        )?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// How a client speaks TLS with a coordinator.
pub(crate) fn client(
    verifier: Arc<dyn ServerCertVerifier>,
    credentials: Option<&Credentials>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match credentials {
        Some(own) => builder.with_client_auth_cert(own.chain.clone(), own.key())?,
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// Believes coordinators below these roots.
pub(crate) fn trusting(
    anchors: &[CertificateDer<'static>],
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    Ok(WebPkiServerVerifier::builder_with_provider(roots(anchors)?, provider()).build()?)
}

/// Believes coordinators below the root with this key, which they must send.
pub(crate) fn pinned(pin: Pin) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Pinned { pin })
}

/// Keying material of a connection whose handshake is complete.
pub(crate) fn exporter<Side>(
    connection: &rustls::ConnectionCommon<Side>,
) -> Result<Exporter, rustls::Error> {
    connection
        .export_keying_material([0; 32], EXPORTER_LABEL, None)
        .map(Exporter)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots(anchors: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for anchor in anchors {
        roots.add(anchor.clone())?;
    }
    Ok(Arc::new(roots))
}

/// Looks for members of one kind below our own roots. The kind is looked at during the handshake,
/// so a certificate of the other kind gets no further.
#[derive(Debug)]
struct Members {
    inner: Arc<dyn ClientCertVerifier>,
    domain: TrustDomain,
    kind: Kind,
    /// Whether callers without certificate are let in, to enrol or renew.
    newcomers: bool,
}

impl ClientCertVerifier for Members {
    fn client_auth_mandatory(&self) -> bool {
        !self.newcomers
    }

    /// Nobody needs to be told whom we believe.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        short(others)?;
        let verified = self.inner.verify_client_cert(leaf, others, now)?;
        match Peer::certified(&self.domain, leaf) {
            Some(peer) if peer.is_a(self.kind) => Ok(verified),
            _ => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The chain has no certificate with the pinned key.
#[derive(Debug, thiserror::Error)]
#[error("no certificate with the pinned key")]
pub(crate) struct PinMissed;

#[derive(Debug)]
struct Pinned {
    pin: Pin,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        short(others)?;
        let root = others
            .iter()
            .find(|one| authority::spki(one).map(|s| KeyHash::of_spki(&s)) == Some(self.pin))
            .ok_or_else(|| CertificateError::Other(OtherError(Arc::new(PinMissed))))?;
        // From here on the pinned root is the only one that there is.
        trusting(&[root.clone().into_owned()])
            .map_err(|_| rustls::Error::from(CertificateError::BadEncoding))?
            .verify_server_cert(leaf, others, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, leaf, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, leaf, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn short(others: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
    if others.len() < LONGEST_CHAIN {
        Ok(())
    } else {
        Err(CertificateError::BadEncoding.into())
    }
}
