//! Upstreams that are processes of ours: who gets which, how many there are, when each ends.

use serde_json::{Value, json};

use crate::world::marked::Mark;
use crate::world::{Session, Switchboard, eventually};

/// A server in a line of shell: each call tells the process it ran in, and how many calls that had. Its
/// tool asks for a name first when it is called `ask`.
const SERVER: &str = r#"
calls=0
while read -r line; do
    id=${line#*\"id\":}; id=${id%%[,\}]*}
    case "$line" in
        *'"initialize"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"shell","version":"1"}}}';;
        *'"tools/list"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"tools":[{"name":"count","inputSchema":{"type":"object"}},{"name":"ask","inputSchema":{"type":"object"}}]}}';;
        *'"name":"ask"'*) echo '{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"message":"Who?","requestedSchema":{"type":"object","properties":{}}}}'
            read -r answer
            echo '{"jsonrpc":"2.0","id":'$id',"result":{"content":[{"type":"text","text":"'$$'"}]}}';;
        *'"tools/call"'*) calls=$((calls+1))
            echo '{"jsonrpc":"2.0","id":'$id',"result":{"content":[{"type":"text","text":"'$$' '$calls'"}]}}';;
        *'"ping"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{}}';;
    esac
done
"#;

/// A gateway before that server, whose processes carry `mark`.
async fn gateway(mark: &Mark, more: &str) -> Switchboard {
    let (name, value) = mark.variable();
    let config = format!(
        "[endpoints.main]\npath = '/mcp'\nupstreams = ['shell']\n\
         [upstreams.shell]\ncommand = ['sh', '-c', '''{SERVER}''']\nversion = '2025-11-25'\n\
         env = {{ {} = '{}' }}\n{more}",
        name.to_str().unwrap(),
        value.to_str().unwrap(),
    );
    Switchboard::with().config(&config).start().await
}

async fn count(session: &Session) -> (String, u32) {
    let answer = session.tool("shell.count", json!({})).await;
    let text = answer.tool_text();
    let (process, calls) = text.split_once(' ').expect("a process and a count");
    (process.to_owned(), calls.parse().unwrap())
}

/// The shells of a mark, without their guards.
fn shells(mark: &Mark) -> usize {
    let alive = mark.alive();
    let shells = alive
        .iter()
        .filter(|(_, command)| command.starts_with("sh "));
    shells.count()
}

async fn there_are(mark: &Mark, wanted: usize) {
    eventually(&format!("there are {wanted} processes"), async || {
        (shells(mark) == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn by_default_clients_that_can_be_asked_the_same_share_a_process() {
    let mark = Mark::new();
    let gateway = gateway(&mark, "").await;
    let [one, other] = [
        gateway.session("2025-11-25").await,
        gateway.session("2025-06-18").await,
    ];
    let (first, _) = count(&one).await;
    assert_eq!(count(&other).await, (first.clone(), 2));
    assert_eq!(count(&one).await, (first, 3));
}

#[tokio::test]
async fn a_session_can_have_a_process_of_its_own_which_ends_with_it() {
    let mark = Mark::new();
    let gateway = gateway(&mark, "isolation = 'session'").await;
    let [one, other] = [
        gateway.session("2025-11-25").await,
        gateway.session("2025-11-25").await,
    ];
    let (first, calls) = count(&one).await;
    assert_eq!(calls, 1);
    let (second, calls) = count(&other).await;
    assert_eq!(calls, 1, "nobody sees the other's state");
    assert_ne!(first, second);
    assert_eq!(count(&one).await, (first, 2));

    // Two, and the one on which the list is read.
    there_are(&mark, 3).await;
    assert_eq!(other.delete().await.status, 204);
    there_are(&mark, 2).await;
}

#[tokio::test]
async fn a_client_without_a_session_has_a_process_for_a_call() {
    let mark = Mark::new();
    let gateway = gateway(&mark, "isolation = 'session'").await;
    let client = gateway.stateless();
    let first = client.tool("shell.count", json!({})).await.tool_text();
    let second = client.tool("shell.count", json!({})).await.tool_text();
    assert!(
        first.ends_with(" 1") && second.ends_with(" 1"),
        "{first}, {second}"
    );
    there_are(&mark, 1).await;
}

#[tokio::test]
async fn processes_wait_warm_and_are_replaced() {
    let mark = Mark::new();
    let gateway = gateway(&mark, "isolation = 'session'\nwarm = 2").await;
    there_are(&mark, 3).await;
    let waiting = mark.alive();
    let session = gateway.session("2025-11-25").await;
    let (process, _) = count(&session).await;
    let waited = waiting.iter().any(|(id, _)| id.to_string() == process);
    assert!(
        waited,
        "{process} was started before it was needed: {waiting:?}"
    );
    there_are(&mark, 4).await;
}

/// Nothing on a pipe says to which call a question belongs.
#[tokio::test]
async fn who_can_be_asked_has_a_process_to_itself_while_it_is() {
    let mark = Mark::new();
    let gateway = gateway(
        &mark,
        "max_children = 2\nmax_wait = '200ms'\ntimeouts.connect = '200ms'",
    )
    .await;
    let session = gateway
        .session_with("2025-11-25", json!({"elicitation": {"form": {}}}))
        .await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let (_, mut stream) = session.stream_tool("shell.ask", json!({})).await;
        let question = stream.message().await;
        assert_eq!(question["method"], "elicitation/create");
        open.push((question, stream));
    }
    there_are(&mark, 3).await;
    // Both are asking; a third one is told so, and by whom.
    let refused = session.tool("shell.ask", json!({})).await.result();
    assert_eq!(refused["isError"], true, "{refused}");
    let text = refused["content"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("`shell`") && text.contains("processes"),
        "{text}"
    );

    let mut processes = Vec::new();
    for (question, mut stream) in open {
        let answer = json!({"action": "accept", "content": {}});
        session.answer(&question, answer).await;
        let done: Value = stream.message().await;
        processes.push(done["result"]["content"][0]["text"].clone());
    }
    assert_ne!(processes[0], processes[1]);
}
