//! The plugin and the module refuse the same: the values of this cloud, and those of every cloud from the SDK's test
//! kit.

use crate::common::{context, module, plain, solo, with_credential};
use catalyst_plugin_openstack::Openstack;
use catalyst_plugin_sdk::testing::bounds::{self, Field, Judge, set, text, texts};
use catalyst_plugin_sdk::{DeploymentRequest, DomainMode, Provisioner};
use serde_json::{Value, json};

fn sizes() -> Vec<Field> {
    let flavours = ["b3-16", "SCS-4V-16-50", "m1.large", "a b", "é", "x\ty", "a\u{7f}"];
    let long = |letters: usize| Value::from("f".repeat(letters));
    let mut flavours = texts(flavours);
    flavours.extend([long(100), long(101)]);
    let places = ["GRA11", "dc3-a", "eu_de.1", "a b", "-a", "é", "a/b", &"r".repeat(63), &"r".repeat(64)];
    vec![
        Field { variable: "region", put: |r, v| r.regions[0].cloud_region = text(v), values: texts(places) },
        Field {
            variable: "availability_zone",
            put: |r, v| set(r, "openstackAvailabilityZone", v),
            values: texts(places),
        },
        Field {
            variable: "control_plane_size",
            put: |r, v| r.regions[0].control_plane_size = text(v),
            values: flavours.clone(),
        },
        Field {
            variable: "worker_size",
            put: |r, v| (r.regions[0].worker_size, r.regions[0].worker_count) = (text(v), 1),
            values: flavours,
        },
        Field {
            variable: "worker_count",
            put: |r, v| r.regions[0].worker_count = v.as_i64().unwrap(),
            values: [0, 1, 50, 51, -1, i64::from(i32::MAX)].map(Value::from).to_vec(),
        },
        Field {
            variable: "boot_volume_gib",
            put: |r, v| set(r, "openstackBootVolumeGiB", v),
            values: [0, 1, 19, 20, 16_384, 16_385, -1].map(Value::from).to_vec(),
        },
        Field {
            variable: "server_group_policy",
            put: |r, v| set(r, "openstackServerGroupPolicy", v),
            values: texts(["anti-affinity", "soft-anti-affinity", "affinity", "Anti-Affinity"]),
        },
    ]
}

fn cloud() -> Vec<Field> {
    let url = |length: usize| format!("https://{}", "a".repeat(length - 8));
    let name = |length: usize| "n".repeat(length);
    let (longest, too_long) = (name(255), name(256));
    let names = texts(["Ext-Net", "Ubuntu 24.04", "日本", "a\u{e000}", "a\u{1}b", &longest, &too_long]);
    let resolvers = [
        json!([]),
        json!(["192.0.2.53"]),
        json!(["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"]),
        json!(["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"]),
        json!(["192.0.2.1", "192.0.2.1"]),
        json!(["2001:db8::1"]),
        json!(["192.0.2"]),
        json!(["192.0.2.256"]),
        json!(["010.0.0.1"]),
        json!(["resolver.test"]),
    ];
    let urls = [
        "https://auth.test/v3",
        "https://auth.test:5000",
        "https://[2001:db8::1]:5000/v3",
        "http://127.0.0.1:5000/v3",
        "http://auth.test/v3",
        "https://a@auth.test/v3",
        "https://auth.test/v3?x",
        "auth.test",
        &url(256),
        &url(257),
    ];
    vec![
        Field { variable: "auth_url", put: |r, v| set(r, "openstackAuthUrl", v), values: texts(urls) },
        Field {
            variable: "external_network",
            put: |r, v| set(r, "openstackExternalNetwork", v),
            values: names.clone(),
        },
        Field { variable: "image_name", put: |r, v| set(r, "openstackImage", v), values: names },
        Field { variable: "dns_nameservers", put: |r, v| set(r, "openstackDnsServers", v), values: resolvers.to_vec() },
        Field {
            variable: "load_balancer",
            put: |r, v| set(r, "openstackLoadBalancer", v),
            values: texts(["octavia", "none", "haproxy"]),
        },
        Field {
            variable: "load_balancer_provider",
            put: |r, v| set(r, "openstackLoadBalancerProvider", v),
            values: texts(["amphora", "ovn", "a-b_1", "Amphora", "1a", "a b", &"p".repeat(32), &"p".repeat(33)]),
        },
        Field {
            variable: "enable_openstack_credentials",
            put: |r, v| set(r, "enableOpenstackCredentials", v),
            values: vec![true.into(), false.into()],
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
        "::ffff:a00:0/104",
        "64:ff9b::192.0.2.0/120",
    ];
    let mut all: Vec<Value> = cidrs.map(one).to_vec();
    all.extend([json!([]), networks(50), networks(51)]);
    vec![
        Field { variable: "ssh_public_key", put: |r, v| r.ssh_public_key = text(v), values: bounds::ssh_keys() },
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
    judge().disagreements::<Openstack>(fields).unwrap()
}

fn judge() -> Judge {
    Judge { module: module(), request: solo(), context: context(), complete: with_credential }
}

#[test]
fn f7_g16_names_are_refused_by_plugin_and_module_alike() {
    assert_eq!(disagreements(&bounds::names()), Vec::<String>::new());
}

/// The wizard says them in every mode, as they were typed; outside pool mode nothing reads them.
#[test]
fn pool_names_of_a_domain_of_ones_own_stop_nothing() {
    let mut request = solo();
    request.domain_mode = DomainMode::Byo;
    (request.subdomain, request.pool_domain) = ("Acme Corp".to_owned(), "Not a domain".to_owned());
    let findings = Openstack::validate(&request);
    assert!(!findings.has_errors(), "{findings:?}");
    let bundle = Openstack::render(&request, &context()).unwrap();
    module().accepts(&with_credential(&bundle.variables)).unwrap();
    let told = bundle.files.iter().any(|file| String::from_utf8_lossy(&file.content).contains("Acme Corp"));
    assert!(!told, "neither does a node");
}

#[test]
fn f7_sizes_and_places_are_refused_by_plugin_and_module_alike() {
    assert_eq!(disagreements(&sizes()), Vec::<String>::new());
}

#[test]
fn f7_the_clouds_names_are_refused_by_plugin_and_module_alike() {
    assert_eq!(disagreements(&cloud()), Vec::<String>::new());
}

#[test]
fn f7_g14_g16_keys_networks_and_versions_are_refused_by_plugin_and_module_alike() {
    assert_eq!(disagreements(&settings()), Vec::<String>::new());
    assert_eq!(disagreements(&bounds::versions()), Vec::<String>::new());
}

/// What the host itself supplies: its own address and the repository.
#[test]
fn f7_what_a_host_supplies_is_refused_by_plugin_and_module_alike() {
    assert_eq!(judge().host_disagreements::<Openstack>().unwrap(), Vec::<String>::new());
}

/// The one public address would end with its server.
#[test]
fn f7_three_servers_without_a_load_balancer_are_refused_by_plugin_and_module_alike() {
    let mut variables = with_credential(&Openstack::render(&plain(), &context()).unwrap().variables);
    module().accepts(&variables).unwrap();
    variables["ha_enabled"] = true.into();
    assert!(module().accepts(&variables).unwrap_err().contains("load_balancer octavia"));
    let request = DeploymentRequest { ha_enabled: true, ..plain() };
    assert!(Openstack::render(&request, &context()).is_err());
}

#[test]
fn f4_f5_null_and_blank_are_the_modules_own_defaults() {
    let good = with_credential(&Openstack::render(&solo(), &context()).unwrap().variables);
    let blank = [
        "worker_size",
        "image_name",
        "availability_zone",
        "load_balancer",
        "load_balancer_provider",
        "server_group_policy",
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
        ["worker_count", "ha_enabled", "ssh_allowed_cidrs", "dns_nameservers", "boot_volume_gib", "artifact_sha256"]
    {
        variables[variable] = Value::Null;
    }
    module().accepts(&variables).unwrap();
    for variable in ["region", "auth_url", "control_plane_size", "external_network"] {
        let mut without = good.clone();
        without[variable] = Value::Null;
        assert!(module().accepts(&without).is_err(), "there is no default for {variable}");
    }
}

/// What the host checks before a plan is made, and who runs the module alone is told there.
#[test]
fn g16_a_credential_of_the_wrong_form_does_not_pass_the_plan() {
    let good = with_credential(&Openstack::render(&solo(), &context()).unwrap().variables);
    for (variable, bad) in [
        ("application_credential_id", "short"),
        ("application_credential_id", "a name with blanks"),
        ("application_credential_secret", "short"),
        ("application_credential_secret", "with blanks in it"),
        ("deployment_id", "-x"),
        ("deployment_id", "0123456789012345678901234567890123456"),
    ] {
        let mut variables = good.clone();
        variables[variable] = bad.into();
        assert!(module().accepts(&variables).unwrap_err().contains(variable), "{variable} = {bad}");
    }
}
