//! A case in text: a check, the world it runs in, and the verdict it must give.
//!
//! ```text
//! ; The registry has published new glue on one of its two servers.
//! [check example.com.]
//! expect ns1.example.com. 192.0.2.20
//!
//! [server a.gtld.test.]                  ; already new
//! zone com.
//! example.com.      NS  ns1.example.com.
//! ns1.example.com.  A   192.0.2.20
//!
//! [server b.gtld.test.]                  ; still old
//! zone com.
//! example.com.      NS  ns1.example.com.
//! ns1.example.com.  A   192.0.2.10
//!
//! [server ns1.example.com. 192.0.2.20]
//! zone example.com.
//!
//! [verdict]
//! state PUBLISHING 1/2
//! ```
//!
//! A section begins with a line in brackets; `;` begins a comment.
//!
//! | section | says |
//! |---|---|
//! | `[check ZONE]` | what is checked. Options, a line each: `expect HOST ADDRESS…`, `families v4`, `minimise off`, `no-resolvers`, `timeout 5s`, `nonce N`, `packets N` (limit B1), `public` (send to globally reachable addresses only) |
//! | `[server NAME ADDRESS…]` | a name server: rules, then `zone` blocks. Two sections may share an address: then one server has two names. `hidden` alone on a line: the zones here do not name it |
//! | `[zone APEX SERVER…]` | the same zone on several servers; without names on the servers of top-level domains |
//! | `[resolver NAME ADDRESS…]` | a public resolver: rules, `region R`, `identity TEXT`, `serves-stale`, `absent NAME SECONDS` (cached NXDOMAIN), and `cache`, after which come the records that it still holds |
//! | `[vantage NAME LABEL… ADDRESS…]` | a place to look from, and its region: rules for its path. Labels (`asn=64500`, `rir=ripe`, `geo=50.1,8.7`, `operator=acme`) say where it stands. The addresses tell its questions apart where the world is on sockets. A word such as `banned` alone on a line is held against it ([`Objection`](bailiwick_core::vantage::Objection)) |
//! | `[verdict]` | the verdict, to the end of the file |
//!
//! A `zone APEX` line, and the header of a `[zone]` section, may go on with `serial N`,
//! `nsid TEXT`, `complete` (adds a delegation for every zone of the world right below it that
//! its text does not mention) and conditions. After it come records in master-file syntax,
//! relative to the apex. A zone without SOA gets one (serial 1). A zone that does not say who
//! its name servers are names every server that has it, with its addresses where the names are
//! in-domain. Everything else is as written: what is left out is missing.
//!
//! **Rules**, a line each, at servers, resolvers and vantage points; what they do is told at
//! [`Behaviour`](crate::world::Behaviour): `silent`, `port-closed`, `unreachable`, `no-route`, `refused`, `servfail`,
//! `formerr`, `notimp`, `notauth`, `nxdomain` (these with `ede N`), `empty`, `upward-referral`,
//! `self-referral`, `sideways-referral ZONE HOST`, `endless-referral NAME`, `no-aa`, `aa-on-referral`, `drops-edns`,
//! `formerr-on-edns`, `ignores-edns`, `truncates N`, `drops-glue N`, `late 300ms`, `rtt 80ms`,
//! `loss 30%`, `junk N`, `malformed`, `closes`, `stalls`, `drips`, `wrong-case`,
//! `promotes-glue`, `denies-empty-non-terminals`, `rewrites-nxdomain ADDRESS`,
//! `offers-recursion`, `intercepted`, `nsid TEXT`.
//!
//! **Conditions** follow a rule or a zone line: `udp`, `tcp`, `v4`, `v6`, an address,
//! `from REGION`, `for NAME` (and below), `type TYPE`, `edns`, `plain` (no EDNS),
//! `checked` (CD=0), `unchecked` (CD=1), `after 2s`,
//! `until 2s`. The region of a vantage point and of a resolver is its name, unless given.
//!
//! **What goes without saying** ([`crate::defaults`]): a root on `a.root.test.` and
//! `b.root.test.`; every top-level domain that a zone or the check needs on `a.gtld.test.` and
//! `b.gtld.test.`, complete; the resolvers google, cloudflare and quad9, honest; the vantage
//! point `local`. What a scenario writes takes their place. `[server a.gtld.test.]` without
//! addresses keeps those that it has by default.

use bailiwick_core::{
    check::Check,
    limit::Limits,
    name::Name,
    place::{Place, PlaceError},
    time::Timestamp,
    vantage::VantageId,
};

use crate::{
    reader::{Reader, without_comment},
    words::WordsError,
    world::World,
};

/// When every simulated check begins: 2026-09-21T14:13:20Z.
pub const START: Timestamp = Timestamp(1_790_000_000_000_000);

/// A case.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The check.
    pub check: Check,
    /// Its limits.
    pub limits: Limits,
    /// The world.
    pub world: World,
    /// The verdict that it must give, a line each, without comments.
    pub verdict: Vec<String>,
    /// The text up to the verdict.
    head: String,
}

/// Why a text is no scenario.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ScenarioError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What can be wrong in a scenario.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// There is no `[check]` section.
    #[error("no [check] section")]
    NoCheck,
    /// A line stands before the first section.
    #[error("a line outside of all sections")]
    NoSection,
    /// A section of no known kind.
    #[error("unknown section {0:?}")]
    UnknownSection(String),
    /// A line that says nothing known.
    #[error("unknown word {0:?}")]
    UnknownWord(String),
    /// Something is missing or not of the right kind.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// A label does not say where a vantage point stands.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A zone text cannot be read.
    #[error("zone {apex}: {why}")]
    Zone {
        /// The apex.
        apex: Name,
        /// What the reader of master files says; its lines count from the zone line.
        why: String,
    },
    /// A server without an address, that is none of the default servers.
    #[error("server {0} has no address")]
    NoAddress(Name),
    /// A zone is put on a server that is not there.
    #[error("zone on unknown server {0}")]
    UnknownServer(Name),
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    ///
    /// Returns [`ScenarioError`] with the first line that cannot be read.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let mut reader = Reader::default();
        let mut head = String::new();
        let mut verdict = Vec::new();
        let mut lines = text.lines().zip(1..);
        for (line, number) in lines.by_ref() {
            head.push_str(line);
            head.push('\n');
            let at = |problem| ScenarioError {
                line: number,
                problem,
            };
            if without_comment(line) == "[verdict]" {
                break;
            }
            reader.line(line).map_err(at)?;
        }
        for (line, _) in lines {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with(';') {
                verdict.push(line.to_owned());
            }
        }
        let end = |problem| ScenarioError {
            line: text.lines().count(),
            problem,
        };
        let (check, limits, world) = reader.finish().map_err(end)?;
        Ok(Self {
            check,
            limits,
            world,
            verdict,
            head,
        })
    }

    /// Returns where the vantage points stand that say so.
    pub fn places(&self) -> impl Iterator<Item = (VantageId, Place)> {
        let said = |place: &Place| *place != Place::default();
        let vantages = self.world.vantages.iter();
        vantages
            .filter(move |vantage| said(&vantage.place))
            .map(|vantage| (VantageId(vantage.name.clone()), vantage.place.clone()))
    }

    /// Returns the text of the scenario with another verdict.
    #[must_use]
    pub fn with_verdict(&self, verdict: &[String]) -> String {
        let mut text = self.head.clone();
        if !text
            .lines()
            .any(|line| without_comment(line) == "[verdict]")
        {
            text.push_str("\n[verdict]\n");
        }
        for line in verdict {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Returns what the scenario is about: its first comment.
    #[must_use]
    pub fn about(&self) -> String {
        let comment = self.head.lines().map_while(|line| line.strip_prefix(';'));
        comment.map(str::trim).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "\
; Nothing but a zone.
[check example.com.]
[server ns1.example.com. 192.0.2.10 2001:db8::10]
zone example.com.
[verdict]
state CONSISTENT
";

    #[test]
    fn what_goes_without_saying_is_supplied() {
        let scenario = Scenario::parse(SMALL).unwrap();
        let zones: Vec<_> = scenario.world.zones().iter().map(Name::to_string).collect();
        assert_eq!(zones, [".", "com.", "example.com."]);
        assert_eq!(
            scenario.check.roots.len(),
            4,
            "two root servers, two families"
        );
        assert_eq!(scenario.check.resolvers.len(), 3);
        assert_eq!(scenario.check.blackholes.len(), 2);
        assert_eq!(scenario.about(), "Nothing but a zone.");
        assert_eq!(scenario.verdict, ["state CONSISTENT"]);
    }

    #[test]
    fn the_verdict_can_be_written_anew() {
        let scenario = Scenario::parse(SMALL).unwrap();
        let text = scenario.with_verdict(&["state BROKEN".to_owned()]);
        assert_eq!(text, SMALL.replace("CONSISTENT", "BROKEN"));
    }

    #[test]
    fn errors_name_the_line() {
        let cases = [
            (
                "[server a.test. 192.0.2.1]\nsilent sometimes",
                "line 2: \"sometimes\" is no condition",
            ),
            (
                "[server a.test. 192.0.2.1]\nsleepy",
                "line 2: unknown word \"sleepy\"",
            ),
            (
                "[check example.com.]\n[server a.test.]",
                "line 2: server a.test. has no address",
            ),
            (
                "[check example.com.]\n[zone com. a.test.]",
                "line 2: zone on unknown server a.test.",
            ),
            ("silent", "line 1: a line outside of all sections"),
            ("[server a.test. 192.0.2.1]", "line 1: no [check] section"),
            (
                "[vantage fra asn=many]",
                "line 1: \"many\" is no autonomous system number",
            ),
            (
                "[check example.com.]\ntimeout 5",
                "line 2: \"5\" is no time-out",
            ),
        ];
        for (text, expected) in cases {
            let error = Scenario::parse(text).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text}");
        }
    }
}
