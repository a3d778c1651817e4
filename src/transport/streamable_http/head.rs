//! The headers that steer a request: each once, printable, or refused.

use actix_web::http::header::{self, AsHeaderName, HeaderMap, HeaderName};

use crate::protocol::headers;
use crate::transport::reply::Refused;

// Made once: a lookup by text would check and copy the name each time.
static PROTOCOL_VERSION: HeaderName = HeaderName::from_static(headers::PROTOCOL_VERSION);
static SESSION_ID: HeaderName = HeaderName::from_static(headers::SESSION_ID);
static LAST_EVENT_ID: HeaderName = HeaderName::from_static(headers::LAST_EVENT_ID);
pub(super) static METHOD: HeaderName = HeaderName::from_static(headers::METHOD);
pub(super) static NAME: HeaderName = HeaderName::from_static(headers::NAME);

/// The headers of one request that this transport reads.
#[derive(Debug)]
pub(in crate::transport) struct Head<'a>(&'a HeaderMap);

/// What a client is ready to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) struct Accepts {
    pub(in crate::transport) json: bool,
    pub(in crate::transport) events: bool,
}

impl<'a> Head<'a> {
    pub(in crate::transport) const fn of(headers: &'a HeaderMap) -> Self {
        Self(headers)
    }

    pub(in crate::transport) fn version(&self) -> Result<Option<&'a str>, Refused> {
        self.once(&PROTOCOL_VERSION)
    }

    pub(in crate::transport) fn session_id(&self) -> Result<Option<&'a str>, Refused> {
        self.once(&SESSION_ID)
    }

    pub(in crate::transport) fn last_event_id(&self) -> Result<Option<&'a str>, Refused> {
        self.once(&LAST_EVENT_ID)
    }

    /// The only value of a header, without outer whitespace.
    pub(in crate::transport) fn once(
        &self,
        name: &'static HeaderName,
    ) -> Result<Option<&'a str>, Refused> {
        let mut values = self.0.get_all(name);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        match std::str::from_utf8(value.as_bytes().trim_ascii()) {
            // A header value has no control characters but tabs.
            Ok(text) if text.is_ascii() && values.next().is_none() => Ok(Some(text)),
            Ok(_) | Err(_) => Err(Refused::Header(name.as_str())),
        }
    }

    /// The first value of a header as bytes, and whether there are more.
    pub(in crate::transport) fn raw(&self, name: impl AsHeaderName) -> (Option<&'a [u8]>, bool) {
        let mut values = self.0.get_all(name);
        let first = values.next().map(|value| value.as_bytes().trim_ascii());
        (first, values.next().is_some())
    }

    /// Whether the body says it is JSON (RFC 9110 section 8.3; parameters are allowed).
    pub(in crate::transport) fn has_json_body(&self) -> bool {
        let Some(value) = self.0.get(header::CONTENT_TYPE) else {
            return false;
        };
        if value.as_bytes() == b"application/json" {
            return true;
        }
        value
            .to_str()
            .ok()
            .and_then(|value| value.split(';').next())
            .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
    }

    /// Whether the body has a content coding. We never ask for one.
    pub(in crate::transport) fn has_coded_body(&self) -> bool {
        self.0
            .get_all(header::CONTENT_ENCODING)
            .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    }

    /// What the client takes (RFC 9110 section 12.5.1): `q=0` excludes, wildcards include, and the
    /// most specific range decides.
    pub(in crate::transport) fn accepts(&self) -> Accepts {
        let mut json = (0, false);
        let mut events = (0, false);
        for value in self.0.get_all(header::ACCEPT) {
            // What the official clients send, and so nearly all others.
            if value.as_bytes() == b"application/json, text/event-stream" {
                prefer(&mut json, 3, true);
                prefer(&mut events, 3, true);
                continue;
            }
            for range in value.to_str().unwrap_or("").split(',') {
                let mut parts = range.split(';').map(str::trim);
                let essence = parts.next().unwrap_or("");
                let wanted = !parts.any(is_zero_quality);
                let is = |range: &str| essence.eq_ignore_ascii_case(range);
                if is("application/json") {
                    prefer(&mut json, 3, wanted);
                } else if is("text/event-stream") {
                    prefer(&mut events, 3, wanted);
                } else if is("application/*") {
                    prefer(&mut json, 2, wanted);
                } else if is("text/*") {
                    prefer(&mut events, 2, wanted);
                } else if is("*/*") {
                    prefer(&mut json, 1, wanted);
                    prefer(&mut events, 1, wanted);
                }
            }
        }
        Accepts {
            json: json.1,
            events: events.1,
        }
    }
}

fn prefer(so_far: &mut (u8, bool), specificity: u8, wanted: bool) {
    if specificity > so_far.0 {
        *so_far = (specificity, wanted);
    }
}

fn is_zero_quality(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    name.trim().eq_ignore_ascii_case("q") && value.trim().parse::<f32>().is_ok_and(|q| q == 0.0)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn accepts(value: &'static str) -> (bool, bool) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(value));
        let Accepts { json, events } = Head::of(&headers).accepts();
        (json, events)
    }

    #[test]
    fn accept_is_read_as_http_says() {
        for (value, json, events) in [
            ("application/json, text/event-stream", true, true),
            ("text/event-stream,application/json;q=0.5", true, true),
            ("*/*", true, true),
            ("application/*, text/*", true, true),
            ("application/json", true, false),
            ("text/event-stream", false, true),
            ("*/*, application/json;q=0", false, true),
            ("application/json;q=0.0, text/event-stream", false, true),
            ("TEXT/Event-Stream , Application/JSON", true, true),
            ("", false, false),
            ("text/html", false, false),
        ] {
            assert_eq!(accepts(value), (json, events), "{value:?}");
        }
    }

    #[test]
    fn a_steering_header_comes_once() {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_static(headers::SESSION_ID);
        headers.append(name.clone(), HeaderValue::from_static(" a "));
        assert_eq!(Head::of(&headers).session_id().unwrap(), Some("a"));
        headers.append(name, HeaderValue::from_static("a"));
        assert!(Head::of(&headers).session_id().is_err());
    }
}
