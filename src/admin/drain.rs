//! `POST /drain`: asks this node to drain, and tells each step as it ends.
//!
//! One line of text per step; the answer ends when the last has. Asking again joins in. The steps
//! themselves are `app`'s.

use std::convert::Infallible;

use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data};
use futures_util::stream;

use super::Admin;

pub(super) async fn drain(admin: Data<Admin>) -> HttpResponse {
    let shutdown = admin.shutdown.clone();
    shutdown.ask();
    // Ends: there are as many as `app` lists.
    let lines = stream::unfold((shutdown, 0), |(shutdown, index)| async move {
        let end = shutdown.step(index).await?;
        let line = Bytes::from(format!("{end}\n"));
        Some((Ok::<_, Infallible>(line), (shutdown, index + 1)))
    });
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .streaming(Box::pin(lines))
}
