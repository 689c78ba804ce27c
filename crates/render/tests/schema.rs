//! What is written as JSON is what the published schemas say: no field less, none more.

#![allow(clippy::unwrap_used, reason = "what cannot be read fails the test")]

mod common;

use bailiwick_core::verdict::Verdict;
use bailiwick_render::{Page, Style, explain, glue, json};
use common::{schema::Schema, *};
use serde_json::Value;

fn holds(schema: &Schema, label: &str, text: &str) -> Value {
    let value: Value = serde_json::from_str(text).unwrap();
    let errors = schema.errors(&value);
    assert!(errors.is_empty(), "{label}: {errors:#?}");
    assert!(
        text.starts_with("{\n  \"schema\": "),
        "{label}: the schema comes first"
    );
    value
}

/// Every object with an address says where that is known from.
fn sources(label: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("address").is_some_and(|a| !a.is_null()) {
                let source = fields.get("source");
                assert!(source.is_some_and(Value::is_string), "{label}: {value:#}");
            }
            fields.values().for_each(|field| sources(label, field));
        }
        Value::Array(items) => items.iter().for_each(|item| sources(label, item)),
        _ => {}
    }
}

#[test]
fn checks_hold_to_their_schema() {
    let schema = Schema::read(include_str!("../schemas/check-1.json"));
    let reports = [report()];
    for (label, verdict) in all_verdicts() {
        for raw in [false, true] {
            let page = Page {
                raw,
                ..page(&verdict, &reports)
            };
            let value = holds(&schema, label, &json::check(&page));
            sources(label, &value);
            assert_eq!(value["exit_code"], verdict.state.exit_code(), "{label}");
        }
    }
}

#[test]
fn evidence_is_what_was_observed() {
    let reports = [report()];
    let verdict = glue_missing();
    let text = json::check(&page(&verdict, &reports));
    let value: Value = serde_json::from_str(&text).unwrap();
    let evidence = &value["findings"][0]["evidence"][0];
    assert_eq!(evidence["vantage"], "local");
    assert_eq!(evidence["address"], "192.5.6.30");
    assert_eq!(evidence["reply"]["referral"]["zone"], "example.com.");
    assert_eq!(evidence["octets"], Value::Null, "only on request");
}

#[test]
fn walks_hold_to_their_schema() {
    let schema = Schema::read(include_str!("../schemas/trace-1.json"));
    for (label, walk, code) in [("walk", walk(), 0), ("lost", lost_walk(), 30)] {
        for raw in [false, true] {
            let value = holds(&schema, label, &json::trace(&walk, code, raw));
            sources(label, &value);
        }
    }
}

#[test]
fn glue_holds_to_its_schema() {
    let schema = Schema::read(include_str!("../schemas/glue-1.json"));
    for (label, verdict) in all_verdicts() {
        let value = holds(&schema, label, &json::glue(&published(&verdict)));
        sources(label, &value);
    }
}

fn published(verdict: &Verdict) -> glue::Published<'_> {
    glue::Published {
        zone: &verdict.check.zone,
        parent: verdict.parent.as_ref(),
        parents: &verdict.parents,
        agree: true,
        exit_code: 0,
        elapsed: verdict.elapsed,
        packets: verdict.packets,
        port: 53,
        style: Style::PLAIN,
    }
}

#[test]
fn errors_hold_to_their_schema() {
    let schema = Schema::read(include_str!("../schemas/error-1.json"));
    holds(
        &schema,
        "error",
        &json::error(2, "no such zone: \"a..b\"\u{1b}"),
    );
}

#[test]
fn explanations_hold_to_their_schema() {
    let schema = Schema::read(include_str!("../schemas/explain-1.json"));
    holds(&schema, "explain", &explain::json(&[explanation()]));
}

#[test]
fn a_schema_refuses_what_it_does_not_say() {
    let schema = Schema::read(include_str!("../schemas/error-1.json"));
    for wrong in [
        serde_json::json!({"schema": "bailiwick.error/2", "exit_code": 2, "message": ""}),
        serde_json::json!({"schema": "bailiwick.error/1", "exit_code": 2}),
        serde_json::json!({"schema": "bailiwick.error/1", "exit_code": 4, "message": ""}),
        serde_json::json!({"schema": "bailiwick.error/1", "exit_code": 2, "message": 1}),
        serde_json::json!([]),
        serde_json::json!({"schema": "bailiwick.error/1", "exit_code": 2, "message": "", "x": 1}),
    ] {
        assert!(!schema.errors(&wrong).is_empty(), "{wrong}");
    }
}
