//! The `dig` line that repeats an observation, for a shell.
//!
//! Whoever doubts a row of a table can paste its line and look for themselves.
//! The lines are for dig of BIND 9.18 or later.

use bailiwick_core::{
    message::{Class, Question},
    observation::{Observation, Outcome},
    query::{Options, Stub, Via},
    report::Report,
    server::Server,
};

use crate::{
    Page,
    names::clean,
    words::{self, round_trip},
};

/// The port of DNS.
const DNS: u16 = 53;

/// Writes one line for each question that was sent, in the order of asking.
#[must_use]
pub fn check(page: &Page<'_>) -> String {
    page.reports
        .iter()
        .flat_map(|report| lines(report, page.port))
        .collect()
}

/// Returns one line for each question of a report that was sent, ended by a line feed.
pub fn lines(report: &Report, port: u16) -> impl Iterator<Item = String> {
    sent(report.observations.values(), port)
}

/// Returns one line for each question that was sent, ended by a line feed.
pub fn sent<'a>(
    observations: impl Iterator<Item = &'a Observation>,
    port: u16,
) -> impl Iterator<Item = String> {
    observations
        .filter(|observation| !matches!(observation.outcome, Outcome::Withheld(_)))
        .map(move |observation| format!("{}\n", commented(observation, port)))
}

/// Returns the line for an observation, with what came of it as a comment.
#[must_use]
pub fn commented(observation: &Observation, port: u16) -> String {
    let line = command(
        &observation.server,
        &observation.question,
        observation.via,
        observation.options,
        port,
    );
    let comment = format!(
        "{}: {}, {}",
        observation.server.name,
        words::outcome(observation),
        round_trip(observation.elapsed)
    );
    format!("{line}  # {}", clean(&comment))
}

/// Returns the line that asks a server a question in the same way.
#[must_use]
pub fn command(
    server: &Server,
    question: &Question,
    via: Via,
    options: Options,
    port: u16,
) -> String {
    let mut words = vec!["dig".to_owned()];
    if !options.recursion_desired {
        words.push("+norecurse".to_owned());
    }
    if options.edns {
        words.push("+nsid".to_owned());
    } else {
        words.push("+noedns".to_owned());
        words.push("+ignore".to_owned());
    }
    if options.dnssec_ok {
        words.push("+dnssec".to_owned());
    }
    if options.checking_disabled {
        words.push("+cdflag".to_owned());
    }
    match via {
        Via::Tcp => words.push("+tcp".to_owned()),
        Via::Stub(Stub::Tls) => words.push("+tls".to_owned()),
        Via::Stub(Stub::Https) => words.push("+https".to_owned()),
        Via::Udp if options.edns => words.push("+ignore".to_owned()),
        Via::Udp | Via::Stub(Stub::Plain) => {}
    }
    if port != DNS && matches!(via, Via::Udp | Via::Tcp) {
        words.push(format!("-p {port}"));
    }
    words.push(format!("@{}", server.address));
    let name = question.name.to_string();
    // What begins like an option has to be called a name.
    let lead = if name.starts_with(['-', '+']) {
        "-q "
    } else {
        ""
    };
    words.push(format!("{lead}{}", quoted(&name)));
    words.push(question.record_type.to_string());
    if question.class == Class::Chaos {
        words.push("-c CH".to_owned());
    }
    words.join(" ")
}

/// Quotes a word for a POSIX shell, unless every character of it is plain.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_core::record::RecordType;

    #[test]
    fn a_line_asks_what_was_asked() {
        let server = Server {
            name: "a.gtld-servers.net".parse().unwrap(),
            address: "192.5.6.30".parse().unwrap(),
        };
        let chaos = Options::RECURSIVE;
        let cases = [
            (
                "example.com",
                Via::Udp,
                Options::ITERATIVE,
                53,
                "dig +norecurse +nsid +ignore @192.5.6.30 example.com. NS",
            ),
            (
                "example.com",
                Via::Tcp,
                Options::ITERATIVE,
                5300,
                "dig +norecurse +nsid +tcp -p 5300 @192.5.6.30 example.com. NS",
            ),
            (
                "example.com",
                Via::Udp,
                Options::PLAIN,
                53,
                "dig +norecurse +noedns +ignore @192.5.6.30 example.com. NS",
            ),
            (
                "example.com",
                Via::Stub(Stub::Tls),
                chaos,
                5300,
                "dig +nsid +tls @192.5.6.30 example.com. NS",
            ),
            (
                r"it's\032$HOME.example",
                Via::Tcp,
                chaos,
                53,
                r"dig +nsid +tcp @192.5.6.30 'it'\''s\032\$home.example.' NS",
            ),
            (
                "+short.example",
                Via::Tcp,
                chaos,
                53,
                "dig +nsid +tcp @192.5.6.30 -q '+short.example.' NS",
            ),
        ];
        for (name, via, options, port, line) in cases {
            let question = Question::new(name.parse().unwrap(), RecordType::NS);
            assert_eq!(command(&server, &question, via, options, port), line);
        }
    }
}
