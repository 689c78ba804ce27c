//! `vantage-without-vote`: the coordinator holds something against a vantage point.
//!
//! Its controls may be in order, and still it has no vote: it comes and goes (`quarantined`), two
//! machines seem to use its key (`suspect-clone`), it sent two different reports as one
//! (`equivocated`), an operator shut it out (`banned`), or it looks at a laboratory while the
//! others look at the Internet (`laboratory`). Of one in quarantine only the silence does not
//! count; of the others, nothing does. Two reasons lie with the coordinator: its disk is nearly
//! full (`store-full`), or a rule failed on a report (`unjudged`). Nothing of this says anything
//! about your zone.
//!
//! The coordinator tells more about each of its agents, and how an objection is lifted.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    vantage::Objection,
};

use crate::{
    picture::{Picture, Vantage},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "vantage-without-vote",
    severity: Severity::Warning,
    actor: Actor::Vantage,
    title: "the coordinator holds something against a vantage point",
    text: include_str!("vantage_without_vote.rs"),
    source: "RFC 7594, section 8; controls C10 and C11",
    related: &[],
    find,
};

/// Objections that have a finding of their own.
const TOLD_ELSEWHERE: [Objection; 2] = [Objection::Skewed, Objection::Mislabelled];

fn find(picture: &Picture) -> Vec<Finding> {
    let held = picture.vantages.iter().filter_map(|vantage| {
        let mut others = vantage.objections.clone();
        others.retain(|objection| !TOLD_ELSEWHERE.contains(objection));
        (!others.is_empty()).then_some((vantage, others))
    });
    held.map(|(vantage, objections)| {
        let silent = objections.iter().all(|o| !o.forbids_testimony());
        let finding = RULE
            .about(picture.zone)
            .detail(format!(
                "{} has no vote ({}), so {} does not count",
                vantage.called(),
                wording::list(objections),
                if silent {
                    "its silence"
                } else {
                    "what it sees"
                }
            ))
            .remedy(format!("Ask the coordinator about {}", vantage.called()));
        finding.done()
    })
    .collect()
}

/// Returns the vantage points against which this is held.
pub(super) fn holding<'p, 'e>(
    picture: &'p Picture<'e>,
    objection: Objection,
) -> impl Iterator<Item = &'p Vantage<'e>> {
    let holds = move |vantage: &&Vantage| vantage.objections.contains(&objection);
    picture.vantages.iter().filter(holds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, lines};

    #[test]
    fn each_objection_is_told_once() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        assert!(lines(&RULE, &world()).is_empty());
        for objection in Objection::ALL {
            let told = lines(&RULE, &world().from("eu").held(objection));
            let elsewhere = TOLD_ELSEWHERE.contains(&objection);
            assert_eq!(told.is_empty(), elsewhere, "{objection}");
        }
        assert_eq!(
            lines(&RULE, &world().from("eu").held(Objection::Quarantined)),
            ["warning: eu has no vote (quarantined), so its silence does not count"]
        );
        let both = world()
            .from("eu")
            .held(Objection::Banned)
            .held(Objection::Equivocated);
        assert_eq!(
            lines(&RULE, &both),
            ["warning: eu has no vote (equivocated and banned), so what it sees does not count"]
        );
    }
}
