//! What is wrong, and what to do about it: worst first, each with who can do it.

use bailiwick_core::{
    finding::{Finding, Severity},
    verdict::{State, Verdict},
};

use crate::{
    layout::{Cell, Paint, Sheet},
    words::{self, sentence},
};

/// Facts that are shown of a finding that was made many times.
const SHOWN_FACTS: usize = 3;

/// Findings that differ in their facts only: one instruction.
fn grouped(findings: &[Finding]) -> Vec<Vec<&Finding>> {
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    for finding in findings {
        let same = |other: &Finding| {
            (other.code, other.severity, other.actor, &other.remedy)
                == (
                    finding.code,
                    finding.severity,
                    finding.actor,
                    &finding.remedy,
                )
        };
        match groups.iter_mut().find(|group| same(group[0])) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    groups
}

pub(super) fn to_do(sheet: &mut Sheet, verdict: &Verdict) {
    let (mut notes, tasks): (Vec<_>, Vec<_>) = grouped(&verdict.findings)
        .into_iter()
        .partition(|group| group[0].severity == Severity::Info);
    // What is said under "not covered" need not be said twice.
    notes.retain(|group| !verdict.not_covered.contains(&group[0].detail));
    let well = matches!(
        verdict.state,
        State::Consistent | State::Confirmed | State::PublishedDraining
    );
    match (&verdict.enclosing, tasks.is_empty()) {
        (Some(enclosing), true) => {
            let about = format!("bailiwick check {enclosing}");
            sheet.heading("DO THIS NOW", &about);
        }
        (_, false) => sheet.heading("DO THIS NOW", ""),
        (None, true) if well => sheet.heading("DO THIS NOW", "nothing"),
        (None, true) => {}
    }
    for (at, group) in tasks.iter().enumerate() {
        let first = group[0];
        sheet.row(
            &[
                (2, Cell::new(format!("{}.", at + 1))),
                (
                    8,
                    Cell::painted(
                        first.severity.to_string(),
                        words::paint_severity(first.severity),
                    ),
                ),
                (14, Cell::painted(first.actor.to_string(), Paint::Strong)),
            ],
            first.code.0,
        );
        facts(sheet, "      ", group);
        if !first.remedy.is_empty() {
            sheet.paragraph("      -> ", 9, &sentence(&first.remedy), Paint::Strong);
        }
    }
    if let Some(first) = tasks.first() {
        let line = format!("More on it: bailiwick explain {}", first[0].code);
        sheet.paragraph("  ", 4, &line, Paint::Dim);
    }
    if !notes.is_empty() {
        sheet.heading("ALSO NOTED", "");
        for group in notes {
            facts(sheet, "  - ", &group);
            if !group[0].remedy.is_empty() {
                sheet.paragraph("      -> ", 9, &sentence(&group[0].remedy), Paint::Plain);
            }
        }
    }
}

fn facts(sheet: &mut Sheet, lead: &str, group: &[&Finding]) {
    let shown = if group.len() <= SHOWN_FACTS + 1 {
        group.len()
    } else {
        SHOWN_FACTS
    };
    for finding in &group[..shown] {
        sheet.paragraph(lead, lead.len(), &sentence(&finding.detail), Paint::Plain);
    }
    if shown < group.len() {
        let line = format!("and {} more of this kind", group.len() - shown);
        sheet.paragraph(lead, lead.len(), &line, Paint::Dim);
    }
}
