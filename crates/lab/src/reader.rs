//! Reads the text of a scenario, line by line.
//!
//! What the lines mean is told at the head of [`crate::scenario`]; a [`Reader`] keeps where the
//! next line belongs and collects a [`Draft`].

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use bailiwick_core::{
    check::{Check, CheckId, Expectation, Resolver as Service},
    limit::Limits,
    name::Name,
    place::Place as Where,
    query::Stub,
    server::Family,
    vantage::Objection,
};

use crate::{
    draft::{Draft, ServerDraft, ZoneDraft},
    scenario::Problem,
    words::Words,
    world::{Behaviour, Resolver, Rule, Vantage, World},
};

/// Returns the line without a comment and outer blanks. Not for records: those may quote.
pub(crate) fn without_comment(line: &str) -> &str {
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

/// A scenario as far as it is read.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    place: Place,
    check: Option<CheckDraft>,
    draft: Draft,
    caches: Vec<String>,
}

impl Reader {
    /// Reads the next line.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Problem> {
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
                if let Some(vantage) = self.draft.vantages.last_mut() {
                    match Objection::named(bare) {
                        Some(objection) => _ = vantage.place.objections.insert(objection),
                        None => vantage.rules.push(rule(bare)?),
                    }
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
                let name = words.next("vantage name")?.to_owned();
                let place = place(&mut words)?;
                self.draft.vantages.push(Vantage {
                    name,
                    addresses: words.rest("address")?,
                    place,
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

    /// Ends reading, and supplies what goes without saying.
    pub(crate) fn finish(mut self) -> Result<(Check, Limits, World), Problem> {
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

/// Reads the labels that say where a vantage point stands: words with an equals sign.
fn place(words: &mut Words<'_>) -> Result<Where, Problem> {
    let mut labels = Vec::new();
    while let Some(label) = words.peek().filter(|word| word.contains('=')) {
        labels.push(label);
        words.next("label")?;
    }
    Ok(Where::of_labels(labels)?)
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
