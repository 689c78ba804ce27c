//! What a reply of an authoritative server means to whoever walks down from the root.
//!
//! The reading is that of a resolver that believes a server only about names
//! at or below the zone it is asked for (RFC 1034, section 5.3.3; RFC 2308,
//! section 2.2; RFC 6672, section 3.4). Nothing is taken from a reply but
//! what [`Meaning`] says.

use std::collections::BTreeSet;

use bailiwick_core::{
    delegation::Delegation,
    message::{Message, Question, Rcode},
    name::Name,
    record::{Record, RecordData, RecordType},
};

/// What a reply means at a zone cut.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Meaning {
    /// The data asked for, with the aliases that led to it.
    Answer(Vec<Record>),
    /// Aliases that lead to another name, which the reply says nothing of.
    Alias {
        /// The CNAME and DNAME records, in order.
        chain: Vec<Record>,
        /// Where they lead.
        target: Name,
    },
    /// The name exists, the type does not.
    NoData {
        /// The owner of the SOA, if there was one.
        zone: Option<Name>,
    },
    /// The name does not exist.
    NoName,
    /// A delegation strictly below the zone asked, on the way to the name.
    Referral(Delegation),
    /// Something was left out for lack of room: to be asked over TCP.
    Truncated,
    /// The server does not understand EDNS (RFC 6891, section 7).
    NoEdns,
    /// Of no use; another server may do better.
    Unfit(Unfit),
}

/// Why a reply is of no use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Unfit {
    /// A response code that is neither NOERROR nor NXDOMAIN.
    Rcode,
    /// A referral that leads upwards, sideways or back to the zone asked.
    BadReferral,
    /// A recursive server that answers from its cache.
    Recursive,
    /// Nothing at all.
    Empty,
}

/// Reads a reply to `question` from a server that was asked as one of `zone`.
pub(crate) fn read(message: &Message, question: &Question, zone: &Name) -> Meaning {
    if message.flags.truncated {
        return Meaning::Truncated;
    }
    match message.rcode {
        Rcode::NOERROR | Rcode::NXDOMAIN => {}
        Rcode::FORMERR | Rcode::NOTIMP | Rcode::BADVERS => return Meaning::NoEdns,
        _ => return Meaning::Unfit(Unfit::Rcode),
    }
    // A server that offers recursion and claims no authority tells what it heard.
    let hearsay = message.flags.recursion_available && !message.flags.authoritative;

    let (chain, last) = follow(message, question, zone);
    let data: Vec<_> = message
        .answers(&last, question.record_type)
        .cloned()
        .collect();
    let any = question.record_type == RecordType::ANY && !message.answer.is_empty();
    if any || (!data.is_empty() && last.is_at_or_below(zone)) {
        if hearsay {
            return Meaning::Unfit(Unfit::Recursive);
        }
        if let Some(referral) = misplaced_referral(message, question, zone) {
            return Meaning::Referral(referral);
        }
        let data = if any { message.answer.clone() } else { data };
        return Meaning::Answer(chain.into_iter().chain(data).collect());
    }
    if !chain.is_empty() {
        return Meaning::Alias {
            chain,
            target: last,
        };
    }
    if message.rcode == Rcode::NXDOMAIN {
        return if hearsay {
            Meaning::Unfit(Unfit::Recursive)
        } else {
            Meaning::NoName
        };
    }
    read_authority(message, question, zone, hearsay)
}

/// Reads a reply without an answer: NODATA, a referral, or a bad one.
fn read_authority(message: &Message, question: &Question, zone: &Name, hearsay: bool) -> Meaning {
    let soa = message.authority.iter().find(|record| {
        record.record_type() == RecordType::SOA && question.name.is_at_or_below(&record.name)
    });
    if let Some(soa) = soa {
        return if hearsay {
            Meaning::Unfit(Unfit::Recursive)
        } else {
            Meaning::NoData {
                zone: Some(soa.name.clone()),
            }
        };
    }
    let owners: BTreeSet<&Name> = message
        .authority
        .iter()
        .filter(|record| record.record_type() == RecordType::NS)
        .map(|record| &record.name)
        .collect();
    // The deepest owner on the way down; a message with several is one too many already.
    let down = owners
        .iter()
        .rev()
        .find(|o| o.is_below(zone) && question.name.is_at_or_below(o));
    if let Some(owner) = down {
        return match Delegation::read(message, owner) {
            Some(delegation) => Meaning::Referral(delegation),
            None => Meaning::Unfit(Unfit::BadReferral),
        };
    }
    if !owners.is_empty() {
        // The NS set of the zone itself beside AA and no data is NODATA without a SOA.
        let own = owners.len() == 1 && owners.contains(zone) && message.flags.authoritative;
        return if own {
            Meaning::NoData {
                zone: Some(zone.clone()),
            }
        } else {
            Meaning::Unfit(Unfit::BadReferral)
        };
    }
    if hearsay {
        Meaning::Unfit(Unfit::Recursive)
    } else if message.flags.authoritative {
        Meaning::NoData { zone: None }
    } else {
        Meaning::Unfit(Unfit::Empty)
    }
}

/// Follows CNAME and DNAME records in the answer as far as the server may speak of them.
fn follow(message: &Message, question: &Question, zone: &Name) -> (Vec<Record>, Name) {
    let mut at = question.name.clone();
    let mut chain = Vec::new();
    if matches!(question.record_type, RecordType::CNAME | RecordType::ANY) {
        return (chain, at);
    }
    let mut seen = BTreeSet::from([at.clone()]);
    while at.is_at_or_below(zone) {
        let Some(step) = alias_of(message, &at, question.record_type) else {
            break;
        };
        chain.extend(step.records);
        at = step.target;
        if !seen.insert(at.clone()) {
            break;
        }
    }
    (chain, at)
}

struct AliasStep {
    records: Vec<Record>,
    target: Name,
}

fn alias_of(message: &Message, name: &Name, asked: RecordType) -> Option<AliasStep> {
    let dname = message.answer.iter().find_map(|record| match &record.data {
        // The owner of a DNAME is not itself redirected (RFC 6672, section 2.3).
        RecordData::Dname(to) if asked != RecordType::DNAME && name.is_below(&record.name) => {
            Some((record, name.rebase(&record.name, to)?))
        }
        _ => None,
    });
    if let Some((record, target)) = dname {
        // The CNAME is synthesised here, whatever the server put beside the DNAME.
        let cname = Record {
            name: name.clone(),
            ttl: record.ttl,
            data: RecordData::Cname(target.clone()),
        };
        return Some(AliasStep {
            records: vec![record.clone(), cname],
            target,
        });
    }
    message.answer.iter().find_map(|record| match &record.data {
        RecordData::Cname(to) if record.name == *name => Some(AliasStep {
            records: vec![record.clone()],
            target: to.clone(),
        }),
        _ => None,
    })
}

/// A referral whose NS set was put into the answer section: NS asked for, no AA, below the zone.
fn misplaced_referral(message: &Message, question: &Question, zone: &Name) -> Option<Delegation> {
    let is_referral = question.record_type == RecordType::NS
        && !message.flags.authoritative
        && question.name.is_below(zone);
    if !is_referral {
        return None;
    }
    let moved = Message {
        authority: message.answer.clone(),
        ..message.clone()
    };
    Delegation::read(&moved, &question.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_core::{message::Flags, record::Soa};

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn ns(owner: &str) -> Record {
        Record {
            name: name(owner),
            ttl: 60,
            data: RecordData::Ns(name("ns.host.test.")),
        }
    }

    fn cname(owner: &str, to: &str) -> Record {
        Record {
            name: name(owner),
            ttl: 60,
            data: RecordData::Cname(name(to)),
        }
    }

    fn a(owner: &str) -> Record {
        Record {
            name: name(owner),
            ttl: 60,
            data: RecordData::A([192, 0, 2, 1].into()),
        }
    }

    fn soa(owner: &str) -> Record {
        let soa = Soa {
            mname: Name::root(),
            rname: Name::root(),
            serial: 1,
            refresh: 1,
            retry: 1,
            expire: 1,
            minimum: 1,
        };
        Record {
            name: name(owner),
            ttl: 60,
            data: RecordData::Soa(soa),
        }
    }

    fn with_authority(records: Vec<Record>, aa: bool, ra: bool) -> Message {
        Message {
            flags: Flags {
                authoritative: aa,
                recursion_available: ra,
                ..Flags::default()
            },
            authority: records,
            ..Message::default()
        }
    }

    fn kind(meaning: &Meaning) -> &'static str {
        match meaning {
            Meaning::Answer(_) => "answer",
            Meaning::Alias { .. } => "alias",
            Meaning::NoData { .. } => "nodata",
            Meaning::NoName => "noname",
            Meaning::Referral(_) => "referral",
            Meaning::Truncated => "truncated",
            Meaning::NoEdns => "no edns",
            Meaning::Unfit(Unfit::Rcode) => "rcode",
            Meaning::Unfit(Unfit::BadReferral) => "bad referral",
            Meaning::Unfit(Unfit::Recursive) => "recursive",
            Meaning::Unfit(Unfit::Empty) => "empty",
        }
    }

    #[test]
    fn authority_sections_are_read_by_where_they_lead() {
        let question = Question::new(name("www.example.com."), RecordType::A);
        let cases = [
            (
                with_authority(vec![ns("example.com.")], false, false),
                "referral",
                "down",
            ),
            (
                with_authority(vec![ns("example.com.")], true, false),
                "referral",
                "down, AA or not",
            ),
            (
                with_authority(vec![ns("com.")], false, false),
                "bad referral",
                "to itself",
            ),
            (
                with_authority(vec![ns(".")], false, false),
                "bad referral",
                "up to the root",
            ),
            (
                with_authority(vec![ns("example.net.")], false, false),
                "bad referral",
                "sideways",
            ),
            (
                with_authority(vec![ns("other.com.")], false, false),
                "bad referral",
                "not our way",
            ),
            (
                with_authority(vec![ns("com.")], true, false),
                "nodata",
                "own NS set beside AA",
            ),
            (
                with_authority(vec![soa("com.")], true, false),
                "nodata",
                "SOA says so",
            ),
            (
                with_authority(vec![soa("com.")], false, true),
                "recursive",
                "from a cache",
            ),
            (
                with_authority(vec![], false, false),
                "empty",
                "nothing at all",
            ),
            (
                with_authority(vec![], true, false),
                "nodata",
                "nothing, with authority",
            ),
        ];
        for (message, expected, why) in cases {
            assert_eq!(
                kind(&read(&message, &question, &name("com."))),
                expected,
                "{why}"
            );
        }
    }

    #[test]
    fn answers_are_followed_only_where_the_server_may_speak() {
        let question = Question::new(name("www.example.com."), RecordType::A);
        let zone = name("example.com.");
        let reply = |records| Message {
            answer: records,
            ..Message::default()
        };
        let cases = [
            (reply(vec![a("www.example.com.")]), "answer", "direct"),
            (
                reply(vec![
                    cname("www.example.com.", "x.example.com."),
                    a("x.example.com."),
                ]),
                "answer",
                "alias and data in the zone",
            ),
            (
                reply(vec![cname("www.example.com.", "x.test."), a("x.test.")]),
                "alias",
                "data of another zone is not believed",
            ),
            (
                reply(vec![cname("www.example.com.", "www.example.com.")]),
                "alias",
                "a loop ends, and is for the walk to see",
            ),
        ];
        for (message, expected, why) in cases {
            assert_eq!(kind(&read(&message, &question, &zone)), expected, "{why}");
        }
    }

    #[test]
    fn a_dname_redirects_what_is_below_it() {
        let question = Question::new(name("a.old.example."), RecordType::A);
        let dname = Record {
            name: name("old.example."),
            ttl: 5,
            data: RecordData::Dname(name("new.example.")),
        };
        let message = Message {
            answer: vec![dname, a("a.new.example.")],
            ..Message::default()
        };
        let Meaning::Answer(records) = read(&message, &question, &name("example.")) else {
            panic!("the data is in the zone");
        };
        assert_eq!(
            records.len(),
            3,
            "DNAME, the CNAME made from it, and the address"
        );
    }
}
