//! TLS and the proxies that say who calls: what must be written together, and what files must hold.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::transport::tls::Clients;

/// Files of a certificate in a directory, as `[server.tls]` names them.
fn files(directory: &Path) -> String {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    for (name, text) in [("a.pem", certificate.pem()), ("a.key", key.serialize_pem())] {
        let file = directory.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    }
    let shown = directory.display();
    format!("[server.tls]\ncertificate = \"{shown}/a.pem\"\nkey = \"{shown}/a.key\"\n")
}

#[test]
fn a_certificate_and_its_key_are_tls() {
    let directory = tempfile::tempdir().unwrap();
    let tls = files(directory.path());
    let server = load_file(&tls).unwrap().server;
    let settings = server.tls.unwrap();
    assert_eq!(settings.config.clients, Clients::Unasked);
    assert_eq!(settings.files.len(), 2);
    let ca = format!("client_ca = \"{}/a.pem\"\n", directory.path().display());
    for (word, is_required) in [("optional", false), ("required", true)] {
        let text = format!("{tls}{ca}client_certificates = \"{word}\"");
        let clients = load_file(&text).unwrap().server.tls.unwrap().config.clients;
        assert_eq!(matches!(clients, Clients::Required(_)), is_required);
        assert_eq!(matches!(clients, Clients::Optional(_)), !is_required);
    }
    let off = "6: server.tls.client_ca: is for client certificates: set \
               `server.tls.client_certificates`";
    check(&format!("{tls}\n\n{ca}"), &[&line(off)]);
    let admin = "[admin]\nlisten = \"127.0.0.1:9001\"\ntls = true";
    assert!(load_file(&format!("{tls}{admin}")).unwrap().admin_tls);
    let beyond = format!("{tls}[admin]\nlisten = \"10.0.0.1:9001\"");
    let cautions = load_file(&beyond).unwrap().cautions;
    assert!(cautions[0].contains("set `admin.tls`"), "{cautions:?}");
}

fn line(complaint: &str) -> String {
    format!("switchboard.toml:{complaint}")
}

#[test]
fn half_of_tls_is_none() {
    for (text, expected) in [
        (
            "[server.tls]\ncertificate = \"a\"",
            "2: server.tls.certificate: needs `server.tls.key`",
        ),
        (
            "[server.tls]\nkey = \"a\"",
            "2: server.tls.key: needs `server.tls.certificate`",
        ),
        (
            "[server.tls]\nclient_certificates = \"required\"",
            "2: server.tls.client_certificates: needs `server.tls.client_ca`, the authorities that \
             sign them",
        ),
        (
            "[admin]\nlisten = \"127.0.0.1:9001\"\ntls = true",
            "3: admin.tls: needs a certificate: set `server.tls.certificate`",
        ),
    ] {
        check(text, &[&line(expected)]);
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let tls = files(directory.path());
    let (certificate, key) = (
        directory.path().join("a.pem"),
        directory.path().join("a.key"),
    );
    let (shown, shown_key) = (certificate.display(), key.display());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let open = format!(
        "3: server.tls.key: the file {shown_key} can be read or changed by every user: take that away \
         with `chmod o=`"
    );
    check(&tls, &[&line(&open)]);
    files(directory.path());
    fs::write(&certificate, "nothing").unwrap();
    let nothing =
        format!("2: server.tls.certificate: the file {shown} holds no certificate in PEM");
    check(&tls, &[&line(&nothing)]);
    fs::remove_file(&certificate).unwrap();
    let complaint = load_file(&tls).unwrap_err();
    assert!(complaint.contains("a.pem cannot be read"), "{complaint}");
}

#[test]
fn another_certificate_needs_no_other_start_and_other_clients_do() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (files(one.path()), files(two.path()));
    let ca = format!(
        "client_certificates = \"required\"\nclient_ca = \"{}/ca.pem\"\n",
        one.path().display()
    );
    let authority = |directory: &Path| {
        fs::copy(directory.join("a.pem"), one.path().join("ca.pem")).unwrap();
    };
    let at_next_start = |before: &Settings, text: &str| {
        let after = load_file(text).unwrap();
        Change::between(before, &before.gateway, &before.policy, &after).at_next_start
    };
    let started = load_file(&first).unwrap();
    assert!(at_next_start(&started, &second).is_empty());
    files(one.path());
    assert!(at_next_start(&started, &first).is_empty());
    let keys = ["server.tls.certificate", "server.tls.key"];
    assert_eq!(at_next_start(&started, ""), keys);
    assert_eq!(at_next_start(&load_file("").unwrap(), &first), keys);
    authority(one.path());
    let started = load_file(&format!("{first}{ca}")).unwrap();
    authority(two.path());
    let changed = at_next_start(&started, &format!("{first}{ca}"));
    assert_eq!(changed, ["server.tls.client_ca"]);
}

const SECRET: (&str, &str) = ("PROXY_SECRET", "0123456789abcdef0123456789abcdef");

#[test]
fn a_proxy_that_says_who_calls_has_networks_a_key_and_an_audience() {
    let load = |text: &str| load_text(text, &[SECRET], &Overrides::default());
    let settings = load(
        "[auth.proxy]\npeers = [\"10.0.0.0/8\", \"fd00::7\"]\nkey = \"env:PROXY_SECRET\"\n\
         audience = \"us\"\nheader = \"X-Caller\"\n",
    );
    let proxy = settings.unwrap().auth.proxy.unwrap();
    assert_eq!((&*proxy.header, &*proxy.audience), ("x-caller", "us"));
    assert!(proxy.is_proxy("10.9.9.9".parse().unwrap()));
    assert!(proxy.is_proxy("fd00::7".parse().unwrap()));
    assert!(!proxy.is_proxy("fd00::8".parse().unwrap()));
    let settings = load(
        "[server]\npublic_url = \"https://mcp.example.com/\"\n[auth.proxy]\npeers = [\"10.0.0.1\"]\n\
         key = \"env:PROXY_SECRET\"",
    );
    let proxy = settings.unwrap().auth.proxy.unwrap();
    assert_eq!(proxy.audience, "https://mcp.example.com");
    assert_eq!(proxy.header, "x-switchboard-identity");
    assert!(load("").unwrap().auth.proxy.is_none());
}

#[test]
fn what_would_make_anybody_a_proxy_is_refused() {
    let good = "peers = [\"10.0.0.1\"]\nkey = \"env:PROXY_SECRET\"\naudience = \"us\"\n";
    for (text, expected) in [
        (
            good.replace("10.0.0.1", "0.0.0.0/0"),
            "auth.proxy.peers: \"0.0.0.0/0\" is everywhere: name the networks of your proxies",
        ),
        (
            good.replace("10.0.0.1", "proxy.example.com"),
            "auth.proxy.peers: \"proxy.example.com\" is neither a network nor an address",
        ),
        (
            good.replace("key = \"env:PROXY_SECRET\"\n", ""),
            "peers: need `auth.proxy.key`: whoever can connect from there could claim to be anybody",
        ),
        (
            good.replace("env:PROXY_SECRET", "0123456789abcdef0123456789abcdef"),
            "auth.proxy.key: write where the secret is",
        ),
        (
            good.replace("env:PROXY_SECRET", "env:SHORT"),
            "auth.proxy.key: a shared secret must have at least 32 bytes",
        ),
        (
            good.replace("audience = \"us\"\n", ""),
            "peers: need `auth.proxy.audience` or `server.public_url`",
        ),
        (
            format!("{good}header = \"a b\""),
            "auth.proxy.header: \"a b\" is no name of a header",
        ),
        (
            good.replace("peers = [\"10.0.0.1\"]\n", ""),
            "auth.proxy.key: needs `auth.proxy.peers`",
        ),
    ] {
        let text = format!("[auth.proxy]\n{text}");
        let variables = [SECRET, ("SHORT", "hunter2")];
        let complaint = load_text(&text, &variables, &Overrides::default()).unwrap_err();
        assert!(complaint.contains(expected), "{text}: {complaint}");
        assert!(!complaint.contains("hunter2") && !complaint.contains(SECRET.1));
    }
}

#[test]
fn another_key_of_a_proxy_waits_for_the_next_start() {
    let load = |secret| {
        let text = "[auth.proxy]\npeers = [\"10.0.0.1\"]\nkey = \"env:S\"\naudience = \"us\"";
        load_text(text, &[("S", secret)], &Overrides::default()).unwrap()
    };
    let before = load("0123456789abcdef0123456789abcdef");
    let after = load("0123456789abcdef0123456789abcdeF");
    let change = Change::between(&before, &before.gateway, &before.policy, &after);
    assert_eq!(change.at_next_start, ["auth.proxy.key"]);
}
