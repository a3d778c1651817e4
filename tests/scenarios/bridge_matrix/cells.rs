//! What is done in a cell of the matrix, and what must come of it.
//!
//! Each gives the words of a refusal, if it was one; whatever else is not as it should be panics.

use serde_json::{Value, json};
use switchboard::protocol::version::ProtocolVersion;
use tokio::sync::Mutex;

use super::pair::Pair;
use crate::world::eventually;

const LISTEN: &str = "subscriptions/listen";
const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";

/// Why a client got less than it asked for, in the words it was told.
pub type Outcome = Result<(), String>;

/// What a tool said, or how it refused.
fn said(result: &Value) -> Result<String, String> {
    let text = result["content"][0]["text"].as_str().unwrap().to_owned();
    if result["isError"] == true {
        Err(text)
    } else {
        Ok(text)
    }
}

/// A tool gives a list, which each revision takes in another way.
pub async fn call(pair: &Pair) -> Outcome {
    let result = pair.plain.tool("structured_list").await;
    let structured = match pair.older() {
        ProtocolVersion::V2026_07_28 => json!([1, 2, 3]),
        ProtocolVersion::V2025_06_18 | ProtocolVersion::V2025_11_25 => {
            json!({"result": [1, 2, 3]})
        }
        ProtocolVersion::V2024_11_05 | ProtocolVersion::V2025_03_26 => Value::Null,
    };
    assert_eq!(result["structuredContent"], structured);
    let text = said(&result)?;
    let text: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(text, json!([1, 2, 3]));
    Ok(())
}

pub async fn progress(pair: &Pair) -> Outcome {
    pair.plain.forget();
    let result = pair.plain.tool("progress").await;
    assert_eq!(said(&result)?, "done");
    let heard = pair.plain.heard("notifications/progress");
    let told: Vec<_> = heard
        .iter()
        .map(|told| {
            json!([
                told["progress"].as_f64(),
                told["total"].as_f64(),
                told["message"]
            ])
        })
        .collect();
    let knows_words = pair.older() >= ProtocolVersion::V2025_03_26;
    let expected = [1, 2, 3].map(|step| {
        let message = knows_words.then(|| format!("step {step}"));
        json!([f64::from(step), 3.0, message])
    });
    assert_eq!(told, expected);
    Ok(())
}

pub async fn log(pair: &Pair) -> Outcome {
    pair.plain.forget();
    let (call, params) = pair.plain.call("log");
    let result = pair.plain.request("tools/call", params).await.unwrap();
    assert_eq!(said(&result)?, "done");
    let heard = pair.plain.heard("notifications/message");
    let expected = [1, 2, 3].map(
        |step| json!({"level": "info", "logger": "bridged", "data": {"call": call, "step": step}}),
    );
    assert_eq!(heard, expected);
    assert_eq!(pair.plain.executions(&call).await, 1);
    Ok(())
}

pub async fn elicitation(pair: &Pair) -> Outcome {
    pair.asked.forget();
    let result = pair.asked.tool("elicit").await;
    let asked = pair.asked.heard("elicitation/create");
    let answered = said(&result).inspect_err(|_| assert_eq!(asked, [] as [Value; 0]))?;
    let [asked] = &asked[..] else {
        panic!("asked once: {asked:?}");
    };
    let fields = &asked["requestedSchema"]["properties"];
    let size_names = &fields["size"]["enumNames"];
    if pair.client.version() == ProtocolVersion::V2025_06_18 {
        // It knows neither titles of choices nor lists.
        assert_eq!(*size_names, json!(["Small", "Large"]));
        assert_eq!(fields["tags"]["type"], "string");
    } else if pair.upstream.version() > ProtocolVersion::V2025_06_18 {
        assert_eq!(fields["size"]["oneOf"][1]["title"], "Large");
        assert_eq!(fields["tags"]["type"], "array");
    }
    let answered: Value = serde_json::from_str(&answered).unwrap();
    let content = json!({"name": "grace", "size": "l", "tags": ["red", "blue"]});
    assert_eq!(answered, json!({"action": "accept", "content": content}));
    Ok(())
}

pub async fn sampling(pair: &Pair) -> Outcome {
    let (call, params) = pair.asked.call("sample");
    let result = pair.asked.request("tools/call", params).await.unwrap();
    assert_eq!(said(&result)?, format!("You said: What of {call}?"));
    assert_eq!(pair.asked.executions(&call).await, 1);
    Ok(())
}

pub async fn roots(pair: &Pair) -> Outcome {
    let result = pair.asked.tool("roots").await;
    assert_eq!(said(&result)?, "file:///work file:///play");
    Ok(())
}

pub async fn resource_read(pair: &Pair) -> Outcome {
    let uri = pair.plain.located("bridged://greeting/ada");
    let read = pair.plain.request("resources/read", json!({"uri": uri}));
    let read = read.await.unwrap();
    let contents = json!([{"uri": uri, "mimeType": "text/plain", "text": "Hello, ada!"}]);
    assert_eq!(read["contents"], contents);
    Ok(())
}

pub async fn subscribe_and_update(pair: &Pair) -> Outcome {
    const UPDATED: &str = "notifications/resources/updated";
    let client = &pair.plain;
    let uri = client.located("bridged://touched");
    client.forget();
    let listening = if pair.is_stateless() {
        let filter = json!({"notifications": {"resourceSubscriptions": [uri]}});
        let listening = client.begin(LISTEN, filter);
        client
            .hears(ACKNOWLEDGED, |told| {
                told["notifications"]["resourceSubscriptions"] == json!([uri])
            })
            .await;
        Some(listening)
    } else {
        let subscribed = client.request("resources/subscribe", json!({"uri": uri}));
        assert_eq!(subscribed.await.unwrap(), json!({}));
        None
    };

    let touched = said(&client.tool("touch").await)?;

    client
        .hears(UPDATED, |told| told["uri"] == json!(uri))
        .await;
    assert_eq!(client.told("bridged://touched").await.to_string(), touched);
    if let Some(listening) = listening {
        listening.abort();
    } else {
        let ended = client.request("resources/unsubscribe", json!({"uri": uri}));
        assert_eq!(ended.await.unwrap(), json!({}));
    }
    Ok(())
}

pub async fn list_changed(pair: &Pair) -> Outcome {
    /// One endpoint shows all upstreams: a change is known to be this one only if it is the only one.
    static ALONE: Mutex<()> = Mutex::const_new(());
    const CHANGED: &str = "notifications/tools/list_changed";
    let _alone = ALONE.lock().await;
    let client = &pair.plain;
    client.forget();
    let listening = if pair.is_stateless() {
        let listening = client.begin(LISTEN, json!({"notifications": {"toolsListChanged": true}}));
        client
            .hears(ACKNOWLEDGED, |told| {
                told["notifications"]["toolsListChanged"] == true
            })
            .await;
        Some(listening)
    } else {
        None
    };

    let grown = said(&client.tool("grow").await)?;

    client.hears(CHANGED, |_| true).await;
    // Whoever hears of it finds it.
    let tools = client.tools().await;
    assert!(tools.contains(&client.named(&grown)), "{grown}: {tools:?}");
    if let Some(listening) = listening {
        listening.abort();
    }
    Ok(())
}

pub async fn cancel(pair: &Pair) -> Outcome {
    let client = &pair.plain;
    let (call, params) = client.call("slow");
    let running = client.begin("tools/call", params);
    eventually("the call runs", || async {
        (client.executions(&call).await == 1).then_some(())
    })
    .await;

    running.abort();

    eventually("the upstream has cancelled it", || async {
        let cancelled = client.told("bridged://cancelled").await;
        let cancelled = cancelled.as_array().unwrap();
        cancelled.contains(&json!(call)).then_some(())
    })
    .await;
    assert_eq!(client.executions(&call).await, 1);
    Ok(())
}

pub async fn completion(pair: &Pair) -> Outcome {
    let client = &pair.plain;
    let of = [
        json!({"type": "ref/resource", "uri": client.located("bridged://greeting/{name}")}),
        json!({"type": "ref/prompt", "name": client.named("introduce")}),
    ];
    for of in of {
        let asked = json!({"ref": of, "argument": {"name": "name", "value": "a"}});
        let completed = client.request("completion/complete", asked).await.unwrap();
        assert_eq!(completed["completion"]["values"], json!(["ada", "alan"]));
    }
    Ok(())
}
