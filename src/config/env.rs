//! Every environment variable, and the only place that reads them.
//!
//! The rule: [`PREFIX`] and the path of a key in capitals, with `_` for each dot. So the list of
//! variables is the list of keys ([`all`]), and [`CLUSTER_KEY`] besides, which stands for all of
//! `[cluster] keys`. Names of the user's choice (of endpoints, of upstreams) stand in capitals, with
//! `_` for `-`. A variable that is set to nothing counts as not set. Lists are separated by commas,
//! and so are the entries `name=text` of a table of texts, which a variable sets as a whole.
//!
//! A build with the feature `sabotage` reads one more; no build that is shipped has it.
//!
//! Other variables are read only where the configuration refers to them (`env:NAME`). Variables
//! with our prefix that are none of ours are no complaint: platforms make up such names from the
//! name of a service.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use toml::Table;

use super::keys::{self, Kind};
#[cfg(feature = "sabotage")]
use crate::runtime::sabotage::Bug;

/// What every variable begins with.
pub const PREFIX: &str = "SWITCHBOARD_";
/// The cluster key, in place of all of `[cluster] keys`.
pub const CLUSTER_KEY: &str = "SWITCHBOARD_CLUSTER_KEY";

/// The name of the deliberate bug that a build with the feature `sabotage` is to have.
#[cfg(feature = "sabotage")]
pub const SABOTAGE: &str = "SWITCHBOARD_SABOTAGE";

/// The environment as it was when asked for. Never shown: it holds other programs' secrets.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

/// The value of a variable is not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value is not UTF-8 text")]
pub struct NotText;

/// A variable that sets a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// The key's path; `*` stands for a name of the user's choice.
    pub path: Vec<String>,
    /// What kind of value the key holds.
    pub kind: Kind,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let variables = std::env::vars_os();
        Self(
            variables
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .collect(),
        )
    }

    /// An environment of these variables, for tests and embedding.
    #[must_use]
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.into()));
        Self(variables.collect())
    }

    /// The value of a variable, if it is set to something.
    ///
    /// # Errors
    /// When the value is not text.
    pub fn get(&self, name: &str) -> Result<Option<&str>, NotText> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) if value.is_empty() => Ok(None),
            Some(value) => value.to_str().map(Some).ok_or(NotText),
        }
    }

    /// The deliberate bug this process is to have, if any.
    ///
    /// # Errors
    /// What is wrong with the variable.
    #[cfg(feature = "sabotage")]
    pub(super) fn sabotage(&self) -> Result<Option<Bug>, String> {
        let Some(name) = self.get(SABOTAGE).map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        Bug::named(name).map(Some).ok_or_else(|| {
            let names = Bug::ALL.map(Bug::name).join(", ");
            format!("there is no bug {name:?}; there are: {names}")
        })
    }

    /// The variables that are set and set a key. `known` is what is written already: the names in it
    /// are taken as they stand there.
    pub(super) fn set(&self, known: &Table) -> Vec<Variable> {
        let mut set = Vec::new();
        for variable in all() {
            if !variable.name.contains('*') {
                set.push(variable);
                continue;
            }
            let found = self.0.keys().filter_map(|name| {
                let rest = name.strip_prefix(PREFIX)?;
                Some(Variable {
                    name: name.clone(),
                    path: meant(&variable.path, rest, Some(known))?,
                    kind: variable.kind,
                })
            });
            set.extend(found);
        }
        set.push(Variable {
            name: CLUSTER_KEY.to_owned(),
            path: vec!["cluster".to_owned(), "keys".to_owned()],
            kind: Kind::Texts,
        });
        set.retain(|variable| !matches!(self.get(&variable.name), Ok(None)));
        set
    }
}

/// Every variable that follows from a key.
#[must_use]
pub fn all() -> Vec<Variable> {
    let leaves = keys::leaves().into_iter();
    leaves
        .map(|(path, kind)| Variable {
            name: format!("{PREFIX}{}", in_capitals(&path.join("."))),
            path: path.into_iter().map(str::to_owned).collect(),
            kind,
        })
        .collect()
}

/// The path that `rest` of a variable's name spells, if `pattern` fits it. A name of the user's choice
/// that nobody has written yet is taken in lower case, as short as it can be.
fn meant(pattern: &[String], rest: &str, known: Option<&Table>) -> Option<Vec<String>> {
    let Some((key, below)) = pattern.split_first() else {
        return rest.is_empty().then(Vec::new);
    };
    let go_on = |name: &str, rest: &str| {
        let rest = match below {
            [] => rest,
            _ => rest.strip_prefix('_')?,
        };
        let known = known.and_then(|table| table.get(name)?.as_table());
        let mut path = vec![name.to_owned()];
        path.extend(meant(below, rest, known)?);
        Some(path)
    };
    let written = |name: &str| go_on(name, rest.strip_prefix(&in_capitals(name))?);
    if key != "*" {
        return written(key);
    }
    let mut names = known.into_iter().flat_map(Table::keys);
    names.find_map(|name| written(name)).or_else(|| {
        let mut ends = rest.match_indices('_').filter(|(end, _)| *end > 0);
        ends.find_map(|(end, _)| go_on(&rest[..end].to_ascii_lowercase(), &rest[end..]))
    })
}

/// A key's path or a name of the user's choice as it stands in a variable's name.
#[must_use]
pub(super) fn in_capitals(text: &str) -> String {
    text.to_ascii_uppercase().replace(['.', '-'], "_")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_has_a_variable_of_its_own() {
        let names: Vec<_> = all().into_iter().map(|variable| variable.name).collect();
        let distinct: BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(distinct.contains(&format!("{PREFIX}SERVER_LIMITS_HEADER_BLOCK")));
        assert!(distinct.contains(&format!("{PREFIX}ENDPOINTS_*_PATH")));
        assert!(!distinct.contains(&CLUSTER_KEY.to_owned()));
    }

    #[test]
    fn names_are_found_as_they_are_written_or_in_lower_case() {
        let name = |rest: &str| format!("{PREFIX}{rest}");
        let environment = Environment::of(&[
            (&name("ENDPOINTS_TEAM_A_PATH"), "/a"),
            (&name("ENDPOINTS_TEAM_B_PATH"), "/b"),
            (&name("ENDPOINTS__PATH"), "/none"),
            (&name("UPSTREAMS_JIRA_TOOLS_GET_ISSUE_TITLE"), "Issue"),
            (&name("UPSTREAMS_MY_FILES_TOOLS_READ_TITLE"), "Read"),
            (&name("UPSTREAMS_MY_FILES_BREAKER_OPEN_FOR"), "1s"),
            (&name("SERVICE_HOST"), "10.0.0.1"),
            (&name("SERVER_LISTEN"), ""),
        ]);
        let known = "endpoints.team-a.path = '/'\nupstreams.jira.tools.getIssue.title = ''\n\
                     upstreams.jira.tools.Get-Issue.title = ''";
        let set = environment.set(&known.parse().unwrap());
        let mut paths: Vec<_> = set.iter().map(|variable| variable.path.join(".")).collect();
        paths.sort();
        let expected = [
            "endpoints.team-a.path",
            "endpoints.team_b.path",
            "upstreams.jira.tools.Get-Issue.title",
            "upstreams.my_files.breaker.open_for",
            "upstreams.my_files.tools.read.title",
        ];
        assert_eq!(paths, expected);
    }
}
