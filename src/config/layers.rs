//! File, environment and command line, laid over one another and checked value by value.
//!
//! [`Layers`] takes each source in turn, checks every key against the key tree and every value by
//! itself, and keeps those that are right together with their place. What is wrong becomes a
//! complaint and is left out, so that everything else can still be checked. A secret's value never
//! appears in a complaint: kinds are compared before anything prints a value.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::complaint::{Complaint, Place};
use super::env::Environment;
use super::keys::{self, Kind, Node};
use super::raw::Raw;

/// The sources, one over the other.
#[derive(Debug, Default)]
pub(super) struct Layers {
    table: Table,
    ground: Ground,
}

/// Where values came from, and what was wrong with some.
#[derive(Debug, Default)]
pub(super) struct Ground {
    places: BTreeMap<String, Place>,
    broken: BTreeSet<String>,
    /// Lines that are not TOML; what was guessed of them says nothing.
    damaged: BTreeSet<usize>,
    /// What was wrong so far.
    pub(super) complaints: Vec<Complaint>,
    /// What is allowed but should be said loudly.
    pub(super) cautions: Vec<String>,
}

impl Ground {
    /// Where the value of `key` came from.
    #[must_use]
    pub(super) fn place(&self, key: &str) -> Place {
        self.places.get(key).cloned().unwrap_or(Place::Default)
    }

    /// Whether anyone set `key`.
    #[must_use]
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// Complains about what `keys` say together, at the first of them that was set by anyone.
    /// Silent if one of them is known to be wrong by itself: the default took its place.
    pub(super) fn complain(&mut self, keys: &[&str], problem: impl Into<String>) {
        if keys.iter().any(|key| self.broken.contains(*key)) {
            return;
        }
        let set = keys.iter().find(|key| self.places.contains_key(**key));
        let key = set.or(keys.first()).copied().unwrap_or_default();
        self.push(self.place(key), key.to_owned(), problem.into());
    }

    fn push(&mut self, place: Place, key: String, problem: String) {
        if !matches!(place, Place::Line(line) if self.damaged.contains(&line)) {
            self.complaints.push(Complaint {
                place,
                key,
                problem,
            });
        }
    }

    /// Complains about something at `key`, at the nearest place above it that was set by anyone.
    /// Silent if what is there is known to be wrong by itself.
    pub(super) fn complain_within(&mut self, key: &str, problem: impl Into<String>) {
        let above = std::iter::successors(Some(key), |key| {
            key.rfind(['.', '[']).map(|end| &key[..end])
        });
        let follows = |broken: &String| {
            let below = broken.strip_prefix(key);
            below.is_some_and(|below| below.starts_with(['.', '[']))
        };
        let broken = above.clone().any(|key| self.broken.contains(key));
        if broken || self.broken.iter().any(follows) {
            return;
        }
        let place = above.into_iter().find_map(|key| self.places.get(key));
        let place = place.cloned().unwrap_or(Place::Default);
        self.push(place, key.to_owned(), problem.into());
    }

    /// Complains as [`Self::complain_within`] does; what is at `key` then counts as wrong by itself.
    pub(super) fn refuse_within(&mut self, key: &str, problem: impl Into<String>) {
        self.complain_within(key, problem);
        self.broken.insert(key.to_owned());
    }

    /// Complains about one key, whose value then counts as wrong by itself.
    pub(super) fn refuse(&mut self, key: &str, problem: impl Into<String>) {
        self.complain(&[key], problem);
        self.broken.insert(key.to_owned());
    }
}

impl Layers {
    /// Lays down the configuration file.
    pub(super) fn file(&mut self, text: &str) {
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            let problem = error.message().replace('\n', ", ");
            // The first error of a line explains the others.
            self.ground.push(Place::Line(line), String::new(), problem);
            self.ground.damaged.insert(line);
        }
        let Node::Table(keys) = &*keys::TREE else {
            unreachable!("invariant: a configuration is a table")
        };
        self.walk(text, keys, document.get_ref(), &[]);
    }

    /// Lays the environment over it.
    pub(super) fn environment(&mut self, environment: &Environment) {
        for variable in environment.set(&self.table) {
            let path: Vec<_> = variable.path.iter().map(String::as_str).collect();
            let place = Place::Variable(variable.name.clone());
            match environment.get(&variable.name) {
                Ok(None) => {}
                Ok(Some(text)) => self.text(&path, variable.kind, text, place),
                Err(problem) => self.refuse(&path, place, problem.to_string()),
            }
        }
    }

    /// Lays an option of the command line over it.
    pub(super) fn flag(&mut self, name: &'static str, path: &[&str], text: &str) {
        self.text(path, Kind::Text, text, Place::Flag(name));
    }

    /// Lays down an upstream that is none of the configuration file's, unless it has one of that name:
    /// then it is not laid, and where that one stands is the answer.
    pub(super) fn upstream(
        &mut self,
        name: &str,
        keys: Vec<(&str, Value)>,
        place: &Place,
    ) -> Result<(), Place> {
        let table = format!("upstreams.{name}");
        if let Some(place) = self.ground.places.get(&table) {
            return Err(place.clone());
        }
        self.ground.places.insert(table, place.clone());
        descend(&mut self.table, &["upstreams", name]);
        for (key, value) in keys {
            self.value(&["upstreams", name, key], value, place.clone());
        }
        Ok(())
    }

    /// Complains about something that is no key of ours.
    pub(super) fn complain(&mut self, place: Place, at: &str, problem: impl Into<String>) {
        self.ground.push(place, at.to_owned(), problem.into());
    }

    /// Says what should be said loudly.
    pub(super) fn caution(&mut self, caution: String) {
        self.ground.cautions.push(caution);
    }

    /// All layers as one, and where everything came from.
    #[must_use]
    pub(super) fn finish(mut self) -> (Raw, Ground) {
        let raw = Raw::deserialize(Value::Table(self.table)).unwrap_or_else(|error| {
            self.ground.complain(&[""], error.message());
            Raw::default()
        });
        (raw, self.ground)
    }

    fn walk(
        &mut self,
        text: &str,
        keys: &BTreeMap<String, Node>,
        table: &DeTable<'_>,
        above: &[&str],
    ) {
        for (key, value) in table {
            let place = Place::Line(line_of(text, key.span().start));
            let path = [above, &[key.get_ref().as_ref()]].concat();
            match keys.get(key.get_ref().as_ref()) {
                Some(node) => self.node(text, node, value, &path, place),
                None => self.refuse(&path, place, unknown(&path, keys)),
            }
        }
    }

    fn node(
        &mut self,
        text: &str,
        node: &Node,
        value: &Spanned<DeValue<'_>>,
        path: &[&str],
        place: Place,
    ) {
        match (node, value.get_ref()) {
            (Node::Leaf(Kind::Pairs), DeValue::Table(table)) => {
                self.ground.places.insert(key_of(path), place);
                descend(&mut self.table, path);
                for (name, value) in table {
                    let place = Place::Line(line_of(text, name.span().start));
                    let path = [path, &[name.get_ref().as_ref()]].concat();
                    self.node(text, &Node::Leaf(Kind::Text), value, &path, place);
                }
            }
            (Node::Leaf(kind), value) => match plain(value, *kind) {
                Some(value) => self.value(path, value, place),
                None => self.refuse(path, place, format!("expected {}", kind.expected())),
            },
            (Node::Table(keys), DeValue::Table(table)) => {
                self.ground.places.insert(key_of(path), place);
                descend(&mut self.table, path);
                self.walk(text, keys, table, path);
            }
            (Node::Named(node), DeValue::Table(table)) => {
                for (name, value) in table {
                    let place = Place::Line(line_of(text, name.span().start));
                    let path = [path, &[name.get_ref().as_ref()]].concat();
                    self.node(text, node, value, &path, place);
                }
            }
            (Node::Either(_, keys), DeValue::Table(table)) => {
                self.ground.places.insert(key_of(path), place);
                descend(&mut self.table, path);
                self.walk(text, keys, table, path);
            }
            (Node::Either(kind, _), value) => match plain(value, *kind) {
                Some(value) => self.value(path, value, place),
                None => self.refuse(path, place, format!("expected {}", kind.expected())),
            },
            (Node::Each(node), DeValue::Array(tables)) => {
                self.ground.places.insert(key_of(path), place);
                for (at, value) in tables.iter().enumerate() {
                    let place = Place::Line(line_of(text, value.span().start));
                    let at = format!("[{at}]");
                    let path = [path, &[&at]].concat();
                    // Also one that is wrong has its place, so that the others keep theirs.
                    descend(&mut self.table, &path);
                    self.node(text, node, value, &path, place);
                }
            }
            (Node::Each(_), _) => {
                let problem = format!("expected a list of tables, as in `[[{}]]`", key_of(path));
                self.refuse(path, place, problem);
            }
            (Node::Table(_), _) if path.last().is_some_and(|part| part.starts_with('[')) => {
                self.refuse(path, place, "expected a table, as in { key = \"value\" }");
            }
            (Node::Table(_) | Node::Named(_), _) => {
                let problem = format!("expected a table, as in `[{}]`", key_of(path));
                self.refuse(path, place, problem);
            }
        }
    }

    /// A value that was written as text where TOML is not spoken.
    fn text(&mut self, path: &[&str], kind: Kind, text: &str, place: Place) {
        let value = match kind {
            Kind::Text | Kind::Period | Kind::Size | Kind::Rate | Kind::Scalar => {
                Some(Value::from(text))
            }
            // A table of anything has no form without TOML.
            Kind::Values => None,
            Kind::Number => text.parse::<i64>().ok().map(Value::from),
            Kind::Fraction => text.parse::<f64>().ok().map(Value::from),
            Kind::Flag => text.parse::<bool>().ok().map(Value::from),
            Kind::Texts | Kind::Command | Kind::Roots => {
                Some(entries(text).map(Value::from).collect::<Vec<_>>().into())
            }
            Kind::Pairs => {
                let pairs = entries(text).map(|entry| {
                    let (name, text) = entry.split_once('=')?;
                    Some((name.trim().to_owned(), Value::from(text.trim())))
                });
                pairs.collect::<Option<Table>>().map(Value::Table)
            }
        };
        match value {
            Some(value) => self.value(path, value, place),
            None if kind == Kind::Pairs => {
                self.refuse(path, place, "expected NAME=TEXT, separated by commas");
            }
            None => self.refuse(path, place, format!("expected {}", kind.expected())),
        }
    }

    /// A value of the right kind.
    fn value(&mut self, path: &[&str], value: Value, place: Place) {
        let mut alone = Table::new();
        insert(&mut alone, path, value.clone());
        if let Err(error) = Raw::deserialize(Value::Table(alone)) {
            self.refuse(path, place, problem_of(&error));
            return;
        }
        insert(&mut self.table, path, value);
        let key = key_of(path);
        // What a layer above sets makes good what was wrong below, as far as checks of several
        // keys go; the complaint stands.
        self.ground.broken.remove(&key);
        self.ground.places.insert(key, place);
    }

    fn refuse(&mut self, path: &[&str], place: Place, problem: impl Into<String>) {
        let key = key_of(path);
        self.ground.broken.insert(key.clone());
        self.ground.push(place, key, problem.into());
    }
}

fn unknown(path: &[&str], siblings: &BTreeMap<String, Node>) -> String {
    let written = path.last().copied().unwrap_or_default();
    if let Some(key) = keys::nearest(written, siblings.keys().map(String::as_str)) {
        return format!("unknown key; did you mean `{key}`?");
    }
    // Perhaps the right key in the wrong table.
    let elsewhere = keys::leaves()
        .into_iter()
        .find(|(path, _)| path.last() == Some(&written));
    if let Some((path, _)) = elsewhere {
        return format!(
            "unknown key; did you mean `{}`?",
            path.join(".").replace('*', "NAME")
        );
    }
    let known: Vec<_> = siblings.keys().map(|key| format!("`{key}`")).collect();
    format!("unknown key; known here: {}", known.join(", "))
}

/// The value, if it is of that kind.
fn plain(value: &DeValue<'_>, kind: Kind) -> Option<Value> {
    match (kind, value) {
        (Kind::Text | Kind::Period | Kind::Size | Kind::Rate, DeValue::String(text)) => {
            Some(Value::from(text.as_ref()))
        }
        (Kind::Scalar, DeValue::Array(_) | DeValue::Table(_)) => None,
        (Kind::Scalar, value) | (Kind::Values, value @ DeValue::Table(_)) => any(value),
        (Kind::Flag, DeValue::Boolean(flag)) => Some(Value::from(*flag)),
        (Kind::Number, DeValue::Integer(number)) => {
            i64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .map(Value::from)
        }
        (Kind::Fraction, DeValue::Float(number)) => {
            number.as_str().parse::<f64>().ok().map(Value::from)
        }
        (Kind::Fraction, DeValue::Integer(_)) => match plain(value, Kind::Number)? {
            Value::Integer(number) => i32::try_from(number).ok().map(f64::from).map(Value::from),
            _ => None,
        },
        (Kind::Texts | Kind::Command, DeValue::Array(entries)) => {
            let entries = entries
                .iter()
                .map(|entry| entry.get_ref().as_str().map(Value::from));
            entries.collect::<Option<Vec<_>>>().map(Value::from)
        }
        (Kind::Roots, DeValue::Array(entries)) => {
            let entries = entries.iter().map(|entry| match entry.get_ref() {
                DeValue::Table(table) => root(table),
                entry => entry.as_str().map(Value::from),
            });
            entries.collect::<Option<Vec<_>>>().map(Value::from)
        }
        (
            Kind::Text
            | Kind::Period
            | Kind::Size
            | Kind::Flag
            | Kind::Number
            | Kind::Fraction
            | Kind::Texts
            | Kind::Command
            | Kind::Pairs
            | Kind::Roots
            | Kind::Rate
            | Kind::Values,
            _,
        ) => None,
    }
}

/// Any value but a time. As deep as TOML is read.
fn any(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(_) => plain(value, Kind::Text),
        DeValue::Boolean(_) => plain(value, Kind::Flag),
        DeValue::Integer(_) => plain(value, Kind::Number),
        DeValue::Float(_) => plain(value, Kind::Fraction),
        DeValue::Array(values) => {
            let values = values.iter().map(|value| any(value.get_ref()));
            values.collect::<Option<Vec<_>>>().map(Value::from)
        }
        DeValue::Table(table) => {
            let members = table.iter().map(|(name, value)| {
                Some((name.get_ref().as_ref().to_owned(), any(value.get_ref())?))
            });
            members.collect::<Option<Table>>().map(Value::Table)
        }
        DeValue::Datetime(_) => None,
    }
}

/// A root that is written as a table, if it has what a root has and no more.
fn root(table: &DeTable<'_>) -> Option<Value> {
    let members = table.iter().map(|(key, value)| {
        let key = key.get_ref().as_ref();
        let text = value.get_ref().as_str()?;
        ["uri", "name"]
            .contains(&key)
            .then(|| (key.to_owned(), Value::from(text)))
    });
    let members = members.collect::<Option<Table>>()?;
    members.contains_key("uri").then_some(Value::Table(members))
}

/// What stands between the commas of a variable.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    let entries = text.split(',').map(str::trim);
    entries.filter(|entry| !entry.is_empty())
}

fn problem_of(error: &toml::de::Error) -> String {
    let message = error.message();
    if message.contains("nonzero") {
        return "must be more than zero".to_owned();
    }
    let message = message.replace("unknown variant", "unknown value");
    message.replace('\n', ", ")
}

fn insert(table: &mut Table, path: &[&str], value: Value) {
    if let Some((key, above)) = path.split_last()
        && let Some(table) = descend(table, above)
    {
        table.insert((*key).to_owned(), value);
    }
}

/// The table at `path`, made if it is not there. `None` if something else stands in the way,
/// which the walk along the key tree has excluded.
fn descend<'a>(table: &'a mut Table, path: &[&str]) -> Option<&'a mut Table> {
    let Some((key, below)) = path.split_first() else {
        return Some(table);
    };
    let in_list = below.first().and_then(|place| place_in_list(place));
    let fresh = || match in_list {
        Some(_) => Value::Array(Vec::new()),
        None => Value::Table(Table::new()),
    };
    let next = table.entry(*key).or_insert_with(fresh);
    let Some(place) = in_list else {
        return descend(next.as_table_mut()?, below);
    };
    let list = next.as_array_mut()?;
    // Tables come in their order; one that is looked at alone is the first.
    let place = place.min(list.len());
    if place == list.len() {
        list.push(Value::Table(Table::new()));
    }
    descend(list[place].as_table_mut()?, &below[1..])
}

/// The place that a part of a path names in a list: of `[2]` it is 2.
fn place_in_list(part: &str) -> Option<usize> {
    part.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// A path as it is shown, and as places are kept under: `roles.a.allow[0].tools`.
fn key_of(path: &[&str]) -> String {
    let name = |name: &&str| if name.is_empty() { "\"\"" } else { name }.to_owned();
    let names: Vec<_> = path.iter().map(name).collect();
    names.join(".").replace(".[", "[")
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
}
