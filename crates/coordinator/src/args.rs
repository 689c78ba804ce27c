//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use bailiwick_rpc::{HostPort, TrustDomain};
use clap::{Args, Parser, Subcommand};

/// Gathers what agents see, judges, and answers operators
#[derive(Clone, Debug, Parser)]
#[command(
    name = "bailiwick-coordinator",
    version,
    max_term_width = 100,
    after_help = "Example:\n  \
        bailiwick-coordinator init --public coordinator.example.org:8443\n  \
        bailiwick-coordinator serve\n  \
        bailiwick agents invite fra-1     prints what `bailiwick-agent join` wants"
)]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// Where certificates, settings and store are [default: /var/lib/bailiwick-coordinator for
    /// root, ~/.local/state/bailiwick-coordinator for others]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
    /// Log more to standard error; may be repeated (RUST_LOG says it more exactly)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What the program can do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Make the folder: certificates, settings and an empty store
    Init(Init),
    /// Serve agents and operators until stopped
    Serve(Serve),
    /// Exchange the root that all certificates rest on, a step at a time
    #[command(subcommand)]
    Root(Root),
}

/// The steps of an exchange. Each takes effect when the coordinator is started again.
#[derive(Clone, Copy, Debug, Subcommand)]
#[command(after_help = "Example: bailiwick-coordinator root add\n  \
    then start the coordinator again, and so after each step:\n  \
    bailiwick-coordinator root switch    when all agents have been in a session\n  \
    bailiwick-coordinator root drop      a day later")]
pub enum Root {
    /// Say which root signs, and which other one is believed
    Show,
    /// Make another root, to be believed beside the one that signs
    Add,
    /// Let the other root sign; the one that signed before is still believed
    Switch(Anyway),
    /// Believe the other root no more, and delete its keys
    Drop(Anyway),
}

/// Whether to wait for everybody.
#[derive(Clone, Copy, Debug, Args)]
pub struct Anyway {
    /// Even if agents or operators are lost by it, and must be invited again
    #[arg(long)]
    pub anyway: bool,
}

/// Settings of a new coordinator.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: bailiwick-coordinator init --public coordinator.example.org:8443")]
pub struct Init {
    /// Where agents find it, as it stands in invitations; may be repeated. Needed unless --agents
    /// is one address
    #[arg(long, value_name = "HOST:PORT")]
    pub public: Vec<HostPort>,
    /// Where it listens for agents
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "[::]:8443")]
    pub agents: SocketAddr,
    /// Where it listens for operators from elsewhere; without it they come through the unix
    /// socket of this machine only
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub operators: Option<SocketAddr>,
    /// The unix socket for operators of this machine
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Users of this group may start checks through the socket
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// The name that all certificates carry
    #[arg(long, value_name = "NAME", default_value = "bailiwick.internal")]
    pub trust_domain: TrustDomain,
    /// The agents look at a laboratory, and not at the Internet
    #[arg(long)]
    pub lab: bool,
}

/// How to serve.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: bailiwick-coordinator serve -v")]
pub struct Serve {
    /// Read settings, certificates and store, say whether they are right, and end
    #[arg(long)]
    pub check_config: bool,
}
