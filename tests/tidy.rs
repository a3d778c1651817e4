//! The checks a compiler cannot do: the import table, names that stand in one place only, links
//! and scenarios that exist.
//!
//! Run alone with `cargo tidy`. Each check collects everything it finds before it fails, and says
//! what to do. Sources are read as text: comments and string literals are told apart from code by
//! a small scanner ([`Source::read`]), nothing more is understood.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use switchboard::config::env;
use switchboard::telemetry::metrics::CATALOGUE;

/// Who may import whom: a module imports only from rows above its own, never from its own row.
/// The crate docs show the same table.
const IMPORT_TABLE: &[&[&str]] = &[
    &["runtime", "protocol"],
    &["telemetry", "identity", "egress"],
    &["store", "auth", "client"],
    &["node", "keyring", "policy", "audit", "service"],
    &[
        "access", "session", "task", "once", "spread", "gateway", "server",
    ],
    &["builtin", "transport", "admin"],
    &["config"],
    &["app"],
    &["testing"],
    &["cli"],
    &["main"],
];

/// Imports that the rows would allow and the design does not.
const NEVER: &[(&str, &str, &str)] = &[
    (
        "transport",
        "gateway",
        "a transport knows services, not which one it serves",
    ),
    (
        "transport",
        "store",
        "state behind a request belongs to its session",
    ),
];

/// Where the wall clock is read.
const CLOCK_FILES: &[&str] = &["src/runtime/clock.rs"];
/// Where variables of the environment are named.
const ENVIRONMENT_FILES: &[&str] = &["src/config/env.rs"];
/// Where it is read: for ourselves, and to be passed on to other programs.
const READING_FILES: &[&str] = &["src/config/env.rs", "src/client/environment.rs"];
/// Where metrics are named.
const METRIC_FILES: &[&str] = &["src/telemetry/metrics.rs"];

#[test]
fn modules_import_only_from_rows_above_their_own() {
    let row_of = |module: &str| IMPORT_TABLE.iter().position(|row| row.contains(&module));
    let mut problems = Vec::new();
    for source in sources("src") {
        let module = source.module();
        if module == "lib" {
            continue;
        }
        let Some(row) = row_of(&module) else {
            problems.push(format!("{}: `{module}` is in no row", source.name));
            continue;
        };
        for (line, imported) in source.imports() {
            let problem = match row_of(&imported) {
                _ if imported == module => continue,
                None => "which is no module of the table".to_owned(),
                Some(theirs) if theirs == row => "which is in the same row".to_owned(),
                Some(theirs) if theirs > row => "which is in a row below".to_owned(),
                Some(_) => {
                    let ban = NEVER
                        .iter()
                        .find(|(from, to, _)| *from == module && *to == imported);
                    match ban {
                        Some((_, _, reason)) => format!("but {reason}"),
                        None => continue,
                    }
                }
            };
            let name = &source.name;
            problems.push(format!(
                "{name}:{line}: `{module}` imports `{imported}`, {problem}"
            ));
        }
    }
    nothing_in(
        &problems,
        "Move what is shared up, or meet through a trait in a row above. Where the code teaches a \
         better cut, change this table and the one in src/lib.rs together.",
    );
}

#[test]
fn every_metric_is_named_in_the_catalogue_only() {
    let mut problems = Vec::new();
    for source in sources("src") {
        let catalogue = METRIC_FILES.contains(&source.name.as_str());
        for (line, literal) in source
            .literals
            .iter()
            .filter(|(line, _)| !source.is_test(*line))
        {
            let listed = CATALOGUE.iter().any(|metric| literal.contains(metric.name));
            if !catalogue && (listed || literal.starts_with("mcp_")) {
                problems.push(format!("{}:{line}: {literal:?}", source.name));
            }
        }
        for call in ["counter!", "gauge!", "histogram!"] {
            for line in source
                .lines_with(call)
                .filter(|line| !source.is_test(*line))
            {
                problems.push(format!("{}:{line}: `{call}`", source.name));
            }
        }
        if catalogue {
            for metric in CATALOGUE {
                let literals = source
                    .literals
                    .iter()
                    .filter(|(line, _)| !source.is_test(*line));
                let count = literals
                    .filter(|(_, literal)| literal == metric.name)
                    .count();
                if count != 1 {
                    problems.push(format!(
                        "{}: {} stands {count} times",
                        source.name, metric.name
                    ));
                }
            }
        }
    }
    nothing_in(
        &problems,
        "A metric is named once, in the catalogue of src/telemetry/metrics.rs, and counted through \
         `Metrics`.",
    );
}

#[test]
fn environment_variables_are_named_in_one_file_only() {
    let mut problems = Vec::new();
    for source in sources("src") {
        if !ENVIRONMENT_FILES.contains(&source.name.as_str()) {
            let named = source
                .literals
                .iter()
                .filter(|(_, literal)| literal.contains(env::PREFIX));
            for (line, literal) in named {
                problems.push(format!("{}:{line}: {literal:?}", source.name));
            }
        }
    }
    // What pages promise must exist.
    let known: BTreeSet<_> = env::all()
        .into_iter()
        .map(|variable| variable.name)
        .collect();
    for page in pages() {
        let text = read(&page);
        for (at, _) in text.match_indices(env::PREFIX) {
            let end = text[at..].find(|letter: char| !letter.is_ascii_uppercase() && letter != '_');
            let name = &text[at..end.map_or(text.len(), |end| at + end)];
            let named = ["ENDPOINTS_", "UPSTREAMS_"]
                .iter()
                .any(|table| name.starts_with(&format!("{}{table}", env::PREFIX)));
            let exists = known.contains(name) || name == env::CLUSTER_KEY || named;
            if !exists && name != env::PREFIX {
                let line = line_of(&text, at);
                problems.push(format!("{}:{line}: there is no {name}", shown(&page)));
            }
        }
    }
    nothing_in(
        &problems,
        "Variables follow from keys; src/config/env.rs is the one place that spells them.",
    );
}

#[test]
fn clocks_and_the_environment_are_read_in_one_place() {
    let mut problems = Vec::new();
    for source in sources("src") {
        for (what, allowed) in [
            ("SystemTime::now", CLOCK_FILES),
            ("env::var", READING_FILES),
        ] {
            if !allowed.contains(&source.name.as_str()) {
                for line in source.lines_with(what) {
                    problems.push(format!("{}:{line}: `{what}`", source.name));
                }
            }
        }
    }
    nothing_in(
        &problems,
        "Time comes from `runtime::clock`, so that tests can move it; what the environment says \
         comes from `config`.",
    );
}

#[test]
fn every_file_begins_by_saying_what_it_is_for() {
    let mut problems = Vec::new();
    for folder in ["src", "tests", "benches", "examples", "loadtest"] {
        for source in sources(folder) {
            if !source.text.starts_with("//!") {
                problems.push(source.name);
            }
        }
    }
    nothing_in(
        &problems,
        "Begin the file with `//!` and one sentence: what it is responsible for.",
    );
}

#[test]
fn links_between_pages_are_alive() {
    let mut problems = Vec::new();
    if !root().join("README.md").exists() {
        problems.push("README.md does not exist".to_owned());
    }
    for page in pages() {
        let text = read(&page);
        for (at, _) in text.match_indices("](") {
            let rest = &text[at + 2..];
            let Some(end) = rest.find([')', ' ', '\n']) else {
                continue;
            };
            let target = rest[..end].split('#').next().unwrap_or_default();
            let elsewhere =
                target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            let folder = page.parent().unwrap_or(Path::new(""));
            if !elsewhere && !folder.join(target).exists() {
                let line = line_of(&text, at);
                problems.push(format!("{}:{line}: {target}", shown(&page)));
            }
        }
    }
    nothing_in(&problems, "These links lead nowhere.");
}

/// Pages with tables that say which tests hold what they promise.
const PAGES_OF_RULES: &[&str] = &["docs/protocol.md", "docs/attacks.md"];

#[test]
fn every_scenario_that_a_page_of_rules_names_exists() {
    let tests = test_names();
    let mut problems = Vec::new();
    for page in PAGES_OF_RULES {
        let file = root().join(page);
        assert!(
            file.exists(),
            "{page} does not exist: it says which scenario holds which rule"
        );
        let mut named = 0;
        for (line, cell) in last_cells(&read(&file)) {
            if cell.is_empty() {
                problems.push(format!("{page}:{line}: names no scenario"));
            }
            for name in cell.split('`').skip(1).step_by(2) {
                named += 1;
                let function = name.rsplit("::").next().unwrap_or(name);
                if !tests.contains(function) {
                    problems.push(format!("{page}:{line}: there is no test `{name}`"));
                }
            }
        }
        if named == 0 {
            problems.push(format!(
                "{page}: no table's last column is called one of {SCENARIO_COLUMNS:?}"
            ));
        }
    }
    nothing_in(
        &problems,
        "Each rule names the tests that hold it: functions in tests/scenarios or in src.",
    );
}

/// What the last column of a table of rules is called.
const SCENARIO_COLUMNS: &[&str] = &[
    "scenario",
    "scenarios",
    "test",
    "tests",
    "checked by",
    "kept by",
];

/// The last cells of all rows of the tables whose last column names scenarios.
fn last_cells(text: &str) -> Vec<(usize, String)> {
    let mut cells = Vec::new();
    let mut table: Option<bool> = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim().replace("\\|", " ");
        let Some(row) = line.strip_prefix('|') else {
            table = None;
            continue;
        };
        let row = row.strip_suffix('|').unwrap_or(row);
        let last = row.rsplit('|').next().unwrap_or_default().trim();
        match table {
            None => table = Some(SCENARIO_COLUMNS.contains(&last.to_ascii_lowercase().as_str())),
            Some(true) if !last.is_empty() && last.chars().all(|letter| "-: ".contains(letter)) => {
            }
            Some(true) => cells.push((at + 1, last.to_owned())),
            Some(false) => {}
        }
    }
    cells
}

/// The functions in tests/scenarios and in the tests of src. Not every one of them is a test, but
/// scenarios may be written with a macro, so attributes do not tell.
fn test_names() -> BTreeSet<String> {
    let scenarios = sources("tests/scenarios")
        .into_iter()
        .map(|source| (source, true));
    let others = sources("src").into_iter().map(|source| (source, false));
    let mut names = BTreeSet::new();
    for (source, all) in scenarios.chain(others) {
        for (at, _) in source.code.match_indices("fn ") {
            let line = line_of(&source.code, at);
            if all || source.is_test(line) {
                names.insert(word(&source.code[at + 3..]).to_owned());
            }
        }
    }
    names
}

/// A source file: its text, the same with comments and literals blanked out, and the literals.
struct Source {
    name: String,
    text: String,
    code: String,
    literals: Vec<(usize, String)>,
    tests_from: usize,
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = read(path);
        let (code, literals) = scan(&text);
        let tests_from = code
            .find("#[cfg(test)]\nmod ")
            .map_or(usize::MAX, |at| line_of(&code, at));
        Self {
            name: shown(path),
            text,
            code,
            literals,
            tests_from,
        }
    }

    /// The top module it belongs to.
    fn module(&self) -> String {
        let path = self.name.trim_start_matches("src/").trim_end_matches(".rs");
        path.split('/').next().unwrap_or(path).to_owned()
    }

    fn is_test(&self, line: usize) -> bool {
        line >= self.tests_from || self.name.ends_with("tests.rs") || self.name.contains("/tests/")
    }

    fn lines_with<'a>(&'a self, what: &'a str) -> impl Iterator<Item = usize> + 'a {
        let found = self
            .code
            .match_indices(what)
            .filter(|(at, _)| begins_word(&self.code, *at));
        found.map(|(at, _)| line_of(&self.code, at))
    }

    /// Top modules of the crate named by `crate::a` and `crate::{a, b::c}`, with their lines.
    fn imports(&self) -> Vec<(usize, String)> {
        // The program sees the library from outside.
        let root = if self.module() == "main" {
            "switchboard::"
        } else {
            "crate::"
        };
        let mut imports = Vec::new();
        let found = self
            .code
            .match_indices(root)
            .filter(|(at, _)| begins_word(&self.code, *at));
        for (at, _) in found {
            let line = line_of(&self.code, at);
            let rest = self.code[at + root.len()..].trim_start();
            match rest.strip_prefix('{') {
                None => imports.push((line, word(rest).to_owned())),
                Some(group) => {
                    let names = group_members(group).into_iter();
                    imports.extend(names.map(|name| (line, name.to_owned())));
                }
            }
        }
        imports
    }
}

/// The first words of the members of a `use` group, up to its closing brace.
fn group_members(group: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let mut begins = true;
    let mut members = Vec::new();
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            _ if letter.is_whitespace() => {}
            _ if begins && depth == 0 => {
                members.push(word(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    members
}

/// Blanks comments and literals out, and collects the literals with their lines.
fn scan(text: &str) -> (String, Vec<(usize, String)>) {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut literals = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text.as_bytes()[at..];
        let end = match rest {
            [b'/', b'/', ..] => at + length_until(rest, b"\n", 0),
            [b'/', b'*', ..] => at + length_until(rest, b"*/", 2) + 2,
            [b'r', ..] if raw_hashes(rest).is_some() && begins_word_or_byte(bytes, at) => {
                let hashes = raw_hashes(rest).unwrap_or_default();
                let close = [b"\"".as_slice(), "#".repeat(hashes).as_bytes()].concat();
                let open = hashes + 2;
                let length = length_until(rest, &close, open);
                literals.push((line_of(text, at), text[at + open..at + length].to_owned()));
                at + length + close.len()
            }
            [b'"', ..] => {
                let length = quoted_length(rest);
                let inside = &text[at + 1..at + length.max(2) - 1];
                literals.push((line_of(text, at), inside.to_owned()));
                at + length
            }
            // A character, not a lifetime.
            [b'\'', b'\\', ..] => at + length_until(rest, b"'", 3) + 1,
            [b'\'', ..] => {
                let close = rest.iter().skip(2).take(4).position(|byte| *byte == b'\'');
                let one =
                    close.is_some_and(|close| text[at + 1..at + 2 + close].chars().count() == 1);
                match close.filter(|_| one) {
                    Some(close) => at + close + 3,
                    None => at + 1,
                }
            }
            _ => {
                at += 1;
                continue;
            }
        };
        let end = end.min(bytes.len());
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    let code = String::from_utf8(code).expect("whole characters are blanked out");
    (code, literals)
}

fn length_until(rest: &[u8], close: &[u8], from: usize) -> usize {
    let tail = rest.get(from..).unwrap_or_default();
    let found = tail.windows(close.len()).position(|window| window == close);
    found.map_or(rest.len(), |found| from + found)
}

fn quoted_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_hashes(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    (rest.get(1 + hashes) == Some(&b'"')).then_some(hashes)
}

fn begins_word_or_byte(bytes: &[u8], at: usize) -> bool {
    at == 0 || !is_word(bytes[at - 1]) || bytes[at - 1] == b'b'
}

fn begins_word(text: &str, at: usize) -> bool {
    at == 0 || !is_word(text.as_bytes()[at - 1])
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn word(text: &str) -> &str {
    let end = text.bytes().position(|byte| !is_word(byte));
    &text[..end.unwrap_or(text.len())]
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text[..offset].matches('\n').count()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", shown(path)))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Every Rust file below `folder`; none if there is no such folder.
fn sources(folder: &str) -> Vec<Source> {
    let files = files(&root().join(folder));
    let rust = files
        .iter()
        .filter(|path| path.extension().is_some_and(|found| found == "rs"));
    rust.map(|path| Source::read(path)).collect()
}

/// The pages people read.
fn pages() -> Vec<PathBuf> {
    let mut pages = files(&root().join("docs"));
    pages.extend(["README.md", "CHANGELOG.md", "loadtest/README.md"].map(|name| root().join(name)));
    pages.retain(|path| path.extension().is_some_and(|found| found == "md") && path.exists());
    pages
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    let skipped = |path: &PathBuf| path.ends_with("node_modules") || path.ends_with("target");
    let paths = paths.into_iter().filter(|path| !skipped(path));
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// Fails with all of `problems`, if there are any.
#[track_caller]
fn nothing_in(problems: &[String], advice: &str) {
    let mut said = String::new();
    for problem in problems {
        let _infallible = writeln!(said, "  {problem}");
    }
    assert!(problems.is_empty(), "\n{said}{advice}\n");
}

#[test]
fn the_scanner_tells_code_from_comments_and_literals() {
    let text = "use crate::{\n  a,\n  b::{c, d},\n}; // crate::no\n\
                /* crate::no */ fn f<'a>(x: &'a str) { g(\"crate::no \\\" mcp_x\", 'c', '\\'', '\"') }\n\
                let s = r#\"crate::no \"quoted\"\"#; crate::e::f(); $crate::h(); mycrate::no();\n";
    let (code, literals) = scan(text);
    let source = Source {
        name: "src/x/y.rs".to_owned(),
        text: text.to_owned(),
        code,
        literals,
        tests_from: usize::MAX,
    };
    let imports: Vec<_> = source.imports().into_iter().map(|(_, name)| name).collect();
    assert_eq!(imports, ["a", "b", "e", "h"]);
    assert_eq!(source.module(), "x");
    let literals: Vec<_> = source
        .literals
        .iter()
        .map(|(_, literal)| literal.as_str())
        .collect();
    assert_eq!(literals, ["crate::no \\\" mcp_x", "crate::no \"quoted\""]);
}

#[test]
fn rows_of_scenario_tables_are_found() {
    let text = "| rule | Scenarios |\n|---|---|\n| R1 | `a_b`, `c::d` |\n| a \\| b |  |\n\n\
                | x | note |\n|---|---|\n| y | `no` |\n";
    assert_eq!(
        last_cells(text),
        [(3, "`a_b`, `c::d`".to_owned()), (4, String::new())]
    );
}
