//! How the gateway is let in by upstreams, as it is written.

use crate::client::oauth::{Config, Proof, Scopes};
use crate::gateway::config::{Reach, Secret, UpstreamConfig};

use super::*;

const SECRETS: [(&str, &str); 1] = [("SECRET", "sesame")];

fn load(auth: &str) -> Result<(UpstreamConfig, Vec<String>), String> {
    let text =
        format!("[upstreams.a]\nurl = \"https://a.example/mcp\"\n[upstreams.a.auth]\n{auth}");
    let settings = load_text(&text, &SECRETS, &Overrides::default())?;
    let mut upstreams = settings.gateway.upstreams;
    Ok((upstreams.remove(0), settings.cautions))
}

fn auth(text: &str) -> Option<Config> {
    let (upstream, cautions) = load(text).unwrap();
    assert_eq!(cautions, Vec::<String>::new());
    upstream.auth
}

fn proof() -> Proof {
    Proof::Secret("sesame".to_owned().into())
}

#[test]
fn a_secret_that_never_changes_is_a_header() {
    for (text, name, value) in [
        (r#"bearer = "env:SECRET""#, "Authorization", "Bearer sesame"),
        (
            r#"header = "X-Key"
            value = "env:SECRET""#,
            "X-Key",
            "sesame",
        ),
    ] {
        let (upstream, cautions) = load(&format!("kind = \"static\"\n{text}")).unwrap();
        assert_eq!((upstream.auth, cautions), (None, Vec::new()));
        let Reach::Url { headers, .. } = upstream.reach else {
            panic!("it has a URL");
        };
        assert_eq!(headers, [(name.to_owned(), Secret(value.to_owned()))]);
    }
}

#[test]
fn each_kind_has_its_keys() {
    const CLIENT: &str =
        "issuer = \"https://as.example\"\nclient_id = \"us\"\nclient_secret = \"env:SECRET\"\n";
    let machine = auth(&format!(
        "kind = \"client_credentials\"\nscopes = [\"b\", \"a\"]\n{CLIENT}"
    ));
    let Some(Config::ClientCredentials(machine)) = machine else {
        panic!("{machine:?}");
    };
    assert_eq!(machine.issuer.issuer, "https://as.example");
    assert_eq!((&*machine.client.id, machine.client.proof), ("us", proof()));
    assert_eq!(
        (machine.scopes, machine.resource),
        (Scopes::parse("a b"), None)
    );

    let exchange = auth(&format!(
        "kind = \"token_exchange\"\naudience = \"crm\"\n{CLIENT}"
    ));
    let Some(Config::TokenExchange(exchange)) = exchange else {
        panic!("{exchange:?}");
    };
    assert_eq!(exchange.audience.as_deref(), Some("crm"));

    let login = auth("kind = \"authorization_code\"\ncallback = \"127.0.0.1:7777\"");
    let Some(Config::AuthorizationCode(login)) = login else {
        panic!("{login:?}");
    };
    assert_eq!((login.client, login.callback.port()), (None, 7777));

    let employee = auth(&format!(
        "kind = \"cross_app\"\nprovider = \"https://idp.example\"\nprovider_client_id = \"us-there\"\n\
         identity = \"env:SECRET\"\n{CLIENT}"
    ));
    let Some(Config::CrossApp(employee)) = employee else {
        panic!("{employee:?}");
    };
    assert_eq!(employee.provider_client.proof, Proof::Nothing);
    assert!(!format!("{employee:?}").contains("sesame"));
}

#[test]
fn what_is_missing_or_too_much_is_said() {
    for (text, problem) in [
        (
            "issuer = \"https://as.example\"",
            "auth.issuer: needs a `kind` beside it",
        ),
        (
            "kind = \"static\"",
            "auth.kind: needs either `bearer`, or `header` and `value`",
        ),
        (
            "kind = \"static\"\nbearer = \"text:\"",
            "auth.bearer: is empty",
        ),
        (
            "kind = \"static\"\nbearer = \"env:NOWHERE\"",
            "variable NOWHERE is not set",
        ),
        (
            "kind = \"static\"\nheader = \"Host\"\nvalue = \"env:SECRET\"",
            "auth.header: \"Host\" is not",
        ),
        (
            "kind = \"static\"\nbearer = \"env:SECRET\"\nissuer = \"https://as\"",
            "auth.issuer: means nothing with this `kind`",
        ),
        (
            "kind = \"client_credentials\"",
            "auth.kind: needs `issuer` beside it",
        ),
        (
            "kind = \"client_credentials\"",
            "auth.kind: needs `client_id` beside it",
        ),
        (
            "kind = \"client_credentials\"",
            "auth.kind: needs `client_secret` or `private_key` beside it",
        ),
        (
            "kind = \"client_credentials\"\nissuer = \"as.example\"",
            "auth.issuer: must be an http or https URL",
        ),
        (
            "kind = \"client_credentials\"\nprivate_key = \"env:SECRET\"",
            "auth.private_key: is no private key in PEM",
        ),
        (
            "kind = \"client_credentials\"\nscopes = [\"a b\"]",
            "auth.scopes: has an entry that is not one scope",
        ),
        (
            "kind = \"authorization_code\"\ncallback = \"0.0.0.0:80\"",
            "auth.callback: must be a loopback address",
        ),
        (
            "kind = \"authorization_code\"\nclient_id = \"us\"\nclient_secret = \"env:SECRET\"",
            "auth.kind: needs `issuer` beside it: secrets go to no",
        ),
        (
            "kind = \"authorization_code\"\nclient_document = \"http://h/c\"",
            "auth.client_document: must be an https URL",
        ),
        (
            "kind = \"cross_app\"",
            "auth.kind: needs `identity` beside it",
        ),
        ("kind = \"magic\"", "auth.kind"),
    ] {
        let said = load(text).unwrap_err();
        assert!(said.contains(problem), "{text}: {said}");
        assert!(!said.contains("sesame"), "{said}");
    }
    let of_a_program =
        "[upstreams.a]\ncommand = [\"a\"]\nauth = { kind = \"static\", bearer = \"env:SECRET\" }";
    let said = load_text(of_a_program, &SECRETS, &Overrides::default()).unwrap_err();
    assert!(
        said.contains("auth.kind: is for an upstream with `url`"),
        "{said}"
    );
    let twice = "[upstreams.a]\nurl = \"https://a.example\"\nheaders = { authorization = \"env:SECRET\" }\n\
                 auth = { kind = \"static\", bearer = \"env:SECRET\" }";
    let said = load_text(twice, &SECRETS, &Overrides::default()).unwrap_err();
    assert!(
        said.contains("stands beside an `Authorization` in `headers`"),
        "{said}"
    );
}

#[test]
fn secrets_in_the_open_are_cautioned_about() {
    let (_, cautions) = load("kind = \"static\"\nbearer = \"sesame\"").unwrap();
    assert!(
        cautions[0].starts_with("upstreams.a.auth.bearer: the secret stands in"),
        "{cautions:?}"
    );
    let (_, cautions) = load(
        "kind = \"client_credentials\"\nissuer = \"http://as.example\"\nclient_id = \"us\"\nclient_secret = \"env:SECRET\"",
    )
    .unwrap();
    assert!(
        cautions[0].starts_with("upstreams.a.auth.issuer: what is secret is sent"),
        "{cautions:?}"
    );
}
