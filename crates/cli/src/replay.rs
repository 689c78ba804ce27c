//! `bailiwick replay`: the verdict again, from a file that `evidence` wrote.

use std::{
    fs::File,
    io::{Read, stdin},
    path::Path,
};

use anyhow::{Context as _, anyhow};
use bailiwick_core::{report::Report, vantage::Objection, verdict::Verdict};
use bailiwick_host::{FAILURE, Usage};
use bailiwick_render::{
    fleet::{self, Replayed},
    json,
};
use bailiwick_transport::PORT;
use bailiwick_verdict::{Evidence, Policy, judge};
use bailiwick_wire::evidence::{self, Saved};

use crate::{
    args::{Arguments, Replay},
    check::{self, Shown},
    emit,
};

pub(crate) fn run(arguments: &Arguments, wanted: &Replay) -> Result<u8, anyhow::Error> {
    let shown = Shown {
        nagios: wanted.nagios,
        dig: wanted.dig,
        full: wanted.full,
        raw: wanted.raw,
    };
    let format = check::format(arguments, shown)?;
    let saved = read(&wanted.file)?;
    let (verdict, reports) = judged(&saved)?;
    if wanted.verify {
        return verify(arguments, &saved, &verdict, &reports);
    }
    if saved.policy != Policy::VERSION {
        eprintln!(
            "bailiwick: it was judged by policy {}, and is now by policy {}",
            saved.policy,
            Policy::VERSION
        );
    }
    check::print(arguments, shown, format, &verdict, &reports, PORT)?;
    Ok(check::code(shown, &verdict))
}

fn read(path: &Path) -> Result<Saved, anyhow::Error> {
    let mut octets = Vec::new();
    // One octet more than allowed, so that too much is noticed.
    let most = evidence::MAX_FILE as u64 + 1;
    let read = if path == Path::new("-") {
        stdin().lock().take(most).read_to_end(&mut octets)
    } else {
        File::open(path).and_then(|file| file.take(most).read_to_end(&mut octets))
    };
    read.map_err(|error| Usage(format!("cannot read {}: {error}", path.display())))?;
    let parts = evidence::parts(octets.into());
    parts
        .and_then(|parts| evidence::read(&parts))
        .with_context(|| path.display().to_string())
}

/// Judges the evidence again.
pub(crate) fn judged(saved: &Saved) -> Result<(Verdict, Vec<Report>), anyhow::Error> {
    // As the coordinator did, for which a rule failed on them.
    let left_out = |who| {
        let mut places = saved.places.iter();
        places.any(|(vantage, place)| {
            vantage == who && place.objections.contains(&Objection::Unjudged)
        })
    };
    let judged = saved.reports.iter().filter(|(who, _)| !left_out(who));
    let joined = judged.map(|(_, report)| Evidence::of(report.clone()));
    let joined = joined.reduce(Evidence::join);
    let mut evidence =
        joined.ok_or_else(|| anyhow!("no vantage point had reported: nothing can be judged"))?;
    for (vantage, place) in &saved.places {
        evidence = evidence.place(vantage.clone(), place.clone());
    }
    // A vantage point that reported in parts is one that reported.
    let reports = evidence.reports().cloned().collect();
    Ok((judge(&evidence, &Policy::default()), reports))
}

fn verify(
    arguments: &Arguments,
    saved: &Saved,
    verdict: &Verdict,
    reports: &[Report],
) -> Result<u8, anyhow::Error> {
    // As a coordinator writes what it keeps.
    let again = json::check(&check::page(verdict, reports, PORT));
    let replayed = Replayed {
        check: saved.check.id,
        policy: saved.policy,
        own_policy: Policy::VERSION,
        octets: saved.verdict.len(),
        differs_at: fleet::differs_at(&saved.verdict, again.as_bytes()),
    };
    emit(&if arguments.json() {
        json::replayed(&replayed)
    } else {
        fleet::replayed(&replayed, arguments.style())
    })?;
    Ok(match replayed.differs_at {
        None => 0,
        Some(_) => FAILURE,
    })
}
