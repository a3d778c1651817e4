//! What a server offers, as one immutable picture that calls share and changes replace.
//!
//! [`Catalog`] holds four [`Listed`] sets in the order of registration. Whoever changes something
//! clones the picture, changes the clone and puts it in place, so a running call keeps the picture
//! it began with.
//!
//! Spec: server/tools, prompts and resources, listing.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::audience::Audience;
use super::error::RegistrationError;
use super::prompt::RegisteredPrompt;
use super::resource::RegisteredResource;
use super::template::RegisteredTemplate;
use super::tool::RegisteredTool;
use crate::identity::Caller;
use crate::protocol::raw::RawJson;
use crate::protocol::tool::TaskSupport;
use crate::protocol::version::ProtocolVersion;
use crate::service::changes::{CatalogDigest, list_digest};
use crate::service::pages::List;
use crate::service::{EntryKind, Sees};

/// Something that stands in a list.
pub(super) trait Entry {
    /// What it is, in messages.
    const KIND: &'static str;

    /// The name, URI or template it is known by.
    fn key(&self) -> &str;

    /// Who may see it.
    fn audience(&self) -> &Audience;

    /// Its entry in the list.
    fn entry(&self, version: ProtocolVersion) -> &RawJson;
}

/// Everything a server offers.
#[derive(Clone, Default)]
pub(super) struct Catalog {
    pub(super) tools: Listed<RegisteredTool>,
    pub(super) prompts: Listed<RegisteredPrompt>,
    pub(super) resources: Listed<RegisteredResource>,
    pub(super) templates: Listed<RegisteredTemplate>,
}

/// Entries of one kind, in the order they were added.
pub(super) struct Listed<T> {
    order: Vec<Arc<T>>,
    index: HashMap<String, usize>,
    /// Whether there ever was one: what was once declared stays declared.
    offered: bool,
    /// Whether some entry is not for everybody. Where none is, everybody shares this very list.
    restricted: bool,
    digest: u64,
}

impl Catalog {
    /// Whether resources of either form are offered.
    pub(super) const fn offers_resources(&self) -> bool {
        self.resources.offered || self.templates.offered
    }

    /// Whether some argument can be completed.
    pub(super) fn offers_completions(&self) -> bool {
        self.prompts.iter().any(|prompt| prompt.completes())
            || self.templates.iter().any(|template| template.completes())
    }

    /// Whether some tool's calls may be tasks.
    pub(super) fn offers_tasks(&self) -> bool {
        self.tools
            .iter()
            .any(|tool| tool.task_use().support != TaskSupport::Forbidden)
    }

    /// Whether `caller` can read a resource at `uri`.
    pub(super) fn resolves(&self, uri: &str, caller: &Caller) -> bool {
        self.resources.get(uri, caller).is_some()
            || self
                .templates
                .seen_by(caller)
                .iter()
                .any(|template| template.matches(uri))
    }

    /// Whether there may be a resource at `uri` that only some can read.
    pub(super) const fn restricts_resources(&self) -> bool {
        self.resources.restricted || self.templates.restricted
    }

    pub(super) fn digest(&self, caller: &Caller, sees: Sees<'_>) -> CatalogDigest {
        CatalogDigest::of_lists(
            self.tools.digest(EntryKind::Tool, caller, sees),
            self.prompts.digest(EntryKind::Prompt, caller, sees),
            self.resources.digest(EntryKind::Resource, caller, sees),
            self.templates.digest(EntryKind::Template, caller, sees),
        )
    }
}

impl<T: Entry> Listed<T> {
    /// Adds an entry; the error names one that is there already.
    pub(super) fn add(&mut self, entry: T) -> Result<(), RegistrationError> {
        if self.index.contains_key(entry.key()) {
            return Err(RegistrationError::Duplicate {
                kind: T::KIND,
                name: entry.key().to_owned(),
            });
        }
        self.put(entry);
        Ok(())
    }

    /// Adds an entry, or replaces the one of its name where that stands.
    /// Whoever sees a difference is given back.
    pub(super) fn put(&mut self, entry: T) -> Audience {
        let mut audience = entry.audience().clone();
        if let Some(at) = self.index.get(entry.key()) {
            audience = audience.or(self.order[*at].audience().clone());
            self.order[*at] = Arc::new(entry);
        } else {
            self.index.insert(entry.key().to_owned(), self.order.len());
            self.order.push(Arc::new(entry));
        }
        self.offered = true;
        self.renew();
        audience
    }

    /// Takes an entry out; whoever saw it, if it was there.
    pub(super) fn remove(&mut self, key: &str) -> Option<Audience> {
        let at = self.index.remove(key)?;
        let removed = self.order.remove(at);
        for later in self.index.values_mut().filter(|later| **later > at) {
            *later -= 1;
        }
        self.renew();
        Some(removed.audience().clone())
    }

    /// The entry, if `caller` may see it.
    pub(super) fn get(&self, key: &str, caller: &Caller) -> Option<&Arc<T>> {
        let entry = self.index.get(key).and_then(|at| self.order.get(*at))?;
        entry.audience().has(caller).then_some(entry)
    }

    /// The list as `caller` sees it.
    pub(super) fn seen_by(&self, caller: &Caller) -> Cow<'_, Self> {
        if !self.restricted {
            return Cow::Borrowed(self);
        }
        let order = self.order.iter();
        let order = order
            .filter(|entry| entry.audience().has(caller))
            .cloned()
            .collect::<Vec<_>>();
        let keys = order.iter().map(|entry| entry.key().to_owned());
        Cow::Owned(Self {
            index: keys.zip(0..).collect(),
            order,
            ..*self
        })
    }

    /// Whether somebody may see another list than somebody else.
    pub(super) const fn is_restricted(&self) -> bool {
        self.restricted
    }

    fn digest(&self, kind: EntryKind, caller: &Caller, sees: Sees<'_>) -> u64 {
        if let Some(sees) = sees {
            let seen = self.seen_by(caller);
            let entries = seen.order.iter().filter(|entry| sees(kind, entry.key()));
            return digest_of(entries);
        }
        if self.restricted {
            self.seen_by(caller).fresh_digest()
        } else {
            self.digest
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.order.iter()
    }

    pub(super) const fn offered(&self) -> bool {
        self.offered
    }

    /// Brings up to date what follows from the entries.
    fn renew(&mut self) {
        let mut entries = self.order.iter();
        self.restricted = entries.any(|entry| !entry.audience().is_everybody());
        self.digest = self.fresh_digest();
    }

    /// The same on every node that offers the same.
    fn fresh_digest(&self) -> u64 {
        digest_of(self.order.iter())
    }
}

impl<T: Entry> List for Listed<T> {
    fn count(&self) -> usize {
        self.order.len()
    }

    fn key(&self, at: usize) -> &str {
        self.order[at].key()
    }

    fn position(&self, key: &str) -> Option<usize> {
        self.index.get(key).copied()
    }

    fn push_entry(&self, at: usize, version: ProtocolVersion, out: &mut String) {
        out.push_str(self.order[at].entry(version).as_str());
    }
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            index: HashMap::new(),
            offered: false,
            restricted: false,
            digest: 0,
        }
    }
}

impl<T> Clone for Listed<T> {
    fn clone(&self) -> Self {
        Self {
            order: self.order.clone(),
            index: self.index.clone(),
            offered: self.offered,
            restricted: self.restricted,
            digest: self.digest,
        }
    }
}

fn digest_of<'a, T: Entry + 'a>(entries: impl Iterator<Item = &'a Arc<T>>) -> u64 {
    list_digest(entries.map(|entry| entry.entry(ProtocolVersion::NEWEST).as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(&'static str, RawJson, Audience);

    impl Entry for Named {
        const KIND: &'static str = "thing";
        fn key(&self) -> &str {
            self.0
        }
        fn audience(&self) -> &Audience {
            &self.2
        }
        fn entry(&self, _: ProtocolVersion) -> &RawJson {
            &self.1
        }
    }

    fn named(name: &'static str) -> Named {
        Named(name, RawJson::of(name), Audience::default())
    }

    #[test]
    fn entries_keep_their_order_and_digests_tell_lists_apart() {
        let mut listed = Listed::default();
        for name in ["c", "a", "b"] {
            listed.add(named(name)).unwrap();
        }
        let before = listed.digest;
        assert!(listed.add(named("a")).is_err());
        assert!(listed.remove("a").is_some());
        assert!(listed.remove("a").is_none());
        let names = listed.iter().map(|entry| entry.0).collect::<Vec<_>>();
        assert_eq!(names, ["c", "b"]);
        assert_eq!(listed.position("b"), Some(1));
        assert_ne!(listed.digest, before);
        listed.put(named("b"));
        assert_eq!(listed.count(), 2);
    }

    #[test]
    fn a_list_is_shared_until_an_entry_is_for_some_only() {
        let (alice, bob) = (Caller::known_as("alice"), Caller::known_as("bob"));
        let mut listed = Listed::default();
        listed.put(named("a"));
        listed.put(named("b"));
        assert!(matches!(listed.seen_by(&bob), Cow::Borrowed(_)));
        let open = listed.digest(EntryKind::Tool, &bob, None);

        let mut secret = named("a0");
        secret.2.narrow(|caller| caller.principal.key() == "alice");
        let audience = listed.put(secret);

        assert!(audience.has(&alice) && !audience.has(&bob));
        assert_eq!(
            listed.digest(EntryKind::Tool, &bob, None),
            open,
            "nothing changed for bob"
        );
        assert_ne!(listed.digest(EntryKind::Tool, &alice, None), open);
        assert_eq!(listed.seen_by(&bob).position("b"), Some(1));
        assert!(listed.get("a0", &alice).is_some() && listed.get("a0", &bob).is_none());
        listed.remove("a0");
        assert!(!listed.is_restricted());
    }
}
