//! A connection that ends by itself.
//!
//! gRPC has no clock for callers who say nothing, and TLS none for certificates that end while
//! the connection lives. Both are kept here, below HTTP/2, so nothing above can forget them.

use std::{
    future::{self, Future},
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Notify, watch},
    time::{Instant, Sleep, sleep_until},
};
use tonic::transport::server::Connected;

use crate::{
    crowd::Seat,
    identity::{Caller, Peer},
    key::KeyHash,
    pace::Pace,
};

/// How long a caller may take for the first words of HTTP/2, and how long one without
/// certificate may say nothing.
const IDLE: Duration = Duration::from_secs(5);
/// How long a connection without certificate may last at all: enough to enrol, too short to wait.
const NEWCOMER: Duration = Duration::from_secs(30);
/// Octets of the connection preface and of the smallest frame after it (RFC 9113, section 3.4).
/// From there on the keepalive of HTTP/2 watches.
const PREFACE: usize = 24 + 9;

/// With whom a connection is counted.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Group {
    /// Everybody without certificate from one network.
    Network(IpAddr),
    /// Everybody with one key.
    Key(KeyHash),
    /// Every process of one user.
    User(u32),
}

impl Group {
    pub(crate) fn network(address: IpAddr) -> Self {
        Self::Network(Self::network_of(address))
    }

    /// The network of an address, whose hosts are counted as one: /24 or /64.
    pub(crate) fn network_of(address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & !0xff).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        }
    }
}

/// What is known of a connection above it.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) caller: Arc<Caller>,
    pub(crate) pace: Arc<Pace>,
    pub(crate) hang_up: HangUp,
}

/// Ends the connection that a request came on: HTTP/2 can end a stream only towards somebody who
/// takes what is before the end.
#[derive(Clone, Debug)]
pub struct HangUp(Arc<Notify>);

impl HangUp {
    /// Returns that of a request.
    ///
    /// # Errors
    ///
    /// Returns `INTERNAL` if the request did not come through a listener of this crate.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, tonic::Status> {
        let found = request.extensions().get::<Self>().cloned();
        found.ok_or_else(|| tonic::Status::internal("the connection cannot be ended"))
    }

    /// Ends the connection, with all that goes on over it.
    pub fn now(&self) {
        self.0.notify_one();
    }
}

/// A connection with its caller and its end.
pub(crate) struct Limited<S> {
    io: S,
    guest: Guest,
    end: Pin<Box<dyn Future<Output = Ended> + Send>>,
    idle: Pin<Box<Sleep>>,
    phase: Phase,
    ended: Option<Ended>,
}

/// What silence means now.
enum Phase {
    /// So many octets of the preface are still to come, all before `idle` ends.
    Opening(usize),
    /// Something must come within [`IDLE`] each time.
    Newcomer,
    /// HTTP/2 watches.
    Member,
}

/// Why a connection was ended.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Ended {
    #[error("the certificate has ended")]
    Certificate,
    #[error("a connection without certificate lasts {NEWCOMER:?}")]
    Newcomer,
    #[error("nothing was said for {IDLE:?}")]
    Idle,
    #[error("too many calls")]
    Flooding,
    #[error("it does not take what it is told")]
    Deaf,
    #[error("another connection has taken its place")]
    Crowded,
    #[error("the server stops")]
    Stopped,
}

impl<S> Limited<S> {
    /// Ends the connection with the caller's certificate, when its seat is lost, or when `cut` says
    /// so or is dropped.
    pub(crate) fn new(
        io: S,
        caller: Caller,
        mut seat: Seat<Group>,
        mut cut: watch::Receiver<bool>,
    ) -> Self {
        let now = Instant::now();
        let last = match &caller.peer {
            Peer::Nobody => Some((now + NEWCOMER, Ended::Newcomer)),
            Peer::Agent(certified) | Peer::Operator(certified) => {
                let left = certified
                    .not_after
                    .duration_since(SystemTime::now())
                    .unwrap_or_default();
                Some((now + left, Ended::Certificate))
            }
            Peer::Local { .. } => None,
        };
        let pace = Arc::new(Pace::of(&caller.peer));
        let hang_up = HangUp(Arc::new(Notify::new()));
        let guest = Guest {
            caller: Arc::new(caller),
            pace: Arc::clone(&pace),
            hang_up: hang_up.clone(),
        };
        let end = async move {
            let certificate_or_patience = async {
                match last {
                    Some((at, why)) => {
                        sleep_until(at).await;
                        why
                    }
                    None => future::pending().await,
                }
            };
            tokio::select! {
                why = certificate_or_patience => why,
                () = pace.exceeded() => Ended::Flooding,
                () = hang_up.0.notified() => Ended::Deaf,
                () = seat.lost() => Ended::Crowded,
                _ = cut.wait_for(|cut| *cut) => Ended::Stopped,
            }
        };
        Self {
            io,
            guest,
            end: Box::pin(end),
            idle: Box::pin(sleep_until(now + IDLE)),
            phase: Phase::Opening(PREFACE),
            ended: None,
        }
    }

    /// Whether the connection is over. If not, the task is woken when it is.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let why = match self.ended {
            Some(why) => why,
            None => ready!(self.poll_why(context)),
        };
        if self.ended.is_none() {
            tracing::debug!(source = ?self.guest.caller.source, "connection ended: {why}");
            self.ended = Some(why);
        }
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, why))
    }

    fn poll_why(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        if let Poll::Ready(why) = self.end.as_mut().poll(context) {
            return Poll::Ready(why);
        }
        if matches!(self.phase, Phase::Member) {
            return Poll::Pending;
        }
        ready!(self.idle.as_mut().poll(context));
        Poll::Ready(Ended::Idle)
    }

    fn heard(&mut self, octets: usize) {
        self.phase = match self.phase {
            Phase::Opening(left) if octets < left => Phase::Opening(left - octets),
            Phase::Opening(_) | Phase::Newcomer if self.guest.caller.peer == Peer::Nobody => {
                self.idle.as_mut().reset(Instant::now() + IDLE);
                Phase::Newcomer
            }
            _ => Phase::Member,
        };
    }
}

impl<S> Connected for Limited<S> {
    type ConnectInfo = Guest;

    fn connect_info(&self) -> Guest {
        self.guest.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Limited<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_end(context) {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        let octets = buffer.filled().len() - before;
        if octets > 0 {
            self.heard(octets);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Limited<S> {
    /// One who does not read must not outlive its end either.
    fn unless_ended<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_pending()
            && let Poll::Ready(error) = self.poll_end(context)
        {
            return Poll::Ready(Err(error));
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Limited<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(context, octets);
        self.unless_ended(context, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_flush(context);
        self.unless_ended(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_shutdown(context);
        self.unless_ended(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.unless_ended(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::{
        crowd::Crowd,
        identity::{Certified, Serial},
    };

    struct Ends {
        far: DuplexStream,
        near: Limited<DuplexStream>,
        crowd: Crowd<Group>,
        cut: watch::Sender<bool>,
    }

    /// A connection of somebody, in a crowd of one, with a buffer of 64 octets.
    fn connection(peer: Peer) -> Ends {
        let (far, io) = duplex(64);
        let (cut, ended) = watch::channel(false);
        let crowd = Crowd::new(1, 1);
        let caller = Caller {
            peer,
            source: None,
            exporter: None,
        };
        let seat = crowd.enter(Group::User(0));
        let near = Limited::new(io, caller, seat, ended);
        Ends {
            far,
            near,
            crowd,
            cut,
        }
    }

    fn agent(life: Duration) -> Peer {
        Peer::Agent(Certified {
            name: "a".parse().unwrap(),
            key: KeyHash([0; 32]),
            serial: Serial([0; 16]),
            not_after: SystemTime::now() + life,
        })
    }

    const LOCAL: Peer = Peer::Local {
        uid: 0,
        gid: 0,
        pid: None,
    };
    const HOUR: Duration = Duration::from_secs(3600);

    /// Says `words` one after the other with a pause before each, and returns after how many
    /// seconds the connection ended, and why.
    async fn until_the_end(peer: Peer, words: &[usize], pause: Duration) -> (u64, String) {
        let began = Instant::now();
        let mut ends = connection(peer);
        let talk = async {
            for octets in words {
                tokio::time::sleep(pause).await;
                if ends.far.write_all(&vec![0; *octets]).await.is_err() {
                    break;
                }
            }
            future::pending::<()>().await;
        };
        let mut buffer = [0; 64];
        let listen = async {
            loop {
                if let Err(error) = ends.near.read(&mut buffer).await {
                    return error.to_string();
                }
            }
        };
        let why = tokio::select! {
            () = talk => unreachable!(),
            why = listen => why,
        };
        // Asked again, it says the same.
        let again = ends.near.read(&mut buffer).await.unwrap_err();
        assert_eq!(again.to_string(), why);
        (began.elapsed().as_secs(), why)
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_connection() {
        let second = Duration::from_secs(1);
        let nobody = || Peer::Nobody;
        let cases: [(Peer, &[usize], u64, &str, &str); 8] = [
            (nobody(), &[], 5, "nothing was said", "no word at all"),
            (agent(HOUR), &[], 5, "nothing was said", "nor of an agent"),
            (LOCAL, &[], 5, "nothing was said", "nor of a local process"),
            (
                nobody(),
                &[1; 60],
                5,
                "nothing was said",
                "a drip does not help",
            ),
            (
                agent(HOUR),
                &[1; 60],
                5,
                "nothing was said",
                "nor that of an agent",
            ),
            (
                nobody(),
                &[33],
                6,
                "nothing was said",
                "the preface, and nothing more",
            ),
            (
                nobody(),
                &[33, 1, 1, 1],
                9,
                "nothing was said",
                "five seconds after the last",
            ),
            (
                nobody(),
                &[33; 60],
                30,
                "without certificate",
                "talking for ever",
            ),
        ];
        for (peer, words, seconds, reason, why) in cases {
            let (ended, said) = until_the_end(peer, words, second).await;
            assert_eq!(ended, seconds, "{why}");
            assert!(said.contains(reason), "{why}: {said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_with_its_certificate() {
        for life in [Duration::from_secs(7), HOUR, 24 * HOUR] {
            let (ended, said) = until_the_end(agent(life), &[33], Duration::ZERO).await;
            assert!(ended.abs_diff(life.as_secs()) <= 1, "{life:?}: {ended}");
            assert!(said.contains("certificate has ended"), "{said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_when_its_seat_is_lost_it_is_hung_up_or_the_server_stops() {
        let mut buffer = [0; 64];
        let mut ends = connection(LOCAL);
        let _another = ends.crowd.enter(Group::User(0));
        let said = ends.near.read(&mut buffer).await.unwrap_err().to_string();
        assert!(said.contains("taken its place"), "{said}");

        let mut ends = connection(LOCAL);
        ends.near.guest.hang_up.now();
        let said = ends.near.read(&mut buffer).await.unwrap_err().to_string();
        assert!(said.contains("does not take"), "{said}");

        let mut ends = connection(LOCAL);
        ends.cut.send_replace(true);
        let said = ends.near.read(&mut buffer).await.unwrap_err().to_string();
        assert!(said.contains("stops"), "{said}");

        let mut ends = connection(LOCAL);
        drop(ends.cut);
        let said = ends.near.read(&mut buffer).await.unwrap_err().to_string();
        assert!(said.contains("stops"), "the server is gone: {said}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_does_not_outlive_the_end() {
        let mut ends = connection(agent(HOUR));
        ends.far.write_all(&[0; 33]).await.unwrap();
        ends.near.read_exact(&mut [0; 33]).await.unwrap();
        let began = Instant::now();
        let error = ends.near.write_all(&[0; 65]).await.unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
        assert!(began.elapsed().as_secs().abs_diff(3600) <= 1);
    }
}
