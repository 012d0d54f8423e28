//! Bodies as they come: what is read of them, and what is named as wrong.

use super::*;
use crate::provider::{Catalogue, SecretRole, SecretSource, SecretSpec};
use crate::request::GatheredFindings;

fn descriptor() -> Descriptor {
    let secret = |name: &str, source, required| SecretSpec {
        name: name.into(),
        source,
        role: SecretRole::Ordinary,
        required,
        min_length: 8,
        max_length: 8,
        label: "cloud token".into(),
        refused_prefixes: vec!["demo".into()],
    };
    Descriptor {
        id: "cloud".into(),
        display_name: "Cloud".into(),
        version: "1.0.0".into(),
        secrets: vec![
            secret("token", SecretSource::Request("cloudToken".into()), true),
            secret("minted", SecretSource::Minted, true),
        ],
        tofu_providers: Vec::new(),
        bearer_resource: None,
        catalogue: Catalogue {
            as_of: "2026-01-01".into(),
            currency: "EUR".into(),
            regions: vec![],
            machine_types: vec![],
        },
        user_data_limit: 1,
        settings_schema: r#"{"type":"object","properties":{"projectID":{"type":"string"}}}"#.into(),
        api_hosts: Vec::new(),
    }
}

fn messages(body: &str) -> Vec<String> {
    let findings = match parse(body.as_bytes()) {
        Ok(mut parsed) => match parsed.take_wrong_types() {
            wrong if wrong.is_empty() => Vec::new(),
            wrong => {
                let mut gathered = GatheredFindings::new(wrong);
                gathered.add_rules(&parsed.without_extra());
                gathered.finish(&Secrets::default())
            }
        },
        Err(BodyError(findings)) => findings,
    };
    findings.into_iter().map(|f| format!("{} {}", f.pointer, f.message)).collect()
}

#[test]
fn every_wrong_type_is_named_at_once() {
    let found = messages(r#"{"orgName":1,"workerCount":"2","haEnabled":"yes","regions":[1,{"provider":true}]}"#);
    let pointers: Vec<&str> = found.iter().map(|m| m.split(' ').next().unwrap()).collect();
    let (wrong, rest) = pointers.split_at(5);
    assert_eq!(wrong, ["/orgName", "/workerCount", "/haEnabled", "/regions/0", "/regions/1/provider"]);
    assert!(found[..5].iter().all(|m| m.contains("invalid request body")));
    // The fields that could be read are judged in the same answer, and the unreadable ones not twice.
    for pointer in ["/regions/1/cloudRegion", "/sovereignFQDN", "/orgEmail", "/sshPublicKey"] {
        assert!(rest.contains(&pointer), "{pointer}: {rest:?}");
    }
    assert!(!rest.iter().any(|p| p.starts_with("/orgName") || p.starts_with("/regions/0")), "{rest:?}");
}

#[test]
fn a_wrong_type_hides_what_is_inside_it_and_nothing_beside_it() {
    let regions: Vec<String> =
        (0..11).map(|n| if n == 1 { "1".into() } else { "{\"provider\":\"\"}".into() }).collect();
    let found = messages(&format!(r#"{{"region":5,"regions":[{}]}}"#, regions.join(",")));
    for pointer in ["/region ", "/regions/1 ", "/regions/0/provider ", "/regions/10/provider "] {
        assert!(found.iter().any(|m| m.starts_with(pointer)), "{pointer}: {found:?}");
    }
    assert!(!found.iter().any(|m| m.starts_with("/regions/1/")), "{found:?}");
}

/// Pointer and message of each key that nobody reads.
fn unknown(body: &str, chosen: Option<&Descriptor>, all: &[&Descriptor]) -> Vec<(String, String)> {
    let parsed = parse(body.as_bytes()).unwrap_or_else(|_| panic!("{body}"));
    let found = parsed.unknown_keys(chosen, all);
    assert!(found.iter().all(|finding| !finding.is_error()), "{found:?}");
    found.into_iter().map(|finding| (finding.pointer, finding.message)).collect()
}

#[test]
fn a_key_that_nobody_reads_is_named_with_the_nearest_known_one_and_without_its_value() {
    let cloud = descriptor();
    let body = r#"{"workerCont":"s3ntinel","projectId":"p","projctID":"s3ntinel","cloudTokn":"s3ntinel","expectedrenderdigest":"",
        "regions":[{"provider":"cloud"},{"workercont":"s3ntinel","Provider":"cloud","createdBy":{"s3ntinel":1}}]}"#;
    let found = unknown(body, Some(&cloud), &[&cloud]);
    let nearest = |pointer: &str| {
        let (_, message) = found.iter().find(|(at, _)| at == pointer).unwrap_or_else(|| panic!("{pointer}: {found:?}"));
        message.split_once("the nearest one is ").map(|(_, rest)| rest.split(',').next().unwrap_or_default().to_owned())
    };
    assert_eq!(nearest("/workerCont").as_deref(), Some("workerCount"));
    assert_eq!(nearest("/projctID").as_deref(), Some("projectID"));
    assert_eq!(nearest("/cloudTokn").as_deref(), Some("cloudToken"));
    assert_eq!(nearest("/regions/1/workercont").as_deref(), Some("workerCount"));
    assert_eq!(nearest("/regions/1/createdBy"), None);
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(!format!("{found:?}").contains("s3ntinel"), "{found:?}");
}

#[test]
fn a_key_of_another_provider_is_said_to_be_its_and_without_a_provider_any_ones_passes() {
    let cloud = descriptor();
    let mut other = descriptor();
    (other.id, other.display_name) = ("other".into(), "The other cloud".into());
    other.secrets[0].source = SecretSource::Request("otherToken".into());
    other.settings_schema = r#"{"properties":{"otherImage":{}}}"#.into();
    let body = r#"{"cloudToken":"t","otherToken":"s3ntinel","OTHERIMAGE":"x","regoins":[]}"#;
    let found = unknown(body, Some(&cloud), &[&cloud, &other]);
    let others = found.iter().filter(|(_, message)| message.contains("a key of The other cloud")).count();
    assert_eq!((found.len(), others), (3, 2), "{found:?}");
    let found = unknown(body, None, &[&cloud, &other]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.contains("the nearest one is regions"), "{found:?}");
}

#[test]
fn malformed_bodies_get_one_clear_finding() {
    for body in ["", "{", "[]", "\"x\"", "{\"a\":}", "1"] {
        let found = messages(body);
        assert_eq!(found.len(), 1, "{body}");
        assert!(found[0].contains("invalid request body"), "{found:?}");
    }
    assert!(messages("null").is_empty());
    assert!(messages("{} trailing").is_empty());
}

#[test]
fn a_key_that_is_given_twice_is_named_and_its_values_are_not() {
    for (body, pointers) in [
        (r#"{"orgName":"A","orgName":"sentinel"}"#, vec!["/orgName"]),
        (r#"{"cloudToken":"sentinel","CloudToken":"sentinel"}"#, vec!["/CloudToken"]),
        (
            r#"{"regions":[{"provider":"a","PROVIDER":"sentinel"}],"x":{"y":1,"y":2}}"#,
            vec!["/regions/0/PROVIDER", "/x/y"],
        ),
    ] {
        let Err(BodyError(found)) = parse(body.as_bytes()) else { panic!("{body}") };
        let text = format!("{found:?}");
        assert!(
            found.iter().all(|f| f.code == "duplicate-key" && f.is_error()) && !text.contains("sentinel"),
            "{text}"
        );
        assert_eq!(found.iter().map(|f| f.pointer.as_str()).collect::<Vec<_>>(), pointers, "{body}");
    }
}

#[test]
fn a_key_in_letters_that_fold_to_its_own_is_that_key() {
    let parsed =
        parse("{\"\u{17f}shPublicKey\":\"k\",\"wor\u{212a}erSize\":\"w\",\"cloudTo\u{212a}en\":\"t\"}".as_bytes());
    let parsed = parsed.unwrap_or_else(|_| panic!("refused"));
    assert!(parsed.carries("cloudToken"));
    let request = parsed.without_extra();
    assert_eq!((request.ssh_public_key.as_str(), request.worker_size.as_str()), ("k", "w"));
}

#[test]
fn keys_match_in_any_case_and_the_first_region_counts() {
    let parsed = parse(br#"{"ORGNAME":" A ","region":"x","workerCount":9,"regions":[{"provider":"cloud","cloudRegion":"r1","workerCount":2}]}"#);
    let request = parsed.unwrap_or_else(|_| panic!("must parse")).without_extra();
    assert_eq!((request.org_name.as_str(), request.region.as_str(), request.worker_count), ("A", "r1", 2));
}

#[test]
fn secrets_are_parted_and_keys_of_other_clouds_go_no_further() {
    let body = br#"{"CloudToken":" s3ntinel ","projectid":"p","otherToken":"leak","orgName":"A"}"#;
    let parsed = parse(body).unwrap_or_else(|_| panic!("must parse"));
    let (request, secrets, findings) = parsed.split(&descriptor(), &["projectid2".into()]);
    assert!(findings.is_empty());
    assert_eq!(secrets.get("token").unwrap().expose(), "s3ntinel");
    let text = serde_json::to_string(&request).unwrap();
    assert!(!text.contains("s3ntinel") && !text.contains("leak"), "{text}");
    assert_eq!(request.extra.get("projectID").unwrap(), "p");
}

#[test]
fn a_missing_short_or_made_up_secret_is_a_finding_without_its_value() {
    for (value, code) in [
        ("\"\"", "required"),
        ("null", "required"),
        ("\"shrt\"", "length"),
        ("\"demo-123\"", "made-up"),
        ("7", "wrong-type"),
    ] {
        let body = format!(r#"{{"cloudToken":{value}}}"#);
        let (_, _, findings) =
            parse(body.as_bytes()).unwrap_or_else(|_| panic!("must parse")).split(&descriptor(), &[]);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].code, code);
        assert!(findings[0].message.contains("cloud token") && !findings[0].message.contains("shrt"));
    }
}

#[test]
fn a_schema_cannot_ask_for_the_secret_of_another_cloud() {
    let parsed =
        parse(br#"{"cloudToken":"s3ntinel","projectID":"other-secret"}"#).unwrap_or_else(|_| panic!("must parse"));
    let (request, _, _) = parsed.split(&descriptor(), &["projectID".into()]);
    assert!(request.extra.is_empty());
}

#[test]
fn an_approved_digest_is_a_sha_256_and_no_part_of_the_request() {
    let digest = "ab".repeat(32);
    let parsed = parse(format!(r#"{{"expectedrenderdigest":"{digest}"}}"#).as_bytes()).unwrap_or_else(|_| panic!());
    assert_eq!(parsed.approved_render_digest(), digest);
    assert!(!serde_json::to_string(&parsed.without_extra()).unwrap().contains(&digest));
    for bad in ["\"ab\"", "7", &format!("\"{}\"", "AB".repeat(32))] {
        let mut parsed = parse(format!(r#"{{"expectedRenderDigest":{bad}}}"#).as_bytes()).unwrap_or_else(|_| panic!());
        let wrong = parsed.take_wrong_types();
        assert_eq!((wrong[0].pointer.as_str(), wrong[0].code.as_str()), ("/expectedRenderDigest", "wrong-type"));
    }
}
