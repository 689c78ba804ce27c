//! The command line.

use std::{ffi::OsString, io::Read as _, net::IpAddr, path::PathBuf, process::ExitCode};

use bailiwick_host::Usage;
use bailiwick_rpc::Invitation;
use clap::{Args, Parser, Subcommand};

use crate::{Clock, PROGRAM, Said, Settings, run};

const EXAMPLES: &str = "\
Examples:
  bailiwick-agent join bw1.NB2HI4B2F4XW...    become a vantage point, and work
  bailiwick-agent join - < invitation         the same, out of sight of other users
  bailiwick-agent                             work again after a restart
  bailiwick-agent --check-config              is agent.toml right?

A join string is printed by `bailiwick agents invite NAME` where the coordinator runs.
Nothing listens here: the agent calls the coordinator, so no port has to be opened.";

#[derive(Debug, Parser)]
#[command(
    name = PROGRAM,
    version,
    about = "Looks at DNS delegations from here, for a coordinator elsewhere",
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = false
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Where identity, plan and reports are kept, and agent.toml is read.
    #[arg(
        long,
        value_name = "DIR",
        global = true,
        env = "BAILIWICK_AGENT_STATE_DIR"
    )]
    state_dir: Option<PathBuf>,
    /// Read the settings, say what is wrong with them, and stop.
    #[arg(long)]
    check_config: bool,
    /// Say more; twice, still more.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Become a vantage point with an invitation, then work.
    Join(Join),
    /// Work with the identity that is there; also without a command.
    Run,
}

#[derive(Args, Debug)]
struct Join {
    /// What `bailiwick agents invite` printed; `-` reads it from standard input.
    #[arg(value_name = "STRING")]
    string: String,
    /// Stop once the identity is there.
    #[arg(long, alias = "enroll-only")]
    enrol_only: bool,
    /// A laboratory: ask addresses that are not globally reachable, too. Kept in agent.toml.
    #[arg(long)]
    allow_special_use: bool,
    /// The port of all DNS servers of the laboratory. Kept in agent.toml.
    #[arg(long, requires = "allow_special_use", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// The address to measure from, once a family. Kept in agent.toml.
    #[arg(long, value_name = "ADDR")]
    bind: Vec<IpAddr>,
}

/// Runs the program with these arguments, the first of which is its name.
#[must_use]
pub fn start(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Arguments::try_parse_from(arguments) {
        // Who runs a program for months wants to read what it did.
        Ok(arguments) => bailiwick_host::run(PROGRAM, arguments.verbose.saturating_add(1), || {
            obey(&arguments).map(|()| 0)
        }),
        Err(error) => {
            // Nothing more can be said if even that cannot be printed.
            let _ = error.print();
            let code = error.use_stderr().then_some(bailiwick_host::USAGE);
            ExitCode::from(code.unwrap_or(0))
        }
    }
}

fn obey(arguments: &Arguments) -> Result<(), anyhow::Error> {
    let folder = arguments
        .state_dir
        .clone()
        .unwrap_or_else(|| bailiwick_host::paths::state(PROGRAM));
    if arguments.check_config {
        Settings::load(folder)?;
        println!("the settings are right");
        return Ok(());
    }
    if let Some(Command::Join(join)) = &arguments.command {
        let invitation = invitation(&join.string)?;
        crate::folder::make(&folder)?;
        let said = Said {
            allow_special_use: join.allow_special_use,
            port: join.port,
            bind: join.bind.clone(),
        };
        said.write(&folder)?;
        // What is wrong with a file that was there is said before the invitation is used up.
        Settings::load(folder.clone())?;
        let name = bailiwick_host::block_on(crate::join(&folder, &invitation, &Clock::default()))??;
        println!(
            "{name} is enrolled; its identity is in {}",
            folder.display()
        );
        if join.enrol_only {
            return Ok(());
        }
    }
    let settings = Settings::load(folder)?;
    bailiwick_host::block_on(run(settings, bailiwick_host::stopped()))?
}

fn invitation(text: &str) -> Result<Invitation, anyhow::Error> {
    let mut read = String::new();
    let text = match text {
        "-" => {
            std::io::stdin().take(8192).read_to_string(&mut read)?;
            &read
        }
        text => text,
    };
    text.parse()
        .map_err(|error: bailiwick_rpc::JoinError| Usage(error.to_string()).into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
