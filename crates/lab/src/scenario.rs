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
//! | `[vantage NAME ADDRESS…]` | a place to look from, and its region: rules for its path. The addresses tell its questions apart where the world is on sockets |
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
//! [`Behaviour`]: `silent`, `port-closed`, `unreachable`, `no-route`, `refused`, `servfail`,
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

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use bailiwick_core::{
    check::{Check, CheckId, Expectation, Resolver as Service},
    limit::Limits,
    name::Name,
    query::Stub,
    server::Family,
    time::Timestamp,
};

use crate::{
    draft::{Draft, ServerDraft, ZoneDraft},
    words::{Words, WordsError},
    world::{Behaviour, Resolver, Rule, Vantage, World},
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

/// Returns the line without a comment and outer blanks. Not for records: those may quote.
fn without_comment(line: &str) -> &str {
    line.split(';').next().unwrap_or("").trim()
}

/// Where the next line belongs.
#[derive(Debug, Default)]
enum Place {
    #[default]
    Nowhere,
    Check,
    /// Rules of the last server.
    Server,
    /// Records of the last zone of the last server.
    ServerZone,
    /// Records of the last zone of several servers.
    Zone,
    /// Rules of the last resolver.
    Resolver,
    /// Records in the cache of the last resolver.
    Cache,
    /// Rules of the last vantage point.
    Vantage,
}

/// What the `[check]` section says.
#[derive(Debug)]
struct CheckDraft {
    zone: Name,
    expectation: Expectation,
    families: BTreeSet<Family>,
    minimise: bool,
    resolvers: bool,
    timeout: Duration,
    nonce: u64,
    packets: Option<u32>,
    public: bool,
}

#[derive(Debug, Default)]
struct Reader {
    place: Place,
    check: Option<CheckDraft>,
    draft: Draft,
    caches: Vec<String>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), Problem> {
        let bare = without_comment(line);
        if let Some(header) = bare.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            return self.section(header);
        }
        match self.place {
            // Empty lines stay in zone texts, so that the line numbers of errors are right.
            Place::ServerZone if !bare.starts_with("zone ") => self.zone_text(line),
            Place::Zone => self.zone_text(line),
            Place::Cache => self.cache_text(line),
            _ if bare.is_empty() => {}
            Place::Nowhere => return Err(Problem::NoSection),
            Place::Check => self.option(bare)?,
            Place::Server | Place::ServerZone => self.server_line(bare)?,
            Place::Resolver => self.resolver_line(bare)?,
            Place::Vantage => {
                let rule = rule(bare)?;
                if let Some(vantage) = self.draft.vantages.last_mut() {
                    vantage.rules.push(rule);
                }
            }
        }
        Ok(())
    }

    fn section(&mut self, header: &str) -> Result<(), Problem> {
        let mut words = Words::of(header);
        let kind = words.next("section")?;
        match kind {
            "check" => {
                self.check = Some(CheckDraft::of(words.name("zone")?));
                self.place = Place::Check;
            }
            "server" => {
                let name = words.name("server name")?;
                let addresses = words.rest("address")?;
                self.draft.servers.push(ServerDraft::new(name, addresses));
                self.place = Place::Server;
            }
            "zone" => {
                let (zone, servers) = zone_line(&mut words)?;
                self.draft.zones.push((servers, zone));
                self.place = Place::Zone;
            }
            "resolver" => {
                let name = words.next("resolver name")?.to_owned();
                let addresses: Vec<IpAddr> = words.rest("address")?;
                let resolver = Resolver {
                    region: name.clone(),
                    ..Resolver::default()
                };
                self.draft
                    .resolvers
                    .push((name, addresses, resolver, Vec::new()));
                self.caches.push(String::new());
                self.place = Place::Resolver;
            }
            "vantage" => {
                self.draft.vantages.push(Vantage {
                    name: words.next("vantage name")?.to_owned(),
                    addresses: words.rest("address")?,
                    rules: Vec::new(),
                });
                self.place = Place::Vantage;
            }
            other => return Err(Problem::UnknownSection(other.to_owned())),
        }
        Ok(words.end()?)
    }

    fn option(&mut self, line: &str) -> Result<(), Problem> {
        let Some(check) = &mut self.check else {
            return Err(Problem::NoCheck);
        };
        let mut words = Words::of(line);
        match words.next("option")? {
            "expect" => {
                let host = words.name("host")?;
                let addresses: Vec<IpAddr> = words.rest("address")?;
                check
                    .expectation
                    .hosts
                    .entry(host)
                    .or_default()
                    .extend(addresses);
            }
            "families" => {
                check.families = words
                    .rest::<FamilyWord>("family")?
                    .into_iter()
                    .map(|f| f.0)
                    .collect()
            }
            "minimise" => check.minimise = words.next("on or off")? == "on",
            "no-resolvers" => check.resolvers = false,
            "timeout" => check.timeout = words.duration("time-out")?,
            "nonce" => check.nonce = words.parse("nonce")?,
            "packets" => check.packets = Some(words.parse("packets")?),
            "public" => check.public = true,
            other => return Err(Problem::UnknownWord(other.to_owned())),
        }
        Ok(words.end()?)
    }

    fn server_line(&mut self, line: &str) -> Result<(), Problem> {
        // A place inside of a server is only taken once there is one.
        let Some(server) = self.draft.servers.last_mut() else {
            return Err(Problem::NoSection);
        };
        let mut words = Words::of(line);
        if line == "hidden" {
            server.hidden = true;
        } else if words.skip("zone") {
            let (zone, others) = zone_line(&mut words)?;
            if let Some(other) = others.first() {
                return Err(Problem::UnknownWord(other.to_string()));
            }
            server.zones.push(zone);
            self.place = Place::ServerZone;
        } else {
            server.rules.push(rule(line)?);
        }
        Ok(())
    }

    fn resolver_line(&mut self, line: &str) -> Result<(), Problem> {
        let Some((_, _, resolver, rules)) = self.draft.resolvers.last_mut() else {
            return Err(Problem::NoSection);
        };
        let mut words = Words::of(line);
        match words.next("rule")? {
            "region" => resolver.region = words.next("region")?.to_owned(),
            "identity" => resolver.identity = words.next("identity")?.to_owned(),
            "serves-stale" => resolver.serves_stale = true,
            "absent" => {
                let name = words.name("absent name")?;
                resolver.absent.push((name, words.parse("seconds")?));
            }
            "cache" => self.place = Place::Cache,
            _ => {
                rules.push(rule(line)?);
                return Ok(());
            }
        }
        Ok(words.end()?)
    }

    fn zone_text(&mut self, line: &str) {
        let zone = match self.place {
            Place::Zone => self.draft.zones.last_mut().map(|(_, zone)| zone),
            _ => self
                .draft
                .servers
                .last_mut()
                .and_then(|server| server.zones.last_mut()),
        };
        if let Some(zone) = zone {
            zone.text.push_str(line);
            zone.text.push('\n');
        }
    }

    fn cache_text(&mut self, line: &str) {
        if let Some(cache) = self.caches.last_mut() {
            cache.push_str(line);
            cache.push('\n');
        }
    }

    fn finish(mut self) -> Result<(Check, Limits, World), Problem> {
        let check = self.check.ok_or(Problem::NoCheck)?;
        for (resolver, cache) in self.draft.resolvers.iter_mut().zip(&self.caches) {
            resolver.2.cache =
                crate::draft::records(cache, &Name::root(), crate::zone::PARENT_TTL)?;
        }
        self.draft.checked = Some(check.zone.clone());
        let world = self.draft.build()?;
        let limits = Limits {
            packets: check.packets.unwrap_or(Limits::FULL_ROUND.packets),
            ..Limits::FULL_ROUND
        };
        Ok((check.finish(&world), limits, world))
    }
}

/// `v4` or `v6`.
struct FamilyWord(Family);

impl std::str::FromStr for FamilyWord {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "v4" => Ok(Self(Family::V4)),
            "v6" => Ok(Self(Family::V6)),
            _ => Err(()),
        }
    }
}

impl CheckDraft {
    fn of(zone: Name) -> Self {
        Self {
            zone,
            expectation: Expectation::default(),
            families: Family::ALL.into(),
            minimise: true,
            resolvers: true,
            timeout: Duration::from_secs(5),
            nonce: 0x5eed,
            packets: None,
            public: false,
        }
    }

    fn finish(self, world: &World) -> Check {
        let services = world
            .resolvers()
            .filter(|_| self.resolvers)
            .map(|(host, resolver)| Service {
                name: host.name.to_string().trim_end_matches('.').to_owned(),
                addresses: host.addresses.clone(),
                well_known: resolver.well_known,
            });
        Check {
            id: CheckId(1),
            expectation: self.expectation,
            roots: world.hints(),
            resolvers: services.collect(),
            stub: Stub::Plain,
            families: self.families,
            minimise: self.minimise,
            timeout: self.timeout,
            nonce: self.nonce,
            blackholes: crate::defaults::BLACKHOLES
                .into_iter()
                .filter(|&address| world.hosts_at(address).next().is_none())
                .collect(),
            lab: !self.public,
            zone: self.zone,
        }
    }
}

/// Reads what follows the word `zone`.
fn zone_line(words: &mut Words<'_>) -> Result<(ZoneDraft, Vec<Name>), Problem> {
    let mut zone = ZoneDraft::new(words.name("zone")?);
    let mut servers = Vec::new();
    loop {
        if words.skip("serial") {
            zone.serial = Some(words.parse("serial")?);
        } else if words.skip("nsid") {
            zone.nsid = Some(words.next("identity")?.to_owned());
        } else if words.skip("complete") {
            zone.complete = true;
        } else if words.peek().is_some_and(|word| word.ends_with('.')) {
            servers.push(words.name("server name")?);
        } else {
            zone.when = words.conditions()?;
            return Ok((zone, servers));
        }
    }
}

/// Reads one rule.
fn rule(line: &str) -> Result<Rule, Problem> {
    let mut words = Words::of(line);
    let does = behaviour(&mut words)?;
    let when = words.conditions()?;
    Ok(Rule { does, when })
}

fn behaviour(words: &mut Words<'_>) -> Result<Behaviour, Problem> {
    let word = words.next("rule")?;
    Ok(match word {
        "silent" => Behaviour::Silent,
        "port-closed" => Behaviour::PortClosed,
        "unreachable" => Behaviour::Unreachable,
        "no-route" => Behaviour::NoRoute,
        "formerr" => rcode(1, words)?,
        "servfail" => rcode(2, words)?,
        "nxdomain" => rcode(3, words)?,
        "notimp" => rcode(4, words)?,
        "refused" => rcode(5, words)?,
        "notauth" => rcode(9, words)?,
        "empty" => Behaviour::Empty,
        "upward-referral" => Behaviour::UpwardReferral,
        "self-referral" => Behaviour::SelfReferral,
        "sideways-referral" => {
            Behaviour::SidewaysReferral(words.name("zone")?, words.name("host")?)
        }
        "endless-referral" => Behaviour::EndlessReferral(words.name("name")?),
        "no-aa" => Behaviour::NoAa,
        "aa-on-referral" => Behaviour::AaOnReferral,
        "drops-edns" => Behaviour::DropsEdns,
        "formerr-on-edns" => Behaviour::FormerrOnEdns,
        "ignores-edns" => Behaviour::IgnoresEdns,
        "truncates" => Behaviour::Truncates(words.parse("octets")?),
        "drops-glue" => Behaviour::DropsGlue(words.parse("octets")?),
        "late" => Behaviour::Late(words.duration("delay")?),
        "rtt" => Behaviour::Rtt(words.duration("round trip")?),
        "loss" => Behaviour::Loss(words.percent("loss")?),
        "junk" => Behaviour::Junk(words.parse("count")?),
        "malformed" => Behaviour::Malformed,
        "closes" => Behaviour::Closes,
        "stalls" => Behaviour::Stalls,
        "drips" => Behaviour::Drips,
        "wrong-case" => Behaviour::WrongCase,
        "promotes-glue" => Behaviour::PromotesGlue,
        "denies-empty-non-terminals" => Behaviour::DeniesEmptyNonTerminals,
        "rewrites-nxdomain" => Behaviour::RewritesNxdomain(words.parse("address")?),
        "offers-recursion" => Behaviour::OffersRecursion,
        "intercepted" => Behaviour::Intercepted,
        "nsid" => Behaviour::Nsid(words.next("identity")?.to_owned()),
        other => return Err(Problem::UnknownWord(other.to_owned())),
    })
}

fn rcode(rcode: u16, words: &mut Words<'_>) -> Result<Behaviour, Problem> {
    let error = if words.skip("ede") {
        Some(words.parse("extended error")?)
    } else {
        None
    };
    Ok(Behaviour::Rcode(rcode, error))
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
