//! `bailiwick operator`: who may ask a coordinator from elsewhere.

use std::io::{BufRead as _, IsTerminal as _, Read as _, stdin};

use anyhow::Context as _;
use bailiwick_host::Usage;
use bailiwick_render::{
    fleet::{self, Invited},
    json,
};
use bailiwick_rpc::{Invitation, operator as pb};

use crate::{
    agents::{invitation, nanoseconds},
    args::{Arguments, OperatorCommand},
    emit,
    fleet::{ask, identity::Identity, state, talk},
};

/// More than a join string may have, in octets.
const LONGEST: u64 = 8 * 1024;

pub(crate) fn run(arguments: &Arguments, command: &OperatorCommand) -> Result<u8, anyhow::Error> {
    match command {
        OperatorCommand::Invite { name, role, ttl } => {
            let request = pb::InviteOperatorRequest {
                name: name.to_string(),
                role: role.word().to_owned(),
                valid_for_ns: nanoseconds(*ttl),
            };
            let told = talk(arguments, async |mut c| {
                ask(c.invite_operator(request)).await
            })?;
            let of = Invited::Operator {
                role: role.word().to_owned(),
            };
            invitation(arguments, told, of, name.to_string())
        }
        OperatorCommand::Join { string } => join(arguments, string),
    }
}

fn join(arguments: &Arguments, string: &str) -> Result<u8, anyhow::Error> {
    let string = match string {
        "-" => pasted()?,
        string => string.to_owned(),
    };
    let invitation: Invitation = string.parse().map_err(|error| Usage(format!("{error}")))?;
    let joined = bailiwick_host::block_on(Identity::join(&state(), &invitation))??.joined();
    emit(&if arguments.json() {
        json::joined(&joined)
    } else {
        fleet::joined(&joined, arguments.style())
    })?;
    Ok(0)
}

/// One line of standard input.
fn pasted() -> Result<String, anyhow::Error> {
    if stdin().is_terminal() {
        eprintln!("Paste the string of the invitation:");
    }
    let mut line = String::new();
    stdin()
        .lock()
        .take(LONGEST)
        .read_line(&mut line)
        .context("cannot read the string from standard input")?;
    Ok(line)
}
