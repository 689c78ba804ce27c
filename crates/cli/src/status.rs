//! `bailiwick status`: how a coordinator does.

use bailiwick_render::{fleet, json};
use bailiwick_rpc::operator as pb;

use crate::{
    args::Arguments,
    emit,
    fleet::{ask, talk, told},
};

pub(crate) fn run(arguments: &Arguments) -> Result<u8, anyhow::Error> {
    let request = pb::GetStatusRequest {};
    let status = talk(arguments, async |mut c| ask(c.get_status(request)).await)?;
    let status = told::status(status);
    emit(&if arguments.json() {
        json::status(&status)
    } else {
        fleet::status(&status, arguments.style())
    })?;
    Ok(0)
}
