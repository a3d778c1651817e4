//! `POST /keys`: makes, lists and revokes API keys, for the command line.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json};

use super::Admin;
use crate::audit::{Audit, Event, What};
use crate::keyring::order::{Answer, Order};

pub(super) async fn keys(admin: Data<Admin>, order: Json<Order>) -> HttpResponse {
    let answer = admin.keyring.obey(order.into_inner()).await;
    if let Some(audit) = &admin.audit {
        put_on_record(audit, &answer);
    }
    super::not_cached(HttpResponse::Ok().json(answer))
}

/// Records what was done. It has happened, whether or not that can be written now.
pub fn put_on_record(audit: &Audit, answer: &Answer) {
    for event in events(answer) {
        drop(audit.note(&event));
    }
}

/// What of an answer goes on record.
fn events(answer: &Answer) -> Vec<Event> {
    let (record, what) = match answer {
        Answer::Created { record, .. } => {
            let (key, roles) = (record.id.clone(), record.roles.iter().cloned().collect());
            (record, What::KeyCreated { key, roles })
        }
        Answer::Revoked(record) => {
            let key = record.id.clone();
            (record, What::KeyRevoked { key })
        }
        // About nobody: who they belonged to is to be forgotten.
        Answer::Forgotten { tenant, keys } => {
            let revoked = keys.iter().cloned().map(|key| What::KeyRevoked { key });
            return revoked.map(|what| Event::of(tenant, what)).collect();
        }
        Answer::Listed { .. } | Answer::Refused(_) => return Vec::new(),
    };
    vec![Event {
        subject: Some(record.user().into()),
        ..Event::of(&record.tenant, what)
    }]
}
