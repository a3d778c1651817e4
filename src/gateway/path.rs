//! The gateways that a request has passed, or that an entry of a list came through.
//!
//! Both are said in `_meta`, and only between gateways. A request brings its path with it: one that
//! comes round to where it was is refused, and so is one that passed too many. A gateway that reads a
//! list asks for the paths of its entries by a path in the request, which is empty; what came through
//! that gateway already is left out there, or two that are each other's upstream would list each other's
//! lists without end.

use super::envelope::Envelope;
use crate::protocol::jsonrpc::Params;
use crate::protocol::members::Members;
use crate::protocol::meta::{self, PATH_KEY};
use crate::protocol::raw::RawJson;
use crate::service::ServiceError;

/// A gateway among gateways.
#[derive(Clone, Debug)]
pub(super) struct Hop {
    /// Names it; the same at all nodes.
    pub(super) me: String,
    /// How many gateways a request may pass.
    pub(super) max: usize,
}

impl Hop {
    /// The path of a request that goes on from here.
    ///
    /// # Errors
    /// When it has been here before, or passed as many gateways as it may.
    pub(super) fn after(&self, params: &Params) -> Result<Vec<String>, ServiceError> {
        let mut path = meta::path(params).unwrap_or_default();
        let passed = || path.join(" → ");
        if path.contains(&self.me) {
            let what = format!(
                "this call goes round in circles: {} → {}",
                passed(),
                self.me
            );
            return Err(ServiceError::InvalidParams(what));
        }
        if path.len() >= self.max {
            let what = format!(
                "this call passed {} gateways, as many as it may: {}",
                path.len(),
                passed()
            );
            return Err(ServiceError::InvalidParams(what));
        }
        path.push(self.me.clone());
        Ok(path)
    }

    /// Whether an entry that came like this is of any use here: no call of another would arrive.
    pub(super) fn takes(&self, path: &[String]) -> bool {
        path.len() < self.max && !path.contains(&self.me)
    }

    /// Writes an entry that came like this, for a gateway that asked for its path.
    pub(super) fn push(&self, entry: &str, path: &[String], out: &mut String) {
        let Some(mut entry) = Members::of(entry) else {
            return out.push_str(entry);
        };
        let meta = entry.get("_meta").and_then(Members::of);
        let mut meta = meta.unwrap_or_default();
        let path = path.iter().chain([&self.me]).collect::<Vec<_>>();
        meta.set(PATH_KEY, RawJson::of(&path).as_str().to_owned());
        let meta = meta.to_string();
        entry.set("_meta", meta);
        entry.push_to(out);
    }
}

/// Tells the upstream whom the request has passed.
pub(super) fn bring(envelope: &mut Envelope, path: &[String]) {
    envelope.pass(PATH_KEY, RawJson::of(path).as_str());
}

/// Asks the upstream for the paths of what it lists.
pub(super) fn ask(envelope: &mut Envelope) {
    bring(envelope, &[]);
}

/// Whether these are the params of a gateway that asks for paths.
pub(super) fn is_asked_for(params: &Params) -> bool {
    meta::path(params).is_some()
}

/// Whether an entry says which gateways it came through.
pub(super) fn is_said_of(entry: &RawJson) -> bool {
    let entry = Members::of(entry.as_str());
    let meta = entry.as_ref().and_then(|entry| entry.get("_meta"));
    let meta = meta.and_then(Members::of);
    meta.is_some_and(|meta| of(&meta).is_some())
}

/// Takes the path out of the `_meta` of an entry; whether there was one.
pub(super) fn take(meta: &mut Members<'_>) -> Option<Vec<String>> {
    let path = of(meta);
    meta.remove(PATH_KEY).map(|_| path.unwrap_or_default())
}

fn of(meta: &Members<'_>) -> Option<Vec<String>> {
    serde_json::from_str(meta.get(PATH_KEY)?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn hop() -> Hop {
        Hop {
            me: "b".to_owned(),
            max: 3,
        }
    }

    fn passed(path: &Value) -> Params {
        Params::new(RawJson::of(&json!({"_meta": {"switchboard/path": path}})))
    }

    fn path(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_request_goes_on_unless_it_was_here_or_passed_enough() {
        for (before, after) in [
            (json!([]), Ok(path(&["b"]))),
            (json!(["a", "c"]), Ok(path(&["a", "c", "b"]))),
            (json!("a"), Ok(path(&["b"]))),
            (json!(["b", "a"]), Err("goes round in circles: b → a → b")),
            (
                json!(["a", "c", "d"]),
                Err("passed 3 gateways, as many as it may: a → c → d"),
            ),
        ] {
            let gone_on = hop().after(&passed(&before));
            let gone_on = gone_on.map_err(|error| error.to_string());
            match (gone_on, after) {
                (Ok(path), Ok(expected)) => assert_eq!(path, expected, "{before}"),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                (gone_on, _) => panic!("{before}: {gone_on:?}"),
            }
        }
        assert_eq!(hop().after(&Params::default()).unwrap(), ["b"]);
    }

    #[test]
    fn paths_are_asked_for_by_an_empty_one() {
        assert!(is_asked_for(&passed(&json!([]))));
        assert!(!is_asked_for(&Params::default()));
        assert!(!is_asked_for(&Params::new(RawJson::of(
            &json!({"_meta": {}})
        ))));
    }

    #[test]
    fn an_entry_brings_its_path_and_is_of_no_use_where_it_was() {
        let mut out = String::new();
        let listed = r#"{"name":"x","_meta":{"k":1.0},"z":1}"#;
        hop().push(listed, &path(&["a"]), &mut out);
        let expected = r#"{"name":"x","_meta":{"k":1.0,"switchboard/path":["a","b"]},"z":1}"#;
        assert_eq!(out, expected);
        out.clear();
        hop().push(r#"{"name":"x"}"#, &[], &mut out);
        assert_eq!(out, r#"{"name":"x","_meta":{"switchboard/path":["b"]}}"#);

        let mut meta = Members::of(r#"{"switchboard/path":["a"],"k":1.0}"#).unwrap();
        assert_eq!(take(&mut meta), Some(path(&["a"])));
        assert_eq!(
            (meta.to_string(), take(&mut meta)),
            (r#"{"k":1.0}"#.into(), None)
        );

        for (entry, is_said) in [
            (r#"{"_meta":{"switchboard/path":["a"]}}"#, true),
            (r#"{"description":"switchboard/path"}"#, false),
            (r#"{"_meta":{"switchboard/path":1}}"#, false),
        ] {
            let entry = RawJson::from_valid(entry.to_owned());
            assert_eq!(is_said_of(&entry), is_said, "{}", entry.as_str());
        }

        assert!(hop().takes(&path(&["a", "c"])));
        assert!(!hop().takes(&path(&["b", "a"])), "it came from here");
        assert!(
            !hop().takes(&path(&["a", "c", "d"])),
            "no call would arrive"
        );
    }
}
