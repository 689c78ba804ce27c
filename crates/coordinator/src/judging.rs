//! From reports to a verdict, and where the vantage points stand.
//!
//! A rule that panics is a bug, and what made it panic came from outside. So it costs one verdict
//! at most: each report of that check is then judged alone, and one that panics again is left out
//! from then on ([`Quarantine`]). The verdict is that of the others, and says so.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bailiwick_core::{
    check::{Check, CheckId},
    place::Place,
    report::Report,
    vantage::{Objection, VantageId},
    verdict::Verdict,
};
use bailiwick_render::{Page, Style};
use bailiwick_rpc::operator::{self, evidence_part};
use bailiwick_store::{Agent, AgentState, Judgement};
use bailiwick_verdict::{Evidence, Policy, judge};
use bailiwick_wire::evidence;
use prost::{Message as _, bytes::Bytes};

use crate::{Shared, clock};

/// The port of DNS (RFC 1035, section 4.2), for lines that repeat a question.
const PORT: u16 = 53;
/// How far a clock may be off (control C1), in nanoseconds.
const SKEW: u64 = 2_000_000_000;
/// Reports in quarantine that are remembered.
const REMEMBERED: usize = 4096;

/// The rules: what comes of evidence.
#[derive(Clone)]
pub struct Rules(Arc<dyn Fn(&Evidence) -> Verdict + Send + Sync>);

impl Rules {
    /// Other rules than the usual ones, for tests of what happens when they fail.
    pub fn new(rules: impl Fn(&Evidence) -> Verdict + Send + Sync + 'static) -> Self {
        Self(Arc::new(rules))
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(|evidence| judge(evidence, &Policy::default()))
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rules")
    }
}

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

/// Why a check has no verdict.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NoVerdict {
    /// Nobody reported; these words say why, as far as it is known.
    NothingReported(String),
    /// The rules failed on what was reported.
    RulesFailed,
}

impl NoVerdict {
    /// The word that stands in the place of a state, and the exit code.
    pub(crate) fn state(&self) -> (&'static str, u8) {
        match self {
            Self::NothingReported(_) => ("INCONCLUSIVE", 40),
            Self::RulesFailed => ("ERROR", 3),
        }
    }

    /// What is kept of it.
    pub(crate) fn judgement(&self) -> Judgement {
        let (state, exit_code) = self.state();
        Judgement {
            state: state.to_owned(),
            exit_code,
            headline: self.to_string(),
            policy: Policy::VERSION,
            judged: clock::now(),
            verdict: Bytes::new(),
            places: Bytes::new(),
        }
    }
}

impl fmt::Display for NoVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingReported(why) => why,
            Self::RulesFailed => {
                "a rule failed on what was reported, which is a bug of Bailiwick; the \
                 coordinator's log says which report it was"
            }
        })
    }
}

/// Reports on which rules panicked twice, by check and vantage point.
#[derive(Debug, Default)]
pub(crate) struct Quarantine(Mutex<VecDeque<(CheckId, VantageId)>>);

impl Quarantine {
    fn list(&self) -> MutexGuard<'_, VecDeque<(CheckId, VantageId)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, check: CheckId, vantage: &VantageId) {
        tracing::error!(
            check = format!("{:032x}", check.0),
            agent = vantage.0,
            "a rule failed twice on a report: it is left out from now on; this is a bug of Bailiwick"
        );
        let mut list = self.list();
        list.push_back((check, vantage.clone()));
        if list.len() > REMEMBERED {
            list.pop_front();
        }
    }

    fn holds(&self, check: CheckId, vantage: &VantageId) -> bool {
        let of = |(one, who): &(CheckId, VantageId)| *one == check && who == vantage;
        self.list().iter().any(of)
    }

    /// How many reports are left out.
    pub(crate) fn count(&self) -> usize {
        self.list().len()
    }
}

impl Shared {
    /// Judges what came in so many parts, on a thread of its own: a verdict takes milliseconds,
    /// and streams must not wait.
    pub(crate) async fn judge(
        self: &Arc<Self>,
        check: CheckId,
        asked: &BTreeSet<VantageId>,
        reports: Vec<Report>,
        parts: u32,
    ) -> Result<Judged, NoVerdict> {
        let agents = asked.iter().filter_map(|name| self.roster.agent(name));
        let case = Case {
            check,
            places: agents
                .map(|agent| (agent.name.clone(), self.place(&agent)))
                .collect(),
            reports,
            parts,
        };
        let shared = Arc::clone(self);
        let judged = tokio::task::spawn_blocking(move || shared.judge_case(case));
        judged.await.unwrap_or(Err(NoVerdict::RulesFailed))
    }

    fn judge_case(&self, mut case: Case) -> Result<Judged, NoVerdict> {
        let known: Vec<_> = case.vantages();
        for vantage in known {
            if self.quarantine.holds(case.check, &vantage) {
                case.leave_out(&vantage);
            }
        }
        for (vantage, place) in &mut case.places {
            let reported = case.reports.iter().any(|r| r.vantage.id == *vantage);
            if !reported && self.refusals.is_refused(vantage) {
                place.objections.insert(Objection::StoreFull);
            }
        }
        if let Some(judged) = case.try_to_judge(&self.rules) {
            return judged;
        }
        for vantage in case.vantages() {
            if case.alone(&vantage).try_to_judge(&self.rules).is_none() {
                self.quarantine.add(case.check, &vantage);
                case.leave_out(&vantage);
            }
        }
        let judged = case.try_to_judge(&self.rules);
        judged.unwrap_or(Err(NoVerdict::RulesFailed))
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

/// What is to be judged.
struct Case {
    check: CheckId,
    places: Vec<(VantageId, Place)>,
    reports: Vec<Report>,
    /// In how many parts the reports came.
    parts: u32,
}

impl Case {
    fn vantages(&self) -> Vec<VantageId> {
        let names: BTreeSet<_> = self.reports.iter().map(|r| r.vantage.id.clone()).collect();
        names.into_iter().collect()
    }

    fn leave_out(&mut self, vantage: &VantageId) {
        self.reports.retain(|r| r.vantage.id != *vantage);
        if let Some((_, place)) = self.places.iter_mut().find(|(name, _)| name == vantage) {
            place.objections.insert(Objection::Unjudged);
        }
    }

    fn alone(&self, vantage: &VantageId) -> Self {
        let of = |report: &&Report| report.vantage.id == *vantage;
        Self {
            reports: self.reports.iter().filter(of).cloned().collect(),
            places: self.places.clone(),
            ..*self
        }
    }

    /// Returns `None` if a rule panicked.
    fn try_to_judge(&self, rules: &Rules) -> Option<Result<Judged, NoVerdict>> {
        std::panic::catch_unwind(AssertUnwindSafe(|| self.judge(rules))).ok()
    }

    fn judge(&self, rules: &Rules) -> Result<Judged, NoVerdict> {
        let joined = self.reports.iter().cloned().map(Evidence::of);
        let Some(mut evidence) = joined.reduce(Evidence::join) else {
            return Err(self.nothing());
        };
        for (vantage, place) in &self.places {
            evidence = evidence.place(vantage.clone(), place.clone());
        }
        let verdict = (rules.0)(&evidence);
        // A vantage point that reported in parts is one that reported.
        let reports: Vec<_> = evidence.reports().cloned().collect();
        let page = Page {
            verdict: &verdict,
            reports: &reports,
            style: Style::PLAIN,
            full: false,
            raw: false,
            port: PORT,
        };
        let known = self.places.iter().map(|(vantage, place)| (vantage, place));
        // Reports on a round of a watch name the watch.
        let check = Check {
            id: self.check,
            ..verdict.check.clone()
        };
        let mut head = evidence::to_head(&check, known, Policy::VERSION, Bytes::new());
        if let Some(evidence_part::Kind::Head(head)) = &mut head.kind {
            head.reports = self.parts;
        }
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

    /// Why there is nothing to judge.
    fn nothing(&self) -> NoVerdict {
        let held = |objection| {
            let against = |(_, place): &&(VantageId, Place)| place.objections.contains(&objection);
            self.places.iter().filter(against).count()
        };
        if held(Objection::Unjudged) > 0 {
            return NoVerdict::RulesFailed;
        }
        let mut why = match self.places.len() {
            1 => "the vantage point that was asked did not report".to_owned(),
            more => format!("none of {more} vantage points reported"),
        };
        let refused = held(Objection::StoreFull);
        if refused > 0 {
            why += &format!(
                ": the coordinator refuses reports ({refused} of {} sent one), because its disk is \
                 nearly full",
                self.places.len()
            );
        }
        NoVerdict::NothingReported(why)
    }
}
