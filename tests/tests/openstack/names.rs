//! What a cluster's resources are called: those of two domains never meet, and what exists keeps its name.

use crate::kit::{Turn, bundle, request};
use catalyst_plugin_sdk::{DeploymentRequest, Rendered};
use catalyst_tests::openstack::module::{Cloud, Work};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Kinds whose objects have names. Those of all but key pairs may be there twice, so nobody but the module keeps them apart.
const KINDS: [&str; 11] = [
    "keypairs",
    "server_groups",
    "servers",
    "networks",
    "subnets",
    "routers",
    "security_groups",
    "loadbalancers",
    "listeners",
    "pools",
    "healthmonitors",
];
/// The network that is the cloud's own.
const OWN: &str = "catalyst-";

fn of_domain(cloud: &Cloud, fqdn: &str, workers: i64) -> DeploymentRequest {
    DeploymentRequest { sovereign_fqdn: fqdn.to_owned(), ..request(cloud, workers, json!({})) }
}

/// Names of our objects by kind, each as often as it is there.
fn names(cloud: &Cloud) -> BTreeMap<String, Vec<String>> {
    let of_kind = |kind: &str| -> Vec<String> {
        let all = cloud.project().all(kind).into_iter();
        let mut named: Vec<String> = all.map(|object| object["name"].as_str().unwrap_or_default().to_owned()).collect();
        named.retain(|name| name.starts_with(OWN));
        named.sort();
        named
    };
    KINDS.iter().map(|kind| ((*kind).to_owned(), of_kind(kind))).collect()
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
    let domains = [("a.b-c.io", "0011223344556677"), ("a-b.c.io", "8899aabbccddeeff")];
    let up: Vec<Work> = domains
        .into_iter()
        .map(|(fqdn, deployment)| {
            let work = Work::of_bundle(&bundle(&of_domain(&cloud, fqdn, 1)), &cloud, deployment).unwrap();
            work.init().unwrap();
            work.plan().passed();
            work.apply().passed();
            work
        })
        .collect();
    for (kind, named) in names(&cloud) {
        let different: BTreeSet<&String> = named.iter().collect();
        assert!(named.len() >= 2 && different.len() == named.len(), "{kind}: {named:?}");
        assert!(named.iter().all(|name| name.starts_with("catalyst-a-b-c-io-")), "{kind}: {named:?}");
    }
    assert!(names(&cloud)["servers"].iter().all(|name| name.len() <= 63));
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
    let bundle_of = |workers: i64| bundle(&of_domain(&cloud, "a.b-c.io", workers));
    let work = Work::of_bundle(&bundle_of(0), &cloud, "0011223344556677").unwrap();
    let main = work.path().join("main.tf");
    let text = std::fs::read_to_string(&main).unwrap();
    let (before, rest) = text.split_once("\n  name = \"").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    let named_before = r#"  name = "catalyst-${replace(var.sovereign_fqdn, ".", "-")}""#;
    std::fs::write(&main, format!("{before}\n{named_before}\n{rest}")).unwrap();
    let balancer = work.path().join("load-balancer.tf");
    let text = std::fs::read_to_string(&balancer).unwrap();
    let member = "openstack_networking_port_v2.control_plane[member.value].name";
    assert!(text.contains(member));
    std::fs::write(&balancer, text.replace(member, r#""${local.name}-cp${member.value + 1}""#)).unwrap();
    work.init().unwrap();
    work.plan().passed();
    let applied = work.apply().passed();
    assert_eq!(applied.outputs["resource_name"], "catalyst-a-b-c-io");
    let made = names(&cloud);

    stage(&work, &bundle_of(0));
    assert_eq!(work.plan().passed().planned, BTreeMap::new());
    // Only what comes new has a name of the new form.
    stage(&work, &bundle_of(1));
    let planned = work.plan().passed();
    assert_eq!((planned.count("create"), planned.planned.len()), (2, 2), "{:?}", planned.planned);
    let applied = work.apply().passed();
    assert_eq!(applied.outputs["resource_name"], "catalyst-a-b-c-io", "by which leftovers are looked for");
    let after = names(&cloud);
    for kind in KINDS {
        let kept = made[kind].iter().all(|name| after[kind].contains(name));
        assert!(kept && after[kind].len() == made[kind].len() + usize::from(kind == "servers"), "{kind}: {after:?}");
    }
    work.destroy().passed();
    assert_eq!(cloud.project().everything(), Vec::<Value>::new());
}
