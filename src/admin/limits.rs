//! `POST /limits`: how much of some limits is used, for the command line.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json};

use super::Admin;
use crate::policy::limits::usage::{Question, Usage};

pub(super) async fn limits(admin: Data<Admin>, question: Json<Question>) -> HttpResponse {
    let now = admin.clock.wall_micros();
    let running = question.running.iter();
    let usage = Usage {
        left: admin.tokens.left(&question.buckets, now).await,
        running: running.map(|key| admin.permits.running(key)).collect(),
    };
    super::not_cached(HttpResponse::Ok().json(usage))
}
