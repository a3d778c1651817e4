//! What a server offers: lists, pages, reading, completing, watching and changing it.

use std::collections::BTreeSet;

use super::*;
use crate::protocol::icon::{Icon, Theme};
use crate::protocol::subscription::Change;
use crate::service::CacheHints;

fn nothing() -> Tool {
    named("nothing")
}

fn named(name: &str) -> Tool {
    Tool::new(name, |_, NoArguments {}| async { Ok("") })
}

async fn page(caller: &Caller, cursor: Option<&str>) -> (Vec<String>, Option<String>) {
    let params = cursor.map_or_else(|| json!({}), |cursor| json!({"cursor": cursor}));
    let page = caller
        .call("tools/list", params)
        .await
        .unwrap()
        .members
        .to_value();
    let names = page["tools"].as_array().unwrap().iter();
    let names = names.map(|tool| tool["name"].as_str().unwrap().to_owned());
    (
        names.collect(),
        page["nextCursor"].as_str().map(ToOwned::to_owned),
    )
}

fn many() -> Server {
    let builder = Server::builder("test", "1").page_size(2);
    ["e", "d", "c", "b", "a"]
        .into_iter()
        .fold(builder, |builder, name| builder.tool(named(name)))
        .prompt(Prompt::new("p", |_, _| async { Ok("") }))
        .build(&ClusterKeys::generate())
        .unwrap()
}

#[tokio::test]
async fn pages_follow_the_order_of_registration() {
    let server = many();
    let alice = Caller::session(&server);
    let (first, cursor) = page(&alice, None).await;
    assert_eq!(first, ["e", "d"]);
    // The entry the cursor names goes; the next page goes on where it stood.
    let (second, cursor_after_c) = page(&alice, cursor.as_deref()).await;
    assert_eq!(second, ["c", "b"]);
    server.handle().remove_tool("e");
    let (third, end) = page(&alice, cursor_after_c.as_deref()).await;
    assert_eq!((third, end), (vec!["a".to_owned()], None));
}

#[tokio::test]
async fn a_cursor_is_good_for_its_list_and_its_owner() {
    let server = many();
    let alice = Caller::session(&server);
    let cursor = page(&alice, None).await.1.unwrap();
    let mallory = Caller {
        principal: "mallory",
        ..alice.clone()
    };
    let other = Caller::session(&many());
    for (caller, method, cursor) in [
        (&alice, "prompts/list", cursor.as_str()),
        (&mallory, "tools/list", &cursor),
        (&other, "tools/list", &cursor),
        (&alice, "tools/list", ""),
        (&alice, "tools/list", "2"),
    ] {
        let error = caller
            .call(method, json!({"cursor": cursor}))
            .await
            .unwrap_err();
        assert_eq!(error, ServiceError::InvalidParams("unknown cursor".into()));
    }
}

#[tokio::test]
async fn what_is_not_offered_is_no_method() {
    let server = one_tool(nothing());
    let alice = Caller::stateless(&server);
    for method in [
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/read",
        "completion/complete",
        "tasks/get",
    ] {
        let error = alice
            .call(method, json!({"name": "x", "uri": "x"}))
            .await
            .unwrap_err();
        assert_eq!(error, ServiceError::MethodNotFound(method.to_owned()));
    }
    let description = server.describe(&crate::identity::Caller::local());
    let offers = &description.capabilities;
    assert!(offers.tools && !offers.prompts && !offers.resources && !offers.completions);
}

fn library() -> Server {
    #[derive(serde::Deserialize)]
    struct Shelf {
        number: u32,
    }
    Server::builder("test", "1")
        .resource(Resource::fixed("a:text", "text", "words").mime_type("text/plain"))
        .resource(Resource::fixed("a:bytes", "bytes", vec![0_u8, 1]))
        .resource_template(
            ResourceTemplate::new(
                "shelf://{number}",
                "shelf",
                |_, Shelf { number }| async move { Ok(format!("shelf {number}")) },
            )
            .complete(
                "number",
                Completer::new(|_| async { (0..150).map(|number| number.to_string()).collect() }),
            ),
        )
        .prompt(
            Prompt::new("greet", |_, arguments| async move {
                Ok(format!("Greet {}", arguments.get("name")))
            })
            .required("name", "Who")
            .optional("how", "How")
            .complete("name", Completer::among(["Ada", "Alan", "Grace"])),
        )
        .build(&ClusterKeys::generate())
        .unwrap()
}

#[tokio::test]
async fn resources_are_read_by_uri_or_by_template() {
    let server = library();
    let alice = Caller::stateless(&server);
    for (uri, contents) in [
        (
            "a:text",
            json!({"uri": "a:text", "mimeType": "text/plain", "text": "words"}),
        ),
        ("a:bytes", json!({"uri": "a:bytes", "blob": "AAE="})),
        ("shelf://7", json!({"uri": "shelf://7", "text": "shelf 7"})),
    ] {
        let read = alice
            .call("resources/read", json!({"uri": uri}))
            .await
            .unwrap();
        assert_eq!(read.members.to_value(), json!({"contents": [contents]}));
    }
    for uri in ["a:none", "shelf://seven", "shelf://7/8", ""] {
        let error = alice
            .call("resources/read", json!({"uri": uri}))
            .await
            .unwrap_err();
        assert_eq!(error, ServiceError::ResourceNotFound { uri: uri.into() });
    }
}

#[tokio::test]
async fn prompts_want_what_is_required() {
    let server = library();
    let alice = Caller::session(&server);
    let get = |params| alice.call("prompts/get", params);
    let greeting = get(json!({"name": "greet", "arguments": {"name": "Ada"}}))
        .await
        .unwrap();
    let message = &greeting.members.to_value()["messages"][0];
    assert_eq!(message["content"]["text"], "Greet Ada");
    for (params, kind) in [
        (json!({"name": "greet"}), "invalid_params"),
        (
            json!({"name": "greet", "arguments": {"how": "x"}}),
            "invalid_params",
        ),
        (
            json!({"name": "greet", "arguments": {"name": 7}}),
            "invalid_params",
        ),
        (json!({"name": "other"}), "unknown_prompt"),
    ] {
        assert_eq!(get(params).await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn arguments_are_completed() {
    let server = library();
    let alice = Caller::session(&server);
    let complete = |reference: Value, name: &str, value: &str| {
        let argument = json!({"name": name, "value": value});
        let params = json!({"ref": reference, "argument": argument});
        let alice = alice.clone();
        async move { alice.call("completion/complete", params).await }
    };
    let prompt = |name: &str| json!({"type": "ref/prompt", "name": name});
    let template = |uri: &str| json!({"type": "ref/resource", "uri": uri});
    for (reference, argument, values, total) in [
        (prompt("greet"), "name", 2, 2),
        (prompt("greet"), "how", 0, 0),
        (template("shelf://{number}"), "number", 100, 150),
        (template("a:text"), "x", 0, 0),
    ] {
        let done = complete(reference, argument, "a")
            .await
            .unwrap()
            .members
            .to_value();
        let completion = &done["completion"];
        assert_eq!(completion["values"].as_array().unwrap().len(), values);
        assert_eq!(completion["total"], total);
        assert_eq!(completion["hasMore"], total > values);
    }
    for (reference, argument) in [
        (prompt("other"), "name"),
        (prompt("greet"), "other"),
        (template("b:{x}"), "x"),
        (json!({"type": "ref/tool", "name": "x"}), "x"),
    ] {
        assert!(complete(reference, argument, "").await.is_err());
    }
}

#[tokio::test]
async fn only_what_can_change_is_watched() {
    let server = library();
    let filter = SubscriptionFilter {
        tools_list_changed: true,
        prompts_list_changed: true,
        resources_list_changed: false,
        resource_subscriptions: ["a:text", "shelf://1", "b:none"].map(Into::into).into(),
        ..SubscriptionFilter::default()
    };
    let watch = server.watch(&local(), filter).await.unwrap();
    assert_eq!(
        *watch.honoured(),
        SubscriptionFilter {
            prompts_list_changed: true,
            resource_subscriptions: ["a:text", "shelf://1"].map(Into::into).into(),
            ..SubscriptionFilter::default()
        }
    );
    server.handle().resource_updated("shelf://1");
    server.handle().resource_updated("b:none");
    let changed = BTreeSet::from([Change::Resource("shelf://1".into())]);
    assert_eq!(watch.changed().await, changed);
}

#[tokio::test]
async fn an_update_that_is_told_here_only_is_not_passed_on() {
    let server = library();
    let passed = Arc::new(Mutex::new(Vec::new()));
    let passing = passed.clone();
    server.pass_on_to(Arc::new(move |announced| {
        passing.lock().unwrap().push(announced.change);
    }));
    let filter = SubscriptionFilter {
        resource_subscriptions: ["a:text", "shelf://1"].map(Into::into).into(),
        ..SubscriptionFilter::default()
    };
    let watch = server.watch(&local(), filter).await.unwrap();

    server.handle().resource_updated_here("a:text");
    server.handle().resource_updated("shelf://1");

    assert_eq!(watch.changed().await.len(), 2);
    let elsewhere = [Change::Resource("shelf://1".into())];
    assert_eq!(*passed.lock().unwrap(), elsewhere);
}

#[tokio::test]
async fn a_change_is_announced_and_seen_by_the_next_call() {
    let server = one_tool(named("a"));
    let local = local();
    let filter = SubscriptionFilter {
        tools_list_changed: true,
        ..SubscriptionFilter::default()
    };
    let watch = server.watch(&local, filter).await.unwrap();
    let before = server.catalog_digest(&local, None);
    let alice = Caller::stateless(&server);
    server.handle().add_tool(named("b")).unwrap();
    assert_eq!(page(&alice, None).await.0, ["a", "b"]);
    assert_eq!(watch.changed().await, BTreeSet::from([Change::Tools]));
    let after = server.catalog_digest(&local, None);
    assert_eq!(
        after.changes_since(&before).collect::<Vec<_>>(),
        [Change::Tools]
    );
    assert!(server.handle().remove_tool("b"));
    assert!(!server.handle().remove_tool("b"));
    assert_eq!(server.catalog_digest(&local, None), before);
    // The last tool goes, the method stays: it was declared.
    assert!(server.handle().remove_tool("a"));
    assert_eq!(page(&alice, None).await.0, Vec::<String>::new());
    assert!(server.handle().add_tool(named("not a name")).is_err());
}

#[test]
fn two_of_one_name_are_refused() {
    let error = Server::builder("test", "1")
        .tool(nothing())
        .tool(nothing())
        .build(&ClusterKeys::generate())
        .unwrap_err();
    assert_eq!(error.to_string(), r#"tool "nothing" is registered twice"#);
}

/// A server whose staff sees one more of everything.
fn office() -> Server {
    let staff = |caller: &crate::identity::Caller| caller.principal.key() == "alice";
    let text = || ResourceTemplate::new("drawer://{id}", "drawer", |_, Id {}| async { Ok("") });
    Server::builder("test", "1")
        .page_size(1)
        .list_cache(CacheHints {
            ttl_ms: 1,
            public: true,
        })
        .tool(named("open"))
        .tool(named("secret").visible_to(staff))
        .tool(named("last"))
        .prompt(Prompt::new("open", |_, _| async { Ok("") }))
        .prompt(Prompt::new("secret", |_, _| async { Ok("") }).visible_to(staff))
        .resource(Resource::fixed("a:open", "open", ""))
        .resource(
            Resource::fixed("a:secret", "secret", "")
                .cache(CacheHints {
                    ttl_ms: 1,
                    public: true,
                })
                .visible_to(staff),
        )
        .resource_template(
            text()
                .complete("id", Completer::among(["1"]))
                .visible_to(staff),
        )
        .build(&ClusterKeys::generate())
        .unwrap()
}

#[derive(serde::Deserialize)]
struct Id {}

fn as_principal(server: &Server, principal: &'static str) -> Caller {
    Caller {
        principal,
        ..Caller::stateless(server)
    }
}

#[tokio::test]
async fn what_one_may_not_see_answers_like_what_is_not_there() {
    let server = office();
    let (alice, bob) = (as_principal(&server, "alice"), as_principal(&server, "bob"));
    let complete =
        |reference: Value| json!({"ref": reference, "argument": {"name": "id", "value": ""}});
    for (method, secret, nothing) in [
        ("tools/call", json!({"name": "secret"}), "secret"),
        ("prompts/get", json!({"name": "secret"}), "secret"),
        ("resources/read", json!({"uri": "a:secret"}), "a:secret"),
        ("resources/read", json!({"uri": "drawer://1"}), "drawer://1"),
        (
            "completion/complete",
            complete(json!({"type": "ref/resource", "uri": "drawer://{id}"})),
            "drawer://{id}",
        ),
    ] {
        alice.call(method, secret.clone()).await.unwrap();
        let hidden = bob.call(method, secret.clone()).await.unwrap_err();
        let absent = secret.to_string().replace(nothing, "absent:x");
        let absent = serde_json::from_str(&absent).unwrap();
        let absent = bob.call(method, absent).await.unwrap_err();
        assert_eq!(
            format!("{hidden:?}").replace(nothing, "absent:x"),
            format!("{absent:?}"),
            "{method}"
        );
    }
}

#[tokio::test]
async fn everybody_turns_the_pages_of_a_list_of_their_own() {
    let server = office();
    let all = |principal| {
        let caller = as_principal(&server, principal);
        async move {
            let (mut names, mut cursor) = page(&caller, None).await;
            while let Some(next) = cursor {
                let (more, after) = page(&caller, Some(&next)).await;
                names.extend(more);
                cursor = after;
            }
            names
        }
    };
    assert_eq!(all("alice").await, ["open", "secret", "last"]);
    assert_eq!(all("bob").await, ["open", "last"]);
}

#[tokio::test]
async fn what_differs_is_never_marked_as_everybodys() {
    let server = office();
    let alice = as_principal(&server, "alice");
    for (method, params, public) in [
        ("tools/list", json!({}), false),
        ("resources/read", json!({"uri": "a:secret"}), false),
    ] {
        let reply = alice.call(method, params).await.unwrap();
        assert_eq!((reply.cache.public, reply.cache.ttl_ms), (public, 1));
    }
    server.handle().remove_tool("secret");
    let reply = alice.call("tools/list", json!({})).await.unwrap();
    assert!(reply.cache.public);
}

#[tokio::test]
async fn only_those_who_see_a_change_hear_of_it() {
    let server = office();
    let watch = async |name: &str| {
        let filter = SubscriptionFilter {
            tools_list_changed: true,
            resource_subscriptions: ["a:open", "a:secret"].map(Into::into).into(),
            ..SubscriptionFilter::default()
        };
        let caller = Arc::new(crate::identity::Caller::known_as(name));
        server.watch(&caller, filter).await.unwrap()
    };
    let (alices, bobs) = (watch("alice").await, watch("bob").await);
    assert_eq!(alices.honoured().resource_subscriptions.len(), 2);
    assert_eq!(bobs.honoured().resource_subscriptions.len(), 1);
    let seen = |name: &str| server.catalog_digest(&crate::identity::Caller::known_as(name), None);
    let (alice_saw, bob_saw) = (seen("alice"), seen("bob"));
    assert_ne!(alice_saw, bob_saw);

    server.handle().remove_tool("secret");
    server.handle().resource_updated("a:secret");
    server.handle().resource_updated("a:open");

    assert_eq!(alices.changed().await.len(), 3);
    let open = BTreeSet::from([Change::Resource("a:open".into())]);
    assert_eq!(bobs.changed().await, open);
    assert_eq!(seen("bob"), bob_saw);
    assert_ne!(seen("alice"), alice_saw);
}

#[tokio::test]
async fn pictures_and_metadata_reach_those_who_know_them() {
    let icon = || {
        Icon::new("data:image/png;base64,AA==")
            .mime_type("image/png")
            .size("48x48")
            .theme(Theme::Dark)
    };
    let family = ResourceTemplate::new("b:{x}", "b", |_, Id {}| async { Ok("") });
    let server = Server::builder("test", "1")
        .tool(nothing().icon(icon()).meta("example.com/rank", 1))
        .prompt(
            Prompt::new("p", |_, _| async { Ok("") })
                .icon(icon())
                .meta("example.com/rank", 1),
        )
        .resource(
            Resource::fixed("a:b", "a", "")
                .icon(icon())
                .meta("example.com/rank", 1),
        )
        .resource_template(family.icon(icon()).meta("example.com/rank", 1))
        .build(&ClusterKeys::generate())
        .unwrap();
    for (version, icons, meta) in [
        (ProtocolVersion::V2024_11_05, false, false),
        (ProtocolVersion::V2025_03_26, false, false),
        (ProtocolVersion::V2025_06_18, false, true),
        (ProtocolVersion::V2025_11_25, true, true),
        (ProtocolVersion::V2026_07_28, true, true),
    ] {
        for list in [
            "tools/list",
            "prompts/list",
            "resources/list",
            "resources/templates/list",
        ] {
            let caller = Caller::new(&server, version);
            let list = caller
                .call(list, json!({}))
                .await
                .unwrap()
                .members
                .to_value();
            let entry = &list.as_object().unwrap().values().next().unwrap()[0];
            let expected = json!([{"src": "data:image/png;base64,AA==", "mimeType": "image/png",
                                   "sizes": ["48x48"], "theme": "dark"}]);
            assert_eq!(
                entry.get("icons"),
                icons.then_some(&expected),
                "{version:?}"
            );
            let expected = json!({"example.com/rank": 1});
            assert_eq!(entry.get("_meta"), meta.then_some(&expected), "{version:?}");
        }
    }
}

fn local() -> Arc<crate::identity::Caller> {
    Arc::new(crate::identity::Caller::local())
}
