//! `POST /audit`: what the command line asks of the one process that writes audit records.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::keys::put_on_record;
use crate::audit::{Audit, EraseError, Event, What};
use crate::keyring::order::{Answer as KeyAnswer, Order as KeyOrder};

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Somebody is to be erased.
    Erase {
        /// Whose user.
        tenant: String,
        /// Whom.
        subject: String,
    },
    /// Records were given out, which is to be recorded.
    Exported {
        /// Whose records.
        tenant: String,
        /// What records call the person; empty for a bundle about controls.
        reference: String,
        /// How many.
        records: u64,
    },
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// Somebody was erased.
    Erased(Erased),
    /// It is on record.
    Recorded,
    /// Nothing; why.
    Refused(String),
}

/// What there was about somebody.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erased {
    /// What records called them, if there are any.
    pub reference: Option<String>,
    /// Sessions that ended.
    pub sessions: usize,
    /// API keys that are no more.
    pub keys: usize,
}

/// Does it.
pub(super) async fn audit(admin: Data<Admin>, order: Json<Order>) -> HttpResponse {
    let done = match &admin.audit {
        Some(audit) => admin.obey(audit, order.into_inner()).await,
        None => Err("this node records nothing: it has no [audit] sink".to_owned()),
    };
    let answer = done.unwrap_or_else(Answer::Refused);
    super::not_cached(HttpResponse::Ok().json(answer))
}

impl Admin {
    async fn obey(&self, audit: &Audit, order: Order) -> Result<Answer, String> {
        match order {
            Order::Erase { tenant, subject } => {
                let erased = self.erase(audit, &tenant, &subject).await;
                erased.map(Answer::Erased)
            }
            Order::Exported {
                tenant,
                reference,
                records,
            } => {
                let event = Event::of(&tenant, What::Exported { reference, records });
                let noted = audit.note(&event).await;
                noted.map_err(|error| error.to_string())?;
                Ok(Answer::Recorded)
            }
        }
    }

    /// First what makes new records, and then their key.
    async fn erase(&self, audit: &Audit, tenant: &str, subject: &str) -> Result<Erased, String> {
        if audit.is_held(tenant) {
            return Err(EraseError::Held.to_string());
        }
        let keys = self.forget_keys(audit, tenant, subject).await?;
        let sessions = self.sessions.erase(tenant, subject).await;
        let sessions = sessions.map_err(|error| error.to_string())?;
        let reference = audit.erase(tenant, subject).await;
        let reference = reference.map_err(|error| error.to_string())?;
        Ok(Erased {
            reference: reference.map(|reference| reference.to_string()),
            sessions,
            keys,
        })
    }

    async fn forget_keys(&self, audit: &Audit, tenant: &str, user: &str) -> Result<usize, String> {
        let (tenant, user) = (tenant.to_owned(), user.to_owned());
        let answer = self.keyring.obey(KeyOrder::Forget { tenant, user }).await;
        put_on_record(audit, &answer);
        match answer {
            KeyAnswer::Forgotten { keys, .. } => Ok(keys.len()),
            KeyAnswer::Refused(why) => Err(why),
            KeyAnswer::Created { .. } | KeyAnswer::Listed { .. } | KeyAnswer::Revoked(_) => {
                unreachable!("invariant: something else was asked")
            }
        }
    }
}
