//! Where agents and operators come in.
//!
//! Agents and operators have listeners of their own, and each listener has only its own services.
//! A certificate of the other kind is refused during the handshake.

use std::{
    fs,
    future::Future,
    io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, RwLock},
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener},
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{service::Routes, transport::Server};

use crate::{
    access::Access,
    authority::ServerIdentity,
    crowd::Crowd,
    haste::Haste,
    identity::{Caller, Kind, Peer, TrustDomain},
    limited::{Group, Limited},
    tls::{self, TlsError},
};

/// Largest message that is decoded, in octets.
pub(crate) const MESSAGE: usize = 1024 * 1024;

const HANDSHAKE: Duration = Duration::from_secs(5);
/// Most handshakes at once. See [`Crowd`] for who must go when there are more.
const HANDSHAKES: usize = 256;
/// Most connections that wait for their handshake, while neighbours are at theirs. A caller waits
/// for five seconds, and in that time about so many are served.
const IN_LINE: usize = 2048;
/// How long a handshake may take before a neighbour may have its place.
const IN_TURN: Duration = Duration::from_secs(1);
/// Most connections without certificate at once.
const NEWCOMERS: usize = 512;
/// Most connections with one key: the one in use, one that the other end has lost without our
/// knowing, and two to spare.
const OF_ONE_KEY: usize = 4;
/// Most connections of one local user.
const OF_ONE_USER: usize = 128;
/// How long calls may go on after the server was asked to stop.
const GRACE: Duration = Duration::from_secs(10);
/// Connections that are ready and not yet served.
const READY: usize = 64;

/// A server with the limits of all our listeners.
pub fn server_builder() -> Server {
    Server::builder()
        // Without this there would be no limit at all.
        .max_concurrent_streams(8)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .http2_max_header_list_size(16 * 1024)
        // Streams that are opened and reset at once (CVE-2023-44487), and those that we had to
        // reset (CVE-2025-8671).
        .http2_max_pending_accept_reset_streams(Some(20))
        .http2_max_local_error_reset_streams(Some(100))
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
}

/// What servers show. It can be exchanged while they run.
#[derive(Debug)]
pub struct ServerTls {
    domain: TrustDomain,
    current: RwLock<Configs>,
}

#[derive(Debug)]
struct Configs {
    agents: Arc<ServerConfig>,
    operators: Arc<ServerConfig>,
}

impl ServerTls {
    /// Shows an identity from now on.
    ///
    /// # Errors
    ///
    /// Returns an error if certificate and key do not fit.
    pub fn new(identity: &ServerIdentity) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self {
            domain: identity.domain.clone(),
            current: RwLock::new(Configs::of(identity)?),
        }))
    }

    /// Shows another one to whoever comes from now on. Connections that are open stay.
    ///
    /// # Errors
    ///
    /// Returns an error if certificate and key do not fit; then nothing changes.
    pub fn replace(&self, identity: &ServerIdentity) -> Result<(), TlsError> {
        let configs = Configs::of(identity)?;
        *self.current.write().unwrap_or_else(|e| e.into_inner()) = configs;
        Ok(())
    }

    fn of(&self, kind: Kind) -> Arc<ServerConfig> {
        let configs = self.current.read().unwrap_or_else(|e| e.into_inner());
        Arc::clone(match kind {
            Kind::Agent => &configs.agents,
            Kind::Operator => &configs.operators,
        })
    }
}

impl Configs {
    fn of(identity: &ServerIdentity) -> Result<Self, TlsError> {
        Ok(Self {
            agents: tls::server(identity, Kind::Agent, true)?,
            operators: tls::server(identity, Kind::Operator, false)?,
        })
    }
}

/// Why a server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {at}: {source}")]
    Listen {
        /// Where.
        at: String,
        /// What the system says.
        source: io::Error,
    },
    /// The server cannot go on.
    #[error("cannot serve: {0}")]
    Serve(#[from] tonic::transport::Error),
}

impl ServeError {
    fn listen(at: impl ToString) -> impl FnOnce(io::Error) -> Self {
        let at = at.to_string();
        move |source| Self::Listen { at, source }
    }
}

/// Where agents come in, and newcomers that want to become one.
#[derive(Debug)]
pub struct AgentListener {
    door: TlsDoor,
}

impl AgentListener {
    /// Listens on an address; port 0 lets the system choose.
    ///
    /// # Errors
    ///
    /// Returns an error if the system refuses.
    pub async fn bind(address: SocketAddr, tls: Arc<ServerTls>) -> Result<Self, ServeError> {
        let door = TlsDoor::bind(address, tls, Kind::Agent).await?;
        Ok(Self { door })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.door.address
    }

    /// Serves until `stop` ends, and then as long as calls in flight need, at most ten seconds.
    ///
    /// # Errors
    ///
    /// Returns an error if the server cannot go on.
    pub async fn serve(
        self,
        routes: Routes,
        access: Access,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let (cut, ended) = watch::channel(false);
        serve(self.door.open(ended), cut, routes, access, stop).await
    }
}

/// Where operators come in.
#[derive(Debug)]
pub struct OperatorListener {
    door: OperatorDoor,
}

#[derive(Debug)]
enum OperatorDoor {
    Tls(TlsDoor),
    Local(LocalDoor),
}

impl OperatorListener {
    /// Listens on an address for operators with certificates.
    ///
    /// # Errors
    ///
    /// Returns an error if the system refuses.
    pub async fn bind(address: SocketAddr, tls: Arc<ServerTls>) -> Result<Self, ServeError> {
        let door = TlsDoor::bind(address, tls, Kind::Operator).await?;
        Ok(Self {
            door: OperatorDoor::Tls(door),
        })
    }

    /// Listens on a unix socket that its owner and `group` can use. A socket of that name on
    /// which nobody listens any more is replaced.
    ///
    /// # Errors
    ///
    /// Returns an error if the system refuses or somebody listens there.
    pub fn bind_local(path: &Path, group: Option<u32>) -> Result<Self, ServeError> {
        let door = LocalDoor::bind(path, group).map_err(ServeError::listen(path.display()))?;
        Ok(Self {
            door: OperatorDoor::Local(door),
        })
    }

    /// Where it listens, if not on a unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.door {
            OperatorDoor::Tls(door) => Some(door.address),
            OperatorDoor::Local(_) => None,
        }
    }

    /// Serves until `stop` ends, and then as long as calls in flight need, at most ten seconds.
    ///
    /// # Errors
    ///
    /// Returns an error if the server cannot go on.
    pub async fn serve(
        self,
        routes: Routes,
        access: Access,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let (cut, ended) = watch::channel(false);
        match self.door {
            OperatorDoor::Tls(door) => serve(door.open(ended), cut, routes, access, stop).await,
            OperatorDoor::Local(door) => serve(door.open(ended), cut, routes, access, stop).await,
        }
    }
}

/// Connections that are ready to be served, and the task that makes them.
struct Opened<S> {
    ready: mpsc::Receiver<io::Result<Limited<S>>>,
    _admitting: JoinSet<()>,
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    opened: Opened<S>,
    cut: watch::Sender<bool>,
    routes: Routes,
    access: Access,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let Opened { ready, _admitting } = opened;
    let (stopping, stopped) = oneshot::channel();
    let stop = async move {
        stop.await;
        drop(_admitting); // Nobody new comes in.
        let _ = stopping.send(());
    };
    let serving = server_builder()
        .layer(access)
        .add_routes(routes)
        .serve_with_incoming_shutdown(ReceiverStream::new(ready), stop);
    let mut serving = pin!(serving);
    let patience = async {
        if stopped.await.is_ok() {
            sleep(GRACE).await;
        }
    };
    tokio::select! {
        result = &mut serving => return Ok(result?),
        () = patience => {}
    }
    let _ = cut.send(true);
    Ok(serving.await?)
}

#[derive(Debug)]
struct TlsDoor {
    listener: TcpListener,
    address: SocketAddr,
    tls: Arc<ServerTls>,
    kind: Kind,
}

impl TlsDoor {
    async fn bind(
        address: SocketAddr,
        tls: Arc<ServerTls>,
        kind: Kind,
    ) -> Result<Self, ServeError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(ServeError::listen(address))?;
        let address = listener.local_addr().map_err(ServeError::listen(address))?;
        Ok(Self {
            listener,
            address,
            tls,
            kind,
        })
    }

    fn open(self, ended: watch::Receiver<bool>) -> Opened<TlsStream<TcpStream>> {
        let (done, ready) = mpsc::channel(READY);
        let mut admitting = JoinSet::new();
        admitting.spawn(self.admit(done, ended));
        Opened {
            ready,
            _admitting: admitting,
        }
    }

    async fn admit(
        self,
        done: mpsc::Sender<io::Result<Limited<TlsStream<TcpStream>>>>,
        ended: watch::Receiver<bool>,
    ) {
        let handshakes = Arc::new(Crowd::new(HANDSHAKES, HANDSHAKES));
        let newcomers = Arc::new(Crowd::new(NEWCOMERS, NEWCOMERS));
        let members = Arc::new(Crowd::new(usize::MAX, OF_ONE_KEY));
        let haste = Arc::new(Haste::default());
        let mut tasks = JoinSet::new();
        loop {
            while tasks.try_join_next().is_some() {}
            let (stream, source) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    refused(&error).await;
                    continue;
                }
            };
            let network = Group::network(source.ip());
            let (handshakes, haste) = (Arc::clone(&handshakes), Arc::clone(&haste));
            let config = self.tls.of(self.kind);
            let domain = self.tls.domain.clone();
            let (newcomers, members) = (Arc::clone(&newcomers), Arc::clone(&members));
            let (done, ended) = (done.clone(), ended.clone());
            tasks.spawn(async move {
                let address = source.ip().to_canonical();
                if !haste.turn(address).await {
                    tracing::debug!(%source, "too many wait at this address");
                    return;
                }
                let seat = handshakes.enter_in_turn(network, IN_TURN, IN_LINE);
                let Some(mut seat) = seat.await else {
                    tracing::debug!(%source, "too many wait for a handshake");
                    return;
                };
                let (stream, caller) = tokio::select! {
                    result = timeout(HANDSHAKE, handshake(stream, source, config, &domain)) => {
                        match result {
                            Ok(Ok(greeted)) => greeted,
                            Ok(Err(error)) => {
                                tracing::debug!(%source, "handshake failed: {error}");
                                return;
                            }
                            Err(_) => {
                                tracing::debug!(%source, "no handshake within {HANDSHAKE:?}");
                                return;
                            }
                        }
                    }
                    () = seat.lost() => {
                        tracing::debug!(%source, "too many handshakes");
                        return;
                    }
                };
                let seat = match caller.peer.certificate() {
                    None => newcomers.enter(network),
                    Some(certified) => {
                        if haste.came(certified.key, address) {
                            let name = certified.name.as_str();
                            tracing::debug!(%source, name, "comes too often: its address waits");
                        }
                        members.enter(Group::Key(certified.key))
                    }
                };
                let _ = done
                    .send(Ok(Limited::new(stream, caller, seat, ended)))
                    .await;
            });
        }
    }
}

async fn handshake(
    stream: TcpStream,
    source: SocketAddr,
    config: Arc<ServerConfig>,
    domain: &TrustDomain,
) -> io::Result<(TlsStream<TcpStream>, Caller)> {
    stream.set_nodelay(true)?;
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    let (_, connection) = stream.get_ref();
    if connection.alpn_protocol() != Some(b"h2") {
        return Err(io::Error::other("the caller does not offer HTTP/2"));
    }
    let peer = match connection.peer_certificates().and_then(<[_]>::first) {
        None => Peer::Nobody,
        Some(leaf) => Peer::certified(domain, leaf)
            .ok_or_else(|| io::Error::other("the certificate names no member"))?,
    };
    let exporter = tls::exporter(connection).map_err(io::Error::other)?;
    let caller = Caller {
        peer,
        source: Some(source),
        exporter: Some(exporter),
    };
    Ok((stream, caller))
}

#[derive(Debug)]
struct LocalDoor {
    listener: UnixListener,
    path: PathBuf,
}

impl LocalDoor {
    fn bind(path: &Path, group: Option<u32>) -> io::Result<Self> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        // Made under another name, so that nobody finds it before its rights are set.
        let mut draft = path.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        let _ = fs::remove_file(&draft);
        let listener = UnixListener::bind(&draft)?;
        std::os::unix::fs::chown(&draft, None, group)?;
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o660))?;
        fs::rename(&draft, path)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    fn open(self, ended: watch::Receiver<bool>) -> Opened<tokio::net::UnixStream> {
        let (done, ready) = mpsc::channel(READY);
        let mut admitting = JoinSet::new();
        let users = Crowd::new(usize::MAX, OF_ONE_USER);
        admitting.spawn(async move {
            loop {
                let stream = match self.listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        refused(&error).await;
                        continue;
                    }
                };
                let Ok(peer) = stream.peer_cred() else {
                    continue; // Gone already.
                };
                let caller = Caller {
                    peer: Peer::Local {
                        uid: peer.uid(),
                        gid: peer.gid(),
                        pid: peer.pid(),
                    },
                    source: None,
                    exporter: None,
                };
                let seat = users.enter(Group::User(peer.uid()));
                let _ = done
                    .send(Ok(Limited::new(stream, caller, seat, ended.clone())))
                    .await;
            }
        });
        Opened {
            ready,
            _admitting: admitting,
        }
    }
}

impl Drop for LocalDoor {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Waits a little after a connection could not be taken: most likely too many files are open,
/// and asking again at once would only keep the processor busy.
async fn refused(error: &io::Error) {
    tracing::warn!("cannot accept a connection: {error}");
    sleep(Duration::from_millis(50)).await;
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener as StdUnixListener;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::Instant,
    };

    use super::*;

    /// The first words of HTTP/2: the preface and empty settings.
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    /// An acknowledgement of settings.
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_a_ping_is_gone_after_thirty_seconds() {
        let (mut far, near) = duplex(4096);
        let incoming = tokio_stream::once(Ok::<_, io::Error>(near));
        let serving = server_builder()
            .add_routes(Routes::default())
            .serve_with_incoming(incoming);
        tokio::spawn(serving);
        far.write_all(PREFACE).await.unwrap();
        far.write_all(SETTINGS).await.unwrap();
        let began = Instant::now();
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 30);
        let pinged = heard.windows(5).any(|frame| frame == [0, 0, 8, 6, 0]);
        assert!(pinged, "{heard:?}");
    }

    #[tokio::test]
    async fn a_socket_is_for_owner_and_group_and_only_a_dead_one_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sock");
        drop(StdUnixListener::bind(&path).unwrap()); // Left behind.
        let living = OperatorListener::bind_local(&path, None).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let error = OperatorListener::bind_local(&path, None).unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
        assert!(path.exists(), "and the living one stays");
        drop(living);
        assert!(!path.exists());
    }
}
