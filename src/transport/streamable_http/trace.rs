//! The trace that a client says in headers, put where all else looks for it: into `_meta`.
//!
//! What `_meta` itself says stands before that, if it is a trace.

use actix_web::http::header::{HeaderMap, HeaderName};

use crate::protocol::jsonrpc::{Message, Params, Request};
use crate::protocol::trace::{KEYS, with_trace};

static NAMES: [HeaderName; 3] = [
    HeaderName::from_static(KEYS[0]),
    HeaderName::from_static(KEYS[1]),
    HeaderName::from_static(KEYS[2]),
];

/// The message with the trace of its headers, if it is a request and they have one.
pub(super) fn of_headers(headers: &HeaderMap, message: Message) -> Message {
    match message {
        Message::Request(request) if NAMES.iter().any(|name| headers.contains_key(name)) => {
            Message::Request(traced(headers, request))
        }
        message => message,
    }
}

fn traced(headers: &HeaderMap, request: Request) -> Request {
    let said = KEYS.into_iter().zip(&NAMES).filter_map(|(key, name)| {
        let values = headers.get_all(name).map(|value| value.to_str());
        let values = values.collect::<Result<Vec<_>, _>>().ok()?;
        // Lists may come in several headers.
        (!values.is_empty()).then(|| (key, values.join(",")))
    });
    let said = said.collect::<Vec<_>>();
    match with_trace(request.params.raw(), &said) {
        Some(params) => Request {
            params: Params::new(params),
            ..request
        },
        None => request,
    }
}
