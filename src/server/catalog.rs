//! What a server offers, as one immutable picture that calls share and changes replace.
//!
//! [`Catalog`] holds four [`Listed`] sets in the order of registration. Whoever changes something
//! clones the picture, changes the clone and puts it in place, so a running call keeps the picture
//! it began with.
//!
//! Spec: server/tools, prompts and resources, listing.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::RegistrationError;
use super::prompt::RegisteredPrompt;
use super::resource::RegisteredResource;
use super::template::RegisteredTemplate;
use super::tool::RegisteredTool;
use crate::protocol::raw::RawJson;
use crate::protocol::tool::TaskSupport;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::seal;
use crate::service::changes::CatalogDigest;

/// Something that stands in a list.
pub(super) trait Entry {
    /// What it is, in messages.
    const KIND: &'static str;

    /// The name, URI or template it is known by.
    fn key(&self) -> &str;

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

    /// Whether a resource can be read at `uri`.
    pub(super) fn resolves(&self, uri: &str) -> bool {
        self.resources.get(uri).is_some()
            || self.templates.iter().any(|template| template.matches(uri))
    }

    pub(super) const fn digest(&self) -> CatalogDigest {
        CatalogDigest {
            tools: self.tools.digest,
            prompts: self.prompts.digest,
            resources: self.resources.digest ^ self.templates.digest.rotate_left(1),
        }
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
    pub(super) fn put(&mut self, entry: T) {
        if let Some(at) = self.index.get(entry.key()) {
            self.order[*at] = Arc::new(entry);
        } else {
            self.index.insert(entry.key().to_owned(), self.order.len());
            self.order.push(Arc::new(entry));
        }
        self.offered = true;
        self.renew_digest();
    }

    /// Takes an entry out; whether it was there.
    pub(super) fn remove(&mut self, key: &str) -> bool {
        let Some(at) = self.index.remove(key) else {
            return false;
        };
        self.order.remove(at);
        for later in self.index.values_mut().filter(|later| **later > at) {
            *later -= 1;
        }
        self.renew_digest();
        true
    }

    pub(super) fn get(&self, key: &str) -> Option<&Arc<T>> {
        self.index.get(key).and_then(|at| self.order.get(*at))
    }

    pub(super) fn position(&self, key: &str) -> Option<usize> {
        self.index.get(key).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.order.iter()
    }

    pub(super) const fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn slice(&self, range: std::ops::Range<usize>) -> &[Arc<T>] {
        self.order.get(range).unwrap_or_default()
    }

    pub(super) const fn offered(&self) -> bool {
        self.offered
    }

    /// The same on every node that offers the same.
    fn renew_digest(&mut self) {
        let entries = self
            .order
            .iter()
            .map(|entry| entry.entry(ProtocolVersion::NEWEST).as_str().as_bytes())
            .collect::<Vec<_>>();
        let digest = seal::digest(&entries);
        self.digest = digest
            .iter()
            .take(8)
            .fold(0, |digest, byte| digest << 8 | u64::from(*byte));
    }
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            index: HashMap::new(),
            offered: false,
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
            digest: self.digest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(&'static str, RawJson);

    impl Entry for Named {
        const KIND: &'static str = "thing";
        fn key(&self) -> &str {
            self.0
        }
        fn entry(&self, _: ProtocolVersion) -> &RawJson {
            &self.1
        }
    }

    fn named(name: &'static str) -> Named {
        Named(name, RawJson::of(name))
    }

    #[test]
    fn entries_keep_their_order_and_digests_tell_lists_apart() {
        let mut listed = Listed::default();
        for name in ["c", "a", "b"] {
            listed.add(named(name)).unwrap();
        }
        let before = listed.digest;
        assert!(listed.add(named("a")).is_err());
        assert!(listed.remove("a"));
        assert!(!listed.remove("a"));
        let names = listed.iter().map(|entry| entry.0).collect::<Vec<_>>();
        assert_eq!(names, ["c", "b"]);
        assert_eq!(listed.position("b"), Some(1));
        assert_ne!(listed.digest, before);
        listed.put(named("b"));
        assert_eq!(listed.len(), 2);
    }
}
