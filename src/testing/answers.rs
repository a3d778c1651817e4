//! What a test answers to the server's questions, and which answer fits which question.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::client::{Asked, Question};

/// Answers by the keys of their questions, in the order they were given.
#[derive(Debug, Default)]
pub(super) struct Answers {
    forms: Vec<Form>,
    pub(super) sampling: Option<Value>,
    pub(super) roots: Option<Value>,
    /// Which forms were filled in already.
    used: Mutex<Vec<bool>>,
}

#[derive(Debug)]
struct Form {
    key: String,
    answer: Value,
}

impl Answers {
    pub(super) fn form(&mut self, key: String, answer: Value) {
        self.forms.push(Form { key, answer });
    }

    /// Whether there are answers to forms, to turns of the model, to roots.
    pub(super) const fn offered(&self) -> (bool, bool, bool) {
        (
            !self.forms.is_empty(),
            self.sampling.is_some(),
            self.roots.is_some(),
        )
    }

    /// The answer to a question.
    pub(super) fn to(&self, question: &Question) -> Option<Value> {
        match question.asked {
            Asked::Sampling => self.sampling.clone(),
            Asked::Roots => self.roots.clone(),
            Asked::Form | Asked::Url => self.to_form(question),
        }
    }

    fn to_form(&self, question: &Question) -> Option<Value> {
        let params = question.params.to_value();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.resize(self.forms.len(), false);
        let fits = |form: &Form| match &question.key {
            Some(key) => form.key == *key,
            None => fits(&form.answer, &params),
        };
        let places = || (0..self.forms.len()).filter(|at| fits(&self.forms[*at]));
        // A handler that runs again asks again: an answer may be used twice, a fresh one is better.
        let at = places().find(|at| !used[*at]).or_else(|| places().last())?;
        used[at] = true;
        Some(self.forms[at].answer.clone())
    }
}

/// Whether every field of the answer is in the form. A no has no fields and fits any.
fn fits(answer: &Value, params: &Value) -> bool {
    let fields = answer["content"].as_object();
    let form = &params["requestedSchema"]["properties"];
    fields
        .into_iter()
        .flatten()
        .all(|(field, _)| form.get(field).is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::raw::RawJson;

    fn form(field: &str, key: Option<&str>) -> Question {
        let properties = json!({"requestedSchema": {"properties": {field: {}}}});
        Question {
            asked: Asked::Form,
            params: RawJson::of(&properties),
            key: key.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn answers_are_found_by_key_or_else_by_their_fields() {
        let mut answers = Answers::default();
        answers.form("first".into(), json!({"content": {"a": 1}}));
        answers.form("second".into(), json!({"content": {"b": 2}}));
        answers.form("third".into(), json!({"content": {"a": 3}}));
        let to = |field, key| {
            answers
                .to(&form(field, key))
                .map(|answer| answer["content"].clone())
        };
        assert_eq!(to("x", Some("second")), Some(json!({"b": 2})));
        assert_eq!(to("x", Some("fourth")), None);
        assert_eq!(to("a", None), Some(json!({"a": 1})));
        assert_eq!(to("a", None), Some(json!({"a": 3})), "each once, in order");
        assert_eq!(to("c", None), None);
    }
}
