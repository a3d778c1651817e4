//! What a credential claims, compared with what a policy asks for.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use crate::protocol::spelling;

/// A claim by its name, or by a JSON pointer into the claims, and the values it may have.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    path: String,
    values: Vec<Value>,
}

impl Wanted {
    /// `value` is one value or a list of those that do.
    pub(super) fn new(path: &str, value: &Value) -> Result<Self, &'static str> {
        let values = match value {
            Value::Array(values) => values.clone(),
            value => vec![value.clone()],
        };
        if values.is_empty() {
            return Err("a list of no values is never met; leave the condition out");
        }
        if values
            .iter()
            .any(|value| value.is_array() || value.is_object())
        {
            return Err("expected a text, a number, true or false, or a list of these");
        }
        let path = path.to_owned();
        Ok(Self { path, values })
    }

    /// Whether the caller's claims have it. A claim that is a list has each of its values.
    pub(super) fn is_claimed(&self, claims: &Map<String, Value>) -> bool {
        claim(claims, &self.path).is_some_and(|found| self.is_in(found))
    }

    /// Whether the argument is exactly one of the values.
    pub(super) fn is_argument(&self, arguments: &Value) -> bool {
        // What some upstreams would take for the argument as well could be the one they read.
        let is_it = |found| self.values.iter().any(|value| equal(found, value));
        let found = arguments.pointer(&self.path);
        found.is_some_and(is_it) && alike(arguments, &self.path).len() == 1
    }

    /// Whether one of the values is the argument, or is anywhere in the list that it is: whoever
    /// denies a value means it in whatever company it comes.
    pub(super) fn is_among_arguments(&self, arguments: &Value) -> bool {
        let mut found = alike(arguments, &self.path).into_iter();
        found.any(|found| self.is_in(found))
    }

    fn is_in(&self, found: &Value) -> bool {
        match found {
            // As deep as the body was allowed to be.
            Value::Array(members) => members.iter().any(|member| self.is_in(member)),
            found => self.values.iter().any(|value| equal(found, value)),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<_> = self.values.iter().map(Value::to_string).collect();
        write!(f, "`{}` is {}", self.path, values.join(" or "))
    }
}

/// All that some decoder finds at this JSON pointer: keys may be spelled in any case.
fn alike<'a>(arguments: &'a Value, pointer: &str) -> Vec<&'a Value> {
    let mut found = vec![arguments];
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let inside = |value: &'a Value| -> Vec<&'a Value> {
            let Value::Object(members) = value else {
                return value.pointer(&format!("/{token}")).into_iter().collect();
            };
            let is_alike = |key: &str| spelling::are_alike(key, &token);
            let members = members.iter().filter(|(key, _)| is_alike(key));
            members.map(|(_, value)| value).collect()
        };
        found = found.into_iter().flat_map(inside).collect();
    }
    found
}

/// A claim by its name, or by a JSON pointer to it.
pub(super) fn claim<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let Some(pointer) = path.strip_prefix('/') else {
        return claims.get(path);
    };
    let (first, rest) = pointer.split_at(pointer.find('/').unwrap_or(pointer.len()));
    let first: Cow<'_, str> = if first.contains('~') {
        first.replace("~1", "/").replace("~0", "~").into()
    } else {
        first.into()
    };
    claims.get(first.as_ref())?.pointer(rest)
}

/// Numbers are equal by what they are worth: `1` is `1.0`.
pub(super) fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            // Where a fraction cannot hold every whole number, it is none of them.
            let as_fraction = |number: &serde_json::Number| match number.as_i64() {
                Some(whole) if whole.unsigned_abs() > EXACT_MAX => None,
                Some(_) => number.as_f64(),
                None if number.is_f64() => number.as_f64(),
                None => None,
            };
            one == other || as_fraction(one).is_some_and(|one| Some(one) == as_fraction(other))
        }
        (one, other) => one == other,
    }
}

/// Up to here every whole number is a fraction of its own.
const EXACT_MAX: u64 = 1 << 53;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_found_by_name_and_by_pointer() {
        let claims = json!({
            "acr": "mfa",
            "amr": ["pwd", "otp"],
            "https://idp/roles": ["x"],
            "realm": { "roles": ["admin"], "a/b": true },
            "level": 2,
        });
        let claims = claims.as_object().unwrap();
        for (path, value, expected) in [
            ("acr", json!("mfa"), true),
            ("acr", json!(["pwd", "mfa"]), true),
            ("acr", json!("MFA"), false),
            ("amr", json!("otp"), true),
            ("amr", json!("mfa"), false),
            ("https://idp/roles", json!("x"), true),
            ("/realm/roles", json!("admin"), true),
            ("/realm/a~1b", json!(true), true),
            ("/realm/a~1b", json!("true"), false),
            ("/realm", json!("admin"), false),
            ("/acr", json!("mfa"), true),
            ("level", json!(2.0), true),
            ("level", json!("2"), false),
            ("none", Value::Null, false),
        ] {
            let wanted = Wanted::new(path, &value).unwrap();
            assert_eq!(wanted.is_claimed(claims), expected, "{wanted}");
        }
    }

    #[test]
    fn an_allowed_argument_is_the_value_and_a_denied_one_may_hide_in_a_list() {
        let wanted = Wanted::new("/env", &json!(["staging", "test"])).unwrap();
        for (arguments, allowed, denied) in [
            (json!({ "env": "staging" }), true, true),
            (json!({ "env": "prod" }), false, false),
            (json!({ "env": ["staging", "prod"] }), false, true),
            (json!({ "env": [["staging"]] }), false, true),
            (json!({}), false, false),
            (json!(["env"]), false, false),
            // Some upstreams take the one for the other.
            (json!({ "Env": "staging" }), false, true),
            (json!({ "env": "staging", "ENV": "prod" }), false, true),
            (json!({ "env": "prod", "enV": ["test"] }), false, true),
        ] {
            assert_eq!(wanted.is_argument(&arguments), allowed, "{arguments}");
            assert_eq!(wanted.is_among_arguments(&arguments), denied, "{arguments}");
        }
    }

    #[test]
    fn numbers_are_told_apart_however_large() {
        for (one, other, expected) in [
            (json!(1), json!(1.0), true),
            (json!(-1), json!(-1.0), true),
            (json!(1), json!(1.5), false),
            (
                json!(9_007_199_254_740_993_u64),
                json!(9_007_199_254_740_992_u64),
                false,
            ),
            (
                json!(9_007_199_254_740_993_u64),
                json!(9_007_199_254_740_992.0),
                false,
            ),
            (json!(u64::MAX), json!(u64::MAX), true),
            (json!(u64::MAX), json!(18_446_744_073_709_551_615.0), false),
        ] {
            assert_eq!(equal(&one, &other), expected, "{one} {other}");
        }
    }

    #[test]
    fn what_can_never_be_met_is_refused() {
        for value in [json!([]), json!({}), json!([["a"]])] {
            assert!(Wanted::new("acr", &value).is_err(), "{value}");
        }
    }
}
