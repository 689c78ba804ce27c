//! Finding a coordinator and being sure that it is the right one.
//!
//! A [`Link`] is one connection. It does not come back by itself after it has ended: whoever
//! holds it would not notice that a [`Proof`] made for the first connection is
//! worth nothing on the second, nor that somebody else answers now.

use std::{
    fmt, io,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use hyper_util::rt::TokioIo;
use rustls::{
    AlertDescription, CertificateError,
    client::danger::ServerCertVerifier,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::{
    agent::{
        EnrollRequest, Identity, RenewRequest, agent_service_client::AgentServiceClient,
        enrolment_service_client::EnrolmentServiceClient,
    },
    identity::{Exporter, TrustDomain},
    invitation::{HostPort, Invitation},
    key::{Key, KeyError, Pin as KeyPin},
    listen::MESSAGE,
    operator::operator_service_client::OperatorServiceClient,
    proof::{Proof, Purpose},
    tls::{self, Credentials, PinMissed, TlsError},
};

/// How long each of look-up, connection, handshake and first answer may take.
const STEP: Duration = Duration::from_secs(5);

/// Whom to believe.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The root with this key, as an invitation names it.
    Pin(KeyPin),
    /// These roots.
    Roots(Vec<CertificateDer<'static>>),
}

/// Where a coordinator is and how it is known.
#[derive(Clone, Debug)]
pub struct Coordinator {
    /// The name that it must have.
    pub trust_domain: TrustDomain,
    /// Tried in this order.
    pub hosts: Vec<HostPort>,
    /// Whom to believe.
    pub trust: Trust,
}

impl Coordinator {
    /// The one that an invitation names.
    pub fn of_invitation(invitation: &Invitation) -> Self {
        Self {
            trust_domain: invitation.trust_domain.clone(),
            hosts: invitation.hosts.clone(),
            trust: Trust::Pin(invitation.pin),
        }
    }

    /// Connects to the first host that can be used. Without credentials one can only enrol and
    /// renew.
    ///
    /// When this returns, the coordinator has proved who it is and has accepted the credentials.
    ///
    /// # Errors
    ///
    /// Returns what went wrong with each host.
    pub async fn connect(&self, own: Option<&Credentials>) -> Result<Link, ConnectError> {
        let mut tried = Vec::new();
        for host in &self.hosts {
            match self.connect_to(host, own).await {
                Ok(link) => return Ok(link),
                Err(trouble) => tried.push((host.to_string(), trouble)),
            }
        }
        Err(ConnectError { tried })
    }

    async fn connect_to(
        &self,
        host: &HostPort,
        own: Option<&Credentials>,
    ) -> Result<Link, Trouble> {
        let verifier = match &self.trust {
            Trust::Pin(pin) => tls::pinned(*pin),
            Trust::Roots(roots) => tls::trusting(roots)?,
        };
        let addresses = step("look-up", lookup_host((&*host.host, host.port)))
            .await?
            .map_err(Trouble::NoAddress)?;
        let mut last = Trouble::NoAddress(io::ErrorKind::NotFound.into());
        for address in addresses {
            match self.connect_at(address, &verifier, own).await {
                Ok(link) => return Ok(link),
                // Somebody who answered says more than nobody.
                Err(trouble) if trouble.answered() || !last.answered() => last = trouble,
                Err(_) => {}
            }
        }
        Err(last)
    }

    async fn connect_at(
        &self,
        address: SocketAddr,
        verifier: &Arc<dyn ServerCertVerifier>,
        own: Option<&Credentials>,
    ) -> Result<Link, Trouble> {
        let stream = step("connection", TcpStream::connect(address))
            .await?
            .map_err(Trouble::Unreachable)?;
        stream.set_nodelay(true).map_err(Trouble::Unreachable)?;
        let name = ServerName::try_from(self.trust_domain.as_str().to_owned())
            .map_err(|_| Trouble::WrongName)?;
        let config = tls::client(Arc::clone(verifier), own)?;
        let stream = step(
            "handshake",
            TlsConnector::from(config).connect(name, stream),
        )
        .await?
        .map_err(Trouble::of)?;
        let (_, connection) = stream.get_ref();
        if connection.alpn_protocol() != Some(b"h2") {
            return Err(Trouble::NotOurs);
        }
        let exporter = tls::exporter(connection)?;
        let stream = Answered::wait(stream).await?;
        Ok(Link {
            channel: once(stream, &self.trust_domain).await?,
            trust_domain: self.trust_domain.clone(),
            exporter: Some(exporter),
            address: Some(address),
            proved: match self.trust {
                Trust::Pin(pin) => Some(pin),
                Trust::Roots(_) => None,
            },
        })
    }
}

/// One connection to a coordinator.
#[derive(Clone, Debug)]
pub struct Link {
    channel: Channel,
    trust_domain: TrustDomain,
    exporter: Option<Exporter>,
    address: Option<SocketAddr>,
    /// The pin that was proved.
    proved: Option<KeyPin>,
}

impl Link {
    /// Connects to the coordinator of this machine through its unix socket.
    ///
    /// # Errors
    ///
    /// Returns what went wrong.
    pub async fn local(path: &Path) -> Result<Self, ConnectError> {
        let trust_domain = TrustDomain::default();
        let connect = async {
            let stream = step("connection", UnixStream::connect(path))
                .await?
                .map_err(Trouble::NotHere)?;
            once(Answered::wait(stream).await?, &trust_domain).await
        };
        match connect.await {
            Ok(channel) => Ok(Self {
                channel,
                trust_domain,
                exporter: None,
                address: None,
                proved: None,
            }),
            Err(trouble) => Err(ConnectError {
                tried: vec![(path.display().to_string(), trouble)],
            }),
        }
    }

    /// For a client of any service.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Keying material of exactly this connection; None for a unix socket.
    pub fn exporter(&self) -> Option<&Exporter> {
        self.exporter.as_ref()
    }

    /// Where the coordinator was found; None for a unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Calls as an agent.
    pub fn agent(&self) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(self.channel()).max_decoding_message_size(MESSAGE)
    }

    /// Calls as an operator.
    pub fn operator(&self) -> OperatorServiceClient<Channel> {
        OperatorServiceClient::new(self.channel()).max_decoding_message_size(MESSAGE)
    }

    /// Redeems an invitation for a key. The secret goes out only if the pin of this very
    /// invitation was proved on this connection.
    ///
    /// # Errors
    ///
    /// Returns what the coordinator says, or why its answer cannot be used.
    pub async fn enroll(
        &self,
        invitation: &Invitation,
        key: &Key,
    ) -> Result<Identity, IdentityError> {
        if self.proved != Some(invitation.pin) {
            return Err(IdentityError::NotProved);
        }
        let request = EnrollRequest {
            token_id: invitation.token.to_string(),
            secret: invitation.secret.reveal().to_vec().into(),
            proof: Some(self.proof(key, Purpose::Enrol)?),
        };
        let answer = self.enrolment().enroll(request).await?;
        Ok(answer.into_inner())
    }

    /// Asks for a new certificate for a key that is enrolled.
    ///
    /// # Errors
    ///
    /// Returns what the coordinator says, or why its answer cannot be used.
    pub async fn renew(&self, key: &Key) -> Result<Identity, IdentityError> {
        let proof = Some(self.proof(key, Purpose::Renew)?);
        let answer = self.enrolment().renew(RenewRequest { proof }).await?;
        Ok(answer.into_inner())
    }

    fn enrolment(&self) -> EnrolmentServiceClient<Channel> {
        EnrolmentServiceClient::new(self.channel()).max_decoding_message_size(MESSAGE)
    }

    fn proof(&self, key: &Key, purpose: Purpose) -> Result<crate::agent::Proof, IdentityError> {
        let exporter = self.exporter.as_ref().ok_or(IdentityError::NoTls)?;
        Ok(Proof::make(key, purpose, &self.trust_domain, exporter)?)
    }
}

/// Why no identity was given.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The coordinator refuses.
    #[error("the coordinator refuses: {}", .0.message())]
    Refused(Box<tonic::Status>),
    /// The pin of the invitation was not proved on this connection.
    #[error("the secret was not sent: the pin of the invitation was not proved")]
    NotProved,
    /// Keys are only given out over TLS.
    #[error("an identity is given over TLS only, not over a unix socket")]
    NoTls,
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl From<tonic::Status> for IdentityError {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// No host could be used.
#[derive(Debug)]
pub struct ConnectError {
    /// Each host and what went wrong there.
    pub tried: Vec<(String, Trouble)>,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tried.is_empty() {
            return f.write_str("no host of a coordinator is known");
        }
        for (at, (host, trouble)) in self.tried.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{host}: {trouble}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConnectError {}

/// What went wrong with one host. Each says what can be done.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The name has no address.
    #[error("the name cannot be resolved: {0}")]
    NoAddress(io::Error),
    /// Nobody listens, or nothing gets there.
    #[error(
        "cannot connect: {0}; is the coordinator running, and does a firewall let this through?"
    )]
    Unreachable(io::Error),
    /// No coordinator on this machine.
    #[error("cannot connect: {0}; does a coordinator run here, and are you in its group?")]
    NotHere(io::Error),
    /// Nothing came in time.
    #[error("no {0} within {STEP:?}")]
    Slow(&'static str),
    /// The root is another.
    #[error(
        "its root is not the one of the invitation: somebody else answers here, or the invitation \
         is from another coordinator; nothing secret was sent"
    )]
    WrongPin,
    /// The certificate has another name.
    #[error("its certificate is not for the expected trust domain; nothing secret was sent")]
    WrongName,
    /// The certificate is not from a trusted root.
    #[error("its certificate is not from a trusted root; nothing secret was sent")]
    Stranger,
    /// The certificate has ended.
    #[error("its certificate ended {}; or the clock of this machine is wrong", long(*.0))]
    Ended(Option<Duration>),
    /// The certificate has not begun.
    #[error("its certificate begins {}; or the clock of this machine is wrong", later(*.0))]
    NotBegun(Option<Duration>),
    /// The clock of this machine is so much before the moment when this program was built.
    #[error(
        "the clock of this machine is wrong, by {} at least: it says a time before this program \
         was built; set it, and the rest comes by itself",
        rough(*.0)
    )]
    Clock(Duration),
    /// Our certificate has ended, or has not begun; TLS has one word for both.
    #[error(
        "by its clock our certificate is not valid at this time: renew it, and look at both clocks"
    )]
    OwnEnded,
    /// Our certificate is not one for this.
    #[error(
        "it does not accept our certificate here ({0}): another coordinator's, or for another use"
    )]
    OwnRefused(&'static str),
    /// A certificate is needed.
    #[error("it wants a certificate: join first")]
    OwnMissing,
    /// Something else is there.
    #[error("no Bailiwick coordinator answers there: it does not speak TLS 1.3 with HTTP/2")]
    NotOurs,
    /// The connection was closed.
    #[error("it closed the connection: {0}")]
    Closed(io::Error),
    /// TLS failed in another way.
    #[error("TLS failed: {0}")]
    Tls(#[from] rustls::Error),
    /// TLS cannot be set up.
    #[error(transparent)]
    Own(#[from] TlsError),
    /// HTTP/2 failed.
    #[error("HTTP/2 failed: {0}")]
    Http(#[from] tonic::transport::Error),
}

impl Trouble {
    /// Whether somebody was there.
    fn answered(&self) -> bool {
        !matches!(
            self,
            Self::NoAddress(_) | Self::Unreachable(_) | Self::NotHere(_) | Self::Slow(_)
        )
    }

    /// Sorts what TLS reports.
    fn of(error: io::Error) -> Self {
        let tls = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(tls) => Self::of_tls(tls.clone()),
            None => Self::Closed(error),
        }
    }

    fn of_tls(error: rustls::Error) -> Self {
        use CertificateError as Bad;
        use rustls::Error::{AlertReceived, InvalidCertificate};
        let ago = |at: UnixTime| now().checked_sub(Duration::from_secs(at.as_secs()));
        let ahead = |at: UnixTime| Duration::from_secs(at.as_secs()).checked_sub(now());
        match error {
            InvalidCertificate(Bad::Other(other)) if other.0.is::<PinMissed>() => Self::WrongPin,
            InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
                Self::WrongName
            }
            InvalidCertificate(Bad::Expired) => Self::Ended(None),
            InvalidCertificate(Bad::ExpiredContext { not_after, .. }) => {
                Self::Ended(ago(not_after))
            }
            InvalidCertificate(Bad::NotValidYet) => Self::NotBegun(None),
            InvalidCertificate(Bad::NotValidYetContext { time, not_before }) => {
                match built().checked_sub(Duration::from_secs(time.as_secs())) {
                    Some(wrong) if !wrong.is_zero() => Self::Clock(wrong),
                    _ => Self::NotBegun(ahead(not_before)),
                }
            }
            InvalidCertificate(_) => Self::Stranger,
            AlertReceived(AlertDescription::CertificateExpired) => Self::OwnEnded,
            AlertReceived(AlertDescription::CertificateRequired) => Self::OwnMissing,
            AlertReceived(AlertDescription::UnknownCA) => Self::OwnRefused("unknown authority"),
            AlertReceived(AlertDescription::AccessDenied) => Self::OwnRefused("access denied"),
            AlertReceived(
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::DecryptError,
            ) => Self::OwnRefused("bad certificate"),
            AlertReceived(
                AlertDescription::ProtocolVersion | AlertDescription::NoApplicationProtocol,
            )
            | rustls::Error::InvalidMessage(_)
            | rustls::Error::PeerIncompatible(_)
            | rustls::Error::NoApplicationProtocol => Self::NotOurs,
            other => Self::Tls(other),
        }
    }
}

/// When this program was built, since 1970. No clock that is right is before that.
fn built() -> Duration {
    Duration::from_secs(env!("BAILIWICK_BUILT").parse().unwrap_or(0))
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

fn long(ago: Option<Duration>) -> String {
    ago.map_or_else(
        || "some time ago".to_owned(),
        |ago| format!("{} ago", rough(ago)),
    )
}

fn later(ahead: Option<Duration>) -> String {
    ahead.map_or_else(
        || "later".to_owned(),
        |ahead| format!("in {}", rough(ahead)),
    )
}

fn rough(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7_200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

async fn step<T>(what: &'static str, work: impl Future<Output = T>) -> Result<T, Trouble> {
    timeout(STEP, work).await.map_err(|_| Trouble::Slow(what))
}

/// Speaks HTTP/2 on one connection, and on no other.
async fn once<S>(stream: Answered<S>, domain: &TrustDomain) -> Result<Channel, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let only = Arc::new(Mutex::new(Some(TokioIo::new(stream))));
    let connector = tower::service_fn(move |_| {
        let taken = only.lock().unwrap_or_else(|e| e.into_inner()).take();
        async move { taken.ok_or_else(|| io::Error::other("the connection has ended")) }
    });
    let endpoint = Endpoint::from_shared(format!("http://{domain}"))?
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true);
    Ok(endpoint.connect_with_connector(connector).await?)
}

/// A connection on which the server has spoken first.
///
/// In TLS 1.3 the client is ready before the server has looked at its certificate, so a refusal
/// comes as the first answer. HTTP/2 servers begin with their settings: once these are here, the
/// certificate was accepted. Until then nothing is sent, so that no late reset of the connection
/// can hide the reason.
struct Answered<S> {
    stream: S,
    first: Vec<u8>,
    read: usize,
}

impl<S: AsyncRead + Unpin> Answered<S> {
    async fn wait(mut stream: S) -> Result<Self, Trouble> {
        let mut first = vec![0; 1024];
        let octets = step("answer", stream.read(&mut first))
            .await?
            .map_err(Trouble::of)?;
        if octets == 0 {
            return Err(Trouble::Closed(io::ErrorKind::UnexpectedEof.into()));
        }
        first.truncate(octets);
        Ok(Self {
            stream,
            first,
            read: 0,
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Answered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let rest = &this.first[this.read..];
        if rest.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let octets = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..octets]);
        this.read += octets;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Answered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_is_told_with_what_is_known_of_it() {
        let day = Duration::from_secs(86_400);
        let not_yet = |time: Duration| {
            let context = CertificateError::NotValidYetContext {
                time: UnixTime::since_unix_epoch(time),
                not_before: UnixTime::since_unix_epoch(now() + day * 3),
            };
            Trouble::of_tls(rustls::Error::InvalidCertificate(context)).to_string()
        };
        let ended = CertificateError::ExpiredContext {
            time: UnixTime::since_unix_epoch(now()),
            not_after: UnixTime::since_unix_epoch(now() - day * 3),
        };
        let ended = Trouble::of_tls(rustls::Error::InvalidCertificate(ended)).to_string();
        let cases = [
            (
                not_yet(Duration::ZERO),
                "before this program was built",
                "1970",
            ),
            (
                not_yet(built() - day * 3),
                "wrong, by 3 days at least",
                "days before",
            ),
            (
                not_yet(built() + day),
                "begins in 2 days",
                "it may be right",
            ),
            (
                ended,
                "ended 3 days ago; or the clock",
                "nobody knows which",
            ),
        ];
        for (told, wanted, why) in cases {
            assert!(told.contains(wanted), "{why}: {told}");
            assert!(told.contains("clock of this machine"), "{why}: {told}");
        }
    }
}
