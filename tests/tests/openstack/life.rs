//! From nothing to a cluster and back, for each form of it.

use crate::kit::{DEPLOYMENT, Up, bundle, context, ha, request, up, user_data};
use catalyst_plugin_openstack::Openstack;
use catalyst_plugin_sdk::{DeploymentRequest, Provisioner};
use catalyst_tests::openstack::module::{Cloud, MODULE, Work, secret_value};
use catalyst_tests::openstack::{Pace, USER_DATA_LIMIT};
use serde_json::json;

/// Plan, apply, an empty second plan, destroy; so many servers and members of a pool in between.
fn whole_life(cloud: Cloud, request: &DeploymentRequest, control_plane: usize, workers: usize) {
    let up = up(cloud, request);
    nodes_are_named(&up, request);
    whole_life_of(&up, control_plane, workers);
}

/// The plugin names each server that was made, and the resource that made it.
fn nodes_are_named(up: &Up, request: &DeploymentRequest) {
    let nodes = bundle(request).nodes;
    let state = up.work.run(&["state", "list"]);
    let listed = String::from_utf8_lossy(&state.stdout).into_owned();
    let is_server = |line: &&str| line.starts_with("openstack_compute_instance_v2.");
    assert_eq!(nodes.len(), listed.lines().filter(is_server).count());
    for node in &nodes {
        assert!(listed.lines().any(|line| line == node.address), "{} is not in {listed}", node.address);
    }
    if let Some(project) = &up.cloud.double {
        let mut made: Vec<String> =
            project.all("servers").iter().map(|server| server["name"].as_str().unwrap().to_owned()).collect();
        let mut names: Vec<String> = nodes.into_iter().map(|node| node.name).collect();
        made.sort_unstable();
        names.sort_unstable();
        assert_eq!(names, made);
    }
}

fn whole_life_of(up: &Up, control_plane: usize, workers: usize) {
    if let Some(project) = &up.cloud.double {
        let servers = project.all("servers");
        let role = |role: &str| servers.iter().filter(|server| server["metadata"]["catalyst-role"] == role).count();
        assert_eq!((role("control-plane"), role("worker")), (control_plane, workers));
        for pool in project.all("pools") {
            let ssh = pool["name"].as_str().unwrap().ends_with("-ssh");
            let members = if ssh { 1 } else { control_plane };
            assert_eq!(pool["members"].as_array().unwrap().len(), members);
        }
        let floating = project.all("floatingips");
        assert_eq!(floating.len(), 1, "one public address");
        assert_eq!(up.applied.outputs["load_balancer_ip"], floating[0]["floating_ip_address"]);
    }
    endpoints_are_read(up);
    up.settled();
    up.down();
}

/// What the apply says is what the plugin reads.
fn endpoints_are_read(up: &Up) {
    let output = up.work.run(&["output", "-json"]);
    let outputs = std::str::from_utf8(&output.stdout).unwrap().parse().unwrap();
    let endpoints = Openstack::read_outputs(&outputs).unwrap();
    let address = up.applied.outputs["load_balancer_ip"].as_str().unwrap();
    assert!(endpoints.kubeconfig_hosts.iter().any(|host| host == address), "{endpoints:?}");
}

#[test]
fn solo() {
    let cloud = Cloud::start();
    let request = request(&cloud, 0, json!({}));
    whole_life(cloud, &request, 1, 0);
}

#[test]
fn ha_with_two_workers() {
    let cloud = Cloud::start();
    let request = ha(&cloud, 2, json!({}));
    whole_life(cloud, &request, 3, 2);
}

#[test]
fn solo_with_a_worker_without_a_load_balancer() {
    let cloud = Cloud::start();
    let request = request(&cloud, 1, json!({"openstackLoadBalancer": "none"}));
    whole_life(cloud, &request, 1, 1);
}

#[test]
fn ha_behind_ovn_from_volumes_in_a_soft_group() {
    let cloud = Cloud::double();
    let settings = json!({"openstackLoadBalancerProvider": "ovn", "openstackBootVolumeGiB": 50,
                          "openstackServerGroupPolicy": "soft-anti-affinity", "openstackAvailabilityZone": "nova",
                          "sshAllowedCidrs": ["203.0.113.0/24"]});
    let mut request = ha(&cloud, 1, settings);
    request.regions[0].control_plane_size = "SCS-4V-16".to_owned();
    let up = up(cloud, &request);
    let project = up.cloud.project();
    let ssh = project.all("listeners").into_iter().find(|listener| listener["protocol_port"] == 22).unwrap();
    assert!(ssh["allowed_cidrs"].is_null(), "ovn takes no list");
    let rules = project.all("security_group_rules");
    let from: Vec<_> =
        rules.iter().filter(|rule| rule["port_range_min"] == 22).map(|r| &r["remote_ip_prefix"]).collect();
    assert_eq!(from, ["203.0.113.0/24"], "the servers themselves let in that network alone");
    whole_life_of(&up, 3, 1);
}

#[test]
fn what_takes_its_time_is_waited_for() {
    let cloud = Cloud::double();
    cloud.project().pace(Pace::Polled);
    let request = ha(&cloud, 1, json!({}));
    let up = up(cloud, &request);
    up.settled();
    up.work.destroy().passed();
    assert_eq!(up.cloud.project().everything().len(), 0);
}

/// Without a host: the same user data from the same values.
#[test]
fn the_module_alone_makes_the_same_user_data_as_the_rendered_bundle() {
    let cloud = Cloud::double();
    let asked = ha(&cloud, 1, json!({"enableOpenstackCredentials": true}));
    let rendered = up(cloud, &asked);
    let mut work = Work::standalone(&*rendered.cloud).unwrap();
    rendered.work.destroy().passed();
    let bundle = Openstack::render(&asked, &context()).unwrap();
    work.set_variables(&bundle.variables);
    let cloud = &rendered.cloud;
    let before: Vec<String> = ["cp1", "cp2", "cp3", "w1"].map(|name| user_data(cloud, name)).to_vec();
    for secret in bundle.secret_variables.iter().filter(|secret| !secret.variable.starts_with("application")) {
        work.set(&secret.variable, &secret_value(&secret.variable));
    }
    work.set("deployment_id", DEPLOYMENT);
    work.init().unwrap();
    work.plan().passed();
    work.apply().passed();
    let address = |text: &str| {
        text.split("--tls-san=203.0.113.").nth(1).and_then(|rest| rest.split(' ').next().map(str::to_owned))
    };
    for (name, before) in ["cp1", "cp2", "cp3", "w1"].into_iter().zip(before) {
        let alone = user_data(cloud, name);
        // The public address is another one the second time.
        let public = |text: &str| {
            address(text).map_or(text.to_owned(), |end| text.replace(&format!("203.0.113.{end}"), "PUBLIC"))
        };
        assert_eq!(public(&alone), public(&before), "{name}");
    }
}

#[test]
fn f4_f5_the_module_alone_with_its_example_takes_its_defaults_and_invents_its_secrets_once() {
    let cloud = Cloud::double();
    let mut work = Work::standalone(&cloud).unwrap();
    let example = std::fs::read_to_string(format!("{MODULE}/example.tfvars")).unwrap();
    // What the example leaves to its reader.
    let lines: Vec<&str> = example.lines().filter(|line| !line.contains("= \"\" #")).collect();
    std::fs::write(work.path().join("example.auto.tfvars"), lines.join("\n")).unwrap();
    let given = [
        ("auth_url", cloud.auth_url.as_str()),
        ("region", cloud.region.as_str()),
        ("external_network", cloud.external_network.as_str()),
        ("control_plane_size", cloud.flavour.as_str()),
    ];
    for (variable, value) in given {
        work.set(variable, value);
    }
    work.set("ssh_public_key", &request(&cloud, 0, json!({})).ssh_public_key);
    work.init().unwrap();
    work.plan().passed();
    let applied = work.apply().passed();
    let servers = cloud.project().all("servers");
    let user_data = cloud.project().user_data(servers[0]["name"].as_str().unwrap()).unwrap();
    let user_data = String::from_utf8(user_data).unwrap();
    assert!(!user_data.contains("catalyst-postback"), "no host, no call home");
    assert!(!user_data.contains("openstack-credentials.yaml"), "the credential is not given away unasked");
    assert!(applied.outputs["console_url"].as_str().unwrap().starts_with("https://console."));
    assert_eq!(work.plan().passed().planned.len(), 0, "a token made anew would change the plan");
    work.destroy().passed();
    assert_eq!(cloud.project().everything().len(), 0);
}

/// The longest that the module's variables let pass, with digests of the operator's own, fits.
#[test]
fn the_longest_user_data_is_taken_as_it_is() {
    let cloud = Cloud::double();
    let mut work = Work::standalone(&cloud).unwrap();
    let mut long = request(&cloud, 0, json!({"openstackLoadBalancer": "none", "enableOpenstackCredentials": true}));
    let label = "a".repeat(63);
    long.sovereign_fqdn = format!("{label}.{label}.{label}.{}.test", "b".repeat(43));
    (long.org_name, long.org_email) = ("<".repeat(200), format!("{}@example.test", "<".repeat(241)));
    let bundle = Openstack::render(&long, &context()).unwrap();
    let mut variables: serde_json::Value = serde_json::from_str(&bundle.variables).unwrap();
    let digest = |index: usize| (format!("{index}{}", "x".repeat(63)), "0".repeat(64));
    variables["artifact_sha256"] =
        (0..10).map(digest).collect::<std::collections::BTreeMap<_, _>>().into_iter().collect();
    variables["gitops_branch"] = "b".repeat(200).into();
    variables["gitops_repo_url"] = format!("https://{}", "&".repeat(248)).into();
    variables["catalyst_api_url"] = format!("https://{}", "a".repeat(248)).into();
    variables["sovereign_subdomain"] = label.into();
    variables["gitops_path"] = format!("{}/", "p".repeat(199)).into();
    work.set_variables(&variables.to_string());
    work.set("ghcr_pull_token", &"<".repeat(256));
    work.set("kubeconfig_bearer_token", &"b".repeat(512));
    work.set("deployment_id", DEPLOYMENT);
    work.init().unwrap();
    work.plan().passed();
    work.apply().passed();
    let server = cloud.project().all("servers").remove(0);
    let user_data = cloud.project().user_data(server["name"].as_str().unwrap()).unwrap();
    assert!(user_data.len().div_ceil(3) * 4 <= USER_DATA_LIMIT, "{}", user_data.len());
    let text = String::from_utf8(user_data).unwrap();
    assert!(text.starts_with("#cloud-config\n"), "people can read it");
    catalyst_plugin_sdk::testing::check_user_data(&text).unwrap();
    assert_eq!(work.plan().passed().planned.len(), 0);
}
