//! The guard on the way out: what others name is asked only where it cannot be something of ours.
//!
//! A [`Destination`] is either written in our own configuration, and then asked as it is written, or
//! was learned from one that was asked before: metadata name key sets, challenges name metadata. What
//! was learned must be https and lie in public, where nothing trusts us more than it trusts anybody.
//! [`Egress`] asks, and does not believe names: a host is resolved here, and only addresses that were
//! checked are connected to, so a name that means another address the next time gains nothing.
//!
//! Nothing here follows a redirect, keeps a cookie, or reads more of an answer than
//! [`Settings::body_max`]. Proxies that the environment names are used for what is configured and
//! lies elsewhere; for what was learned they are not, since a proxy would resolve the name itself.
//!
//! It does not speak to upstreams about MCP: they are configured, and [`crate::client`] has the
//! connections for it.

mod answer;
mod destination;
mod error;
mod reach;
mod resolver;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::dns::Resolve;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, Client, RequestBuilder, redirect};
use serde::Serialize;

pub use answer::Answer;
pub use destination::{Destination, NotAllowed};
pub use error::EgressError;
use reach::Reach;
pub use resolver::OutOfReach;
use resolver::{Checked, System};

/// What others are given, at most.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of an answer's body. Metadata and key sets have a few thousand.
    pub body_max: usize,
    /// From the first look at a name to the last byte of the answer.
    pub timeout: Duration,
    /// Who may certify hosts, beside those whom the system trusts.
    pub authorities: Vec<Certificate>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_max: 256 * 1024,
            timeout: Duration::from_secs(10),
            authorities: Vec::new(),
        }
    }
}

/// Asks others over HTTP. See the module docs. Cloning shares the connections.
#[derive(Clone, Debug)]
pub struct Egress(Arc<Clients>);

/// A client each, since a connection that is kept must not be found by who may not make it.
#[derive(Debug)]
struct Clients {
    written: Client,
    loopback: Client,
    public: Client,
    settings: Settings,
}

/// What is shown to whom is asked. Printed, it tells no secret.
#[derive(Clone, Debug)]
pub struct Authorization(Option<HeaderValue>);

impl Egress {
    /// Asks by these settings.
    ///
    /// # Errors
    /// If TLS cannot be had: most likely no authority is trusted on this system.
    pub fn new(settings: Settings) -> Result<Self, EgressError> {
        Self::resolving_with(settings, Arc::new(System))
    }

    /// The same where something else than the system tells what names mean.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn resolving_with(
        settings: Settings,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, EgressError> {
        let client = |reach| client(reach, &settings, resolver.clone());
        Ok(Self(Arc::new(Clients {
            written: client(Reach::Written)?,
            loopback: client(Reach::Loopback)?,
            public: client(Reach::Public)?,
            settings,
        })))
    }

    /// Asks for a JSON document.
    ///
    /// # Errors
    /// If there is no whole answer. Whatever its status, an answer is none.
    ///
    /// # Cancel safety
    /// May be dropped at any await.
    pub async fn get(&self, destination: &Destination) -> Result<Answer, EgressError> {
        let request = self.client(destination).get(destination.url().clone());
        self.ask(destination, request).await
    }

    /// Sends a form.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn post_form(
        &self,
        destination: &Destination,
        form: &[(&str, &str)],
        authorization: &Authorization,
    ) -> Result<Answer, EgressError> {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        self.post(destination, kind, form.into_bytes(), authorization)
            .await
    }

    /// Sends a JSON document.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn post_json(
        &self,
        destination: &Destination,
        document: &(impl Serialize + Sync),
        authorization: &Authorization,
    ) -> Result<Answer, EgressError> {
        let document = serde_json::to_vec(document).map_err(EgressError::Unsendable)?;
        let kind = HeaderValue::from_static("application/json");
        self.post(destination, kind, document, authorization).await
    }

    async fn post(
        &self,
        destination: &Destination,
        kind: HeaderValue,
        body: Vec<u8>,
        authorization: &Authorization,
    ) -> Result<Answer, EgressError> {
        let request = self.client(destination).post(destination.url().clone());
        let mut request = request.header(CONTENT_TYPE, kind).body(body);
        if let Some(shown) = &authorization.0 {
            request = request.header(AUTHORIZATION, shown);
        }
        self.ask(destination, request).await
    }

    async fn ask(
        &self,
        destination: &Destination,
        request: RequestBuilder,
    ) -> Result<Answer, EgressError> {
        let request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
        let body_max = self.0.settings.body_max;
        let answering = async { Answer::read(request.send().await?, body_max).await };
        answering.await.map_err(|error| error.about(destination))
    }

    fn client(&self, destination: &Destination) -> &Client {
        match destination.reach() {
            Reach::Written => &self.0.written,
            Reach::Loopback => &self.0.loopback,
            Reach::Public => &self.0.public,
        }
    }
}

impl Authorization {
    /// Nothing is shown.
    #[must_use]
    pub const fn nothing() -> Self {
        Self(None)
    }

    /// The id and the secret of an OAuth client, as `client_secret_basic` has them (RFC 6749,
    /// section 2.3.1: each is encoded as in a form first).
    #[must_use]
    pub fn client_secret(id: &str, secret: &str) -> Self {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let (id, secret): (String, String) = (encoded(id), encoded(secret));
        let value = format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")));
        Self::of(&value).expect("invariant: base64 can stand in a header")
    }

    /// A token.
    ///
    /// # Errors
    /// If it has characters that no token has.
    pub fn bearer(token: &str) -> Result<Self, EgressError> {
        Self::of(&format!("Bearer {token}")).ok_or(EgressError::NoToken)
    }

    fn of(value: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        Some(Self(Some(value)))
    }
}

fn client(
    reach: Reach,
    settings: &Settings,
    resolver: Arc<dyn Resolve>,
) -> Result<Client, EgressError> {
    let builder = Client::builder()
        .user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .referer(false)
        .timeout(settings.timeout)
        .tls_certs_merge(settings.authorities.iter().cloned())
        .dns_resolver(Checked::new(reach, resolver));
    let builder = match reach {
        Reach::Written => builder,
        Reach::Loopback => builder.no_proxy(),
        Reach::Public => builder.no_proxy().https_only(true),
    };
    builder.build().map_err(EgressError::Tls)
}
