//! The program `bailiwick`: checks a zone from this machine, or asks the fleet of a coordinator.
//!
//! One file per command; each joins library functions and decides nothing that
//! a test would want to know.
//!
//! ```text
//!  args ─▶ input ─▶ setup ─▶ probe machine ⇄ transport ─▶ report ─▶ verdict ─▶ render ─▶ stdout
//!                                 └─ live view on stderr
//!  args ─▶ fleet (Door ─▶ Client) ⇄ coordinator ─▶ render ─▶ stdout
//! ```
//!
//! Standard output holds the result alone. Exit codes are those of the state
//! ([`State::exit_code`](bailiwick_core::verdict::State::exit_code)), 2 for a wrong
//! command line, 3 for a failure of this program.

use std::{
    ffi::OsString,
    io::{ErrorKind, IsTerminal as _, Write as _, stdout},
    process::ExitCode,
};

use anyhow::Context as _;
use bailiwick_host::Usage;
use bailiwick_render::{Style, json};
use clap::Parser as _;

mod agents;
pub mod args;
mod check;
#[cfg(feature = "lab")]
mod demo;
mod documents;
mod evidence;
mod explain;
pub mod fleet;
mod glue;
mod history;
pub mod input;
mod live;
mod operator;
mod replay;
mod round;
mod setup;
mod status;
mod trace;
mod watch;

use args::{Arguments, Color, Command, Output};

/// The name of the program.
pub const PROGRAM: &str = "bailiwick";

/// Runs the program with these arguments, the first of which is its name.
#[must_use]
pub fn start(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let json = wants_json(&arguments);
    match Arguments::try_parse_from(&arguments) {
        Ok(arguments) => bailiwick_host::run(PROGRAM, arguments.verbose, || {
            run(&arguments).inspect_err(|error| {
                if json {
                    let code = bailiwick_host::exit_code(error);
                    // The error is on standard error in any case.
                    let _ = emit(&json::error(code, &bailiwick_host::told(error)));
                }
            })
        }),
        Err(error) => usage(&error, json),
    }
}

/// Prints help, or what is wrong with the command line.
fn usage(error: &clap::Error, json: bool) -> ExitCode {
    // Nothing more can be said if even that cannot be printed.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if json {
        let message = error.render().to_string();
        let _ = emit(&json::error(bailiwick_host::USAGE, message.trim_end()));
    }
    ExitCode::from(bailiwick_host::USAGE)
}

/// Whether errors are wanted as JSON. Asked before the command line was understood.
fn wants_json(arguments: &[OsString]) -> bool {
    let pairs = arguments.windows(2);
    arguments.iter().any(|word| word == "--output=json")
        || pairs
            .into_iter()
            .any(|pair| pair[0] == "--output" && pair[1] == "json")
}

fn run(arguments: &Arguments) -> Result<u8, anyhow::Error> {
    if arguments.coordinator.is_some() && !arguments.command.asks_a_coordinator() {
        let way = "this command asks no coordinator; leave --coordinator out";
        return Err(Usage(way.to_owned()).into());
    }
    match &arguments.command {
        Command::Check(check) if arguments.coordinator.is_some() => round::run(arguments, check),
        Command::Check(check) => check::run(arguments, check),
        Command::Trace(trace) => trace::run(arguments, trace),
        Command::Glue(glue) => glue::run(arguments, glue),
        Command::Explain(explain) => explain::run(arguments, explain),
        Command::Agents(agents) => agents::run(arguments, &agents.command),
        Command::Operator(operator) => operator::run(arguments, &operator.command),
        Command::Status => status::run(arguments),
        Command::Watch(watch) => watch::run(arguments, &watch.command),
        Command::History(history) => history::run(arguments, history),
        Command::Evidence(evidence) => evidence::run(arguments, evidence),
        Command::Replay(replay) => replay::run(arguments, replay),
        #[cfg(feature = "lab")]
        Command::Demo(demo) => demo::run(arguments, demo),
        Command::Completions { shell } => documents::completions(*shell),
        Command::Man { folder } => documents::man(folder),
    }
}

/// Writes a result to standard output. Whoever closes the pipe early has read enough.
fn emit(text: &str) -> Result<(), anyhow::Error> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write the result")
        }
        _ => Ok(()),
    }
}

impl Command {
    /// Whether it can be told where a coordinator is. Joining takes that from the invitation.
    fn asks_a_coordinator(&self) -> bool {
        use args::OperatorCommand::Join;
        match self {
            Self::Operator(operator) => !matches!(operator.command, Join { .. }),
            Self::Check(_)
            | Self::Agents(_)
            | Self::Status
            | Self::Watch(_)
            | Self::History(_)
            | Self::Evidence(_) => true,
            _ => false,
        }
    }
}

impl Arguments {
    fn json(&self) -> bool {
        self.output == Output::Json
    }

    /// Returns how text is to look: with colours if they are wanted, or can be shown and nobody
    /// objects (<https://no-color.org>).
    fn style(&self) -> Style {
        let color = match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
                stdout().is_terminal() && !refused && !dumb
            }
        };
        Style {
            color,
            ..Style::PLAIN
        }
    }
}
