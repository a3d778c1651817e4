//! The upstreams: each reached in one way, with the keys of that way, under a prefix of its own.
//!
//! Which endpoint has which of them, and whether their prefixes fit together there, is checked with
//! the endpoints.

use std::collections::BTreeMap;
use std::net::IpAddr;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use super::endpoints::{check_name, is_name};
use super::env::Environment;
use super::layers::Ground;
use super::raw::{self, Raw, SecretText};
use super::settings::BuiltinSet;
use super::upstream_auth::{self, Auth};
use super::values::Period;
use super::{defaults, secrets};
use crate::client::oauth;
use crate::gateway::config::{
    BreakerConfig, BulkheadConfig, CommandConfig, Isolation, Pin, Reach, RootConfig, Secret, Show,
    Timeouts, ToolShown, UpstreamConfig,
};
use crate::protocol::version::ProtocolVersion;

/// Prefixes that clients would take for something else: our own extensions, and the scheme of user
/// interfaces.
const RESERVED_PREFIXES: [&str; 2] = ["switchboard", "ui"];

/// Digits of the hash of a definition.
const HASH_LEN: usize = 64;

/// Headers that say how a message travels, which is the gateway's business.
const OUR_HEADERS: [&str; 12] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "te",
    "transfer-encoding",
];

/// The upstreams, in the order of their names.
pub(super) fn resolve(
    raw: &Raw,
    environment: &Environment,
    ground: &mut Ground,
) -> Vec<UpstreamConfig> {
    if raw.upstreams.len() > defaults::UPSTREAMS_MAX {
        let problem = format!(
            "there are {}; at most {} fit behind one process",
            raw.upstreams.len(),
            defaults::UPSTREAMS_MAX
        );
        ground.complain(&["upstreams"], problem);
    }
    let mut variables = BTreeMap::new();
    let raw_server = &raw.server;
    let upstreams = raw.upstreams.iter().map(|(name, raw)| {
        let table = format!("upstreams.{name}");
        check_name(name, &table, &mut variables, ground);
        let mut one = One {
            name,
            table,
            raw,
            environment,
            anonymous: raw_server.allow_unauthenticated,
            ground,
        };
        one.resolve()
    });
    upstreams.collect()
}

/// One upstream, while it is resolved.
struct One<'a> {
    name: &'a str,
    table: String,
    raw: &'a raw::Upstream,
    environment: &'a Environment,
    /// Whether callers from elsewhere are served without being told apart.
    anonymous: bool,
    ground: &'a mut Ground,
}

impl One<'_> {
    fn resolve(&mut self) -> UpstreamConfig {
        let raw = self.raw;
        let mut reach = self.reach();
        UpstreamConfig {
            name: self.name.to_owned(),
            auth: self.auth(&mut reach),
            reach,
            prefix: self.prefix(),
            isolation: match raw.isolation {
                Some(raw::Isolation::Shared) => Isolation::Shared,
                Some(raw::Isolation::Session) => Isolation::Session,
                Some(raw::Isolation::Handle) => Isolation::Handle,
                Some(raw::Isolation::Request) => Isolation::Request,
                // Strangers that nobody tells apart are one principal, and share nothing unasked.
                None if self.anonymous => Isolation::Request,
                None => Isolation::Shared,
            },
            handle: self.handle(),
            version: self.version(),
            roots: self.roots(),
            show: self.show(),
            pin: match raw.pin {
                raw::Pin::Warn => Pin::Warn,
                raw::Pin::Hide => Pin::Hide,
                raw::Pin::Block => Pin::Block,
            },
            pins: self.pins(),
            idempotent: self.patterns("idempotent", &raw.idempotent),
            bulkhead: BulkheadConfig {
                running_max: raw.max_running.get(),
                waiting_max: raw.max_waiting,
                wait_max: raw.max_wait.get(),
            },
            breaker: self.breaker(),
            timeouts: Timeouts {
                connect: raw.timeouts.connect.get(),
                list: raw.timeouts.list.get(),
                ping: raw.timeouts.ping.get(),
                idle: raw.timeouts.idle.get(),
                parked: raw.timeouts.parked.get(),
            },
            message_max: self.message_max(),
            list_ttl: raw.list_ttl.get(),
        }
    }

    /// The whole path of one of its keys.
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.table)
    }

    /// Complains about one of its keys.
    fn complain(&mut self, key: &str, problem: impl Into<String>) {
        let key = self.key(key);
        self.ground.complain(&[&key], problem);
    }

    /// Complains about an entry of one of its tables of texts.
    fn complain_entry(&mut self, key: &str, entry: &str, problem: impl Into<String>) {
        let key = self.key(key);
        let entry = format!("{key}.{entry}");
        self.ground.complain(&[&entry, &key], problem);
    }

    fn reach(&mut self) -> Reach {
        /// What belongs to one way only.
        const OF_URL: &[&str] = &["headers"];
        const OF_COMMAND: &[&str] = &[
            "env",
            "cwd",
            "max_children",
            "warm",
            "limits.memory",
            "limits.files",
        ];
        let raw = self.raw;
        let (way, reach) = match (&raw.url, &raw.command, raw.builtin) {
            (Some(url), None, None) => ("url", self.at(url)),
            (None, Some(command), None) => ("command", Reach::Command(self.command(command))),
            (None, None, Some(set)) => ("builtin", Reach::InProcess(set_of(set).name().into())),
            (None, None, None) => {
                let keys = ["url", "command", "builtin"].map(|key| self.key(key));
                let problem = "cannot be reached: set its `url`, its `command` or its `builtin`";
                // A way that is written wrong has its complaint already.
                let keys = [&self.table, &keys[0], &keys[1], &keys[2]];
                self.ground.complain(&keys.map(String::as_str), problem);
                return Reach::InProcess(String::new());
            }
            _ => {
                let table = self.table.clone();
                let problem = "is reached in one way: leave all but one of `url`, `command` and \
                               `builtin` out";
                self.ground.complain(&[&table], problem);
                return Reach::InProcess(String::new());
            }
        };
        for (theirs, keys) in [("url", OF_URL), ("command", OF_COMMAND)] {
            for key in keys.iter().filter(|_| theirs != way) {
                if self.ground.is_set(&self.key(key)) {
                    let problem =
                        format!("is for an upstream with `{theirs}`, and this one has `{way}`");
                    self.complain(key, problem);
                }
            }
        }
        reach
    }

    /// At a URL. No complaint repeats it: it may hold a secret.
    fn at(&mut self, text: &str) -> Reach {
        let url = Url::parse(text).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        match &url {
            None => {
                let problem = "must be an http or https URL, as in \"https://example.com/mcp\"";
                self.complain("url", problem);
            }
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                let problem = "must not hold a user or a password: set an `Authorization` header";
                self.complain("url", problem);
            }
            Some(url) if url.fragment().is_some() => {
                self.complain("url", "must not have a part after `#`");
            }
            Some(_) => {}
        }
        let raw = self.raw;
        let headers = raw.headers.iter().map(|(name, value)| {
            let value = self.header(name, value);
            (name.clone(), Secret(value))
        });
        let headers = headers.collect();
        if let Some(url) = url.filter(|url| !is_loopback(url)) {
            self.caution_about_headers(&url);
        }
        Reach::Url {
            url: text.to_owned(),
            headers,
        }
    }

    /// What lets us in there: one more header, or what is issued.
    fn auth(&mut self, reach: &mut Reach) -> Option<oauth::Config> {
        let path = self.key("auth");
        let raw = &self.raw.auth;
        let auth = upstream_auth::resolve(raw, &path, self.environment, self.ground);
        if auth == Auth::Nothing {
            return None;
        }
        let Reach::Url { headers, .. } = reach else {
            self.complain("auth.kind", "is for an upstream with `url`");
            return None;
        };
        let name = match &auth {
            Auth::Header(name, _) => name.clone(),
            Auth::Nothing | Auth::Tokens(_) => "Authorization".to_owned(),
        };
        if headers
            .iter()
            .any(|(header, _)| header.eq_ignore_ascii_case(&name))
        {
            let problem = format!("stands beside an `{name}` in `headers`: leave one of them out");
            self.complain("auth.kind", problem);
        }
        match auth {
            Auth::Nothing => None,
            Auth::Tokens(config) => Some(*config),
            Auth::Header(name, value) => {
                let is_ours = OUR_HEADERS.contains(&&*name.to_ascii_lowercase());
                if is_ours || HeaderName::from_bytes(name.as_bytes()).is_err() {
                    let problem =
                        format!("{name:?} is not the name of a header, or is set by the gateway");
                    self.complain("auth.header", problem);
                } else if HeaderValue::from_str(&value.0).is_err() {
                    let problem = "its secret has characters that no header can have";
                    self.complain("auth.kind", problem);
                } else {
                    headers.push((name, value));
                }
                None
            }
        }
    }

    fn header(&mut self, name: &str, SecretText(entry): &SecretText) -> String {
        let problem = match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => format!("{name:?} is not the name of a header"),
            Ok(name) if OUR_HEADERS.contains(&name.as_str()) => {
                "is set by the gateway itself".to_owned()
            }
            Ok(_) => match secrets::reveal(entry, self.environment) {
                Err(problem) => problem,
                Ok(value) if HeaderValue::from_str(&value).is_ok() => return value,
                Ok(_) => "its value has characters that no header can have".to_owned(),
            },
        };
        self.complain_entry("headers", name, problem);
        String::new()
    }

    /// Says what is allowed and leaves a secret where others may read it.
    fn caution_about_headers(&mut self, url: &Url) {
        let table = &self.table;
        for (name, SecretText(value)) in &self.raw.headers {
            if is_secret(name) && secrets::is_inline(value) {
                self.ground.cautions.push(format!(
                    "{table}.headers.{name}: the secret stands in the configuration itself: write \
                     `env:NAME` or `file:PATH`, or `text:` before it if it is none"
                ));
            }
            if name.eq_ignore_ascii_case("authorization") && url.scheme() == "http" {
                self.ground.cautions.push(format!(
                    "{table}.url: {name} is sent without encryption to another machine"
                ));
            }
        }
    }

    fn command(&mut self, command: &[String]) -> CommandConfig {
        let raw = self.raw;
        if command.first().is_none_or(String::is_empty) {
            self.complain("command", "names no program");
        }
        if command.iter().any(|word| word.contains('\0')) {
            self.complain("command", "no argument can have a zero byte");
        }
        if raw.warm > raw.max_children.get() {
            let (warm, most) = (self.key("warm"), self.key("max_children"));
            let problem = format!("must be at most `{most}` ({})", raw.max_children);
            self.ground.complain(&[&warm, &most], problem);
        }
        if raw
            .cwd
            .as_ref()
            .is_some_and(|path| path.as_os_str().is_empty())
        {
            self.complain("cwd", "names no directory");
        }
        let environment = raw.env.iter().map(|(name, value)| {
            let value = self.variable(name, value);
            (name.clone(), Secret(value))
        });
        CommandConfig {
            environment: environment.collect(),
            command: command.to_vec(),
            directory: raw.cwd.clone(),
            children_max: raw.max_children.get(),
            warm: raw.warm,
            memory_max: raw.limits.memory.map(|size| size.get() as u64),
            files_max: raw.limits.files.map(|count| count.get() as u64),
        }
    }

    /// A variable of a program.
    fn variable(&mut self, name: &str, SecretText(entry): &SecretText) -> String {
        let problem = if name.is_empty() || name.contains(['=', '\0']) {
            format!("{name:?} is not the name of a variable")
        } else {
            match secrets::reveal(entry, self.environment) {
                Err(problem) => problem,
                Ok(value) if !value.contains('\0') => return value,
                Ok(_) => "its value has a zero byte".to_owned(),
            }
        };
        self.complain_entry("env", name, problem);
        String::new()
    }

    /// A prefix is a part of names and of URI schemes, with any separator behind it.
    fn prefix(&mut self) -> String {
        let name = self.name.replace('_', "-");
        let prefix = self.raw.prefix.as_ref().unwrap_or(&name);
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let problem = if RESERVED_PREFIXES.contains(&prefix.as_str()) {
            "is reserved"
        } else if prefix.len() > defaults::PREFIX_BYTES_MAX {
            "must be at most 32 bytes long"
        } else if !prefix.is_empty()
            && !prefix.starts_with(|first: char| first.is_ascii_lowercase())
        {
            "must begin with a lower-case letter"
        } else if !prefix.bytes().all(plain) {
            "is made of lower-case letters, digits and `-`"
        } else {
            return prefix.clone();
        };
        let keys = [self.key("prefix"), self.table.clone()];
        let problem = format!("the prefix {prefix:?} {problem}");
        // A name that is none has its complaint already.
        if self.raw.prefix.is_some() || is_name(self.name) {
            self.ground.complain(&[&keys[0], &keys[1]], problem);
        }
        prefix.clone()
    }

    /// The argument that names a session. Models write it, so it is a plain name.
    fn handle(&mut self) -> String {
        let Some(name) = &self.raw.handle else {
            return defaults::HANDLE.to_owned();
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if self.raw.isolation != Some(raw::Isolation::Handle) {
            self.complain("handle", "is for an upstream with `isolation = \"handle\"`");
        } else if name.is_empty() || !name.bytes().all(plain) {
            let problem =
                format!("{name:?} is not a name: it is made of letters, digits, `_` and `-`");
            self.complain("handle", problem);
        }
        name.clone()
    }

    fn version(&mut self) -> Option<ProtocolVersion> {
        let text = self.raw.version.as_deref()?;
        let version = ProtocolVersion::parse(text);
        if version.is_none() {
            let all = ProtocolVersion::ALL.map(ProtocolVersion::as_str).join(", ");
            let problem = format!("there is no revision {text:?}; there are: {all}");
            self.complain("version", problem);
        }
        version
    }

    fn roots(&mut self) -> Vec<RootConfig> {
        let roots = self.raw.roots.iter().map(|root| match root {
            raw::Root::Uri(uri) => (uri, None),
            raw::Root::Named { uri, name } => (uri, name.clone()),
        });
        let roots = roots.map(|(uri, name)| RootConfig {
            uri: uri.clone(),
            name,
        });
        let roots: Vec<_> = roots.collect();
        for root in &roots {
            if Url::parse(&root.uri).is_err() {
                let problem = format!("{:?} is not a URI, as in \"file:///srv\"", root.uri);
                self.complain("roots", problem);
            }
        }
        roots
    }

    fn show(&mut self) -> Show {
        let raw = self.raw;
        let mut shown = BTreeMap::new();
        for (own, name) in &raw.rename {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
            if name.is_empty() || !name.bytes().all(plain) {
                let problem = format!(
                    "{name:?} is not a name: it is made of letters, digits, `_`, `-`, `.` and `/`"
                );
                self.complain_entry("rename", own, problem);
            } else if let Some(other) = shown.insert(name, own) {
                let problem = format!("{name:?} stands for {other:?} already");
                self.complain_entry("rename", own, problem);
            }
        }
        Show {
            allow: (raw.allow.as_ref()).map(|patterns| self.patterns("allow", patterns)),
            deny: self.patterns("deny", &raw.deny),
            rename: raw.rename.clone(),
            tools: raw
                .tools
                .iter()
                .map(|(name, tool)| {
                    let shown = ToolShown {
                        title: tool.title.clone(),
                        description: tool.description.clone(),
                    };
                    (name.clone(), shown)
                })
                .collect(),
        }
    }

    fn pins(&mut self) -> BTreeMap<String, String> {
        let is_hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        for (tool, hash) in &self.raw.pins {
            if hash.len() != HASH_LEN || !hash.bytes().all(is_hexadecimal) {
                let problem = format!(
                    "{hash:?} is not a hash: it is {HASH_LEN} of the digits 0-9 and a-f, as the log \
                     warns of a change with"
                );
                self.complain_entry("pins", tool, problem);
            }
        }
        self.raw.pins.clone()
    }

    fn patterns(&mut self, key: &str, patterns: &[String]) -> Vec<String> {
        if patterns.iter().any(String::is_empty) {
            self.complain(
                key,
                "an empty pattern fits nothing; `*` stands for anything",
            );
        }
        patterns.to_vec()
    }

    fn breaker(&mut self) -> BreakerConfig {
        let raw = &self.raw.breaker;
        if !(raw.failure_rate > 0.0 && raw.failure_rate <= 1.0) {
            self.complain(
                "breaker.failure_rate",
                "must be more than 0 and at most 1, as in 0.5",
            );
        }
        BreakerConfig {
            failure_rate: raw.failure_rate,
            slow_call: raw.slow_call.map(Period::get),
            window: raw.window.get(),
            calls_min: raw.min_calls.get(),
            open_for: raw.open_for.get(),
        }
    }

    fn message_max(&mut self) -> usize {
        let message = self.raw.limits.message.get();
        if message < defaults::EVENT_MIN {
            self.complain(
                "limits.message",
                "must be at least 4KiB, so that an answer fits",
            );
        }
        message
    }
}

fn set_of(set: raw::Set) -> BuiltinSet {
    match set {
        raw::Set::Demo => BuiltinSet::Demo,
        raw::Set::Conformance => BuiltinSet::Conformance,
    }
}

/// Whether what is sent there stays on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let name = host == "localhost" || host.ends_with(".localhost");
    name || address.is_ok_and(|address| address.is_loopback())
}

/// Whether a header of this name usually holds a secret.
fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 6] = ["auth", "cookie", "key", "password", "secret", "token"];
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}
