//! What is to be known after something was done, as text.

use super::{Invitation, Invited, Joined, Replayed, Saved, facts, octets, short};
use crate::{
    Style,
    layout::{Paint, Sheet},
    names::clean,
    words::count,
};

/// Shows a join string and what to do with it. The string stands alone on the first line and is
/// never broken, so that it can be pasted.
#[must_use]
pub fn invitation(invitation: &Invitation, style: Style) -> String {
    let mut sheet = Sheet::new(style);
    sheet.blank();
    let (program, about) = match &invitation.of {
        Invited::Agent { approve } => (
            "bailiwick-agent join -",
            match approve {
                true => "Then approve it here: bailiwick agents approve ",
                false => "",
            },
        ),
        Invited::Operator { .. } => ("bailiwick operator join -", ""),
    };
    let who = match &invitation.of {
        Invited::Agent { .. } => format!("agent {}", invitation.name),
        Invited::Operator { role } => format!("operator {} (role {role})", invitation.name),
    };
    let line = format!(
        "This string makes one machine the {who}. It works once, until {}. Treat it like a \
         password.",
        invitation.until
    );
    sheet.paragraph("", 0, &line, Paint::Plain);
    let line = format!("There, run {program} and paste it.");
    sheet.paragraph("", 0, &line, Paint::Plain);
    if !about.is_empty() {
        let line = format!("{about}{}", invitation.name);
        sheet.paragraph("", 0, &line, Paint::Plain);
    }
    format!("{}\n\n{}", clean(&invitation.join), sheet.finish())
}

/// Shows what is known after joining.
#[must_use]
pub fn joined(joined: &Joined, style: Style) -> String {
    let mut sheet = Sheet::new(style);
    let line = format!("You are {} at {}.", joined.name, joined.trust_domain);
    sheet.paragraph("", 0, &line, Paint::Good);
    sheet.blank();
    let rows = [
        ("coordinator", joined.operators.join(", ")),
        (
            "certificate until",
            format!("{}, renewed by itself", joined.until),
        ),
        ("key", joined.folder.clone()),
    ];
    facts(&mut sheet, &rows);
    sheet.blank();
    let line = match joined.operators.first() {
        Some(first) => format!("Now: bailiwick status --coordinator {first}"),
        None => "The coordinator does not say where operators come in: ask for its address, then \
                 bailiwick status --coordinator HOST:PORT"
            .to_owned(),
    };
    sheet.paragraph("", 0, &line, Paint::Plain);
    sheet.finish()
}

/// Says where evidence is.
#[must_use]
pub fn saved(saved: &Saved, style: Style) -> String {
    let mut sheet = Sheet::new(style);
    let line = format!(
        "The evidence of check {} is in {}: {}, {}.",
        short(saved.check),
        saved.file,
        count(saved.reports, "report"),
        octets(saved.octets)
    );
    sheet.paragraph("", 0, &line, Paint::Plain);
    sheet.finish()
}

/// Says whether a verdict came out the same.
#[must_use]
pub fn replayed(replayed: &Replayed, style: Style) -> String {
    let mut sheet = Sheet::new(style);
    let (line, paint) = match replayed.differs_at {
        None => (
            format!(
                "SAME: the verdict on check {} came out byte for byte as it was given.",
                short(replayed.check)
            ),
            Paint::Good,
        ),
        Some(_) if replayed.octets == 0 => (
            "DIFFERENT: no verdict had been given when the evidence was saved.".to_owned(),
            Paint::Bad,
        ),
        Some(at) => (
            format!(
                "DIFFERENT: the verdict on check {} is another from octet {at} on.",
                short(replayed.check)
            ),
            Paint::Bad,
        ),
    };
    sheet.paragraph("", 0, &line, paint);
    let rules = match replayed.policy == replayed.own_policy {
        true => format!("policy {}, then and now", replayed.policy),
        false => format!(
            "policy {} then, policy {} of this program now",
            replayed.policy, replayed.own_policy
        ),
    };
    facts(
        &mut sheet,
        &[
            ("rules", rules),
            ("compared", count(replayed.octets, "octet")),
        ],
    );
    sheet.finish()
}
