//! `switchboard policy test`: cases with the decisions they expect.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::KindChoice;
use super::who::Who;
use crate::cli::{FAILED, USAGE};
use crate::policy::Policy;
use crate::policy::access::{RuleId, Target};
use crate::protocol::raw::RawJson;

/// What `policy test` takes.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A file of cases: TOML, or JSON if its name ends in .json
    file: PathBuf,
}

/// A file of cases.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cases: Vec<Case>,
}

/// One call, and how it is to be decided.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    caller: Who,
    #[serde(default)]
    kind: KindChoice,
    name: String,
    #[serde(default)]
    arguments: Option<Map<String, Value>>,
    expect: Expected,
    /// The rule that is to decide, if that matters.
    #[serde(default)]
    rule: Option<String>,
}

/// A decision by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expected {
    Allowed,
    Hidden,
    Refused,
    NeedsScopes,
}

impl Expected {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Hidden => "hidden",
            Self::Refused => "refused",
            Self::NeedsScopes => "needs_scopes",
        }
    }
}

pub(super) fn run(policy: &Policy, args: &Args) -> u8 {
    let name = args.file.display();
    let cases = match read(&args.file) {
        Ok(cases) => cases,
        Err(problem) => {
            crate::cli::complain(&format_args!("{name}: {problem}"));
            return USAGE;
        }
    };
    let mut failed = 0;
    for (at, case) in cases.iter().enumerate() {
        if let Some(failure) = failure(policy, case) {
            failed += 1;
            crate::cli::complain(&format_args!("{name}: cases[{at}]: {failure}"));
        }
    }
    if failed > 0 {
        crate::cli::complain(&format_args!("{failed} of {} cases failed", cases.len()));
        return FAILED;
    }
    let (count, version) = (cases.len(), policy.version());
    crate::cli::answer(&format_args!("ok: {count} cases, policy {version}"))
}

fn read(file: &Path) -> Result<Vec<Case>, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("cannot be read: {error}"))?;
    let is_json = file
        .extension()
        .is_some_and(|extension| extension == "json");
    let read: File = if is_json {
        serde_json::from_str(&text).map_err(|error| error.to_string())?
    } else {
        toml::from_str(&text).map_err(|error| error.to_string())?
    };
    // A file that was emptied must not pass for one that is right.
    if read.cases.is_empty() {
        return Err("there are no cases".to_owned());
    }
    Ok(read.cases)
}

/// What is wrong with how a case is decided, and what decided it.
fn failure(policy: &Policy, case: &Case) -> Option<String> {
    let caller = case.caller.caller();
    let arguments = case.arguments.as_ref().map(RawJson::of);
    let target = Target::called(case.kind.into(), &case.name, arguments.as_ref());
    let explanation = policy.explain(&caller, &target);
    let found = explanation.decision.rule().map(RuleId::as_str);
    let expected = case.expect.as_str();
    if explanation.decision.as_str() != expected {
        return Some(format!("expected {expected}, but {explanation}"));
    }
    match case.rule.as_deref() {
        Some(rule) if found != Some(rule) => Some(format!(
            "expected to be decided by {rule}, but {explanation}"
        )),
        Some(_) | None => None,
    }
}
