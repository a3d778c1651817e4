//! A server of the scenario's own tools, hosted in this process.

use switchboard::server::ServerBuilder;
use switchboard::{Host, Hosted};

use super::{Session, Stateless, within};

/// A hosted server. Told to stop when dropped.
#[derive(Debug)]
pub struct Own(pub Hosted);

impl Own {
    /// Serves `server` at `/mcp`, state in memory.
    pub async fn start(server: ServerBuilder) -> Self {
        Self::with(server, "").await
    }

    /// The same, with more lines of configuration.
    pub async fn with(server: ServerBuilder, toml: &str) -> Self {
        let host = Host::new(server).config(configuration(toml));
        let started = within("the host starts", host.start()).await;
        Self(started.expect("the host can start"))
    }

    /// A client of the session era that has shaken hands and declared nothing.
    pub async fn session(&self, version: &str) -> Session {
        Session::open(&self.0.url(), version, serde_json::json!({})).await
    }

    /// A client of the stateless era that declares nothing.
    pub fn stateless(&self) -> Stateless {
        Stateless::new(&self.0.url())
    }

    /// GET of a path: the status and the text.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.0.address());
        let answer = crate::world::get(url).await.expect("the server answers");
        let status = answer.status().as_u16();
        (status, answer.text().await.expect("the answer is text"))
    }
}

/// A free port and no files, unless `toml` says otherwise.
pub fn configuration(toml: &str) -> String {
    format!("server.listen = \"127.0.0.1:0\"\nstore.url = \"memory:\"\n{toml}")
}
