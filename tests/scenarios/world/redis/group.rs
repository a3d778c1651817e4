//! Several of them: a cluster that shares the slots, and sentinels that watch a primary and its
//! replicas.

use super::{Redis, Setup, eventually, ok};

/// How many slots a cluster shares.
const SLOTS: usize = 16_384;

/// Primaries that share all slots.
#[derive(Debug)]
pub struct RedisCluster(pub Vec<Redis>);

impl RedisCluster {
    /// Starts `count` and waits until each sees all slots served.
    pub async fn of(count: usize) -> Self {
        Self::like(&Setup::default(), count).await
    }

    /// The same of servers that are set up like this.
    pub async fn like(setup: &Setup, count: usize) -> Self {
        let mut nodes: Vec<Redis> = Vec::new();
        for index in 0..count {
            let node = setup.clone().clustered().start().await;
            let (first, end) = (index * SLOTS / count, (index + 1) * SLOTS / count);
            let range = [first.to_string(), (end - 1).to_string()];
            let take = ["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]];
            assert_eq!(node.cli(&take).await, ok());
            if let Some(known) = nodes.first() {
                let (port, bus) = (known.address().port(), known.port + 2);
                let (port, bus) = (port.to_string(), bus.to_string());
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
        self.0[1].url_as("+cluster", &self.0[1].address().to_string())
    }
}

/// Watches a primary, and puts a replica in its place when it is gone.
#[derive(Debug)]
pub struct Sentinel(pub Redis);

/// The name that sentinels know the primary by.
const PRIMARY: &str = "main";

impl Sentinel {
    /// Starts one that needs `quorum` to agree; after half a second of silence a primary is gone.
    pub async fn watching(primary: &Redis, quorum: usize) -> Self {
        let port = primary.address().port();
        let mut setup = Setup::default().config(&format!(
            "sentinel monitor {PRIMARY} 127.0.0.1 {port} {quorum}\n\
             sentinel down-after-milliseconds {PRIMARY} 500\n\
             sentinel failover-timeout {PRIMARY} 3000"
        ));
        let (user, password) = primary.setup.rig();
        if let Some(user) = user {
            setup = setup.config(&format!("sentinel auth-user {PRIMARY} {user}"));
        }
        if let Some(password) = password {
            setup = setup.config(&format!("sentinel auth-pass {PRIMARY} {password}"));
        }
        if primary.setup.tls {
            setup = setup.tls();
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

/// A primary, replicas in step with it, and three sentinels of which two must agree.
#[derive(Debug)]
pub struct Watched {
    /// The one that is written.
    pub primary: Redis,
    /// Those that may take its place.
    pub replicas: Vec<Redis>,
    /// Who sees to that.
    pub sentinels: Vec<Sentinel>,
}

impl Watched {
    /// Starts them, with so many replicas, and waits until all know each other.
    pub async fn with(replicas: usize) -> Self {
        Self::like(&Setup::default(), replicas).await
    }

    /// The same of servers that are set up like this.
    pub async fn like(setup: &Setup, replicas: usize) -> Self {
        let primary = setup.clone().start().await;
        let mut watched = Self {
            primary,
            replicas: Vec::new(),
            sentinels: Vec::new(),
        };
        for _ in 0..replicas {
            let replica = setup.clone().replica_of(&watched.primary).start().await;
            replica.in_step_with(&watched.primary).await;
            watched.replicas.push(replica);
        }
        for _ in 0..3 {
            let sentinel = Sentinel::watching(&watched.primary, 2).await;
            watched.sentinels.push(sentinel);
        }
        for sentinel in &watched.sentinels {
            sentinel.knows_replicas(replicas).await;
            eventually("it knows the other sentinels", || async {
                let known = sentinel.0.cli(&["SENTINEL", "SENTINELS", PRIMARY]).await;
                (known.list().len() == 2).then_some(())
            })
            .await;
        }
        watched
    }

    /// Where the product finds it: the sentinels know.
    pub fn url(&self) -> String {
        let addresses = self
            .sentinels
            .iter()
            .map(|each| each.0.address().to_string());
        let addresses: Vec<_> = addresses.collect();
        let hosts = format!("{}/{PRIMARY}", addresses.join(","));
        self.primary.url_as("+sentinel", &hosts)
    }
}
