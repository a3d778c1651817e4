//! Which extensions pass, declared by either side.
//!
//! MCP Apps always do: they need nothing of a gateway. Others have methods, results and names of their
//! own, which mean what they mean only where one upstream is all there is and nothing is renamed: there
//! all pass but tasks, which each hop makes for itself.
//!
//! A session with an upstream is shared by clients that can be asked the same, so what else they declare is
//! no part of it: to an upstream of the session era only MCP Apps are declared.
//!
//! Spec: 2026-07-28 basic/index, capabilities; extensions.

use serde_json::{Map, Value};

use super::capability_set::CapabilitySet;
use crate::protocol::capabilities::{APPS_EXTENSION, ClientCapabilities, TASKS_EXTENSION};
use crate::protocol::raw::RawJson;
use crate::protocol::version::{Era, ProtocolVersion};

/// What `servers`, as each describes itself, declare together.
pub(in crate::gateway) fn offered<'a>(
    servers: impl Iterator<Item = &'a Value>,
    passes_all: bool,
) -> Map<String, Value> {
    let declared = servers.filter_map(|server| server["capabilities"]["extensions"].as_object());
    let mut offered = Map::new();
    for (name, settings) in declared.flatten() {
        if passes(name, passes_all) && !offered.contains_key(name) {
            offered.insert(name.clone(), settings.clone());
        }
    }
    offered
}

/// What a client of `version` declared, as an upstream of the stateless era is told with each request.
pub(in crate::gateway) fn declared(
    capabilities: &ClientCapabilities,
    version: ProtocolVersion,
    passes_all: bool,
) -> RawJson {
    let raw = &capabilities.raw;
    let known = match version.era() {
        Era::Session => {
            let set = CapabilitySet::of(capabilities, version);
            let known = set.declaration(ProtocolVersion::NEWEST);
            if !passes_all || !names(raw, "extensions") {
                return known;
            }
            Some(known)
        }
        Era::Stateless if !names(raw, "extensions") && !names(raw, "tasks") => return raw.clone(),
        Era::Stateless => None,
    };
    let mut declared = raw.to_value();
    let theirs = declared.get_mut("extensions").map(Value::take);
    if let Some(known) = known {
        declared = known.to_value();
    }
    if let Value::Object(declared) = &mut declared {
        declared.remove("tasks");
        if let Some(Value::Object(mut extensions)) = theirs {
            extensions.retain(|name, _| passes(name, passes_all));
            declared.insert("extensions".to_owned(), extensions.into());
        }
    }
    RawJson::of(&declared)
}

fn passes(extension: &str, passes_all: bool) -> bool {
    extension == APPS_EXTENSION || (passes_all && extension != TASKS_EXTENSION)
}

/// Whether a member of this name may be there: most clients declare none, unless they write it with
/// escapes.
fn names(capabilities: &RawJson, name: &str) -> bool {
    capabilities.as_str().contains(name) || capabilities.as_str().contains('\\')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::capabilities::APP_MIME_TYPE;
    use ProtocolVersion::{V2025_11_25, V2026_07_28};

    fn extensions(names: &[&str]) -> Value {
        let settings = |name: &&str| ((*name).to_owned(), json!({"mimeTypes": [APP_MIME_TYPE]}));
        let extensions = names.iter().map(settings).collect::<Map<_, _>>();
        json!({"extensions": extensions})
    }

    const ALL: &[&str] = &[APPS_EXTENSION, "acme/reports", TASKS_EXTENSION];
    const APPS: &[&str] = &[APPS_EXTENSION];
    const OF_ONE: &[&str] = &[APPS_EXTENSION, "acme/reports"];

    #[test]
    fn all_that_one_upstream_declares_passes_but_tasks() {
        let servers = [
            json!({"capabilities": extensions(ALL)}),
            json!({"capabilities": {}}),
        ];
        for (passes_all, passing) in [(true, OF_ONE), (false, APPS)] {
            let offered = offered(servers.iter(), passes_all);
            assert_eq!(Value::from(offered), extensions(passing)["extensions"]);
        }
    }

    #[test]
    fn all_that_a_client_declares_passes_to_one_upstream_but_tasks() {
        for (version, passes_all, passing) in [
            (V2026_07_28, true, OF_ONE),
            (V2026_07_28, false, APPS),
            (V2025_11_25, true, OF_ONE),
            (V2025_11_25, false, APPS),
        ] {
            let raw = RawJson::of(&extensions(ALL));
            let capabilities = ClientCapabilities::parse(raw).unwrap();
            let declared = declared(&capabilities, version, passes_all);
            assert_eq!(declared.to_value(), extensions(passing), "{version}");
        }
    }

    #[test]
    fn tasks_of_the_session_era_do_not_pass() {
        let raw = RawJson::of(&json!({"tasks": {}, "sampling": {}}));
        let capabilities = ClientCapabilities::parse(raw).unwrap();
        let declared = declared(&capabilities, V2026_07_28, true);
        assert_eq!(declared.to_value(), json!({"sampling": {}}));
    }
}
