//! A delegation as a parent server publishes it: NS names and glue.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

use crate::{
    message::Message,
    name::Name,
    record::{Ds, RecordData, RecordType, Ttl},
    server::Server,
};

/// How a name server's name relates to the zone that is delegated to it (RFC 9471, section 2).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Relation {
    /// At or below the apex of the zone: it cannot be reached without glue.
    InDomain,
    /// At or below another zone that the same parent delegates, or in the
    /// parent zone itself: glue may be given, and is needed in cycles.
    Sibling,
    /// Neither: no glue is to be expected.
    Unrelated,
}

impl Relation {
    /// Returns the relation of a name server's name to a zone below `parent`.
    #[must_use]
    pub fn of(server: &Name, zone: &Name, parent: &Name) -> Self {
        if server.is_at_or_below(zone) {
            Self::InDomain
        } else if server.is_at_or_below(parent) {
            Self::Sibling
        } else {
            Self::Unrelated
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InDomain => "in-domain",
            Self::Sibling => "sibling",
            Self::Unrelated => "unrelated",
        })
    }
}

/// The addresses that a referral carries for one name server, with their TTLs.
pub type Glue = BTreeMap<IpAddr, Ttl>;

/// A referral, read as a delegation.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Delegation {
    /// The zone that is delegated.
    pub zone: Name,
    /// The NS names, each with its glue (empty where there is none).
    pub name_servers: BTreeMap<Name, Glue>,
    /// The TTL of the NS set, in seconds (the smallest, if they differ).
    pub ns_ttl: Ttl,
    /// The DS set; empty also where the question left DO out.
    pub ds: BTreeSet<Ds>,
    /// Addresses in ADDITIONAL of hosts that are no name server of the zone.
    pub stray: BTreeMap<Name, BTreeSet<IpAddr>>,
}

impl Delegation {
    /// Reads the NS set in the authority section that is owned by `zone`, with all addresses
    /// in the additional section. `None` if there is no such NS set.
    #[must_use]
    pub fn read(message: &Message, zone: &Name) -> Option<Self> {
        let mut ns_ttl = None;
        let mut name_servers = BTreeMap::new();
        let mut ds = BTreeSet::new();
        for record in message
            .authority
            .iter()
            .filter(|record| record.name == *zone)
        {
            match &record.data {
                RecordData::Ns(host) => {
                    ns_ttl = Some(ns_ttl.map_or(record.ttl, |ttl: Ttl| ttl.min(record.ttl)));
                    name_servers.entry(host.clone()).or_insert_with(Glue::new);
                }
                RecordData::Ds(signer) => {
                    ds.insert(signer.clone());
                }
                _ => {}
            }
        }
        let mut stray: BTreeMap<Name, BTreeSet<IpAddr>> = BTreeMap::new();
        for record in &message.additional {
            let Some(address) = record.data.address() else {
                continue;
            };
            match name_servers.get_mut(&record.name) {
                Some(glue) => {
                    glue.insert(address, record.ttl);
                }
                None => {
                    stray
                        .entry(record.name.clone())
                        .or_default()
                        .insert(address);
                }
            }
        }
        Some(Self {
            zone: zone.clone(),
            name_servers,
            ns_ttl: ns_ttl?,
            ds,
            stray,
        })
    }

    /// Returns the owner of the NS set in the authority section of a reply that could be a
    /// referral: no answer, NOERROR. Says nothing about whether the referral leads downwards.
    #[must_use]
    pub fn owner(message: &Message) -> Option<&Name> {
        if message.rcode != crate::message::Rcode::NOERROR || !message.answer.is_empty() {
            return None;
        }
        let has_soa = message
            .authority
            .iter()
            .any(|r| r.record_type() == RecordType::SOA);
        let ns = message
            .authority
            .iter()
            .find(|r| r.record_type() == RecordType::NS)?;
        (!has_soa).then_some(&ns.name)
    }

    /// Returns every name server address that the referral carries.
    pub fn servers(&self) -> impl Iterator<Item = Server> {
        self.name_servers.iter().flat_map(|(name, glue)| {
            glue.keys().map(|&address| Server {
                name: name.clone(),
                address,
            })
        })
    }

    /// Returns the glue of a name server; `None` if the delegation does not name it.
    #[must_use]
    pub fn glue_of(&self, host: &Name) -> Option<&Glue> {
        self.name_servers.get(host)
    }

    /// Returns whether NS names and addresses are the same; TTLs, DS and stray addresses aside.
    #[must_use]
    pub fn publishes_the_same_as(&self, other: &Self) -> bool {
        self.name_servers.len() == other.name_servers.len()
            && self
                .name_servers
                .iter()
                .zip(&other.name_servers)
                .all(|(own, theirs)| own.0 == theirs.0 && own.1.keys().eq(theirs.1.keys()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Relation::*, *};
    use crate::record::Record;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn name_servers_relate_to_the_zone_by_labels() {
        let cases = [
            ("ns1.example.com.", InDomain, "below the zone"),
            ("example.com.", InDomain, "the apex itself"),
            ("NS1.Example.COM", InDomain, "case does not matter"),
            ("ns1.sub.example.com.", InDomain, "any depth"),
            ("ns1.other.com.", Sibling, "below the same parent"),
            ("com.", Sibling, "the parent itself"),
            (
                "ns1.badexample.com.",
                Sibling,
                "labels decide, not the suffix text",
            ),
            ("ns1.example.net.", Unrelated, "below another parent"),
            (
                "example.com.example.net.",
                Unrelated,
                "a prefix is no suffix",
            ),
            ("ns.xn--bcher-kva.example.", Unrelated, "an IDN elsewhere"),
            (".", Unrelated, "the root"),
        ];
        for (server, expected, why) in cases {
            let relation = Relation::of(&name(server), &name("example.com."), &name("com."));
            assert_eq!(relation, expected, "{server}: {why}");
        }
        let apex = Relation::of(&name("ns1.ee."), &name("ns1.ee."), &name("ee."));
        assert_eq!(apex, InDomain, "an apex as its own name server");
        let bone = Relation::of(&name("ns.bone.ee."), &name("one.ee."), &name("ee."));
        assert_eq!(bone, Sibling, "a suffix of the text only");
    }

    #[test]
    fn a_referral_is_read_with_its_glue() {
        let ns = |host: &str| Record {
            name: name("example.com."),
            ttl: 172_800,
            data: RecordData::Ns(name(host)),
        };
        let a = |host: &str, address: [u8; 4]| Record {
            name: name(host),
            ttl: 3600,
            data: RecordData::A(address.into()),
        };
        let message = Message {
            authority: vec![ns("ns1.example.com."), ns("ns2.example.com.")],
            additional: vec![
                a("ns1.example.com.", [192, 0, 2, 1]),
                a("x.test.", [192, 0, 2, 9]),
            ],
            ..Message::default()
        };
        assert_eq!(Delegation::owner(&message), Some(&name("example.com.")));
        let delegation = Delegation::read(&message, &name("example.com.")).unwrap();
        assert_eq!(delegation.ns_ttl, 172_800);
        assert_eq!(
            delegation.glue_of(&name("ns1.example.com.")).unwrap().len(),
            1
        );
        assert!(
            delegation
                .glue_of(&name("ns2.example.com."))
                .unwrap()
                .is_empty()
        );
        assert_eq!(delegation.stray.len(), 1);
        assert_eq!(
            Delegation::read(&message, &name("com.")),
            None,
            "not the owner"
        );
    }
}
