//! From what a scenario says to a whole world: zones get what goes without saying.

use std::{collections::BTreeSet, net::IpAddr};

use bailiwick_core::{
    name::Name,
    place::Place,
    record::{Record, RecordData, RecordType, Ttl},
};

use crate::{
    defaults,
    scenario::Problem,
    world::{Host, Kind, Resolver, Rule, Served, Vantage, When, World},
    zone::{PARENT_TTL, Zone, default_ttl},
};

/// A resolver as written: service, addresses, what it holds, rules.
type ResolverDraft = (String, Vec<IpAddr>, Resolver, Vec<Rule>);

/// A world as far as its scenario tells it.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) servers: Vec<ServerDraft>,
    pub(crate) zones: Vec<(Vec<Name>, ZoneDraft)>,
    pub(crate) resolvers: Vec<ResolverDraft>,
    pub(crate) vantages: Vec<Vantage>,
    /// The zone checked: it needs a top-level domain even if nobody serves it.
    pub(crate) checked: Option<Name>,
}

/// A name server as written.
#[derive(Debug)]
pub(crate) struct ServerDraft {
    name: Name,
    addresses: Vec<IpAddr>,
    pub(crate) hidden: bool,
    pub(crate) rules: Vec<Rule>,
    pub(crate) zones: Vec<ZoneDraft>,
}

/// A zone as written.
#[derive(Clone, Debug)]
pub(crate) struct ZoneDraft {
    apex: Name,
    pub(crate) text: String,
    pub(crate) serial: Option<u32>,
    pub(crate) nsid: Option<String>,
    pub(crate) complete: bool,
    pub(crate) when: When,
}

impl ServerDraft {
    pub(crate) fn new(name: Name, addresses: Vec<IpAddr>) -> Self {
        Self {
            name,
            addresses,
            hidden: false,
            rules: Vec::new(),
            zones: Vec::new(),
        }
    }
}

impl ZoneDraft {
    pub(crate) fn new(apex: Name) -> Self {
        Self {
            apex,
            text: String::new(),
            serial: None,
            nsid: None,
            complete: false,
            when: When::default(),
        }
    }
}

impl Draft {
    pub(crate) fn build(mut self) -> Result<World, Problem> {
        for server in &mut self.servers {
            if server.addresses.is_empty() {
                server.addresses = defaults::addresses(&server.name)
                    .ok_or_else(|| Problem::NoAddress(server.name.clone()))?;
            }
        }
        for (servers, zone) in std::mem::take(&mut self.zones) {
            self.place(servers, &zone)?;
        }
        self.add_missing_zones()?;
        let mut world = World {
            hosts: self.resolver_hosts(),
            vantages: std::mem::take(&mut self.vantages),
        };
        if world.vantages.is_empty() {
            world.vantages.push(Vantage {
                name: "local".to_owned(),
                addresses: Vec::new(),
                place: Place::default(),
                rules: Vec::new(),
            });
        }
        let hosts = self.authorities()?;
        world.hosts.splice(0..0, hosts);
        Ok(world)
    }

    /// Puts a zone on these servers; on those of top-level domains, or the root, if there are none.
    fn place(&mut self, servers: Vec<Name>, zone: &ZoneDraft) -> Result<(), Problem> {
        let servers = if servers.is_empty() {
            let usual = if zone.apex.is_root() {
                defaults::ROOT
            } else {
                defaults::TOP
            };
            usual.map(defaults::name).into()
        } else {
            servers
        };
        for name in servers {
            self.server(name)?.zones.push(zone.clone());
        }
        Ok(())
    }

    fn server(&mut self, name: Name) -> Result<&mut ServerDraft, Problem> {
        let at = match self.servers.iter().position(|server| server.name == name) {
            Some(at) => at,
            None => {
                let addresses = defaults::addresses(&name)
                    .ok_or_else(|| Problem::UnknownServer(name.clone()))?;
                self.servers.push(ServerDraft::new(name, addresses));
                self.servers.len() - 1
            }
        };
        Ok(&mut self.servers[at])
    }

    /// Adds the root and the top-level domains that nobody wrote.
    fn add_missing_zones(&mut self) -> Result<(), Problem> {
        let written = self.apexes();
        let top = written
            .iter()
            .chain(&self.checked)
            .filter_map(|apex| apex.ancestor(1));
        let missing: BTreeSet<_> = top
            .chain([Name::root()])
            .filter(|apex| !written.contains(apex))
            .collect();
        for apex in missing {
            // A top-level domain that is itself checked and that nobody serves stays so.
            if self.checked.as_ref() == Some(&apex) && !apex.is_root() {
                continue;
            }
            let mut zone = ZoneDraft::new(apex);
            zone.complete = true;
            self.place(Vec::new(), &zone)?;
        }
        Ok(())
    }

    fn apexes(&self) -> BTreeSet<Name> {
        let zones = self.servers.iter().flat_map(|server| &server.zones);
        zones.map(|zone| zone.apex.clone()).collect()
    }

    fn resolver_hosts(&mut self) -> Vec<Host> {
        let mut drafts = std::mem::take(&mut self.resolvers);
        if drafts.is_empty() {
            drafts = defaults::resolvers()
                .map(|(service, addresses, _)| {
                    let resolver = Resolver {
                        region: service.to_owned(),
                        ..Resolver::default()
                    };
                    (service.to_owned(), addresses, resolver, Vec::new())
                })
                .collect();
        }
        drafts
            .into_iter()
            .map(|(service, mut addresses, mut resolver, rules)| {
                let known = defaults::resolvers().find(|(name, ..)| *name == service);
                if let Some((_, usual, identity)) = known {
                    if addresses.is_empty() {
                        addresses.clone_from(&usual);
                    }
                    resolver.well_known = addresses.iter().all(|address| usual.contains(address));
                    if resolver.identity.is_empty() {
                        identity.clone_into(&mut resolver.identity);
                    }
                }
                Host {
                    name: Name::from_labels([service.as_bytes()]).unwrap_or_else(|_| Name::root()),
                    addresses,
                    kind: Kind::Resolver(resolver),
                    rules,
                }
            })
            .collect()
    }

    /// Returns the name servers with their zones filled in.
    fn authorities(&self) -> Result<Vec<Host>, Problem> {
        let mut hosts = Vec::new();
        for server in &self.servers {
            let mut served = Vec::new();
            for draft in &server.zones {
                served.push(Served {
                    when: draft.when.clone(),
                    zone: self.zone(draft)?,
                    nsid: draft.nsid.clone(),
                });
            }
            hosts.push(Host {
                name: server.name.clone(),
                addresses: server.addresses.clone(),
                kind: Kind::Authority(served),
                rules: server.rules.clone(),
            });
        }
        for (host, server) in hosts.iter_mut().zip(&self.servers) {
            let Kind::Authority(served) = &mut host.kind else {
                continue;
            };
            for (served, draft) in served.iter_mut().zip(&server.zones) {
                if draft.complete {
                    self.delegate(&mut served.zone)?;
                }
            }
        }
        Ok(hosts)
    }

    /// Reads a zone, with its own name servers where the text names none.
    fn zone(&self, draft: &ZoneDraft) -> Result<Zone, Problem> {
        let ttl = default_ttl(&draft.apex);
        let mut zone = Zone::new(draft.apex.clone(), records(&draft.text, &draft.apex, ttl)?);
        if zone.set(&draft.apex, RecordType::NS).is_empty() {
            for server in self.name_servers(&draft.apex) {
                zone.add(record(
                    &draft.apex,
                    ttl,
                    RecordData::Ns(server.name.clone()),
                ));
                // Address records below a cut would be glue, which has its own rules.
                if server.name.is_at_or_below(&draft.apex) && zone.cut(&server.name).is_none() {
                    for &address in &server.addresses {
                        zone.add(record(&server.name, ttl, address.into()));
                    }
                }
            }
        }
        if let Some(serial) = draft.serial {
            zone.set_serial(serial);
        }
        Ok(zone)
    }

    fn name_servers(&self, apex: &Name) -> impl Iterator<Item = &ServerDraft> {
        self.servers
            .iter()
            .filter(move |s| !s.hidden && s.zones.iter().any(|zone| zone.apex == *apex))
    }

    /// Adds a delegation for every zone right below that is not mentioned yet.
    fn delegate(&self, zone: &mut Zone) -> Result<(), Problem> {
        let apexes = self.apexes();
        let parent = zone.apex().clone();
        let right_below = |apex: &&Name| {
            apex.is_below(&parent)
                && !apexes
                    .iter()
                    .any(|between| apex.is_below(between) && between.is_below(&parent))
        };
        for child in apexes.iter().filter(right_below) {
            if !zone.set(child, RecordType::NS).is_empty() {
                continue;
            }
            for host in self.names_of(child)? {
                let ns = RecordData::Ns(host.clone());
                zone.add(record(child, PARENT_TTL, ns));
                if host.is_at_or_below(&parent) {
                    for address in self.addresses_of(&host)? {
                        zone.add(record(&host, PARENT_TTL, address.into()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the names of a zone's servers, as the first server that has it says.
    fn names_of(&self, apex: &Name) -> Result<Vec<Name>, Problem> {
        let drafts = self.servers.iter().flat_map(|server| &server.zones);
        let Some(draft) = drafts.into_iter().find(|zone| zone.apex == *apex) else {
            return Ok(Vec::new());
        };
        let zone = self.zone(draft)?;
        let names = zone.set(apex, RecordType::NS).iter();
        Ok(names
            .filter_map(|record| match &record.data {
                RecordData::Ns(host) => Some(host.clone()),
                _ => None,
            })
            .collect())
    }

    /// Returns the addresses of a host: of the server of that name, else as some zone says.
    fn addresses_of(&self, host: &Name) -> Result<Vec<IpAddr>, Problem> {
        let own = self
            .servers
            .iter()
            .filter(|server| server.name == *host && !server.hidden)
            .flat_map(|server| server.addresses.iter().copied());
        let own: Vec<_> = own.collect();
        if !own.is_empty() {
            return Ok(own);
        }
        for draft in self.servers.iter().flat_map(|server| &server.zones) {
            let zone = self.zone(draft)?;
            let found: Vec<_> = zone
                .addresses(host)
                .filter_map(|record| record.data.address())
                .collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }
}

fn record(name: &Name, ttl: Ttl, data: RecordData) -> Record {
    Record {
        name: name.clone(),
        ttl,
        data,
    }
}

/// Reads records in master-file syntax; `ttl` stands where the text gives none.
pub(crate) fn records(text: &str, origin: &Name, ttl: Ttl) -> Result<Vec<Record>, Problem> {
    let text = format!("$TTL {ttl}\n{text}");
    bailiwick_wire::zone::records(&text, origin).map_err(|error| Problem::Zone {
        apex: origin.clone(),
        why: error.to_string(),
    })
}
