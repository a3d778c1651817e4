//! What the names and URIs of an upstream are for the clients of an endpoint, and back.
//!
//! A [`Naming`] puts a prefix before them: `jira` makes `jira.search` of the tool `search`,
//! `jira+file:///a` of a URI, and of a `ui:` URI one that keeps its scheme, because hosts know apps
//! by it. Without a prefix everything passes as it is.
//!
//! A name that clients could not take, too long or with other characters than they allow, is shown
//! by an *alias*: as much of it as there is room for, and a digest. An alias cannot be turned back;
//! whoever listed the name remembers it. So that no name looks like the alias of another, what
//! looks like an alias gets one too.
//!
//! It does not rename and knows no lists; `catalog.rs` does both. Nothing here can fail.
//!
//! Invariants:
//! - A shown name begins with the prefix and the separator, so it tells its upstream.
//! - What is turned back was shown: [`Naming::own_name`] of a shown name is its name or nothing.
//!
//! Spec: server/tools, tool names; MCP Apps, `ui:` resources.

use std::borrow::Cow;

use crate::runtime::seal;

/// Longest name that is shown with a prefix, in bytes: what hosts pass on to their models.
pub(super) const SHOWN_NAME_MAX: usize = 64;
/// Longest prefix, in bytes: it leaves an alias room for words.
pub(super) const PREFIX_MAX: usize = 32;
/// Digits of an alias's digest. An endpoint has thousands of names, not the tens of thousands
/// among which two would likely meet; those that do are found when lists are merged.
const DIGEST_DIGITS: usize = 8;
/// Between the words of an alias and its digest; in every alphabet of names.
const BEFORE_DIGEST: char = '-';

/// The scheme of resources that are apps.
const UI: &str = "ui://";
/// Between a prefix and a URI: may stand in a scheme, so what is shown is a URI too.
const BEFORE_URI: char = '+';

const _: () = assert!(PREFIX_MAX + "__".len() + 1 + DIGEST_DIGITS < SHOWN_NAME_MAX);

/// How the things of one upstream are named at one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Naming {
    prefix: String,
    separator: String,
}

impl Naming {
    /// Names with this prefix, if it is not empty. It has at most [`PREFIX_MAX`] lower-case
    /// letters, digits and `-`, and so never contains the separator.
    #[must_use]
    pub(super) fn new(prefix: &str, separator: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            separator: separator.to_owned(),
        }
    }

    /// Whether names and URIs are other ones for clients.
    #[must_use]
    pub(super) const fn has_prefix(&self) -> bool {
        !self.prefix.is_empty()
    }

    /// The name clients see.
    #[must_use]
    pub(super) fn shown_name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.prefix.is_empty() {
            return Cow::Borrowed(name);
        }
        let shown = format!("{}{}{name}", self.prefix, self.separator);
        Cow::Owned(if self.needs_alias(name, &shown) {
            self.alias(name)
        } else {
            shown
        })
    }

    /// The name behind a shown one; `None` when it is of another upstream, and for an alias.
    #[must_use]
    pub(super) fn own_name<'a>(&self, shown: &'a str) -> Option<&'a str> {
        if self.prefix.is_empty() {
            return Some(shown);
        }
        let name = shown.strip_prefix(&*self.prefix)?;
        let name = name.strip_prefix(&*self.separator)?;
        (!self.needs_alias(name, shown)).then_some(name)
    }

    /// The name rules are written for: the same whatever separates names at an endpoint, and whole
    /// where clients see an alias.
    #[must_use]
    pub(super) fn canonical_name(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }

    /// The URI clients see, or the URI template.
    #[must_use]
    pub(super) fn shown_uri<'a>(&self, uri: &'a str) -> Cow<'a, str> {
        let prefix = &self.prefix;
        if prefix.is_empty() {
            return Cow::Borrowed(uri);
        }
        Cow::Owned(match uri.strip_prefix(UI) {
            Some(rest) => format!("{UI}{prefix}{BEFORE_URI}{rest}"),
            None => format!("{prefix}{BEFORE_URI}{uri}"),
        })
    }

    /// The URI behind a shown one; `None` when it is of another upstream.
    #[must_use]
    pub(super) fn own_uri<'a>(&self, shown: &'a str) -> Option<Cow<'a, str>> {
        if self.prefix.is_empty() {
            return Some(Cow::Borrowed(shown));
        }
        let after_prefix = |text: &'a str| {
            text.strip_prefix(&*self.prefix)
                .and_then(|rest| rest.strip_prefix(BEFORE_URI))
        };
        match shown.strip_prefix(UI) {
            Some(rest) => after_prefix(rest).map(|rest| format!("{UI}{rest}").into()),
            None => after_prefix(shown).map(Cow::Borrowed),
        }
    }

    fn needs_alias(&self, name: &str, shown: &str) -> bool {
        name.is_empty()
            || shown.len() > SHOWN_NAME_MAX
            || !name.chars().all(|char| self.allows(char))
            || looks_like_alias(name)
    }

    fn alias(&self, name: &str) -> String {
        let (prefix, separator) = (&self.prefix, &self.separator);
        let canonical = self.canonical_name(name);
        let digest = seal::digest(&[canonical.as_bytes()]);
        let digest = digest.iter().map(|byte| format!("{byte:02x}"));
        let digest = digest.collect::<String>();
        let used = prefix.len() + separator.len() + BEFORE_DIGEST.len_utf8() + DIGEST_DIGITS;
        let words = name
            .chars()
            .map(|char| if self.allows(char) { char } else { '_' })
            .take(SHOWN_NAME_MAX.saturating_sub(used))
            .collect::<String>();
        format!(
            "{prefix}{separator}{words}{BEFORE_DIGEST}{}",
            &digest[..DIGEST_DIGITS]
        )
    }

    /// Hosts whose models take letters, digits, `_` and `-` only are why there are separators
    /// other than the dot.
    fn allows(&self, char: char) -> bool {
        char.is_ascii_alphanumeric()
            || matches!(char, '_' | '-')
            || (self.separator == "." && matches!(char, '.' | '/'))
    }
}

fn looks_like_alias(name: &str) -> bool {
    name.rsplit_once(BEFORE_DIGEST).is_some_and(|(_, digest)| {
        digest.len() == DIGEST_DIGITS
            && digest
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dotted() -> Naming {
        Naming::new("jira", ".")
    }

    #[test]
    fn names_get_the_prefix_and_lose_it_again() {
        for (separator, name, shown) in [
            (".", "search", "jira.search"),
            (".", "issues.get.one", "jira.issues.get.one"),
            (".", "admin/tools/list", "jira.admin/tools/list"),
            (".", "__x", "jira.__x"),
            ("__", "get_one", "jira__get_one"),
            ("__", "_x", "jira___x"),
            ("__", "a__b", "jira__a__b"),
        ] {
            let naming = Naming::new("jira", separator);
            assert_eq!(naming.shown_name(name), shown);
            assert_eq!(naming.own_name(shown), Some(name));
        }
        for other in ["jira", "jira.", "jirasearch", "jira-2.search", "search", ""] {
            assert_eq!(dotted().own_name(other), None, "{other}");
        }
    }

    #[test]
    fn without_a_prefix_everything_passes() {
        let naming = Naming::new("", ".");
        let long = "x".repeat(200);
        for name in ["search", "a.b", "ein Name", "", &long] {
            assert_eq!(naming.shown_name(name), name);
            assert_eq!(naming.own_name(name), Some(name));
            assert_eq!(naming.canonical_name(name), name);
            assert_eq!(naming.shown_uri(name), name);
            assert_eq!(naming.own_uri(name).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_clients_could_not_take_has_an_alias_that_says_what_it_is() {
        let long = "create_an_issue_with_all_of_its_custom_fields_and_then_some_more";
        for (separator, name, begins) in [
            (
                ".",
                long,
                "jira.create_an_issue_with_all_of_its_custom_fields_and_-",
            ),
            (".", "get one", "jira.get_one-"),
            (".", "größe", "jira.gr__e-"),
            ("__", "issues.get", "jira__issues_get-"),
            (".", "build-deadbeef", "jira.build-deadbeef-"),
        ] {
            let naming = Naming::new("jira", separator);
            let alias = naming.shown_name(name).into_owned();
            assert!(alias.starts_with(begins), "{alias}");
            assert_eq!(alias.len(), begins.len() + DIGEST_DIGITS);
            assert!(alias.len() <= SHOWN_NAME_MAX);
            assert_eq!(naming.shown_name(name), alias, "the same every time");
            assert_eq!(naming.own_name(&alias), None, "only its list knows it");
            assert_eq!(naming.canonical_name(name), format!("jira.{name}"));
        }
        let two = ["get one", "get_one!"].map(|name| dotted().shown_name(name).into_owned());
        assert_ne!(two[0], two[1]);
    }

    #[test]
    fn uris_stay_uris_and_apps_stay_apps() {
        for (uri, shown) in [
            ("file:///a", "jira+file:///a"),
            ("ui://board/main.html", "ui://jira+board/main.html"),
            ("file:///{path}", "jira+file:///{path}"),
            ("{+uri}", "jira+{+uri}"),
            ("ui://{view}", "ui://jira+{view}"),
            ("jira+file:///a", "jira+jira+file:///a"),
        ] {
            assert_eq!(dotted().shown_uri(uri), shown);
            assert_eq!(dotted().own_uri(shown).as_deref(), Some(uri));
        }
        for other in ["file:///a", "ui://board", "jir+a:b", "ui://jira", "jira"] {
            assert_eq!(dotted().own_uri(other), None, "{other}");
        }
    }

    fn namings() -> impl Strategy<Value = Naming> {
        ("[a-z0-9-]{1,32}", prop_oneof![Just("."), Just("__")])
            .prop_map(|(prefix, separator)| Naming::new(&prefix, separator))
    }

    fn names() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[a-z_./-]{1,20}",
            "[a-z]{20,70}",
            "[a-b. ]{1,3}",
            "[a-c]{0,2}-[0-9a-f]{8}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn a_shown_name_is_one_that_clients_take_and_leads_back(
            naming in namings(),
            name in names(),
        ) {
            let shown = naming.shown_name(&name);
            prop_assert!(shown.len() <= SHOWN_NAME_MAX);
            let start = format!("{}{}", naming.prefix, naming.separator);
            prop_assert!(shown.starts_with(&start));
            prop_assert!(shown[start.len()..].chars().all(|char| naming.allows(char)));
            let is_whole = shown == format!("{start}{name}");
            prop_assert_eq!(naming.own_name(&shown), is_whole.then_some(&*name));
        }

        #[test]
        fn no_two_names_share_a_shown_one(naming in namings(), one in names(), other in names()) {
            let shown = naming.shown_name(&one);
            prop_assert_eq!(shown == naming.shown_name(&other), one == other);
            // Nor does a name that an upstream copies from what is shown of another.
            let stem = shown.split_at(naming.prefix.len() + naming.separator.len()).1;
            prop_assert_eq!(naming.shown_name(stem) == shown, stem == one);
        }

        #[test]
        fn whatever_is_asked_for_was_shown_or_is_unknown(
            naming in namings(),
            start in prop_oneof![Just(""), Just("ui://")],
            rest in names(),
        ) {
            let (prefix, separator) = (&naming.prefix, &naming.separator);
            for asked in [rest.clone(), format!("{prefix}{separator}{rest}")] {
                if let Some(name) = naming.own_name(&asked) {
                    prop_assert_eq!(naming.shown_name(name), &*asked);
                }
            }
            let own = format!("{start}{rest}");
            let shown = naming.shown_uri(&own);
            prop_assert_eq!(naming.own_uri(&shown), Some(Cow::Borrowed(&*own)));
            for asked in [own, format!("{start}{prefix}+{rest}")] {
                if let Some(uri) = naming.own_uri(&asked) {
                    let again = naming.shown_uri(&uri);
                    // Clients may put together a `ui:` URI from a template without one.
                    let other_way = format!("{prefix}+{uri}");
                    prop_assert!(again == asked || other_way == asked);
                }
            }
        }
    }
}
