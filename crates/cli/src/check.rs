//! `bailiwick check`: one round of one vantage point, judged at once.

use bailiwick_core::{report::Report, verdict::Verdict};
use bailiwick_host::Usage;
use bailiwick_probe::Session;
use bailiwick_render::{Page, dig, show};
use bailiwick_verdict::{Evidence, Policy, judge};

use crate::{
    args::{Arguments, Check},
    emit,
    live::Live,
    setup::{self, Setup},
};

pub(crate) fn run(arguments: &Arguments, wanted: &Check) -> Result<u8, anyhow::Error> {
    let format = format(arguments, wanted)?;
    let setup = Setup::new(wanted.zone.clone(), &wanted.common)?;
    let mut session = Session::new(setup.check.clone(), setup.limits);
    let mut live = Live::new(arguments.verbose);
    let driven = bailiwick_host::block_on(async {
        let network = setup.network()?;
        setup::run(&mut session, &network, &mut live).await
    })??;
    let report = session.finish(setup.ended(driven));
    let verdict = judge(&Evidence::of(report.clone()), &Policy::default());
    print(arguments, wanted, format, &verdict, &[report], setup.port())?;
    Ok(if wanted.nagios {
        verdict.nagios_code()
    } else {
        verdict.state.exit_code()
    })
}

fn format(arguments: &Arguments, wanted: &Check) -> Result<&'static str, Usage> {
    match (arguments.json(), wanted.nagios) {
        (true, true) => Err(Usage(
            "--nagios is a format of its own; leave --output json out".to_owned(),
        )),
        (true, false) if wanted.dig => Err(Usage(
            "--dig is for text; JSON has every question in its evidence".to_owned(),
        )),
        (true, false) => Ok("json"),
        (false, true) => Ok("nagios"),
        (false, false) => Ok("text"),
    }
}

fn print(
    arguments: &Arguments,
    wanted: &Check,
    format: &str,
    verdict: &Verdict,
    reports: &[Report],
    port: u16,
) -> Result<(), anyhow::Error> {
    let page = Page {
        verdict,
        reports,
        style: arguments.style(),
        full: wanted.full,
        raw: wanted.raw,
        port,
    };
    let mut text = show(format, &page).unwrap_or_default();
    if wanted.dig {
        text.push_str("\nEach question, to ask it yourself:\n");
        text.push_str(&dig::check(&page));
    }
    emit(&text)
}
