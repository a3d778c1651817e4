//! The person who logs in, as far as this program sees them: a browser that is sent somewhere and comes
//! back.
//!
//! [`Loopback`] has no browser. It says on which address of this machine one should begin; from there
//! the browser is sent to the authorization server, which sends it back to the same address. Where a
//! login begins cannot be guessed, so that no page can lead a browser through one unasked. Nothing is
//! listened to but while somebody is expected.
//!
//! Spec: RFC 8252 section 7.3.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::KeepAlive;
use actix_web::http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use url::Url;

use super::error::OAuthError;
use crate::runtime::seal;
use crate::runtime::tasks::{TaskKind, Tasks};

/// Where browsers are sent back to.
const CALLBACK: &str = "/callback";
/// What a browser shows in the end.
const DONE: &str = "You may close this window: the answer has arrived.\n";

/// Goes to an authorization server, and comes back.
pub trait Browser: fmt::Debug + Send + Sync {
    /// Where it can come back to from now on.
    ///
    /// # Errors
    /// [`OAuthError::Declined`].
    fn expect(&self) -> Result<Box<dyn Expected>, OAuthError>;
}

/// A browser that can come back.
pub trait Expected: Send {
    /// Where.
    fn redirect(&self) -> &Url;

    /// Sends it to `url`. Returns the URL it came back to, whatever that says.
    fn visit(self: Box<Self>, url: Url) -> BoxFuture<'static, Result<Url, OAuthError>>;
}

/// Says where a login begins.
type Tell = Arc<dyn Fn(&Url) + Send + Sync>;

/// See the module docs.
#[derive(Clone)]
pub struct Loopback {
    address: Arc<Mutex<SocketAddr>>,
    tell: Tell,
    patience: Duration,
    tasks: Tasks,
}

impl Loopback {
    /// Listens on `address` when somebody is to log in, for no longer than `patience`; `tell` says where
    /// that begins. Port 0 is one that is free, and the same from then on.
    pub fn new(
        address: SocketAddr,
        patience: Duration,
        tasks: Tasks,
        tell: impl Fn(&Url) + Send + Sync + 'static,
    ) -> Self {
        Self {
            address: Arc::new(Mutex::new(address)),
            tell: Arc::new(tell),
            patience,
            tasks,
        }
    }
}

impl fmt::Debug for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loopback")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Browser for Loopback {
    fn expect(&self) -> Result<Box<dyn Expected>, OAuthError> {
        let nowhere = |error: std::io::Error| {
            OAuthError::Declined(format!("there is no way back from a browser: {error}"))
        };
        let mut address = self.address.lock().unwrap_or_else(PoisonError::into_inner);
        let listener = TcpListener::bind(*address).map_err(nowhere)?;
        *address = listener.local_addr().map_err(nowhere)?;
        let here = Url::parse(&format!("http://{address}/")).and_then(|url| url.join(CALLBACK));
        let redirect = here.map_err(|_| OAuthError::Forged("its way back is no URL"))?;
        Ok(Box::new(Listening {
            listener,
            redirect,
            loopback: self.clone(),
        }))
    }
}

struct Listening {
    listener: TcpListener,
    redirect: Url,
    loopback: Loopback,
}

/// What the pages know.
#[derive(Clone)]
struct Pages {
    redirect: Url,
    login: Url,
    came_back: mpsc::Sender<Url>,
}

impl Expected for Listening {
    fn redirect(&self) -> &Url {
        &self.redirect
    }

    fn visit(self: Box<Self>, url: Url) -> BoxFuture<'static, Result<Url, OAuthError>> {
        Box::pin(self.wait(url))
    }
}

impl Listening {
    async fn wait(self: Box<Self>, login: Url) -> Result<Url, OAuthError> {
        let Self {
            listener,
            redirect,
            loopback,
        } = *self;
        let unreachable = || OAuthError::Declined("there is no way back from a browser".to_owned());
        let begin = format!("/login/{}", URL_SAFE_NO_PAD.encode(seal::random::<16>()));
        let start = redirect.join(&begin).map_err(|_| unreachable())?;
        // One answer is looked at; what comes after it is somebody's second click.
        let (came_back, mut comes_back) = mpsc::channel(1);
        let pages = Pages {
            redirect,
            login,
            came_back,
        };
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(pages.clone()))
                .route(&begin, web::get().to(send_on))
                .route(CALLBACK, web::get().to(take))
        });
        let server = server.workers(1).disable_signals().shutdown_timeout(1);
        let server = server.keep_alive(KeepAlive::Disabled);
        let server = server.listen(listener).map_err(|_| unreachable())?.run();
        let stopping = Stopping(Some(server.handle()), loopback.tasks.clone());
        loopback.tasks.spawn(TaskKind::Upkeep, async move {
            if let Err(error) = server.await {
                tracing::warn!(%error, "nobody can come back from a login");
            }
        });
        (loopback.tell)(&start);
        let came = tokio::time::timeout(loopback.patience, comes_back.recv()).await;
        // Whoever logs in next listens at the same address.
        stopping.now().await;
        match came {
            Ok(Some(url)) => Ok(url),
            Ok(None) => Err(unreachable()),
            Err(_) => Err(OAuthError::Declined("nobody came back in time".to_owned())),
        }
    }
}

/// Stops listening at the latest when it is dropped, after what is being answered.
struct Stopping(Option<ServerHandle>, Tasks);

impl Stopping {
    async fn now(mut self) {
        if let Some(server) = self.0.take() {
            server.stop(true).await;
        }
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        if let Some(server) = self.0.take() {
            self.1.spawn(TaskKind::Upkeep, server.stop(true));
        }
    }
}

async fn send_on(pages: web::Data<Pages>) -> HttpResponse {
    HttpResponse::Found()
        .insert_header((LOCATION, pages.login.as_str()))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .finish()
}

async fn take(request: HttpRequest, pages: web::Data<Pages>) -> HttpResponse {
    let mut url = pages.redirect.clone();
    url.set_query(Some(request.query_string()));
    let _second = pages.came_back.try_send(url);
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .content_type("text/plain; charset=utf-8")
        .body(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(url: &Url) -> impl Future<Output = reqwest::Response> {
        let client = reqwest::Client::builder()
            .tls_certs_only([])
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        let request = client.build().unwrap().get(url.clone());
        async { request.send().await.unwrap() }
    }

    #[tokio::test]
    async fn a_browser_is_sent_on_and_comes_back_once() {
        let (told, mut tells) = mpsc::unbounded_channel();
        let tasks = Tasks::on(tokio::runtime::Handle::current());
        let patience = Duration::from_secs(60);
        let loopback = Loopback::new(([127, 0, 0, 1], 0).into(), patience, tasks, move |url| {
            told.send(url.clone()).unwrap();
        });
        let expected = loopback.expect().unwrap();
        let mut back = expected.redirect().clone();
        assert_eq!(back.path(), CALLBACK);
        let login = Url::parse("https://as.example/authorize?state=s").unwrap();
        let browsing = async {
            let start = tells.recv().await.unwrap();
            let sent = get(&start).await;
            assert_eq!(sent.headers()["location"], login.as_str());
            assert_eq!(get(&back.join("/").unwrap()).await.status(), 404);
            back.set_query(Some("state=s&code=c"));
            assert_eq!(get(&back).await.status(), 200);
            back.clone()
        };
        let (came_back, back) =
            futures_util::future::join(expected.visit(login.clone()), browsing).await;
        assert_eq!(came_back, Ok(back));
    }
}
