//! Prints what a check sees in the world of a scenario file, one observation a line.
//!
//! `cargo run -p bailiwick-lab --example observe -- tests/scenarios/healthy-in-domain.txt`

use bailiwick_core::{
    message::Message,
    observation::{Observation, Outcome},
};
use bailiwick_lab::scenario::Scenario;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in std::env::args().skip(1) {
        let scenario = Scenario::parse(&std::fs::read_to_string(&file)?)?;
        for report in scenario.run(1) {
            println!(
                "{file} from {}: {:?}, {} packets, {} ms",
                report.vantage.id.0,
                report.found,
                report.packets,
                report.elapsed.as_millis()
            );
            for (name, lookup) in &report.lookups {
                println!("  lookup {name}: {lookup:?}");
            }
            for observation in report.observations.values() {
                println!("  {}", line(observation));
            }
        }
    }
    Ok(())
}

fn line(observation: &Observation) -> String {
    let outcome = match &observation.outcome {
        Outcome::Reply(message) => reply(message),
        Outcome::Late(message) => format!("late {}", reply(message)),
        other => format!("{other:?}"),
    };
    format!(
        "{:>5} ms {:?} {} {} {}: {outcome} ({} ms)",
        observation.sent.as_millis(),
        observation.purpose,
        observation.via,
        observation.server,
        observation.question,
        observation.elapsed.as_millis(),
    )
}

fn reply(message: &Message) -> String {
    let mut text = format!("{} {} octets", message.rcode, message.octets);
    for (flag, set) in [
        ("AA", message.flags.authoritative),
        ("TC", message.flags.truncated),
        ("RA", message.flags.recursion_available),
    ] {
        if set {
            text.push(' ');
            text.push_str(flag);
        }
    }
    let errors: Vec<_> = message.extended_errors().collect();
    if !errors.is_empty() {
        text.push_str(&format!(" EDE {errors:?}"));
    }
    for (section, records) in [
        ("an", &message.answer),
        ("au", &message.authority),
        ("ad", &message.additional),
    ] {
        for record in records {
            text.push_str(&format!(" | {section} {record}"));
        }
    }
    text
}
