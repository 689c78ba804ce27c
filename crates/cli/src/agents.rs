//! `bailiwick agents`: the vantage points of a fleet.

use std::{
    io::{IsTerminal as _, stdout},
    time::Duration,
};

use bailiwick_core::{place::Place, time::Timestamp};
use bailiwick_host::Usage;
use bailiwick_render::{
    fleet::{self, Agent, Invitation, Invited},
    json,
};
use bailiwick_rpc::operator as pb;

use crate::{
    args::{AgentsCommand, Arguments, InviteAgent},
    emit,
    fleet::{ask, talk, told},
};

pub(crate) fn run(arguments: &Arguments, command: &AgentsCommand) -> Result<u8, anyhow::Error> {
    match command {
        AgentsCommand::List => list(arguments),
        AgentsCommand::Show { name } => {
            let request = pb::GetAgentRequest {
                name: name.to_string(),
            };
            let told = talk(arguments, async |mut c| ask(c.get_agent(request)).await)?;
            show(arguments, told)
        }
        AgentsCommand::Approve { name } => {
            let request = pb::ApproveAgentRequest {
                name: name.to_string(),
            };
            let told = talk(arguments, async |mut c| ask(c.approve_agent(request)).await)?;
            show(arguments, told)
        }
        AgentsCommand::Ban { name, reason } => {
            let request = pb::BanAgentRequest {
                name: name.to_string(),
                reason: reason.clone(),
            };
            let told = talk(arguments, async |mut c| ask(c.ban_agent(request)).await)?;
            show(arguments, told)
        }
        AgentsCommand::Invite(invite) => self::invite(arguments, invite),
    }
}

fn list(arguments: &Arguments) -> Result<u8, anyhow::Error> {
    let request = pb::ListAgentsRequest {};
    let told = talk(arguments, async |mut c| ask(c.list_agents(request)).await)?;
    let agents = told.agents.into_iter().map(told::agent);
    let agents: Vec<Agent> = agents
        .collect::<Result<_, _>>()
        .map_err(told::not_understood)?;
    emit(&if arguments.json() {
        json::agents(&agents)
    } else {
        fleet::agents(&agents, arguments.style())
    })?;
    Ok(0)
}

fn show(arguments: &Arguments, agent: pb::Agent) -> Result<u8, anyhow::Error> {
    let agent = told::agent(agent).map_err(told::not_understood)?;
    emit(&if arguments.json() {
        json::agents(std::slice::from_ref(&agent))
    } else {
        fleet::agent(&agent, arguments.style())
    })?;
    Ok(0)
}

fn invite(arguments: &Arguments, invite: &InviteAgent) -> Result<u8, anyhow::Error> {
    let labels = invite.label.iter().map(String::as_str);
    Place::of_labels(labels).map_err(|error| Usage(format!("--label: {error}")))?;
    let request = pb::InviteAgentRequest {
        name: invite.name.to_string(),
        labels: invite.label.clone(),
        valid_for_ns: nanoseconds(invite.ttl),
        from: invite.from.clone().unwrap_or_default(),
        approve: invite.approve,
    };
    let told = talk(arguments, async |mut c| ask(c.invite_agent(request)).await)?;
    let of = Invited::Agent {
        approve: invite.approve,
    };
    invitation(arguments, told, of, invite.name.to_string())
}

/// Shows an invitation of whatever kind.
pub(crate) fn invitation(
    arguments: &Arguments,
    told: pb::Invitation,
    of: Invited,
    name: String,
) -> Result<u8, anyhow::Error> {
    let invitation = Invitation {
        of,
        name,
        join: told.join,
        until: Timestamp(told.until_us),
    };
    if arguments.json() {
        emit(&json::invitation(&invitation))?;
        return Ok(0);
    }
    // The string alone is the result, so that another program can be given it. What to do with it
    // is for people, and not for a program that was.
    let text = fleet::invitation(&invitation, arguments.style());
    let (join, advice) = text.split_once("\n\n").unwrap_or((&text, ""));
    emit(&format!("{join}\n"))?;
    if stdout().is_terminal() {
        eprint!("\n{advice}");
    }
    Ok(0)
}

/// Nanoseconds reach for 292 years.
pub(crate) fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
