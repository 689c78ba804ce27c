//! From reports to a verdict, and where the vantage points stand.

use std::{collections::BTreeSet, panic::AssertUnwindSafe, sync::Arc};

use bailiwick_core::{
    place::Place,
    report::Report,
    vantage::{Objection, VantageId},
    verdict::Verdict,
};
use bailiwick_render::{Page, Style};
use bailiwick_rpc::operator;
use bailiwick_store::{Agent, AgentState, Judgement};
use bailiwick_verdict::{Evidence, Policy, judge};
use bailiwick_wire::evidence;
use prost::{Message as _, bytes::Bytes};

use crate::{Shared, clock};

/// The port of DNS (RFC 1035, section 4.2), for lines that repeat a question.
const PORT: u16 = 53;
/// How far a clock may be off (control C1), in nanoseconds.
const SKEW: u64 = 2_000_000_000;

/// A verdict, and what it rests on.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    pub(crate) reports: Vec<Report>,
    pub(crate) judgement: Judgement,
}

impl Judged {
    /// Shows the verdict as somebody wants to see it.
    pub(crate) fn show(&self, view: &operator::View) -> Option<String> {
        let width = match view.width {
            0 => Style::PLAIN.width,
            columns => columns as usize,
        };
        let page = Page {
            verdict: &self.verdict,
            reports: &self.reports,
            style: Style {
                color: view.color,
                width,
            },
            full: view.full,
            raw: view.raw,
            port: PORT,
        };
        bailiwick_render::show(&view.format, &page)
    }
}

impl Shared {
    /// Judges, on a thread of its own: a verdict takes milliseconds, and streams must not wait.
    ///
    /// A rule that panics is a bug. It costs this verdict and no other.
    pub(crate) async fn judge(
        self: &Arc<Self>,
        asked: &BTreeSet<VantageId>,
        reports: Vec<Report>,
    ) -> Result<Judged, String> {
        let places: Vec<_> = asked
            .iter()
            .filter_map(|name| self.roster.agent(name))
            .map(|agent| (agent.name.clone(), self.place(&agent)))
            .collect();
        let work = move || {
            std::panic::catch_unwind(AssertUnwindSafe(|| judged(reports, &places)))
                .unwrap_or_else(|_| Err("a rule failed: this is a bug of Bailiwick".to_owned()))
        };
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Where a vantage point stands, and what is held against it.
    pub(crate) fn place(&self, agent: &Agent) -> Place {
        let mut place = Place::of_labels(agent.labels.iter().map(String::as_str))
            // Labels are read when an agent is invited; none that cannot be read is kept.
            .or_else(|_| Place::of_labels([]))
            .unwrap_or_else(|_| unreachable!("no label cannot be unreadable"));
        let mut hold = |objection| place.objections.insert(objection);
        if self.sessions.is_quarantined(&agent.name) {
            hold(Objection::Quarantined);
        }
        if agent.equivocations > 0 {
            hold(Objection::Equivocated);
        }
        if self.clones.is_suspect(&agent.name) {
            hold(Objection::SuspectClone);
        }
        if let AgentState::Banned { .. } = agent.state {
            hold(Objection::Banned);
        }
        let Some(seen) = &agent.seen else {
            return place;
        };
        if seen.clock_offset.unsigned_abs() > SKEW {
            hold(Objection::Skewed);
        }
        if seen.lab && !self.lab {
            hold(Objection::Laboratory);
        }
        if self.networks.locate(seen.address, &mut place) {
            place.objections.insert(Objection::Mislabelled);
        }
        place.since = seen.at;
        place.address = Some(seen.address);
        place.lab |= seen.lab;
        place
    }
}

fn judged(reports: Vec<Report>, places: &[(VantageId, Place)]) -> Result<Judged, String> {
    let joined = reports
        .iter()
        .cloned()
        .map(Evidence::of)
        .reduce(Evidence::join);
    let Some(mut evidence) = joined else {
        return Err(match places.len() {
            1 => "the vantage point that was asked did not report".to_owned(),
            more => format!("none of {more} vantage points reported"),
        });
    };
    for (vantage, place) in places {
        evidence = evidence.place(vantage.clone(), place.clone());
    }
    let verdict = judge(&evidence, &Policy::default());
    let page = Page {
        verdict: &verdict,
        reports: &reports,
        style: Style::PLAIN,
        full: false,
        raw: false,
        port: PORT,
    };
    let known = places.iter().map(|(vantage, place)| (vantage, place));
    let head = evidence::to_head(&verdict.check, known, Policy::VERSION, Bytes::new());
    let judgement = Judgement {
        state: verdict.state.to_string(),
        exit_code: verdict.state.exit_code(),
        headline: verdict.headline.clone(),
        policy: Policy::VERSION,
        judged: clock::now(),
        verdict: bailiwick_render::json::check(&page).into(),
        places: head.encode_to_vec().into(),
    };
    Ok(Judged {
        verdict,
        reports,
        judgement,
    })
}
