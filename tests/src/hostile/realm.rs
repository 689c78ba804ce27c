//! The honest part of hostile servers: zones that are served as RFC 1034,
//! section 4.3.2 says.
//!
//! Most attacks need only data: a circle of delegations is a circle whoever
//! serves it. Which zones a server has is told by the address that is asked,
//! so one host can be parent and child.

use std::collections::BTreeSet;

use bailiwick_core::message::{Flags, Message, Rcode};
use bailiwick_core::name::Name;
use bailiwick_core::record::{Record, RecordData, RecordType};
use bailiwick_wire::zone;

use super::names::{apex, server_at, two_hosts};
use super::script::{Asked, Script};

/// The most aliases that are put into one answer.
const CHAIN: usize = 32;

/// Zones and the servers that have them.
#[derive(Clone, Debug, Default)]
pub struct Realm {
    zones: Vec<Served>,
    /// Whether an answer follows aliases within the zone.
    pub follows: bool,
}

#[derive(Clone, Debug)]
struct Served {
    apex: Name,
    servers: Vec<u8>,
    records: Vec<Record>,
}

impl Realm {
    /// Returns the two zones that every number has under `com` and `net`, on
    /// servers 0 and 1, with these records more.
    ///
    /// # Panics
    ///
    /// Panics if the text is no master file, which is a fault of the generator.
    #[must_use]
    pub fn of(number: usize, com: &str, net: &str) -> Self {
        let own = two_hosts([0, 1]);
        let mut realm = Self {
            follows: true,
            ..Self::default()
        };
        realm.serve(&apex(number, "", "com"), &[0, 1], &(own.clone() + com));
        realm.serve(&apex(number, "", "net"), &[0, 1], &(own + net));
        realm
    }

    /// Adds a zone; its SOA record is supplied.
    ///
    /// # Panics
    ///
    /// Panics if the text is no master file, which is a fault of the generator.
    pub fn serve(&mut self, apex: &str, servers: &[u8], text: &str) {
        let origin: Name = apex.parse().expect("names of the generator are names");
        let text = format!("@ SOA ns1 hostmaster 1 7200 3600 1209600 300\n{text}");
        let records = zone::records(&text, &origin)
            .unwrap_or_else(|error| panic!("zone {apex}: {error}\n{text}"));
        self.zones.push(Served {
            apex: origin,
            servers: servers.to_vec(),
            records,
        });
    }

    /// Answers a question as honest servers do.
    #[must_use]
    pub fn answer(&self, asked: &Asked) -> Script {
        asked.reply(&self.message(asked))
    }

    /// Returns the answer to a question.
    #[must_use]
    pub fn message(&self, asked: &Asked) -> Message {
        let name = &asked.question.name;
        let server = server_at(asked.to);
        let zone = self
            .zones
            .iter()
            .filter(|zone| server.is_some_and(|server| zone.servers.contains(&server)))
            .filter(|zone| name.is_at_or_below(&zone.apex))
            .max_by_key(|zone| zone.apex.label_count());
        match zone {
            Some(zone) => zone.message(name, asked.question.record_type, self.follows),
            None => Message {
                rcode: Rcode::REFUSED,
                ..Message::default()
            },
        }
    }
}

impl Served {
    fn message(&self, name: &Name, record_type: RecordType, follows: bool) -> Message {
        if let Some(cut) = self.cut_above(name) {
            return self.referral(&cut);
        }
        let mut message = Message {
            flags: Flags {
                authoritative: true,
                ..Flags::default()
            },
            ..Message::default()
        };
        let mut at = name.clone();
        let mut seen = BTreeSet::new();
        while seen.len() < CHAIN && seen.insert(at.clone()) {
            let Some((records, target)) = self.alias(&at, record_type) else {
                break;
            };
            message.answer.extend(records);
            at = target;
            if !follows || !at.is_at_or_below(&self.apex) || self.cut_above(&at).is_some() {
                return message;
            }
        }
        let data = self
            .records
            .iter()
            .filter(|record| record.name == at && record.record_type() == record_type);
        let before = message.answer.len();
        message.answer.extend(data.cloned());
        if message.answer.len() == before {
            message.authority.extend(self.soa().cloned());
            if before == 0 && !self.exists(&at) {
                message.rcode = Rcode::NXDOMAIN;
            }
        }
        message
    }

    fn soa(&self) -> Option<&Record> {
        self.records
            .iter()
            .find(|record| record.record_type() == RecordType::SOA)
    }

    fn exists(&self, name: &Name) -> bool {
        self.records
            .iter()
            .any(|record| record.name.is_at_or_below(name))
    }

    /// Returns the delegation that a name is at or below.
    fn cut_above(&self, name: &Name) -> Option<Name> {
        self.records
            .iter()
            .filter(|record| record.record_type() == RecordType::NS)
            .map(|record| &record.name)
            .filter(|owner| owner.is_below(&self.apex) && name.is_at_or_below(owner))
            .min_by_key(|owner| owner.label_count())
            .cloned()
    }

    fn referral(&self, cut: &Name) -> Message {
        let authority: Vec<Record> = self
            .records
            .iter()
            .filter(|record| record.name == *cut && record.record_type() == RecordType::NS)
            .cloned()
            .collect();
        let hosts: BTreeSet<&Name> = authority
            .iter()
            .filter_map(|record| match &record.data {
                RecordData::Ns(host) => Some(host),
                _ => None,
            })
            .collect();
        let glue = self
            .records
            .iter()
            .filter(|record| record.data.address().is_some() && hosts.contains(&record.name));
        Message {
            additional: glue.cloned().collect(),
            authority,
            ..Message::default()
        }
    }

    /// Returns one step of an alias: CNAME, or DNAME with the CNAME that follows from it.
    fn alias(&self, name: &Name, asked: RecordType) -> Option<(Vec<Record>, Name)> {
        self.records.iter().find_map(|record| match &record.data {
            RecordData::Cname(target) if record.name == *name && asked != RecordType::CNAME => {
                Some((vec![record.clone()], target.clone()))
            }
            RecordData::Dname(to) if name.is_below(&record.name) => {
                let target = name.rebase(&record.name, to)?;
                let cname = Record {
                    name: name.clone(),
                    ttl: record.ttl,
                    data: RecordData::Cname(target.clone()),
                };
                Some((vec![record.clone(), cname], target))
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::{host, v4};
    use super::*;
    use crate::internet::switch::Transport;
    use bailiwick_core::message::Question;
    use bailiwick_core::query::Options;
    use bailiwick_wire::dns;

    fn ask(realm: &Realm, server: u8, name: &str, record_type: RecordType) -> Message {
        let question = Question::new(name.parse().unwrap(), record_type);
        let query = dns::encode_query(&question, &Options::ITERATIVE, 7, 0);
        let asked = Asked::read(&query, v4(server), Transport::Udp).unwrap();
        realm.message(&asked)
    }

    #[test]
    fn the_address_decides_which_zone_answers() {
        let mut realm = Realm::of(1, &format!("z NS ns.z\n{}", host("ns.z", 2)), "");
        realm.serve("z.h0001.com.", &[2], "@ NS ns\na A 192.0.2.1\nb CNAME a\n");
        let parent = ask(&realm, 0, "a.z.h0001.com.", RecordType::A);
        assert!(!parent.flags.authoritative, "a referral has no AA");
        assert_eq!((parent.authority.len(), parent.additional.len()), (1, 2));
        let child = ask(&realm, 2, "b.z.h0001.com.", RecordType::A);
        assert!(child.flags.authoritative);
        assert_eq!(child.answer.len(), 2, "the alias and what it leads to");
        let absent = ask(&realm, 2, "c.z.h0001.com.", RecordType::A);
        assert_eq!(absent.rcode, Rcode::NXDOMAIN);
        let foreign = ask(&realm, 2, "h0001.net.", RecordType::SOA);
        assert_eq!(foreign.rcode, Rcode::REFUSED, "not served there");
    }

    #[test]
    fn a_loop_of_aliases_ends() {
        let realm = Realm::of(1, "a CNAME b\nb CNAME a\nd DNAME d.d\n", "");
        let answer = ask(&realm, 0, "a.h0001.com.", RecordType::A).answer;
        assert_eq!(answer.len(), 2);
        let growing = ask(&realm, 0, "x.d.h0001.com.", RecordType::A).answer;
        assert!(growing.len() <= 2 * CHAIN);
    }
}
