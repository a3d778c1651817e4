//! What an endpoint shows: the parts of its upstreams merged, as one immutable picture that calls
//! share and changes replace.
//!
//! A [`Catalog`] finds where a shown name or URI leads, and gives the lists that pages are made of.
//! Where two entries would be shown by one name the first keeps it, in the order of the endpoint's
//! upstreams and then of what each listed, and a warning names both.
//!
//! It does not talk to upstreams and keeps no text of its own: entries are shared with the [`Part`]s.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::definition::Kind;
use super::naming::Naming;
use super::part::{Part, PromptRoute, Shown, ToolRoute};
use super::path::Hop;
use super::warning::{Problem, Warnings};
use crate::protocol::version::ProtocolVersion;
use crate::service::EntryKind;
use crate::service::changes::{CatalogDigest, list_digest};
use crate::service::pages::List;

/// Everything an endpoint shows.
#[derive(Debug)]
pub(super) struct Catalog {
    parts: Vec<Arc<Part>>,
    tools: Merged<ToolRoute>,
    prompts: Merged<PromptRoute>,
    resources: Merged<()>,
    templates: Merged<()>,
    digest: CatalogDigest,
    warnings: Warnings,
}

/// One list of all upstreams.
#[derive(Debug)]
pub(super) struct Merged<R> {
    order: Vec<Arc<Shown<R>>>,
    /// The place in the order, and in the parts.
    index: HashMap<Arc<str>, Place>,
}

/// The same for a gateway, which wants to know how each entry came.
#[derive(Debug)]
pub(super) struct WithPaths<'a, R> {
    list: &'a Merged<R>,
    hop: &'a Hop,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    at: usize,
    part: usize,
}

impl Catalog {
    /// The catalog of these parts, given in the endpoint's order.
    #[must_use]
    pub(super) fn new(parts: Vec<Arc<Part>>) -> Self {
        let mut warnings = Warnings::default();
        let tools = Merged::of(&parts, Kind::Tool, |part| &part.tools, &mut warnings);
        let prompts = Merged::of(&parts, Kind::Prompt, |part| &part.prompts, &mut warnings);
        let resources = Merged::of(
            &parts,
            Kind::Resource,
            |part| &part.resources,
            &mut warnings,
        );
        let templates = Merged::of(
            &parts,
            Kind::Template,
            |part| &part.templates,
            &mut warnings,
        );
        let digest = CatalogDigest::of_lists(
            tools.digest(),
            prompts.digest(),
            resources.digest(),
            templates.digest(),
        );
        Self {
            parts,
            tools,
            prompts,
            resources,
            templates,
            digest,
            warnings,
        }
    }

    /// Where calls of the tool of that shown name lead.
    #[must_use]
    pub(super) fn tool(&self, shown: &str) -> Option<&ToolRoute> {
        self.tools.get(shown)
    }

    /// Where the prompt of that shown name comes from.
    #[must_use]
    pub(super) fn prompt(&self, shown: &str) -> Option<&PromptRoute> {
        self.prompts.get(shown)
    }

    /// Which upstream a tool or prompt would be of that is in no list, and what that would call it.
    /// Sessions with an upstream may have what its list does not.
    #[must_use]
    pub(super) fn unlisted<'a>(&'a self, shown: &'a str) -> Option<(usize, &'a str)> {
        let mut parts = self.parts.iter();
        parts.find_map(|part| Some((part.upstream, part.unlisted(shown)?)))
    }

    /// Which upstream a shown URI or URI template is of, and what that calls it. It need not be in
    /// any list: most resources are not.
    #[must_use]
    pub(super) fn owner_of<'a>(&self, uri: &'a str) -> Option<(usize, Cow<'a, str>)> {
        let mut parts = self.parts.iter();
        parts.find_map(|part| Some((part.upstream, part.naming.own_uri(uri)?)))
    }

    /// How the things of an upstream are named here.
    #[must_use]
    pub(super) fn naming(&self, upstream: usize) -> Option<&Arc<Naming>> {
        let mut parts = self.parts.iter();
        let part = parts.find(|part| part.upstream == upstream);
        part.map(|part| &part.naming)
    }

    /// The tools.
    #[must_use]
    pub(super) const fn tools(&self) -> &Merged<ToolRoute> {
        &self.tools
    }

    /// The prompts.
    #[must_use]
    pub(super) const fn prompts(&self) -> &Merged<PromptRoute> {
        &self.prompts
    }

    /// The resources.
    #[must_use]
    pub(super) const fn resources(&self) -> &Merged<()> {
        &self.resources
    }

    /// The resource templates.
    #[must_use]
    pub(super) const fn templates(&self) -> &Merged<()> {
        &self.templates
    }

    /// Equal for catalogs whose lists are equal.
    #[must_use]
    pub(super) const fn digest(&self) -> CatalogDigest {
        self.digest
    }

    /// The same of those entries alone, by their canonical names.
    #[must_use]
    pub(super) fn digest_of_seen(&self, sees: &dyn Fn(EntryKind, &str) -> bool) -> CatalogDigest {
        CatalogDigest::of_lists(
            self.tools
                .digest_of(|name| sees(EntryKind::Tool, name), &self.parts),
            self.prompts
                .digest_of(|name| sees(EntryKind::Prompt, name), &self.parts),
            self.resources
                .digest_of_keys(|uri| sees(EntryKind::Resource, uri)),
            self.templates
                .digest_of_keys(|uri| sees(EntryKind::Template, uri)),
        )
    }

    /// Which upstream a shown tool or prompt is of, and what rules call it. Also for one that is in no
    /// list: sessions may have it.
    #[must_use]
    pub(super) fn canonical(&self, kind: EntryKind, shown: &str) -> Option<(usize, String)> {
        let listed = match kind {
            EntryKind::Tool => self.tools.canonical(shown, &self.parts),
            EntryKind::Prompt => self.prompts.canonical(shown, &self.parts),
            // Their URIs are what rules are written for, as clients see them.
            EntryKind::Resource | EntryKind::Template => {
                let (upstream, _) = self.owner_of(shown)?;
                return Some((upstream, shown.to_owned()));
            }
        };
        listed.or_else(|| {
            let (upstream, own) = self.unlisted(shown)?;
            Some((upstream, self.naming(upstream)?.canonical_name(own)))
        })
    }

    /// What was left out because of another upstream. What its own did wrong is with each part.
    #[must_use]
    pub(super) const fn warnings(&self) -> &Warnings {
        &self.warnings
    }
}

impl<R> Merged<R> {
    fn of(
        parts: &[Arc<Part>],
        kind: Kind,
        list: impl Fn(&Part) -> &[Arc<Shown<R>>],
        warnings: &mut Warnings,
    ) -> Self {
        let (mut order, mut index) = (Vec::new(), HashMap::<_, Place>::new());
        for (part_at, part) in parts.iter().enumerate() {
            for entry in list(part) {
                if let Some(taken) = index.get(&entry.key) {
                    let problem = Problem::Taken {
                        by: parts[taken.part].name.clone(),
                        shown: entry.key.to_string(),
                    };
                    warnings.add(&part.name, kind, &entry.own_key, problem);
                    continue;
                }
                let place = Place {
                    at: order.len(),
                    part: part_at,
                };
                index.insert(entry.key.clone(), place);
                order.push(entry.clone());
            }
        }
        Self { order, index }
    }

    /// The list as other gateways read it.
    pub(super) const fn with_paths<'a>(&'a self, hop: &'a Hop) -> WithPaths<'a, R> {
        WithPaths { list: self, hop }
    }

    fn get(&self, key: &str) -> Option<&R> {
        let place = self.index.get(key)?;
        self.order.get(place.at).map(|entry| &entry.route)
    }

    /// Which upstream an entry of the list is of, and its canonical name.
    fn canonical(&self, shown: &str, parts: &[Arc<Part>]) -> Option<(usize, String)> {
        let place = self.index.get(shown)?;
        let part = parts.get(place.part)?;
        let own = &self.order.get(place.at)?.own_key;
        Some((part.upstream, part.naming.canonical_name(own)))
    }

    /// The digest of the entries that have such canonical names.
    fn digest_of(&self, sees: impl Fn(&str) -> bool, parts: &[Arc<Part>]) -> u64 {
        self.digest_of_keys(|shown| {
            let canonical = self.canonical(shown, parts);
            canonical.is_some_and(|(_, name)| sees(&name))
        })
    }

    /// The digest of the entries that are shown by such keys.
    fn digest_of_keys(&self, sees: impl Fn(&str) -> bool) -> u64 {
        let seen = self.order.iter().filter(|entry| sees(&entry.key));
        list_digest(seen.map(|entry| entry.definition.as_str()))
    }

    fn digest(&self) -> u64 {
        list_digest(self.order.iter().map(|entry| entry.definition.as_str()))
    }
}

impl<R> List for Merged<R> {
    fn count(&self) -> usize {
        self.order.len()
    }

    fn key(&self, at: usize) -> &str {
        &self.order[at].key
    }

    fn position(&self, key: &str) -> Option<usize> {
        self.index.get(key).map(|place| place.at)
    }

    fn push_entry(&self, at: usize, version: ProtocolVersion, out: &mut String) {
        self.order[at].definition.push(version, out);
    }
}

impl<R> List for WithPaths<'_, R> {
    fn count(&self) -> usize {
        self.list.count()
    }

    fn key(&self, at: usize) -> &str {
        self.list.key(at)
    }

    fn position(&self, key: &str) -> Option<usize> {
        self.list.position(key)
    }

    fn push_entry(&self, at: usize, version: ProtocolVersion, out: &mut String) {
        let mut entry = String::new();
        self.list.push_entry(at, version, &mut entry);
        let path = self.list.order[at].definition.path();
        self.hop.push(&entry, path, out);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::{Value, json};
    use tokio_util::sync::CancellationToken;

    use super::super::config::UpstreamConfig;
    use super::super::part::Offered;
    use super::super::part::tests::{hop, offered, upstream};
    use super::super::pins::Pins;
    use super::*;
    use crate::identity::Caller;
    use crate::protocol::capabilities::ClientCapabilities;
    use crate::protocol::jsonrpc::Params;
    use crate::protocol::raw::RawJson;
    use crate::runtime::seal::ClusterKeys;
    use crate::service::pages::Pages;
    use crate::service::{CacheHints, CallContext, Client, Deadline, Ongoing, Quiet};

    fn catalog(separator: &str, upstreams: &[(UpstreamConfig, Offered)]) -> Catalog {
        let parts = upstreams.iter().enumerate();
        let part = |(at, (config, offered)): (usize, &(UpstreamConfig, Offered))| {
            let gateway = (&hop(), separator);
            Arc::new(Part::new(at, config, gateway, offered, &Pins::default()))
        };
        Catalog::new(parts.map(part).collect())
    }

    fn keys(list: &impl List) -> Vec<&str> {
        (0..list.count()).map(|at| list.key(at)).collect()
    }

    fn entry(list: &impl List, at: usize) -> Value {
        let mut text = String::new();
        list.push_entry(at, ProtocolVersion::NEWEST, &mut text);
        serde_json::from_str(&text).unwrap()
    }

    fn raw(value: Value) -> RawJson {
        RawJson::of(&value)
    }

    #[test]
    fn lists_follow_the_order_of_the_upstreams_and_then_their_own() {
        let catalog = catalog(
            ".",
            &[
                (upstream("zeta", "z"), offered(&["b", "a"])),
                (upstream("gone", "gone"), offered(&[])),
                (upstream("alpha", "a"), offered(&["b", "c.d"])),
            ],
        );
        assert_eq!(keys(catalog.tools()), ["z.b", "z.a", "a.b", "a.c.d"]);
        assert_eq!(entry(catalog.tools(), 3)["name"], "a.c.d");
        assert_eq!(catalog.tools().position("a.b"), Some(2));
        let route = catalog.tool("a.c.d").unwrap();
        assert_eq!((route.upstream, &*route.own_name), (2, "c.d"));
        assert!(catalog.tool("a.d").is_none() && catalog.tool("c.d").is_none());
        assert_eq!(catalog.unlisted("a.other"), Some((2, "other")));
        assert_eq!(catalog.unlisted("gone.other"), Some((1, "other")));
        assert_eq!(catalog.unlisted("other"), None);
        assert_eq!(catalog.warnings(), &Warnings::default());
    }

    #[test]
    fn pages_go_on_in_the_next_upstream() {
        let catalog = catalog(
            ".",
            &[
                (upstream("a", "a"), offered(&["one", "two"])),
                (upstream("b", "b"), offered(&["one", "two"])),
            ],
        );
        let pages = Pages {
            seal: ClusterKeys::generate().seal("cursor"),
            size: 3,
        };
        let context = CallContext {
            caller: Arc::new(Caller::local()),
            origin: Arc::default(),
            credential: None,
            endpoint: "main".into(),
            session: None,
            version: ProtocolVersion::V2025_11_25,
            client: Arc::new(Client {
                capabilities: ClientCapabilities::parse(raw(json!({}))).unwrap(),
                info: None,
            }),
            progress_token: None,
            cancel: CancellationToken::new(),
            deadline: Deadline::after(Duration::from_secs(1)),
            outlet: Arc::new(Quiet),
            ongoing: Ongoing::default(),
        };
        let cache = CacheHints {
            ttl_ms: 7,
            public: true,
        };
        let page = |params: Value| {
            let params = Params::new(raw(params));
            let reply = pages.page(catalog.tools(), "tools", &context, &params, cache);
            let reply = reply.unwrap();
            assert_eq!(reply.cache, cache);
            let page = reply.members.to_value();
            let names = page["tools"].as_array().unwrap().iter();
            let names = names.map(|tool| tool["name"].as_str().unwrap().to_owned());
            (names.collect::<Vec<_>>(), page["nextCursor"].clone())
        };
        let (first, cursor) = page(json!({}));
        assert_eq!(first, ["a.one", "a.two", "b.one"]);
        let (last, cursor) = page(json!({"cursor": cursor}));
        assert_eq!(last, ["b.two"]);
        assert_eq!(cursor, Value::Null);
    }

    #[test]
    fn rules_know_a_tool_by_one_name_however_it_is_shown() {
        let long = "create_an_issue_with_all_of_its_custom_fields_and_then_some_more";
        for (separator, name, shown) in [
            (".", "search", Some("jira.search")),
            ("__", "search", Some("jira__search")),
            ("__", "issues.get", None),
            (".", long, None),
        ] {
            let listed = offered(&[name]);
            let catalog = catalog(separator, &[(upstream("jira", "jira"), listed)]);
            let [key] = keys(catalog.tools())[..] else {
                panic!("one tool")
            };
            let route = catalog.tool(key).unwrap();
            assert_eq!(&*route.own_name, name);
            assert_eq!(route.canonical_name, format!("jira.{name}"));
            assert_eq!(entry(catalog.tools(), 0)["name"], key);
            assert!(shown.is_none_or(|shown| shown == key), "{key}");
        }
    }

    #[test]
    fn the_first_of_two_with_one_name_keeps_it() {
        let mut renaming = upstream("jira", "j");
        renaming.show.rename = BTreeMap::from([("find".to_owned(), "search".to_owned())]);
        let catalog = catalog(
            ".",
            &[
                (renaming, offered(&["search", "find"])),
                (upstream("copy", "j"), offered(&["other", "search"])),
            ],
        );
        assert_eq!(keys(catalog.tools()), ["j.search", "j.other"]);
        assert_eq!(&*catalog.tool("j.search").unwrap().own_name, "search");
        assert_eq!(catalog.tool("j.other").unwrap().upstream, 1);
        let said = catalog.warnings().said.iter();
        let said = said.map(|warning| (&*warning.upstream, warning.to_string()));
        let why = r#"is left out: upstream "jira" already shows one as "j.search""#;
        let expected = [
            ("jira", format!(r#"tool "find" {why}"#)),
            ("copy", format!(r#"tool "search" {why}"#)),
        ];
        assert_eq!(said.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_uri_leads_to_its_upstream_whether_it_is_listed_or_not() {
        let mut listed = offered(&[]);
        listed.resources = vec![
            raw(json!({"uri": "file:///a", "name": "a"})),
            raw(json!({"uri": "ui://board", "name": "board", "mimeType": "text/html"})),
        ];
        listed.templates = vec![raw(
            json!({"uriTemplate": "file:///{path}", "name": "files"}),
        )];
        let merged = catalog(
            ".",
            &[
                (upstream("demo", "demo"), offered(&[])),
                (upstream("files", "f"), listed.clone()),
            ],
        );
        assert_eq!(keys(merged.resources()), ["f+file:///a", "ui://f+board"]);
        assert_eq!(entry(merged.resources(), 0)["uri"], "f+file:///a");
        assert_eq!(entry(merged.resources(), 0)["name"], "a");
        let template = &entry(merged.templates(), 0)["uriTemplate"];
        assert_eq!(template, "f+file:///{path}");
        for (uri, owner) in [
            ("f+file:///a", Some((1, "file:///a"))),
            ("f+file:///not/listed", Some((1, "file:///not/listed"))),
            ("f+file:///{path}", Some((1, "file:///{path}"))),
            ("ui://f+board", Some((1, "ui://board"))),
            ("demo+clock://now", Some((0, "clock://now"))),
            ("ui://board", None),
            ("file:///a", None),
        ] {
            let owner = owner.map(|(upstream, uri)| (upstream, Cow::Borrowed(uri)));
            assert_eq!(merged.owner_of(uri), owner, "{uri}");
        }
        let shown = merged.naming(1).map(|naming| naming.shown_uri("a:b"));
        assert_eq!(shown.as_deref(), Some("f+a:b"));

        let sole = catalog(".", &[(upstream("files", ""), listed)]);
        assert_eq!(keys(sole.resources()), ["file:///a", "ui://board"]);
        let owner = Some((0, Cow::Borrowed("ui://any")));
        assert_eq!(sole.owner_of("ui://any"), owner);
    }

    #[test]
    fn digests_are_equal_when_the_lists_are() {
        let of = |tools: &[&str], prompt: Value| {
            let mut listed = offered(tools);
            listed.prompts = vec![raw(prompt)];
            catalog(".", &[(upstream("jira", "j"), listed)]).digest()
        };
        let first = of(&["a", "b"], json!({"name": "p"}));
        assert_eq!(of(&["a", "b"], json!({"name": "p"})), first);
        let other_order = of(&["b", "a"], json!({"name": "p"}));
        assert_ne!(other_order.tools, first.tools);
        assert_eq!(other_order.prompts, first.prompts);
        let other_text = of(&["a", "b"], json!({"name": "p", "description": "new"}));
        assert_ne!(other_text.prompts, first.prompts);
        assert_eq!(other_text.tools, first.tools);
    }

    #[test]
    fn apps_are_the_same_in_every_list() {
        let mut listed = offered(&[]);
        listed.tools = vec![raw(
            json!({"name": "show", "inputSchema": {"type": "object"},
            "_meta": {"ui": {"resourceUri": "ui://board", "visibility": ["app"]}}}),
        )];
        listed.resources = vec![raw(json!({"uri": "ui://board", "name": "board"}))];
        let catalog = catalog(".", &[(upstream("jira", "j"), listed)]);
        let ui = &entry(catalog.tools(), 0)["_meta"]["ui"];
        assert_eq!(ui["resourceUri"], keys(catalog.resources())[0]);
        assert_eq!(ui["visibility"], json!(["app"]));
        assert_eq!(catalog.owner_of("ui://j+board").unwrap().1, "ui://board");
    }

    #[test]
    fn every_revision_reads_the_same_text_where_it_can() {
        let catalog = catalog(".", &[(upstream("jira", "j"), offered(&["a"]))]);
        for version in ProtocolVersion::ALL {
            let mut text = String::new();
            catalog.tools().push_entry(0, version, &mut text);
            assert_eq!(text, r#"{"inputSchema":{"type":"object"},"name":"j.a"}"#);
        }
    }
}
