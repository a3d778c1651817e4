//! Several of them: a cluster that shares the slots, and sentinels that watch a primary.

use super::{Redis, Setup, eventually, ok};

/// How many slots a cluster shares.
const SLOTS: usize = 16_384;

/// Primaries that share all slots.
#[derive(Debug)]
pub struct RedisCluster(pub Vec<Redis>);

impl RedisCluster {
    /// Starts `count` and waits until each sees all slots served.
    pub async fn of(count: usize) -> Self {
        let mut nodes: Vec<Redis> = Vec::new();
        for index in 0..count {
            let node = Redis::with().clustered().start().await;
            let (first, end) = (index * SLOTS / count, (index + 1) * SLOTS / count);
            let range = [first.to_string(), (end - 1).to_string()];
            let take = ["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]];
            assert_eq!(node.cli(&take).await, ok());
            if let Some(known) = nodes.first() {
                let (port, bus) = (known.port.to_string(), (known.port + 2).to_string());
                let meet = ["CLUSTER", "MEET", "127.0.0.1", &port, &bus];
                assert_eq!(node.cli(&meet).await, ok());
            }
            nodes.push(node);
        }
        for node in &nodes {
            eventually("the cluster is whole", || async {
                let state = node.cli(&["CLUSTER", "INFO"]).await.text();
                let known = format!("cluster_known_nodes:{count}\r\n");
                (state.contains("cluster_state:ok") && state.contains(&known)).then_some(())
            })
            .await;
        }
        Self(nodes)
    }

    /// Where the product finds it: any part of it knows the others.
    pub fn url(&self) -> String {
        self.0[0].url()
    }
}

/// Watches a primary, and puts a replica in its place when it is gone.
#[derive(Debug)]
pub struct Sentinel(pub Redis);

/// The name that sentinels know the primary by.
pub const PRIMARY: &str = "main";

impl Sentinel {
    /// Starts one that needs `quorum` to agree; after half a second of silence a primary is gone.
    pub async fn watching(primary: &Redis, quorum: usize) -> Self {
        let port = primary.port;
        let mut setup = Setup::default().config(&format!(
            "sentinel monitor {PRIMARY} 127.0.0.1 {port} {quorum}\n\
             sentinel down-after-milliseconds {PRIMARY} 500\n\
             sentinel failover-timeout {PRIMARY} 3000"
        ));
        if let Some(password) = &primary.setup.password {
            setup = setup.config(&format!("sentinel auth-pass {PRIMARY} {password}"));
        }
        setup.sentinel = true;
        Self(setup.start().await)
    }

    /// The port of who it takes for the primary.
    pub async fn primary_port(&self) -> u16 {
        let told = self
            .0
            .cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY]);
        let port = told.await.list()[1].number();
        u16::try_from(port).expect("a port is told")
    }

    /// Waits until it knows so many replicas of the primary.
    pub async fn knows_replicas(&self, count: usize) {
        eventually("the sentinel knows the replicas", || async {
            let known = self.0.cli(&["SENTINEL", "REPLICAS", PRIMARY]).await;
            (known.list().len() == count).then_some(())
        })
        .await;
    }
}
