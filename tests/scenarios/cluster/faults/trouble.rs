//! What can be wrong with a store, from its beginning until it is mended.

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::world::redis::{Connection, Reply};
use crate::world::{Cluster, Redis, eventually, within};

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
    /// It cannot write its file, and is to take nothing then (`stop-writes-on-bgsave-error`).
    Unsaved,
    /// It has no replica, and is to take nothing then (`min-replicas-to-write`).
    Alone,
    /// A password that the nodes do not know.
    Locked,
    /// Reads its file.
    Loading,
}

impl Trouble {
    /// What a node in it says for certain when it is asked whether it is ready.
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Slow | Self::Reset | Self::Loading => None,
            Self::Full | Self::ReadOnly | Self::Unsaved | Self::Alone => {
                Some("store takes no writes")
            }
            Self::Stalled | Self::Locked => Some("store unavailable"),
        }
    }
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
            Trouble::Unsaved => {
                std::fs::create_dir(in_the_way(redis)).expect("a directory can be made");
                said(&mut rig, &["CONFIG", "SET", "save", "3600 1"]).await;
                said(&mut rig, &["BGSAVE"]).await;
                saving_ended(redis, "err").await;
            }
            Trouble::Alone => {
                said(&mut rig, &["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
            }
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
            Trouble::Unsaved => {
                std::fs::remove_dir(in_the_way(&cluster.redis)).expect("it is there");
                said(&mut self.rig, &["BGSAVE"]).await;
                saving_ended(&cluster.redis, "ok").await;
            }
            Trouble::Alone => {
                said(
                    &mut self.rig,
                    &["CONFIG", "SET", "min-replicas-to-write", "0"],
                )
                .await;
            }
            Trouble::Locked => said(&mut self.rig, &["CONFIG", "SET", "requirepass", ""]).await,
            Trouble::Loading => {
                let loading = self.working.expect("it loads");
                within("it has loaded", loading).await.expect("it loads");
            }
        }
    }
}

/// Where a directory keeps a server from writing its file.
fn in_the_way(redis: &Redis) -> PathBuf {
    redis.directory().join("dump.rdb")
}

async fn saving_ended(redis: &Redis, how: &str) {
    eventually("it has tried to save", || async {
        let ended = redis.info_value("persistence", "rdb_last_bgsave_status");
        (ended.await == how).then_some(())
    })
    .await;
}

async fn said(rig: &mut Connection, command: &[&str]) {
    let reply = rig.command(command).await.expect("Redis answers");
    assert!(!matches!(reply, Reply::Error(_)), "{command:?}: {reply:?}");
}
