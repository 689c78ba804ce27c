//! The commands that talk to a coordinator, and what `check` needs to ask one.

use std::{path::PathBuf, time::Duration};

use bailiwick_core::name::Name;
use bailiwick_rpc::Name as Member;
use clap::{Args, Subcommand, ValueEnum};

use super::Common;
use crate::input;

/// Which vantage points of a fleet look.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Who looks (with --coordinator)")]
pub struct Who {
    /// Only vantage points with this label; all of them if repeated
    #[arg(long, value_name = "LABEL=VALUE", value_parser = input::label)]
    pub from: Vec<String>,
    /// At most so many vantage points; the coordinator chooses which
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub agents: Option<u32>,
}

impl Who {
    /// Whether anything was chosen.
    pub(crate) fn chooses(&self) -> bool {
        !self.from.is_empty() || self.agents.is_some()
    }
}

/// Arguments of `agents`.
#[derive(Args, Clone, Debug)]
pub struct Agents {
    /// What to do
    #[command(subcommand)]
    pub command: AgentsCommand,
}

/// The commands of `agents`.
#[derive(Clone, Debug, Subcommand)]
pub enum AgentsCommand {
    /// Lists all agents
    #[command(after_help = "Example:\n  bailiwick agents list")]
    List,
    /// Shows all that is known of one agent
    #[command(after_help = "Example:\n  bailiwick agents show fra-1")]
    Show {
        /// The agent
        name: Member,
    },
    /// Prints one string with which a machine becomes an agent
    #[command(after_help = "Examples:\n  \
        bailiwick agents invite fra-1\n  \
        bailiwick agents invite fra-1 --label asn=64500 --label rir=ripe --ttl 30m\n  \
        bailiwick agents invite fra-1 --from 203.0.113.0/24 --approve\n\n\
        Labels that say where it stands: asn=NUMBER, rir=REGISTRY, geo=NORTH,EAST, operator=NAME.")]
    Invite(InviteAgent),
    /// Gives a voice to an agent that waits for it
    #[command(after_help = "Example:\n  bailiwick agents approve fra-1")]
    Approve {
        /// The agent
        name: Member,
    },
    /// Takes an agent's voice, at once and in verdicts to come
    #[command(after_help = "Example:\n  bailiwick agents ban fra-1 --reason 'machine was sold'")]
    Ban {
        /// The agent
        name: Member,
        /// Why; it is kept with who did it and when
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Arguments of `agents invite`.
#[derive(Args, Clone, Debug)]
pub struct InviteAgent {
    /// How the agent will be called: a-z, 0-9, "-" and "."
    pub name: Member,
    /// What is known of it; may be repeated
    #[arg(long, visible_alias = "labels", value_name = "LABEL=VALUE", value_parser = input::label)]
    pub label: Vec<String>,
    /// How long the string can be used, such as 30m, 1h or 2d
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = input::life)]
    pub ttl: Duration,
    /// Only from this network, such as 203.0.113.0/24
    #[arg(long, value_name = "NETWORK")]
    pub from: Option<String>,
    /// Give it no voice before `agents approve`
    #[arg(long)]
    pub approve: bool,
}

/// Arguments of `operator`.
#[derive(Args, Clone, Debug)]
pub struct Operator {
    /// What to do
    #[command(subcommand)]
    pub command: OperatorCommand,
}

/// The commands of `operator`.
#[derive(Clone, Debug, Subcommand)]
pub enum OperatorCommand {
    /// Prints one string with which somebody may ask the coordinator from elsewhere
    #[command(after_help = "Example:\n  bailiwick operator invite alice --role viewer")]
    Invite {
        /// How the operator will be called: a-z, 0-9, "-" and "."
        name: Member,
        /// What the operator may: see, also check, or also change the fleet
        #[arg(
            long,
            value_enum,
            value_name = "viewer|operator|admin",
            hide_possible_values = true
        )]
        role: Role,
        /// How long the string can be used, such as 30m, 1h or 2d
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = input::life)]
        ttl: Duration,
    },
    /// Makes this user an operator of a coordinator elsewhere
    #[command(after_help = "Examples:\n  \
        bailiwick operator join -          asks for the string, out of sight of other users\n  \
        bailiwick operator join bw1.NB2HI4B2F4XW...\n\n\
        The key is made here and stays here, in the folder that is named at the end;\n\
        BAILIWICK_STATE names another folder for it.")]
    Join {
        /// The string of the invitation; - reads it from standard input
        string: String,
    },
}

/// What an operator may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Role {
    /// Sees
    Viewer,
    /// Also starts checks
    Operator,
    /// Also changes the fleet
    Admin,
}

impl Role {
    /// Its word in the protocol.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// Arguments of `watch`.
#[derive(Args, Clone, Debug)]
pub struct Watch {
    /// What to do
    #[command(subcommand)]
    pub command: WatchCommand,
}

/// The commands of `watch`.
#[derive(Clone, Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one in a program")]
pub enum WatchCommand {
    /// Lets agents check a zone again and again, also while they cannot reach the coordinator
    #[command(after_help = "Examples:\n  \
        bailiwick watch add example.com --every 5m\n  \
        bailiwick watch add example.com --every 10m --from rir=ripe --agents 5\n\n\
        The vantage points are chosen now and stay the same. Each round is a check of its own in\n\
        bailiwick history; it can be saved and replayed as every check.")]
    Add(AddWatch),
    /// Lists all watches
    #[command(after_help = "Example:\n  bailiwick watch list")]
    List,
    /// Ends a watch; what was seen stays
    #[command(after_help = "Example:\n  bailiwick watch remove 0af3c1")]
    Remove {
        /// The watch, as `watch list` shows it; the beginning is enough
        #[arg(value_parser = input::watch)]
        watch: String,
    },
}

/// Arguments of `watch add`.
#[derive(Args, Clone, Debug)]
pub struct AddWatch {
    /// The zone, such as example.com; internationalised names as they are
    #[arg(value_parser = input::zone)]
    pub zone: Name,
    /// From one round to the next, such as 5m or 1h; at most 1d
    #[arg(long, value_name = "DURATION", value_parser = input::life)]
    pub every: Duration,
    /// Only vantage points with this label; all of them if repeated
    #[arg(long, value_name = "LABEL=VALUE", value_parser = input::label, help_heading = "Who looks")]
    pub from: Vec<String>,
    /// At most so many vantage points; the coordinator chooses which
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50),
        help_heading = "Who looks")]
    pub agents: Option<u32>,
    /// How to look
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `history`.
#[derive(Args, Clone, Debug)]
pub struct History {
    /// Only checks of this zone
    #[arg(value_parser = input::zone)]
    pub zone: Option<Name>,
    /// At most so many, the latest first
    #[arg(long, value_name = "N", default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
}

/// Arguments of `evidence`.
#[derive(Args, Clone, Debug)]
pub struct Evidence {
    /// The check, as `history` shows it; the beginning is enough
    #[arg(value_parser = input::check)]
    pub check: String,
    /// Where to write it; - is standard output
    #[arg(long, value_name = "FILE")]
    pub save: PathBuf,
}

/// Arguments of `replay`.
#[derive(Args, Clone, Debug)]
pub struct Replay {
    /// The file, as `evidence` wrote it; - is standard input
    pub file: PathBuf,
    /// Only say whether the verdict comes out byte for byte as it was given: exit code 0, else 3
    #[arg(long, conflicts_with_all = ["nagios", "dig", "full", "raw"])]
    pub verify: bool,
    /// One line with performance data, and exit codes 0 to 3, for a monitoring system
    #[arg(long, conflicts_with_all = ["dig", "full", "raw"])]
    pub nagios: bool,
    /// Also print the dig line that repeats each question
    #[arg(long, conflicts_with = "raw")]
    pub dig: bool,
    /// Show all rows, also those that say the same
    #[arg(long)]
    pub full: bool,
    /// With --output json: the octets of the answers that findings rest on, as hexadecimal
    #[arg(long)]
    pub raw: bool,
}
