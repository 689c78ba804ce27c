//! How an authoritative server answers from its zones (RFC 1034, section 4.3.2, steps 2 to 4;
//! RFC 4592 for wildcards, RFC 6672 for DNAME, RFC 4035, section 3.1.4.1 for DS).
//!
//! The referral carries every address that the zone file has for the NS names, in-domain and
//! sibling alike; what does not fit is the concern of [`crate::respond`].

use bailiwick_core::{
    message::{Flags, Message, Question, Rcode},
    name::Name,
    record::{Record, RecordData, RecordType},
};

use crate::zone::Zone;

/// Where a server departs from the standard in what it says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Habits {
    /// Answers with glue as if it were its own data.
    pub promotes_glue: bool,
    /// Says NXDOMAIN for a name that only has names below it.
    pub denies_empty_non_terminals: bool,
    /// Sets AA on referrals.
    pub aa_on_referral: bool,
    /// Never sets AA.
    pub no_aa: bool,
}

/// The longest chain of aliases that one answer follows.
const MAX_CHAIN: usize = 8;

/// Returns the answer of a server with these zones.
#[must_use]
pub fn answer(zones: &[&Zone], question: &Question, dnssec_ok: bool, habits: Habits) -> Message {
    let mut message = Message::default();
    let mut name = question.name.clone();
    for _ in 0..=MAX_CHAIN {
        let Some(zone) = responsible(zones, &name, question.record_type) else {
            if message.answer.is_empty() {
                message.rcode = Rcode::REFUSED;
            }
            break;
        };
        let step = Step {
            zone,
            name: &name,
            record_type: question.record_type,
            dnssec_ok,
            habits,
        };
        match step.take(&mut message) {
            Some(target) => name = target,
            None => break,
        }
    }
    if habits.no_aa {
        message.flags.authoritative = false;
    }
    message
}

/// Returns the zone to answer from: the closest one above the name; for DS the one above the cut.
fn responsible<'a>(zones: &[&'a Zone], name: &Name, record_type: RecordType) -> Option<&'a Zone> {
    let closest = |strictly_above: bool| {
        zones
            .iter()
            .filter(|zone| name.is_at_or_below(zone.apex()))
            .filter(|zone| !strictly_above || zone.apex() != name)
            .max_by_key(|zone| zone.apex().label_count())
            .copied()
    };
    let above = match record_type {
        RecordType::DS => closest(true).filter(|zone| !zone.set(name, RecordType::NS).is_empty()),
        _ => None,
    };
    above.or_else(|| closest(false))
}

/// One name looked up in one zone.
struct Step<'a> {
    zone: &'a Zone,
    name: &'a Name,
    record_type: RecordType,
    dnssec_ok: bool,
    habits: Habits,
}

impl Step<'_> {
    /// Writes what the zone says; returns the next name if that was an alias.
    fn take(&self, message: &mut Message) -> Option<Name> {
        if self.habits.promotes_glue && self.promoted(message) {
            return None;
        }
        if let Some(cut) = self.zone.cut(self.name) {
            let asks_for_ds = self.record_type == RecordType::DS && cut == *self.name;
            if !asks_for_ds {
                self.refer(&cut, message);
                return None;
            }
        }
        // An alias before a referral, or before another alias, leaves AA to its own owner.
        if message.answer.is_empty() {
            message.flags.authoritative = true;
        }
        if let Some(dname) = self.zone.dname(self.name) {
            return self.rename(dname, message);
        }
        if self.zone.owns(self.name) {
            return self.data(self.name, message);
        }
        if self.zone.exists(self.name) && !self.habits.denies_empty_non_terminals {
            self.absence(Rcode::NOERROR, message);
            return None;
        }
        match self.wildcard() {
            Some(source) => self.data(&source, message),
            None => {
                self.absence(Rcode::NXDOMAIN, message);
                None
            }
        }
    }

    fn promoted(&self, message: &mut Message) -> bool {
        let glue = self.zone.set(self.name, self.record_type);
        let is_address = matches!(self.record_type, RecordType::A | RecordType::AAAA);
        if !is_address || glue.is_empty() || self.zone.cut(self.name).is_none() {
            return false;
        }
        message.flags.authoritative = true;
        message.answer.extend_from_slice(glue);
        true
    }

    fn refer(&self, cut: &Name, message: &mut Message) {
        let name_servers = self.zone.set(cut, RecordType::NS);
        message.flags.authoritative |= self.habits.aa_on_referral;
        message.authority.extend_from_slice(name_servers);
        if self.dnssec_ok {
            message
                .authority
                .extend_from_slice(self.zone.set(cut, RecordType::DS));
        }
        self.add_addresses(name_servers, message);
    }

    fn add_addresses(&self, name_servers: &[Record], message: &mut Message) {
        for record in name_servers {
            if let RecordData::Ns(host) = &record.data {
                message
                    .additional
                    .extend(self.zone.addresses(host).cloned());
            }
        }
    }

    /// Writes the data of `source` as data of the name asked: they differ for a wildcard.
    fn data(&self, source: &Name, message: &mut Message) -> Option<Name> {
        let owned = |record: &Record| Record {
            name: self.name.clone(),
            ..record.clone()
        };
        if self.record_type == RecordType::ANY {
            message.answer.extend(self.zone.all(source).map(owned));
            return None;
        }
        let alias = self.zone.set(source, RecordType::CNAME).first();
        if let Some(alias) = alias.filter(|_| self.record_type != RecordType::CNAME) {
            message.answer.push(owned(alias));
            return match &alias.data {
                RecordData::Cname(target) => Some(target.clone()),
                _ => None,
            };
        }
        let found = self.zone.set(source, self.record_type);
        if found.is_empty() {
            self.absence(Rcode::NOERROR, message);
            return None;
        }
        message.answer.extend(found.iter().map(owned));
        if self.record_type == RecordType::NS {
            self.add_addresses(found, message);
        }
        None
    }

    fn rename(&self, dname: &Record, message: &mut Message) -> Option<Name> {
        let RecordData::Dname(target) = &dname.data else {
            return None;
        };
        message.answer.push(dname.clone());
        let Some(renamed) = self.name.rebase(&dname.name, target) else {
            // The name became too long (RFC 6672, section 2.2).
            message.rcode = Rcode(6);
            return None;
        };
        message.answer.push(Record {
            name: self.name.clone(),
            ttl: dname.ttl,
            data: RecordData::Cname(renamed.clone()),
        });
        Some(renamed)
    }

    /// Returns the wildcard at the closest encloser (RFC 4592, section 3.3.1).
    fn wildcard(&self) -> Option<Name> {
        let encloser = (self.zone.apex().label_count()..self.name.label_count())
            .rev()
            .filter_map(|count| self.name.ancestor(count))
            .find(|ancestor| self.zone.exists(ancestor))?;
        let wildcard = encloser.child(b"*").ok()?;
        self.zone.owns(&wildcard).then_some(wildcard)
    }

    fn absence(&self, rcode: Rcode, message: &mut Message) {
        message.rcode = rcode;
        if let Some((record, soa)) = self.zone.soa() {
            message.authority.push(Record {
                ttl: record.ttl.min(soa.minimum),
                ..record.clone()
            });
        }
    }
}

/// Returns a reply with nothing but a response code.
#[must_use]
pub fn bare(rcode: Rcode) -> Message {
    Message {
        rcode,
        flags: Flags::default(),
        ..Message::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    /// Returns the answer of a server with these zones, in one line a record.
    fn ask(zones: &[(&str, &str)], question: &str, habits: Habits) -> String {
        let mut text = String::from("[check example.com.]\n[server ns.test. 192.0.2.53]\n");
        for (apex, records) in zones {
            text.push_str(&format!("zone {apex}\n{records}\n"));
        }
        let scenario = Scenario::parse(&text).unwrap();
        let host = scenario
            .world
            .hosts_at("192.0.2.53".parse().unwrap())
            .next()
            .unwrap();
        let zones: Vec<_> = host.zones().map(|served| &served.zone).collect();
        let (name, record_type) = question.split_once(' ').unwrap();
        let question = Question::new(name.parse().unwrap(), record_type.parse().unwrap());
        summary(&answer(&zones, &question, true, habits))
    }

    fn summary(message: &Message) -> String {
        let mut text = message.rcode.to_string();
        if message.flags.authoritative {
            text.push_str(" AA");
        }
        let sections = [
            ("an", &message.answer),
            ("au", &message.authority),
            ("ad", &message.additional),
        ];
        for (section, records) in sections {
            for record in records {
                let shown = match &record.data {
                    RecordData::Soa(_) => format!("{} SOA", record.name),
                    data => format!("{} {} {data}", record.name, record.record_type()),
                };
                text.push_str(&format!(" | {section} {shown}"));
            }
        }
        text
    }

    const COM: (&str, &str) = (
        "com.",
        "com. NS ns.test.\n\
         example.com. NS ns1.example.com.\nexample.com. NS ns.other.com.\n\
         example.com. NS ns.provider.net.\n\
         ns1.example.com. A 192.0.2.1\nns.other.com. A 192.0.2.2\n\
         example.com. DS 1 8 2 00\n\
         host.ent.com. A 192.0.2.3\n",
    );
    const EXAMPLE: (&str, &str) = (
        "example.com.",
        "@ NS ns1\nns1 A 192.0.2.1\nwww CNAME ns1\naway CNAME www.provider.net.\n\
         *.wild TXT \"x\"\nold DNAME wild\nsub NS ns.sub\nns.sub A 192.0.2.9\n",
    );

    #[test]
    fn answers_follow_the_standard() {
        let cases = [
            (
                "www.example.com. A",
                "NOERROR | au example.com. NS ns1.example.com. | au example.com. NS ns.other.com. \
                 | au example.com. NS ns.provider.net. | au example.com. DS 1 8 2 00 \
                 | ad ns1.example.com. A 192.0.2.1 | ad ns.other.com. A 192.0.2.2",
                "a referral with the glue that the file has, and DS, as DO is set",
            ),
            ("ns1.example.com. A", "same", "glue is no data: a referral"),
            (
                "example.com. DS",
                "NOERROR AA | an example.com. DS 1 8 2 00",
                "DS lives above the cut",
            ),
            (
                "ent.com. A",
                "NOERROR AA | au com. SOA",
                "an empty non-terminal exists",
            ),
            (
                "nothing.com. A",
                "NXDOMAIN AA | au com. SOA",
                "no such name",
            ),
            ("example.org. A", "REFUSED", "no zone of ours"),
        ];
        let referral = cases[0].1;
        for (question, expected, why) in cases {
            let expected = if expected == "same" {
                referral
            } else {
                expected
            };
            assert_eq!(
                ask(&[COM], question, Habits::default()),
                expected,
                "{question}: {why}"
            );
        }
    }

    #[test]
    fn a_zone_answers_with_its_data() {
        let cases = [
            (
                "example.com. NS",
                "NOERROR AA | an example.com. NS ns1.example.com. | ad ns1.example.com. A 192.0.2.1",
                "the apex",
            ),
            (
                "www.example.com. A",
                "NOERROR AA | an www.example.com. CNAME ns1.example.com. | an ns1.example.com. A 192.0.2.1",
                "an alias inside",
            ),
            (
                "away.example.com. A",
                "NOERROR AA | an away.example.com. CNAME www.provider.net.",
                "an alias that leads away",
            ),
            (
                "a.wild.example.com. TXT",
                "NOERROR AA | an a.wild.example.com. TXT \"x\"",
                "a wildcard",
            ),
            (
                "a.wild.example.com. A",
                "NOERROR AA | au example.com. SOA",
                "a wildcard without the type",
            ),
            (
                "a.old.example.com. TXT",
                "NOERROR AA | an old.example.com. DNAME wild.example.com. \
                 | an a.old.example.com. CNAME a.wild.example.com. | an a.wild.example.com. TXT \"x\"",
                "a DNAME and what lies behind",
            ),
            (
                "x.sub.example.com. A",
                "NOERROR | au sub.example.com. NS ns.sub.example.com. | ad ns.sub.example.com. A 192.0.2.9",
                "a delegation below",
            ),
            (
                "example.com. DS",
                "NOERROR AA | au example.com. SOA",
                "DS is not known below the cut",
            ),
        ];
        for (question, expected, why) in cases {
            assert_eq!(
                ask(&[EXAMPLE], question, Habits::default()),
                expected,
                "{question}: {why}"
            );
        }
    }

    #[test]
    fn a_server_with_parent_and_child_answers_from_the_child_but_for_ds() {
        let both = [COM, EXAMPLE];
        let apex = ask(&both, "example.com. NS", Habits::default());
        assert!(
            apex.starts_with("NOERROR AA | an example.com. NS"),
            "{apex}"
        );
        let signer = ask(&both, "example.com. DS", Habits::default());
        assert_eq!(signer, "NOERROR AA | an example.com. DS 1 8 2 00");
    }

    #[test]
    fn habits_change_what_is_said() {
        let promotes = Habits {
            promotes_glue: true,
            ..Habits::default()
        };
        assert_eq!(
            ask(&[COM], "ns1.example.com. A", promotes),
            "NOERROR AA | an ns1.example.com. A 192.0.2.1"
        );
        let denies = Habits {
            denies_empty_non_terminals: true,
            ..Habits::default()
        };
        assert_eq!(
            ask(&[COM], "ent.com. A", denies),
            "NXDOMAIN AA | au com. SOA"
        );
    }
}
