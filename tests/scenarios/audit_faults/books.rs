//! Three accounts of the same calls, held against each other: what clients heard, what was executed,
//! and what is on record.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// What a client knows of a call it made.
#[derive(Clone, Debug)]
pub struct Told {
    pub call: String,
    pub user: String,
    /// How it can have ended, in the words of the record; none, if the client does not even know
    /// whether it was heard.
    pub outcomes: Vec<&'static str>,
}

/// What was executed and what was recorded.
pub struct Books {
    executed: BTreeMap<String, u32>,
    /// By the client's own name for it. Nobody uses one twice.
    recorded: BTreeMap<String, Value>,
}

impl Books {
    /// Reads them, and holds that each call has one beginning and one end.
    pub fn of(executed: Vec<String>, queried: &str, records: &Path) -> Self {
        let mut books = Self {
            executed: BTreeMap::new(),
            recorded: BTreeMap::new(),
        };
        for call in executed {
            *books.executed.entry(call).or_default() += 1;
        }
        for line in queried.lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            let name = record["input"]["arguments"]["call"].as_str();
            let name = name.unwrap_or_else(|| panic!("whose is {record}?"));
            let other = books.recorded.insert(name.to_owned(), record.clone());
            assert!(other.is_none(), "recorded twice: {other:?}, {record}");
        }
        let mut kinds = BTreeMap::new();
        count(records, &mut kinds);
        for (call, kinds) in &kinds {
            assert_eq!(kinds, &["begin", "end"], "{call}");
        }
        assert_eq!(kinds.len(), books.recorded.len());
        books
    }

    /// Nothing was executed but what was allowed before, nor twice, and each record says what the
    /// call's client heard.
    pub fn balance(&self, told: &[Told]) {
        for (call, times) in &self.executed {
            assert_eq!(*times, 1, "{call} was executed");
            let record = self.recorded.get(call);
            let record = record.unwrap_or_else(|| panic!("{call} is not on record"));
            assert_eq!(record["allowed"], true, "{record}");
        }
        for (call, record) in &self.recorded {
            let is_well = record["outcome"] == "ok";
            let is_denied = record["outcome"] == "denied";
            assert_eq!(record["allowed"], !is_denied, "{record}");
            let executed = self.executed.contains_key(call);
            assert!(executed || !is_well, "not executed: {record}");
            assert!(!executed || !is_denied, "executed: {record}");
            let is_known = told.iter().any(|it| it.call == *call);
            assert!(is_known, "nobody called it: {record}");
        }
        for Told {
            call,
            user,
            outcomes,
        } in told
        {
            let Some(record) = self.recorded.get(call) else {
                assert!(outcomes.is_empty(), "{call} is not on record");
                continue;
            };
            // Whose word it is stands before the name.
            assert_eq!(record["user"], format!("proxy {user}"), "{record}");
            let is_so = outcomes.iter().any(|it| record["outcome"] == *it);
            assert!(is_so || outcomes.is_empty(), "{outcomes:?}: {record}");
            let is_well = outcomes.contains(&"ok");
            assert!(!is_well || self.executed.contains_key(call), "{record}");
        }
    }

    /// How many are on record with this outcome.
    pub fn ended(&self, outcome: &str) -> usize {
        let records = self.recorded.values();
        records.filter(|it| it["outcome"] == outcome).count()
    }
}

/// The kinds of the records of each call in the files below a directory, in their order.
fn count(directory: &Path, kinds: &mut BTreeMap<String, Vec<String>>) {
    let mut entries: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            count(&path, kinds);
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            if let Some(call) = record["call"].as_str() {
                let kind = record["kind"].as_str().unwrap().to_owned();
                kinds.entry(call.to_owned()).or_default().push(kind);
            }
        }
    }
}
