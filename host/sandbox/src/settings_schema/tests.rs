//! What a schema says of settings, and which schemas are none.

use super::*;
use serde_json::json;
use std::time::{Duration, Instant};

fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["project", "network"],
        "$defs": {"port": {"type": "integer", "minimum": 1, "maximum": 65535}},
        "properties": {
            "project": {"type": "string", "minLength": 1, "maxLength": 8},
            "network": {"type": "string"},
            "address": {"type": "string", "format": "uri"},
            "version": {"type": "string", "pattern": "^v[0-9]+\\.[0-9]+$", "default": "v1.2"},
            "tier": {"enum": ["", "small", "large"]},
            "ports": {"type": "array", "maxItems": 3, "items": {"$ref": "#/$defs/port"}},
            "flavours": {"type": "array", "items": {
                "type": "object", "required": ["name"],
                "properties": {"name": {"type": "string"}, "memoryGiB": {"type": ["integer", "null"]}}
            }},
            "closed": {"type": "object", "properties": {"image": {}}, "additionalProperties": false},
            "open": {"type": "object", "properties": {"image": {}}, "additionalProperties": {"type": "string"}}
        }
    })
}

fn judge(settings: Value) -> JudgedSettings {
    let Value::Object(settings) = settings else { panic!("an object") };
    SettingsSchema::compile(&schema().to_string()).unwrap().judge(&settings)
}

/// `pointer code` of each finding.
fn short(findings: &[Finding]) -> Vec<String> {
    let mut all: Vec<String> = findings.iter().map(|f| format!("{} {}", f.pointer, f.code)).collect();
    all.sort();
    all
}

#[test]
fn settings_that_fit_pass_and_what_is_not_given_is_missing() {
    let good = json!({"project": " p-1 ", "network": "n", "address": "none", "version": "\tv10.0\n", "tier": " ", "ports": [1, 65535],
        "flavours": [{"name": "a", "memoryGiB": null}], "open": {"x": "y"}, "closed": null});
    assert_eq!(judge(good), JudgedSettings::default());
    let nothing = judge(json!({"project": "  ", "network": null}));
    assert_eq!(short(&nothing.missing), ["/network required", "/project required"]);
    assert!(nothing.findings.is_empty() && nothing.unfit.is_empty(), "{nothing:?}");
}

#[test]
fn everything_that_does_not_fit_is_named_at_once_with_its_rule_and_without_its_value() {
    let judged = judge(json!({"project": "s3ntinel-and-more", "network": 7, "version": "s3ntinel", "tier": "s3ntinel",
        "ports": [0, "s3ntinel", 3, 4], "flavours": [{"memoryGiB": 1.5}, {"name": "a", "memoryGib": "s3ntinel"}],
        "closed": {"imgae": "s3ntinel"}}));
    assert_eq!(
        short(&judged.findings),
        [
            "/closed/imgae unknown-key",
            "/flavours/0/memoryGiB wrong-type",
            "/flavours/0/name required",
            "/flavours/1/memoryGib unknown-key",
            "/network wrong-type",
            "/ports too-many",
            "/ports/0 out-of-range",
            "/ports/1 wrong-type",
            "/project too-long",
            "/tier choice",
            "/version pattern",
        ]
    );
    let unfit = ["closed", "flavours", "network", "ports", "project", "tier", "version"].map(str::to_owned);
    assert_eq!(judged.unfit, BTreeSet::from(unfit));
    let words = |pointer: &str| {
        let of = judged.findings.iter().find(|finding| finding.pointer == pointer);
        of.map(|finding| finding.message.clone()).unwrap_or_default()
    };
    assert_eq!(words("/project"), "project: must have at most 8 characters");
    assert_eq!(words("/network"), "network: must be a string");
    assert_eq!(words("/version"), r"version: must match the pattern ^v[0-9]+\.[0-9]+$, such as v1.2");
    assert_eq!(words("/tier"), "tier: must be one of small, large");
    assert_eq!(words("/flavours/0/memoryGiB"), "flavours/0/memoryGiB: must be a whole number or null");
    assert!(words("/closed/imgae").ends_with("the nearest one is image"), "{}", words("/closed/imgae"));
    assert!(words("/flavours/1/memoryGib").contains("the nearest one is memoryGiB"));
    let warned: Vec<&str> = judged.findings.iter().filter(|f| !f.is_error()).map(|f| f.pointer.as_str()).collect();
    assert_eq!(warned, ["/flavours/1/memoryGib"], "an open object's unknown key is a remark");
    assert!(!format!("{judged:?}").contains("s3ntinel"), "{judged:?}");
}

#[test]
fn more_values_than_can_be_judged_are_one_finding_and_the_rest_is_judged() {
    let many: Vec<Value> = (0..100_000).map(|_| json!("s3ntinel")).collect();
    let judged = judge(json!({"project": "p", "network": 7, "ports": many}));
    assert_eq!(short(&judged.findings), ["/network wrong-type", "/ports too-many"]);
    let several: Vec<Value> = (0..5_000).map(|_| json!("s3ntinel")).collect();
    let judged = judge(json!({"project": "p", "network": "n", "ports": several}));
    assert!(judged.findings.len() <= 2 * MAX_FINDINGS && judged.unfit.contains("ports"), "{}", judged.findings.len());
}

/// A schema of the setting `a`, an array.
fn of_items(items: &Value) -> SettingsSchema {
    SettingsSchema::compile(&json!({"properties": {"a": {"items": items}}}).to_string()).unwrap()
}

#[test]
fn what_a_schema_lists_bounds_the_values_that_are_held_to_it() {
    let mixed: Vec<Value> = (0..1_000).map(|n| if n % 2 == 0 { json!(n) } else { json!(n.to_string()) }).collect();
    let names: Vec<String> = (0..1_000).map(|n| format!("n{n}")).collect();
    for (items, one) in [
        (json!({"enum": mixed}), json!("none")),
        (json!({"required": names}), json!({})),
        (json!({"const": "x".repeat(1_000 * check::TEXT_PER_VALUE)}), json!("none")),
        (json!({"not": {"const": "none", "description": "x".repeat(1_000 * check::TEXT_PER_VALUE)}}), json!("none")),
    ] {
        let schema = of_items(&items);
        let few = Settings::from_iter([("a".to_owned(), json!(vec![one.clone(); 40]))]);
        assert!(!schema.judge(&few).findings.iter().any(|finding| finding.pointer == "/a"));
        assert!(schema.faults(&Value::Object(few)).any(|fault| fault.pointer.starts_with("/a/0")));
        let many = Settings::from_iter([("a".to_owned(), json!(vec![one; 500]))]);
        assert_eq!(short(&schema.judge(&many).findings), ["/a too-many"]);
        let faults: Vec<ValueFault> = schema.faults(&Value::Object(many)).collect();
        let [ValueFault { pointer, message }] = faults.as_slice() else { panic!("{} faults", faults.len()) };
        assert!(pointer == "/a" && message.starts_with("a: has too many values"), "{pointer}: {message}");
    }
}

#[test]
fn the_text_of_settings_counts_and_so_does_a_value_that_is_no_object() {
    let schema = of_items(&json!({"anyOf": vec![json!({"type": "integer"}); 1_900]}));
    let long = Settings::from_iter([("a".to_owned(), json!(["x".repeat(300 * check::TEXT_PER_VALUE)]))]);
    assert_eq!(short(&schema.judge(&long).findings), ["/a too-many"]);
    let key = "x".repeat(300 * check::TEXT_PER_VALUE);
    let long_key = Settings::from_iter([("a".to_owned(), json!({key: 1}))]);
    assert_eq!(short(&schema.judge(&long_key).findings), ["/a too-many"]);
    let faults: Vec<ValueFault> = schema.faults(&json!(vec![0; 300])).collect();
    assert!(faults.len() == 1 && faults[0].pointer.is_empty(), "{faults:?}");
}

#[test]
fn the_path_to_each_value_counts() {
    let schema = json!({"properties": {"a": {"additionalProperties": {"items": {"type": "string"}}}}});
    let schema = SettingsSchema::compile(&schema.to_string()).unwrap();
    let of_key = |key: String| Settings::from_iter([("a".to_owned(), json!({key: vec![0; 200]}))]);
    assert_eq!(short(&schema.judge(&of_key("x".repeat(800 * check::TEXT_PER_VALUE))).findings), ["/a too-many"]);
    assert!(!schema.judge(&of_key("x".to_owned())).findings.iter().any(|finding| finding.pointer == "/a"));
}

fn judged_by(pattern: &str, text: &str) -> (JudgedSettings, Duration) {
    let schema = json!({"properties": {"a": {"type": "string", "pattern": pattern}}});
    let schema = SettingsSchema::compile(&schema.to_string()).unwrap();
    let settings = Settings::from_iter([("a".to_owned(), json!(text))]);
    let begun = Instant::now();
    (schema.judge(&settings), begun.elapsed())
}

#[test]
fn the_time_of_a_pattern_grows_with_the_text_and_not_with_the_ways_to_match_it() {
    for pattern in ["^(a+)+$", "^(a|a)*$", "^(a*)*$", "^(a|aa)+$", "^([a-zA-Z]+)*$", "(x+x+)+y"] {
        for text in [format!("{}!", "a".repeat(50_000)), format!("{}!", "x".repeat(50_000))] {
            let (judged, took) = judged_by(pattern, &text);
            assert_eq!(short(&judged.findings), ["/a pattern"], "{pattern}");
            // An engine that goes back needs longer than the universe; this needs some milliseconds, also on a machine that is busy.
            assert!(took < Duration::from_secs(1), "{pattern}: {took:?}");
        }
    }
    assert_eq!(judged_by("^(a+)+$", &"a".repeat(50_000)).0, JudgedSettings::default());
}

#[test]
fn the_work_of_patterns_is_bounded_by_the_length_of_all_texts() {
    // The states of this one are too many to be remembered, so each byte is held against every one of them.
    let costly = "^[01]*1[01]{600}$";
    let bits: String = (0..MOST_TEXT_WORK / 8).map(|n: usize| if n.is_multiple_of(3) { '1' } else { '0' }).collect();
    let (judged, took) = judged_by(costly, &format!("{bits}x"));
    assert_eq!(short(&judged.findings), ["/a pattern"]);
    assert!(took < Duration::from_secs(10), "{took:?}");
    let (judged, _) = judged_by(costly, &"0".repeat(MOST_TEXT_WORK + 1));
    assert_eq!(short(&judged.findings), ["/a too-long"]);
    assert!(judged.unfit.contains("a") && judged.findings[0].message.contains("524288 bytes"), "{judged:?}");
    let schema = json!({"properties": {"a": {"type": "string"}}});
    let settings = Settings::from_iter([("a".to_owned(), json!("0".repeat(MOST_TEXT_WORK + 1)))]);
    let judged = SettingsSchema::compile(&schema.to_string()).unwrap().judge(&settings);
    assert_eq!(judged, JudgedSettings::default(), "without a pattern the length of a text is no work");
}

#[test]
fn a_rule_on_all_settings_leaves_none_to_rely_on() {
    let schema = json!({"properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}, "maxProperties": 1});
    let schema = SettingsSchema::compile(&schema.to_string()).unwrap();
    let judged = schema.judge(&Settings::from_iter([("a".to_owned(), json!(1)), ("b".to_owned(), json!(1))]));
    assert_eq!(short(&judged.findings), [" too-many"]);
    assert_eq!(judged.unfit.len(), 2);
}

#[test]
fn what_is_no_schema_is_told_why() {
    for (text, rule) in [
        ("", "is not a JSON object"),
        ("[]", "is not a JSON object"),
        (r#"{"type":"strnig"}"#, "is no JSON Schema 2020-12: "),
        (r#"{"properties":[]}"#, "is no JSON Schema 2020-12: "),
        (r#"{"properties":{"a":{"minLength":"1"}}}"#, "is no JSON Schema 2020-12: "),
        (r#"{"properties":{"a":{"pattern":"("}}}"#, "is no JSON Schema 2020-12: "),
        (r#"{"properties":{"a":{"pattern":"((a{1,999}){1,999}){1,999}"}}}"#, "is no JSON Schema 2020-12: "),
        (r#"{"properties":{"a":{"pattern":"^(?=(a+)+$)a"}}}"#, "has a look-around"),
        (r#"{"properties":{"a":{"pattern":"^(a|aa)+\\1$"}}}"#, "has a back-reference"),
        (r##"{"$ref":"#"}"##, "refers to itself"),
    ] {
        let why = SettingsSchema::compile(text).map(|_| ()).expect_err(rule);
        assert!(why.contains(rule) && why.len() < 2_100, "{text}: {why}");
    }
}
