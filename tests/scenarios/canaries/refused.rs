//! What is refused at a node: proofs that are not good, and requests that are wrong themselves. Nobody
//! is told what it was, and nobody else either.

use reqwest::Method;
use serde_json::{Value, json};

use super::canary::Output;
use super::visitor::Visitor;
use super::visits::Visits;
use crate::world::asserted::now;
use crate::world::identity_provider::{HOST, RESOURCE};

impl Visits<'_> {
    /// Somebody presents what is not good, in every way. Nobody is told what it was.
    pub async fn presents_what_is_bad(&self, good: &str) {
        let visitor = Visitor::at(self.node, self.others);
        let new = |name: &str| self.new_one(name, &[]);
        let list = async |visitor: &Visitor| visitor.calls("tools/list", json!({})).await.status;
        for (name, claims) in [
            ("an expired token", json!({"exp": now() - 600})),
            (
                "a token for somebody else",
                json!({"aud": "https://elsewhere.example"}),
            ),
            (
                "a token of somebody else",
                json!({"iss": "https://elsewhere.example"}),
            ),
        ] {
            let token = self.minted(name, claims).await;
            assert_eq!(list(&visitor.bearing(&token)).await, 401, "{name}");
        }
        let opaque = self.new_one("an unknown opaque token", &[Output::Issuer]);
        assert_eq!(list(&visitor.bearing(&opaque)).await, 401);
        let key = format!("mcpk_{}", new("what is like a key"));
        assert_eq!(list(&visitor.bearing(&key)).await, 401);
        assert_eq!(list(&visitor.with("x-api-key", &new("no key"))).await, 401);
        assert_eq!(
            list(
                &visitor
                    .with("x-api-key", good)
                    .bearing(&new("a second proof"))
            )
            .await,
            400
        );
        let basic = format!("Basic {}", new("a basic credential"));
        assert_eq!(list(&visitor.with("authorization", &basic)).await, 400);
        let strange = format!(
            "Bearer {} {}",
            new("half of a token"),
            new("its other half")
        );
        assert_eq!(list(&visitor.with("authorization", &strange)).await, 400);
        let word = format!(
            "{}.e30.{}",
            new("the head of a proxy's word"),
            new("its signature")
        );
        assert_eq!(
            list(&visitor.with("x-switchboard-identity", &word)).await,
            401
        );
        for (name, body) in [
            ("a token in a query", "{}"),
            ("a key in a query", "access_token"),
        ] {
            let path = format!("/mcp?access_token={}", new(name));
            assert_eq!(visitor.asks(Method::POST, &path, body).await.status, 401);
        }
        let form = format!("access_token={}", new("a token in a body"));
        assert_eq!(visitor.posts(&form).await.status, 401);
    }

    /// Somebody with a good token and a good opaque one, who sees what others see.
    pub async fn comes_with_good_tokens(&self, opaque: &str, session_of_another: &str) {
        let visitor = Visitor::at(self.node, self.others);
        let good = self.minted("a good token", json!({})).await;
        for token in [&good, opaque] {
            let visitor = visitor.bearing(token);
            for tool in ["crm.nothing", "desk.greets", "child.echo", "shut.tool"] {
                let answer = visitor.tool(tool, json!({})).await;
                assert_ne!(answer.status, 401);
            }
            let theirs = visitor.in_session(session_of_another);
            assert_eq!(theirs.calls("tools/list", json!({})).await.status, 404);
        }
    }

    /// Requests that are wrong themselves, of somebody who is let in.
    pub async fn sends_what_is_wrong(&self, key: &str) {
        let visitor = Visitor::at(self.node, self.others).bearing(key);
        let new = |name: &str| self.new_one(name, &[]);
        for body in [
            new("what is no JSON"),
            format!("{{\"jsonrpc\":\"2.0\",\"{}\":", new("half a message")),
            format!("{{\"a\":1,\"a\":\"{}\"}}", new("a second member")),
            json!({"jsonrpc": "2.0", "id": 1, "method": {"x": new("no method")}}).to_string(),
            json!({"jsonrpc": "2.0", "id": [new("no id")], "method": "ping"}).to_string(),
            json!({"jsonrpc": new("no version"), "id": 1, "method": "ping"}).to_string(),
            json!([new("no message")]).to_string(),
        ] {
            let answer = visitor.posts(&body).await;
            assert_eq!(answer.status, 400, "{body}");
        }
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
        for (header, name) in [
            ("mcp-session-id", "an invented session"),
            ("mcp-protocol-version", "an unknown revision"),
            ("content-type", "an unknown type"),
            ("content-encoding", "an unknown coding"),
            ("accept", "an unknown answer"),
            ("origin", "an origin"),
            ("host", "a host"),
        ] {
            let value = match header {
                "origin" => format!("https://{}.example", new(name)),
                "host" => format!("{}.example", new(name)),
                "content-type" | "accept" => format!("text/{}", new(name)),
                _ => new(name),
            };
            let answer = visitor.with(header, &value).posts(&ping).await;
            assert!(answer.status >= 400, "{header}: {}", answer.status);
        }
        let (stateless, message) =
            visitor.message(json!(1), "tools/call", json!({"name": "child.echo"}));
        let other = stateless.with("mcp-param-x", &new("a parameter in a header"));
        other.posts(&message.to_string()).await;
        let mut message = message;
        message["params"]["name"] = json!(new("another name than in the header"));
        assert_eq!(stateless.posts(&message.to_string()).await.status, 400);
        let path = format!("/{}", new("an unknown path"));
        assert_eq!(visitor.asks(Method::POST, &path, &ping).await.status, 404);
        let path = format!(
            "/messages?sessionId={}",
            new("an invented session in a query")
        );
        assert_eq!(visitor.asks(Method::POST, &path, &ping).await.status, 404);
        let session = visitor.in_session(&new("a session to be ended"));
        assert_eq!(session.asks(Method::DELETE, "/mcp", "").await.status, 404);
        let (session, _) = visitor.opens("careless").await;
        let after = session.with("last-event-id", &new("an invented event id"));
        let answer = after.sends(Method::GET, "/mcp", "").await;
        println!("<- {}", answer.status());
    }

    /// A token that is really signed, and has a canary.
    async fn minted(&self, name: &str, more: Value) -> String {
        let jti = self.new_one(name, &[]);
        let mut claims = json!({"sub": "t1.alice", "client_id": HOST, "aud": RESOURCE, "jti": jti});
        for (name, value) in more.as_object().expect("claims are an object") {
            claims[name] = value.clone();
        }
        let wanted = json!({"claims": claims});
        let token = self.house.provider.mint(&wanted).await;
        let signature = token.rsplit('.').next().expect("it is signed");
        self.canaries.is(&format!("{name}, signed"), signature, &[]);
        token
    }
}
