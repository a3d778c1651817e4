//! The scan against every rule, and against `serde_json` on damaged documents.

use std::collections::HashSet;

use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::*;

/// What is wanted in these tests.
static ROOT: Wanted = Wanted::object(
    "",
    0,
    &[
        Wanted::whole("a", 1),
        Wanted::object("b", 2, &[Wanted::whole("a", 3), Wanted::whole("c", 4)]),
    ],
);

fn scan(text: impl AsRef<[u8]>) -> Result<Shape, PrescanError> {
    scan_within(&Limits::default(), text)
}

fn scan_within(limits: &Limits, bytes: impl AsRef<[u8]>) -> Result<Shape, PrescanError> {
    let text = text(Bytes::copy_from_slice(bytes.as_ref()))?;
    prescan(&text, limits, &ROOT).map(|(shape, _)| shape)
}

#[track_caller]
fn refused_as_syntax(text: impl AsRef<[u8]>, at: usize) {
    match scan(&text) {
        Err(PrescanError::Syntax { at: found, .. }) if found == at => {}
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(text.as_ref())),
    }
}

#[test]
fn documents_have_a_shape() {
    for text in [
        "[]",
        r#"[{"a":1},{"a":2},[true,false,null,"",{}],[[]]]"#,
        r#"["\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00é😀"]"#,
        "[0,-0,10,-1.5,0.25,1e5,1E+5,1.0e-5,1e999999,123456789012345678901]",
    ] {
        assert_eq!(scan(text), Ok(Shape::Array), "{text}");
        let whole = format!("\t{{ \"a\" : {text} ,\r\n\"b\":{{\"a\":null}}}} ");
        assert_eq!(scan(&whole), Ok(Shape::Object), "{whole}");
    }
}

#[test]
fn an_outline_says_where_the_wanted_values_are() {
    for (text, found) in [
        ("{}", [None; 4]),
        (
            r#"{"a":1,"b":{"c":[1,{"a":2}],"a":{"c":3}},"c":4}"#,
            [
                Some("1"),
                Some(r#"{"c":[1,{"a":2}],"a":{"c":3}}"#),
                Some(r#"{"c":3}"#),
                Some(r#"[1,{"a":2}]"#),
            ],
        ),
        (
            r#" { "\u0062" : { "\u0063" : "x" } , "a" : null } "#,
            [
                Some("null"),
                Some(r#"{ "\u0063" : "x" }"#),
                None,
                Some(r#""x""#),
            ],
        ),
        (
            r#"{"b":[{"a":1}],"d":{"a":1}}"#,
            [None, Some(r#"[{"a":1}]"#), None, None],
        ),
        (r#"[{"a":1}]"#, [None; 4]),
    ] {
        let (_, outline) = prescan(text, &Limits::default(), &ROOT).unwrap();
        assert_eq!(outline.find(text, 0), Some(text.trim()), "{text}");
        let places = [1, 2, 3, 4].map(|place| outline.find(text, place));
        assert_eq!(places, found, "{text}");
        // The same value, found in the part that holds it.
        if let Some(part) = outline.find(text, 2) {
            let outline = outline.of_part(part.as_ptr().addr() - text.as_ptr().addr());
            assert_eq!(outline.find(part, 2), Some(part), "{text}");
            assert_eq!(outline.find(part, 3), found[2], "{text}");
            assert_eq!(outline.find(part, 4), found[3], "{text}");
        }
    }
}

#[test]
fn a_key_that_some_would_read_as_a_wanted_one_is_refused_where_that_is_wanted() {
    for text in [
        r#"{"A":1}"#,
        r#"{"a":1,"A":2}"#,
        r#"{"\u0041":1}"#,
        r#"{"b":{"C":1}}"#,
        r#"{"x":1,"b":{"a":{},"A":{}}}"#,
    ] {
        let refused = scan(text);
        let is_refused = matches!(refused, Err(PrescanError::SpelledAlike { .. }));
        assert!(is_refused, "{text} {refused:?}");
    }
    for text in [
        r#"{"C":1}"#,
        r#"{"a":{"A":1}}"#,
        r#"{"x":{"A":1}}"#,
        r#"[{"A":1}]"#,
    ] {
        assert!(scan(text).is_ok(), "{text}");
    }
}

#[test]
fn what_is_not_json_is_refused_where_it_stops_being_json() {
    for (text, at) in [
        ("", 0),
        ("  ", 2),
        ("{", 1),
        ("[", 1),
        ("}", 0),
        ("[1", 2),
        ("[1,", 3),
        ("[1,]", 3),
        ("[,1]", 1),
        ("[1 2]", 3),
        ("[}", 1),
        ("{]", 1),
        ("[1}", 2),
        (r#"{"a"}"#, 4),
        (r#"{"a":}"#, 5),
        (r#"{"a":1,}"#, 7),
        (r#"{"a":1]"#, 6),
        ("{a:1}", 1),
        ("{'a':1}", 1),
        ("{1:1}", 1),
        ("{} {}", 3),
        ("{}x", 2),
        ("[nul]", 1),
        ("[True]", 1),
        ("[truex]", 5),
        ("[NaN]", 1),
        ("[01]", 2),
        ("[-]", 2),
        ("[+1]", 1),
        ("[.5]", 1),
        ("[1.]", 3),
        ("[1.e5]", 3),
        ("[1e]", 3),
        ("[1e+]", 4),
        ("[0x10]", 2),
        ("[1]//", 3),
        (r#"["a]"#, 4),
        (r#"["\x"]"#, 2),
        (r#"["\u12g4"]"#, 2),
        (r#"["\u12"#, 2),
        (r#"["\"#, 2),
        ("[\"12345678\n\"]", 10),
        ("[\"\u{1f}\"]", 2),
        ("{\"\0\":1}", 2),
        ("[1]\u{c}", 3),
        ("[1]\u{a0}", 3),
    ] {
        refused_as_syntax(text, at);
    }
}

#[test]
fn a_byte_order_mark_is_refused() {
    refused_as_syntax("\u{feff}{}", 0);
}

#[test]
fn lone_surrogates_are_refused() {
    for text in [
        r#"["\ud800"]"#,
        r#"["\udc00"]"#,
        r#"["\ud800x"]"#,
        r#"["\ud800\n"]"#,
        r#"["\ud800\ud800"]"#,
        r#"["\udc00\ud800"]"#,
        r#"["\udc00\udc00"]"#,
        r#"{"\udfff":1}"#,
    ] {
        refused_as_syntax(text, 2);
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    for (text, at) in [
        (&b"[\"\xff\"]"[..], 2),
        (b"[\"\xc0\xaf\"]", 2),
        (b"[\"ab\xe4\xb8\"]", 4),
        (b"[\"\xed\xa0\x80\"]", 2),
        (b"{}\x80", 2),
    ] {
        assert_eq!(scan(text), Err(PrescanError::NotUtf8 { at }), "{text:?}");
    }
}

#[test]
fn scalars_at_the_top_are_json_but_refused() {
    for text in ["1", " null ", "\"a\"", "true", "-0.5e1"] {
        assert_eq!(scan(text), Err(PrescanError::NotAnObject), "{text}");
    }
    refused_as_syntax("nul", 0);
    refused_as_syntax("1 2", 2);
}

#[test]
fn depth_counts_objects_and_arrays() {
    let limits = Limits {
        depth: 3,
        ..Limits::default()
    };
    for (text, is_taken) in [
        ("[[[]],[[]]]", true),
        (r#"{"a":[{}]}"#, true),
        ("[[[[]]]]", false),
        (r#"{"a":[{"b":{}}]}"#, false),
    ] {
        let expected = Err(PrescanError::TooDeep { max: 3 });
        let found = scan_within(&limits, text);
        assert_eq!(found.is_ok(), is_taken, "{text}");
        assert!(is_taken || found == expected, "{text}");
    }
    let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(scan(nested(64)), Ok(Shape::Array));
    assert_eq!(scan(nested(65)), Err(PrescanError::TooDeep { max: 64 }));
}

#[test]
fn members_count_across_the_document() {
    let limits = Limits {
        members: 4,
        ..Limits::default()
    };
    for (text, is_taken) in [
        (r#"{"a":[1,2],"b":3}"#, true),
        ("[[],[],[[]]]", true),
        (r#"{"a":[1,2],"b":[3]}"#, false),
        ("[1,2,3,4,5]", false),
    ] {
        let expected = Err(PrescanError::TooManyMembers { max: 4 });
        let found = scan_within(&limits, text);
        assert_eq!(found.is_ok(), is_taken, "{text}");
        assert!(is_taken || found == expected, "{text}");
    }
}

#[test]
fn no_object_names_a_key_twice() {
    for (text, key) in [
        (r#"{"a":1,"a":2}"#, "a"),
        (r#"{"":1,"":2}"#, ""),
        (r#"{"a":1,"\u0061":2}"#, "a"),
        (r#"{"\n":1,"\u000A":2}"#, "\\n"),
        (r#"{"/":1,"\/":2}"#, "/"),
        (r#"{"😀":1,"\ud83d\ude00":2}"#, "😀"),
        (r#"[{"x":{"b":1,"c":{},"b":2}}]"#, "b"),
        (r#"{"a":{"b":1},"b":{"c":1},"a":2}"#, "a"),
    ] {
        let key = key.to_owned();
        assert_eq!(
            scan(text),
            Err(PrescanError::DuplicateKey { key }),
            "{text}"
        );
    }
    for text in [
        r#"{"x":1,"X":2,"x ":3,"\\u0078":4}"#,
        r#"{"a":{"a":1},"b":{"a":1}}"#,
        r#"{"\u00e9":1,"e\u0301":2}"#,
    ] {
        assert_eq!(scan(text), Ok(Shape::Object), "{text}");
    }
}

#[test]
fn repeated_keys_are_found_in_objects_of_any_size() {
    for size in [1, 2, 15, 16, 17, 31, 32, 33, 100, 5_000] {
        for escape in ["", "\\t"] {
            let mut keys: Vec<_> = (0..size).map(|n| format!("\"{escape}{n}\":[]")).collect();
            assert_eq!(
                scan(format!("{{{}}}", keys.join(","))),
                Ok(Shape::Object),
                "{size}"
            );
            keys.push(format!("\"{escape}{}\":1", size / 2));
            let found = scan(format!("{{\"outer\":{{{}}}}}", keys.join(",")));
            assert!(
                matches!(found, Err(PrescanError::DuplicateKey { .. })),
                "{size}"
            );
        }
    }
}

#[test]
fn texts_complete_a_sentence_and_repeat_little() {
    let text = |body: &str| scan(body).unwrap_err().to_string();
    assert_eq!(
        text("[1,]"),
        "is not valid JSON at byte 3: expected a value"
    );
    let key = "\u{202e}".repeat(1_000);
    let twice = text(&format!(r#"{{"{key}":1,"{key}":2}}"#));
    assert_eq!(
        twice,
        r"has an object with the key `\u{202e}\u{202e}\u{202e}\u{202e…` twice"
    );
}

/// Not timed: with anything quadratic this test would run for hours.
#[test]
fn hostile_bodies_take_linear_time() {
    let limits = Limits {
        depth: usize::MAX,
        members: usize::MAX,
    };
    let many =
        |item: &dyn Fn(usize) -> String| (0..200_000).map(item).collect::<Vec<_>>().join(",");
    let prefix = "p".repeat(40);
    for body in [
        format!("{{{}}}", many(&|n| format!("\"{n}\":0"))),
        format!("{{{}}}", many(&|n| format!("\"{prefix}{n:06}\":0"))),
        format!("{{{}}}", many(&|n| format!("\"\\u0061{n}\":0"))),
        format!("[{}]", many(&|_| "{\"\\n\":{}}".to_owned())),
        format!("[\"{}\"]", "\\ud83d\\ude00\\\"".repeat(500_000)),
        "{\"a\":[".repeat(500_000) + &"]}".repeat(500_000),
    ] {
        assert!(scan_within(&limits, &body).is_ok());
        assert!(scan_within(&limits, &body[..body.len() - 1]).is_err());
    }
}

/// The members of an object in order, repeated ones too.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Whether text that `serde_json` takes breaks a rule which only we have.
fn breaks_our_rules(raw: &RawValue) -> bool {
    match raw.get().as_bytes()[0] {
        b'{' => serde_json::from_str(raw.get()).map_or(true, |Members(members)| {
            let keys: HashSet<_> = members.iter().map(|(key, _)| key).collect();
            keys.len() < members.len() || members.iter().any(|(_, raw)| breaks_our_rules(raw))
        }),
        b'[' => serde_json::from_str::<Vec<&RawValue>>(raw.get())
            .is_ok_and(|elements| elements.into_iter().any(breaks_our_rules)),
        b'"' => serde_json::from_str::<String>(raw.get()).is_err(),
        _ => false,
    }
}

#[track_caller]
fn agrees_with_serde_json(body: &[u8]) {
    let shown = String::from_utf8_lossy(body);
    match (scan(body), serde_json::from_slice::<&RawValue>(body)) {
        (Ok(shape), Ok(raw)) => {
            assert!(!breaks_our_rules(raw), "taken: {shown}");
            let is_object = raw.get().starts_with('{');
            assert_eq!(shape == Shape::Object, is_object, "{shown}");
        }
        (Err(PrescanError::NotAnObject), Ok(raw)) => {
            assert!(!raw.get().starts_with(['{', '[']), "{shown}");
        }
        (Err(PrescanError::TooDeep { .. } | PrescanError::SpelledAlike { .. }), _) => {}
        (Err(_), Ok(raw)) => assert!(breaks_our_rules(raw), "refused: {shown}"),
        (Ok(_) | Err(PrescanError::NotAnObject), Err(error)) => panic!("{error}: {shown}"),
        (Err(_), Err(_)) => {}
    }
}

/// 16 of each, between spaces.
const SCALARS: &str = r#"0 -1 12.50 1e9 -0.1E-7 true false null "" "plain" "\u0041\n\\"
    "\ud83d\ude00" "\ud800" "世界" [] {}"#;
const KEYS: &str = r#""a" "\u0061" "b" "jsonrpc" "method" "params" "rather_a_long_key" "\n"
    "\u000a" "é" "\u00e9" "\ud83d\ude00" "😀" "" "\\u0061" "id""#;
const SPACES: [&str; 8] = ["", "", "", "", "", " ", "\n\t", " \r "];

/// Writes the JSON value that `choices` stands for.
fn write_value(choices: &mut impl Iterator<Item = u8>, depth: usize, text: &mut String) {
    let choice = usize::from(choices.next().unwrap_or(0));
    text.push_str(SPACES[choice >> 5]);
    let kind = if depth == 0 { choice % 2 } else { choice % 4 };
    if depth > 5 || kind > 1 {
        text.extend(SCALARS.split_whitespace().nth(choice / 4 % 16));
    } else {
        text.push(['{', '['][kind]);
        for member in 0..choices.next().unwrap_or(0) % 5 {
            text.push_str(if member > 0 { "," } else { "" });
            if kind == 0 {
                let key = usize::from(choices.next().unwrap_or(0));
                text.push_str(SPACES[key >> 5]);
                text.extend(KEYS.split_whitespace().nth(key % 16));
                text.push(':');
            }
            write_value(choices, depth + 1, text);
        }
        text.push(['}', ']'][kind]);
    }
    text.push_str(SPACES[(choice >> 2) % 8]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60_000))]

    #[test]
    fn agrees_with_serde_json_on_documents_and_damaged_ones(
        choices in prop::collection::vec(any::<u8>(), 1..48),
        damage in prop::collection::vec((any::<u16>(), 0..4u8, any::<u8>()), 0..4),
    ) {
        let mut text = String::new();
        write_value(&mut choices.into_iter(), 0, &mut text);
        let mut body = text.into_bytes();
        for (at, kind, byte) in damage {
            let at = usize::from(at) % body.len().max(1);
            let byte = if kind == 0 { byte } else { b"{}[]\",:\\ud80e.-+\0 "[usize::from(byte) % 18] };
            match kind {
                0 | 1 if at < body.len() => body[at] = byte,
                2 if at < body.len() => drop(body.remove(at)),
                _ => body.insert(at, byte),
            }
        }
        agrees_with_serde_json(&body);
    }

    #[test]
    fn agrees_with_serde_json_on_token_soup(tokens in prop::collection::vec(0..24usize, 0..12)) {
        let known = "{ } [ ] \" : , \"a\": \"\\u0061\": {\"b\": [1, \\ 0 - .5 e1 true nul \"x\" é \u{1} \u{feff} \u{7f} []";
        let body: String = tokens.iter().filter_map(|at| known.split(' ').nth(*at)).collect();
        agrees_with_serde_json(body.as_bytes());
    }
}
