//! `bailiwick trace`: the walk from the root to one name.

use bailiwick_core::{message::Question, message::Rcode, trace::Trace as Walk};
use bailiwick_host::Usage;
use bailiwick_probe::{Leaves, Tracer};
use bailiwick_render::{dig, json, trace, tree};

use crate::{
    args::{Arguments, Trace},
    emit,
    live::Live,
    setup::{self, Setup},
};

/// SERVFAIL: the name cannot be resolved with an empty cache.
const BROKEN: u8 = 30;
/// Nothing was heard from anybody.
const INCONCLUSIVE: u8 = 40;

pub(crate) fn run(arguments: &Arguments, wanted: &Trace) -> Result<u8, anyhow::Error> {
    if arguments.json() && (wanted.dig || wanted.tree) {
        let advice = "--dig and --tree are for text; JSON has every exchange";
        return Err(Usage(advice.to_owned()).into());
    }
    let setup = Setup::new(wanted.name.clone(), &wanted.common)?;
    let question = Question::new(wanted.name.clone(), wanted.record_type);
    let mut live = Live::new(arguments.verbose);
    let walk = bailiwick_host::block_on(walk(&setup, question, wanted.tree, &mut live))??;
    let code = exit_code(&walk);
    let style = arguments.style();
    let mut text = if arguments.json() {
        json::trace(&walk, code, wanted.raw)
    } else if wanted.tree {
        tree::tree(&walk, style)
    } else {
        trace::trace(&walk, style)
    };
    if wanted.dig {
        text.push_str("\nEach question, to ask it yourself:\n");
        text.extend(dig::sent(walk.observations.values(), setup.port()));
    }
    emit(&text)?;
    Ok(code)
}

async fn walk(
    setup: &Setup,
    question: Question,
    every_server: bool,
    live: &mut Live,
) -> Result<Walk, anyhow::Error> {
    let network = setup.network()?;
    let mut tracer = Tracer::new(question, &setup.check, setup.limits);
    let driven = setup::run(&mut tracer, &network, live).await?;
    let walk = tracer.finish(setup.ended(driven));
    if !every_server || !heard_anything(&walk) {
        return Ok(walk);
    }
    let started = walk.started;
    let mut leaves = Leaves::new(walk, &setup.check, setup.limits);
    let driven = setup::run(&mut leaves, &network, live).await?;
    let mut walk = leaves.finish(&setup.ended(driven));
    walk.started = started;
    Ok(walk)
}

fn exit_code(walk: &Walk) -> u8 {
    match walk.answer.rcode {
        Rcode::NOERROR | Rcode::NXDOMAIN => 0,
        _ if heard_anything(walk) => BROKEN,
        _ => INCONCLUSIVE,
    }
}

fn heard_anything(walk: &Walk) -> bool {
    walk.observations
        .values()
        .any(|step| step.reply().is_some())
}
