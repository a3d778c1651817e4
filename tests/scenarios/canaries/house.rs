//! A house with everything on: two nodes that log in both ways, what they ask, and a secret in every
//! place for one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::canary::{Canaries, Output};
use super::upstreams::{Told, crm, desk, issuer, mail, shut};
use crate::world::authority::Authority;
use crate::world::identity_provider::{IdentityProvider, RESOURCE};
use crate::world::nginx::lasting_address;
use crate::world::scripted::Scripted;
use crate::world::server::{CONFIG, binary};
use crate::world::{Redis, Switchboard, command, eventually, get};

/// What a caller sent, or was told, may go.
pub const TO_UPSTREAM: &[Output] = &[Output::UpstreamBodies, Output::OwnAnswers, Output::Store];
/// The same for what is of no class that is redacted.
pub const ON_RECORD: &[Output] = &[
    Output::UpstreamBodies,
    Output::OwnAnswers,
    Output::Store,
    Output::AuditAnswers,
];
const IN_HEADS: &[Output] = &[Output::UpstreamHeads];

/// Who is let in, and to what. Each upstream is let in to in another way.
const RULES: &str = r#"
[roles.clerk]
allow = [
  { tools = ["crm.*", "mail.*", "child.*"] },
  { resources = ["**"] },
  { prompts = ["**"] },
]
deny = [{ tools = ["crm.forbidden"], visible = true }]
[roles.boss]
allow = [{ tools = ["desk.*"], scopes = ["mcp:admin"] }]
[[bindings]]
role = "clerk"
tenant = "acme"
[limits]
per_user_tool = { "crm.rare" = "1/day" }
[audit]
sink = "file:./audit"
"#;

/// One node.
pub struct Node {
    /// The process.
    pub server: Switchboard,
    /// `host:port` of its pages for operators.
    pub admin: String,
    /// Who trusts its certificate.
    pub client: reqwest::Client,
    /// Where its log belongs.
    pub log: Output,
}

/// See the module docs.
pub struct House {
    /// Both.
    pub nodes: [Node; 2],
    /// The store that they share.
    pub redis: Redis,
    /// Who issues tokens to people.
    pub provider: IdentityProvider,
    /// Those that are asked over HTTP.
    pub upstreams: [Scripted; 4],
    /// Who issues tokens to the gateway, and says what opaque ones are.
    pub issuer: Scripted,
    /// What commands need to know.
    variables: Vec<(&'static str, String)>,
    _files: TempDir,
    _authority: Authority,
}

/// A file that only its owner may read.
fn secret_file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let file = directory.join(name);
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

impl House {
    /// Starts all of it. `opaque` is a token that the issuer knows.
    pub async fn open(canaries: &Canaries, opaque: &str) -> Self {
        let told = Told::new(canaries);
        let mail = mail(told.challenge.clone()).await;
        let token = canaries.new_one("the gateway's token", IN_HEADS);
        let issuer = issuer(token, opaque.to_owned()).await;
        let page = canaries.new_one("the page of an upstream that is shut", &[]);
        let upstreams = [crm(told).await, desk().await, mail, shut(page).await];
        let provider = IdentityProvider::start().await;
        let password = canaries.new_one("the password of Redis", &[]);
        let redis = Redis::with().password(&password).journal().start().await;
        let files = TempDir::new().unwrap();
        let cluster_key: [u8; 32] = switchboard::runtime::seal::random();
        let cluster_key = cluster_key.map(|byte| format!("{byte:02x}")).concat();
        canaries.is("the cluster key", &cluster_key, &[]);
        let key = canaries.new_one("a secret of a file", IN_HEADS);
        let key = secret_file(files.path(), "crm.key", &key);
        let new = |name: &str, may| canaries.new_one(name, may);
        let variables = vec![
            ("REDIS_PASSWORD", password),
            ("CLUSTER_KEY", cluster_key),
            (
                "DESK_SECRET",
                new("our secret at the issuer", &[Output::Issuer]),
            ),
            (
                "PARTNER_SECRET",
                new("our secret for introspection", &[Output::Issuer]),
            ),
            ("MAIL_TOKEN", new("a static bearer token", IN_HEADS)),
            (
                "CHILD_TOKEN",
                new("a secret of a child", &[Output::Environments]),
            ),
            (
                "PROXY_KEY",
                new("the key of the proxy", &[]) + "-is-long-enough-to-sign",
            ),
        ];
        let query = new("a secret in the URL of an upstream", IN_HEADS);
        let here = format!("http://{}", issuer.address);
        let [crm, desk, mail, shut] = &upstreams;
        let program = binary().display().to_string();
        let child = [&*program, "stdio", "--builtin", "demo"];
        let config = format!(
            "[calls]\ndeadline = \"5s\"\n[store]\nurl = \"redis://{}\"\n\
             password = \"env:REDIS_PASSWORD\"\n\
             [cluster]\nkeys = [\"env:CLUSTER_KEY\"]\n[auth.api_keys]\n\
             [auth.proxy]\npeers = [\"127.0.0.1\"]\nkey = \"env:PROXY_KEY\"\n\
             audience = \"https://switchboard.example\"\n\
             [auth.oidc.company]\nissuer = {:?}\ntenant = \"acme\"\n\
             [auth.oidc.partner]\nissuer = {here:?}\ntenant = \"acme\"\naudience = {RESOURCE:?}\n\
             introspection_url = \"{here}/introspect\"\nclient_id = \"gateway\"\n\
             client_secret = \"env:PARTNER_SECRET\"\n\
             [upstreams.crm]\nurl = \"{}?key={query}\"\nheaders = {{ X-Key = \"file:{}\" }}\n\
             [upstreams.desk]\nurl = {:?}\n[upstreams.desk.auth]\nkind = \"client_credentials\"\n\
             issuer = {here:?}\nclient_id = \"gateway\"\nclient_secret = \"env:DESK_SECRET\"\n\
             [upstreams.mail]\nurl = {:?}\n\
             auth = {{ kind = \"static\", bearer = \"env:MAIL_TOKEN\" }}\n\
             [upstreams.shut]\nurl = {:?}\n[upstreams.child]\ncommand = {}\ncwd = {}\n\
             env = {{ CHILD_TOKEN = \"env:CHILD_TOKEN\" }}\n{RULES}",
            redis.address(),
            provider.issuer(),
            crm.url,
            key.display(),
            desk.url,
            mail.url,
            shut.url,
            json!(child),
            json!(files.path()),
        );
        let authority = Authority::new();
        let nodes = [Output::TextLog, Output::JsonLog];
        let mut open = Vec::new();
        for log in nodes {
            let node = Node::start(log, &config, &redis, &variables, &authority, canaries);
            open.push(node.await);
        }
        let nodes = open.try_into().unwrap_or_else(|_| panic!("there are two"));
        Self {
            nodes,
            redis,
            provider,
            upstreams,
            issuer,
            variables,
            _files: files,
            _authority: authority,
        }
    }

    /// Runs a command of the program at a node.
    pub async fn command(&self, node: &Node, words: &[&str]) -> command::Ended {
        let variables: Vec<_> = (self.variables.iter())
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        command::run_with(node.server.directory(), words, &variables).await
    }

    /// The same for those that ask the node itself.
    pub async fn asks_node(&self, node: &Node, words: &[&str]) -> command::Ended {
        let place = node.server.url("");
        let (_, listen) = place.split_once("://").expect("it is a URL");
        self.command(node, &[words, &["--listen", listen]].concat())
            .await
    }
}

impl Node {
    /// The one with the JSON log speaks TLS.
    async fn start(
        log: Output,
        config: &str,
        redis: &Redis,
        variables: &[(&str, String)],
        authority: &Authority,
        canaries: &Canaries,
    ) -> Self {
        let admin = lasting_address();
        let (format, tls) = if log == Output::JsonLog {
            let files = authority.signs_for_this_machine();
            let key = std::fs::read_to_string(&files.key).unwrap();
            let line = key.lines().nth(1).expect("a key has lines");
            canaries.is("the key of the certificate", line, &[]);
            let (certificate, key) = (files.certificate.display(), files.key.display());
            (
                "json",
                format!("[server.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n"),
            )
        } else {
            ("text", String::new())
        };
        let mut setup = Switchboard::with().keeps_log().config(&format!(
            "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"https://switchboard.example\"\n\
             allowed_hosts = [\"127.0.0.1\", \"switchboard.example\"]\n{tls}[admin]\nlisten = {admin:?}\n\
             [log]\nformat = {format:?}\nfilter = \"debug\"\n{config}"
        ));
        for (name, value) in variables {
            setup = setup.variable(name, value);
        }
        let setup = setup.store_url(&format!("redis://{}", redis.address()));
        let server = setup.may_have_a_bug().start().await;
        let node = Self {
            server,
            client: authority.trusted_by_a_client(None),
            admin,
            log,
        };
        // One of them lets nobody in.
        let up = ["crm", "desk", "mail", "child"];
        let up = up.map(|name| format!("mcp_upstream_up{{upstream=\"{name}\"}} 1"));
        eventually("its upstreams are up", async || {
            let metrics = node.page("/metrics").await?;
            up.iter().all(|line| metrics.contains(line)).then_some(())
        })
        .await;
        node
    }

    /// A page for operators, if it is there.
    pub async fn page(&self, path: &str) -> Option<String> {
        let page = get(format!("http://{}{path}", self.admin)).await.ok()?;
        page.text().await.ok()
    }

    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.server.directory().join(CONFIG)
    }
}
