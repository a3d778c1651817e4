//! Annotations and headers against every rule.

use proptest::prelude::*;
use serde_json::{Map, json};

use super::annotation::DEPTH_MAX;
use super::*;
use crate::protocol::headers::PARAM_PREFIX;
use crate::protocol::jsonrpc::SAFE_INTEGER_MAX;

fn params(schema: Value) -> HeaderParams {
    HeaderParams::from_schema(&schema).unwrap().unwrap()
}

fn error(schema: Value) -> AnnotationError {
    HeaderParams::from_schema(&schema).unwrap_err()
}

#[test]
fn annotations_are_found_along_properties() {
    let found = params(json!({"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "plain": {"type": "string"},
        "place": {"type": "object", "properties": {
            "level": {"type": "integer", "x-mcp-header": "X_Level"},
            "properties": {"type": "boolean", "x-mcp-header": "p"},
        }},
    }}));
    let found: Vec<_> = found
        .iter()
        .map(|param| (&*param.header, param.path.join("."), param.kind))
        .collect();
    assert_eq!(
        found,
        [
            (
                "mcp-param-x_level",
                "place.level".to_owned(),
                ParamType::Integer
            ),
            (
                "mcp-param-p",
                "place.properties".to_owned(),
                ParamType::Boolean
            ),
            ("mcp-param-region", "region".to_owned(), ParamType::String),
        ]
    );
}

#[test]
fn annotations_are_taken_out_and_nothing_else() {
    let schema = r#"{"type":"object","x-mcp-header":7,"properties":{
        "x-mcp-header":{"type":"string","x-mcp-header":"A B"},
        "n":{"x-mcp-header":"N","type":"number","maximum":1.50,"default":{"x-mcp-header":1}}},
        "oneOf":[{"properties":{"b":{"x-mcp-header":"B"}}},true]}"#;
    let left = r#"{"type":"object","properties":{
        "x-mcp-header":{"type":"string"},
        "n":{"type":"number","maximum":1.50,"default":{"x-mcp-header":1}}},
        "oneOf":[{"properties":{"b":{}}},true]}"#;
    let taken_out = without_annotations(schema);
    assert_eq!(taken_out, left.replace("\n        ", ""));
    let taken_out = serde_json::from_str(&taken_out).unwrap();
    assert_eq!(HeaderParams::from_schema(&taken_out), Ok(None));
}

#[test]
fn names_and_data_are_no_annotations() {
    let data = json!({"x-mcp-header": "a"});
    for schema in [
        json!({}),
        json!(true),
        json!({"type": "object", "properties": {"a": {"type": "string"}}}),
        json!({"properties": {"x-mcp-header": {"type": "number"}}}),
        json!({"properties": {"x-mcp-header": "a"}}),
        json!({"properties": {"a": {"properties": {"x-mcp-header": {"type": "array"}}}}}),
        json!({"items": {"properties": {"x-mcp-header": true}}}),
        json!({"$defs": {"x-mcp-header": {}}, "patternProperties": {"x-mcp-header": {}}}),
        json!({"dependentRequired": {"x-mcp-header": ["a"]}, "required": ["x-mcp-header"]}),
        json!({"const": data, "default": data, "enum": [data], "examples": [data]}),
        json!({"properties": {"a": {"default": data}, "b": {"items": {"const": data}}}}),
    ] {
        assert_eq!(HeaderParams::from_schema(&schema), Ok(None), "{schema}");
    }
}

#[test]
fn annotations_anywhere_else_are_refused() {
    let inner = json!({"type": "string", "x-mcp-header": "a"});
    for (schema, at) in [
        (inner.clone(), "#"),
        (json!({"items": inner}), "#/items"),
        (json!({"prefixItems": [{}, inner]}), "#/prefixItems/1"),
        (json!({"oneOf": [inner]}), "#/oneOf/0"),
        (
            json!({"anyOf": [{"properties": {"a": inner}}]}),
            "#/anyOf/0/properties/a",
        ),
        (
            json!({"properties": {"a": {"allOf": [inner]}}}),
            "#/properties/a/allOf/0",
        ),
        (
            json!({"properties": {"a": {"items": inner}}}),
            "#/properties/a/items",
        ),
        (json!({"not": inner}), "#/not"),
        (json!({"if": inner}), "#/if"),
        (
            json!({"then": {"properties": {"a": inner}}}),
            "#/then/properties/a",
        ),
        (json!({"else": inner}), "#/else"),
        (json!({"$defs": {"a": inner}}), "#/$defs/a"),
        (
            json!({"definitions": {"const": inner}}),
            "#/definitions/const",
        ),
        (
            json!({"additionalProperties": inner}),
            "#/additionalProperties",
        ),
        (
            json!({"patternProperties": {"^a/~": inner}}),
            "#/patternProperties/^a~1~0",
        ),
        (
            json!({"dependentSchemas": {"a": inner}}),
            "#/dependentSchemas/a",
        ),
        (json!({"contains": inner}), "#/contains"),
        (json!({"propertyNames": inner}), "#/propertyNames"),
        (
            json!({"unevaluatedProperties": inner}),
            "#/unevaluatedProperties",
        ),
        (json!({"x-unknown": [[inner]]}), "#/x-unknown/0/0"),
    ] {
        let at = at.to_owned();
        assert_eq!(error(schema), AnnotationError::Misplaced { at });
    }
}

#[test]
fn names_are_tokens() {
    let at = || "#/properties/a".to_owned();
    for name in [
        json!(""),
        json!("a b"),
        json!("a:"),
        json!("é"),
        json!("a\n"),
        json!(5),
        json!(null),
    ] {
        let schema = json!({"properties": {"a": {"type": "string", "x-mcp-header": name}}});
        assert_eq!(error(schema), AnnotationError::NotAToken { at: at() });
    }
    params(
        json!({"properties": {"a": {"type": "string", "x-mcp-header": "!#$%&'*+-.^_`|~09azAZ"}}}),
    );
}

#[test]
fn types_are_ones_a_header_carries() {
    let at = || "#/properties/a".to_owned();
    for type_ in [
        json!("number"),
        json!("object"),
        json!("array"),
        json!("null"),
        json!(["string"]),
        json!(null),
    ] {
        let schema = json!({"properties": {"a": {"type": type_, "x-mcp-header": "a"}}});
        assert_eq!(error(schema), AnnotationError::WrongType { at: at() });
    }
    let untyped = json!({"properties": {"a": {"x-mcp-header": "a"}}});
    assert_eq!(error(untyped), AnnotationError::WrongType { at: at() });
}

#[test]
fn names_are_unique_in_any_case() {
    let found = error(json!({"properties": {
        "a": {"type": "string", "x-mcp-header": "Region"},
        "b": {"properties": {"c": {"type": "integer", "x-mcp-header": "rEGION"}}},
    }}));
    let at = "#/properties/b/properties/c".to_owned();
    assert_eq!(found, AnnotationError::NameTaken { at });
}

#[test]
fn annotations_and_depth_are_bounded() {
    let many = |count: usize| {
        let properties: Map<_, _> = (0..count)
            .map(|n| {
                (
                    n.to_string(),
                    json!({"type": "string", "x-mcp-header": n.to_string()}),
                )
            })
            .collect();
        json!({"properties": properties})
    };
    assert_eq!(params(many(PARAMS_MAX)).iter().count(), PARAMS_MAX);
    assert!(matches!(
        error(many(PARAMS_MAX + 1)),
        AnnotationError::TooMany { .. }
    ));

    let nested = |depth| (0..depth).fold(json!({}), |schema, _| json!({"items": schema}));
    assert_eq!(HeaderParams::from_schema(&nested(DEPTH_MAX)), Ok(None));
    let found = error(nested(DEPTH_MAX + 1));
    assert!(matches!(&found, AnnotationError::TooDeep { at } if at.chars().count() == 64));
}

/// A tool with one annotation of each type, one of them inside an object.
fn tool() -> HeaderParams {
    params(json!({"type": "object", "properties": {
        "s": {"type": "string", "x-mcp-header": "S"},
        "o": {"type": "object", "properties": {"i": {"type": "integer", "x-mcp-header": "I"}}},
        "b": {"type": "boolean", "x-mcp-header": "B"},
    }}))
}

fn check(arguments: Option<&str>, headers: &[(&str, &str)]) -> Result<(), Mismatch> {
    let arguments = arguments.map(|text| RawJson::from_valid(text.to_owned()));
    let header = |name: &str| {
        let mut all = headers.iter();
        all.find(|(found, _)| name.strip_prefix(PARAM_PREFIX) == Some(found))
            .map(|(_, value)| value.as_bytes())
    };
    let result = tool().check(arguments.as_ref(), header);
    result.map_err(|error| error.mismatch)
}

#[test]
fn a_header_repeats_its_argument() {
    for (arguments, header, value) in [
        (r#"{"s":"us-west1"}"#, "s", "us-west1"),
        (r#"{"\u0073":"\u0061"}"#, "s", "a"),
        (r#"{"s":"世界"}"#, "s", "=?base64?5LiW55WM?="),
        (r#"{"s":"a"}"#, "s", "=?base64?YQ==?="),
        (r#"{"s":""}"#, "s", ""),
        (r#"{"s":""}"#, "s", "=?base64??="),
        (r#"{"s":"42"}"#, "s", "42"),
        (r#"{"b":true}"#, "b", "true"),
        (r#"{ "b" : false , "s" : null }"#, "b", "false"),
        (r#"{"o":{"i":42}}"#, "i", "42"),
        (r#"{"o":{"i":42}}"#, "i", "42.0"),
        (r#"{"o":{"i":42.0}}"#, "i", "42"),
        (r#"{"o":{"i":4.20e1}}"#, "i", "42.00"),
        (r#"{"o":{"i":4200E-2}}"#, "i", "42"),
        (r#"{"o":{"i":-7}}"#, "i", "-7"),
        (r#"{"o":{"i":0}}"#, "i", "-0"),
        (r#"{"o":{"i":-0.0e999999999999999999999}}"#, "i", "0"),
        (
            r#"{"x":[1,{"s":2}],"o":{"x":{},"i":9007199254740991}}"#,
            "i",
            "9007199254740991",
        ),
    ] {
        assert_eq!(
            check(Some(arguments), &[(header, value)]),
            Ok(()),
            "{arguments} {value}"
        );
    }
}

#[test]
fn a_header_that_differs_is_refused() {
    for (arguments, header, value) in [
        (r#"{"s":"us-west1"}"#, "s", "US-west1"),
        (r#"{"s":"a"}"#, "s", ""),
        (r#"{"s":"a"}"#, "s", "\"a\""),
        (r#"{"b":true}"#, "b", "True"),
        (r#"{"b":true}"#, "b", "1"),
        (r#"{"b":true}"#, "b", "false"),
        (r#"{"o":{"i":42}}"#, "i", "43"),
        (r#"{"o":{"i":42}}"#, "i", "-42"),
        (r#"{"o":{"i":42}}"#, "i", "42.5"),
        (r#"{"o":{"i":42}}"#, "i", "42."),
        (r#"{"o":{"i":42}}"#, "i", "+42"),
        (r#"{"o":{"i":42}}"#, "i", "042"),
        (r#"{"o":{"i":42}}"#, "i", "4.2e1"),
        (r#"{"o":{"i":42}}"#, "i", "0x2a"),
        (r#"{"o":{"i":42}}"#, "i", ""),
        (r#"{"o":{"i":42}}"#, "i", "-"),
        (r#"{"o":{"i":0}}"#, "i", ".0"),
        (r#"{"o":{"i":9007199254740991}}"#, "i", "9007199254740992"),
        (r#"{"o":{"i":1}}"#, "i", "18446744073709551617"),
    ] {
        let found = check(Some(arguments), &[(header, value)]);
        assert!(
            matches!(found, Err(Mismatch::Different(_))),
            "{arguments} {value}"
        );
    }
}

#[test]
fn an_argument_needs_its_header() {
    for arguments in [
        r#"{"s":"a"}"#,
        r#"{"s":""}"#,
        r#"{"b":false}"#,
        r#"{"o":{"i":0}}"#,
    ] {
        assert_eq!(
            check(Some(arguments), &[]),
            Err(Mismatch::Missing),
            "{arguments}"
        );
    }
}

#[test]
fn a_header_that_cannot_be_read_is_refused() {
    for (value, error) in [
        ("=?base64?YQ?=", HeaderValueError::NotBase64),
        ("=?base64?/w==?=", HeaderValueError::NotUtf8),
        ("caf\u{e9}", HeaderValueError::NotPrintable),
    ] {
        let found = check(Some(r#"{"s":"a"}"#), &[("s", value)]);
        assert_eq!(found, Err(Mismatch::Malformed(error)), "{value}");
    }
}

#[test]
fn without_the_argument_the_header_must_be_absent() {
    for arguments in [
        None,
        Some("null"),
        Some("{}"),
        Some(r#"{"s":null,"b":null,"o":null}"#),
        Some(r#"{"o":{"i":null}}"#),
        Some(r#"{"o":{}}"#),
        Some(r#"{"o":5}"#),
        Some(r#"{"o":[{"i":5}]}"#),
        Some(r#"{"i":5,"S":"a"}"#),
    ] {
        assert_eq!(check(arguments, &[("other", "a")]), Ok(()), "{arguments:?}");
        for (header, value) in [("s", "a"), ("s", ""), ("i", "5"), ("b", "=?base64?!?=")] {
            let found = check(arguments, &[(header, value)]);
            assert_eq!(found, Err(Mismatch::Unexpected), "{arguments:?} {header}");
        }
    }
}

#[test]
fn an_argument_of_another_type_is_left_to_the_schema() {
    for (arguments, header) in [
        (r#"{"s":5}"#, "s"),
        (r#"{"s":["a"]}"#, "s"),
        (r#"{"b":"true"}"#, "b"),
        (r#"{"o":{"i":"42"}}"#, "i"),
        (r#"{"o":{"i":42.5}}"#, "i"),
        (r#"{"o":{"i":1e-99999999999999999999}}"#, "i"),
    ] {
        assert_eq!(check(Some(arguments), &[]), Ok(()), "{arguments}");
        assert_eq!(
            check(Some(arguments), &[(header, "x")]),
            Ok(()),
            "{arguments}"
        );
    }
}

#[test]
fn integers_beyond_what_json_keeps_are_refused() {
    for number in [
        "9007199254740992",
        "-9007199254740992",
        "1e16",
        "1e99999999999999999999",
    ] {
        let arguments = format!(r#"{{"o":{{"i":{number}}}}}"#);
        for headers in [&[][..], &[("i", number)]] {
            assert_eq!(
                check(Some(&arguments), headers),
                Err(Mismatch::Inexact),
                "{number}"
            );
        }
    }
}

#[test]
fn errors_name_places_and_no_values() {
    let arguments = RawJson::from_valid(r#"{"o":{"i":4711}}"#);
    let error = tool()
        .check(Some(&arguments), |name| {
            name.ends_with("-i").then_some(&b"0815"[..])
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "header `mcp-param-i` of the argument `o.i` must equal the argument, in plain decimal"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn numbers_are_read_exactly(
        mantissa in prop_oneof![any::<i32>().prop_map(i64::from), -(1i64 << 54)..(1 << 54)],
        point in 0..18usize,
        exponent in -20..20i32,
    ) {
        let digits = format!("{:018}", mantissa.abs());
        let (whole, fraction) = digits.split_at(digits.len() - point);
        let sign = if mantissa < 0 { "-" } else { "" };
        let text = format!("{sign}{whole}.{fraction}0e{exponent}");
        let power = exponent - i32::try_from(point).unwrap();
        let scale = 10i128.pow(power.unsigned_abs());
        let mantissa = i128::from(mantissa);
        match Expected::of(ParamType::Integer, &text) {
            Expected::Integer(integer) if power < 0 => {
                prop_assert_eq!(i128::from(integer) * scale, mantissa);
            }
            Expected::Integer(integer) => prop_assert_eq!(i128::from(integer), mantissa * scale),
            Expected::OtherType => prop_assert!(power < 0 && mantissa % scale != 0),
            Expected::Inexact => {
                let integer = if power < 0 { mantissa / scale } else { mantissa * scale };
                prop_assert!(integer.abs() > i128::from(SAFE_INTEGER_MAX));
            }
            Expected::Text(text) => prop_assert!(false, "{}", text),
        }
    }
}

#[test]
fn a_client_repeats_what_a_server_then_finds_equal() {
    let params = params(json!({"properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "level": {"type": "integer", "x-mcp-header": "Level"},
        "sure": {"type": "boolean", "x-mcp-header": "Sure"},
        "missing": {"type": "string", "x-mcp-header": "Missing"},
    }}));
    for arguments in [
        json!({"region": "us-west1", "level": 42, "sure": true}),
        json!({"region": "Hello, 世界", "level": -1.0, "sure": null}),
        json!({"region": 7, "level": "x"}),
        json!({}),
    ] {
        let arguments = RawJson::of(&arguments);
        let headers = params.headers_of(Some(&arguments));
        let find = |name: &str| {
            let found = headers.iter().find(|(header, _)| *header == name);
            found.map(|(_, value)| value.as_bytes())
        };
        assert_eq!(params.check(Some(&arguments), find), Ok(()), "{headers:?}");
    }
    let wrapped = params.headers_of(Some(&RawJson::of(&json!({"region": " a", "level": 4.2e1}))));
    assert_eq!(
        wrapped,
        [
            ("mcp-param-level", "42".to_owned()),
            ("mcp-param-region", "=?base64?IGE=?=".to_owned())
        ]
    );
}
