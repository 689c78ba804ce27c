//! A validator for the part of JSON Schema (draft 2020-12) that our schemas use.
//!
//! A keyword that it does not know fails the test, so no rule of a schema goes unchecked. Fields
//! that a schema does not mention are refused: the published schemas let them pass, so that one
//! may be added without breaking those who validate, but here it would be a mistake.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;

/// A schema with its definitions.
pub(crate) struct Schema(Value);

/// Keywords that say nothing about what is allowed.
const REMARKS: [&str; 5] = ["$schema", "$id", "$defs", "title", "description"];

impl Schema {
    pub(crate) fn read(text: &str) -> Self {
        let schema: Value = serde_json::from_str(text).unwrap();
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        Self(schema)
    }

    /// Returns what is wrong with a value, each with its place.
    pub(crate) fn errors(&self, value: &Value) -> Vec<String> {
        self.check("", &self.0, value)
    }

    fn check(&self, at: &str, schema: &Value, value: &Value) -> Vec<String> {
        let rules = schema.as_object().unwrap();
        rules
            .iter()
            .filter(|(keyword, _)| !REMARKS.contains(&keyword.as_str()))
            .flat_map(|(keyword, rule)| self.apply(at, schema, keyword, rule, value))
            .collect()
    }

    fn apply(
        &self,
        at: &str,
        schema: &Value,
        keyword: &str,
        rule: &Value,
        value: &Value,
    ) -> Vec<String> {
        let holds = match keyword {
            "$ref" => return self.check(at, self.definition(rule), value),
            "properties" => return self.properties(at, rule, value),
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                return items
                    .flat_map(|(n, item)| self.check(&format!("{at}/{n}"), rule, item))
                    .collect();
            }
            "anyOf" => rule
                .as_array()
                .unwrap()
                .iter()
                .any(|one| self.check(at, one, value).is_empty()),
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().any(|kind| is(kind, value)),
                kind => is(kind, value),
            },
            "required" => {
                let fields = rule.as_array().unwrap();
                fields
                    .iter()
                    .all(|f| value.get(f.as_str().unwrap()).is_some())
            }
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "minimum" => value.as_f64().is_none_or(|n| n >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|n| n <= rule.as_f64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| matches(rule, text)),
            "format" => value.as_str().is_none_or(|text| has_form(rule, text)),
            _ => panic!("{at}: unknown keyword {keyword} in {schema:#}"),
        };
        if holds {
            Vec::new()
        } else {
            vec![format!("{at}: {value} does not hold to {keyword} {rule}")]
        }
    }

    fn definition(&self, reference: &Value) -> &Value {
        let name = reference
            .as_str()
            .unwrap()
            .strip_prefix("#/$defs/")
            .unwrap();
        let definition = &self.0["$defs"][name];
        assert!(definition.is_object(), "{name} is not defined");
        definition
    }

    fn properties(&self, at: &str, known: &Value, value: &Value) -> Vec<String> {
        let fields = value.as_object().into_iter().flatten();
        fields
            .flat_map(|(field, value)| match known.get(field) {
                Some(schema) => self.check(&format!("{at}/{field}"), schema, value),
                None => vec![format!("{at}/{field}: no schema mentions it")],
            })
            .collect()
    }
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("unknown type {other}"),
    }
}

fn matches(pattern: &Value, text: &str) -> bool {
    let pattern = pattern.as_str().unwrap();
    regex::Regex::new(pattern).unwrap().is_match(text)
}

fn has_form(form: &Value, text: &str) -> bool {
    match form.as_str().unwrap() {
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        // RFC 3339 as we write it: UTC, whole seconds.
        "date-time" => {
            let form = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$";
            regex::Regex::new(form).unwrap().is_match(text)
        }
        other => panic!("unknown format {other}"),
    }
}
