//! One check, from what is asked to the report.

use std::net::IpAddr;

use bailiwick_core::{
    check::Check,
    limit::Limits,
    report::{Report, RoundId},
    vantage::VantagePoint,
};
use bailiwick_probe::{Ended, Plan, Progress, Session};
use bailiwick_transport::{BLACKHOLES, Network, Settings as Ways, SettingsError, Uplink, drive};

use crate::settings::Settings;

/// Makes of what a coordinator asks what this machine's owner lets it do. The coordinator can
/// lower limits, and lift none.
pub(crate) fn allowed(mut check: Check, settings: &Settings) -> Check {
    check.timeout = check.timeout.min(Limits::FULL_ROUND.wall_time);
    check
        .blackholes
        .retain(|address: &IpAddr| BLACKHOLES.contains(address));
    check
        .families
        .retain(|family| settings.families.contains(family));
    // Every report of a laboratory says so.
    check.lab |= settings.allow_special_use;
    check
}

/// Does a check that is allowed.
pub(crate) async fn measure(
    check: Check,
    plan: Plan,
    round: RoundId,
    settings: &Settings,
    uplink: &Uplink,
    progress: impl FnMut(&Progress),
) -> Result<Report, SettingsError> {
    let limits = Limits {
        wall_time: check.timeout,
        ..Limits::FULL_ROUND
    };
    let network = Network::on(
        uplink,
        Ways {
            limits,
            allow_special_use: settings.allow_special_use,
            port: settings.port,
            bind: settings.bind.clone(),
            blackholes: check.blackholes.clone(),
        },
    )?;
    let vantage = VantagePoint::local(check.families.clone());
    let started = settings.clock.now();
    let mut session = Session::with_plan(check, plan, limits);
    let driven = drive(&mut session, &network, progress).await;
    Ok(session.finish(Ended {
        vantage,
        round,
        started,
        elapsed: driven.elapsed,
        packets: driven.packets,
    }))
}
