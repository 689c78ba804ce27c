//! What holds for all messages: reading gives what was written, and nothing makes it panic.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::{collection::vec, option, prelude::*};

use super::*;

fn any_name() -> impl Strategy<Value = Name> {
    vec(vec(any::<u8>(), 1..12), 0..6)
        .prop_map(|labels| Name::from_labels(labels).expect("short labels, and few"))
}

fn any_octets() -> impl Strategy<Value = Box<[u8]>> {
    vec(any::<u8>(), 1..40).prop_map(Into::into)
}

fn any_data() -> impl Strategy<Value = RecordData> {
    prop_oneof![
        any::<u32>().prop_map(|bits| RecordData::A(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| RecordData::Aaaa(Ipv6Addr::from_bits(bits))),
        any_name().prop_map(RecordData::Ns),
        any_name().prop_map(RecordData::Cname),
        any_name().prop_map(RecordData::Dname),
        (any_name(), any_name(), any::<[u32; 5]>()).prop_map(|(mname, rname, numbers)| {
            let [serial, refresh, retry, expire, minimum] = numbers;
            RecordData::Soa(Soa {
                mname,
                rname,
                serial,
                refresh,
                retry,
                expire,
                minimum,
            })
        }),
        vec(vec(any::<u8>(), 0..256).prop_map(Into::into), 1..4).prop_map(RecordData::Txt),
        (any::<(u16, u8, u8)>(), any_octets()).prop_map(
            |((key_tag, algorithm, digest_type), digest)| {
                RecordData::Ds(Ds {
                    key_tag,
                    algorithm,
                    digest_type,
                    digest,
                })
            }
        ),
        (any::<(u16, u8, u8)>(), any_octets()).prop_map(
            |((flags, protocol, algorithm), public_key)| {
                RecordData::Dnskey(Dnskey {
                    flags,
                    protocol,
                    algorithm,
                    public_key,
                })
            }
        ),
        (62_000_u16..65_000, any_octets())
            .prop_map(|(code, octets)| RecordData::Other(RecordType(code), octets)),
    ]
}

fn any_section() -> impl Strategy<Value = Vec<Record>> {
    let record = (any_name(), 0..=MAX_TTL, any_data()).prop_map(|(name, ttl, data)| Record {
        name,
        ttl,
        data,
    });
    vec(record, 0..8)
}

fn any_edns() -> impl Strategy<Value = Edns> {
    let error = (any::<u16>(), vec(any::<u8>(), 0..20)).prop_map(|(code, text)| ExtendedError {
        code,
        text: text.into(),
    });
    (
        any::<u8>(),
        512_u16..,
        option::of(any_octets()),
        vec(error, 0..3),
    )
        .prop_map(|(version, udp_size, nsid, errors)| Edns {
            version,
            udp_size,
            nsid,
            errors,
        })
}

fn any_message() -> impl Strategy<Value = Message> {
    let flags = any::<[bool; 6]>().prop_map(|flags| Flags {
        authoritative: flags[0],
        truncated: flags[1],
        recursion_desired: flags[2],
        recursion_available: flags[3],
        authentic_data: flags[4],
        checking_disabled: flags[5],
    });
    let sections = (any_section(), any_section(), any_section());
    (
        0..16_u16,
        flags,
        sections,
        option::of((any_edns(), 0..256_u16)),
    )
        .prop_map(|(low, flags, (answer, authority, additional), edns)| {
            let (edns, high) = edns.map_or((None, 0), |(edns, high)| (Some(edns), high));
            Message {
                rcode: Rcode(high << 4 | low),
                flags,
                answer,
                authority,
                additional,
                edns,
                octets: 0,
            }
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read(message in any_message(), name in any_name(), id: u16, case: u64) {
        let question = Question::new(name, RecordType::NS);
        let query = peek(&encode_query(&question, &Options::ITERATIVE, id, case)).unwrap();
        let octets = encode_reply(&message, &query);
        let reply = peek(&octets).unwrap();
        prop_assert_eq!((reply.id, reply.question, reply.truncated), (id, query.question, message.flags.truncated));
        let expected = Message { octets: octets.len(), ..message };
        prop_assert_eq!(decode(&octets).unwrap(), expected);
    }

    #[test]
    fn every_query_is_read_by_the_codec(
        labels in vec(vec(any::<u8>(), 1..=63), 0..=127),
        record_type: u16,
        flags: [bool; 4],
        case: u64,
    ) {
        let longest = (0..=labels.len()).rev().find_map(|n| Name::from_labels(&labels[..n]).ok());
        let question = Question::new(longest.unwrap(), RecordType(record_type));
        let [recursion_desired, checking_disabled, edns, dnssec_ok] = flags;
        let options = Options { recursion_desired, checking_disabled, edns, dnssec_ok };
        let octets = encode_query(&question, &options, 1, case);
        prop_assert!(op::Message::from_vec(&octets).is_ok(), "{}", question.name);
        prop_assert_eq!(to_question(&peek(&octets).unwrap().question.unwrap()), Some(question));
    }

    #[test]
    fn decoding_never_panics(octets in vec(any::<u8>(), 0..600)) {
        let _ = (peek(&octets), decode(&octets));
    }

    #[test]
    fn decoding_a_damaged_message_never_panics(
        message in any_message(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in option::of(any::<prop::sample::Index>()),
    ) {
        let question = Question::new(Name::root(), RecordType::NS);
        let mut octets = encode_message(&message, Some(&question), 1);
        for (place, value) in damage {
            let at = place.index(octets.len());
            octets[at] = value;
        }
        if let Some(cut) = cut {
            octets.truncate(cut.index(octets.len()));
        }
        let _ = (peek(&octets), decode(&octets));
    }
}
