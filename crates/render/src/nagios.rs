//! One line for a monitoring system, with performance data.
//!
//! The form is that of the Monitoring Plugins Development Guidelines: a status
//! word, a text, a bar, `label=value[unit];warn;crit;min;max`. The exit code that
//! belongs to it is [`Verdict::nagios_code`].

use bailiwick_core::{
    finding::Severity,
    verdict::{Condition, Verdict},
};

use crate::{Page, names::clean};

/// Writes a verdict as one line.
#[must_use]
pub fn check(page: &Page<'_>) -> String {
    let verdict = page.verdict;
    let status = match verdict.nagios_code() {
        0 => "OK",
        1 => "WARNING",
        2 => "CRITICAL",
        _ => "UNKNOWN",
    };
    let text = format!(
        "{} {}: {}",
        verdict.check.zone, verdict.state, verdict.headline
    );
    // A bar would start the performance data early.
    let text = clean(&text).replace('|', "\\124");
    format!(
        "BAILIWICK {status} - {text} | {}\n",
        performance(verdict).join(" ")
    )
}

fn performance(verdict: &Verdict) -> Vec<String> {
    let addresses = || verdict.name_servers.iter().flat_map(|host| &host.addresses);
    let answering = addresses()
        .filter(|row| row.udp == Condition::Authoritative && row.tcp == Condition::Authoritative)
        .count();
    let findings = |severity| {
        verdict
            .findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let (published, instances) = verdict.published;
    vec![
        format!("published={published};;;0;{instances}"),
        format!("answering={answering};;;0;{}", addresses().count()),
        format!("critical={};;;0", findings(Severity::Critical)),
        format!("errors={};;;0", findings(Severity::Error)),
        format!("warnings={};;;0", findings(Severity::Warning)),
        format!("packets={};;;0", verdict.packets),
        format!("time={:.3}s;;;0", verdict.elapsed.as_secs_f64()),
    ]
}
