//! Whether the process lives, whether it may take traffic, and what it has counted.
//!
//! On the main listener unless the configuration gives them one of their own. They tell nothing
//! about clients or sessions beyond numbers. What changes something is on a Unix socket only
//! ([`socket`]).

pub mod audit;
mod drain;
pub mod keys;
mod limits;
pub mod socket;

use std::sync::Arc;

use actix_web::http::header;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use serde_json::json;

use crate::audit::Audit;
use crate::gateway::{Gateways, UpstreamStatus};
use crate::keyring::Keyring;
use crate::node::Node;
use crate::policy::limits::{Permits, Tokens};
use crate::runtime::clock::Clock;
use crate::runtime::shutdown::Shutdown;
use crate::session::Sessions;
use crate::store::{Health, Store};
use crate::telemetry::metrics::Metrics;

/// What the answers are made of.
#[derive(Clone, Debug)]
pub struct Admin {
    /// How far the process is on its way out.
    pub shutdown: Shutdown,
    /// What has to be there for anything that outlives a request.
    pub store: Arc<dyn Store>,
    /// This node among the others, without whom it begins nothing that must exist once.
    pub node: Node,
    /// The sessions of this node.
    pub sessions: Sessions,
    /// What was counted.
    pub metrics: Metrics,
    /// The API keys.
    pub keyring: Keyring,
    /// The upstreams, if there are any.
    pub gateways: Option<Gateways>,
    /// The record of what happens, if there is one.
    pub audit: Option<Audit>,
    /// Where calls are counted that are limited.
    pub tokens: Arc<dyn Tokens>,
    /// Where running calls are counted.
    pub permits: Permits,
    /// The time.
    pub clock: Clock,
}

impl Admin {
    /// Why this node should get no traffic; none when it should.
    fn reasons_against(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if self.shutdown.is_leaving() {
            reasons.push("draining");
        }
        match self.store.health() {
            Health::Well => {}
            Health::ReadOnly => reasons.push("store takes no writes"),
            Health::Away => reasons.push("store unavailable"),
        }
        // Also before it was held first: whether the store is there is not known until it is asked.
        if !self.node.holds_lease() {
            reasons.push("lease not held");
        }
        if !self.sessions.can_be_opened() {
            reasons.push("sessions: as many live here as may");
        }
        // Calls that may go on without their records are no reason.
        let is_unrecorded = |audit: &Audit| audit.is_fail_closed() && !audit.is_well();
        if self.audit.as_ref().is_some_and(is_unrecorded) {
            reasons.push("audit records cannot be written");
        }
        if self
            .upstreams()
            .any(|upstream| upstream.state == "starting")
        {
            reasons.push("upstreams are being connected to");
        }
        reasons
    }

    fn upstreams(&self) -> impl Iterator<Item = UpstreamStatus> {
        let gateways = self.gateways.iter();
        gateways.flat_map(Gateways::status)
    }
}

/// Adds `/health`, `/ready` and `/metrics`.
pub fn routes(app: &mut ServiceConfig, admin: &Admin) {
    // A resource each, so that other methods are refused as such.
    app.app_data(Data::new(admin.clone()))
        .service(web::resource("/health").get(health))
        .service(web::resource("/ready").get(ready))
        .service(web::resource("/metrics").get(metrics));
}

/// Live: answering is the proof.
async fn health() -> impl Responder {
    not_cached(HttpResponse::Ok().json(json!({"status": "ok"})))
}

/// May take traffic, or the reasons why not.
async fn ready(admin: Data<Admin>) -> HttpResponse {
    let reasons = admin.reasons_against();
    let (mut response, mut body) = if reasons.is_empty() {
        (HttpResponse::Ok(), json!({"status": "ready"}))
    } else {
        let body = json!({"status": "not ready", "reasons": reasons});
        (HttpResponse::ServiceUnavailable(), body)
    };
    // One that is down keeps no traffic away: the others are behind the same endpoint. Why it is
    // down stands in the log.
    let upstreams = admin.upstreams().map(|it| {
        let is_kept_from = it.left_alone && it.state == "up";
        let state = if is_kept_from { "left alone" } else { it.state };
        (it.name, json!(state))
    });
    let upstreams = upstreams.collect::<serde_json::Map<_, _>>();
    if !upstreams.is_empty() {
        body["upstreams"] = upstreams.into();
    }
    not_cached(response.json(body))
}

async fn metrics(admin: Data<Admin>) -> HttpResponse {
    admin.metrics.store_up(admin.store.health() == Health::Well);
    admin.metrics.key_strangers(admin.node.strangers());
    admin.metrics.ready(admin.reasons_against().is_empty());
    if let Some(gateways) = &admin.gateways {
        gateways.measure();
    }
    if let Some(audit) = &admin.audit {
        audit.measure();
    }
    not_cached(
        HttpResponse::Ok()
            .content_type("text/plain; version=0.0.4; charset=utf-8")
            .body(admin.metrics.render()),
    )
}

fn not_cached(mut response: HttpResponse) -> HttpResponse {
    response.headers_mut().insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-store"),
    );
    response
}
