//! What this module gives to an actix-web app: its routes, and what happens when a client connects.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use actix_web::web::{self, Data, ServiceConfig};
use socket2::SockRef;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::admission;
use super::config::{Config, Context, Endpoint};
use super::http_sse::{self, Pipes};
use super::reply::Refused;
use super::streamable_http::endpoint;
use super::tls;
use crate::auth::protected_resource;
use crate::telemetry::metrics::{Gauged, Metrics};

/// Adds the endpoints, and HTTP+SSE beside them if it is on.
pub fn routes(
    app: &mut ServiceConfig,
    context: &Context,
    endpoints: &[Endpoint],
    http_sse: Option<&Pipes>,
) {
    app.app_data(Data::new(context.clone()));
    for endpoint in endpoints
        .iter()
        .filter(|endpoint| endpoint.access.tokens().is_some())
    {
        for path in protected_resource::paths(&endpoint.path) {
            app.service(
                web::resource(path)
                    .app_data(Data::new(endpoint.clone()))
                    .get(admission::metadata),
            );
        }
    }
    // Clients that do not know of paths find the first endpoint's at the root.
    let mut with_tokens = endpoints.iter();
    let first = with_tokens.find(|endpoint| endpoint.access.tokens().is_some());
    if let Some(first) = first.filter(|first| first.path != "/") {
        app.service(
            web::resource(protected_resource::ROOT)
                .app_data(Data::new(first.clone()))
                .get(admission::metadata),
        );
    }
    for endpoint in endpoints {
        app.service(
            web::resource(&endpoint.path)
                .app_data(Data::new(endpoint.clone()))
                .default_service(web::to(endpoint::serve)),
        );
    }
    if let (Some(pipes), Some(paths)) = (http_sse, &context.config.http_sse) {
        app.service(
            web::resource(&paths.stream_path)
                .app_data(Data::new(pipes.clone()))
                .default_service(web::to(http_sse::open)),
        );
        app.service(
            web::resource(&paths.message_path)
                .app_data(Data::new(pipes.clone()))
                .default_service(web::to(http_sse::message)),
        );
    }
}

/// What is served where nothing is served.
pub async fn nothing_here(context: Data<Context>) -> actix_web::HttpResponse {
    let refused = Refused::Path;
    refused.respond(&context.metrics, None)
}

/// Counts connections, sets their options, and cuts those of an address that has too many.
#[derive(Clone, Debug)]
pub struct Doorkeeper {
    config: Arc<Config>,
    metrics: Metrics,
    /// Open connections by address; loopback is not counted.
    addresses: Arc<dashmap::DashMap<IpAddr, usize>>,
    open: TaskTracker,
}

/// A connection; counted for as long as actix keeps it.
#[derive(Debug)]
pub(in crate::transport) struct Connection {
    /// The request being answered has a body that nobody has read to its end.
    pub(in crate::transport) unread: AtomicBool,
    /// Its last request has come: whatever follows is not looked at.
    pub(in crate::transport) last: AtomicBool,
    address: Option<IpAddr>,
    addresses: Arc<dashmap::DashMap<IpAddr, usize>>,
    _gauged: Gauged,
    _open: TaskTrackerToken,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        if let dashmap::Entry::Occupied(mut entry) = self.addresses.entry(address) {
            if *entry.get() > 1 {
                *entry.get_mut() -= 1;
            } else {
                entry.remove();
            }
        }
    }
}

impl Doorkeeper {
    /// A doorkeeper for all workers of a listener.
    #[must_use]
    pub fn new(config: Arc<Config>, metrics: Metrics) -> Self {
        Self {
            config,
            metrics,
            addresses: Arc::default(),
            open: TaskTracker::new(),
        }
    }

    /// How many connections of this listener are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Waits until every connection of this listener has ended.
    ///
    /// # Cancel safety
    /// May be dropped at any await.
    pub async fn all_ended(&self) {
        self.open.close();
        self.open.wait().await;
    }

    /// Called by actix for each accepted connection, after the handshake where there is TLS. Whom a
    /// client certificate is about is an extension of it then: `request.conn_data::<Subject>()`.
    pub fn connected(&self, connection: &dyn Any, extensions: &mut Extensions) {
        let stream = match connection.downcast_ref::<TlsStream<TcpStream>>() {
            None => connection.downcast_ref::<TcpStream>(),
            Some(secured) => {
                if let Some(subject) = tls::subject(secured) {
                    extensions.insert(subject);
                }
                Some(secured.get_ref().0)
            }
        };
        let Some(stream) = stream else {
            return;
        };
        let socket = SockRef::from(stream);
        // Nagle's algorithm would hold back the second event of a stream for 40 ms.
        let mut options = socket.set_tcp_nodelay(true);
        // The kernel cuts a connection whose peer has taken nothing for so long, be it gone or
        // only not reading. A timer of ours per connection could do no better.
        #[cfg(target_os = "linux")]
        {
            options = options.and(socket.set_tcp_user_timeout(Some(self.config.write_stall)));
        }
        if let Err(error) = options {
            tracing::debug!(%error, "socket options could not be set");
        }
        let address = stream
            .peer_addr()
            .ok()
            .map(|peer: SocketAddr| peer.ip().to_canonical())
            .filter(|address| !address.is_loopback());
        if let Some(address) = address {
            let mut open = self.addresses.entry(address).or_insert(0);
            *open += 1;
            if *open > self.config.connections_per_address {
                // There is no way to answer here; a closed connection is what is left.
                tracing::info!(%address, "a connection was cut: its address has too many");
                let _closed = socket.shutdown(std::net::Shutdown::Both);
            }
        }
        extensions.insert(Connection {
            unread: AtomicBool::new(false),
            last: AtomicBool::new(false),
            address,
            addresses: self.addresses.clone(),
            _gauged: self.metrics.connection(),
            _open: self.open.token(),
        });
    }
}
