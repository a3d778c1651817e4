//! Telling a process something without waiting for what comes of it, and seeing that it has begun.

use tokio::process::Command;

use super::{Switchboard, eventually};

impl Switchboard {
    /// Asks it to stop (SIGTERM) and goes on at once; [`Switchboard::ended`] waits for its end.
    pub async fn tell_to_stop(&self) {
        send("TERM", self.pid()).await;
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

/// Sends a signal to a process, by its id.
pub async fn send(signal: &str, pid: u32) {
    let signal = format!("-{signal}");
    let told = Command::new("kill")
        .args([&signal, &pid.to_string()])
        .status();
    assert!(told.await.expect("kill can be run").success());
}
