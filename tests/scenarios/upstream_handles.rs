//! Sessions with upstreams that are kept for a conversation: by the handle that a client carries, or for
//! the session it has; wherever its calls land (SEP-2567, and ours).

use serde_json::{Value, json};

use crate::world::cluster::{Cluster, Node};
use crate::world::marked::Mark;
use crate::world::{
    Answer, EventStream, Session, Stateless, Switchboard, eventually, signals, within,
};

/// A server in a line of shell. Each call tells the process it ran in, and how many calls that had. It
/// writes down what it was sent.
const SERVER: &str = r#"
calls=0
told() { echo '{"jsonrpc":"2.0","id":'$id',"result":{"content":[{"type":"text","text":"'$$' '$calls'"}],"structuredContent":{"calls":'$calls'}}}'; }
while read -r line; do
    echo "$line" >> "$MARK/sent"
    id=${line#*\"id\":}; id=${id%%[,\}]*}
    case "$line" in *'"tools/call"'*) calls=$((calls+1));; esac
    case "$line" in
        *'"initialize"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"resources":{}},"serverInfo":{"name":"shell","version":"1"}}}';;
        *'"tools/list"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"tools":[
            {"name":"count","inputSchema":{"type":"object","properties":{"n":{"type":"integer"}},"additionalProperties":false}},
            {"name":"ask","inputSchema":{"type":"object"}},
            {"name":"hang","inputSchema":{"type":"object"}},
            {"name":"own","inputSchema":{"type":"object","properties":{"session":{"type":"integer"}}}},
            {"name":"odd","inputSchema":{"type":"object","anyOf":[{"required":["a"]},{"required":["b"]}]}}]}}' | tr -d '\n'; echo;;
        *'"resources/list"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"resources":[]}}';;
        *'"resources/templates/list"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"resourceTemplates":[]}}';;
        *'"resources/read"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"contents":[{"uri":"a:b","text":"'$$'"}]}}';;
        *'"name":"ask"'*)
            echo '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":'$id',"progress":'$calls'}}'
            echo '{"jsonrpc":"2.0","id":"q'$calls'","method":"elicitation/create","params":{"message":"Who?","requestedSchema":{"type":"object","properties":{}}}}'
            read -r answer; echo "$answer" >> "$MARK/sent"
            told;;
        *'"name":"hang"'*)
            echo '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":'$id',"progress":'$calls'}}'
            read -r cancelled; echo "$cancelled" >> "$MARK/sent";;
        *'"tools/call"'*) told;;
        *'"ping"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{}}';;
    esac
done
"#;

/// What a client declares that can be asked.
fn can_be_asked() -> Value {
    json!({"elicitation": {"form": {}}})
}

fn config(mark: &Mark, more: &str) -> String {
    let (name, value) = mark.variable();
    format!(
        "[endpoints.main]\npath = '/mcp'\nupstreams = ['shell']\n\
         [upstreams.shell]\ncommand = ['sh', '-c', '''{SERVER}''']\nversion = '2025-11-25'\n\
         env = {{ {} = '{}' }}\n{more}",
        name.to_str().unwrap(),
        value.to_str().unwrap(),
    )
}

async fn gateway(mark: &Mark, more: &str) -> Switchboard {
    let config = config(mark, &format!("isolation = 'handle'\n{more}"));
    Switchboard::with().config(&config).start().await
}

async fn nodes(mark: &Mark, more: &str) -> Cluster {
    let cluster = Cluster::with(2).config(&config(mark, more)).keeps_logs();
    cluster.start().await
}

/// A client of either era.
enum Client {
    Session(Session),
    Stateless(Stateless),
}

impl Client {
    async fn of_both_eras(url: &str) -> [Self; 2] {
        [
            Self::Session(Session::open(url, "2025-11-25", can_be_asked()).await),
            Self::Stateless(Stateless::new(url).with(can_be_asked())),
        ]
    }

    /// Calls a tool, in the session of that handle if there is one.
    async fn call(&self, tool: &str, handle: Option<&str>) -> Answer {
        let arguments = handle.map_or_else(|| json!({}), |handle| json!({"session": handle}));
        let name = format!("shell.{tool}");
        match self {
            Self::Session(client) => client.tool(&name, arguments).await,
            Self::Stateless(client) => client.tool(&name, arguments).await,
        }
    }

    /// Begins a session, and says where it is.
    async fn begin(&self) -> (String, Counted) {
        begun(&self.call("count", None).await.result())
    }

    async fn count(&self, handle: &str) -> Counted {
        counted(&self.call("count", Some(handle)).await.result())
    }

    /// Has the process of a handle killed. Before that is noticed nobody can say what became of a call.
    async fn loses(&self, process: u32, handle: &str) {
        signals::send("KILL", process).await;
        let told = eventually("it is noticed", async || {
            let told = self.call("count", Some(handle)).await;
            let is_unknown = told.message()["error"]["data"]["outcome"] == "unknown";
            (!is_unknown).then_some(told)
        });
        refused(&told.await);
    }

    async fn is_refused(&self, handle: &str) {
        refused(&self.call("count", Some(handle)).await);
    }
}

/// A process, and how many calls it has had.
type Counted = (u32, u32);

fn counted(result: &Value) -> Counted {
    assert_ne!(result["isError"], true, "{result}");
    let text = result["content"][0]["text"].as_str().expect("a text");
    let (process, calls) = text.split_once(' ').expect("a process and a count");
    (process.parse().unwrap(), calls.parse().unwrap())
}

/// The handle that a result tells.
fn begun(result: &Value) -> (String, Counted) {
    let handle = result["_meta"]["switchboard/handle"].as_str();
    let handle = handle.unwrap_or_else(|| panic!("{result} tells no handle"));
    let words = format!(
        "To go on where this call left off, pass `session` = \"{handle}\" in the next call."
    );
    let told = json!({"type": "text", "text": words});
    assert_eq!(result["content"].as_array().unwrap().last(), Some(&told));
    (handle.to_owned(), counted(result))
}

/// The session is not there, and nothing has begun instead.
#[track_caller]
fn refused(answer: &Answer) {
    let result = answer.result();
    assert_eq!(result["isError"], true, "{result}");
    assert_eq!(result["_meta"]["switchboard/handle"], Value::Null);
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("upstream `shell` has no session of yours under this `session`"));
    assert!(text.ends_with("Call again without `session` to begin a new one."));
}

/// What the processes of a mark were sent.
fn sent(mark: &Mark) -> String {
    std::fs::read_to_string(mark.directory.path().join("sent")).unwrap_or_default()
}

async fn there_are(mark: &Mark, wanted: usize) {
    eventually(&format!("there are {wanted} processes"), async || {
        let alive = mark.alive();
        let shells = alive.iter().filter(|(_, it)| it.starts_with("sh "));
        (shells.count() == wanted).then_some(())
    })
    .await;
}

/// Goes on with a call that asked, as a client without a session does.
async fn answer_question(client: &Stateless, asked: &Value, arguments: Value) -> Value {
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let question = asked["inputRequests"].as_object().expect("questions");
    let key = question.keys().next().expect("a question");
    let answers = json!({key: {"action": "accept", "content": {}}});
    let params = json!({"name": "shell.ask", "arguments": arguments,
        "requestState": asked["requestState"], "inputResponses": answers});
    client.call("tools/call", params).await.result()
}

/// Answers the one question on a stream, and gives the result at its end.
async fn result_of(client: &Session, mut stream: EventStream) -> Value {
    loop {
        let message = stream.message().await;
        if message["method"] == "elicitation/create" {
            let answer = json!({"action": "accept", "content": {}});
            client.answer(&message, answer).await;
        } else if message.get("result").is_some() {
            return message["result"].clone();
        }
    }
}

#[tokio::test]
async fn two_conversations_of_one_principal_do_not_see_each_others_state() {
    let mark = Mark::new();
    let gateway = gateway(&mark, "").await;
    for client in Client::of_both_eras(&gateway.url("/mcp")).await {
        let (one, (first, calls)) = client.begin().await;
        assert_eq!(calls, 1);
        let (other, (second, calls)) = client.begin().await;
        assert_eq!(calls, 1);
        assert_ne!((&one, first), (&other, second));
        assert_eq!(client.count(&one).await, (first, 2));
        assert_eq!(client.count(&one).await, (first, 3));
        assert_eq!(client.count(&other).await, (second, 2));
    }
}

#[tokio::test]
async fn what_programs_say_and_are_told_is_as_it_was() {
    let mark = Mark::new();
    let gateway = gateway(&mark, "handle = 'conversation'").await;
    let client = gateway.stateless();
    let listed = client.call("tools/list", json!({})).await.result();
    let schema = &listed["tools"][0]["inputSchema"];
    assert_eq!(schema["properties"]["n"], json!({"type": "integer"}));
    assert_eq!(schema["properties"]["conversation"]["type"], "string");
    assert_eq!(schema["required"], Value::Null);

    let first = client.tool("shell.count", json!({"n": 1})).await.result();
    assert_eq!(first["structuredContent"], json!({"calls": 1}));
    let handle = &first["_meta"]["switchboard/handle"];
    let arguments = json!({"n": 2, "conversation": handle});
    let second = client.tool("shell.count", arguments).await.result();
    assert_eq!(second["structuredContent"], json!({"calls": 2}));
    assert_eq!(second["content"].as_array().unwrap().len(), 1);
    assert!(sent(&mark).contains(r#""arguments":{"n":2}"#));
    assert!(!sent(&mark).contains("conversation"));
}

/// How models leave out what need not be there.
#[tokio::test]
async fn a_handle_that_says_nothing_begins_a_session() {
    let mark = Mark::new();
    let gateway = gateway(&mark, "").await;
    for nothing in [json!({"session": null}), json!({"session": ""})] {
        let result = gateway.stateless().tool("shell.count", nothing).await;
        let (_, (_, calls)) = begun(&result.result());
        assert_eq!(calls, 1);
    }
    assert!(!sent(&mark).contains(r#""session":"#));
}

#[tokio::test]
async fn a_tool_that_cannot_take_a_handle_has_a_session_for_each_call() {
    let mark = Mark::new();
    let config = config(&mark, "isolation = 'handle'");
    let gateway = Switchboard::with().config(&config).keeps_log();
    let gateway = gateway.start().await;
    let client = gateway.stateless();
    let listed = client.call("tools/list", json!({})).await.result();
    let own = json!({"type": "object", "properties": {"session": {"type": "integer"}}});
    let odd = json!({"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]});
    assert_eq!(listed["tools"][3]["inputSchema"], own);
    assert_eq!(listed["tools"][4]["inputSchema"], odd);
    for said in [
        "have one of that name",
        "are more than a list of properties",
    ] {
        assert!(gateway.log().contains(said), "{}", gateway.log());
    }
    for tool in ["shell.own", "shell.odd"] {
        for _ in 0..2 {
            let result = client.tool(tool, json!({"session": 7})).await.result();
            assert_eq!(counted(&result).1, 1);
            assert_eq!(result["_meta"]["switchboard/handle"], Value::Null);
        }
    }
    assert!(sent(&mark).contains(r#""arguments":{"session":7}"#));
    there_are(&mark, 1).await;
}

/// A list cannot differ from session to session, and what a session has can.
#[tokio::test]
async fn a_tool_in_no_list_is_called_in_a_session_that_is_named() {
    let mark = Mark::new();
    let gateway = gateway(&mark, "").await;
    for client in Client::of_both_eras(&gateway.url("/mcp")).await {
        let (handle, (process, _)) = client.begin().await;
        let hidden = client.call("hidden", Some(&handle)).await;
        assert_eq!(counted(&hidden.result()), (process, 2));
        for nothing in [None, Some("none")] {
            assert_eq!(client.call("hidden", nothing).await.code(), -32602);
        }
    }
}

#[tokio::test]
async fn a_handle_that_names_nothing_is_refused_and_nothing_begins() {
    let mark = Mark::new();
    let gateway = gateway(&mark, "").await;
    let [session, stateless] = Client::of_both_eras(&gateway.url("/mcp")).await;
    let (handle, counted) = stateless.begin().await;
    let mut bent = handle.clone();
    bent.replace_range(9..10, if &handle[9..10] == "A" { "B" } else { "A" });
    for client in [&session, &stateless] {
        for nothing in [&bent, "none", &handle[1..]] {
            client.is_refused(nothing).await;
        }
    }
    assert_eq!(stateless.count(&handle).await, (counted.0, 2));
    // Its process, and the one on which the list is read.
    there_are(&mark, 2).await;
}

#[tokio::test]
async fn a_session_that_is_not_used_ends_and_its_handle_is_refused() {
    let mark = Mark::new();
    let gateway = gateway(&mark, "timeouts.idle = '1s'").await;
    let clients = Client::of_both_eras(&gateway.url("/mcp")).await;
    let (handle, _) = clients[0].begin().await;
    there_are(&mark, 1).await;
    for client in &clients {
        client.is_refused(&handle).await;
        let (_, (_, calls)) = client.begin().await;
        assert_eq!(calls, 1);
    }
}

#[tokio::test]
async fn a_process_that_was_killed_is_not_replaced_behind_its_handle() {
    let mark = Mark::new();
    let gateway = gateway(&mark, "").await;
    for client in Client::of_both_eras(&gateway.url("/mcp")).await {
        let (handle, (process, _)) = client.begin().await;
        let (other, (stays, _)) = client.begin().await;
        client.loses(process, &handle).await;
        client.is_refused(&handle).await;
        assert_eq!(client.count(&other).await, (stays, 2));
    }
}

/// 2025-11-25 basic/transports, session management.
#[tokio::test]
async fn a_session_that_its_server_forgot_is_not_replaced_behind_its_handle() {
    let mark = Mark::new();
    let config = config(&mark, "isolation = 'session'\nprefix = ''");
    let server = Switchboard::with().config(&config).same_port();
    let mut server = server.start().await;
    let gateway = Switchboard::with().config(&format!(
        "[upstreams.shell]\nurl = {:?}\nversion = '2025-11-25'\nisolation = 'handle'",
        server.url("/mcp")
    ));
    let gateway = gateway.start().await;
    for client in Client::of_both_eras(&gateway.url("/mcp")).await {
        let (handle, (process, _)) = client.begin().await;
        assert_eq!(client.count(&handle).await, (process, 2));
        server.crash().await;
        server.start_again().await;
        eventually("the server is there again", async || {
            let told = client.call("count", Some(&handle)).await.tool_text();
            told.contains("no session of yours").then_some(())
        })
        .await;
        client.is_refused(&handle).await;
    }
}

#[tokio::test]
async fn a_question_is_asked_in_the_session_that_is_named() {
    let mark = Mark::new();
    let gateway = gateway(&mark, "").await;
    let [session, stateless] = Client::of_both_eras(&gateway.url("/mcp")).await;
    let Client::Stateless(client) = &stateless else {
        panic!("a client without a session")
    };
    let asked = client.tool("shell.ask", json!({})).await.result();
    let (handle, (process, _)) = begun(&answer_question(client, &asked, json!({})).await);
    let arguments = json!({"session": handle});
    let asked = client.tool("shell.ask", arguments.clone()).await.result();
    let done = answer_question(client, &asked, arguments.clone()).await;
    assert_eq!(counted(&done), (process, 2));
    // Any client of the principal may go on with it.
    let Client::Session(client) = &session else {
        panic!("a client with a session")
    };
    let (_, stream) = client.stream_tool("shell.ask", arguments).await;
    assert_eq!(counted(&result_of(client, stream).await), (process, 3));
    let (_, stream) = client.stream_tool("shell.ask", json!({})).await;
    let (_, (other, calls)) = begun(&result_of(client, stream).await);
    assert!(other != process && calls == 1);
}

/// Who does not hear of its session cannot go on in it.
#[tokio::test]
async fn a_session_whose_client_was_never_told_its_handle_ends() {
    let mark = Mark::new();
    let gateway = gateway(&mark, "timeouts.parked = '1s'").await;
    let client = Stateless::new(&gateway.url("/mcp")).with(can_be_asked());
    let asked = client.tool("shell.ask", json!({})).await.result();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    there_are(&mark, 1).await;
}

/// Of all its processes one is for what has no handle: the reading of resources.
#[tokio::test]
async fn as_many_sessions_are_kept_as_there_is_room_for() {
    let mark = Mark::new();
    let gateway = gateway(&mark, "max_children = 4").await;
    let [_, client] = Client::of_both_eras(&gateway.url("/mcp")).await;
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(client.begin().await);
    }
    let refused = client.call("count", None).await.result();
    assert_eq!(refused["isError"], true, "{refused}");
    let text = refused["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("upstream `shell` keeps as many sessions as it may"));
    let read = gateway
        .stateless()
        .call("resources/read", json!({"uri": "shell+a:b"}))
        .await;
    let reader = read.result()["contents"][0]["text"].clone();
    for (handle, (process, _)) in &kept {
        assert_ne!(reader, json!(process.to_string()));
        assert_eq!(client.count(handle).await, (*process, 2), "nobody lost any");
    }
    // One that ends makes room.
    client.loses(kept[0].1.0, &kept[0].0).await;
    let (_, (_, calls)) = client.begin().await;
    assert_eq!(calls, 1);
}

/// A process is its session's state: there is no second one, however many calls run at once.
#[tokio::test]
async fn calls_of_one_session_wait_for_its_one_process() {
    let mark = Mark::new();
    let isolation = config(&mark, "isolation = 'session'");
    let gateway = Switchboard::with().config(&isolation).start().await;
    let client = gateway.session_with("2025-11-25", can_be_asked()).await;
    let (_, first) = client.stream_tool("shell.ask", json!({})).await;
    let (_, second) = client.stream_tool("shell.ask", json!({})).await;
    let first = counted(&result_of(&client, first).await);
    let second = counted(&result_of(&client, second).await);
    assert_eq!(second, (first.0, 2));
}

#[tokio::test]
async fn a_handle_is_good_at_any_node() {
    let mark = Mark::new();
    let cluster = nodes(&mark, "isolation = 'handle'").await;
    let here = Client::of_both_eras(&cluster[0].url("/mcp")).await;
    let there = Client::of_both_eras(&cluster[1].url("/mcp")).await;
    for (here, there) in here.iter().zip(&there) {
        let (handle, (process, _)) = here.begin().await;
        assert_eq!(there.count(&handle).await, (process, 2));
        assert_eq!(here.count(&handle).await, (process, 3));
    }
}

#[tokio::test]
async fn a_question_in_a_session_at_another_node_reaches_the_client() {
    let mark = Mark::new();
    let cluster = nodes(&mark, "isolation = 'handle'").await;
    let [_, begins] = Client::of_both_eras(&cluster[0].url("/mcp")).await;
    let (handle, (process, _)) = begins.begin().await;
    let arguments = json!({"session": handle});

    let url = cluster[1].url("/mcp");
    let client = Session::open(&url, "2025-11-25", can_be_asked()).await;
    let (_, mut stream) = client.stream_tool("shell.ask", arguments.clone()).await;
    stream.until_step(2).await;
    assert_eq!(counted(&result_of(&client, stream).await), (process, 2));

    let client = Stateless::new(&url).with(can_be_asked());
    let asked = client.tool("shell.ask", arguments.clone()).await.result();
    // The call is parked where its session is, and goes on from anywhere.
    let back = Stateless::new(&cluster[0].url("/mcp")).with(can_be_asked());
    let done = answer_question(&back, &asked, arguments).await;
    assert_eq!(counted(&done), (process, 3));
}

/// basic/utilities/cancellation.
#[tokio::test]
async fn a_call_at_another_node_is_cancelled_there() {
    ends_there(async |client, id, _node| {
        client
            .notify("notifications/cancelled", json!({"requestId": id}))
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_call_at_another_node_ends_with_the_node_of_its_client() {
    ends_there(async |_client, _id, node| node.kill_hard().await).await;
}

/// Calls through one node with a handle of another, ends the call at the first by `end`, and waits until the
/// server of the handle was told.
async fn ends_there(end: impl AsyncFnOnce(&Session, i64, &mut Node)) {
    let mark = Mark::new();
    let mut cluster = nodes(&mark, "isolation = 'handle'").await;
    let [_, begins] = Client::of_both_eras(&cluster[0].url("/mcp")).await;
    let (handle, _) = begins.begin().await;
    let client = Session::open(&cluster[1].url("/mcp"), "2025-11-25", can_be_asked()).await;
    let arguments = json!({"session": handle});
    let (id, mut stream) = client.stream_tool("shell.hang", arguments).await;
    stream.until_step(2).await;
    end(&client, id, &mut cluster[1]).await;
    eventually("the server hears of it", async || {
        sent(&mark)
            .contains("notifications/cancelled")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_handle_whose_node_was_killed_is_refused() {
    let mark = Mark::new();
    let mut cluster = nodes(&mark, "isolation = 'handle'").await;
    let [_, begins] = Client::of_both_eras(&cluster[0].url("/mcp")).await;
    let (handle, _) = begins.begin().await;
    let (runs, _) = begins.begin().await;
    let clients = Client::of_both_eras(&cluster[1].url("/mcp")).await;
    let [Client::Session(client), _] = &clients else {
        panic!("a client with a session")
    };
    let arguments = json!({"session": runs});
    let (_, mut stream) = client.stream_tool("shell.hang", arguments).await;
    stream.until_step(2).await;
    cluster[0].kill_hard().await;
    let ended = within("the call ends", stream.message()).await;
    assert_eq!(ended["error"]["data"]["outcome"], "unknown", "{ended}");
    for client in &clients {
        client.is_refused(&handle).await;
        let (_, (_, calls)) = client.begin().await;
        assert_eq!(calls, 1);
    }
    // The same node, but another run of it.
    cluster[0].restart().await;
    for client in Client::of_both_eras(&cluster[0].url("/mcp")).await {
        client.is_refused(&handle).await;
    }
}

#[tokio::test]
async fn calls_of_a_session_meet_in_one_process_at_whichever_nodes_they_land() {
    let mark = Mark::new();
    let cluster = nodes(&mark, "isolation = 'session'").await;
    let here = Session::open(&cluster[0].url("/mcp"), "2025-11-25", can_be_asked()).await;
    let there = here.elsewhere(&cluster[1].url("/mcp"));
    let count =
        async |client: &Session| counted(&client.tool("shell.count", json!({})).await.result());
    // The first call decides where; the first of all is not where the session is at home.
    let (process, calls) = count(&there).await;
    assert_eq!(calls, 1);
    assert_eq!(count(&here).await, (process, 2));
    assert_eq!(count(&there).await, (process, 3));
    let (_, stream) = here.stream_tool("shell.ask", json!({})).await;
    assert_eq!(counted(&result_of(&there, stream).await), (process, 4));

    // Its process, and those on which the list is read.
    there_are(&mark, 3).await;
    assert_eq!(here.delete().await.status, 204);
    there_are(&mark, 2).await;
}

/// Ours: the node that holds the process may have nothing else to do with the session, and forget it.
#[tokio::test]
async fn what_is_kept_for_a_session_stays_where_only_calls_of_other_nodes_use_it() {
    /// More than it takes the node to forget the session, as they are some milliseconds apart.
    const CALLS: u32 = 300;
    let mark = Mark::new();
    // It forgets what is idle before it looks whether something could leave the memory.
    let idle = "isolation = 'session'\n[sessions]\nidle_ttl = '1s'\npassivate_after = '999ms'";
    let cluster = nodes(&mark, idle).await;
    let here = Session::open(&cluster[0].url("/mcp"), "2025-11-25", json!({})).await;
    let there = here.elsewhere(&cluster[1].url("/mcp"));
    let first = there.tool("shell.count", json!({})).await.result();
    let (process, _) = counted(&first);
    eventually("it was used for long", async || {
        let seen = counted(&here.tool("shell.count", json!({})).await.result());
        assert_eq!(seen.0, process);
        (seen.1 > CALLS).then_some(())
    })
    .await;
}

/// Two first calls at once: one node wins, and both are served there.
#[tokio::test]
async fn calls_of_a_session_that_come_at_once_meet_in_one_process() {
    let mark = Mark::new();
    let cluster = nodes(&mark, "isolation = 'session'").await;
    for _ in 0..5 {
        let here = Session::open(&cluster[0].url("/mcp"), "2025-11-25", json!({})).await;
        let there = here.elsewhere(&cluster[1].url("/mcp"));
        let calls = [&here, &there].map(|client| client.tool("shell.count", json!({})));
        let answers = futures_util::future::join_all(calls).await;
        let [one, other] = [0, 1].map(|at| counted(&answers[at].result()));
        assert_eq!(one.0, other.0);
        assert_eq!(one.1 + other.1, 3, "one is the first and one the second");
    }
}

#[tokio::test]
async fn a_session_whose_node_was_killed_begins_anew_and_the_log_says_so() {
    let mark = Mark::new();
    let mut cluster = nodes(&mark, "isolation = 'session'").await;
    let here = Session::open(&cluster[0].url("/mcp"), "2025-11-25", json!({})).await;
    let there = here.elsewhere(&cluster[1].url("/mcp"));
    let count =
        async |client: &Session| counted(&client.tool("shell.count", json!({})).await.result());
    let (process, _) = count(&here).await;
    assert_eq!(count(&there).await, (process, 2));
    cluster[0].kill_hard().await;
    // Before it is known to be gone nobody can say what became of a call.
    let (other, calls) = eventually("another node takes over", async || {
        let message = there.tool("shell.count", json!({})).await.message();
        let is_unknown = message["error"]["data"]["outcome"] == "unknown";
        (!is_unknown).then(|| counted(&message["result"]))
    })
    .await;
    assert!(other != process && calls == 1);
    assert!(
        cluster[1]
            .server
            .log()
            .contains("is lost: the node that held it is gone")
    );
    // Who comes back finds it where it is now.
    cluster[0].restart().await;
    let back = here.elsewhere(&cluster[0].url("/mcp"));
    assert_eq!(count(&back).await, (other, 2));
}

/// Ours: a session that is not used leaves the memory of its node, and what is kept for it stays.
#[tokio::test]
async fn what_is_kept_for_a_session_ends_with_it_also_when_it_left_the_memory() {
    let mark = Mark::new();
    let config = config(
        &mark,
        "isolation = 'session'\n[sessions]\npassivate_after = '200ms'",
    );
    let gateway = Switchboard::with().config(&config).start().await;
    let client = gateway.session("2025-11-25").await;
    let count = async || counted(&client.tool("shell.count", json!({})).await.result());
    let (process, _) = count().await;
    let is_away = async || {
        let live = gateway.metric("mcp_active_sessions").await;
        (live == 0.0).then_some(())
    };
    eventually("it has left the memory", is_away).await;
    assert_eq!(count().await, (process, 2));
    eventually("it has left the memory", is_away).await;
    assert_eq!(client.delete().await.status, 204);
    there_are(&mark, 1).await;
}
