//! The Redis of the scenarios can be what it has to be, and break as it has to.

use std::time::{Duration, Instant};

use crate::world::redis::{RedisCluster, Reply, Watched};
use crate::world::{Redis, eventually};

async fn set(redis: &Redis, value: &str) {
    let reply = redis.cli(&["SET", "key", value]).await;
    assert_eq!(reply.text(), "OK");
}

async fn get(redis: &Redis) -> Option<String> {
    match redis.cli(&["GET", "key"]).await {
        Reply::Nil => None,
        reply => Some(reply.text()),
    }
}

/// Ours: the counters of a story begin where it begins.
#[tokio::test]
async fn a_redis_counts_its_commands_and_those_of_scripts_apart() {
    let redis = Redis::start().await;
    let version = redis.info_value("server", "redis_version").await;
    let major = version.split('.').next().unwrap();
    assert!(major.parse::<u32>().unwrap() >= 7, "{version} is too old");
    let monitor = redis.monitor().await;

    set(&redis, "1").await;
    let script = "redis.call('SET', 'key', '2') return redis.call('GET', 'key')";
    assert_eq!(redis.cli(&["EVAL", script, "1", "key"]).await.text(), "2");

    let counts = redis.command_counts().await;
    assert_eq!((counts["set"], counts["eval"]), (2, 1));
    eventually("clients said two things", || async {
        let said = monitor.counts();
        (said.get("set") == Some(&1) && said.get("eval") == Some(&1)).then_some(())
    })
    .await;
    assert!(redis.used_memory().await > 100_000);
}

/// Ours: what was acknowledged outlives a crash if it is written to a file, and only then.
#[tokio::test]
async fn a_redis_comes_back_with_its_files_or_empty() {
    let mut lasting = Redis::with().append_only().start().await;
    let mut passing = Redis::start().await;
    let url = lasting.url();
    for redis in [&mut lasting, &mut passing] {
        set(redis, "kept").await;
        redis.stop_hard().await;
        redis.restart().await;
    }

    assert_eq!(get(&lasting).await.as_deref(), Some("kept"));
    assert_eq!(get(&passing).await, None);
    assert_eq!(lasting.url(), url, "it is found where it was");
    lasting.flushall().await;
    assert_eq!(get(&lasting).await, None);
}

/// Ours: silent in two ways, and back.
#[tokio::test]
async fn a_paused_redis_answers_later() {
    let redis = Redis::start().await;
    let pause = Duration::from_millis(100);
    let began = Instant::now();
    redis.pause(pause).await;
    set(&redis, "after the pause").await;
    assert!(began.elapsed() >= pause);

    redis.freeze().await;
    let early = tokio::time::timeout(pause, get(&redis)).await;
    assert!(early.is_err(), "a frozen process says nothing");
    redis.wake().await;
    assert_eq!(get(&redis).await.as_deref(), Some("after the pause"));
}

/// Ours: let in is who knows the password, or is the user; the rig always is.
#[tokio::test]
async fn a_redis_asks_who_is_there() {
    let secret = Redis::with().password("sesame").start().await;
    set(&secret, "1").await;
    assert!(secret.url().starts_with("redis://:sesame@127.0.0.1:"));

    let known = (Redis::with().user("switchboard", "pass", "~sb:* +@all -@admin"))
        .start()
        .await;
    set(&known, "1").await;
    let mut connection = known.connection().await.unwrap();
    let said = connection.command(&["AUTH", "switchboard", "pass"]).await;
    assert_eq!(said.unwrap().text(), "OK");
    let denied = connection.command(&["GET", "key"]).await.unwrap();
    assert!(matches!(&denied, Reply::Error(error) if error.starts_with("NOPERM")));
}

/// Ours: a server that speaks TLS shows a certificate of an authority that the scenario made.
#[tokio::test]
async fn a_redis_speaks_tls() {
    let redis = Redis::with().tls().start().await;
    let authority = std::fs::read(redis.authority()).unwrap();
    let authority = reqwest::Certificate::from_pem(&authority).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([authority]);
    let client = client.build().unwrap();

    // It is no HTTP server, but who gets as far as a wrong answer has trusted its certificate.
    let url = format!("https://{}/", redis.address());
    let error = client.get(&url).send().await.unwrap_err();
    let trusted = format!("{error:?}");
    assert!(!trusted.to_lowercase().contains("certificate"), "{trusted}");
    let error = crate::world::get(&url).await.unwrap_err();
    let trusted = format!("{error:?}").to_lowercase();
    assert!(trusted.contains("certificate"), "{trusted}");
    assert!(redis.url().starts_with("rediss://127.0.0.1:"));
}

/// Ours: when the primary is gone, the sentinels put its replica in its place.
#[tokio::test]
async fn sentinels_replace_a_primary_that_is_gone() {
    let mut watched = Watched::with(1).await;
    set(&watched.primary, "kept").await;
    let began = Instant::now();

    watched.primary.stop_hard().await;

    let (replica, sentinel) = (&watched.replicas[0], &watched.sentinels[0]);
    eventually("the replica is the primary", || async {
        let role = replica.info_value("replication", "role").await;
        let told = sentinel.primary_port().await == replica.address().port();
        (role == "master" && told).then_some(())
    })
    .await;
    println!("failed over after {:?}", began.elapsed());
    assert_eq!(get(replica).await.as_deref(), Some("kept"));
    set(replica, "written").await;
}

/// Ours: a cluster serves each key where its slot is, and says where that is.
#[tokio::test]
async fn a_cluster_shares_the_slots() {
    let cluster = RedisCluster::of(3).await;
    let mut served = 0;
    for node in &cluster.0 {
        match node.cli(&["SET", "key", "1"]).await {
            Reply::Error(error) => assert!(error.starts_with("MOVED "), "{error}"),
            reply => {
                assert_eq!(reply.text(), "OK");
                served += 1;
            }
        }
    }
    assert_eq!(served, 1);
}
