//! The trace that a request belongs to, as its sender says: in `_meta`, and over HTTP in headers of the
//! same names.
//!
//! It is passed on, and its id is in the record of a call; nothing else follows from it here.
//!
//! Spec: 2026-07-28 basic/index, `_meta`; W3C Trace Context and Baggage.

use super::members::Members;
use super::raw::{self, RawJson};

/// What it is made of: keys of `_meta`, and names of headers.
pub const KEYS: [&str; 3] = ["traceparent", "tracestate", "baggage"];
/// Longest value that is repeated as a header: what W3C Baggage asks everybody to take.
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// The params with this trace in their `_meta`; `None` when they say one already, or have no place
/// for it.
#[must_use]
pub fn with_trace(params: Option<&RawJson>, trace: &[(&'static str, String)]) -> Option<RawJson> {
    let mut members = Members::of(params.map_or("{}", RawJson::as_str))?;
    let mut meta = Members::of(members.get("_meta").unwrap_or("{}"))?;
    if KEYS.iter().any(|key| meta.get(key).is_some()) {
        return None;
    }
    for (key, value) in trace {
        meta.set(key, RawJson::of(value).as_str().to_owned());
    }
    let meta = meta.to_string();
    members.set("_meta", meta);
    Some(RawJson::from_valid(members.to_string()))
}

/// The id of the trace that params belong to: 32 digits of their `traceparent`, if that is one.
#[must_use]
pub fn id(params: &str) -> Option<String> {
    const PARENT: &str = KEYS[0];
    // Nearly no request says anything.
    if !params.contains(PARENT) {
        return None;
    }
    let params = Members::of(params)?;
    let meta = Members::of(params.get("_meta")?)?;
    let parent = meta.string(PARENT)?;
    let mut parts = parent.split('-');
    let (version, id) = (parts.next()?, parts.next()?);
    let is_hex = |text: &str| {
        text.bytes()
            .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = version.len() == 2 && version != "ff" && id.len() == 32;
    let is_set = id.bytes().any(|digit| digit != b'0');
    (is_id && is_set && is_hex(version) && is_hex(id)).then(|| id.to_owned())
}

/// The headers that repeat what the members of a `_meta` say of a trace.
#[must_use]
pub fn headers(meta_members: &str) -> Vec<(&'static str, String)> {
    // Nearly no request says anything.
    if !KEYS.iter().any(|key| meta_members.contains(key)) {
        return Vec::new();
    }
    let meta = format!("{{{meta_members}}}");
    let is_header = |value: &str| {
        value.len() <= HEADER_BYTES_MAX && value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
    };
    let said = raw::entries(&meta);
    let header = |key: &'static str| {
        let (_, value) = said.iter().find(|(said, _)| said == key)?;
        let value = raw::string(value).filter(|value| is_header(value))?;
        Some((key, value.into_owned()))
    };
    KEYS.into_iter().filter_map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_is_known_by_the_id_of_its_parent() {
        let id_in = |parent: &str| id(&format!(r#"{{"_meta":{{"traceparent":"{parent}"}}}}"#));
        let its_id = Some("0af7651916cd43dd8448eb211c80319c".to_owned());
        assert_eq!(id_in(PARENT), its_id);
        assert_eq!(id_in(&format!("{PARENT}-more")), its_id);
        for wrong in [
            "",
            "00",
            "00-0af7",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        ] {
            assert_eq!(id_in(wrong), None, "{wrong}");
        }
        for elsewhere in ["{}", r#"{"traceparent":"x"}"#, r#"{"_meta":"traceparent"}"#] {
            assert_eq!(id(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn a_trace_finds_its_place_in_the_params() {
        let trace = [(KEYS[0], "p".to_owned()), (KEYS[2], "k=\"v\"".to_owned())];
        for (params, expected) in [
            (None, r#"{"_meta":{"traceparent":"p","baggage":"k=\"v\""}}"#),
            (
                Some(r#"{"name":"x","_meta":{"k":1.0},"z":2}"#),
                r#"{"name":"x","_meta":{"k":1.0,"traceparent":"p","baggage":"k=\"v\""},"z":2}"#,
            ),
        ] {
            let params = params.map(RawJson::from_valid);
            let with = with_trace(params.as_ref(), &trace).unwrap();
            assert_eq!(with.as_str(), expected);
        }
        for params in [
            r#"{"_meta":{"traceparent":"q"}}"#,
            r#"{"_meta":{"tracest\u0061te":"q"}}"#,
            r#"{"_meta":1}"#,
        ] {
            let params = RawJson::from_valid(params);
            assert_eq!(
                with_trace(Some(&params), &trace),
                None,
                "{}",
                params.as_str()
            );
        }
    }

    #[test]
    fn headers_repeat_what_a_header_can_hold() {
        let long = format!(r#""baggage":"{}""#, "x".repeat(HEADER_BYTES_MAX + 1));
        for (members, expected) in [
            ("", None),
            (r#""traceparent":1"#, None),
            (r#""x":"traceparent""#, None),
            (r#""baggage":"k=é""#, None),
            (r#""traceparent":"a\r\nX: y""#, None),
            (&*long, None),
            (
                &*format!(r#""k":1,"traceparent":"{PARENT}""#),
                Some((KEYS[0], PARENT)),
            ),
            (r#""baggage":"k=\"v\"""#, Some((KEYS[2], r#"k="v""#))),
        ] {
            let headers = headers(members);
            let headers = headers.iter().map(|(name, value)| (*name, &**value));
            assert_eq!(headers.collect::<Vec<_>>(), Vec::from_iter(expected));
        }
    }
}
