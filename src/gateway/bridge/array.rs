//! JSON arrays one level deep: elements as the text they came as, of which only what is changed is written
//! anew. Objects are [`Members`](crate::protocol::members::Members).

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::protocol::encode;

/// The elements of this JSON, if it is an array.
pub(super) fn elements(json: &str) -> Option<Vec<&str>> {
    let elements = serde_json::from_str::<Vec<&RawValue>>(json).ok()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

/// The array with some elements changed; `None` when none is.
///
/// # Errors
/// As `change` fails, and with `otherwise` when this is no array.
pub(super) fn change_elements<E>(
    array: &str,
    otherwise: E,
    mut change: impl FnMut(&str) -> Result<Option<String>, E>,
) -> Result<Option<String>, E> {
    let Some(elements) = elements(array) else {
        return Err(otherwise);
    };
    let mut is_changed = false;
    let mut all = Vec::with_capacity(elements.len());
    for element in elements {
        let changed = change(element)?;
        is_changed |= changed.is_some();
        all.push(changed.map_or(Cow::Borrowed(element), Cow::Owned));
    }
    Ok(is_changed.then(|| array_of(&all)))
}

/// An array of these values.
pub(super) fn array_of<S: AsRef<str>>(elements: &[S]) -> String {
    let mut text = String::from("[");
    for (at, element) in elements.iter().enumerate() {
        text.push_str(if at == 0 { "" } else { "," });
        text.push_str(element.as_ref());
    }
    text.push(']');
    text
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    let mut json = String::new();
    encode::push_string(&mut json, text);
    json
}
