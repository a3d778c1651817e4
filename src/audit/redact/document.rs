//! One JSON document, read once and written again without what must not be stored.

use std::borrow::Cow;
use std::ops::ControlFlow;

use serde::de::IgnoredAny;

use super::class::{Action, Class, Report};
use super::pointer::{Leads, Pointers, Trail};
use super::{NESTED_MAX, Profile, Redactor};
use crate::protocol::encode;

/// Digits of a number that could be somebody's.
const DIGITS_MIN: usize = 9;
/// Where a result repeats what its content says, as the specification names it.
const STRUCTURED: &str = "structuredContent";
/// What stands for the rest of a document that is too large.
const CUT: &str = "\"[cut]\"";

/// A document on its way. Its text is valid JSON, or it is written as one text.
pub(super) struct Document<'a> {
    redactor: &'a Redactor,
    profile: Profile<'a>,
    json: &'a str,
    at: usize,
    out: String,
    most: usize,
    nested: usize,
    report: Report,
}

/// Whether there is room for more.
type Flow = ControlFlow<()>;

impl<'a> Document<'a> {
    pub(super) fn new(
        redactor: &'a Redactor,
        profile: Profile<'a>,
        json: &'a str,
        most: usize,
        nested: usize,
    ) -> Self {
        Self {
            redactor,
            profile,
            json,
            at: 0,
            out: String::with_capacity(json.len().min(most) + 16),
            most,
            nested,
            report: Report::default(),
        }
    }

    pub(super) fn write(&mut self) {
        let pointers = self.profile.pointers;
        let top = pointers.map(Pointers::top);
        let _cut = self.value(top.as_ref());
    }

    pub(super) fn done(self) -> (String, Report) {
        (self.out, self.report)
    }

    fn value(&mut self, trail: Option<&Trail>) -> Flow {
        if self.out.len() >= self.most {
            return self.cut();
        }
        match self.peek() {
            Some(b'{') => self.object(trail),
            Some(b'[') => self.array(trail),
            Some(b'"') => self.string(),
            Some(_) => {
                self.number_or_word();
                Flow::Continue(())
            }
            None => Flow::Continue(()),
        }
    }

    fn cut(&mut self) -> Flow {
        self.out.push_str(CUT);
        self.report.is_cut = true;
        Flow::Break(())
    }

    fn object(&mut self, trail: Option<&Trail>) -> Flow {
        self.at += 1;
        self.out.push('{');
        let mut is_first = true;
        let mut flow = Flow::Continue(());
        while flow.is_continue() && self.another() {
            let before = self.out.len();
            if !is_first {
                self.out.push(',');
            }
            let key = unquoted(self.quoted());
            // Behind the colon.
            self.peek();
            self.at += 1;
            let name = self.redactor.cleaned(self.profile, &key, &mut self.report);
            encode::push_string(&mut self.out, &name);
            self.out.push(':');
            flow = match self.leads(trail, &key) {
                Next::Out(class) => {
                    if self.take_out(class).is_break() {
                        self.out.truncate(before);
                        continue;
                    }
                    Flow::Continue(())
                }
                Next::On(trail) => self.value(trail.as_ref()),
            };
            is_first = false;
        }
        self.out.push('}');
        flow
    }

    fn array(&mut self, trail: Option<&Trail>) -> Flow {
        self.at += 1;
        self.out.push('[');
        let mut index = 0_usize;
        let mut flow = Flow::Continue(());
        while flow.is_continue() && self.another() {
            if index > 0 {
                self.out.push(',');
            }
            flow = match trail {
                None => self.value(None),
                Some(trail) => match self.follow(trail, &index.to_string()) {
                    Next::Out(class) => {
                        // Elements are known by their place, so one that is left out leaves it empty.
                        if self.take_out(class).is_break() {
                            self.out.push_str("null");
                        }
                        Flow::Continue(())
                    }
                    Next::On(trail) => self.value(trail.as_ref()),
                },
            };
            index += 1;
        }
        self.out.push(']');
        flow
    }

    /// What becomes of the member `key` of a place.
    fn leads(&self, trail: Option<&Trail>, key: &str) -> Next {
        let next = match (trail, self.profile.pointers) {
            (Some(trail), _) => self.follow(trail, key),
            (None, _) => Next::On(None),
        };
        match next {
            Next::Out(class) => Next::Out(class),
            Next::On(_) if self.redactor.is_secret_name(key) => Next::Out(Class::Key),
            Next::On(_) if key == STRUCTURED => Next::On(self.profile.pointers.map(Pointers::top)),
            Next::On(trail) => Next::On(trail),
        }
    }

    fn follow(&self, trail: &Trail, name: &str) -> Next {
        let Some(pointers) = self.profile.pointers else {
            return Next::On(None);
        };
        match pointers.step(trail, name) {
            Leads::Target => Next::Out(Class::Pointer),
            Leads::On(trail) if trail.is_lost() => Next::On(None),
            Leads::On(trail) => Next::On(Some(trail)),
        }
    }

    /// Writes something else in place of the next value; breaks when nothing is to stand there.
    fn take_out(&mut self, class: Class) -> Flow {
        let json = self.skipped();
        // What is not there, and a yes or no, tell no secret.
        let is_nothing = matches!(json, "true" | "false" | "null" | "\"\"");
        let action = self.redactor.action(self.profile, class);
        if is_nothing || action == Action::Keep {
            self.out.push_str(json);
            return Flow::Continue(());
        }
        // The same text gives the same token, however its document writes it.
        let found = if json.starts_with('"') {
            unquoted(json)
        } else {
            Cow::Borrowed(json)
        };
        let instead = self
            .redactor
            .instead_of(self.profile, class, &found, &mut self.report);
        if action == Action::Drop {
            return Flow::Break(());
        }
        encode::push_string(&mut self.out, &instead);
        Flow::Continue(())
    }

    fn string(&mut self) -> Flow {
        let json = self.quoted();
        if self.out.len() + json.len() > self.most {
            return self.cut();
        }
        let text = unquoted(json);
        if let Some(inner) = self.within(&text) {
            encode::push_string(&mut self.out, &inner);
            return Flow::Continue(());
        }
        let before = self.report;
        let cleaned = self.redactor.cleaned(self.profile, &text, &mut self.report);
        if self.report == before && !json.contains('\\') {
            self.out.push_str(json);
        } else {
            encode::push_string(&mut self.out, &cleaned);
        }
        Flow::Continue(())
    }

    /// A text that is a document itself, as one.
    fn within(&mut self, text: &str) -> Option<String> {
        let may_be_one = text.trim_ascii_start().starts_with(['{', '[', '"']);
        if !may_be_one || self.nested >= NESTED_MAX {
            return None;
        }
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        let mut document = Document::new(
            self.redactor,
            self.profile,
            text,
            self.most,
            self.nested + 1,
        );
        document.write();
        let (inner, report) = document.done();
        self.report.add(&report);
        Some(inner)
    }

    fn number_or_word(&mut self) {
        let json = self.skipped();
        let digits = json.bytes().filter(u8::is_ascii_digit).count();
        if digits >= DIGITS_MIN {
            let before = self.report;
            let cleaned = self.redactor.cleaned(self.profile, json, &mut self.report);
            if self.report != before {
                encode::push_string(&mut self.out, &cleaned);
                return;
            }
        }
        self.out.push_str(json);
    }

    fn peek(&mut self) -> Option<u8> {
        let bytes = self.json.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Whether there is another member or element; goes behind the comma before it, or behind the
    /// bracket that ends the last.
    fn another(&mut self) -> bool {
        if self.peek() == Some(b',') {
            self.at += 1;
        }
        match self.peek() {
            None => false,
            Some(b'}' | b']') => {
                self.at += 1;
                false
            }
            Some(_) => true,
        }
    }

    /// The next string, in its quotes.
    fn quoted(&mut self) -> &'a str {
        self.peek();
        let start = self.at;
        let bytes = self.json.as_bytes();
        self.at += 1;
        while let Some(byte) = bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => self.at += 1,
                _ => {}
            }
        }
        self.at = self.at.min(bytes.len());
        self.json.get(start..self.at).unwrap_or_default()
    }

    /// The next value, whatever it is, gone behind.
    fn skipped(&mut self) -> &'a str {
        self.peek();
        let start = self.at;
        let bytes = self.json.as_bytes();
        let mut depth = 0_usize;
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.quoted();
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b'}' | b']' if depth == 0 => break,
                byte if byte.is_ascii_whitespace() && depth == 0 => break,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            if depth == 0 {
                break;
            }
        }
        // Never stands still, whatever it was given.
        self.at = self.at.max(start + 1).min(bytes.len());
        self.json.get(start..self.at).unwrap_or_default()
    }
}

/// What becomes of a member or an element.
enum Next {
    /// It is taken out.
    Out(Class),
    /// It is gone through.
    On(Option<Trail>),
}

/// The text of a JSON string. Half of a surrogate pair is no text: nothing of such a one is kept.
fn unquoted(json: &str) -> Cow<'_, str> {
    let inside = json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(json);
    if inside.contains('\\') {
        serde_json::from_str(json).map_or(Cow::Borrowed("\u{fffd}"), Cow::Owned)
    } else {
        Cow::Borrowed(inside)
    }
}
