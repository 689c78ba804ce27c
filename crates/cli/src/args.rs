//! The command line: help, completions and manual pages come from these definitions.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use bailiwick_core::{name::Name, record::RecordType};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    fleet::Door,
    input::{self, HostAddresses, NamedAddresses},
};

mod fleet;

pub use fleet::{
    AddWatch, Agents, AgentsCommand, Evidence, History, InviteAgent, Operator, OperatorCommand,
    Replay, Role, Watch, WatchCommand, Who,
};

/// Says whether the delegation of a zone is right and reachable, and what to do if not
#[derive(Clone, Debug, Parser)]
#[command(
    name = "bailiwick",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Examples:\n  \
        bailiwick demo                       see it work, without network and without root\n  \
        bailiwick check example.com          is the delegation right and reachable?\n  \
        bailiwick explain glue-missing-all   what does this finding mean?\n\n\
        Exit codes: 0 well, 10 published but caches drain, 11 being published, 12 not published,\n\
        20 degraded, 21 divergent, 22 stalled, 30 broken, 31 regressed, 40 inconclusive,\n\
        2 wrong command line or no zone, 3 bailiwick itself failed"
)]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// Text for people, or versioned JSON for scripts
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "text|json",
        hide_possible_values = true,
        help_heading = "Everywhere"
    )]
    pub output: Output,
    /// Colours in text: where the terminal can show them, always or never
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "auto|always|never",
        hide_possible_values = true,
        help_heading = "Everywhere"
    )]
    pub color: Color,
    /// Log more to standard error; may be repeated (RUST_LOG says it more exactly)
    #[arg(
        short,
        long,
        global = true,
        action = clap::ArgAction::Count,
        help_heading = "Everywhere"
    )]
    pub verbose: u8,
    /// Ask the fleet of a coordinator: HOST:PORT, or the path of its socket; without a value the
    /// one of this machine (BAILIWICK_COORDINATOR names another)
    #[arg(
        long,
        global = true,
        num_args = 0..=1,
        value_name = "WHERE",
        help_heading = "Everywhere"
    )]
    pub coordinator: Option<Option<Door>>,
}

/// How a result is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For scripts, versioned
    Json,
}

/// When text has colours.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Color {
    /// If standard output is a terminal and NO_COLOR is not set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Is the delegation of a zone right and reachable, now?
    #[command(after_help = "Examples:\n  \
        bailiwick check example.com\n  \
        bailiwick check example.com --expect ns1.example.com=192.0.2.1,2001:db8::1\n  \
        bailiwick check example.com --nagios\n  \
        bailiwick check example.com --coordinator                 from the whole fleet\n  \
        bailiwick check example.com --coordinator --from rir=ripe --agents 5")]
    Check(Check),
    /// Walks from the root to a name by glue alone, never by a local resolver
    #[command(after_help = "Examples:\n  \
        bailiwick trace www.example.com AAAA\n  \
        bailiwick trace --tree example.com NS")]
    Trace(Trace),
    /// Shows what each parent server publishes for a zone right now
    #[command(after_help = "Examples:\n  \
        bailiwick glue example.com\n  \
        bailiwick glue example.com --at a.gtld-servers.net")]
    Glue(Glue),
    /// Says what a finding means, who can change it and how
    #[command(after_help = "Examples:\n  \
        bailiwick explain                        lists all findings\n  \
        bailiwick explain glue-missing-all       explains one\n  \
        bailiwick explain servfail               explains all that can cause it")]
    Explain(Explain),
    /// The vantage points of a fleet: lists, invites and bans them
    #[command(after_help = "Examples:\n  \
        bailiwick agents list\n  \
        bailiwick agents invite fra-1 --label asn=64500 --label rir=ripe")]
    Agents(Agents),
    /// Who may ask a coordinator from elsewhere
    #[command(after_help = "Examples:\n  \
        bailiwick operator invite alice --role operator     where the coordinator runs\n  \
        bailiwick operator join -                           where alice works")]
    Operator(Operator),
    /// How a coordinator does
    #[command(after_help = "Examples:\n  \
        bailiwick status\n  \
        bailiwick status --coordinator coordinator.example.org:8444")]
    Status,
    /// Lets a fleet check a zone again and again
    #[command(after_help = "Examples:\n  \
        bailiwick watch add example.com --every 5m\n  \
        bailiwick watch list\n\n\
        What comes of it is in bailiwick history.")]
    Watch(Watch),
    /// What was checked by a fleet, and what came of it
    #[command(after_help = "Examples:\n  \
        bailiwick history\n  \
        bailiwick history example.com --limit 5\n\n\
        What a verdict was computed from is saved with bailiwick evidence.")]
    History(History),
    /// Saves all that a verdict of a fleet was computed from
    #[command(after_help = "Examples:\n  \
        bailiwick evidence 0af3c1 --save example.com.evidence\n  \
        bailiwick replay example.com.evidence")]
    Evidence(Evidence),
    /// The verdict again, from evidence that was saved; asks nobody
    #[command(after_help = "Examples:\n  \
        bailiwick replay example.com.evidence\n  \
        bailiwick replay example.com.evidence --verify     is it byte for byte the same?")]
    Replay(Replay),
    /// Plays a glue change on a simulated internet; needs no network and no root
    #[cfg(feature = "lab")]
    #[command(after_help = "Examples:\n  \
        bailiwick demo\n  \
        bailiwick demo --serve       only runs that internet, to try check and trace on it")]
    Demo(Demo),
    /// Prints the completions of a shell
    #[command(after_help = "Example:\n  \
        bailiwick completions bash > ~/.local/share/bash-completion/completions/bailiwick")]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Writes the manual pages into a folder
    #[command(after_help = "Example:\n  \
        bailiwick man ~/.local/share/man/man1")]
    Man {
        /// The folder; it must exist
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

/// Arguments of `check`.
#[derive(Args, Clone, Debug)]
pub struct Check {
    /// The zone, such as example.com; internationalised names as they are
    #[arg(value_parser = input::zone)]
    pub zone: Name,
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
    /// Who looks
    #[command(flatten)]
    pub who: Who,
    /// How to look
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `trace`.
#[derive(Args, Clone, Debug)]
pub struct Trace {
    /// The name
    #[arg(value_parser = input::name)]
    pub name: Name,
    /// The record type, such as A, AAAA, NS or TYPE65
    #[arg(default_value = "A", value_name = "TYPE")]
    pub record_type: RecordType,
    /// Ask every server on the way and draw all paths
    #[arg(long)]
    pub tree: bool,
    /// Also print the dig line that repeats each question
    #[arg(long, conflicts_with = "raw")]
    pub dig: bool,
    /// With --output json: the octets of every answer, as hexadecimal
    #[arg(long)]
    pub raw: bool,
    /// How to look
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `glue`.
#[derive(Args, Clone, Debug)]
pub struct Glue {
    /// The zone, such as example.com; internationalised names as they are
    #[arg(value_parser = input::zone)]
    pub zone: Name,
    /// Ask this parent server only, by name or address
    #[arg(long, value_name = "SERVER")]
    pub at: Option<String>,
    /// How to look
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `explain`.
#[derive(Args, Clone, Debug)]
pub struct Explain {
    /// A finding, or a complaint such as servfail; without it all findings are listed
    pub finding: Option<String>,
    /// Write the reference of all findings in Markdown
    #[arg(long, conflicts_with = "finding")]
    pub markdown: bool,
}

/// Arguments of `demo`.
#[cfg(feature = "lab")]
#[derive(Args, Clone, Debug)]
pub struct Demo {
    /// Only run the simulated internet until Ctrl-C, and print how to try commands on it
    #[arg(long)]
    pub serve: bool,
    /// With --serve: the port of all servers; one that is free is chosen otherwise
    #[arg(long, value_name = "PORT", requires = "serve")]
    pub port: Option<u16>,
    /// With --serve: where to write the root hints; a temporary file otherwise
    #[arg(long, value_name = "FILE", requires = "serve")]
    pub hints: Option<PathBuf>,
}

/// How to look: common to `check`, `trace` and `glue`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "How to look")]
pub struct Common {
    /// What a host's addresses should be, such as ns1.example.com=192.0.2.1,2001:db8::1
    #[arg(long, value_name = "HOST=ADDR[,ADDR]", value_parser = input::host_addresses)]
    pub expect: Vec<HostAddresses>,
    /// The same from a file: one HOST ADDR or HOST=ADDR a line, or a zone file
    #[arg(long, value_name = "FILE")]
    pub expect_file: Option<PathBuf>,
    /// Ask this resolver instead of Google, Cloudflare and Quad9
    #[arg(long, value_name = "NAME=ADDR[,ADDR]", value_parser = input::named_addresses)]
    pub resolver: Vec<NamedAddresses>,
    /// Ask no public resolver
    #[arg(long, conflicts_with = "resolver")]
    pub no_resolvers: bool,
    /// How a program on this machine would reach a resolver
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "plain|tls|https",
        hide_possible_values = true
    )]
    pub stub: StubWay,
    /// Use IPv4 only
    #[arg(short = '4', long = "ipv4", conflicts_with = "six")]
    pub four: bool,
    /// Use IPv6 only
    #[arg(short = '6', long = "ipv6")]
    pub six: bool,
    /// Send from this address; once for each family
    #[arg(long, value_name = "ADDR")]
    pub bind: Vec<IpAddr>,
    /// How long the whole run may take, such as 2s or 500ms; at most 45s
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = input::timeout)]
    pub timeout: Duration,
    /// Root servers to begin with, as a zone file such as named.root
    #[arg(long, value_name = "FILE")]
    pub root_hints: Option<PathBuf>,
    /// Ask for the whole name at every step (no RFC 9156)
    #[arg(long)]
    pub no_minimise: bool,
    /// For laboratories: also send to addresses that are not globally reachable
    #[arg(long)]
    pub allow_special_use: bool,
    /// For laboratories: the port of all servers
    #[arg(long, value_name = "PORT", requires = "allow_special_use")]
    pub port: Option<u16>,
}

/// How a stub resolver reaches a recursive resolver.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum StubWay {
    /// UDP, and TCP after truncation
    #[default]
    Plain,
    /// DNS over TLS
    Tls,
    /// DNS over HTTPS
    Https,
}
