//! The stateless era, whatever carries it: reading a request, discovery, listening.
//!
//! Each request is complete in itself: its `_meta` says the version, what the client can do and
//! which log level it wants. Nothing here knows a session, and nothing may.
//!
//! Spec: 2026-07-28 basic/index, server/discover, basic/patterns/subscriptions.

mod line;
pub mod listen;

pub use line::StatelessLine;

use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::config::{Config, Endpoint};
use super::reply::Envelope;
use crate::protocol::jsonrpc::{ProgressToken, Request};
use crate::protocol::logging::LogLevel;
use crate::protocol::meta::{DeclaredClient, MetaError, MetaHead};
use crate::protocol::method::Method;
use crate::protocol::raw::RawJson;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::service::{
    Call, CallContext, CallFuture, Client, Deadline, Description, Ongoing, Outlet, Reply,
    ServiceError, Visit,
};
use crate::telemetry::metrics::Metrics;
use crate::transport::exchange;

/// What the `_meta` of a request says.
#[derive(Debug)]
pub struct Declared {
    client: Arc<Client>,
    progress_token: Option<ProgressToken>,
    /// The level at and above which the client wants log messages; none without it.
    pub log_level: Option<LogLevel>,
}

impl Declared {
    /// Reads what else the `_meta` of a request says, whose client was read when its era was
    /// decided.
    ///
    /// # Errors
    /// [`ServiceError::InvalidParams`] for an optional key with a value it cannot have.
    pub fn of(request: &Request, client: DeclaredClient) -> Result<Self, ServiceError> {
        let invalid = |error: MetaError| ServiceError::InvalidParams(error.to_string());
        let meta = MetaHead::of(&request.params).map_err(invalid)?;
        let DeclaredClient { capabilities, info } = client;
        Ok(Self {
            client: Arc::new(Client { capabilities, info }),
            progress_token: meta.progress_token().map_err(invalid)?,
            log_level: meta.log_level().map_err(invalid)?,
        })
    }
}

/// How answers to `method` are written.
#[must_use]
pub fn envelope(method: &Method, description: &Description, config: &Config) -> Envelope {
    Envelope {
        version: ProtocolVersion::NEWEST,
        method: method.clone(),
        server_info: if matches!(method, Method::Discover) {
            description.introduction(ProtocolVersion::NEWEST)
        } else {
            description.info_json.clone()
        },
        event_max: config.event_max,
    }
}

/// Where a request came in, and for whom.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The endpoint.
    pub endpoint: &'a Endpoint,
    /// Whose request it is.
    pub visit: &'a Visit,
    /// Bounds and times.
    pub config: &'a Config,
    /// Where to count.
    pub metrics: &'a Metrics,
}

impl Surroundings<'_> {
    /// Starts to answer a request other than `subscriptions/listen`.
    pub fn answer(
        &self,
        request: Request,
        declared: Declared,
        outlet: Arc<dyn Outlet>,
        cancel: CancellationToken,
    ) -> impl Future<Output = Result<Reply, ServiceError>> + Send + use<> {
        let deadline = Deadline::after(self.config.deadline_of(&request.method));
        let method = request.method.clone();
        let answering: CallFuture = if matches!(method, Method::Discover) {
            let description = self.endpoint.service.describe(&self.visit.caller);
            Box::pin(std::future::ready(Ok(discover(&description))))
        } else {
            self.endpoint.service.call(Call {
                method: request.method,
                params: request.params,
                context: CallContext {
                    caller: self.visit.caller.clone(),
                    origin: self.visit.origin.clone(),
                    credential: self.visit.credential.clone(),
                    endpoint: self.endpoint.name.clone(),
                    session: None,
                    version: ProtocolVersion::NEWEST,
                    client: declared.client,
                    progress_token: declared.progress_token,
                    cancel: cancel.clone(),
                    deadline: deadline.clone(),
                    outlet,
                    ongoing: Ongoing::default(),
                },
            })
        };
        let metrics = self.metrics.clone();
        exchange::bounded(answering, cancel, deadline, method, Era::Stateless, metrics)
    }
}

/// The answer to `server/discover`: it depends on nothing that could be down.
fn discover(description: &Description) -> Reply {
    let mut result = json!({
        "supportedVersions": ProtocolVersion::ALL,
        "capabilities": description.capabilities.to_value(ProtocolVersion::NEWEST),
    });
    if let Some(instructions) = &description.instructions {
        result["instructions"] = json!(instructions);
    }
    Reply::complete(RawJson::of(&result))
}
