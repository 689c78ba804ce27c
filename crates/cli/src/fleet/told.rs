//! What a coordinator tells, as values that can be shown. What is not understood is refused.

use std::time::Duration;

use bailiwick_core::{check::CheckId, time::Timestamp};
use bailiwick_host::Usage;
use bailiwick_render::fleet::{Agent, Past, Status, Watch, live::Row, live::Stage};
use bailiwick_rpc::operator as pb;
use bailiwick_wire::{
    evidence,
    report::{self, DecodeError},
};

/// Reads an agent.
pub(crate) fn agent(agent: pb::Agent) -> Result<Agent, DecodeError> {
    let place = agent.place.as_ref().map(evidence::place).transpose()?;
    Ok(Agent {
        name: agent.name,
        state: agent.state,
        place: place.map(|(_, place)| place).unwrap_or_default(),
        connected: agent.connected,
        enrolled: moment(agent.enrolled_us),
        last_seen: moment(agent.last_seen_us),
        certificate_until: moment(agent.certificate_until_us),
        banned: moment(agent.banned_us),
        build: agent.build,
        reports: agent.reports,
        key: agent.key.to_vec(),
        clock_offset: agent.clock_offset_ns,
        durable: agent.durable,
    })
}

/// Reads a check of the past.
pub(crate) fn past(check: pb::CheckSummary) -> Result<Past, DecodeError> {
    let code = u8::try_from(check.exit_code).unwrap_or(bailiwick_host::FAILURE);
    Ok(Past {
        check: check_id(&check.check)?,
        zone: report::name("zone", &check.zone)?,
        created: Timestamp(check.created_us),
        operator: check.operator,
        outcome: (!check.state.is_empty()).then_some((check.state, code)),
        headline: check.headline,
        asked: check.asked,
        reported: check.reported,
        revised: check.revised,
    })
}

/// Reads a watch.
pub(crate) fn watch(watch: pb::Watch) -> Result<Watch, DecodeError> {
    let interval = u64::try_from(watch.interval_ns).unwrap_or(0);
    Ok(Watch {
        watch: check_id(&watch.watch)?,
        zone: report::name("zone", &watch.zone)?,
        interval: Duration::from_nanos(interval),
        created: Timestamp(watch.created_us),
        operator: watch.operator,
        vantages: watch.vantages,
        until: Timestamp(watch.until_us),
    })
}

/// Reads how a coordinator does.
pub(crate) fn status(status: pb::Status) -> Status {
    Status {
        trust_domain: status.trust_domain,
        build: status.build,
        started: moment(status.started_us),
        durability: status.durability,
        agents: status.agents,
        connected: status.connected,
        reports: status.reports,
        checks: status.checks,
        open_checks: status.open_checks,
        store_octets: status.store_octets,
        store_free: status.store_free,
        notes: status.notes,
    }
}

/// Reads how far a vantage point has come. What is not known yet is as if it were waited for.
pub(crate) fn row(row: pb::VantageRow) -> Row {
    let stage = match row.state() {
        pb::VantageState::Unspecified | pb::VantageState::Waiting => Stage::Waiting,
        pb::VantageState::Measuring => Stage::Measuring,
        pb::VantageState::Reported => Stage::Reported,
        pb::VantageState::Missing => Stage::Missing,
    };
    Row {
        stage,
        name: row.name,
        place: row.place,
        asked: row.asked,
        answered: row.answered,
        elapsed: Duration::from_nanos(u64::try_from(row.elapsed_ns).unwrap_or(0)),
        line: row.line,
    }
}

/// Reads the identity of a check.
pub(crate) fn check_id(octets: &[u8]) -> Result<CheckId, DecodeError> {
    report::check_id(octets)
}

/// Says that a coordinator speaks of what this program does not know.
pub(crate) fn not_understood(error: DecodeError) -> anyhow::Error {
    anyhow::anyhow!("the answer of the coordinator is not understood: {error}")
}

/// Chooses the one check that begins with these digits.
pub(crate) fn choose(checks: &[CheckId], digits: &str) -> Result<CheckId, Usage> {
    choose_of(checks, digits, ["check", "checks"], "bailiwick history")
}

/// Chooses the one of these that begins with the digits. They are called `one` or `many`, and `lists`
/// is the command that shows them.
pub(crate) fn choose_of(
    checks: &[CheckId],
    digits: &str,
    [one, many]: [&str; 2],
    lists: &str,
) -> Result<CheckId, Usage> {
    let begins = |check: &&CheckId| format!("{:032x}", check.0).starts_with(digits);
    let mut found = checks.iter().filter(begins);
    match (found.next(), found.count()) {
        (Some(check), 0) => Ok(*check),
        (Some(_), more) => Err(Usage(format!(
            "{} {many} begin with {digits}: write more of it",
            more + 1
        ))),
        (None, _) => Err(Usage(format!(
            "no {one} begins with {digits}; {lists} shows them"
        ))),
    }
}

/// 0 is never.
fn moment(microseconds: u64) -> Option<Timestamp> {
    (microseconds != 0).then_some(Timestamp(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_check_is_enough_if_no_other_has_it() {
        let checks = [0xabc, 0xabd, 0xf00].map(|n: u128| CheckId(n << 116));
        for (digits, at) in [("f", 2), ("abc", 0)] {
            assert_eq!(choose(&checks, digits).unwrap(), checks[at]);
        }
        let several = choose(&checks, "ab").unwrap_err().to_string();
        assert!(several.contains("2 checks begin with ab"), "{several}");
        let none = choose(&checks, "1").unwrap_err().to_string();
        assert!(none.contains("bailiwick history"), "{none}");
    }
}
