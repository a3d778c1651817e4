//! A gateway that acts for its callers: each is at the upstream whom they are here, by a token that their
//! issuer gave in exchange (RFC 8693). The provider, the gateway and the upstream are all real.

use serde_json::json;

use crate::world::identity_provider::{GATEWAY, IdentityProvider};
use crate::world::nginx::lasting_address;
use crate::world::{Answer, Session, Stateless, Switchboard, eventually, http_client_bearing};

/// At the upstream Alice may count, Bob may not, and the gateway itself may look.
const ROLES_THERE: &str = r#"
[roles.reader]
allow = [{ tools = ["echo"] }]
deny = [{ tools = ["countdown"], visible = true }]
[roles.counter]
allow = [{ tools = ["echo", "countdown"] }]
[[bindings]]
role = "counter"
any_of = [{ claim = "sub", is = "t1.alice" }, { claim = "sub", is = "gateway" }]
[[bindings]]
role = "reader"
any_of = [{ claim = "sub", is = "t1.bob" }]
"#;

/// At the gateway whoever was let in may try everything.
const ROLES_HERE: &str = "[roles.everybody]\nallow = [{ tools = [\"**\"] }]\n\
    [[bindings]]\nrole = \"everybody\"\ntenant = \"t1\"\n";

/// A gateway before an upstream, which both trust one provider.
struct Company {
    provider: IdentityProvider,
    upstream: Switchboard,
    gateway: Switchboard,
    /// What tokens of callers are for.
    resource: String,
}

impl Company {
    async fn start() -> Self {
        let (here, there) = (lasting_address(), lasting_address());
        let url = |address: &str| format!("http://{address}/mcp");
        let provider = IdentityProvider::with()
            .resources(&[&url(&here)])
            .upstreams(&[&url(&there)]);
        let provider = provider.start().await;
        let issuer = provider.issuer();
        let trusts = |address: &str| {
            format!(
                "[server]\nlisten = {address:?}\npublic_url = \"http://{address}\"\n\
                 [auth.oidc.company]\nissuer = {issuer:?}\ntenant = \"t1\"\n"
            )
        };
        let upstream = Switchboard::with().config(&(trusts(&there) + ROLES_THERE));
        let upstream = upstream.start().await;
        let exchange = format!(
            "[upstreams.crm]\nurl = {:?}\n[upstreams.crm.auth]\nkind = \"token_exchange\"\n\
             issuer = {issuer:?}\nclient_id = \"{}\"\nclient_secret = \"env:GATEWAY_SECRET\"\n",
            url(&there),
            GATEWAY.0,
        );
        let gateway = Switchboard::with().config(&(trusts(&here) + ROLES_HERE + &exchange));
        let gateway = gateway.variable("GATEWAY_SECRET", GATEWAY.1).start().await;
        Self {
            provider,
            upstream,
            gateway,
            resource: url(&here),
        }
    }

    /// The access token of somebody who logged in to use the gateway.
    async fn token(&self, account: &str) -> String {
        let logged_in = self.provider.log_in(account, &self.resource, "mcp:tools");
        logged_in.await.access_token
    }

    /// The gateway has read the upstream's lists, with a token of its own.
    async fn is_known_to(&self, token: &str) {
        eventually("the upstream's tools are there", async || {
            let answer = self.counts(token).await;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    async fn counts(&self, token: &str) -> Answer {
        let client = Stateless::through(http_client_bearing(token), &self.resource);
        client.tool("crm.countdown", json!({"from": 1})).await
    }
}

#[tokio::test]
async fn each_caller_is_at_the_upstream_whom_they_are_at_the_gateway() {
    let company = Company::start().await;
    let alice = company.token("t1.alice").await;
    let bob = company.token("t1.bob").await;
    company.is_known_to(&alice).await;

    let counted = company.counts(&alice).await.result();
    let refused = company.counts(&bob).await.result();

    assert_eq!(counted["isError"], json!(null), "{counted}");
    assert_eq!(refused["isError"], true, "{refused}");
    let why = refused["content"][0]["text"].as_str().unwrap_or_default();
    assert!(why.contains("countdown"), "{refused}");

    // The token that a caller comes with is good for the gateway alone.
    let direct = Stateless::through(http_client_bearing(&alice), &company.upstream.url("/mcp"));
    let call = json!({"name": "countdown", "arguments": {"from": 1}});
    let request = direct.request(&direct.message("tools/call", call));
    assert_eq!(direct.send(request).await.status, 401);
}

/// 2025-11-25 basic/authorization: each request is authorized by what comes with it, also in a session.
#[tokio::test]
async fn a_session_goes_on_at_the_upstream_with_a_later_token_of_its_caller() {
    let company = Company::start().await;
    let first = company.token("t1.alice").await;
    company.is_known_to(&first).await;
    let http = http_client_bearing(&first);
    let session = Session::through(http, &company.resource, "2025-11-25", json!({})).await;
    let count = async |session: &Session| session.tool("crm.countdown", json!({"from": 1})).await;
    assert_eq!(count(&session).await.result()["isError"], json!(null));

    let second = company.token("t1.alice").await;
    assert_ne!(first, second);
    let later = session.presented_by(http_client_bearing(&second), &company.resource);

    assert_eq!(count(&later).await.result()["isError"], json!(null));
}
