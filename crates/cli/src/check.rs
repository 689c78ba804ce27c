//! `bailiwick check`: one round of one vantage point, judged at once.

use bailiwick_core::{report::Report, verdict::Verdict};
use bailiwick_host::Usage;
use bailiwick_probe::Session;
use bailiwick_render::{Page, Style, dig, show};
use bailiwick_verdict::{Evidence, Policy, judge};

use crate::{
    args::{Arguments, Check},
    emit,
    live::Live,
    setup::{self, Setup},
};

/// How a verdict is to be shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub(crate) nagios: bool,
    pub(crate) dig: bool,
    pub(crate) full: bool,
    pub(crate) raw: bool,
}

impl Shown {
    pub(crate) fn of(check: &Check) -> Self {
        Self {
            nagios: check.nagios,
            dig: check.dig,
            full: check.full,
            raw: check.raw,
        }
    }
}

pub(crate) fn run(arguments: &Arguments, wanted: &Check) -> Result<u8, anyhow::Error> {
    if wanted.who.chooses() {
        let way = "--from and --agents choose among a fleet: add --coordinator";
        return Err(Usage(way.to_owned()).into());
    }
    let shown = Shown::of(wanted);
    let format = format(arguments, shown)?;
    let setup = Setup::new(wanted.zone.clone(), &wanted.common)?;
    let mut session = Session::new(setup.check.clone(), setup.limits);
    let mut live = Live::new(arguments.verbose);
    let driven = bailiwick_host::block_on(async {
        let network = setup.network()?;
        setup::run(&mut session, &network, &mut live).await
    })??;
    let report = session.finish(setup.ended(driven));
    let verdict = judge(&Evidence::of(report.clone()), &Policy::default());
    print(arguments, shown, format, &verdict, &[report], setup.port())?;
    Ok(code(shown, &verdict))
}

/// Returns the exit code that goes with a verdict.
pub(crate) fn code(shown: Shown, verdict: &Verdict) -> u8 {
    if shown.nagios {
        verdict.nagios_code()
    } else {
        verdict.state.exit_code()
    }
}

/// Returns the name of the format.
pub(crate) fn format(arguments: &Arguments, shown: Shown) -> Result<&'static str, Usage> {
    match (arguments.json(), shown.nagios) {
        (true, true) => Err(Usage(
            "--nagios is a format of its own; leave --output json out".to_owned(),
        )),
        (true, false) if shown.dig => Err(Usage(
            "--dig is for text; JSON has every question in its evidence".to_owned(),
        )),
        (true, false) => Ok("json"),
        (false, true) => Ok("nagios"),
        (false, false) => Ok("text"),
    }
}

/// Prints a verdict as it is wanted.
pub(crate) fn print(
    arguments: &Arguments,
    shown: Shown,
    format: &str,
    verdict: &Verdict,
    reports: &[Report],
    port: u16,
) -> Result<(), anyhow::Error> {
    let page = Page {
        style: arguments.style(),
        full: shown.full,
        raw: shown.raw,
        ..page(verdict, reports, port)
    };
    let mut text = show(format, &page).unwrap_or_default();
    if shown.dig {
        text.push_str(&questions(&page));
    }
    emit(&text)
}

/// Returns the page of a verdict as it is where nothing else is wanted.
pub(crate) fn page<'a>(verdict: &'a Verdict, reports: &'a [Report], port: u16) -> Page<'a> {
    Page {
        verdict,
        reports,
        style: Style::PLAIN,
        full: false,
        raw: false,
        port,
    }
}

/// Returns the lines that repeat each question.
pub(crate) fn questions(page: &Page<'_>) -> String {
    format!("\nEach question, to ask it yourself:\n{}", dig::check(page))
}
