//! What is kept of a search of the cloud, and by what it goes.

use super::*;
use catalyst_domain::record::{NewRecord, ProviderRef};
use catalyst_domain::{Request, SecretValue};

fn one(kind: &str, id: &str) -> RemainingResource {
    RemainingResource::new(kind, "x", id, "")
}

fn record(remaining: Vec<RemainingResource>) -> Record {
    let new = NewRecord {
        id: DeploymentId::from_bytes([1; 8]),
        request: Request::default(),
        kubeconfig_bearer_hash: String::new(),
        provider: ProviderRef { id: "x".into(), version: "1.0.0".into(), digest: "d".into() },
        at: catalyst_domain::Timestamp::UNIX_EPOCH,
    };
    Record { remaining, ..Record::new(new) }
}

fn search(found: Vec<RemainingResource>, not_searched: &[&str], is_whole: bool) -> CloudSearch {
    CloudSearch { found, not_searched: not_searched.iter().map(ToString::to_string).collect(), is_whole }
}

#[test]
fn t6_what_the_cluster_named_stays_beside_what_the_cloud_shows() {
    let (volume, late) =
        (one("volume", "42").by(NamedBy::Cluster), one("load balancer", "203.0.113.7").by(NamedBy::Cluster));
    let mut record = record(vec![volume.clone(), late.clone()]);
    let found = one("load balancer", "7").by(NamedBy::Cloud);
    let all = |is_whole| search(vec![found.clone()], &[], is_whole);
    let named = [found.clone(), volume, late];
    let seen = looked(&record, ClusterLook::CleanedUp, all(true));
    assert_eq!(seen.remaining, named, "a search knows a load balancer by its id, and not by its address");
    assert!(seen.not_looked_at.is_empty());
    assert_eq!(looked(&record, ClusterLook::CleanedUp, all(false)).remaining, named);
    record.delete_volumes = true;
    assert_eq!(looked(&record, ClusterLook::CleanedUp, all(true)).remaining, named, "nor every driver's volume");
    let dead = ClusterLook::NotAsked("no answer".to_owned());
    assert_eq!(looked(&record, dead, all(true)).remaining, named, "whether the cluster is asked or not");
}

#[test]
fn t6_a_search_after_the_run_goes_by_the_state_before_it_and_by_that_after_it() {
    let made = |address: &str, id: &str| MadeResource { address: address.to_owned(), id: id.to_owned() };
    let before = [made("x.network", "11"), made("x.cp[0]", "21")];
    let after = made_by_both(Ok(vec![made("x.cp[0]", "21"), made("x.late", "31")]), Ok(before.to_vec())).unwrap();
    assert_eq!(after, [made("x.cp[0]", "21"), made("x.late", "31"), made("x.network", "11")]);
    let many: Vec<MadeResource> = (0..MADE + 5).map(|n| made("x.y", &n.to_string())).collect();
    assert_eq!(made_by_both(Ok(vec![made("x.late", "0")]), Ok(many)).unwrap().len(), MADE);
}

#[test]
fn t6_what_an_earlier_destroy_saw_counts_until_the_whole_cloud_shows_that_it_is_gone() {
    let record = record(vec![one("volume", "42")]);
    let dead = || ClusterLook::NotAsked("no answer".to_owned());
    let gone = looked(&record, dead(), search(Vec::new(), &[], true));
    assert!(gone.remaining.is_empty(), "{:?}", gone.remaining);
    assert_eq!(gone.not_looked_at, ["what the cluster made by itself, in the cluster (no answer)"]);
    let unknown = looked(&record, dead(), search(Vec::new(), &["in its cloud: volumes"], false));
    assert_eq!((unknown.remaining.len(), unknown.not_looked_at.len()), (1, 2));
}

#[test]
fn what_a_search_shows_is_kept_without_any_secret_of_the_deployment() {
    let mut secrets = Secrets::default();
    for (name, value) in [("token", "s3ntinel-of-the-request"), ("bearer", "s3ntinel-that-was-minted")] {
        secrets.insert(name, SecretValue::new(value));
    }
    let both = "a s3ntinel-of-the-request s3ntinel-that-was-minted";
    // The beginning of a secret that stands where a text is cut would be shown.
    let long = format!("{} s3ntinel-that-was-minted", "x".repeat(245));
    let resource = |name: &str| RemainingResource {
        kind: both.to_owned(),
        name: name.to_owned(),
        id: both.to_owned(),
        reason: both.to_owned(),
        named_by: None,
    };
    let judged = LeftoverSearch { found: vec![resource(both), resource(&long)], not_searched: vec![both.to_owned()] };
    let search = kept(Ok(JudgedSearch { search: judged, has_asked: true }), &secrets).ok().unwrap();
    assert_eq!(search.found[0].name, "a *** ***");
    let all = format!("{:?}{:?}", search.found, search.not_searched);
    assert!(!all.contains("s3ntinel") && !search.is_whole, "{all}");
}

#[test]
fn why_a_search_failed_is_told_without_the_token_of_its_session() {
    let mut secrets = Secrets::default();
    secrets.insert(SESSION_TOKEN, SecretValue::new("s3ntinel-of-the-session"));
    let failed = kept(Err("the plugin broke at s3ntinel-of-the-session".to_owned()), &secrets);
    assert_eq!(failed.err().as_deref(), Some("the plugin broke at ***"));
}

#[test]
fn without_a_state_that_can_be_read_it_is_not_known_what_opentofu_made() {
    assert_eq!(made_of(None), Ok(Vec::new()));
    let why = made_of(Some(b"broken")).unwrap_err();
    assert_eq!(
        why,
        "what OpenTofu made there is not known, since its state cannot be used: it is no state that can be read"
    );
    assert_eq!(made_by_both(Ok(Vec::new()), Err(why.clone())), Err(why.clone()), "a search would take all for left");
    assert_eq!(made_by_both(Err(why.clone()), Ok(Vec::new())), Err(why));
}

#[test]
fn what_is_known_for_another_reason_by_now_is_not_told_again() {
    let known = [one("volume", "42").by(NamedBy::Cluster)];
    let again = RemainingResource::new("volume", "as the cloud calls it", "42", "attached").by(NamedBy::Cloud);
    let other = RemainingResource::new("volume", "x", "43", "attached").by(NamedBy::Cloud);
    assert_eq!(new_names(&[again, other], &known), ["volume x (43): attached"]);
}

#[test]
fn t6_a_search_sends_the_credentials_of_the_request_and_no_other_secret() {
    use catalyst_domain::provider::{Catalogue, SecretRole, SecretSource, SecretSpec};
    let secret = |name: &str, source| SecretSpec {
        name: name.into(),
        source,
        role: SecretRole::Ordinary,
        required: false,
        min_length: 1,
        max_length: 64,
        label: name.into(),
        refused_prefixes: Vec::new(),
    };
    let catalogue = Catalogue {
        as_of: "2026-01-01".into(),
        currency: "EUR".into(),
        regions: Vec::new(),
        machine_types: Vec::new(),
    };
    let descriptor = Descriptor {
        id: "cloud".into(),
        display_name: "Cloud".into(),
        version: "1.0.0".into(),
        secrets: vec![
            secret("token", SecretSource::Request("cloudToken".into())),
            secret("images", SecretSource::Host("ghcr-pull-token".into())),
            secret("bearer", SecretSource::Minted),
        ],
        tofu_providers: Vec::new(),
        bearer_resource: None,
        catalogue,
        user_data_limit: 1,
        settings_schema: "{}".into(),
        api_hosts: Vec::new(),
    };
    let mut all = Secrets::default();
    for name in ["token", "images", "bearer"] {
        all.insert(name, SecretValue::new("x"));
    }
    assert_eq!(of_request(&all, &descriptor).names(), ["token"]);
}

#[test]
fn a_plugin_reads_no_secret_of_the_deployment_in_the_answers_of_its_cloud() {
    let mut secrets = Secrets::default();
    secrets.insert("join", SecretValue::new("s3ntinel-that-joins-a-node"));
    let body =
        r#"{"user_data":"czNudGluZWwtdGhhdC1qb2lucy1hLW5vZGU=","metadata":{"a":"s3ntinel-that-joins-a-node"},"id":7}"#;
    let answers = without_secrets(vec![ProbeResponse { status: 200, body: body.into() }], &secrets);
    let text = String::from_utf8(answers[0].body.clone()).unwrap();
    let read: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(!text.contains("s3ntinel") && !text.contains("czNudGluZWwt") && read["id"] == 7, "{text}");
}
