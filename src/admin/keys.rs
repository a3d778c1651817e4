//! `POST /keys`: makes, lists and revokes API keys, for the command line.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json};

use super::Admin;
use crate::keyring::order::Order;

pub(super) async fn keys(admin: Data<Admin>, order: Json<Order>) -> HttpResponse {
    let answer = admin.keyring.obey(order.into_inner()).await;
    super::not_cached(HttpResponse::Ok().json(answer))
}
