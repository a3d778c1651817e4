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
const PARENT: &str = KEYS[0];
const STATE: &str = KEYS[1];
/// Longest value that is repeated as a header: what W3C Baggage asks everybody to take.
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// The params with this trace in their `_meta`; `None` when they say one already, or have no place
/// for it. A `traceparent` in `_meta` that is none hides no better one, and what it came with as
/// `tracestate` goes with it.
#[must_use]
pub fn with_trace(params: Option<&RawJson>, trace: &[(&'static str, String)]) -> Option<RawJson> {
    let mut members = Members::of(params.map_or("{}", RawJson::as_str))?;
    let mut meta = Members::of(members.get("_meta").unwrap_or("{}"))?;
    if meta.get(PARENT).is_some() {
        let has_better = trace
            .iter()
            .any(|(key, value)| *key == PARENT && id_in(value).is_some());
        let is_said = meta
            .string(PARENT)
            .is_some_and(|parent| id_in(&parent).is_some());
        if is_said || !has_better {
            return None;
        }
        meta.remove(STATE);
    } else if KEYS.iter().any(|key| meta.get(key).is_some()) {
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
    // Nearly no request says anything.
    if !params.contains(PARENT) {
        return None;
    }
    let params = Members::of(params)?;
    let meta = Members::of(params.get("_meta")?)?;
    id_in(&meta.string(PARENT)?).map(str::to_owned)
}

/// The id in a `traceparent`, if that is one: W3C Trace Context, "traceparent Header Field Values" and
/// "Versioning of traceparent".
fn id_in(parent: &str) -> Option<&str> {
    let mut fields = parent.splitn(5, '-');
    let mut hex = |digits: usize| {
        let is_hex = |it: u8| matches!(it, b'0'..=b'9' | b'a'..=b'f');
        let field = fields.next()?;
        (field.len() == digits && field.bytes().all(is_hex)).then_some(field)
    };
    let (version, id, parent_id, _flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    // Only versions that are not written yet may have more.
    let is_ended = fields.next().is_none() || version != "00";
    let is_set = |id: &str| id.bytes().any(|digit| digit != b'0');
    (version != "ff" && is_ended && is_set(id) && is_set(parent_id)).then_some(id)
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

    const PARENT_OF_OURS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_is_known_by_the_id_of_its_parent() {
        let id_of = |parent: &str| id(&format!(r#"{{"_meta":{{"traceparent":"{parent}"}}}}"#));
        let its_id = Some("0af7651916cd43dd8448eb211c80319c".to_owned());
        for right in [
            PARENT_OF_OURS,
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more-of-it",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
        ] {
            assert_eq!(id_of(right), its_id, "{right}");
        }
        for wrong in [
            "",
            "00",
            "00-0af7",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0A-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
            "00-0af7651916cd43dd8448eb211c80319c-B7AD6B7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(id_of(wrong), None, "{wrong}");
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
    fn a_trace_that_is_none_hides_no_other() {
        let good = [(PARENT, PARENT_OF_OURS.to_owned())];
        let wrong = [(PARENT, "00-0-0-0".to_owned()), (STATE, "a=1".to_owned())];
        let said = |meta: &str, trace: &[(&'static str, String)]| {
            let params = RawJson::from_valid(format!(r#"{{"_meta":{meta}}}"#));
            with_trace(Some(&params), trace).map(|with| with.as_str().to_owned())
        };
        let replaced =
            format!(r#"{{"_meta":{{"traceparent":"{PARENT_OF_OURS}","baggage":"k=v"}}}}"#);
        for nonsense in [r#""x""#, "7", r#""ff-0-0-0""#] {
            let meta =
                format!(r#"{{"traceparent":{nonsense},"tracestate":"of=it","baggage":"k=v"}}"#);
            assert_eq!(said(&meta, &good).as_ref(), Some(&replaced), "{nonsense}");
            assert_eq!(
                said(&meta, &wrong),
                None,
                "{nonsense}: the other is no better"
            );
        }
        let other = PARENT_OF_OURS.replace("0af7", "0af8");
        let meta = format!(r#"{{"traceparent":"{other}"}}"#);
        assert_eq!(
            said(&meta, &good),
            None,
            "what the message says stands first"
        );
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
                &*format!(r#""k":1,"traceparent":"{PARENT_OF_OURS}""#),
                Some((KEYS[0], PARENT_OF_OURS)),
            ),
            (r#""baggage":"k=\"v\"""#, Some((KEYS[2], r#"k="v""#))),
        ] {
            let headers = headers(members);
            let headers = headers.iter().map(|(name, value)| (*name, &**value));
            assert_eq!(headers.collect::<Vec<_>>(), Vec::from_iter(expected));
        }
    }
}
