//! `POST /audit/…`: what the command line asks of the one process that writes audit records.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Admin;
use crate::audit::{Event, What};

/// Who is to be erased.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erase {
    /// Whose user.
    pub tenant: String,
    /// Whom.
    pub subject: String,
}

/// What was given out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exported {
    /// Whose records.
    pub tenant: String,
    /// What records call the person; empty for a bundle about controls.
    pub reference: String,
    /// How many.
    pub records: u64,
}

/// Destroys the key of a person; answers what records called them.
pub(super) async fn erase(admin: Data<Admin>, Json(whom): Json<Erase>) -> HttpResponse {
    let Some(audit) = &admin.audit else {
        return nothing();
    };
    match audit.erase(&whom.tenant, &whom.subject).await {
        Ok(reference) => HttpResponse::Ok().json(json!({ "reference": reference })),
        Err(error) => failed(&error),
    }
}

/// Records an export that the command line has made.
pub(super) async fn exported(admin: Data<Admin>, Json(what): Json<Exported>) -> HttpResponse {
    let Some(audit) = &admin.audit else {
        return nothing();
    };
    let Exported {
        tenant,
        reference,
        records,
    } = what;
    let event = Event::of(&tenant, What::Exported { reference, records });
    match audit.note(&event).await {
        Ok(()) => HttpResponse::Ok().json(json!({})),
        Err(error) => failed(&error),
    }
}

fn nothing() -> HttpResponse {
    let error = "this node records nothing: it has no [audit] sink";
    HttpResponse::NotFound().json(json!({ "error": error }))
}

fn failed(error: &dyn std::error::Error) -> HttpResponse {
    HttpResponse::ServiceUnavailable().json(json!({ "error": error.to_string() }))
}
