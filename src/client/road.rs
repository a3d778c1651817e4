//! The way to a server: straight to it, or through a proxy that the environment names.
//!
//! Proxies are named as for other programs (`HTTPS_PROXY`, `NO_PROXY` and so on). None is asked about
//! this machine itself.

use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::builderstates::WantsProtocols1;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use rustls::crypto::aws_lc_rs;
use tower_service::Service;

use super::error::ClientError;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// When the other machine is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

type AnyError = Box<dyn Error + Send + Sync>;
type Secured<T> = HttpsConnector<T>;

/// See the module docs.
#[derive(Clone)]
pub(super) enum Road {
    /// To the server, in the clear.
    Clear(HttpConnector),
    /// To the server.
    Secured(Secured<HttpConnector>),
    /// To a proxy that makes the requests.
    Proxy(Secured<HttpConnector>, Intercept),
    /// To the server, through a proxy that sees nothing of what passes.
    Tunnel(Secured<Tunnel<Secured<HttpConnector>>>),
}

impl Road {
    pub(super) fn to(server: &Uri) -> Result<Self, ClientError> {
        let proxy = if is_this_machine(server) {
            None
        } else {
            Matcher::from_env().intercept(server)
        };
        Self::through(proxy, server)
    }

    fn through(proxy: Option<Intercept>, server: &Uri) -> Result<Self, ClientError> {
        let is_secure = server.scheme() == Some(&Scheme::HTTPS);
        Ok(match proxy {
            None if is_secure => Self::Secured(tls()?.enable_all_versions().wrap_connector(tcp())),
            None => Self::Clear(tcp()),
            Some(proxy) => {
                let to_proxy = tls()?.enable_http1().wrap_connector(tcp());
                if !is_secure {
                    return Ok(Self::Proxy(to_proxy, proxy));
                }
                let mut tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
                if let Some(secret) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(secret.clone());
                }
                Self::Tunnel(tls()?.enable_all_versions().wrap_connector(tunnel))
            }
        })
    }

    /// What a proxy that makes the requests wants to see with each.
    pub(super) fn proxy_authorization(&self) -> Option<&HeaderValue> {
        match self {
            Self::Proxy(_, proxy) => proxy.basic_auth(),
            Self::Clear(_) | Self::Secured(_) | Self::Tunnel(_) => None,
        }
    }

    async fn connect(self, server: Uri) -> Result<Stream, AnyError> {
        let is_proxied = matches!(self, Self::Proxy(..));
        let carrier: Box<dyn Carrier> = match self {
            Self::Clear(mut road) => Box::new(road.call(server).await?),
            Self::Secured(mut road) => Box::new(road.call(server).await?),
            Self::Proxy(mut road, proxy) => Box::new(road.call(proxy.uri().clone()).await?),
            Self::Tunnel(mut road) => Box::new(road.call(server).await?),
        };
        Ok(Stream {
            carrier,
            is_proxied,
        })
    }
}

impl Service<Uri> for Road {
    type Response = Stream;
    type Error = AnyError;
    type Future = BoxFuture<'static, Result<Stream, AnyError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AnyError>> {
        // So are the connectors it is made of.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(CONNECT, self.clone().connect(server));
        Box::pin(async { connecting.await? })
    }
}

impl fmt::Debug for Road {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear(_) => "Clear",
            Self::Secured(_) => "Secured",
            Self::Proxy(..) => "Proxy",
            Self::Tunnel(_) => "Tunnel",
        })
    }
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp.set_keepalive_interval(Some(KEEP_ALIVE));
    tcp
}

/// TLS where the URL says so, with the roots this machine trusts.
fn tls() -> Result<HttpsConnectorBuilder<WantsProtocols1>, ClientError> {
    // Said here, because a program that embeds us may have built in several.
    let cryptography = aws_lc_rs::default_provider();
    let builder = HttpsConnectorBuilder::new().with_provider_and_platform_verifier(cryptography);
    let builder = builder.map_err(|error| ClientError::Address(error.to_string()))?;
    Ok(builder.https_or_http())
}

fn is_this_machine(server: &Uri) -> bool {
    match server.host() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

trait Carrier: Read + Write + Connection + Send + Unpin {}

impl<T: Read + Write + Connection + Send + Unpin> Carrier for T {}

/// A connection, whatever carries it.
pub(super) struct Stream {
    carrier: Box<dyn Carrier>,
    /// Whether requests on it name whole URLs.
    is_proxied: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.carrier.connected().proxy(self.is_proxied)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.carrier).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.carrier).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.carrier).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.carrier.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.carrier).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.carrier).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join;
    use hyper::header::PROXY_AUTHORIZATION;
    use hyper::{Method, Request};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::agent::Agent;
    use super::*;

    /// What a proxy is told when somebody asks `server` for something, up to the empty line.
    async fn told(server: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://user:word@{}", listener.local_addr().unwrap());
        let proxies = Matcher::builder().all(proxy).build();
        let server = server.parse::<Uri>().unwrap();
        let road = Road::through(proxies.intercept(&server), &server).unwrap();
        let agent = Agent::on(road);
        let mut request = Request::new("{}".to_owned());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = server;
        request.headers_mut().extend(
            agent
                .proxy_authorization()
                .map(|secret| (PROXY_AUTHORIZATION, secret.clone())),
        );
        let hearing = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut heard = Vec::new();
            while !heard.windows(4).any(|end| end == b"\r\n\r\n") {
                assert_ne!(connection.read_buf(&mut heard).await.unwrap(), 0);
            }
            let refusal = b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n";
            connection.write_all(refusal).await.unwrap();
            String::from_utf8(heard).unwrap().to_ascii_lowercase()
        };
        join(hearing, agent.send(request)).await.0
    }

    #[tokio::test]
    async fn a_proxy_makes_requests_that_are_not_secret() {
        let told = told("http://server.example/mcp").await;
        assert!(told.starts_with("post http://server.example/mcp http/1.1\r\n"));
        assert!(told.contains("\r\nproxy-authorization: basic dxnlcjp3b3jk\r\n"));
    }

    #[tokio::test]
    async fn a_proxy_sees_nothing_of_requests_that_are_secret() {
        let told = told("https://server.example/mcp").await;
        assert!(told.starts_with("connect server.example:443 http/1.1\r\n"));
        assert!(told.contains("\r\nproxy-authorization: basic dxnlcjp3b3jk\r\n"));
        assert!(!told.contains("/mcp"));
    }

    #[test]
    fn this_machine_is_known_by_each_of_its_names() {
        for (server, is_here) in [
            ("http://localhost:1/mcp", true),
            ("http://127.0.0.9/mcp", true),
            ("http://[::1]:1/mcp", true),
            ("http://10.0.0.1/mcp", false),
            ("http://localhost.example/mcp", false),
        ] {
            assert_eq!(
                is_this_machine(&server.parse().unwrap()),
                is_here,
                "{server}"
            );
        }
    }
}
