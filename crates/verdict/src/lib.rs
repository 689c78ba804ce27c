//! Joins reports into evidence, applies the findings, gives the verdict.
//!
//! ```text
//!  Report ─▶ Evidence ─▶ Picture ─▶ findings ──┐
//!                           └─▶ three axes ────┴─▶ state ─▶ Verdict
//! ```
//!
//! Everything here is a pure function of its arguments: equal evidence gives an equal verdict,
//! in whatever order its reports came. Start with [`judge`].
//!
//! - [`picture`]: what the evidence shows, put in order
//! - [`quorum`]: from how many networks something was seen
//! - [`rule`]: what a finding is made of, and the list of all of them
//! - `publication`, `reachability` with `models`, `caches`: axes A, B and C
//! - `state`: the table in which the first match wins

use std::cmp::Reverse;

use bailiwick_core::{
    finding::{Actor, Code, Finding},
    report::Found,
    verdict::{State, Verdict},
};

mod blame;
mod caches;
mod chain;
mod evidence;
mod findings;
#[cfg(test)]
mod fixture;
mod headline;
mod models;
pub mod picture;
mod policy;
mod publication;
pub mod quorum;
mod reachability;
mod rows;
pub mod rule;
mod serial;
mod state;
mod unheard;
mod usable;
mod wording;

pub use evidence::Evidence;
pub use policy::Policy;
pub use rule::{CATALOGUE, Rule, WAITING};

use picture::Picture;
use state::Axes;

/// Says what the evidence means.
#[must_use]
pub fn judge(evidence: &Evidence, policy: &Policy) -> Verdict {
    let picture = Picture::of(evidence);
    let axes = Axes::of(&picture);
    let findings = findings(&picture, policy);
    let (state, blind) = state::state(&picture, axes, &findings);
    let headline = headline::headline(&picture, axes, state, blind.as_ref(), &findings);
    let mut not_covered = rows::not_covered(&picture, &axes.published);
    not_covered.splice(1..1, unheard::lines(evidence));
    let inside = state == State::NotAZone || matches!(picture.found, Found::Inside(_));
    Verdict {
        check: picture.check.clone(),
        state,
        scope: quorum::scope(picture.quorum),
        quorum: picture.quorum,
        intent: picture.wanted.intent,
        publication: axes.published.publication,
        published: (axes.published.new, axes.published.seen),
        reachability: axes.reachability,
        caches: axes.sampled.caches,
        headline,
        parent: picture.parent.cloned(),
        enclosing: picture.parent.filter(|_| inside).cloned(),
        vantages: rows::vantages(&picture, &axes.published),
        parents: rows::parents(&picture, &axes.published),
        name_servers: rows::hosts(&picture),
        resolvers: rows::resolvers(&picture),
        not_covered,
        models: axes.models.clone(),
        bounds: caches::bounds(&picture),
        at: picture.now(),
        elapsed: picture
            .vantages
            .iter()
            .map(|v| v.elapsed)
            .max()
            .unwrap_or_default(),
        packets: picture
            .vantages
            .iter()
            .fold(0, |sum, v| sum.saturating_add(v.packets)),
        findings,
    }
}

/// Applies every rule; worst first, then in the order of the catalogue.
fn findings(picture: &Picture, policy: &Policy) -> Vec<Finding> {
    let mut findings: Vec<Finding> = CATALOGUE
        .iter()
        .flat_map(|rule| (rule.find)(picture))
        .collect();
    for finding in &mut findings {
        policy.apply(finding);
    }
    findings.sort_by_key(|finding| Reverse(finding.severity));
    trace_back(&mut findings);
    findings
}

/// Points from a consequence to the finding that names its cause: the worst about the domain
/// that has the same actor, else the worst.
fn trace_back(findings: &mut [Finding]) {
    let is_consequence = |finding: &Finding| rule::CONSEQUENCES.contains(&finding.code.0);
    let causes: Vec<(Actor, Code)> = findings
        .iter()
        .filter(|f| f.actor != Actor::Vantage && !is_consequence(f))
        .map(|f| (f.actor, f.code))
        .collect();
    for finding in findings.iter_mut().filter(|f| is_consequence(f)) {
        let same = causes.iter().find(|(actor, _)| *actor == finding.actor);
        if let Some((_, code)) = same.or(causes.first()) {
            finding.remedy = format!("See {code}");
        }
    }
}
