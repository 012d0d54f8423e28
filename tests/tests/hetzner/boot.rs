//! What a server does with its user data at first boot: the order of its steps, k3s's flags, what it verifies, and what is
//! left when a step fails.

use crate::kit::{HOST, bundle, ha, node, world};
use catalyst_plugin_sdk::DeploymentRequest;
use catalyst_plugin_sdk::testing::UserData;
use catalyst_tests::boot_faults::{COMPLETE, FAILED, FIRST};
use catalyst_tests::hetzner::downloads::{self, path_of};
use catalyst_tests::hetzner::module::{TOKEN, secret_value};
use catalyst_tests::hetzner::node::Node;

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
    let (name, server) = ("--node-name=", "--node-label=catalyst.openova.io/server=");
    exec.split(' ').filter(|flag| !flag.starts_with(name) && !flag.starts_with(server)).map(str::to_owned).collect()
}

/// Each of these calls was made, after the one before it.
#[track_caller]
fn in_order(node: &Node, steps: &[&[&str]]) {
    let found: Vec<usize> = steps.iter().map(|words| node.call(words)).collect();
    assert!(found.is_sorted(), "{found:?} in {:#?}", node.calls());
}

/// The status lines of the boot, without their time.
fn status(node: &Node) -> Vec<String> {
    let log = node.read("/var/log/catalyst-boot.log");
    log.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
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
fn g10_the_first_server_goes_through_its_steps_in_order_and_waits_for_no_answer() {
    let node = node(0, HOST);
    assert_eq!(node.boot(), OK, "{}", node.log());
    in_order(
        &node,
        &[
            &["apt-get", "install curl"],
            &["swapoff -a"],
            &["sshd -T"],
            &["systemctl restart fail2ban.service"],
            &["fail2ban-client status sshd"],
            &["curl", &downloads::k3s_url()],
            &["install v1.31.4+k3s1"],
            &["systemctl restart --no-block k3s.service"],
            &["kubectl", "get --raw /readyz"],
            &["systemctl start --no-block catalyst-postback.service"],
            &["helm upgrade --install cilium"],
            &["kubectl apply --filename /var/lib/catalyst/block-metadata.yaml"],
            &["flux install --export"],
            &["kubectl apply --server-side"],
            &["kubectl apply --filename /var/lib/catalyst/ghcr-pull-secret.yaml"],
            &["kubectl apply --filename /var/lib/catalyst/hcloud-credentials.yaml"],
            &["kubectl apply --filename /var/lib/catalyst/flux-bootstrap.yaml"],
        ],
    );
    let mut expect: Vec<String> = FIRST.iter().flat_map(|s| [format!("{s} started"), format!("{s} ok")]).collect();
    expect.push("boot complete".to_owned());
    assert_eq!(status(&node), expect);
    assert!(node.path(COMPLETE).exists() && !node.path(FAILED).exists());
    assert!(!node.read("/etc/fstab").contains("swap"));
}

#[test]
fn g2_g3_g18_the_first_server_begins_the_cluster_with_every_name_it_is_called_by() {
    let node = node(0, HOST);
    node.boot();
    assert_eq!(flags(&node), server_flags("10.0.1.2", &["server", "--cluster-init"]));
}

#[test]
fn g3_a_second_server_joins_with_the_same_flags_and_calls_nobody() {
    let node = node(1, HOST);
    assert_eq!(node.boot(), OK, "{}", node.log());
    assert_eq!(flags(&node), server_flags("10.0.1.3", &["server", "--server=https://10.0.1.2:6443"]));
    in_order(&node, &[&["curl", "https://10.0.1.2:6443/cacerts"], &["install v1.31.4+k3s1"], &["readyz"]]);
    assert!(node.calls().iter().all(|call| !call.contains("postback") && !call.contains("helm")));
    assert_eq!(node.holding(&secret_value("kubeconfig_bearer_token")), Vec::<std::path::PathBuf>::new());
    assert!(node.path(COMPLETE).exists());
}

#[test]
fn g4_g6_a_worker_joins_with_the_token_of_agents_and_waits_for_its_kubelet() {
    let node = node(3, HOST);
    assert_eq!(node.boot(), OK, "{}", node.log());
    let expect = [
        "agent",
        "--server=https://10.0.1.2:6443",
        "--token-file=/etc/catalyst/k3s-token",
        "--node-ip=10.0.1.10",
        "--node-label",
        "catalyst.openova.io/role=worker",
    ];
    assert_eq!(flags(&node), expect);
    assert_eq!(node.read("/etc/catalyst/k3s-token"), secret_value("k3s_agent_token"));
    in_order(&node, &[&["cacerts"], &["install v"], &["restart --no-block k3s-agent.service"], &["10248/healthz"]]);
}

/// k3s binds a name to the machine that had it first: a server that is made anew from the same user data could never join under it.
#[test]
fn t7_a_server_that_is_made_anew_is_a_node_of_another_name_and_a_boot_that_is_repeated_is_not() {
    let name = |node: &Node| node.read("/etc/catalyst/node-name");
    for index in [0, 1, 3] {
        let (first, second) = (node(index, HOST), node(index, HOST));
        assert_eq!((first.boot(), second.boot()), (OK, OK), "{}", second.log());
        assert_ne!(name(&first), name(&second));
        let kept = name(&first);
        // As when the machine went down in the midst of that step.
        std::fs::remove_file(first.path(COMPLETE)).unwrap();
        std::fs::remove_file(first.path("/var/lib/catalyst/done/k3s")).unwrap();
        assert_eq!(first.boot(), OK, "{}", first.log());
        assert_eq!(name(&first), kept);
        let installs: Vec<String> = first.calls().into_iter().filter(|call| call.starts_with("install ")).collect();
        assert!(installs.len() == 2 && installs[0] == installs[1], "{installs:?}");
        if index == 0 {
            first.call(&["kubectl wait --for=condition=Ready", &format!("node/{}", kept.trim())]);
        }
    }
}

/// Names of nodes end at 63 characters, as those of servers do.
#[test]
fn t7_the_name_of_a_node_is_one_however_long_that_of_its_server_is() {
    let node = node(3, HOST);
    let longest = format!("catalyst-{}-w50", "a".repeat(50));
    node.write("/stub/bin/hostname", format!("#!/bin/sh\necho {longest}\n"), 0o755);
    assert_eq!(node.boot(), OK, "{}", node.log());
    let name = node.read("/etc/catalyst/node-name").trim().to_owned();
    assert_eq!((longest.len(), name.len()), (63, 63), "{name}");
    node.call(&[&format!("--node-name={name} --node-label=catalyst.openova.io/server={longest}")]);
}

/// A rollout waits for the pods of every node.
#[test]
fn another_node_that_is_broken_keeps_no_cluster_from_coming_up() {
    let node = node(0, HOST);
    let never = "#!/bin/sh\ncase \" $* \" in *' rollout '*) exit 1 ;; esac\n";
    node.write("/stub/kubectl", node.read("/stub/kubectl").replacen("#!/bin/sh\n", never, 1), 0o755);
    assert_eq!(node.boot(), OK, "{}", node.log());
    in_order(
        &node,
        &[
            &["helm upgrade --install cilium"],
            &["get customresourcedefinition ciliumclusterwidenetworkpolicies.cilium.io"],
            &["kubectl apply --filename /var/lib/catalyst/block-metadata.yaml"],
            &["kubectl wait --for=condition=Ready node/", "--timeout=900s"],
            &["flux install --export"],
        ],
    );
    assert!(node.path(COMPLETE).exists());
}

/// 127.0.0.1:6443 is the API on servers alone.
#[test]
fn g6_cilium_is_given_an_address_of_the_api_that_every_node_has() {
    let node = node(0, HOST);
    node.boot();
    let cilium = &node.calls()[node.call(&["helm upgrade --install cilium"])];
    for set in ["k8sServiceHost=127.0.0.1", "k8sServicePort=6444", "kubeProxyReplacement=true"] {
        assert!(cilium.contains(&format!("--set {set}")), "{cilium}");
    }
    assert!(flags(&node).contains(&"--disable-kube-proxy".to_owned()), "two would answer for the same services");
}

/// What bp-flux installs takes these over by their marks, and nothing it does removes them.
#[test]
fn g9_flux_is_marked_as_the_release_that_bp_flux_installs() {
    let node = node(0, HOST);
    node.boot();
    let manifests = "--filename /var/lib/catalyst/flux.yaml";
    in_order(
        &node,
        &[
            &["kubectl apply --server-side", manifests],
            &["kubectl label", manifests, "app.kubernetes.io/managed-by=Helm"],
            &[
                "kubectl annotate",
                manifests,
                "helm.sh/resource-policy=keep",
                "meta.helm.sh/release-name=flux",
                "meta.helm.sh/release-namespace=flux-system",
            ],
            &["wait --for=condition=Available deployment --all"],
        ],
    );
    let pointer = node.read("/stub/applied/flux-bootstrap.yaml");
    assert_eq!(pointer.matches("remediateLastFailure: false").count(), 2, "neither uninstall nor rollback");
}

/// Without any, what needs a volume stays pending and the bootstrap never ends.
#[test]
fn g7_there_is_a_storage_class_until_a_csi_driver_brings_one() {
    let plain = node(0, HOST);
    plain.boot();
    assert!(!flags(&plain).contains(&"--disable=local-storage".to_owned()));
    let request = DeploymentRequest {
        extra: r#"{"hetznerProjectID":"12345","enableLocalStorage":false}"#.to_owned(),
        ..ha("nbg1", 0)
    };
    let without = bundle(&request);
    let servers = without.files.iter().filter(|file| file.path.starts_with("cloudinit-control-plane"));
    for file in servers {
        assert!(String::from_utf8_lossy(&file.content).contains("--disable=local-storage"), "{}", file.path);
    }
}

#[test]
fn g8_flux_is_pointed_at_a_folder_that_it_was_told() {
    let node = node(0, HOST);
    node.boot();
    let pointer = node.read("/stub/applied/flux-bootstrap.yaml");
    assert!(pointer.contains("path: \"./clusters/acme.example.test/bootstrap-kit\""), "{pointer}");
    assert!(pointer.contains("url: \"https://git.example.test/openova\""));
    assert!(!pointer.contains("postBuild"), "a folder of its own has nothing to fill in");

    let shared = bundle(&DeploymentRequest {
        extra: r#"{"hetznerProjectID":"12345","gitopsPath":"clusters/_template"}"#.to_owned(),
        ..ha("nbg1", 0)
    });
    let first = shared.files.iter().find(|file| file.path == "cloudinit-control-plane.tftpl").unwrap();
    let user_data = UserData::parse(std::str::from_utf8(&first.content).unwrap()).unwrap();
    let pointer = &user_data.file("/var/lib/catalyst/flux-bootstrap.yaml").unwrap().content;
    for folder in ["bootstrap-kit", "infrastructure"] {
        assert!(pointer.contains(&format!("path: \"./clusters/_template/{folder}\"")), "{pointer}");
    }
    assert_eq!(pointer.matches("SOVEREIGN_FQDN: \"acme.example.test\"").count(), 2, "{pointer}");
}

#[test]
fn g12_g15_secrets_reach_the_cluster_and_leave_the_disk() {
    let node = node(0, HOST);
    node.boot();
    let credentials = node.read("/stub/applied/hcloud-credentials.yaml");
    assert!(credentials.contains("name: hcloud-credentials") && credentials.contains("namespace: crossplane-system"));
    let token = base64_of(TOKEN);
    assert!(credentials.contains(&format!("token: {token}")));
    assert!(node.read("/stub/applied/ghcr-pull-secret.yaml").contains("kubernetes.io/dockerconfigjson"));
    for applied in ["ghcr-pull-secret.yaml", "hcloud-credentials.yaml"] {
        assert!(!node.path(&format!("/var/lib/catalyst/{applied}")).exists(), "{applied}");
    }
    let held = node.holding(&token);
    assert!(held.iter().all(|path| path.ends_with("stub/applied/hcloud-credentials.yaml")), "{held:?}");
    let ghcr = secret_value("ghcr_pull_token");
    for secret in [TOKEN, &token, &ghcr, &secret_value("k3s_token"), &secret_value("k3s_agent_token")] {
        assert!(node.calls().iter().all(|call| !call.contains(secret)), "in an argument list");
        assert!(!node.log().contains(secret), "in the log");
    }
    for private in ["/etc/catalyst/k3s-token", "/etc/catalyst/k3s-agent-token", "/etc/rancher/k3s/k3s.yaml"] {
        assert_eq!(node.mode(private), 0o600, "{private}");
    }
    let policy = node.read("/stub/applied/block-metadata.yaml");
    assert!(policy.contains("egressDeny") && policy.contains("169.254.169.254/32"));
}

/// Puts other bytes under an address, boots, and says which step failed.
fn boot_with(url: &str, bytes: &[u8]) -> (Node, String) {
    let node = node(0, HOST);
    node.write(&path_of(url), bytes, 0o644);
    assert_ne!(node.boot(), OK);
    let failed = node.read(FAILED).trim().to_owned();
    (node, failed)
}

#[test]
fn g11_what_differs_from_its_published_digest_is_never_run() {
    let cases = [
        (downloads::k3s_url(), "k3s", "install v1"),
        (downloads::helm_url(), "cilium", "helm upgrade"),
        (downloads::cilium_url(), "cilium", "helm upgrade"),
        (downloads::flux_url(), "flux", "flux install"),
    ];
    for (url, step, never) in cases {
        let (node, failed) = boot_with(&url, b"something else");
        assert_eq!(failed, step, "{url}: {}", node.log());
        assert!(node.calls().iter().all(|call| !call.starts_with(never)), "{url}");
        assert!(node.log().contains("expected"), "{}", node.log());
    }
}

#[test]
fn g11_without_a_digest_nothing_is_installed_and_the_operators_own_one_is_binding() {
    let url = downloads::k3s_url();
    let list = format!("{}/sha256sum-{}.txt", url.rsplit_once('/').unwrap().0, downloads::ARCH);
    let (without, failed) = boot_with(&list, b"");
    assert_eq!(failed, "k3s");
    assert!(without.log().contains("no digest to verify it with"), "{}", without.log());

    let own = node(0, HOST);
    let name = url.rsplit('/').next().unwrap();
    own.write("/etc/catalyst/artifact.sha256", format!("{}  {name}\n", "0".repeat(64)), 0o644);
    assert_ne!(own.boot(), OK);
    assert!(own.calls().iter().all(|call| !call.starts_with("install v1")), "{}", own.log());
}

#[test]
fn g11_nothing_is_fetched_without_tls_a_version_and_an_end() {
    let node = node(0, HOST);
    node.boot();
    let fetched: Vec<String> = node.calls().into_iter().filter(|call| call.contains("--output /var/cache")).collect();
    assert_eq!(fetched.len(), 10, "{fetched:#?}");
    for call in fetched {
        for flag in ["--proto =https", "--tlsv1.2", "--fail", "--connect-timeout", "--max-time"] {
            assert!(call.contains(flag), "{flag}: {call}");
        }
        assert!(!call.contains("latest") && !call.contains("/main/") && !call.contains("/master/"), "{call}");
    }
    assert!(!node.path("/var/cache/catalyst").exists(), "downloads are removed");
}

#[test]
fn g13_a_step_that_fails_ends_the_boot_says_so_and_the_same_command_goes_on_later() {
    let node = node(0, HOST);
    node.write("/stub/never-ready", "", 0o644);
    assert_ne!(node.boot(), OK, "a bounded wait ends");
    assert_eq!(node.read(FAILED).trim(), "ready");
    assert!(!node.path(COMPLETE).exists());
    assert_eq!(status(&node).last().unwrap(), "boot incomplete: ready");
    assert!(node.calls().iter().all(|call| !call.starts_with("helm")), "nothing is built on what is not there");

    std::fs::remove_file(node.path("/stub/never-ready")).unwrap();
    assert_eq!(node.boot(), OK, "{}", node.log());
    assert!(node.path(COMPLETE).exists() && !node.path(FAILED).exists());
    let before = node.calls().len();
    assert_eq!(node.boot(), OK);
    assert_eq!(node.calls().len(), before, "a complete node is left alone");
}

#[test]
fn g13_hardening_that_fails_keeps_no_cluster_from_coming_up_yet_is_not_complete() {
    let node = node(0, HOST);
    node.write("/stub/bin/sshd", "#!/bin/sh\nexit 1\n", 0o755);
    assert_ne!(node.boot(), OK);
    assert_eq!(node.read(FAILED).trim(), "harden");
    node.call(&["kubectl apply --filename /var/lib/catalyst/flux-bootstrap.yaml"]);
    assert!(!node.path(COMPLETE).exists());
}

/// A file of the image that lets passwords in stands before ours by its name; cloud-init is told to write the same there.
#[test]
fn hardening_that_another_file_undoes_is_not_called_done() {
    let node = node(3, HOST);
    node.write("/etc/ssh/sshd_config.d/50-cloud-init.conf", "PasswordAuthentication yes\n", 0o600);
    assert_ne!(node.boot(), OK);
    assert_eq!(node.read(FAILED).trim(), "harden");
    assert!(world().user_data.iter().all(|text| text.contains("\nssh_pwauth: false\n")));
}

#[test]
fn g13_a_server_to_join_that_never_answers_is_given_up() {
    for index in [1, 3] {
        let node = node(index, HOST);
        node.write("/stub/nobody-there", "", 0o644);
        assert_ne!(node.boot(), OK);
        assert_eq!(node.read(FAILED).trim(), "k3s");
        assert!(node.log().contains("gave up waiting for"), "{}", node.log());
    }
}

#[test]
fn g18_a_server_waits_for_its_private_address() {
    let node = node(0, HOST);
    node.write("/stub/private-ip", "10.0.1.9", 0o644);
    assert_ne!(node.boot(), OK);
    assert_eq!(node.read(FAILED).trim(), "k3s");
    assert!(node.calls().iter().all(|call| !call.starts_with("install v1")));
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
