//! Our client against the servers of the official conformance suite, through the shipped command; and
//! a gateway before those servers, which is their client then, with the command before it.
//!
//! Authorization is the gateway's: it has an account with the suite's servers, and somebody who logs in to
//! it in a browser.

use std::path::Path;

use futures_util::{StreamExt as _, stream};
use serde_json::Value;

use crate::world::server::binary;
use crate::world::tools::{installed, node, python, root, run};

/// What drives our client: the command, or the command through a gateway.
const DRIVERS: [&str; 2] = ["conformance.sh", "conformance_gateway.sh"];
/// The suite's versions: the released one, and the one that knows all revisions.
const RELEASED: &str = "conformance-0.1";
const NEWEST: &str = "conformance-0.2";
/// What a revision requires and what the suite checks beyond that, on its own wire.
const WITH_SESSIONS: [&str; 5] = [
    "initialize",
    "tools_call",
    "elicitation-sep1034-client-defaults",
    "sse-retry",
    "json-schema-2020-12-preservation",
];
const WITHOUT_SESSIONS: [&str; 8] = [
    "tools_call",
    "request-metadata",
    "http-standard-headers",
    "http-custom-headers",
    "http-invalid-tool-headers",
    "json-schema-ref-no-deref",
    "sep-2322-client-request-state",
    "json-schema-2020-12-preservation",
];

/// The same of authorization, in both revisions.
const AUTHORIZATION: [&str; 14] = [
    "auth/metadata-default",
    "auth/metadata-var1",
    "auth/metadata-var2",
    "auth/metadata-var3",
    "auth/basic-cimd",
    "auth/scope-from-www-authenticate",
    "auth/scope-from-scopes-supported",
    "auth/scope-omitted-when-undefined",
    "auth/scope-step-up",
    "auth/scope-retry-limit",
    "auth/token-endpoint-auth-basic",
    "auth/token-endpoint-auth-post",
    "auth/token-endpoint-auth-none",
    "auth/pre-registration",
];
/// What came to that with 2026-07-28.
const AUTHORIZATION_WITHOUT_SESSIONS: [&str; 11] = [
    "auth/resource-mismatch",
    "auth/offline-access-scope",
    "auth/offline-access-not-supported",
    "auth/authorization-server-migration",
    "auth/iss-supported",
    "auth/iss-not-advertised",
    "auth/iss-supported-missing",
    "auth/iss-wrong-issuer",
    "auth/iss-unexpected",
    "auth/iss-normalized",
    "auth/metadata-issuer-mismatch",
];
/// Servers that are their own authorization servers.
const AUTHORIZATION_OF_OLD: [&str; 2] = [
    "auth/2025-03-26-oauth-metadata-backcompat",
    "auth/2025-03-26-oauth-endpoint-fallback",
];
/// Extensions: machines, and employees whose company vouches for them.
const AUTHORIZATION_EXTENSIONS: [&str; 3] = [
    "auth/client-credentials-jwt",
    "auth/client-credentials-basic",
    "auth/enterprise-managed-authorization",
];

/// Scenarios of authorization that run at once.
const AT_ONCE: usize = 4;

/// A scenario of the suite; of a revision where it knows several.
#[derive(Clone, Copy, Debug)]
struct Scenario<'a> {
    suite: &'static str,
    name: &'a str,
    version: Option<&'a str>,
}

/// Runs a scenario of the suite, which must have checks that passed and none that failed or warned.
async fn passes(scenario: &str, version: &str, driver: &str) {
    let scenario = Scenario {
        suite: NEWEST,
        name: scenario,
        version: Some(version),
    };
    passes_of(scenario, driver).await;
}

async fn passes_of(scenario: Scenario<'_>, driver: &str) {
    let results = tempfile::tempdir().unwrap();
    let driver = root().join("tests/clients").join(driver);
    let mut suite = node();
    let program = format!("node_modules/{}/dist/index.js", scenario.suite);
    suite
        .arg(installed(&program))
        .args(["client", "--scenario", scenario.name]);
    if let Some(version) = scenario.version {
        suite.args(["--spec-version", version]);
    }
    suite
        .args(["--timeout", "60000", "--command"])
        .arg(driver)
        .arg("-o")
        .arg(results.path())
        .env("SWITCHBOARD_BINARY", binary())
        .env("PYTHON", python("python-v2").as_std().get_program());
    run(suite).await;
    let checks = checks(results.path());
    let of = |status: &str| {
        checks
            .iter()
            .filter(|check| check["status"] == status)
            .count()
    };
    assert!(!checks.is_empty(), "{scenario:?}");
    assert_eq!(
        of("FAILURE") + of("WARNING"),
        0,
        "{scenario:?}: {checks:#?}"
    );
    assert_ne!(of("SUCCESS"), 0, "{scenario:?}: {checks:#?}");
}

/// The one file that the suite wrote, however deep it lies.
fn checks(results: &Path) -> Vec<Value> {
    let mut folder = results.to_owned();
    loop {
        let file = folder.join("checks.json");
        if file.exists() {
            return serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        }
        let mut folders = std::fs::read_dir(&folder).unwrap();
        let next = folders.next().expect("the suite writes its checks");
        folder = next.unwrap().path();
    }
}

/// What the suite requires of clients in this revision.
async fn required(version: &str) -> Vec<String> {
    let mut suite = node();
    suite
        .arg(installed("node_modules/conformance-0.2/dist/index.js"))
        .args(["list", "--requirements", version]);
    let listed = run(suite).await.stdout;
    let (_, of_clients) = listed.split_once("\nClient scenarios").unwrap();
    let (of_clients, _) = of_clients.split_once("\n\n").unwrap();
    let names = of_clients
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "));
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn nothing_that_is_required_of_clients_is_left_out() {
    for (version, run) in [
        ("2025-11-25", WITH_SESSIONS.to_vec()),
        (
            "2026-07-28",
            [&WITHOUT_SESSIONS[..], &AUTHORIZATION_WITHOUT_SESSIONS].concat(),
        ),
    ] {
        let required = required(version).await;
        assert!(!required.is_empty(), "{version}");
        for name in required {
            let of_both = AUTHORIZATION.contains(&&*name);
            assert!(
                of_both || run.contains(&&*name),
                "{version} requires {name}"
            );
        }
    }
}

#[tokio::test]
async fn the_client_and_the_gateway_conform_with_sessions() {
    for driver in DRIVERS {
        for scenario in WITH_SESSIONS {
            passes(scenario, "2025-11-25", driver).await;
        }
    }
}

#[tokio::test]
async fn the_client_and_the_gateway_conform_without_sessions() {
    for driver in DRIVERS {
        for scenario in WITHOUT_SESSIONS {
            passes(scenario, "2026-07-28", driver).await;
        }
    }
}

/// Runs these through the gateway, some at once: each waits for others most of its time.
async fn the_gateway_passes(suite: &'static str, names: &[&str], version: Option<&str>) {
    let scenarios = names.iter().map(|name| Scenario {
        suite,
        name,
        version,
    });
    stream::iter(scenarios)
        .for_each_concurrent(AT_ONCE, |scenario| passes_of(scenario, DRIVERS[1]))
        .await;
}

#[tokio::test]
async fn the_gateway_is_let_in_with_sessions() {
    the_gateway_passes(NEWEST, &AUTHORIZATION, Some("2025-11-25")).await;
    the_gateway_passes(NEWEST, &AUTHORIZATION_OF_OLD, Some("2025-03-26")).await;
}

#[tokio::test]
async fn the_gateway_is_let_in_without_sessions() {
    let all = [&AUTHORIZATION[..], &AUTHORIZATION_WITHOUT_SESSIONS].concat();
    the_gateway_passes(NEWEST, &all, Some("2026-07-28")).await;
}

#[tokio::test]
async fn machines_and_employees_are_let_in() {
    the_gateway_passes(NEWEST, &AUTHORIZATION_EXTENSIONS, None).await;
}

/// Of the released suite all it has, drafts and extensions included.
#[tokio::test]
async fn the_gateway_is_let_in_as_the_released_suite_has_it() {
    let further = [
        "auth/resource-mismatch",
        "auth/offline-access-scope",
        "auth/offline-access-not-supported",
        "auth/client-credentials-jwt",
        "auth/client-credentials-basic",
        "auth/cross-app-access-complete-flow",
    ];
    let all = [&AUTHORIZATION[..], &AUTHORIZATION_OF_OLD, &further].concat();
    the_gateway_passes(RELEASED, &all, None).await;
}
