//! Finding the coordinator and asking it, with a sentence for everything that can go wrong.
//!
//! ```text
//!  --coordinator, BAILIWICK_COORDINATOR ─▶ Door ─ socket ──▶ Link ─▶ Client ─ ask ─▶ answer
//!                                            └── HOST:PORT ─ Identity ─┘
//! ```

use std::{
    env, fmt,
    io::ErrorKind,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use bailiwick_host::{Usage, paths};
use bailiwick_render::names::clean;
use bailiwick_rpc::{
    ConnectError, HostPort, Link, Trouble, operator::operator_service_client::OperatorServiceClient,
};
use tonic::{Code, Response, Status, transport::Channel};

use crate::{PROGRAM, args::Arguments};

pub(crate) mod identity;
pub(crate) mod told;

use identity::Identity;

/// Names the coordinator where the command line does not.
const VARIABLE: &str = "BAILIWICK_COORDINATOR";
/// Names the folder of identities, instead of the user's.
const STATE: &str = "BAILIWICK_STATE";
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a coordinator of this machine may take to start.
const STARTING: Duration = Duration::from_secs(2);
/// The largest message of a coordinator, in octets: a verdict with all raw answers.
const LARGEST: usize = 16 * 1024 * 1024;

/// Calls of an operator.
pub(crate) type Client = OperatorServiceClient<Channel>;

/// Where a coordinator lets operators in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Door {
    /// A unix socket of this machine.
    Socket(PathBuf),
    /// Elsewhere; needs an identity.
    Remote(HostPort),
}

impl FromStr for Door {
    type Err = String;

    /// Reads `unix:PATH`, a path with a slash, or `HOST:PORT`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Socket(path.into()));
        }
        if text.contains('/') {
            return Ok(Self::Socket(text.into()));
        }
        text.parse().map(Self::Remote).map_err(|_| {
            "write HOST:PORT, or the path of a socket with a slash in it; without a value, put \
             --coordinator at the end"
                .to_owned()
        })
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Remote(host) => write!(f, "{host}"),
        }
    }
}

impl Arguments {
    /// Returns where the coordinator is: as the command line says, else the environment, else
    /// the socket of this machine.
    fn door(&self) -> Result<Door, Usage> {
        if let Some(Some(door)) = &self.coordinator {
            return Ok(door.clone());
        }
        match env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => text
                .parse()
                .map_err(|error| Usage(format!("{VARIABLE}={text}: {error}"))),
            _ => Ok(Door::Socket(paths::socket())),
        }
    }
}

/// Returns the folder in which this program keeps who it is.
pub(crate) fn state() -> PathBuf {
    match env::var_os(STATE) {
        Some(folder) if !folder.is_empty() => folder.into(),
        _ => paths::state(PROGRAM),
    }
}

/// Talks to the coordinator until all is said, or somebody has enough.
pub(crate) fn talk<T>(
    arguments: &Arguments,
    talk: impl AsyncFnOnce(Client) -> Result<T, anyhow::Error>,
) -> Result<T, anyhow::Error> {
    let door = arguments.door()?;
    bailiwick_host::block_on(async {
        let whole = async {
            let link = connect(&door).await?;
            let client = link.operator().max_decoding_message_size(LARGEST);
            talk(client).await
        };
        tokio::select! {
            said = whole => said,
            () = bailiwick_host::stopped() => Err(anyhow!("interrupted")),
        }
    })?
}

async fn connect(door: &Door) -> Result<Link, anyhow::Error> {
    match door {
        Door::Socket(path) => local(path)
            .await
            .map_err(|error| anyhow!(no_socket(door, &error))),
        Door::Remote(host) => {
            let mut identity = Identity::find(&state(), host)?;
            identity.renew().await?;
            let link = identity.connect(host).await;
            link.with_context(|| format!("cannot talk to the coordinator as {}", identity.name()))
        }
    }
}

/// Connects to the coordinator of this machine, which may have been started just now.
async fn local(path: &Path) -> Result<Link, ConnectError> {
    let until = Instant::now() + STARTING;
    loop {
        let nobody = [ErrorKind::NotFound, ErrorKind::ConnectionRefused].map(Some);
        match Link::local(path).await {
            Err(error) if nobody.contains(&kind(&error)) && Instant::now() < until => {
                tokio::time::sleep(STARTING / 20).await;
            }
            connected => return connected,
        }
    }
}

/// What the system said when nobody answered.
fn kind(error: &ConnectError) -> Option<ErrorKind> {
    error.tried.iter().find_map(|(_, trouble)| match trouble {
        Trouble::NotHere(error) | Trouble::Unreachable(error) => Some(error.kind()),
        _ => None,
    })
}

/// Says why there is nobody behind a socket.
fn no_socket(door: &Door, error: &ConnectError) -> String {
    match kind(error) {
        Some(ErrorKind::NotFound) => format!(
            "no coordinator runs here (looked for {door}); start bailiwick-coordinator or name \
             one with --coordinator"
        ),
        Some(ErrorKind::ConnectionRefused) => format!(
            "no coordinator runs here any more: nobody listens at {door}; start \
             bailiwick-coordinator or name one with --coordinator"
        ),
        Some(ErrorKind::PermissionDenied) => format!(
            "this user may not talk to the coordinator: {door} is for its owner and group; join \
             that group, or ask for an invitation (bailiwick operator invite)"
        ),
        _ => format!("cannot talk to the coordinator: {error}"),
    }
}

/// Waits for one answer, but not for ever.
pub(crate) async fn ask<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, anyhow::Error> {
    Ok(in_time(call).await?.into_inner())
}

/// Waits for what a coordinator has to say next, but not for ever.
pub(crate) async fn in_time<T>(
    said: impl Future<Output = Result<T, Status>>,
) -> Result<T, anyhow::Error> {
    match tokio::time::timeout(PATIENCE, said).await {
        Ok(said) => said.map_err(|status| refused(&status)),
        Err(_) => Err(anyhow!(
            "the coordinator says nothing for {} s",
            PATIENCE.as_secs()
        )),
    }
}

/// Says what a coordinator means by a status. What the user has to say differently is
/// [`Usage`].
pub(crate) fn refused(status: &Status) -> anyhow::Error {
    let said = clean(status.message());
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange => Usage(said).into(),
        Code::Unauthenticated => anyhow!(
            "the coordinator does not know who asks ({said}); ask for an invitation: bailiwick \
             operator invite"
        ),
        Code::PermissionDenied => anyhow!(
            "the coordinator does not allow this ({said}); somebody with another role may, see \
             bailiwick operator invite --help"
        ),
        Code::ResourceExhausted => anyhow!("the coordinator has no room for this now: {said}"),
        Code::Unimplemented => {
            anyhow!("the coordinator cannot do this: it is older than this program")
        }
        Code::DeadlineExceeded => anyhow!("the coordinator did not answer in time"),
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Aborted => {
            anyhow!("the coordinator went away: {said}")
        }
        _ => anyhow!("the coordinator failed: {said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinator_is_a_socket_or_a_host_and_a_port() {
        let socket = |path: &str| Some(Door::Socket(path.into()));
        let remote = |text: &str| Some(Door::Remote(text.parse().unwrap()));
        let cases = [
            ("/run/x.sock", socket("/run/x.sock"), "a path"),
            ("./x.sock", socket("./x.sock"), "a path from here"),
            ("unix:x.sock", socket("x.sock"), "a path that says so"),
            ("a.test:8444", remote("a.test:8444"), "a host"),
            ("[2001:db8::1]:1", remote("[2001:db8::1]:1"), "an address"),
            ("example.com", None, "the zone was swallowed"),
            ("unix:", None, "no path"),
            ("", None, "nothing"),
        ];
        for (text, door, why) in cases {
            assert_eq!(text.parse().ok(), door, "{text}: {why}");
        }
    }

    #[test]
    fn each_refusal_is_a_sentence_and_has_its_exit_code() {
        let cases = [
            (Code::InvalidArgument, 2, "why"),
            (Code::NotFound, 2, "why"),
            (Code::AlreadyExists, 2, "why"),
            (Code::FailedPrecondition, 2, "why"),
            (Code::Unauthenticated, 3, "does not know who asks"),
            (Code::PermissionDenied, 3, "does not allow this"),
            (Code::ResourceExhausted, 3, "no room"),
            (Code::Unavailable, 3, "went away"),
            (Code::Unknown, 3, "went away"),
            (Code::Unimplemented, 3, "older"),
            (Code::DeadlineExceeded, 3, "in time"),
            (Code::Internal, 3, "failed"),
        ];
        for (code, exit, wanted) in cases {
            let error = refused(&Status::new(code, "why\u{1b}[2J"));
            let text = format!("{error:#}");
            assert_eq!(bailiwick_host::exit_code(&error), exit, "{text}");
            assert!(text.contains(wanted), "{text}");
            assert!(!text.contains('\u{1b}'), "{text}");
        }
    }

    #[test]
    fn without_a_coordinator_the_way_out_is_named() {
        let door: Door = "/run/x.sock".parse().unwrap();
        let cases = [
            (ErrorKind::NotFound, "start bailiwick-coordinator"),
            (
                ErrorKind::ConnectionRefused,
                "nobody listens at /run/x.sock",
            ),
            (ErrorKind::PermissionDenied, "join that group"),
            (ErrorKind::Other, "cannot talk"),
        ];
        for (kind, wanted) in cases {
            let error = ConnectError {
                tried: vec![(door.to_string(), Trouble::NotHere(kind.into()))],
            };
            let text = no_socket(&door, &error);
            assert!(
                text.contains(wanted) && text.contains("/run/x.sock"),
                "{text}"
            );
        }
    }
}
