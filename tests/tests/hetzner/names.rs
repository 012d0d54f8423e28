//! What a cluster's resources are called: those of two domains never meet, and what exists keeps its name.

use crate::kit::{Turn, bundle, request};
use catalyst_plugin_sdk::{DeploymentRequest, Rendered};
use catalyst_tests::hetzner::module::{Cloud, Work};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Kinds whose objects have names.
const KINDS: [&str; 6] = ["servers", "networks", "firewalls", "load_balancers", "placement_groups", "ssh_keys"];

fn of_domain(fqdn: &str, key: &str, workers: i64) -> DeploymentRequest {
    let mut request = request("fsn1", workers);
    request.sovereign_fqdn = fqdn.to_owned();
    // A project takes no key twice.
    request.ssh_public_key = request.ssh_public_key.replace("CQkJCQ", key);
    request
}

fn names(cloud: &Cloud) -> BTreeMap<String, BTreeSet<(String, u64)>> {
    let named = |object: Value| (object["name"].as_str().unwrap().to_owned(), object["id"].as_u64().unwrap());
    KINDS.iter().map(|kind| ((*kind).to_owned(), cloud.project().all(kind).into_iter().map(named).collect())).collect()
}

fn stage(work: &Work, bundle: &Rendered) {
    for file in &bundle.files {
        std::fs::write(work.path().join(&file.path), &file.content).unwrap();
    }
    work.set_variables(&bundle.variables);
}

#[test]
fn t18_two_domains_that_are_one_text_with_dashes_live_in_one_project() {
    let _turn = Turn::wait();
    let cloud = Cloud::double();
    let domains = [("a.b-c.io", "CQkJCQ", "0011223344556677"), ("a-b.c.io", "CgoKCg", "8899aabbccddeeff")];
    let up: Vec<Work> = domains
        .into_iter()
        .map(|(fqdn, key, deployment)| {
            let work = Work::of_bundle(&bundle(&of_domain(fqdn, key, 1)), &cloud, deployment).unwrap();
            work.init().unwrap();
            work.plan().passed();
            work.apply().passed();
            work
        })
        .collect();
    // Names are unique within a kind: the double refuses a second one, as the cloud does.
    for (kind, named) in names(&cloud) {
        let expect = if kind == "servers" { 4 } else { 2 };
        assert_eq!(named.len(), expect, "{kind}: {named:?}");
        assert!(named.iter().all(|(name, _)| name.starts_with("catalyst-a-b-c-io-") && name.len() <= 63), "{named:?}");
    }
    for work in up {
        work.destroy().passed();
    }
    assert_eq!(cloud.project().everything(), Vec::<Value>::new());
}

/// As an upgrade of the module, or a rendering by a newer plugin, meets a cluster of the release before.
#[test]
fn t18_a_cluster_that_was_named_without_a_digest_keeps_its_names() {
    let _turn = Turn::wait();
    let cloud = Cloud::double();
    let work = Work::of_bundle(&bundle(&of_domain("a.b-c.io", "CQkJCQ", 1)), &cloud, "0011223344556677").unwrap();
    let main = work.path().join("main.tf");
    let text = std::fs::read_to_string(&main).unwrap();
    let (before, rest) = text.split_once("\n  name = \"").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    let named_before = r#"  name = "catalyst-${replace(var.sovereign_fqdn, ".", "-")}""#;
    std::fs::write(&main, format!("{before}\n{named_before}\n{rest}")).unwrap();
    work.init().unwrap();
    work.plan().passed();
    work.apply().passed();
    let made = names(&cloud);
    assert!(made["servers"].iter().any(|(name, _)| name == "catalyst-a-b-c-io-cp1"), "{made:?}");

    stage(&work, &bundle(&of_domain("a.b-c.io", "CQkJCQ", 1)));
    assert_eq!(work.plan().passed().planned, BTreeMap::new());
    // Only what comes new has a name of the new form.
    stage(&work, &bundle(&of_domain("a.b-c.io", "CQkJCQ", 2)));
    let planned = work.plan().passed();
    assert_eq!((planned.count("create"), planned.planned.len()), (1, 1), "{:?}", planned.planned);
    work.apply().passed();
    let after = names(&cloud);
    for kind in KINDS {
        assert!(after[kind].is_superset(&made[kind]), "{kind}: {after:?}");
    }
    work.destroy().passed();
    assert_eq!(cloud.project().everything(), Vec::<Value>::new());
}
