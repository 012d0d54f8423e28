//! The network policy that the chart makes unless told otherwise: who comes in, what is reached, and that every example works
//! with it.

use super::*;
use serde_json::json;
use std::collections::BTreeSet;

/// Ports that are let out to wherever a name may lead: DNS, and the API of the cluster itself.
const ANYWHERE: [u64; 3] = [53, 443, 6443];

fn policy(objects: &[Value]) -> &Value {
    &only(objects, "NetworkPolicy")["spec"]
}

fn rendered(set: &[&str]) -> Vec<Value> {
    let output = template(&values("default"), set);
    assert!(output.status.success(), "{set:?}: {}", words(&output));
    parsed(&String::from_utf8(output.stdout).unwrap())
}

fn ports(rule: &Value) -> BTreeSet<u64> {
    rule["ports"].as_array().unwrap().iter().map(|port| port["port"].as_u64().unwrap()).collect()
}

fn let_out(spec: &Value) -> BTreeSet<u64> {
    spec["egress"].as_array().unwrap().iter().flat_map(ports).collect()
}

#[test]
fn it_is_there_unless_it_is_switched_off() {
    for set in SETS {
        let objects = objects(set);
        let spec = policy(&objects);
        assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]), "{set}");
        let labels = &only(&objects, "Deployment")["spec"]["template"]["metadata"]["labels"];
        for (key, value) in spec["podSelector"]["matchLabels"].as_object().unwrap() {
            assert_eq!(&labels[key], value, "{set}: it is for another Pod");
        }
    }
    let without = rendered(&["networkPolicy.enabled=false"]);
    assert!(!without.iter().any(|object| object["kind"] == "NetworkPolicy"));
}

#[test]
fn only_ports_that_are_listened_on_are_let_in() {
    for set in SETS {
        let objects = objects(set);
        let listened: BTreeSet<u64> = pod(&objects)["containers"][0]["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|port| port["containerPort"].as_u64().unwrap())
            .collect();
        let rules = policy(&objects)["ingress"].as_array().unwrap();
        assert_eq!(rules.iter().flat_map(ports).collect::<BTreeSet<u64>>(), listened, "{set}");
    }
}

#[test]
fn who_is_asked_for_no_token_must_at_least_be_in_the_cluster() {
    let inside = json!([{"namespaceSelector": {}}]);
    let asked = rendered(&[]);
    assert!(policy(&asked)["ingress"][0].get("from").is_none(), "an ingress controller may stand on the node itself");
    let open = rendered(&[r#"env.CATALYST_AUTH="none""#]);
    assert_eq!(policy(&open)["ingress"][0]["from"], inside);
    let named = json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "wizard"}}}]);
    let set = [r#"env.CATALYST_AUTH="none""#.to_owned(), format!("networkPolicy.from={named}")];
    let narrowed = rendered(&set.each_ref().map(String::as_str));
    assert_eq!(policy(&narrowed)["ingress"][0]["from"], named);
    let metrics = rendered(&[r#"env.CATALYST_METRICS_LISTEN="[::]:9090""#]);
    let rule = &policy(&metrics)["ingress"][1];
    assert_eq!((ports(rule), &rule["from"]), (BTreeSet::from([9090]), &inside), "the metrics ask nobody");
}

#[test]
fn the_metadata_service_of_a_cloud_is_not_reached() {
    let with_all = [
        r#"env.CATALYST_AUTH="kubernetes""#,
        r#"env.CATALYST_AUTH_SCOPES="*=read""#,
        r#"env.HTTPS_PROXY="http://proxy.example.org""#,
        "networkPolicy.egressPorts=[80,443,6443]",
    ];
    let sets = SETS.map(objects).into_iter().chain([rendered(&with_all)]);
    for objects in sets {
        let rules = policy(&objects)["egress"].as_array().unwrap();
        let anywhere = rules.iter().filter(|rule| rule.get("to").is_none());
        for port in anywhere.flat_map(ports) {
            assert!(ANYWHERE.contains(&port), "{port} is let out to everywhere: {rules:?}");
        }
        let blocks = rules.iter().filter_map(|rule| rule["to"].as_array()).flatten();
        for block in blocks.filter_map(|peer| peer.get("ipBlock")) {
            let excepted = match block["cidr"].as_str().unwrap() {
                "0.0.0.0/0" => ["169.254.0.0/16"].as_slice(),
                "::/0" => &["fe80::/10", "fd00:ec2::254/128"],
                other => panic!("{other}"),
            };
            assert_eq!(block["except"], json!(excepted));
        }
    }
}

#[test]
fn what_the_settings_name_is_reached_at_its_port() {
    for (set, port) in [
        (r#"env.HTTPS_PROXY="http://user:word@proxy.example.org:3128""#, 3128),
        (r#"env.HTTPS_PROXY="http://proxy.example.org/""#, 80),
        (r#"env.OTEL_EXPORTER_OTLP_ENDPOINT="http://otel-collector:4318/v1?x=:5""#, 4318),
        (r#"env.POOL_DOMAIN_MANAGER_URL="http://pdm.example.org:8081""#, 8081),
        (r#"env.CATALYST_OIDC_ISSUER="https://login.example.org:8443/realms/ops""#, 8443),
        (r#"env.CATALYST_AUTH_KUBERNETES_API="https://[fd00::1]:16443""#, 16443),
    ] {
        let objects = rendered(&[set]);
        assert!(let_out(policy(&objects)).contains(&port), "{set}: {:?}", let_out(policy(&objects)));
    }
    assert_eq!(let_out(policy(&rendered(&[]))), BTreeSet::from([53, 443, 6443, 8080]));
    let reviews = objects("gateway");
    let anywhere = |rule: &&Value| rule.get("to").is_none() && ports(rule) == BTreeSet::from([443, 6443]);
    let rules = policy(&reviews)["egress"].as_array().unwrap();
    assert_eq!(rules.iter().filter(anywhere).count(), 1, "who judges tokens is the cluster's own API");
    let narrowed = rendered(&[r#"networkPolicy.egressTo=[{"ipBlock":{"cidr":"203.0.113.0/24"}}]"#]);
    let to = &policy(&narrowed)["egress"][1]["to"];
    assert_eq!(to, &json!([{"ipBlock": {"cidr": "203.0.113.0/24"}}]));
}
