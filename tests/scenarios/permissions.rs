//! Who may do what, over real sockets: what each caller finds, is refused, and does not learn.
//!
//! The server is a program's own, whose callers a proxy names; so anybody can be anybody, and what it
//! offers can change while they look. What rules mean is told in `policy/access`.

use serde::Deserialize;
use serde_json::{Value, json};
use switchboard::Host;
use switchboard::config::Environment;
use switchboard::server::{
    Completer, Context, Handle, NoArguments, Prompt, Resource, ResourceTemplate, Server,
    ServerBuilder, TaskUse, Tool,
};
use tempfile::TempDir;

use crate::reload::replace;
use crate::world::asserted::{VARIABLE, believed_from, client_of};
use crate::world::command::run_with;
use crate::world::identity_provider::IdentityProvider;
use crate::world::nginx::lasting_address;
use crate::world::own::{Own, configuration};
use crate::world::scripted::{Script, Scripted, of_stateless_era};
use crate::world::server::CONFIG;
use crate::world::tools::root;
use crate::world::{
    Answer, EventStream, Session, Stateless, Switchboard, eventually, http_client,
    http_client_bearing, within,
};

const VERSION: &str = "2025-11-25";

/// Analysts look things up, operators also deploy, and only `admin` deletes.
pub const RULES: &str = r#"
[roles.analyst]
allow = [
  { tools = ["search", "crm.get_*", "count"] },
  { resources = ["crm://accounts/**"] },
  { prompts = ["greet"] },
]
deny = [{ tools = ["delete_*"], visible = true }]

[roles.operator]
inherits = ["analyst"]
allow = [{ tools = ["deploy"], when = { acr = "mfa", args = { "/env" = ["staging"] } } }]
deny = [{ tools = ["crm.get_salary"] }]

[[bindings]]
role = "analyst"
any_of = [{ claim = "groups", has = "analysts" }]

[[bindings]]
role = "operator"
any_of = [{ claim = "groups", has = "operators" }]

[[bindings]]
role = "admin"
any_of = [{ claim = "groups", has = "admins" }]
"#;

/// Somebody of a group.
pub fn of(group: &str) -> Value {
    json!({"sub": format!("one of {group}"), "groups": [group]})
}

fn says(name: &str, text: &'static str) -> Tool {
    Tool::new(name, move |_, NoArguments {}| async move { Ok(text) })
}

#[derive(Deserialize)]
struct Account {
    id: String,
}

fn notes(scheme: &str) -> ResourceTemplate {
    let uri = format!("{scheme}/{{id}}/notes");
    ResourceTemplate::new(uri, "notes", |_, Account { id }| async move {
        Ok(format!("notes of {id}"))
    })
    .complete("id", Completer::among(["7", "8"]))
}

fn prompt(name: &str) -> Prompt {
    Prompt::new(name, |_, _| async { Ok("Say something.") })
        .required("whom", "Who is spoken to.")
        .complete("whom", Completer::among(["Ada", "Alan"]))
}

/// Some of it is for analysts, some for operators, the rest for nobody but `admin`.
fn office() -> ServerBuilder {
    let env = json!({"type": "object", "properties": {"env": {"type": "string"}}});
    let deploy = Tool::untyped("deploy", env, |_, _| async { Ok("deployed") });
    let count = Tool::new("count", |ctx: Context, NoArguments {}| async move {
        ctx.cancelled().await;
        Ok("never")
    });
    Server::builder("office", "1")
        .tool(says("search", "found"))
        .tool(says("crm.get_account", "an account"))
        .tool(says("crm.get_salary", "a salary"))
        .tool(says("delete_record", "deleted"))
        .tool(deploy)
        .tool(says("audit_log", "audited"))
        .tool(says("audit_task", "audited").task(TaskUse::required()))
        .tool(count.task(TaskUse::required()))
        .resource(Resource::fixed("crm://accounts/7", "seven", "account 7"))
        .resource(Resource::fixed("crm://salaries/7", "seven", "salary 7"))
        .resource_template(notes("crm://accounts"))
        .resource_template(notes("crm://salaries"))
        .prompt(prompt("greet"))
        .prompt(prompt("scold"))
}

/// A server with rules that can change.
pub struct Office {
    own: Own,
    directory: TempDir,
    more: String,
}

impl Office {
    async fn open() -> Self {
        Self::with(RULES, "").await
    }

    /// With these rules, and more of the configuration that is not about them.
    pub async fn with(rules: &str, more: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let file = directory.path().join(CONFIG);
        let more = configuration(&format!("{}{more}", believed_from("127.0.0.1")));
        std::fs::write(&file, format!("{more}\n{rules}")).expect("a file can be written");
        let host = Host::new(office()).config_file(file);
        let host = host.environment(Environment::of(&[VARIABLE]));
        let own = within("the host starts", host.start()).await;
        Self {
            own: Own(own.expect("the host can start")),
            directory,
            more,
        }
    }

    pub fn client(&self, who: Value) -> Stateless {
        Stateless::through(client_of(who), &self.own.0.url())
    }

    pub async fn session(&self, who: Value) -> Session {
        let http = client_of(who);
        Session::through(http, &self.own.0.url(), VERSION, json!({})).await
    }

    pub fn handle(&self) -> Handle {
        let server = self.own.0.server("main").expect("it is served");
        server.handle().clone()
    }

    /// From now on these are the rules, which makes it the `count`th time that they change.
    async fn rules(&self, rules: &str, count: u32) {
        let file = self.directory.path().join(CONFIG);
        replace(&file, &format!("{}\n{rules}", self.more));
        let line = format!("mcp_config_reloads_total{{outcome=\"applied\"}} {count}");
        eventually("the rules have changed", async || {
            let (_, metrics) = self.own.get("/metrics").await;
            metrics.contains(&line).then_some(())
        })
        .await;
    }
}

/// Callers of both eras, who are asked in the same way.
pub enum Caller {
    Session(Session),
    Stateless(Stateless),
}

impl Caller {
    /// One of each era.
    pub async fn both(office: &Office, who: Value) -> [Self; 2] {
        let session = office.session(who.clone()).await;
        [Self::Session(session), Self::Stateless(office.client(who))]
    }

    pub async fn call(&self, method: &str, params: Value) -> Answer {
        match self {
            Self::Session(session) => session.call(method, params).await,
            Self::Stateless(client) => client.call(method, params).await,
        }
    }

    pub async fn tool(&self, name: &str, arguments: Value) -> Answer {
        let params = json!({"name": name, "arguments": arguments});
        self.call("tools/call", params).await
    }

    /// What a list has, by the member that names its entries.
    async fn list(&self, method: &str, list: &str, key: &str) -> Vec<String> {
        let listed = self.call(method, json!({})).await.result();
        let entries = listed[list].as_array().expect("a list").iter();
        let names = entries.map(|entry| entry[key].as_str().expect("a name").to_owned());
        names.collect()
    }

    pub async fn tools(&self) -> Vec<String> {
        self.list("tools/list", "tools", "name").await
    }
}

/// 2026-07-28 server/tools, listing: a list may depend on who asks.
#[tokio::test]
async fn lists_have_what_their_reader_may_use_or_know_of() {
    let office = Office::open().await;
    let analyst = [
        "search",
        "crm.get_account",
        "crm.get_salary",
        "delete_record",
        "count",
    ];
    let operator = ["search", "crm.get_account", "delete_record", "count"];
    let mfa = json!({"sub": "eve", "groups": ["operators"], "acr": "mfa"});
    let deploys = [
        "search",
        "crm.get_account",
        "delete_record",
        "deploy",
        "count",
    ];
    let all = [
        "search",
        "crm.get_account",
        "crm.get_salary",
        "delete_record",
        "deploy",
        "audit_log",
        "audit_task",
        "count",
    ];
    for (who, tools, others) in [
        (of("analysts"), &analyst[..], &["accounts"][..]),
        (of("operators"), &operator, &["accounts"]),
        (mfa, &deploys, &["accounts"]),
        (of("admins"), &all, &["accounts", "salaries"]),
        (of("visitors"), &[], &[]),
    ] {
        let prompts: &[_] = match others.len() {
            0 => &[],
            1 => &["greet"],
            _ => &["greet", "scold"],
        };
        for caller in Caller::both(&office, who.clone()).await {
            assert_eq!(caller.tools().await, tools, "{who}");
            assert_eq!(
                caller.list("prompts/list", "prompts", "name").await,
                prompts
            );
            let uris = |tail: &str| {
                others
                    .iter()
                    .map(|it| format!("crm://{it}{tail}"))
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                caller.list("resources/list", "resources", "uri").await,
                uris("/7")
            );
            let templates = caller.list(
                "resources/templates/list",
                "resourceTemplates",
                "uriTemplate",
            );
            assert_eq!(templates.await, uris("/{id}/notes"));
        }
    }
}

/// Nobody learns by asking what is there. Hidden and absent differ in nothing but the name asked for.
#[tokio::test]
async fn what_is_hidden_answers_like_what_is_not_there() {
    let office = Office::open().await;
    let tool = |name: &str| ("tools/call", json!({"name": name, "arguments": {}}));
    let as_task = |name: &str| {
        let params = json!({"name": name, "arguments": {}, "task": {"ttl": 60_000}});
        ("tools/call", params)
    };
    let wrong = |name: &str| ("tools/call", json!({"name": name, "arguments": {"a": 1}}));
    let get = |name: &str| {
        (
            "prompts/get",
            json!({"name": name, "arguments": {"whom": "a"}}),
        )
    };
    let read = |uri: &str| ("resources/read", json!({"uri": uri}));
    let complete = |reference: Value, argument: &str| {
        let argument = json!({"name": argument, "value": "A"});
        (
            "completion/complete",
            json!({"ref": reference, "argument": argument}),
        )
    };
    let prompt = |name: &str| complete(json!({"type": "ref/prompt", "name": name}), "whom");
    let template = |uri: &str| complete(json!({"type": "ref/resource", "uri": uri}), "id");
    let subscribe = |uri: &str| ("resources/subscribe", json!({"uri": uri}));
    for (hidden, absent, asked) in [
        ("audit_log", "audit_bog", &tool as &dyn Fn(&str) -> _),
        ("audit_log", "audit_bog", &wrong),
        ("audit_log", "audit_bog", &as_task),
        ("audit_task", "audit_desk", &tool),
        ("audit_task", "audit_desk", &as_task),
        ("scold", "scorn", &get),
        ("scold", "scorn", &prompt),
        ("crm://salaries/7", "crm://salaries/9", &read),
        ("crm://salaries/7/notes", "crm://celeries/7/notes", &read),
        (
            "crm://salaries/{id}/notes",
            "crm://celeries/{id}/notes",
            &template,
        ),
        ("crm://salaries/7", "crm://celeries/9", &subscribe),
    ] {
        for caller in Caller::both(&office, of("analysts")).await {
            let (method, params) = asked(hidden);
            let told = caller.call(method, params).await;
            let (method, params) = asked(absent);
            let expected = caller.call(method, params).await;
            let id = |answer: &Answer| format!("\"id\":{}", answer.message()["id"]);
            let (mine, theirs) = (told.text.replace(hidden, absent), expected.text.clone());
            assert_eq!(
                mine.replace(&id(&told), ""),
                theirs.replace(&id(&expected), "")
            );
            assert_eq!(told.status, expected.status);
            let names = |answer: &Answer| answer.headers.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&told), names(&expected));
            assert!(told.message().get("error").is_some(), "{method} {hidden}");
        }
    }
    // And those who may find it there.
    for caller in Caller::both(&office, of("admins")).await {
        assert_eq!(
            caller.tool("audit_log", json!({})).await.tool_text(),
            "audited"
        );
        for (method, params) in [get("scold"), read("crm://salaries/7"), prompt("scold")] {
            assert!(caller.call(method, params).await.result().is_object());
        }
    }
}

/// Ours: what may be known of says what is in the way, to the model.
#[tokio::test]
async fn only_admins_delete_and_others_are_told_so() {
    let office = Office::open().await;
    for who in [of("analysts"), of("operators")] {
        for caller in Caller::both(&office, who).await {
            let refused = caller.tool("delete_record", json!({})).await;
            assert_eq!(refused.status, 200);
            assert_eq!(refused.result()["isError"], true);
            assert_eq!(
                refused.tool_text(),
                "`delete_record` needs the role `admin`"
            );
        }
    }
    // Whoever has another role as well is still `admin`.
    let both = json!({"sub": "root", "groups": ["admins", "analysts"]});
    for caller in Caller::both(&office, both).await {
        assert_eq!(
            caller.tool("delete_record", json!({})).await.tool_text(),
            "deleted"
        );
    }
    for caller in Caller::both(&office, of("visitors")).await {
        assert_eq!(caller.tool("delete_record", json!({})).await.code(), -32602);
    }
}

/// Ours: a binding may name one user, as logs write them.
#[tokio::test]
async fn a_role_may_be_given_to_one_user() {
    let binding = "[[bindings]]\nrole = \"admin\"\nany_of = [{ principal = \"proxy root\" }]";
    let office = Office::with(&format!("{RULES}\n{binding}"), "").await;
    for (subject, said) in [("root", "deleted"), ("toor", "")] {
        for caller in Caller::both(&office, json!({"sub": subject})).await {
            let answer = caller.tool("delete_record", json!({})).await.message();
            let text = &answer["result"]["content"][0]["text"];
            assert_eq!(text.as_str().unwrap_or_default(), said, "{subject}");
        }
    }
}

/// Ours: rules look at arguments and claims; what one role denies no other gives back.
#[tokio::test]
async fn arguments_and_claims_decide_and_a_denial_stays() {
    let office = Office::open().await;
    let signed_in = |acr: &str| json!({"sub": "eve", "groups": ["operators"], "acr": acr});
    for caller in Caller::both(&office, signed_in("mfa")).await {
        let staging = caller.tool("deploy", json!({"env": "staging"})).await;
        assert_eq!(staging.tool_text(), "deployed");
        for arguments in [
            json!({"env": "production"}),
            json!({"env": ["staging"]}),
            json!({}),
        ] {
            let refused = caller.tool("deploy", arguments).await;
            assert_eq!(refused.result()["isError"], true);
            let said = refused.tool_text();
            assert!(
                said.starts_with("`deploy` is allowed only where the argument"),
                "{said}"
            );
        }
        // An analyst may, and so would an operator.
        assert_eq!(
            caller.tool("crm.get_salary", json!({})).await.code(),
            -32602
        );
    }
    for caller in Caller::both(&office, signed_in("password")).await {
        let refused = caller.tool("deploy", json!({"env": "staging"})).await;
        assert_eq!(refused.code(), -32602, "{}", refused.text);
    }
}

/// Ours: a server may take a URI apart and come to another resource than its letters say.
#[tokio::test]
async fn a_uri_that_may_be_read_otherwise_has_to_be_allowed_both_ways() {
    let office = Office::open().await;
    for caller in Caller::both(&office, of("analysts")).await {
        let read = async |uri: &str| caller.call("resources/read", json!({"uri": uri})).await;
        let plain = read("crm://accounts/%38/notes").await;
        assert_eq!(
            plain.result()["contents"][0]["uri"],
            "crm://accounts/%38/notes"
        );
        let absent = read("crm://nothing").await.code();
        for uri in [
            "crm://accounts/../notes",
            "crm://accounts/%2e%2E/notes",
            "crm://accounts/..%2fsalaries/notes",
            r"crm://accounts/..\salaries/notes",
        ] {
            assert_eq!(read(uri).await.code(), absent, "{uri}");
        }
    }
    for caller in Caller::both(&office, of("admins")).await {
        let uri = "crm://accounts/%2e%2E/notes";
        let read = caller.call("resources/read", json!({"uri": uri})).await;
        assert_eq!(read.result()["contents"][0]["uri"], uri);
    }
}

/// Ours: reading, completing and watching follow the rules of what they are about.
#[tokio::test]
async fn what_is_allowed_can_be_read_completed_and_watched() {
    let office = Office::open().await;
    let handle = office.handle();
    for caller in Caller::both(&office, of("analysts")).await {
        for uri in ["crm://accounts/7", "crm://accounts/8/notes"] {
            let read = caller.call("resources/read", json!({"uri": uri})).await;
            assert_eq!(read.result()["contents"][0]["uri"], uri);
        }
        for (reference, argument) in [
            (json!({"type": "ref/prompt", "name": "greet"}), "whom"),
            (
                json!({"type": "ref/resource", "uri": "crm://accounts/{id}/notes"}),
                "id",
            ),
        ] {
            let argument = json!({"name": argument, "value": ""});
            let params = json!({"ref": reference, "argument": argument});
            let completed = caller.call("completion/complete", params).await.result();
            assert_eq!(
                completed["completion"]["values"].as_array().unwrap().len(),
                2
            );
        }
    }
    // In a subscription, what is not to be seen is left out.
    let filter = json!({"resourceSubscriptions": ["crm://accounts/7", "crm://salaries/7"]});
    let (honoured, mut stream) = listen(&office.client(of("analysts")), filter).await;
    assert_eq!(
        honoured["resourceSubscriptions"],
        json!(["crm://accounts/7"])
    );
    handle.resource_updated("crm://salaries/7");
    handle.resource_updated("crm://accounts/7");
    let told = stream.message().await;
    assert_eq!(told["params"]["uri"], "crm://accounts/7");

    let session = office.session(of("analysts")).await;
    let mut standing = session.listen(None).await;
    let subscribed = session
        .call("resources/subscribe", json!({"uri": "crm://accounts/7"}))
        .await;
    assert!(subscribed.result().is_object());
    handle.resource_updated("crm://salaries/7");
    handle.resource_updated("crm://accounts/7");
    let told = standing.message().await;
    assert_eq!(told["params"]["uri"], "crm://accounts/7");
}

/// Opens a subscription. Returns what is honoured, and the stream after that.
async fn listen(client: &Stateless, filter: Value) -> (Value, EventStream) {
    let params = json!({"notifications": filter});
    let (_, mut stream) = client.stream("subscriptions/listen", params).await;
    let first = stream.message().await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    (first["params"]["notifications"].clone(), stream)
}

/// Nobody hears that something changed which they cannot see.
#[tokio::test]
async fn changes_of_what_is_hidden_are_not_told() {
    let office = Office::open().await;
    let handle = office.handle();
    let session = office.session(of("analysts")).await;
    let mut standing = session.listen(None).await;
    let all = json!({"toolsListChanged": true, "promptsListChanged": true});
    let (_, mut stream) = listen(&office.client(of("analysts")), all).await;

    // Something hidden comes and goes, and only then something of theirs.
    handle.add_tool(says("audit_more", "")).unwrap();
    assert!(handle.remove_tool("audit_log"));
    handle.add_prompt(prompt("shout"));
    handle.add_tool(says("crm.get_more", "")).unwrap();
    for events in [&mut standing, &mut stream] {
        let told = events.message().await;
        assert_eq!(told["method"], "notifications/tools/list_changed");
    }
    assert!(handle.remove_prompt("scold"));
    assert!(handle.remove_prompt("greet"));
    for events in [&mut standing, &mut stream] {
        let told = events.message().await;
        assert_eq!(told["method"], "notifications/prompts/list_changed");
    }
    assert_eq!(session.delete().await.status, 204);
    assert!(
        standing
            .rest()
            .await
            .iter()
            .all(|event| !event.is_message())
    );
}

/// New rules hold for the next call of a session that is open, without a restart.
#[tokio::test]
async fn new_rules_hold_for_sessions_and_subscriptions_that_are_open() {
    let office = Office::open().await;
    let handle = office.handle();
    let session = office.session(of("analysts")).await;
    let uris = ["crm://accounts/7", "crm://accounts/8/notes"];
    let filter = json!({"resourceSubscriptions": uris});
    let (_, mut stream) = listen(&office.client(of("analysts")), filter).await;
    let found = session.tool("search", json!({})).await;
    assert_eq!(found.tool_text(), "found");

    // Without the binding nobody has the role.
    office
        .rules(&RULES.replacen("\"analysts\"", "\"others\"", 1), 1)
        .await;
    assert_eq!(session.tool("search", json!({})).await.code(), -32602);
    handle.resource_updated("crm://accounts/7");
    office.rules(RULES, 2).await;
    handle.resource_updated("crm://accounts/8/notes");
    let told = stream.message().await;
    assert_eq!(
        told["params"]["uri"], "crm://accounts/8/notes",
        "nothing came before"
    );
    assert_eq!(session.tool("search", json!({})).await.tool_text(), "found");

    // What the role may is another matter than who has it.
    office
        .rules(&RULES.replacen("\"search\"", "\"audit_log\"", 1), 3)
        .await;
    assert_eq!(session.tool("search", json!({})).await.code(), -32602);
    assert_eq!(
        session.tool("audit_log", json!({})).await.tool_text(),
        "audited"
    );
}

/// Another principal's task is one that does not exist.
#[tokio::test]
async fn a_task_is_its_principals_alone() {
    const EXTENSION: &str = "io.modelcontextprotocol/tasks";
    let office = Office::open().await;
    let following = |who| {
        office
            .client(who)
            .with(json!({"extensions": {EXTENSION: {}}}))
    };
    let (mine, theirs) = (following(of("analysts")), following(of("admins")));
    let begun = mine
        .call("tools/call", json!({"name": "count", "arguments": {}}))
        .await;
    let begun = begun.result();
    assert_eq!(begun["resultType"], "task", "{begun}");
    let id = begun["taskId"].as_str().unwrap();
    let invented = "A".repeat(id.len());
    for method in ["tasks/get", "tasks/cancel"] {
        let told = theirs.call(method, json!({"taskId": id})).await;
        let expected = theirs.call(method, json!({"taskId": invented})).await;
        assert_eq!(
            (told.status, told.code()),
            (expected.status, expected.code())
        );
        let message = |answer: &Answer| answer.message()["error"]["message"].to_string();
        assert_eq!(message(&told).replace(id, &invented), message(&expected));
    }
    let task = mine.call("tasks/get", json!({"taskId": id})).await.result();
    assert_eq!(task["status"], "working", "nobody has cancelled it");
    assert_eq!(
        mine.call("tasks/cancel", json!({"taskId": id}))
            .await
            .status,
        200
    );
}

/// Whoever presents nothing is nobody, and may do nothing where there are rules.
#[tokio::test]
async fn an_endpoint_that_asks_for_nothing_gives_nothing() {
    let open = "\n[endpoints.open]\npath = \"/open\"\nbuiltin = \"demo\"\nauth = [\"none\"]";
    let office = Office::with(RULES, open).await;
    let url = format!("http://{}/open", office.own.0.address());
    // What is presented there is not looked at.
    for http in [http_client(), client_of(of("admins"))] {
        let session = Session::through(http.clone(), &url, VERSION, json!({})).await;
        let client = Stateless::through(http, &url);
        for caller in [Caller::Session(session), Caller::Stateless(client)] {
            assert_eq!(caller.tools().await, <[&str; 0]>::default());
            let called = caller.tool("echo", json!({"text": "a"})).await;
            assert_eq!(called.code(), -32602);
        }
    }
    let asked = Stateless::new(&office.own.0.url());
    let asked = asked
        .send(asked.request(&asked.message("tools/list", json!({}))))
        .await;
    assert_eq!(asked.status, 401);
}

/// MCP basic/authorization, scope challenges: what lacks is named together with what is there, and with
/// it the same call succeeds. Roles come from the groups that the token claims.
#[tokio::test]
async fn a_token_with_too_little_is_told_what_would_be_enough() {
    let address = lasting_address();
    let resource = format!("http://{address}/mcp");
    let provider = IdentityProvider::with().resources(&[&resource]);
    let provider = provider.start().await;
    let config = format!(
        "[server]\nlisten = {address:?}\npublic_url = \"http://{address}\"\n\
         [auth.oidc.company]\nissuer = {:?}\ntenant = \"t1\"\n\
         [roles.reader]\nallow = [{{ tools = [\"echo\"], scopes = [\"mcp:tools\", \"mcp:tools:write\"] }}]\n\
         [[bindings]]\nrole = \"reader\"\ntenant = \"t1\"\n\
         any_of = [{{ claim = \"groups\", has = \"analysts\" }}]\n\
         [scopes]\n\"mcp:admin\" = [\"mcp:tools\", \"mcp:tools:write\"]",
        provider.issuer()
    );
    let _server = Switchboard::with().config(&config).start().await;
    let echo = json!({"name": "echo", "arguments": {"text": "hello"}});
    let metadata = format!("http://{address}/.well-known/oauth-protected-resource/mcp");
    let challenge = format!(
        "Bearer error=\"insufficient_scope\", scope=\"mcp:tools mcp:tools:write\", \
         resource_metadata=\"{metadata}\""
    );
    let caller = async |scope: &str| {
        let token = provider
            .log_in("t1.alice", &resource, scope)
            .await
            .access_token;
        let http = http_client_bearing(&token);
        let session = Session::through(http.clone(), &resource, VERSION, json!({})).await;
        [
            Caller::Session(session),
            Caller::Stateless(Stateless::through(http, &resource)),
        ]
    };
    for caller in caller("mcp:tools").await {
        assert_eq!(caller.tools().await, ["echo"], "it may be used with more");
        let refused = caller.call("tools/call", echo.clone()).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
        assert_eq!(refused.header("www-authenticate"), challenge);
        let needed = &refused.message()["error"]["data"]["requiredScopes"];
        assert_eq!(*needed, json!(["mcp:tools", "mcp:tools:write"]));
    }
    for enough in ["mcp:tools mcp:tools:write", "mcp:admin"] {
        for caller in caller(enough).await {
            let called = caller.call("tools/call", echo.clone()).await;
            assert_eq!(called.tool_text(), "hello", "{enough}");
            let hidden = caller.tool("countdown", json!({"from": 1})).await;
            assert_eq!(hidden.code(), -32602);
        }
    }
}

/// Ours: however an endpoint writes a name, rules know it by one.
#[tokio::test]
async fn names_are_judged_as_they_are_and_not_as_they_are_shown() {
    let long = format!("get_{}", "long_".repeat(14));
    let named = long.clone();
    let upstream = Scripted::start(of_stateless_era(move |request| {
        let id = &request.message["id"];
        match request.method() {
            "tools/list" => Script::tools(id, ["get_it", "get_all", &named, "x.get_it"]),
            "tools/call" => {
                let name = request.message["params"]["name"].as_str().unwrap();
                let said =
                    json!({"resultType": "complete", "content": [{"type": "text", "text": name}]});
                Script::result(id, &said)
            }
            _ => Script::result(id, &json!({"resultType": "complete", "it": "was asked"})),
        }
    }))
    .await;
    let config = believed_from("127.0.0.1")
        + &format!(
            "[upstreams.crm]\nurl = {:?}\nversion = \"2026-07-28\"\n\
             [endpoints.main]\nupstreams = [\"crm\"]\nseparator = \"__\"\n\
             [roles.analyst]\nallow = [{{ tools = [\"crm.get_it\", {:?}] }}]\n\
             [[bindings]]\nrole = \"analyst\"\nany_of = [{{ claim = \"groups\", has = \"analysts\" }}]\n\
             [[bindings]]\nrole = \"admin\"\nany_of = [{{ claim = \"groups\", has = \"admins\" }}]",
            upstream.url,
            format!("crm.{long}")
        );
    let setup = Switchboard::with()
        .config(&config)
        .variable(VARIABLE.0, VARIABLE.1);
    let gateway = setup.start().await;
    gateway.is_ready().await;
    let client = |who| Stateless::through(client_of(who), &gateway.url("/mcp"));
    let analyst = Caller::Stateless(client(of("analysts")));
    let tools = eventually("the tools are listed", async || {
        Some(analyst.tools().await).filter(|tools| !tools.is_empty())
    })
    .await;
    let [plain, alias] = &tools[..] else {
        panic!("{tools:?}")
    };
    assert_eq!(plain, "crm__get_it");
    assert!(
        alias.len() <= 64 && *alias != format!("crm__{long}"),
        "{alias}"
    );
    assert_eq!(analyst.tool(plain, json!({})).await.tool_text(), "get_it");
    assert_eq!(analyst.tool(alias, json!({})).await.tool_text(), long);
    let called = upstream.heard(|heard| heard.method() == "tools/call").len();
    for other in [
        "crm__get_all",
        "crm.get_it",
        "crm__x.get_it",
        "crm__x__get_it",
    ] {
        assert_eq!(
            analyst.tool(other, json!({})).await.code(),
            -32602,
            "{other}"
        );
    }
    let calls = upstream.heard(|heard| heard.method() == "tools/call").len();
    assert_eq!(calls, called, "nothing refused has reached it");
}

/// Ours: rules cannot be about what we do not know, so only `admin` may ask for it.
#[tokio::test]
async fn methods_that_nobody_knows_are_for_admins() {
    let upstream = Scripted::start(of_stateless_era(|request| {
        let id = &request.message["id"];
        match request.method() {
            "tools/list" => Script::tools(id, ["a"]),
            _ => Script::result(id, &json!({"resultType": "complete", "it": "was asked"})),
        }
    }))
    .await;
    let config = believed_from("127.0.0.1")
        + &format!(
            "[upstreams.only]\nurl = {:?}\nprefix = \"\"\nversion = \"2026-07-28\"\n{RULES}",
            upstream.url
        );
    let setup = Switchboard::with()
        .config(&config)
        .variable(VARIABLE.0, VARIABLE.1);
    let gateway = setup.start().await;
    gateway.is_ready().await;
    let asked = async |who| {
        let client = Stateless::through(client_of(who), &gateway.url("/mcp"));
        client.call("example/unknown", json!({})).await
    };
    assert_eq!(asked(of("analysts")).await.code(), -32601);
    assert!(
        upstream
            .heard(|heard| heard.method() == "example/unknown")
            .is_empty()
    );
    assert_eq!(asked(of("admins")).await.result()["it"], "was asked");
}

/// What docs/access.md shows can be served as it stands, and nothing is said against it.
#[tokio::test]
async fn what_the_page_about_access_shows_is_right() {
    let page = std::fs::read_to_string(root().join("docs/access.md")).expect("there is a page");
    let examples: Vec<_> = page.split("```toml\n").skip(1).collect();
    assert!(examples.len() >= 4, "each way in is shown");
    for example in examples {
        let example = example.split("```").next().unwrap_or_default();
        let directory = TempDir::new().expect("a temporary directory can be made");
        std::fs::write(directory.path().join(CONFIG), example).expect("a file can be written");
        let variables = [VARIABLE, ("PARTNER_SECRET", "secret")];
        let checked = run_with(directory.path(), &["--config", CONFIG, "check"], &variables).await;
        assert_eq!((checked.code, checked.err.as_str()), (0, ""), "{example}");
    }
}
