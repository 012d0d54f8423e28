//! What a server does with its user data at first boot. The steps are those of the templates that the clouds share, and
//! `tests/tests/hetzner/boot.rs` goes through all of their ends; here is that they run on this cloud, and what differs.

use crate::kit::{HOST, context, node, request, world};
use catalyst_plugin_openstack::Openstack;
use catalyst_plugin_sdk::Provisioner;
use catalyst_plugin_sdk::testing::UserData;
use catalyst_tests::boot_faults::{COMPLETE, FIRST};
use catalyst_tests::double::{Double, Seen};
use catalyst_tests::node::{KUBECONFIG, Node};
use catalyst_tests::openstack::module::{CREDENTIAL, Cloud, secret_value};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The commands of the user data are through, and every step of theirs succeeded.
const OK: i32 = 0;

/// The flags with which k3s was installed, in order, but for the two that name the node.
#[track_caller]
fn flags(node: &Node) -> Vec<String> {
    let calls = node.calls();
    let installs: Vec<&String> = calls.iter().filter(|call| call.starts_with("install ")).collect();
    assert_eq!(installs.len(), 1, "{}", node.log());
    let (how, exec) = installs[0].split_once(": ").unwrap();
    assert_eq!(how, "install v1.31.4+k3s1 download=true start=true");
    let mut flags: Vec<String> = exec.split(' ').map(str::to_owned).collect();
    let own = flags.split_off(flags.len() - 2);
    let name = node.read("/etc/catalyst/node-name").trim().to_owned();
    assert_eq!(own, [format!("--node-name={name}"), "--node-label=catalyst.openova.io/server=node".to_owned()]);
    let digits = name.strip_prefix("node-").unwrap();
    assert!(digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
    flags
}

fn server_flags(own: &str, begins: &[&str]) -> Vec<String> {
    let address = &world().address;
    let common = format!(
        "--token-file=/etc/catalyst/k3s-token --agent-token-file=/etc/catalyst/k3s-agent-token --flannel-backend=none \
         --disable-network-policy --disable-kube-proxy --disable=traefik --disable=servicelb --tls-san=acme.example.test \
         --tls-san={address} --tls-san=10.0.1.254 --tls-san=198.18.4.7 --tls-san={own} --node-ip={own} \
         --advertise-address={own} --node-label catalyst.openova.io/role=control-plane --write-kubeconfig-mode=0600"
    );
    begins.iter().copied().chain(common.split(' ')).map(str::to_owned).collect()
}

#[test]
fn g2_g3_g10_g18_the_first_server_begins_the_cluster_and_goes_through_all_steps() {
    let node = node(0, HOST);
    assert_eq!(node.boot(), OK, "{}", node.log());
    assert_eq!(flags(&node), server_flags("10.0.1.2", &["server", "--cluster-init"]));
    let log = node.read("/var/log/catalyst-boot.log");
    let lines: Vec<&str> = log.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    let mut expect: Vec<String> = FIRST.iter().flat_map(|s| [format!("{s} started"), format!("{s} ok")]).collect();
    expect.push("boot complete".to_owned());
    assert_eq!(lines, expect);
    assert!(node.path(COMPLETE).exists());
    let cilium = &node.calls()[node.call(&["helm upgrade --install cilium"])];
    assert!(cilium.contains("k8sServiceHost=127.0.0.1") && cilium.contains("k8sServicePort=6444"), "{cilium}");
    assert!(node.read("/stub/applied/block-metadata.yaml").contains("169.254.169.254/32"));
}

#[test]
fn g3_a_second_server_joins_with_the_same_flags_and_calls_nobody() {
    let node = node(1, HOST);
    assert_eq!(node.boot(), OK, "{}", node.log());
    assert_eq!(flags(&node), server_flags("10.0.1.3", &["server", "--server=https://10.0.1.2:6443"]));
    assert!(node.calls().iter().all(|call| !call.contains("postback") && !call.contains("helm")));
    assert_eq!(node.holding(&secret_value("kubeconfig_bearer_token")), Vec::<PathBuf>::new());
    assert!(node.path(COMPLETE).exists());
}

#[test]
fn g4_a_worker_joins_with_the_token_of_agents() {
    let node = node(3, HOST);
    assert_eq!(node.boot(), OK, "{}", node.log());
    let flags = flags(&node);
    assert_eq!(flags[..2], ["agent", "--server=https://10.0.1.2:6443"]);
    assert!(flags.contains(&"--node-ip=10.0.1.10".to_owned()));
    assert_eq!(node.read("/etc/catalyst/k3s-token"), secret_value("k3s_agent_token"));
    assert!(node.path(COMPLETE).exists());
}

#[test]
fn g1_g12_the_first_server_delivers_the_kubeconfig_of_the_public_address_with_the_real_curl() {
    let double = Double::http(|_: &Seen| Some((204, String::new())));
    let node = node(0, &double.url());
    assert_eq!(node.boot(), OK, "{}", node.log());
    assert_eq!(node.start("catalyst-postback.service"), Some(0), "{}", node.log());
    let seen = double.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].method.as_str(), seen[0].path.as_str()),
        ("PUT", "/api/v1/deployments/00112233aabbccdd/kubeconfig")
    );
    let bearer = secret_value("kubeconfig_bearer_token");
    assert!(seen[0].headers.contains(&format!("Authorization: Bearer {bearer}")));
    let server = format!("server: https://{}:6443", world().address);
    let expect = KUBECONFIG.replace("server: https://127.0.0.1:6443", &server);
    assert_eq!(String::from_utf8_lossy(&seen[0].body), expect);
    assert_eq!(node.holding(&bearer), Vec::<PathBuf>::new(), "it is not kept");
}

#[test]
fn g12_the_credential_reaches_the_cluster_when_it_is_asked_for_and_leaves_the_disk() {
    use base64::Engine as _;
    let node = node(0, HOST);
    node.boot();
    let applied = node.read("/stub/applied/openstack-credentials.yaml");
    assert!(applied.contains("name: openstack-credentials") && applied.contains("namespace: crossplane-system"));
    let base64 = applied.split_once("credentials: ").unwrap().1.lines().next().unwrap();
    let json = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["application_credential_secret"], CREDENTIAL.1);
    assert_eq!(json["auth_url"], world().cloud.auth_url);
    assert!(!node.path("/var/lib/catalyst/openstack-credentials.yaml").exists());
    assert!(node.calls().iter().all(|call| !call.contains(CREDENTIAL.1) && !call.contains(base64)));
}

/// Without a load balancer nothing else would answer on the web's ports.
#[test]
fn a_first_server_without_a_load_balancer_forwards_the_web_itself_and_no_other_does() {
    const DROP_IN: &str = "/etc/systemd/system/k3s.service.d/catalyst-ports.conf";
    let cloud = Cloud::double();
    let asked = request(&cloud, 1, json!({"openstackLoadBalancer": "none"}));
    let bundle = Openstack::render(&asked, &context()).unwrap();
    let text = |path: &str| {
        let file = bundle.files.iter().find(|file| file.path == path).unwrap();
        std::str::from_utf8(&file.content).unwrap().to_owned()
    };
    let first = UserData::parse(&text("cloudinit-control-plane.tftpl")).unwrap();
    let wants = &first.file(DROP_IN).unwrap().content;
    for (port, target) in [("80", "127.0.0.1:31080"), ("443", "127.0.0.1:31443")] {
        assert!(wants.contains(&format!("catalyst-port-{port}.socket")));
        let unit =
            |kind: &str| &first.file(&format!("/etc/systemd/system/catalyst-port-{port}.{kind}")).unwrap().content;
        assert!(unit("socket").contains(&format!("ListenStream={port}\n")));
        assert!(unit("service").contains(&format!("systemd-socket-proxyd {target}\n")));
    }
    assert!(!text("cloudinit-worker.tftpl").contains("catalyst-port"));
    assert!(!world().user_data[0].contains("catalyst-port"), "with one, it does");
}

/// The clouds share their templates; this holds the scripts to it, whatever a later change does to the files.
#[test]
fn the_scripts_of_a_first_boot_are_those_of_the_other_cloud() {
    use catalyst_plugin_hetzner::Hetzner;
    let cloud = Cloud::double();
    let mut asked = request(&cloud, 1, json!({"hetznerProjectID": "1", "enableHcloudCredentials": false}));
    asked.ha_enabled = true;
    let ours = Openstack::render(&asked, &context()).unwrap();
    asked.regions[0].cloud_region = "fsn1".to_owned();
    (asked.regions[0].provider, asked.regions[0].control_plane_size) = ("hetzner".to_owned(), "cx43".to_owned());
    let theirs = Hetzner::render(&asked, &context()).unwrap();
    for role in ["control-plane", "control-plane-join", "worker"] {
        let path = format!("cloudinit-{role}.tftpl");
        let files = |bundle: &catalyst_plugin_sdk::Rendered| {
            let file = bundle.files.iter().find(|file| file.path == path).unwrap();
            let mut user_data = UserData::parse(std::str::from_utf8(&file.content).unwrap()).unwrap();
            user_data.write_files.retain(|file| !file.path.ends_with("sovereign.json"));
            // Each names its own secret in the cluster.
            let content = |text: &str| text.replace("hcloud-credentials", "openstack-credentials");
            let files = user_data.write_files.iter().map(|file| (file.path.clone(), content(&file.content)));
            (files.collect::<Vec<_>>(), user_data.bootcmd, user_data.runcmd)
        };
        assert_eq!(files(&ours), files(&theirs), "{role}");
    }
}
