//! What the house asks: upstreams that answer, fail and break with canaries, and who issues tokens for
//! them.

use serde_json::{Value, json};

use super::canary::{Canaries, Output};
use crate::world::asserted::now;
use crate::world::identity_provider::RESOURCE;
use crate::world::scripted::{Heard, Script, Scripted, of_session_era, of_stateless_era, said};

/// What the upstreams answer with.
pub struct Told {
    result: String,
    secret_result: String,
    tool_error: String,
    error: String,
    error_data: String,
    error_beside: String,
    status_body: String,
    garbage: String,
    progress: String,
    log: String,
    /// What a refusal says beside itself.
    pub challenge: String,
    resource: String,
}

impl Told {
    /// With a canary in each.
    pub fn new(canaries: &Canaries) -> Self {
        use Output::{AuditAnswers, OwnAnswers, Store};
        const TOLD: &[Output] = &[OwnAnswers, Store];
        const RECORDED: &[Output] = &[OwnAnswers, Store, AuditAnswers];
        Self {
            result: canaries.new_one("a result", RECORDED),
            secret_result: canaries.new_one("a password in a result", TOLD),
            tool_error: canaries.new_one("the error of a tool", RECORDED),
            error: canaries.new_one("the error of an upstream", RECORDED),
            error_data: canaries.new_one("the data of an error of an upstream", RECORDED),
            error_beside: canaries.new_one("an error beside all calls", &[]),
            status_body: canaries.new_one("the page of a failed upstream", &[]),
            garbage: canaries.new_one("nonsense of an upstream", &[]),
            progress: canaries.new_one("progress of an upstream", TOLD),
            log: canaries.new_one("a log message of an upstream", TOLD),
            challenge: canaries.new_one("the challenge of an upstream", &[]),
            resource: canaries.new_one("the text of a resource", RECORDED),
        }
    }

    /// What the tool of that name does.
    fn called(&self, heard: &Heard) -> Script {
        let (id, params) = (&heard.message["id"], &heard.message["params"]);
        let error = |message: &str, data: Value| {
            let error = json!({"code": -32_050, "message": message, "data": data});
            Script::Json(200, json!({"jsonrpc": "2.0", "id": id, "error": error}))
        };
        match params["name"].as_str().unwrap_or_default() {
            "fails" => Script::result(
                id,
                &json!({"isError": true, "content": [{"type": "text", "text": self.tool_error}]}),
            ),
            "refuses" => error(&self.error, json!({"about": self.error_data})),
            "breaks" => Script::Json(500, json!({"error": self.status_body})),
            "garbles" => Script::Raw(
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{{{}",
                    self.garbage
                )
                .into(),
            ),
            "hangs" => Script::Nothing,
            "tells" => {
                let token = &params["_meta"]["progressToken"];
                let told = [
                    json!({"jsonrpc": "2.0", "method": "notifications/progress", "params":
                        {"progressToken": token, "progress": 1, "message": self.progress}}),
                    json!({"jsonrpc": "2.0", "method": "notifications/message", "params":
                        {"level": "error", "data": self.log}}),
                    said(id, &self.result),
                ];
                let events = told.map(|message| format!("data: {message}\n\n"));
                Script::Stream(events.concat())
            }
            _ => {
                let text = json!({"note": self.result, "password": self.secret_result});
                Script::Json(200, said(id, &text.to_string()))
            }
        }
    }

    fn answers(&self, heard: &Heard) -> Script {
        let id = &heard.message["id"];
        match heard.method() {
            "tools/list" => Script::tools(
                id,
                [
                    "lookup",
                    "fails",
                    "refuses",
                    "breaks",
                    "garbles",
                    "hangs",
                    "tells",
                    "rare",
                    "forbidden",
                ],
            ),
            "resources/list" => Script::result(id, &json!({"resources": []})),
            "resources/templates/list" => Script::result(
                id,
                &json!({"resourceTemplates": [{"uriTemplate": "https://{+rest}", "name": "any"}]}),
            ),
            "resources/read" => {
                let uri = &heard.message["params"]["uri"];
                let contents = json!([{"uri": uri, "text": self.resource}]);
                Script::result(id, &json!({"contents": contents}))
            }
            "completion/complete" => {
                Script::result(id, &json!({"completion": {"values": ["Ada"]}}))
            }
            "logging/setLevel" | "resources/subscribe" => {
                let error = json!({"code": -32_050, "message": self.error_beside});
                Script::Json(200, json!({"jsonrpc": "2.0", "id": id, "error": error}))
            }
            "prompts/list" => Script::result(
                id,
                &json!({"prompts": [{"name": "greet", "arguments": [{"name": "whom"}]}]}),
            ),
            "prompts/get" => {
                let text = json!({"type": "text", "text": "Say something."});
                let messages = json!([{"role": "user", "content": text}]);
                Script::result(id, &json!({"messages": messages}))
            }
            "tools/call" => self.called(heard),
            _ => Script::result(id, &json!({})),
        }
    }
}

/// Answers as [`Told`] says, with resources and prompts.
pub async fn crm(told: Told) -> Scripted {
    let answer = of_session_era(move |heard| told.answers(heard));
    Scripted::start(move |heard| {
        if heard.method() != "initialize" {
            return answer(heard);
        }
        let capabilities = json!({"tools": {}, "resources": {"subscribe": true}, "prompts": {},
            "completions": {}, "logging": {}});
        let result = json!({"protocolVersion": "2025-11-25", "capabilities": capabilities,
            "serverInfo": {"name": "crm", "version": "1"}});
        let body = json!({"jsonrpc": "2.0", "id": heard.message["id"], "result": result});
        let body = body.to_string();
        let length = body.len();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
        Script::Raw(
            format!("{head}Mcp-Session-Id: s1\r\nContent-Length: {length}\r\n\r\n{body}").into(),
        )
    })
    .await
}

/// Lists its tool to whoever asks, and refuses each call with a challenge.
pub async fn mail(challenge: String) -> Scripted {
    let lists = of_stateless_era(|heard| Script::tools(&heard.message["id"], ["send"]));
    Scripted::start(move |heard| match heard.method() {
        "tools/call" => Script::Raw(
            format!(
                "HTTP/1.1 401 X\r\nConnection: close\r\nContent-Length: 0\r\n\
                 WWW-Authenticate: Bearer error=\"invalid_token\", \
                 error_uri=\"https://elsewhere.example/{challenge}\"\r\n\r\n"
            )
            .into(),
        ),
        _ => lists(heard),
    })
    .await
}

/// Lets nobody in, and shows everybody a page.
pub async fn shut(page: String) -> Scripted {
    Scripted::start(move |_| Script::Json(403, json!({"error": page}))).await
}

/// Lets in who comes with a token of the issuer.
pub async fn desk() -> Scripted {
    Scripted::start(of_stateless_era(|heard| match heard.method() {
        "tools/list" => Script::tools(&heard.message["id"], ["greets"]),
        _ => Script::Json(200, said(&heard.message["id"], "hello")),
    }))
    .await
}

/// Issues a token to the gateway, and knows an opaque one.
pub async fn issuer(token: String, opaque: String) -> Scripted {
    Scripted::start(move |heard| {
        let here = format!("http://{}", heard.header("host").unwrap());
        match &*heard.path {
            "/token" => Script::Json(
                200,
                json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}),
            ),
            "/introspect" if heard.body.contains(&opaque) => Script::Json(
                200,
                json!({"active": true, "iss": here, "sub": "opal", "client_id": "host",
                    "aud": RESOURCE, "exp": now() + 300}),
            ),
            "/introspect" => Script::Json(200, json!({"active": false})),
            path if path.starts_with("/.well-known/") => Script::Json(
                200,
                json!({"issuer": here, "token_endpoint": format!("{here}/token"),
                    "jwks_uri": format!("{here}/jwks")}),
            ),
            _elsewhere => Script::Bare(404),
        }
    })
    .await
}
