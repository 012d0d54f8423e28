//! From nothing to a cluster and back, for each form of it.

use crate::kit::{NAME, Up, bundle, context, ha, request, up};
use catalyst_plugin_hetzner::Hetzner;
use catalyst_plugin_sdk::{DeploymentRequest, Provisioner};
use catalyst_tests::hetzner::module::{Cloud, MODULE, TOKEN, Work, secret_value};
use catalyst_tests::hetzner::{Pace, Project};

/// Plan, apply, an empty second plan, destroy; so many servers and targets in between.
fn whole_life(request: &DeploymentRequest, control_plane: usize, workers: usize) {
    whole_life_in(Cloud::start(), request, control_plane, workers);
}

fn whole_life_in(cloud: Cloud, request: &DeploymentRequest, control_plane: usize, workers: usize) {
    let up = up(cloud, request);
    let servers = up.labelled("servers");
    let role =
        |role: &str| servers.iter().filter(|server| server["labels"]["catalyst.openova.io/role"] == role).count();
    assert_eq!((role("control-plane"), role("worker")), (control_plane, workers));
    let location = request.regions[0].cloud_region.as_str();
    assert!(servers.iter().all(|server| server["location"]["name"] == location));
    let balancer = &up.labelled("load_balancers")[0];
    assert_eq!(balancer["location"]["name"], location);
    assert_eq!(balancer["targets"].as_array().unwrap().len(), control_plane);
    assert_eq!(up.applied.outputs["load_balancer_ip"], balancer["public_net"]["ipv4"]["ip"]);
    endpoints_are_read(&up);
    nodes_are_named(&up, request);
    up.settled();
    up.down();
}

/// The plugin names each server that was made, and the resource that made it.
fn nodes_are_named(up: &Up, request: &DeploymentRequest) {
    let nodes = bundle(request).nodes;
    let mut names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let servers = up.labelled("servers");
    let mut made: Vec<&str> = servers.iter().map(|server| server["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    made.sort_unstable();
    assert_eq!(names, made);
    let state = up.work.run(&["state", "list"]);
    let listed = String::from_utf8_lossy(&state.stdout).into_owned();
    let is_server = |line: &&str| line.starts_with("hcloud_server.");
    assert_eq!(nodes.len(), listed.lines().filter(is_server).count());
    for node in nodes {
        assert!(listed.lines().any(|line| line == node.address), "{} is not in {listed}", node.address);
    }
}

/// What the apply says is what the plugin reads.
fn endpoints_are_read(up: &Up) {
    let output = up.work.run(&["output", "-json"]);
    let outputs = std::str::from_utf8(&output.stdout).unwrap().parse().unwrap();
    let endpoints = Hetzner::read_outputs(&outputs).unwrap();
    let address = up.applied.outputs["load_balancer_ip"].as_str().unwrap();
    assert!(endpoints.kubeconfig_hosts.iter().any(|host| host == address), "{endpoints:?}");
}

/// As with `HCLOUD_ENDPOINT`: nothing but the API's own answers is looked at.
#[test]
fn the_same_suite_runs_on_any_api_it_is_given() {
    let project = Project::start(TOKEN);
    whole_life_in(Cloud::at(project.endpoint(), TOKEN.to_owned()), &request("fsn1", 1), 1, 1);
    assert_eq!((project.everything().len(), project.unknown().len()), (0, 0));
}

#[test]
fn solo_in_fsn1() {
    whole_life(&request("fsn1", 0), 1, 0);
}

#[test]
fn solo_with_a_worker_in_nbg1() {
    whole_life(&request("nbg1", 1), 1, 1);
}

#[test]
fn ha_in_hel1() {
    whole_life(&ha("hel1", 0), 3, 0);
}

#[test]
fn ha_with_a_worker_in_ash() {
    whole_life(&ha("ash", 1), 3, 1);
}

#[test]
fn solo_in_hil() {
    whole_life(&request("hil", 0), 1, 0);
}

#[test]
fn ha_with_fifty_workers_in_sin() {
    whole_life(&ha("sin", 50), 3, 50);
}

/// With the longest domain there may be: its labels and the names of its servers are cut.
#[test]
fn solo_with_fifty_workers_and_the_longest_domain_in_fsn1() {
    let label = "a".repeat(63);
    let sovereign_fqdn = format!("{label}.{label}.{label}.{}.test", "b".repeat(43));
    assert_eq!(sovereign_fqdn.len(), 240);
    whole_life(&DeploymentRequest { sovereign_fqdn, ..request("fsn1", 50) }, 1, 50);
}

#[test]
fn actions_that_take_their_time_are_waited_for() {
    let cloud = Cloud::double();
    cloud.project().pace(Pace::Polled);
    let up = up(cloud, &ha("nbg1", 1));
    assert!(up.cloud.project().count("GET", "/actions") > 0);
    up.settled();
    up.down();
}

/// Without a host: the same user data from the same values, and no bearer where none was given.
#[test]
fn the_module_alone_makes_the_same_user_data_as_the_rendered_bundle() {
    let request = ha("fsn1", 1);
    let rendered = up(Cloud::double(), &request);
    let cloud = Cloud::double();
    let mut work = Work::standalone(&cloud).unwrap();
    let bundle = Hetzner::render(&request, &context()).unwrap();
    work.set_variables(&bundle.variables);
    for secret in bundle.secret_variables.iter().filter(|secret| secret.variable != "hcloud_token") {
        work.set(&secret.variable, &secret_value(&secret.variable));
    }
    work.set("deployment_id", crate::kit::DEPLOYMENT);
    work.init().unwrap();
    work.plan().passed();
    work.apply().passed();
    for name in ["cp1", "cp2", "cp3", "w1"] {
        let name = format!("{NAME}-{name}");
        let alone = cloud.project().user_data(&name).unwrap();
        assert_eq!(Some(alone), rendered.cloud.project().user_data(&name), "{name}");
    }
}

#[test]
fn f4_f5_the_module_alone_with_its_example_takes_its_defaults_and_invents_its_secrets_once() {
    let cloud = Cloud::double();
    let mut work = Work::standalone(&cloud).unwrap();
    let example = std::fs::read_to_string(format!("{MODULE}/example.tfvars")).unwrap();
    // What the example leaves to its reader.
    let given = |line: &&str| !line.contains("= \"\" #") && !line.starts_with("hcloud_project_id");
    let lines: Vec<&str> = example.lines().filter(given).collect();
    std::fs::write(work.path().join("example.auto.tfvars"), lines.join("\n")).unwrap();
    work.set("hcloud_project_id", "12345");
    work.set("ssh_public_key", &request("fsn1", 0).ssh_public_key);
    // The defaults of the module are retired at Hetzner by now.
    work.set("control_plane_size", "cx43");
    work.init().unwrap();
    work.plan().passed();
    let applied = work.apply().passed();
    let servers = cloud.project().all("servers");
    let name = servers[0]["name"].as_str().unwrap();
    let user_data = cloud.project().user_data(name).unwrap();
    assert!(!user_data.contains("catalyst-postback"), "no host, no call home");
    assert!(applied.outputs["console_url"].as_str().unwrap().starts_with("https://console."));
    assert_eq!(work.plan().passed().planned.len(), 0, "a token made anew would change the plan");
    work.destroy().passed();
    assert_eq!(cloud.project().everything().len(), 0);
}

/// Only who runs the module alone can get there, with digests of its own beside the longest of everything.
#[test]
fn user_data_over_the_limit_is_packed_and_says_the_same() {
    let cloud = Cloud::double();
    let mut work = Work::standalone(&cloud).unwrap();
    let mut long = request("fsn1", 0);
    let label = "a".repeat(63);
    long.sovereign_fqdn = format!("{label}.{label}.{label}.{}.test", "b".repeat(43));
    (long.org_name, long.org_email) = ("<".repeat(200), format!("{}@example.test", "<".repeat(241)));
    let mut variables: serde_json::Value =
        serde_json::from_str(&Hetzner::render(&long, &context()).unwrap().variables).unwrap();
    let digest = |index: usize| (format!("{index}{}", "x".repeat(63)), "0".repeat(64));
    variables["artifact_sha256"] =
        (0..10).map(digest).collect::<std::collections::BTreeMap<_, _>>().into_iter().collect();
    variables["gitops_branch"] = "b".repeat(200).into();
    variables["gitops_repo_url"] = format!("https://{}", "&".repeat(248)).into();
    variables["catalyst_api_url"] = format!("https://{}", "a".repeat(248)).into();
    variables["sovereign_subdomain"] = label.into();
    variables["k3s_version"] = format!("v1.31.{}+k3s1", "0".repeat(21)).into();
    variables["enable_local_storage"] = false.into();
    variables["gitops_path"] = format!("{}/", "p".repeat(199)).into();
    work.set_variables(&variables.to_string());
    work.set("ghcr_pull_token", &"<".repeat(256));
    work.set("kubeconfig_bearer_token", &"b".repeat(512));
    work.set("deployment_id", crate::kit::DEPLOYMENT);
    work.init().unwrap();
    work.plan().passed();
    work.apply().passed();
    let server = cloud.project().all("servers").remove(0);
    let packed = cloud.project().user_data(server["name"].as_str().unwrap()).unwrap();
    assert!(packed.len() < 24 * 1024, "{}", packed.len());
    let text = unpacked(&packed);
    assert!(text.len() > catalyst_tests::hetzner::USER_DATA_LIMIT, "{}", text.len());
    assert!(text.starts_with("#cloud-config\n") && text.contains(&"p".repeat(199)));
    catalyst_plugin_sdk::testing::check_user_data(&text).unwrap();
    assert_eq!(work.plan().passed().planned.len(), 0);
}

/// As cloud-init does it: out of base64, then out of gzip.
fn unpacked(text: &str) -> String {
    use base64::Engine as _;
    use std::io::Write as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    let output = std::process::Command::new("gzip").arg("-dc").stdin(file.reopen().unwrap()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
