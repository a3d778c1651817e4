//! What is taken out, what is left alone, and that nothing looked for survives anywhere.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const MOST: usize = 64 * 1024;

fn redactor(rules: &Rules) -> Redactor {
    let key = "11".repeat(31) + "12";
    Redactor::new(rules, &ClusterKeys::from_hex(&[key]).unwrap()).unwrap()
}

/// What becomes of a document, and how often each class was found.
fn redact(rules: &Rules, tool: Option<&str>, document: &Value) -> (Value, Report) {
    let mut report = Report::default();
    let json = RawJson::of(document);
    let text = redactor(rules).document("acme", tool, &json, MOST, &mut report);
    (serde_json::from_str(&text).unwrap(), report)
}

#[track_caller]
fn becomes(before: Value, after: Value) {
    let (found, _) = redact(&Rules::default(), None, &before);
    assert_eq!(found, after, "of {before}");
}

/// The one that knows no tool.
static STRICT: LazyLock<Redactor> = LazyLock::new(|| redactor(&Rules::default()));

fn text(text: &str) -> String {
    let mut report = Report::default();
    STRICT.text("acme", None, text, &mut report).into_owned()
}

#[test]
fn what_stands_under_a_secret_name_is_taken_out_whole() {
    becomes(
        json!({"user": "ann", "Password": "a", "api-key": {"a": [1, "b"]}, "ssn": 5}),
        json!({"user": "ann", "Password": "[key]", "api-key": "[key]", "ssn": "[key]"}),
    );
    becomes(
        json!({"token": null, "secret": true, "passwd": ""}),
        json!({"token": null, "secret": true, "passwd": ""}),
    );
}

#[test]
fn every_class_is_found_in_a_text() {
    for (before, after) in [
        ("write to ann.lee+x@mail.example.org.", "write to [email]."),
        ("jürgen@exämple.de", "[email]"),
        ("call +44 20 7946 0958 now", "call [phone] now"),
        ("(212) 555-0123", "[phone]"),
        ("1-212-555-0123", "[phone]"),
        ("030 12345678", "[phone]"),
        ("0049 30 12345678", "[phone]"),
        ("card 4111 1111 1111 1111, thanks", "card [card], thanks"),
        ("4111-1111-1111-1111", "[card]"),
        ("x378282246310005", "x[card]"),
        ("12 5555555555554444 7", "12 [card] 7"),
        ("GB82 WEST 1234 5698 7654 32 and so on", "[iban] and so on"),
        ("de89370400440532013000", "[iban]"),
        ("ssn 078-05-1120", "ssn [national_id]"),
        ("AB 12 34 56 C", "[national_id]"),
        ("12345678Z", "[national_id]"),
        ("X1234567L", "[national_id]"),
        ("RSSMRA85T10A562S", "[national_id]"),
        ("111.444.777-35", "[national_id]"),
        ("1 85 05 78 006 084 91", "[national_id]"),
        ("from 203.0.113.7:8080", "from [ip]:8080"),
        ("at 203.0.113.7.", "at [ip]."),
        ("[2001:db8::1]:443", "[[ip]]:443"),
        ("fe80::1%eth0", "[ip]%eth0"),
        ("::ffff:203.0.113.7", "[ip]"),
        (
            "postgres://ann:s3c%40ret@db/x",
            "postgres://[credentials]@db/x",
        ),
        ("password=hunter2&next=1", "password=[credentials]&next=1"),
        (
            r#"{"password": "a b c", broken"#,
            r#"{"password": "[credentials]", broken"#,
        ),
        (
            "Authorization: Bearer abc.def",
            "Authorization: Bearer [credentials]",
        ),
        (
            "a -----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY----- b",
            "a [pem] b",
        ),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIB", "[pem]"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "[jwt]"),
        ("mcpk_a1b2c3_0123456789abcdefXYZ_1a2b3c4d", "[api_key]"),
        ("ghp_abcdefghijklmnopqrstuvwxyz012345", "[api_key]"),
        ("AKIAIOSFODNN7EXAMPLE", "[api_key]"),
        ("sk-proj-abcdefghijklmnop1234", "[api_key]"),
        (
            "is q8Zr2LxT9vKw4BnY7cHd3MfP there",
            "is [high_entropy] there",
        ),
        (
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "[high_entropy]",
        ),
    ] {
        assert_eq!(text(before), after, "of {before}");
    }
}

/// A false alarm here makes records useless to whoever reads them.
#[test]
fn what_only_looks_like_it_is_left_alone() {
    for harmless in [
        "",
        "The quick brown fox jumps over the lazy dog.",
        "2026-07-28T10:11:12.345Z",
        "2026-07-28 10:11:12",
        "28.07.2026, 12/31/1999",
        "1785196800000",
        "1785196800",
        "version 1.2.3, v10.0.0.1, 1.2.3.4.5",
        "10:30, 12:30:45",
        "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        "std::io::Result<()> and a::b",
        "getUserById, internationalization, antidisestablishmentarianism",
        "src/main/java/com/example/application/Service.java",
        "https://example.org/docs/2026/07/getting-started-with-the-thing.html?page=2#top",
        "MAX_REQUEST_BODY_BYTES_PER_CONNECTION",
        "the_name_of_a_long_function_in_snake_case",
        "some-very-long-kebab-case-name-of-a-branch",
        "task-runner-of-the-second-kind",
        "4111 1111 1111 1112",
        "order 1234567890123456",
        "room 12, floor 3, 15 people, 1,000,000 bytes",
        "GB83 WEST 1234 5698 7654 32",
        "000-12-3456, 666-12-3456, 123-00-4567",
        "localhost:8000, 127.0.0.1, [::1]",
        "user@localhost, @mention, a @ b",
        "tokens: none of them",
        "100% of 50%off",
        "deadbeef, 0xCAFEBABE",
        "abcdefghijklmnopqrstuvwxyz",
        "SGVsbG8gV29ybGQsIHRoaXM",
        "0.123456789012",
        "1e100, -273.15, 6.02214076e23",
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit",
    ] {
        if harmless.starts_with("tokens:") {
            // A text that assigns something to such a name is not given the benefit of the doubt.
            assert_ne!(text(harmless), harmless);
            continue;
        }
        assert_eq!(text(harmless), harmless);
    }
}

#[test]
fn what_is_encoded_is_found_too() {
    let email = "ann@example.org";
    let inner = json!({"a": [email], "password": "x y"}).to_string();
    becomes(
        json!({"text": inner, "again": json!({ "deep": inner }).to_string()}),
        json!({
            "text": r#"{"a":["[email]"],"password":"[key]"}"#,
            "again": json!({"deep": r#"{"a":["[email]"],"password":"[key]"}"#}).to_string(),
        }),
    );
    let in_base64 = STANDARD.encode(format!("mail for {email}"));
    assert_eq!(text(&format!("a {in_base64} b")), "a [email] b");
    assert_eq!(text(&format!("x={in_base64}")), "x=[email]");
    let in_json = URL_SAFE_NO_PAD.encode(r#"{"a":1,"password":"hunter2"}"#);
    assert!(!text(&format!("/p/{in_json}/q")).contains(&in_json));
    assert_eq!(
        text("crm://people?mail=ann%40example.org&page=%31"),
        "crm://people?mail=[email]&page=%31"
    );
    // Escapes of JSON hide nothing, nor does what is no text at all.
    let mut report = Report::default();
    let escaped =
        RawJson::from_valid(r#"["\u0061nn\u0040example.org","\ud800 ann\u0040example.org"]"#);
    let found = redactor(&Rules::default()).document("acme", None, &escaped, MOST, &mut report);
    assert_eq!(found, "[\"[email]\",\"\u{fffd}\"]");
}

#[test]
fn names_and_numbers_are_looked_at_like_texts() {
    becomes(
        json!({"ann@example.org": 4_111_111_111_111_111_u64, "n": 12_345_678_901_u64}),
        json!({"[email]": "[card]", "n": 12_345_678_901_u64}),
    );
}

#[test]
fn pointers_take_out_what_they_lead_to_wherever_a_document_begins() {
    let rules = Rules {
        tools: BTreeMap::from([(
            "crm.get".to_owned(),
            vec!["/customer/name".to_owned(), "/rows/*/born".to_owned()],
        )]),
        ..Rules::default()
    };
    let row = json!({"customer": {"name": "Ann", "city": "Ulm"}, "rows": [{"born": 1970, "x": 1}]});
    let clean = json!({
        "customer": {"name": "[pointer]", "city": "Ulm"},
        "rows": [{"born": "[pointer]", "x": 1}],
    });
    let (found, report) = redact(&rules, Some("crm.get"), &row);
    assert_eq!(found, clean);
    assert_eq!(report.of(Class::Pointer), 2);
    let result =
        json!({"content": [{"type": "text", "text": row.to_string()}], "structuredContent": row});
    let (found, _) = redact(&rules, Some("crm.get"), &result);
    assert_eq!(found["structuredContent"], clean);
    let inner: Value = serde_json::from_str(found["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(inner, clean);
    let (found, _) = redact(&rules, Some("crm.put"), &row);
    assert_eq!(found, row, "of another tool");
}

#[test]
fn each_action_does_what_it_is_called() {
    let document =
        json!({"a": "ann@example.org", "token": "x", "b": ["bob@example.org", "ann@example.org"]});
    let of = |action| {
        let rules = Rules {
            action,
            ..Rules::default()
        };
        redact(&rules, None, &document).0
    };
    assert_eq!(of(Action::Drop), json!({"a": "", "b": ["", ""]}));
    let tokens = of(Action::Token);
    assert_eq!(tokens["a"], tokens["b"][1], "equal values stay equal");
    assert_ne!(tokens["a"], tokens["b"][0]);
    assert!(tokens["a"].as_str().unwrap().starts_with("[email:"));
    let sealed = of(Action::Encrypt);
    let token = sealed["a"].as_str().unwrap();
    let token = token
        .strip_prefix("[email!")
        .unwrap()
        .strip_suffix(']')
        .unwrap();
    let key = "11".repeat(31) + "12";
    let seal = ClusterKeys::from_hex(&[key])
        .unwrap()
        .seal("audit redaction");
    assert_eq!(seal.open(b"acme", token).unwrap(), b"ann@example.org");
}

#[test]
fn what_is_kept_is_kept_in_known_tools_only() {
    let rules = Rules {
        actions: BTreeMap::from([("ip", Action::Keep), ("key", Action::Keep)]),
        tools: BTreeMap::from([("net.ping".to_owned(), vec![])]),
        ..Rules::default()
    };
    let document = json!({"host": "203.0.113.7", "mail": "a@example.org", "token": "x"});
    let (found, _) = redact(&rules, Some("net.ping"), &document);
    assert_eq!(
        found,
        json!({"host": "203.0.113.7", "mail": "[email]", "token": "x"})
    );
    let (found, _) = redact(&rules, Some("net.other"), &document);
    assert_eq!(
        found,
        json!({"host": "[ip]", "mail": "[email]", "token": "[key]"})
    );
}

#[test]
fn what_is_too_large_is_cut_between_values() {
    let redactor = redactor(&Rules::default());
    let long = "x y ".repeat(100);
    let json = RawJson::of(&json!({"a": ["short", long, "never"], "b": 1}));
    let mut report = Report::default();
    let text = redactor.document("acme", None, &json, 200, &mut report);
    assert_eq!(text, r#"{"a":["short","[cut]"]}"#);
    assert_eq!(report.to_string(), r#""cut":1"#);
}

#[test]
fn wrong_rules_are_said() {
    let keys = ClusterKeys::generate();
    let wrong = Rules {
        keys: vec!["(".to_owned()],
        ..Rules::default()
    };
    assert!(matches!(
        Redactor::new(&wrong, &keys),
        Err(RulesError::Key(_))
    ));
    let wrong = Rules {
        tools: BTreeMap::from([("t".to_owned(), vec!["a".to_owned()])]),
        ..Rules::default()
    };
    let error = Redactor::new(&wrong, &keys).unwrap_err();
    assert!(error.to_string().contains("\"a\" is no pointer"), "{error}");
}

const CANARIES: [&str; 12] = [
    "canary.one@mail.example.org",
    "+1 415 555 0132",
    "5105 1051 0510 5100",
    "4012888888881881",
    "DE44500105175407324931",
    "219-09-9999",
    "198.51.100.77",
    "2001:db8:85a3::8a2e:370:7334",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJjYW5hcnkifQ.c2ln",
    "mcpk_c4n4ry_5Kd8sJq2LwX7vB1nRt9Ym3Zp_0a1b2c3d",
    "ghp_c4n4ryc4n4ryc4n4ryc4n4ry0123",
    "Zk8qL2xV9rT4wN7bH3mYc6Pd",
];
const WORDS: [&str; 10] = [
    "the", "order", "of", "12", "v2", "ok:", "naïve", "(x)", "—", "a/b",
];
const PARTS: [&str; 6] = [" ", ", ", "\n", "\t", "; ", " \u{3000}"];

/// Where a canary is put.
#[derive(Clone, Debug)]
enum Wrap {
    Element,
    Member,
    Name,
    Text,
    Document,
    Base64,
    Uri,
    SecretName,
}

fn wraps() -> impl Strategy<Value = Wrap> {
    prop_oneof![
        Just(Wrap::Element),
        Just(Wrap::Member),
        Just(Wrap::Name),
        Just(Wrap::Text),
        Just(Wrap::Document),
        Just(Wrap::Base64),
        Just(Wrap::Uri),
        Just(Wrap::SecretName),
    ]
}

fn hidden(text: String, how: &Wrap) -> Value {
    match how {
        Wrap::Element => json!([1, text, null]),
        Wrap::Member => json!({"a": 1, "b": text}),
        Wrap::Name => json!({ text: 0 }),
        Wrap::Text => json!(text),
        Wrap::Document => json!(json!({ "inner": [text] }).to_string()),
        Wrap::Base64 => json!(format!("see {}", STANDARD.encode(text))),
        Wrap::Uri => {
            let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
            json!(format!("https://example.org/x?q={encoded}&r=1"))
        }
        Wrap::SecretName => json!({"nested": {"client_secret": {"v": text}}}),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    /// Base64 and percent-encoding are looked through once, so at most one of them is put on.
    #[test]
    fn no_canary_survives_wherever_it_is_put(
        canary in 0..CANARIES.len(),
        before in 0..WORDS.len(),
        after in 0..WORDS.len(),
        parts in (0..PARTS.len(), 0..PARTS.len()),
        how in wraps(),
        around in 0..3_usize,
    ) {
        let canary = CANARIES[canary];
        let text = format!(
            "{}{}{canary}{}{}", WORDS[before], PARTS[parts.0], PARTS[parts.1], WORDS[after]
        );
        let encoded = match how {
            Wrap::Base64 => STANDARD.encode(&text),
            Wrap::Uri => form_urlencoded::byte_serialize(canary.as_bytes()).collect(),
            _ => canary.to_owned(),
        };
        let mut document = hidden(text, &how);
        for _ in 0..around {
            document = json!({"content": [{"type": "text", "text": document.to_string()}]});
        }
        let json = RawJson::of(&document);
        prop_assert!(json.as_str().contains(canary) || encoded != canary || json.as_str().contains('\\'));
        let mut report = Report::default();
        let clean = STRICT.document("acme", None, &json, MOST, &mut report);
        prop_assert!(!clean.contains(canary) && !clean.contains(&encoded), "{clean}");
        prop_assert!(!report.is_empty());
    }

    /// So that nothing without a capital has to be decoded.
    #[test]
    fn what_is_found_has_capitals_in_its_base64(
        found in "[a-z]{1,9}@[a-z]{2,9}[.]com|(ssn|token|password)[=:][a-z0-9]{8,20}|[0-9 ]{9,20}",
        before in "[a-z ]{0,3}",
    ) {
        let encoded = STANDARD.encode(format!("{before}{found}"));
        prop_assert!(encoded.bytes().any(|byte| byte.is_ascii_uppercase()), "{encoded}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Whatever comes in: text that is JSON comes out, and nothing panics.
    #[test]
    fn a_document_stays_one(text in ".{0,60}", bytes in "[\\[\\]{}\",:0-9a\\\\ ]{0,40}", most in 0..100_usize) {
        let document = json!({"a": [text.clone(), {"b": bytes.clone()}], text.clone(): bytes.clone()});
        let mut report = Report::default();
        let clean = STRICT.document("acme", None, &RawJson::of(&document), most, &mut report);
        prop_assert!(serde_json::from_str::<Value>(&clean).is_ok(), "{clean}");
        // Not JSON: no promise but to end.
        let _any = STRICT.document("acme", None, &RawJson::from_valid(bytes), most, &mut report);
        let _any = STRICT.text("acme", None, &text, &mut report);
    }
}
