//! What is built into Switchboard: the dependency tree is held to `deny.toml`.
//!
//! `cargo deny check licenses bans sources` does the same and more, where it is installed; this needs
//! cargo alone. Licences are read as SPDX expressions from the manifests, not from licence files.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;
use spdx::{Expression, LicenseReq};

/// What is read of `deny.toml`.
#[derive(Deserialize)]
struct Rules {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

/// What is read of `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
}

#[derive(Clone, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    /// Where it is fetched from; none for what is in this repository.
    source: Option<String>,
}

/// How the one index that crates come from is written by cargo.
const INDEX: (&str, &str) = ("registry+https://", "/crates.io-index");
/// Fewer packages than this are not the tree.
const AT_LEAST: usize = 300;

fn rules() -> Rules {
    toml::from_str(include_str!("../deny.toml"))
        .expect("deny.toml has the parts that are read here")
}

/// Everything that is built for the platforms of `deny.toml`, with all features, but for our own.
fn foreign_packages(rules: &Rules) -> Vec<Package> {
    let mut packages = BTreeMap::new();
    for target in &rules.graph.targets {
        let output = Command::new(env!("CARGO"))
            .args([
                "metadata",
                "--format-version=1",
                "--locked",
                "--all-features",
            ])
            .args(["--filter-platform", target])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo metadata: {complaint}");
        let metadata: Metadata = serde_json::from_slice(&output.stdout).expect("it is JSON");
        let built: BTreeSet<_> = metadata.resolve.nodes.into_iter().map(|it| it.id).collect();
        let built = |package: &Package| built.contains(&package.id) && package.source.is_some();
        let found = metadata.packages.into_iter().filter(built);
        packages.extend(found.map(|package| (package.id.clone(), package)));
    }
    assert!(packages.len() >= AT_LEAST, "{} packages", packages.len());
    packages.into_values().collect()
}

/// Why a package must not be in the tree.
fn complaint(rules: &Rules, package: &Package) -> Option<String> {
    let Package { name, version, .. } = package;
    if let Some(ban) = rules.bans.deny.iter().find(|ban| ban.name == *name) {
        return Some(format!("{name} {version} is banned: {}", ban.reason));
    }
    let source = package.source.as_deref().unwrap_or_default();
    if !(source.starts_with(INDEX.0) && source.ends_with(INDEX.1)) {
        return Some(format!("{name} {version} comes from {source}"));
    }
    let Some(license) = &package.license else {
        return Some(format!("{name} {version} names no licence"));
    };
    let expression = match Expression::parse_mode(license, spdx::ParseMode::LAX) {
        Ok(expression) => expression,
        Err(error) => return Some(format!("{name} {version}: `{license}`: {}", error.reason)),
    };
    let excepted = rules.licenses.exceptions.iter().find(|it| it.name == *name);
    let is_allowed = |required: &LicenseReq| {
        // `Apache-2.0 WITH LLVM-exception` allows more than the licence alone.
        let id = required.license.id().map(|id| id.name);
        id.is_some_and(|id| {
            rules.licenses.allow.contains(id) || excepted.is_some_and(|it| it.allow.contains(id))
        })
    };
    (!expression.evaluate(is_allowed)).then(|| format!("{name} {version}: `{license}`"))
}

#[test]
fn every_crate_is_allowed_by_its_licence_its_source_and_its_name() {
    let rules = rules();
    let packages = foreign_packages(&rules);
    let complaints: Vec<_> = packages
        .iter()
        .filter_map(|package| complaint(&rules, package))
        .collect();
    assert!(
        complaints.is_empty(),
        "deny.toml does not allow:\n{}",
        complaints.join("\n")
    );
    println!("{} crates are allowed by deny.toml", packages.len());
}

#[test]
fn what_deny_toml_does_not_allow_is_named() {
    let rules = rules();
    let index = &format!("{}index.test{}", INDEX.0, INDEX.1);
    let package = |name: &str, license: Option<&str>, source: &str| Package {
        id: String::new(),
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        license: license.map(str::to_owned),
        source: Some(source.to_owned()),
    };
    for (package, expected) in [
        (package("a", Some("MIT OR GPL-3.0-only"), index), None),
        (package("a", Some("MIT/Apache-2.0"), index), None),
        (
            package("a", Some("MIT AND GPL-3.0-only"), index),
            Some("a 1.0.0: `MIT AND GPL-3.0-only`"),
        ),
        (package("a", Some("MIT-0"), index), Some("a 1.0.0: `MIT-0`")),
        (package("borrow-or-share", Some("MIT-0"), index), None),
        (package("a", None, index), Some("a 1.0.0 names no licence")),
        (
            package("a", Some("MIT"), "git+https://example.com/a"),
            Some("a 1.0.0 comes from git+https://example.com/a"),
        ),
        (
            package("openssl-sys", Some("MIT"), index),
            Some("openssl-sys 1.0.0 is banned: one TLS: rustls; no system library to patch"),
        ),
    ] {
        assert_eq!(complaint(&rules, &package).as_deref(), expected);
    }
}
