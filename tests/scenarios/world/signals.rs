//! Telling a server to stop without waiting for it.

use tokio::process::Command;

use super::Switchboard;

impl Switchboard {
    /// Asks it to stop (SIGTERM) and goes on at once; [`Switchboard::ended`] waits for its end.
    pub async fn tell_to_stop(&self) {
        let pid = self.pid().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(told.expect("kill can be run").success());
    }
}
