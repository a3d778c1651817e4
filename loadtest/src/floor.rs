//! The floor: the least an actix-web server can do with a request.
//!
//! A POST is read, not looked at, and answered with a JSON object of a given size. A GET is answered
//! with an event stream: one that says nothing more, or one of so many events. The floor has the
//! allocator, the release profile and the number of workers of the server it is compared with; what
//! that one costs above this is what Switchboard itself costs.

use std::net::SocketAddr;

use actix_web::web::{self, Bytes, Data, Query};
use actix_web::{App, HttpResponse, HttpServer};

use crate::failure::Failure;
use crate::floor_stream::{Events, Idle};

/// What the first line of output begins with; the address follows.
pub(crate) const ANNOUNCEMENT: &str = "floor serving ";
/// Where a stream of events is had that its own body makes.
pub(crate) const EVENTS: &str = "/events";
/// Where a stream of events is had that a task makes.
pub(crate) const FED_EVENTS: &str = "/fed-events";
/// Largest answer that can be asked for.
const ANSWER_MAX: usize = 1 << 20;

/// What `floor` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The address and port to listen on.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// HTTP workers.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Size of the answer's body.
    #[arg(long, default_value_t = 128)]
    answer_bytes: usize,
}

/// Serves until killed.
pub(crate) fn main(args: &Args) -> Result<(), Failure> {
    let answer = answer(args.answer_bytes.min(ANSWER_MAX));
    let (listen, workers) = (args.listen, args.workers.into());
    let serving = async move {
        let server = HttpServer::new(move || {
            App::new()
                .app_data(Data::new(answer.clone()))
                .route(EVENTS, web::get().to(events))
                .route(FED_EVENTS, web::get().to(fed_events))
                .route("/mcp", web::get().to(idle))
                .default_service(web::to(echo))
        })
        .workers(workers)
        .bind(listen)?;
        announce(server.addrs().first().copied().unwrap_or(listen))?;
        server.run().await
    };
    actix_web::rt::System::new()
        .block_on(serving)
        .map_err(Failure::own("serving the floor"))
}

fn announce(address: SocketAddr) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout().lock(), "{ANNOUNCEMENT}{address}")
}

async fn echo(_whole: Bytes, answer: Data<Bytes>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(Bytes::clone(&answer))
}

async fn idle() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .body(Idle::default())
}

async fn events(events: Query<Events>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .body(events.into_inner().body())
}

async fn fed_events(events: Query<Events>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .body(events.into_inner().fed())
}

/// A JSON object of `size` bytes, and no fewer than the empty one has.
pub(crate) fn answer(size: usize) -> Bytes {
    const FRAME: &str = r#"{"text":""}"#;
    format!(
        r#"{{"text":"{}"}}"#,
        "x".repeat(size.saturating_sub(FRAME.len()))
    )
    .into()
}
