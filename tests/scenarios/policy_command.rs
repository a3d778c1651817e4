//! `switchboard policy` from the shell, and what docs/policy.md shows of it.

use std::path::Path;

use tempfile::TempDir;
use tokio::process::Command;

use crate::world::command::{Ended, run};
use crate::world::server::binary;

/// The blocks of one language in docs/policy.md.
fn blocks(language: &str) -> Vec<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy.md");
    let page = std::fs::read_to_string(page).expect("there is a page");
    let begin = format!("```{language}\n");
    let blocks = page.split(&begin).skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap_or_default().to_owned());
    blocks.collect()
}

/// A directory with the example of the page.
fn example() -> TempDir {
    let directory = TempDir::new().unwrap();
    let [configuration, cases] = blocks("toml").try_into().expect("the page has both");
    std::fs::write(directory.path().join("switchboard.toml"), configuration).unwrap();
    std::fs::write(directory.path().join("cases.toml"), cases).unwrap();
    directory
}

async fn policy(directory: &Path, typed: &[&str]) -> Ended {
    let all: Vec<&str> = ["policy"].iter().chain(typed).copied().collect();
    run(directory, &all).await
}

/// The version of the policy stands at the end of a line.
fn without_version(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.is_empty());
    let lines = lines.map(|line| match line.split_once("policy: ") {
        Some(("", version)) if version.len() == 16 => "policy: VERSION".to_owned(),
        _ => match line.rsplit_once(", policy ") {
            Some((before, version)) if version.len() == 16 => format!("{before}, policy VERSION"),
            _ => line.to_owned(),
        },
    });
    lines.collect()
}

#[tokio::test]
async fn what_the_page_types_answers_what_the_page_prints() {
    let directory = example();
    let shown = blocks("console").concat();
    let is_typed = |line: &&str| line.starts_with("$ ");
    let script: Vec<_> = shown
        .lines()
        .filter(is_typed)
        .map(|line| &line[2..])
        .collect();
    assert!(script.len() >= 3, "{script:?}");
    let place = binary();
    let path = format!(
        "{}:{}",
        place.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );

    let ran = Command::new("bash")
        .args(["-c", &script.join("\n")])
        .env("PATH", path)
        .current_dir(directory.path())
        .output();

    let ran = ran.await.expect("bash runs");
    let printed = String::from_utf8(ran.stdout).unwrap();
    let expected = shown
        .lines()
        .filter(|line| !is_typed(line))
        .collect::<Vec<_>>();
    let expected = without_version(&expected.join("\n"));
    assert_eq!(without_version(&printed), expected, "{:?}", ran.stderr);
}

#[tokio::test]
async fn a_case_that_is_decided_otherwise_fails_and_says_what_decided_it() {
    let directory = example();
    let path = directory.path();
    std::fs::write(
        path.join("cases.json"),
        r#"{ "cases": [
            { "caller": { "roles": ["analyst"] }, "name": "crm.search", "expect": "allowed" },
            { "caller": { "roles": ["analyst"] }, "name": "crm.drop", "expect": "allowed" },
            { "caller": { "roles": ["admin"] }, "name": "crm.drop", "expect": "allowed",
              "rule": "roles.analyst.allow[0]" }
        ] }"#,
    )
    .unwrap();

    let ended = policy(path, &["test", "cases.json"]).await;

    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    for said in [
        "cases.json: cases[1]: expected allowed, but tool `crm.drop`: hidden",
        "decided by: no rule of these roles allows it",
        "cases.json: cases[2]: expected to be decided by roles.analyst.allow[0], but tool",
        "decided by: the role `admin`, which may do everything",
        "2 of 3 cases failed",
    ] {
        assert!(ended.err.contains(said), "{said}");
    }
    assert!(!ended.err.contains("cases[0]"), "it is right");
}

#[tokio::test]
async fn a_file_without_cases_or_with_unknown_keys_is_no_test() {
    let directory = example();
    let path = directory.path();
    for (text, said) in [
        ("cases = []", "there are no cases"),
        ("", "missing field `cases`"),
        (
            "[[cases]]\nname = 'a'\nexpect = 'allow'",
            "unknown variant `allow`",
        ),
        (
            "[[cases]]\nname = 'a'\nexpect = 'hidden'\ntools = 'b'",
            "unknown field `tools`",
        ),
    ] {
        std::fs::write(path.join("cases.toml"), text).unwrap();
        let ended = policy(path, &["test", "cases.toml"]).await;
        assert_eq!(ended.code, 2, "{text}");
        assert!(ended.err.contains(said), "{text}: {}", ended.err);
    }
    let ended = policy(path, &["test", "none.toml"]).await;
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.contains("none.toml: cannot be read"),
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn a_configuration_that_is_wrong_decides_nothing() {
    let directory = example();
    let path = directory.path();
    let wrong = "[roles.a]\ninherits = ['b']";
    std::fs::write(path.join("switchboard.toml"), wrong).unwrap();
    for typed in [["test", "cases.toml"], ["explain", "crm.search"]] {
        let ended = policy(path, &typed).await;
        assert_eq!((ended.code, ended.out.as_str()), (2, ""));
        let said = "switchboard.toml:2: roles.a.inherits: there is no role \"b\"";
        assert!(ended.err.contains(said), "{}", ended.err);
    }
}
