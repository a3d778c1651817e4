//! What a proxy says of the caller it authenticated.
//!
//! A proxy in front of us may have authenticated the caller by means of its own. It says who that
//! is in a header, whose value it signs: a JWS with the claims `sub`, `aud` and `exp` at least. Only
//! a connection from one of the configured networks may carry it, and only a signature by the
//! configured key is believed, so neither a neighbour in such a network nor a client that sends
//! the header through the proxy becomes somebody. From anywhere else the header means nothing.
//!
//! An assertion lives five minutes at most. It may come again within that time: it says who calls,
//! not what.
//!
//! Spec: RFC 7515, RFC 7519, RFC 8725.

mod key;
mod refusal;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ipnet::IpNet;
use serde_json::{Map, Value};

pub use key::{Key, KeyError};
pub use refusal::{ClaimRole, ProxyRefusal};

use crate::protocol::prescan;
use crate::runtime::clock::Timestamp;

/// Bytes of an assertion: no header field may be longer.
const ASSERTION_MAX: usize = 8 * 1024;
/// Bytes of a name in it: names stand in keys, logs and audit records.
const NAME_MAX: usize = 512;
/// Scopes in it.
const SCOPES_MAX: usize = 128;
/// How long an assertion may live from now on, in seconds.
const LIFE_MAX: f64 = 300.0;
/// How far the proxy's clock may be from ours, in seconds.
const LEEWAY: f64 = 30.0;
/// What is read of an assertion's two documents.
const LIMITS: prescan::Limits = prescan::Limits {
    depth: 16,
    members: 1_000,
};
/// Nothing of them is looked for before they are read.
static WHOLE: prescan::Wanted = prescan::Wanted::whole("", 0);

/// Which proxies are believed, and what they must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The networks that they connect from.
    pub peers: Vec<IpNet>,
    /// The header with their assertion, in small letters.
    pub header: String,
    /// What verifies it.
    pub key: Key,
    /// Whom it must be meant for: us.
    pub audience: String,
    /// The claim that names the tenant.
    pub tenant_claim: String,
    /// The claim that names the program which acts for the caller.
    pub client_claim: String,
    /// The claim that lists scopes: a text with spaces between them, or an array.
    pub scope_claim: String,
}

/// Who calls, as a proxy has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Asserted {
    /// The person or service.
    pub subject: Arc<str>,
    /// Which customer they belong to, if it says.
    pub tenant: Option<Arc<str>>,
    /// The program that acts for them, if it says.
    pub client: Option<Arc<str>>,
    /// What they may use this for.
    pub scopes: BTreeSet<Arc<str>>,
    /// All that it says.
    pub claims: Map<String, Value>,
}

/// What a request says by the header of a proxy.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Nothing: it comes from no proxy of ours. Such a header of it is nobody's word.
    Stranger,
    /// Nothing: it comes from a proxy that did not add the header.
    Nothing,
    /// Who calls.
    Caller(Box<Asserted>),
}

impl Config {
    /// Whether a connection from there is a proxy's.
    #[must_use]
    pub fn is_proxy(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.peers.iter().any(|network| network.contains(&peer))
    }

    /// Who calls, by all values of the header of one request.
    ///
    /// # Errors
    /// If it comes from a proxy and must not be believed.
    pub fn verify(
        &self,
        peer: IpAddr,
        values: &[&[u8]],
        now: Timestamp,
    ) -> Result<Said, ProxyRefusal> {
        if !self.is_proxy(peer) {
            return Ok(Said::Stranger);
        }
        match values {
            [] => Ok(Said::Nothing),
            [value] => {
                let claims = self.claims(value)?;
                self.check(&claims, now)?;
                Ok(Said::Caller(Box::new(self.asserted(claims)?)))
            }
            [_, _, ..] => Err(ProxyRefusal::Repeated),
        }
    }

    /// What is signed with the key, whatever it says.
    fn claims(&self, value: &[u8]) -> Result<Map<String, Value>, ProxyRefusal> {
        let text = (value.len() <= ASSERTION_MAX).then_some(value);
        let text = text.and_then(|value| str::from_utf8(value).ok());
        let text = text.ok_or(ProxyRefusal::Malformed)?;
        let (message, signature) = text.rsplit_once('.').ok_or(ProxyRefusal::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(ProxyRefusal::Malformed)?;
        let header = object(header)?;
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(ProxyRefusal::Critical);
        }
        let algorithm = header.get("alg").and_then(Value::as_str);
        self.key
            .verify(algorithm.unwrap_or_default(), message, signature)?;
        object(payload)
    }

    fn check(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<(), ProxyRefusal> {
        let is_ours = |audience: &Value| audience.as_str() == Some(&self.audience);
        let is_for_us = match claims.get("aud") {
            Some(Value::Array(audiences)) => audiences.iter().any(is_ours),
            Some(audience) => is_ours(audience),
            None => false,
        };
        if !is_for_us {
            return Err(ProxyRefusal::Audience);
        }
        let time = |claim: &str| match claims.get(claim) {
            None => Ok(None),
            Some(time) => time.as_f64().map(Some).ok_or(ProxyRefusal::Times),
        };
        let ends = time("exp")?.ok_or(ProxyRefusal::Times)?;
        let begins = [time("nbf")?, time("iat")?].into_iter().flatten();
        // Milliseconds of this age are whole numbers in a double.
        #[expect(clippy::cast_precision_loss, reason = "see above")]
        let now = now.0 as f64 / 1_000.0;
        if ends <= now - LEEWAY || begins.into_iter().any(|begins| begins > now + LEEWAY) {
            return Err(ProxyRefusal::NotNow);
        }
        if ends > now + LIFE_MAX + LEEWAY {
            return Err(ProxyRefusal::TooLong);
        }
        Ok(())
    }

    fn asserted(&self, claims: Map<String, Value>) -> Result<Asserted, ProxyRefusal> {
        let name = |claim: &str, role| match claims.get(claim) {
            None => Ok(None),
            Some(Value::String(name)) if is_usable(name) => Ok(Some(Arc::from(name.as_str()))),
            Some(_) => Err(ProxyRefusal::Name(role)),
        };
        let subject = name("sub", ClaimRole::Subject)?;
        Ok(Asserted {
            subject: subject.ok_or(ProxyRefusal::Name(ClaimRole::Subject))?,
            tenant: name(&self.tenant_claim, ClaimRole::Tenant)?,
            client: name(&self.client_claim, ClaimRole::Client)?,
            scopes: scopes(claims.get(&self.scope_claim))
                .ok_or(ProxyRefusal::Name(ClaimRole::Scope))?,
            claims,
        })
    }
}

/// `None` if they are none.
fn scopes(claim: Option<&Value>) -> Option<BTreeSet<Arc<str>>> {
    let scopes: Vec<&str> = match claim {
        None => Vec::new(),
        Some(Value::String(scopes)) => scopes.split(' ').filter(|part| !part.is_empty()).collect(),
        Some(Value::Array(scopes)) => scopes.iter().map(Value::as_str).collect::<Option<_>>()?,
        Some(_) => return None,
    };
    let are_usable = scopes.len() <= SCOPES_MAX && scopes.iter().all(|scope| is_usable(scope));
    are_usable.then(|| scopes.into_iter().map(Arc::from).collect())
}

fn is_usable(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_MAX
        && name.trim() == name
        && !name.chars().any(char::is_control)
}

/// One JSON object that says nothing twice, in base64url.
fn object(part: &str) -> Result<Map<String, Value>, ProxyRefusal> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or(ProxyRefusal::Malformed)?;
    prescan::prescan(&text, &LIMITS, &WHOLE).map_err(|_| ProxyRefusal::Malformed)?;
    serde_json::from_str(&text).map_err(|_| ProxyRefusal::Malformed)
}
