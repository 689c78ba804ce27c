//! Vantage points that were asked and are not heard for a reason that the coordinator knows.
//!
//! They are not silent: what they sent was refused, or was left out. A verdict that called them
//! missing would send whoever reads it to the wrong machine.

use bailiwick_core::vantage::Objection;

use crate::{Evidence, wording};

/// The reasons, and what each means.
const REASONS: [(Objection, &str); 2] = [
    (
        Objection::StoreFull,
        "were refused: the coordinator's disk is nearly full",
    ),
    (
        Objection::Unjudged,
        "are left out: a rule failed on them, a bug of Bailiwick",
    ),
];

/// Returns the reason why nothing is there of a vantage point, if it is one of these.
pub(crate) fn reason(objections: &std::collections::BTreeSet<Objection>) -> Option<Objection> {
    let mut reasons = REASONS.iter().map(|(reason, _)| *reason);
    reasons.find(|reason| objections.contains(reason))
}

/// One line for each reason, with those that it is about.
pub(crate) fn lines(evidence: &Evidence) -> impl Iterator<Item = String> {
    REASONS.into_iter().filter_map(|(wanted, meaning)| {
        let names: Vec<&str> = evidence
            .unheard()
            .filter(|(_, reason)| *reason == wanted)
            .map(|(vantage, _)| &vantage.0[..])
            .collect();
        (!names.is_empty()).then(|| format!("reports of {} {meaning}", wording::list(names)))
    })
}

#[cfg(test)]
mod tests {
    use bailiwick_core::{place::Place, vantage::VantageId};

    use super::*;
    use crate::{Policy, fixture::Fixture, judge};

    #[test]
    fn who_is_known_to_be_unheard_is_not_called_missing() {
        let held = |name: &str, objection: Option<Objection>| {
            let mut place = Place::of_labels([]).unwrap();
            place.objections.extend(objection);
            (VantageId(name.to_owned()), place)
        };
        let mut evidence = Fixture::healthy("ns1.example.com. 192.0.2.1").evidence();
        for (vantage, place) in [
            held("a", Some(Objection::StoreFull)),
            held("b", None),
            held("c", Some(Objection::Quarantined)),
            held("d", Some(Objection::Unjudged)),
            held("e", Some(Objection::StoreFull)),
        ] {
            evidence = evidence.place(vantage, place);
        }
        let verdict = judge(&evidence, &Policy::default());
        let about: Vec<_> = verdict
            .not_covered
            .iter()
            .filter(|line| line.contains("report"))
            .collect();
        let expected = [
            "reports of a and e were refused: the coordinator's disk is nearly full",
            "reports of d are left out: a rule failed on them, a bug of Bailiwick",
            "no report came from b and c",
        ];
        assert_eq!(about, expected);
    }
}
