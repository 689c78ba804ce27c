//! `bailiwick watch`: checks that agents do again and again.

use bailiwick_core::check::CheckId;
use bailiwick_host::Usage;
use bailiwick_render::{
    fleet::{self, Watch},
    json, names,
};
use bailiwick_rpc::operator as pb;
use bailiwick_wire::report;

use crate::{
    agents::nanoseconds,
    args::{AddWatch, Arguments, WatchCommand},
    emit,
    fleet::{Client, ask, talk, told},
    setup::Setup,
};

pub(crate) fn run(arguments: &Arguments, command: &WatchCommand) -> Result<u8, anyhow::Error> {
    match command {
        WatchCommand::Add(add) => self::add(arguments, add),
        WatchCommand::List => {
            let watches = talk(arguments, async |mut client| list(&mut client).await)?;
            show(arguments, &watches)
        }
        WatchCommand::Remove { watch } => remove(arguments, watch),
    }
}

fn add(arguments: &Arguments, add: &AddWatch) -> Result<u8, anyhow::Error> {
    if !add.common.bind.is_empty() {
        let way = "--bind is for checks from this machine: agents have their own settings";
        return Err(Usage(way.to_owned()).into());
    }
    let setup = Setup::new(add.zone.clone(), &add.common)?;
    let request = pb::CreateWatchRequest {
        check: Some(report::to_check(&setup.check)),
        labels: add.from.clone(),
        agents: add.agents.unwrap_or(0),
        interval_ns: nanoseconds(add.every),
    };
    let made = talk(arguments, async |mut c| ask(c.create_watch(request)).await)?;
    for line in &made.left_out {
        eprintln!("left out: {}", names::clean(line));
    }
    let watch = told::watch(made.watch.unwrap_or_default()).map_err(told::not_understood)?;
    show(arguments, &[watch])
}

async fn list(client: &mut Client) -> Result<Vec<Watch>, anyhow::Error> {
    let told = ask(client.list_watches(pb::ListWatchesRequest {})).await?;
    let watches = told.watches.into_iter().map(told::watch);
    watches
        .collect::<Result<_, _>>()
        .map_err(told::not_understood)
}

fn show(arguments: &Arguments, watches: &[Watch]) -> Result<u8, anyhow::Error> {
    emit(&if arguments.json() {
        json::watches(watches)
    } else {
        fleet::watches(watches, arguments.style())
    })?;
    Ok(0)
}

fn remove(arguments: &Arguments, digits: &str) -> Result<u8, anyhow::Error> {
    let told = talk(arguments, async |mut client| {
        let watches = list(&mut client).await?;
        let known: Vec<CheckId> = watches.iter().map(|watch| watch.watch).collect();
        let watch = told::choose_of(&known, digits, ["watch", "watches"], "bailiwick watch list")?;
        let request = pb::RemoveWatchRequest {
            watch: watch.0.to_be_bytes().to_vec().into(),
        };
        ask(client.remove_watch(request)).await
    })?;
    let watch = told::watch(told).map_err(told::not_understood)?;
    emit(&if arguments.json() {
        json::watches(std::slice::from_ref(&watch))
    } else {
        fleet::removed(&watch, arguments.style())
    })?;
    Ok(0)
}
