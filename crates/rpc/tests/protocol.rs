//! Rules for `proto/` that a compiler of protobuf does not know.
//!
//! `proto/baseline.txt` has a line for everything that programs in the field may rely on. What is
//! in it must stay as it is: nobody can know who still speaks it. What is new is added with
//!
//! ```text
//! EXTEND_BASELINE=1 cargo test -p bailiwick-rpc --test protocol
//! ```

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use bailiwick_rpc::DESCRIPTORS;
use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/baseline.txt");

/// All messages by full name.
type Messages = BTreeMap<String, DescriptorProto>;

fn files() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    assert!(set.file.len() >= 3);
    set.file
}

fn messages() -> Messages {
    let mut messages = Messages::new();
    for file in files() {
        for message in file.message_type {
            assert!(message.nested_type.is_empty() && message.enum_type.is_empty());
            let name = format!(".{}.{}", file.package.as_ref().unwrap(), message.name());
            messages.insert(name, message);
        }
    }
    messages
}

fn enums() -> Vec<(String, EnumDescriptorProto)> {
    let package = |file: &FileDescriptorProto| file.package.clone().unwrap();
    files()
        .into_iter()
        .flat_map(|file| {
            let package = package(&file);
            file.enum_type
                .into_iter()
                .map(move |e| (format!("{package}.{}", e.name()), e))
        })
        .collect()
}

fn services() -> Vec<(String, ServiceDescriptorProto)> {
    files()
        .into_iter()
        .flat_map(|file| {
            let package = file.package.clone().unwrap();
            file.service
                .into_iter()
                .map(move |s| (format!("{package}.{}", s.name()), s))
        })
        .collect()
}

/// Every message that can be part of one, itself included.
fn parts(messages: &Messages, of: &str, seen: &mut BTreeSet<String>) {
    if !seen.insert(of.to_owned()) {
        return;
    }
    for field in &messages[of].field {
        if field.r#type() == Type::Message {
            parts(messages, field.type_name(), seen);
        }
    }
}

/// What programs may rely on, one line each.
fn relied_on() -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for (name, message) in messages() {
        for field in &message.field {
            let label = match field.label() {
                Label::Repeated => "repeated ",
                _ if field.proto3_optional() => "optional ",
                _ => "",
            };
            let kind = match field.r#type() {
                Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
                plain => plain.as_str_name()[5..].to_lowercase(),
            };
            let one_of = match field.oneof_index {
                Some(at) if !field.proto3_optional() => {
                    let at = usize::try_from(at).unwrap();
                    format!(" in {}", message.oneof_decl[at].name())
                }
                _ => String::new(),
            };
            let message = name.trim_start_matches('.');
            let (number, field) = (field.number(), field.name());
            lines.insert(format!("{message} {number} {label}{kind} {field}{one_of}"));
        }
    }
    for (name, kind) in enums() {
        for value in kind.value {
            lines.insert(format!("{name} {} {}", value.number(), value.name()));
        }
    }
    for (name, service) in services() {
        for method in service.method {
            let stream = |yes| if yes { "stream " } else { "" };
            lines.insert(format!(
                "{name} {} ({}{}) {}{}",
                method.name(),
                stream(method.client_streaming()),
                method.input_type().trim_start_matches('.'),
                stream(method.server_streaming()),
                method.output_type().trim_start_matches('.'),
            ));
        }
    }
    lines
}

#[test]
fn what_is_in_the_field_stays() {
    let now = relied_on();
    let baseline: BTreeSet<String> = fs::read_to_string(BASELINE)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect();
    let gone: Vec<_> = baseline.difference(&now).collect();
    assert!(
        gone.is_empty(),
        "programs in the field rely on this. Keep it, reserve the number, or, if no release has \
         had it yet, take the line out of proto/baseline.txt by hand: {gone:#?}"
    );
    let new: Vec<_> = now.difference(&baseline).collect();
    if std::env::var_os("EXTEND_BASELINE").is_some() {
        let mut text = now.iter().cloned().collect::<Vec<_>>().join("\n");
        text.push('\n');
        fs::write(BASELINE, text).unwrap();
        return;
    }
    assert!(
        new.is_empty(),
        "new, and not yet in proto/baseline.txt: run EXTEND_BASELINE=1 cargo test -p \
         bailiwick-rpc --test protocol, and commit what changed: {new:#?}"
    );
}

/// Who speaks is what the certificate says; from where and when is what the coordinator sees.
#[test]
fn no_message_of_an_agent_says_who_sent_it_from_where_or_when_it_came() {
    const WORDS: [&str; 16] = [
        "agent", "agents", "asn", "from", "ip", "network", "observed", "place", "peer", "prefix",
        "receipt", "receive", "received", "region", "sender", "vantage",
    ];
    let messages = messages();
    let mut sent = BTreeSet::new();
    for (name, service) in services() {
        if name.starts_with("bailiwick.agent.") {
            for method in service.method {
                parts(&messages, method.input_type(), &mut sent);
            }
        }
    }
    // A report travels as octets.
    parts(&messages, ".bailiwick.report.v1.Report", &mut sent);
    assert!(sent.len() >= 25, "{sent:?}");
    for name in sent {
        for field in &messages[&name].field {
            let said = field.name().split('_').find(|word| WORDS.contains(word));
            assert_eq!(said, None, "{name}.{}", field.name());
        }
    }
}

#[test]
fn no_message_contains_itself() {
    let messages = messages();
    for (name, message) in &messages {
        let mut inside = BTreeSet::new();
        for field in &message.field {
            if field.r#type() == Type::Message {
                parts(&messages, field.type_name(), &mut inside);
            }
        }
        assert!(!inside.contains(name), "{name} could be nested without end");
    }
}

#[test]
fn enums_begin_with_unspecified() {
    for (name, kind) in enums() {
        let first = &kind.value[0];
        assert_eq!(first.number(), 0, "{name}");
        assert!(first.name().ends_with("_UNSPECIFIED"), "{name}");
    }
}

#[test]
fn units_are_in_names_and_types() {
    for (name, message) in messages() {
        for field in &message.field {
            let wanted = match field.name().rsplit('_').next() {
                Some("ns") => Type::Int64,
                Some("us") => Type::Uint64,
                Some("ms" | "s" | "sec" | "seconds") => panic!("{name}.{}", field.name()),
                _ => continue,
            };
            assert_eq!(field.r#type(), wanted, "{name}.{}", field.name());
        }
    }
}
