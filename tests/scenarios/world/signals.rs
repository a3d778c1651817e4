//! Telling a server to stop without waiting for it, and seeing that it has begun.

use tokio::process::Command;

use super::{Switchboard, eventually};

impl Switchboard {
    /// Asks it to stop (SIGTERM) and goes on at once; [`Switchboard::ended`] waits for its end.
    pub async fn tell_to_stop(&self) {
        let pid = self.pid().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(told.expect("kill can be run").success());
    }

    /// Waits until it refuses connections: from then on proxies go elsewhere.
    pub async fn refuses_connections(&self) {
        eventually("connecting is refused", async || {
            let connected = tokio::net::TcpStream::connect(self.authority()).await;
            connected.is_err().then_some(())
        })
        .await;
    }
}
