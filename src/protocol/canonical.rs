//! One text for equal values, for digests of them.

use std::collections::BTreeMap;

use super::walk::Walk;
use super::{encode, raw};

/// The canonical text of a call's arguments. Absent, `null` and `{}` are the same call.
#[must_use]
pub fn arguments(given: Option<&str>) -> String {
    match given {
        Some(given) if given != "null" => value(given),
        Some(_) | None => "{}".to_owned(),
    }
}

/// The same text for the same value: members sorted, strings spelled one way, no white space.
/// Numbers stay as they came, so that none loses digits on the way. The text must have passed a
/// pre-scan, which bounds how deeply it is nested.
#[must_use]
pub fn value(given: &str) -> String {
    let mut text = String::with_capacity(given.len());
    push(&mut Walk::through(given), &mut text);
    text
}

fn push(walk: &mut Walk<'_>, out: &mut String) {
    match walk.peek() {
        Some(b'{') => {
            walk.step();
            let mut members = BTreeMap::new();
            while walk.another() {
                let key = walk.scalar();
                let key = raw::string(key).unwrap_or_default();
                walk.step();
                let mut member = String::new();
                push(walk, &mut member);
                members.insert(key, member);
            }
            out.push('{');
            for (at, (key, member)) in members.into_iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                encode::push_string(out, &key);
                out.push(':');
                out.push_str(&member);
            }
            out.push('}');
        }
        Some(b'[') => {
            walk.step();
            out.push('[');
            let mut is_first = true;
            while walk.another() {
                out.push_str(if is_first { "" } else { "," });
                is_first = false;
                push(walk, out);
            }
            out.push(']');
        }
        Some(_) => {
            let scalar = walk.scalar();
            match raw::string(scalar) {
                Some(string) => encode::push_string(out, &string),
                None => out.push_str(scalar),
            }
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn equal_arguments_have_one_canonical_text() {
        for (text, expected) in [
            (
                r#"{ "b" : 1, "a" : [ true , null ] }"#,
                r#"{"a":[true,null],"b":1}"#,
            ),
            (r#"{"a":"\u0062"}"#, r#"{"a":"b"}"#),
            (
                r#"{"n":18446744073709551617}"#,
                r#"{"n":18446744073709551617}"#,
            ),
            (r#"{"n":1.0}"#, r#"{"n":1.0}"#),
        ] {
            let raw: &RawValue = serde_json::from_str(text).unwrap();
            assert_eq!(value(raw.get()), expected);
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            r#"[\[\]{}:,"\\ ]{0,4}"#.prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 32, 5, |inner| {
            let key = prop_oneof![any::<String>(), "[a-b]"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::hash_map(key, inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn a_canonical_text_means_what_it_was_made_of(given in values()) {
            let text = value(&given.to_string());
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), given.clone());
            let spacious = serde_json::to_string_pretty(&given).unwrap();
            prop_assert_eq!(value(&spacious), text);
        }
    }
}
