//! `bailiwick history`: what was checked and what came of it.

use bailiwick_render::{
    fleet::{self, Past},
    json,
};
use bailiwick_rpc::operator as pb;

use crate::{
    args::{Arguments, History},
    emit,
    fleet::{ask, talk, told},
};

pub(crate) fn run(arguments: &Arguments, wanted: &History) -> Result<u8, anyhow::Error> {
    let request = pb::ListChecksRequest {
        zone: wanted
            .zone
            .as_ref()
            .map(|zone| zone.to_wire().into())
            .unwrap_or_default(),
        limit: wanted.limit,
    };
    let told = talk(arguments, async |mut c| ask(c.list_checks(request)).await)?;
    let checks = told.checks.into_iter().map(told::past);
    let checks: Vec<Past> = checks
        .collect::<Result<_, _>>()
        .map_err(told::not_understood)?;
    emit(&if arguments.json() {
        json::history(&checks)
    } else {
        fleet::history(&checks, arguments.style())
    })?;
    Ok(0)
}
