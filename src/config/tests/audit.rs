//! The audit: nothing unless it is asked for, and what can be wrong with it.

use super::*;
use crate::audit::redact::Action;
use crate::audit::{Keep, OnFailure, Payloads, Sink};

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn nothing_is_recorded_unless_somebody_says_where() {
    assert_eq!(load_file("").unwrap().audit, None);
    assert_eq!(load_file("[audit]\npayloads = 'off'").unwrap().audit, None);
    let audit = load_file("audit.sink = 'file:./audit'").unwrap().audit;
    let audit = audit.unwrap();
    assert_eq!(audit.sink, Sink::Directory);
    assert_eq!(audit.on_failure, OnFailure::Closed);
    assert_eq!(audit.retention.of("anybody"), Some(Keep::default()));
    let data = PathBuf::from("./switchboard-data/audit");
    assert_eq!(audit.places.records, PathBuf::from("./audit"));
    assert_eq!(audit.places.checkpoints, data.join("checkpoints"));
    assert_eq!(audit.places.vault, data.join("vault"));
    // What holds without a word is what the audit itself takes for granted.
    let default = crate::audit::Config::in_directory(audit.places.clone());
    assert_eq!(audit, default);
}

#[test]
fn every_key_of_the_audit_can_be_written() {
    let text = r#"
        [audit]
        sink = "stdout"
        on_failure = "open"
        patience = "1s"
        checkpoints = "/c"
        vault = "/v"
        segment_size = "1MiB"
        segment_age = "1h"
        payloads = "off"
        max_payload = "1KiB"
        [audit.redaction]
        action = "token"
        actions = { email = "drop", ip = "keep" }
        keys = ["(?i)pin"]
        [audit.redaction.tools."crm.get"]
        pointers = ["/customer/*"]
        [audit.retention]
        metadata = "10d"
        payloads = "2d"
        security = "2000d"
        legal_hold = ["acme"]
        [audit.retention.tenants.globex]
        payloads = "1d"
    "#;
    let audit = load_file(text).unwrap().audit.unwrap();
    assert_eq!(
        (audit.sink, audit.on_failure),
        (Sink::Stdout, OnFailure::Open)
    );
    assert_eq!(audit.payloads, Payloads::Off);
    assert_eq!((audit.segment_size, audit.payload_max), (1 << 20, 1 << 10));
    assert_eq!(audit.rules.action, Action::Token);
    assert_eq!(audit.rules.actions["email"], Action::Drop);
    assert_eq!(audit.rules.tools["crm.get"], ["/customer/*"]);
    assert_eq!(audit.retention.of("acme"), None);
    let globex = audit.retention.of("globex").unwrap();
    assert_eq!((globex.metadata, globex.payloads), (DAY * 10, DAY));
    assert_eq!(audit.retention.of("other").unwrap().security, DAY * 2_000);
}

#[test]
fn what_is_wrong_with_the_audit_is_said() {
    check(
        r#"[audit]
sink = "syslog"
[audit.redaction]
action = "hide"
actions = { emails = "mask" }
keys = ["("]
"#,
        &[
            r#"switchboard.toml:2: audit.sink: "syslog" is not "file:DIRECTORY" or "stdout""#,
            r#"switchboard.toml:4: audit.redaction.action: "hide" is no action; there are: drop, mask, token, encrypt, keep"#,
            r#"switchboard.toml:5: audit.redaction.actions: "emails" is nothing that is looked for; there are: pointer, key, credentials, pem, jwt, api_key, card, iban, national_id, email, phone, ip, high_entropy"#,
            "switchboard.toml:6: audit.redaction.keys: cannot be read as a pattern: regex parse error:     (     ^ error: unclosed group",
        ],
    );
    check(
        "audit.sink = 'stdout'\nstore.url = 'memory:'",
        &[
            "switchboard.toml:1: audit.sink: needs `cluster.keys` with a store in memory, which makes a \
             key that ends with the process: nobody could read these records later",
        ],
    );
    check(
        r#"[audit]
sink = "file:./a"
checkpoints = "./a"
redaction.tools.get.pointers = ["a"]
retention.payloads = "500d"
"#,
        &[
            "switchboard.toml:3: audit.checkpoints: `audit.checkpoints` must be another directory than that of `audit.sink`",
            r#"switchboard.toml:4: audit.redaction.tools.get.pointers: "a" is no pointer: write "/" before each step, as in "/customer/iban""#,
            "switchboard.toml:5: audit.retention.payloads: `audit.retention.payloads` (500d) must be at most `audit.retention.metadata` (400d): they go with it",
        ],
    );
    check(
        r#"[audit.retention]
metadata = "10d"
legal_hold = ["acme", "", "*"]
tenants."".payloads = "1d"
"#,
        &[
            "switchboard.toml:2: audit.retention.metadata: `audit.retention.payloads` (30d) must be at most `audit.retention.metadata` (10d): they go with it",
            "switchboard.toml:3: audit.retention.legal_hold[1]: is empty: no caller is of such a tenant",
            "switchboard.toml:3: audit.retention.legal_hold[2]: is no pattern: tenants are named one by one, without `*`",
            "switchboard.toml:4: audit.retention.tenants.\"\": is empty: no caller is of such a tenant",
        ],
    );
}

#[test]
fn the_vault_lies_in_no_other_place_of_the_audit_nor_around_one() {
    let refused = |written: &str, at: &str, vault: &str, of: &str| {
        let complaint = format!(
            "switchboard.toml:{at}: `audit.vault` ({vault}) must be a directory of its own, neither in \
             that of `{of}` nor around it: a copy of that would have the keys of whoever is \
             erased later"
        );
        check(written, &[&complaint]);
    };
    let with = |vault: &str| {
        format!("[audit]\nsink = 'file:./audit'\ncheckpoints = '/c/of'\nvault = {vault:?}")
    };
    let here = std::env::current_dir().unwrap();
    let below = here.join("audit/keys");
    let [here, below] = [&here, &below].map(|path| path.to_str().unwrap());
    for vault in ["audit", "./audit/", "a/../audit/./keys", ".", here, below] {
        refused(&with(vault), "4: audit.vault", vault, "audit.sink");
    }
    for vault in ["/c/of", "/c", "/c/of/vault", "/c/x/../of"] {
        refused(&with(vault), "4: audit.vault", vault, "audit.checkpoints");
    }
    for vault in ["/c/office", "audit-vault", "/c/of/../vault"] {
        check(&with(vault), &[]);
    }
    // That which nobody wrote is where it is: the others must not be around it.
    let sink = "audit.sink = 'file:./switchboard-data'";
    let vault = "./switchboard-data/audit/vault";
    refused(sink, "1: audit.sink", vault, "audit.sink");
    check("audit.sink = 'stdout'\naudit.checkpoints = 'c'", &[]);
}
