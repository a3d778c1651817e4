//! One text for equal values, for digests of them.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The canonical text of a call's arguments. Absent, `null` and `{}` are the same call.
#[must_use]
pub fn arguments(given: Option<&str>) -> String {
    match given {
        Some(given) if given != "null" => value(given),
        Some(_) | None => "{}".to_owned(),
    }
}

/// The same text for the same value: members sorted, strings spelled one way, no white space.
/// Numbers stay as they came, so that none loses digits on the way.
#[must_use]
pub fn value(given: &str) -> String {
    let mut text = String::new();
    canonical(given, &mut text);
    text
}

fn canonical(value: &str, out: &mut String) {
    let text = value.trim_ascii();
    if let Some(members) = text
        .starts_with('{')
        .then(|| serde_json::from_str::<BTreeMap<String, &RawValue>>(text).ok())
        .flatten()
    {
        out.push('{');
        for (at, (key, member)) in members.into_iter().enumerate() {
            out.push_str(if at == 0 { "" } else { "," });
            out.push_str(&serde_json::Value::from(key).to_string());
            out.push(':');
            canonical(member.get(), out);
        }
        out.push('}');
    } else if let Some(elements) = text
        .starts_with('[')
        .then(|| serde_json::from_str::<Vec<&RawValue>>(text).ok())
        .flatten()
    {
        out.push('[');
        for (at, element) in elements.into_iter().enumerate() {
            out.push_str(if at == 0 { "" } else { "," });
            canonical(element.get(), out);
        }
        out.push(']');
    } else if let Some(string) = text
        .starts_with('"')
        .then(|| serde_json::from_str::<String>(text).ok())
        .flatten()
    {
        out.push_str(&serde_json::Value::from(string).to_string());
    } else {
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
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
}
