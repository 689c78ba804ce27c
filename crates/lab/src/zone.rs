//! A zone as a server loads it: records by owner and type (RFC 1034, section 4.2).
//!
//! Besides its authoritative data a zone holds what its file says below its cuts: glue. It may
//! also hold addresses of names outside of itself, as some registries publish them; they are
//! never answered, only added to referrals. [`crate::authority`] answers from it.

use std::collections::BTreeMap;

use bailiwick_core::{
    name::Name,
    record::{Record, RecordData, RecordType, Soa, Ttl},
};

/// A zone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Zone {
    apex: Name,
    records: BTreeMap<Name, BTreeMap<RecordType, Vec<Record>>>,
}

/// The TTL of delegations, in seconds, where a zone file says nothing: that of .com.
pub const PARENT_TTL: Ttl = 172_800;
/// The TTL of all other data, in seconds, where a zone file says nothing.
pub const CHILD_TTL: Ttl = 3_600;
/// How long an absence may be cached, in seconds, where a zone file says nothing.
pub const NEGATIVE_TTL: Ttl = 900;

impl Zone {
    /// Returns the zone with these records; a missing SOA is supplied with the serial 1.
    #[must_use]
    pub fn new(apex: Name, records: impl IntoIterator<Item = Record>) -> Self {
        let mut zone = Self {
            apex,
            records: BTreeMap::new(),
        };
        for record in records {
            zone.add(record);
        }
        if zone.soa().is_none() {
            zone.add(default_soa(&zone.apex));
        }
        zone
    }

    /// Returns the apex.
    #[must_use]
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// Adds a record, unless the same is there.
    pub fn add(&mut self, record: Record) {
        let set = self
            .records
            .entry(record.name.clone())
            .or_default()
            .entry(record.record_type())
            .or_default();
        if !set.iter().any(|known| known.data == record.data) {
            set.push(record);
        }
    }

    /// Sets the serial of the SOA.
    pub fn set_serial(&mut self, serial: u32) {
        for record in self.records_mut() {
            if let RecordData::Soa(soa) = &mut record.data {
                soa.serial = serial;
            }
        }
    }

    /// Returns the records of one owner and type.
    #[must_use]
    pub fn set(&self, name: &Name, record_type: RecordType) -> &[Record] {
        self.records
            .get(name)
            .and_then(|types| types.get(&record_type))
            .map_or(&[], Vec::as_slice)
    }

    /// Returns all records of one owner.
    pub fn all(&self, name: &Name) -> impl Iterator<Item = &Record> {
        self.records
            .get(name)
            .into_iter()
            .flat_map(BTreeMap::values)
            .flatten()
    }

    /// Returns every record, by owner.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values().flat_map(BTreeMap::values).flatten()
    }

    /// The same, to be changed. Owner and type must stay.
    pub(crate) fn records_mut(&mut self) -> impl Iterator<Item = &mut Record> {
        self.records
            .values_mut()
            .flat_map(BTreeMap::values_mut)
            .flatten()
    }

    /// Returns the A and AAAA records of a name, whatever their standing: data, glue or neither.
    pub fn addresses(&self, name: &Name) -> impl Iterator<Item = &Record> {
        self.set(name, RecordType::A)
            .iter()
            .chain(self.set(name, RecordType::AAAA))
    }

    /// Returns the SOA record.
    #[must_use]
    pub fn soa(&self) -> Option<(&Record, &Soa)> {
        let record = self.set(&self.apex, RecordType::SOA).first()?;
        match &record.data {
            RecordData::Soa(soa) => Some((record, soa)),
            _ => None,
        }
    }

    /// Returns whether the name has data in the zone, or something below it has (RFC 4592,
    /// section 2.2.2: an empty non-terminal exists).
    #[must_use]
    pub fn exists(&self, name: &Name) -> bool {
        name.is_at_or_below(&self.apex)
            && self
                .records
                .range(name..)
                .next()
                .is_some_and(|(owner, _)| owner.is_at_or_below(name))
    }

    /// Returns whether the name itself owns data.
    #[must_use]
    pub fn owns(&self, name: &Name) -> bool {
        self.records.contains_key(name)
    }

    /// Returns the zone cut at or above the name: the highest name below the apex with an NS set.
    #[must_use]
    pub fn cut(&self, name: &Name) -> Option<Name> {
        self.downwards(name)
            .find(|owner| !self.set(owner, RecordType::NS).is_empty())
    }

    /// Returns the DNAME strictly above the name (RFC 6672, section 2.3).
    #[must_use]
    pub fn dname(&self, name: &Name) -> Option<&Record> {
        (self.apex.label_count()..name.label_count())
            .filter_map(|count| name.ancestor(count))
            .find_map(|owner| self.set(&owner, RecordType::DNAME).first())
    }

    /// Returns the names from one label below the apex down to the name itself.
    fn downwards(&self, name: &Name) -> impl Iterator<Item = Name> {
        (self.apex.label_count() + 1..=name.label_count())
            .filter_map(move |count| name.ancestor(count))
    }
}

/// Returns the TTL of data in this zone where its file says nothing, in seconds.
#[must_use]
pub fn default_ttl(apex: &Name) -> Ttl {
    if apex.label_count() <= 1 {
        PARENT_TTL
    } else {
        CHILD_TTL
    }
}

fn default_soa(apex: &Name) -> Record {
    let below = |label: &[u8]| apex.child(label).unwrap_or_else(|_| apex.clone());
    Record {
        name: apex.clone(),
        ttl: NEGATIVE_TTL,
        data: RecordData::Soa(Soa {
            mname: below(b"primary"),
            rname: below(b"hostmaster"),
            serial: 1,
            refresh: 7_200,
            retry: 3_600,
            expire: 1_209_600,
            minimum: NEGATIVE_TTL,
        }),
    }
}
