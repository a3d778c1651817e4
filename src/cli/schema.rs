//! `switchboard schema`: the JSON Schema of the configuration, for editors.

use schemars::generate::SchemaSettings;

use crate::config::raw::Raw;

pub(super) fn run() -> u8 {
    super::answer(&format_args!("{:#}", schema()))
}

/// Draft 7, because that is what editors' TOML plugins read.
fn schema() -> serde_json::Value {
    SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<Raw>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_descriptions_and_defaults() {
        let schema = schema();
        assert_eq!(schema["additionalProperties"], false);
        let limits = &schema["definitions"]["Limits"]["properties"];
        assert!(limits["body"]["description"].is_string(), "{limits:#}");
        assert_eq!(limits["body"]["default"], "4MiB");
        assert_eq!(limits["header_count"]["default"], 64);
        let store = &schema["definitions"]["Store"]["properties"]["url"];
        assert_eq!(store["default"], "embedded:./switchboard-data");
    }

    #[test]
    fn the_schema_is_a_schema_and_takes_a_configuration() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        let configuration = serde_json::json!({
            "server": { "listen": "127.0.0.1:0", "limits": { "body": "1MiB" } },
            "endpoints": { "main": { "builtin": "demo" } },
        });
        assert!(validator.is_valid(&configuration));
        let wrong = serde_json::json!({ "server": { "lisen": "127.0.0.1:0" } });
        assert!(!validator.is_valid(&wrong));
        let wrong = serde_json::json!({ "server": { "limits": { "body": "4MB" } } });
        assert!(!validator.is_valid(&wrong));
        let upstream = |upstream| serde_json::json!({ "upstreams": { "a": upstream } });
        let right = upstream(serde_json::json!({
            "command": ["npx", "server"],
            "env": { "TOKEN": "env:TOKEN" },
            "roots": ["file:///srv", { "uri": "file:///home", "name": "Home" }],
            "breaker": { "failure_rate": 0.25 },
        }));
        assert!(validator.is_valid(&right));
        let wrong = upstream(serde_json::json!({ "command": "npx server" }));
        assert!(!validator.is_valid(&wrong));
    }
}
