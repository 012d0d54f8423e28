//! The plugin and the module refuse the same: the values of this cloud, and those of every cloud from the SDK's test
//! kit.

use crate::common::{context, module, solo, with_token};
use catalyst_plugin_hetzner::Hetzner;
use catalyst_plugin_sdk::testing::bounds::{self, Field, Judge, set, text, texts};
use catalyst_plugin_sdk::{DomainMode, Provisioner};
use serde_json::{Value, json};

fn names() -> Vec<Field> {
    let label = "a".repeat(63);
    let long = |bytes: usize| format!("{label}.{label}.{label}.{}.test", "b".repeat(bytes - 3 * 64 - 5));
    let mut names = bounds::names();
    names.extend([
        Field {
            variable: "pool_domain",
            put: |r, v| (r.domain_mode, r.pool_domain) = (DomainMode::Pool, text(v)),
            values: texts(["omani.works", "works", "Omani.works", "-a.works", "a.works.", &long(240), &long(241)]),
        },
        Field {
            variable: "hcloud_project_id",
            put: |r, v| set(r, "hetznerProjectID", v),
            values: vec!["1".into(), "x".repeat(128).into(), "x".repeat(129).into(), "a\u{1}".into()],
        },
    ]);
    names
}

fn sizes() -> Vec<Field> {
    let types = [
        "cx43", "cpx42", "ccx63", "cax41", "cx1", "cx999", "cx1000", "cx", "CX43", "t3.large", "xcx43", "cx43 a",
        "dcx43",
    ];
    vec![
        Field {
            variable: "region",
            put: |r, v| r.regions[0].cloud_region = text(v),
            values: texts(["fsn1", "nbg1", "hel1", "ash", "hil", "sin", "fsn2", "FSN1", "eu-central"]),
        },
        Field {
            variable: "control_plane_size",
            put: |r, v| r.regions[0].control_plane_size = text(v),
            values: texts(types),
        },
        Field {
            variable: "worker_size",
            put: |r, v| (r.regions[0].worker_size, r.regions[0].worker_count) = (text(v), 1),
            values: texts(types),
        },
        Field {
            variable: "worker_count",
            put: |r, v| r.regions[0].worker_count = v.as_i64().unwrap(),
            values: [0, 1, 50, 51, -1, i64::from(i32::MAX)].map(Value::from).to_vec(),
        },
        Field {
            variable: "regions",
            put: |r, v| r.regions[0].provider = text(&v[0]["provider"]),
            values: ["hetzner", "aws", "nowhere"].map(|name| json!([{"provider": name}])).to_vec(),
        },
    ]
}

fn settings() -> Vec<Field> {
    let network = |index: usize| format!("10.{}.{}.0/24", index / 200, index % 200);
    let networks = |count: usize| json!((0..count).map(network).collect::<Vec<_>>());
    let one = |text: &str| json!([text]);
    let cidrs = [
        "203.0.113.7/32",
        "203.0.113.7/24",
        "2001:db8::/48",
        "2001:db8::1/64",
        "x",
        "10.0.0.0",
        "10.0.0.0/33",
        "::/129",
        "::/0",
        "2001:DB8::/32",
        "010.0.0.0/8",
        "10.0.0.0/08",
        "::ffff:10.0.0.0/104",
        "::ffff:a00:0/104",
        "64:ff9b::192.0.2.0/120",
        "fe80::1%eth0/64",
        "10.0.0.256/32",
    ];
    let mut all: Vec<Value> = cidrs.map(one).to_vec();
    all.extend([json!([]), networks(100), networks(101)]);
    vec![
        Field { variable: "ssh_public_key", put: |r, v| r.ssh_public_key = text(v), values: bounds::ssh_keys() },
        Field {
            variable: "ssh_key_name",
            put: |r, v| set(r, "sshKeyName", v),
            values: texts(["mine", "me@home key", "é", &"k".repeat(128), &"k".repeat(129), "a\u{1}"]),
        },
        Field { variable: "ssh_allowed_cidrs", put: |r, v| set(r, "sshAllowedCidrs", v), values: all },
        Field {
            variable: "gitops_path",
            put: |r, v| set(r, "gitopsPath", v),
            values: texts([
                "clusters/_template",
                "_x",
                "../x",
                "a/../b",
                "/x",
                "a b",
                "a\"b",
                &"a".repeat(200),
                &"a".repeat(201),
            ]),
        },
    ]
}

/// What is refused by one of the two alone.
fn disagreements(fields: &[Field]) -> Vec<String> {
    judge().disagreements::<Hetzner>(fields).unwrap()
}

fn judge() -> Judge {
    Judge { module: module(), request: solo(), context: context(), complete: with_token }
}

#[test]
fn f7_g16_names_are_refused_by_plugin_and_module_alike() {
    assert_eq!(disagreements(&names()), Vec::<String>::new());
}

/// The wizard says them in every mode, as they were typed; outside pool mode nothing reads them.
#[test]
fn pool_names_of_a_domain_of_ones_own_stop_nothing() {
    let mut request = solo();
    request.domain_mode = DomainMode::Byo;
    (request.subdomain, request.pool_domain) = ("Acme Corp".to_owned(), "Not a domain".to_owned());
    let findings = Hetzner::validate(&request);
    assert!(!findings.has_errors(), "{findings:?}");
    let bundle = Hetzner::render(&request, &context()).unwrap();
    module().accepts(&with_token(&bundle.variables)).unwrap();
    let told = bundle.files.iter().any(|file| String::from_utf8_lossy(&file.content).contains("Acme Corp"));
    assert!(!told, "neither does a node");
}

#[test]
fn f7_sizes_and_places_are_refused_by_plugin_and_module_alike() {
    assert_eq!(disagreements(&sizes()), Vec::<String>::new());
}

#[test]
fn f7_g14_g16_keys_networks_and_versions_are_refused_by_plugin_and_module_alike() {
    assert_eq!(disagreements(&settings()), Vec::<String>::new());
    assert_eq!(disagreements(&bounds::versions()), Vec::<String>::new());
}

/// What the host itself supplies: its own address and the repository.
#[test]
fn f7_what_a_host_supplies_is_refused_by_plugin_and_module_alike() {
    assert_eq!(judge().host_disagreements::<Hetzner>().unwrap(), Vec::<String>::new());
}

/// The wizard has three ways to say it, and who runs the module alone may take any of them.
#[test]
fn f6_the_module_takes_every_way_to_say_byo() {
    let mut variables = with_token(&Hetzner::render(&solo(), &context()).unwrap().variables);
    assert_eq!(variables["domain_mode"], "byo");
    for (mode, taken) in
        [("byo-manual", true), ("byo-api", true), ("byo", true), ("pool", true), ("", true), ("own", false)]
    {
        variables["domain_mode"] = mode.into();
        assert_eq!(module().accepts(&variables).is_ok(), taken, "{mode}");
    }
}

#[test]
fn f4_f5_null_and_blank_are_the_modules_own_defaults() {
    let good = with_token(&Hetzner::render(&solo(), &context()).unwrap().variables);
    let blank = [
        "control_plane_size",
        "worker_size",
        "domain_mode",
        "gitops_branch",
        "gitops_path",
        "k3s_version",
        "deployment_id",
    ];
    let mut variables = good.clone();
    for variable in blank {
        variables[variable] = "".into();
    }
    module().accepts(&variables).unwrap();
    for variable in
        ["regions", "worker_count", "ha_enabled", "ssh_allowed_cidrs", "control_plane_size", "artifact_sha256"]
    {
        variables[variable] = Value::Null;
    }
    module().accepts(&variables).unwrap();
    variables["region"] = Value::Null;
    assert!(module().accepts(&variables).is_err(), "there is no default for a place");
}
