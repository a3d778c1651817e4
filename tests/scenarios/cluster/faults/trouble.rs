//! What can be wrong with a store, from its beginning until it is mended.

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::world::redis::{Connection, Reply};
use crate::world::{Cluster, within};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A second each way.
    Slow,
    /// Connected and silent.
    Stalled,
    /// Every connection breaks, again and again.
    Reset,
    /// No memory for what is new.
    Full,
    /// A replica of nobody.
    ReadOnly,
    /// A password that the nodes do not know.
    Locked,
    /// Reads its file.
    Loading,
}

/// Trouble that lasts until it is mended.
pub struct Lasting {
    trouble: Trouble,
    /// Let in before the door was locked.
    rig: Connection,
    working: Option<JoinHandle<()>>,
}

impl Lasting {
    /// Begins it, between the store and the first node.
    pub async fn begin(trouble: Trouble, cluster: &Cluster) -> Self {
        let link = cluster[0].link.as_ref().expect("there is a link");
        let redis = &cluster.redis;
        let mut rig = redis.connection().await.expect("Redis answers");
        let mut working = None;
        match trouble {
            Trouble::Slow => link.delay(Duration::from_secs(1)),
            Trouble::Stalled => link.stall(),
            Trouble::Reset => {
                let reset = link.resetting();
                working = Some(tokio::spawn(async move {
                    loop {
                        reset();
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }));
            }
            Trouble::Full => said(&mut rig, &["CONFIG", "SET", "maxmemory", "1"]).await,
            // Nobody listens there.
            Trouble::ReadOnly => said(&mut rig, &["REPLICAOF", "127.0.0.1", "1"]).await,
            Trouble::Locked => {
                said(&mut rig, &["CONFIG", "SET", "requirepass", "x"]).await;
                let kill = rig.command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
                kill.expect("it answers");
            }
            Trouble::Loading => {
                said(&mut rig, &["CONFIG", "SET", "key-load-delay", "50000"]).await;
                let mut other = redis.connection().await.expect("Redis answers");
                working = Some(tokio::spawn(async move {
                    let reloaded = other.command(&["DEBUG", "RELOAD"]).await;
                    reloaded.expect("it reloads");
                }));
            }
        }
        Self {
            trouble,
            rig,
            working,
        }
    }

    /// Mends it.
    pub async fn end(mut self, cluster: &mut Cluster) {
        match self.trouble {
            Trouble::Slow | Trouble::Stalled | Trouble::Reset => {
                if let Some(resetting) = self.working {
                    resetting.abort();
                }
                cluster[0]
                    .link
                    .as_mut()
                    .expect("there is a link")
                    .heal()
                    .await;
            }
            Trouble::Full => said(&mut self.rig, &["CONFIG", "SET", "maxmemory", "0"]).await,
            Trouble::ReadOnly => said(&mut self.rig, &["REPLICAOF", "NO", "ONE"]).await,
            Trouble::Locked => said(&mut self.rig, &["CONFIG", "SET", "requirepass", ""]).await,
            Trouble::Loading => {
                let loading = self.working.expect("it loads");
                within("it has loaded", loading).await.expect("it loads");
            }
        }
    }
}

async fn said(rig: &mut Connection, command: &[&str]) {
    let reply = rig.command(command).await.expect("Redis answers");
    assert!(!matches!(reply, Reply::Error(_)), "{command:?}: {reply:?}");
}
