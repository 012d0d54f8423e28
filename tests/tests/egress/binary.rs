//! From a line of `plugins.lock` to the cloud, on the release binary: what the driver makes of grants, of a request and of a cloud's
//! catalogue, with the real OpenTofu and the real providers.

use crate::clouds::{address_of, hcloud};
use crate::kit::{Package, mirror_of};
use catalyst_tests::api::Api;
use catalyst_tests::components::lock;
use catalyst_tests::hetzner::{Pace, Project, module as hetzner};
use catalyst_tests::host::{Host, built, hostile_guests, wait_for};
use catalyst_tests::openstack::{Project as OpenstackProject, module as openstack};
use catalyst_tests::tls_front::TlsFront;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// A run with a real provider on a machine that does other things as well.
const LIMIT: Duration = Duration::from_secs(180);
const KEY: &str = "7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e";
const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ someone@example.test";

/// A site: plugins with their lock, a mirror with one provider, and whom its host trusts.
struct Site {
    folder: TempDir,
    trust: PathBuf,
}

impl Site {
    fn new(plugin: (&str, &Path), package: &Package, trust: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        mirror_of(&folder.path().join("mirror"), package);
        std::fs::create_dir(folder.path().join("plugins")).unwrap();
        std::fs::copy(plugin.1, folder.path().join("plugins").join(plugin.0)).unwrap();
        Self { folder, trust }
    }

    fn lock(&self, lines: &[String]) {
        lock(&self.folder.path().join("plugins"), &lines.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn host(&self, more: &[(&str, &str)]) -> Host {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let (plugins, mirror, trust) = (path("plugins"), path("mirror"), self.trust.display().to_string());
        let mut env = vec![
            ("CATALYST_PLUGINS_DIR", plugins.as_str()),
            ("CATALYST_PROVIDER_MIRROR", mirror.as_str()),
            ("SSL_CERT_FILE", trust.as_str()),
            ("CATALYST_TOFU_CONFINE", "require"),
        ];
        env.extend(more);
        let host = Host::start(&env);
        wait_for("the plugin", LIMIT, || is_loaded(&host).then_some(()));
        host
    }
}

fn is_loaded(host: &Host) -> bool {
    !host.api.get("/api/v1/providers").json()["providers"].as_array().unwrap().is_empty()
}

fn request(provider: &str, region: &str, size: &str, own: &Value) -> Value {
    let mut request = json!({
        "orgName": "Acme", "orgEmail": "ops@acme.example", "sovereignFQDN": "acme.example.test", "sovereignDomainMode": "byo",
        "regions": [{"provider": provider, "cloudRegion": region, "controlPlaneSize": size, "workerCount": 0}],
        "sshPublicKey": SSH_KEY,
    });
    for (key, value) in own.as_object().unwrap() {
        request[key] = value.clone();
    }
    request
}

fn create(host: &Host, request: &Value) -> String {
    let answer = host.api.post("/api/v1/deployments", &request.to_string());
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn state(host: &Host, id: &str) -> Value {
    host.api.get(&format!("/api/v1/deployments/{id}")).json()
}

fn until(host: &Host, id: &str, status: &str) -> Value {
    let ends = ["failed", "destroyed"];
    wait_for(&format!("{status}, last {}", state(host, id)), LIMIT, || {
        let now = state(host, id);
        let is_it = now["status"] == status;
        assert!(is_it || !ends.contains(&now["status"].as_str().unwrap()), "{now} instead of {status}");
        is_it.then_some(now)
    })
}

fn destroy(host: &Host, id: &str) {
    let answer = host.api.delete(&format!("/api/v1/deployments/{id}"), "");
    assert_eq!(answer.status, 202, "{}", answer.body);
}

/// Lines for the repository's Hetzner plugin, its API at this address.
fn hetzner_lines(front: &TlsFront) -> Vec<String> {
    vec![
        "grant hetzner.wasm argument hetznercloud/hcloud token secret:hetzner-token".to_owned(),
        "grant hetzner.wasm secret ghcr-pull-token".to_owned(),
        format!("grant hetzner.wasm host api.hetzner.cloud={}", front.address()),
    ]
}

async fn hetzner_site() -> (Project, TlsFront, Site) {
    let project = Project::start(hetzner::TOKEN);
    let front = TlsFront::start(&["api.hetzner.cloud"], address_of(&project.endpoint())).await;
    let site = Site::new(("hetzner.wasm", &built("plugins/hetzner.wasm")), &hcloud(), front.trust());
    site.lock(&hetzner_lines(&front));
    (project, front, site)
}

fn hetzner_request() -> Value {
    request("hetzner", "fsn1", "cpx42", &json!({"hetznerToken": hetzner::TOKEN, "hetznerProjectID": "12345"}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_the_lock_leads_probe_and_run_to_their_cloud() {
    let (project, front, site) = hetzner_site().await;
    let cache = site.folder.path().join("cache");
    let mut host = site.host(&[("TF_PLUGIN_CACHE_DIR", cache.to_str().unwrap())]);
    let probe = json!({"provider": "hetzner", "token": hetzner::TOKEN});
    let answer = host.api.post("/api/v1/credentials/validate", &probe.to_string());
    assert!(answer.status == 200 && answer.json()["valid"] == true, "{}", answer.body);
    let probed = front.connections();
    assert!(probed > 0, "it was asked at the operator's address");
    let id = create(&host, &hetzner_request());
    until(&host, &id, "flux-bootstrapping");
    assert_eq!(project.all("servers").len(), 1);
    assert!(front.connections() > probed);
    destroy(&host, &id);
    until(&host, &id, "destroyed");
    assert_eq!(project.everything(), Vec::<Value>::new());
    let events = host.api.get(&format!("/api/v1/deployments/{id}/events")).body;
    assert!(!events.contains("was not let through"), "{events}");
    assert!(!cache.exists(), "a link into a mirror is not shared between runs");
    host.down();
}

/// A site with the repository's OpenStack plugin, whose cloud is at names that only the lock leads anywhere.
async fn openstack_site(cloud: &openstack::Cloud) -> (TlsFront, Site) {
    let project = cloud.project();
    let front = TlsFront::start(&["auth.cloud.test", "api.cloud.test"], address_of(&project.auth_url())).await;
    // On a port that no line of the lock names: only the catalogue gives it.
    project.advertise("https://api.cloud.test:8774");
    let package = Package {
        source: "terraform-provider-openstack/openstack",
        module: openstack::MODULE,
        version: None,
        binary: catalyst_tests::tools::path("openstack").unwrap(),
    };
    let site = Site::new(("openstack.wasm", &built("plugins/openstack.wasm")), &package, front.trust());
    let argument = |what: &str| format!("grant openstack.wasm argument terraform-provider-openstack/openstack {what}");
    let led = |name: &str| format!("grant openstack.wasm host {name}={}", front.address());
    site.lock(&[
        argument("auth_url address:openstackAuthUrl"),
        argument("region fixed"),
        argument("application_credential_id secret:openstack-credential-id"),
        argument("application_credential_secret secret:openstack-credential-secret"),
        "grant openstack.wasm secret ghcr-pull-token".to_owned(),
        led("auth.cloud.test"),
        led("api.cloud.test"),
    ]);
    (front, site)
}

fn openstack_request(cloud: &openstack::Cloud) -> Value {
    let own = json!({
        "openstackAuthUrl": "https://auth.cloud.test/identity/v3", "openstackExternalNetwork": cloud.external_network,
        "openstackImage": cloud.image, "openstackApplicationCredentialID": openstack::CREDENTIAL.0,
        "openstackApplicationCredentialSecret": openstack::CREDENTIAL.1,
    });
    request("openstack", &cloud.region, &cloud.flavour, &own)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_reads_a_catalogue_at_the_operators_address_and_leads_the_run_to_its_hosts() {
    let cloud = openstack::Cloud::double();
    let project = cloud.project();
    let (_front, site) = openstack_site(&cloud).await;
    let mut host = site.host(&[]);
    let id = create(&host, &openstack_request(&cloud));
    until(&host, &id, "flux-bootstrapping");
    assert_eq!(project.all("servers").len(), 1);
    destroy(&host, &id);
    until(&host, &id, "destroyed");
    assert_eq!(project.everything(), Vec::<Value>::new());
    let events = host.api.get(&format!("/api/v1/deployments/{id}/events")).body;
    assert!(!events.contains("could not be read from") && !events.contains("was not let through"), "{events}");
    host.down();
}

/// What controllers of the cluster made is found by a search whose token only the host has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t6_a_destroy_searches_a_cloud_that_wants_a_token_and_the_plugin_never_sees_it() {
    let cloud = openstack::Cloud::double();
    let project = cloud.project();
    let (_front, site) = openstack_site(&cloud).await;
    let mut host = site.host(&[]);
    let id = create(&host, &openstack_request(&cloud));
    until(&host, &id, "flux-bootstrapping");
    let of = |kind: &str| project.all(kind)[0]["id"].clone();
    let token = OpenstackProject::token();
    let volume = |name: &str, server: Value| {
        let attachments = json!([{"server_id": server, "device": "/dev/vdb"}]);
        project.plant("volumes", json!({"name": name, "bootable": "false", "metadata": {}, "attachments": attachments}))
    };
    // A cloud may say the token again, and whoever names things there may write it down.
    let own = volume(&format!("pvc-{token}"), of("servers"));
    volume("of-another", json!("another"));
    let balancer = json!({"name": "kube_service_a", "tags": [], "vip_network_id": of("networks")});
    let balancer = project.plant("loadbalancers", balancer);
    let lost = json!({"name": "catalyst-acme-example-test-lost", "metadata": {"catalyst-deployment": id}});
    let lost = project.plant("servers", lost);
    destroy(&host, &id);
    let state = until(&host, &id, "destroyed");
    let remaining = state["remaining"].as_array().unwrap();
    let found = |kind: &str| {
        let mut of_kind = remaining.iter().filter(|one| one["kind"] == kind);
        (of_kind.next().cloned().unwrap_or_default(), of_kind.count())
    };
    assert_eq!(remaining.len(), 3, "{state}");
    let (seen, more) = found("volume");
    assert_eq!((&seen["id"], &seen["name"], more), (&json!(own), &json!("pvc-<redacted>"), 0));
    let (seen, more) = found("load balancer");
    assert_eq!(
        (&seen["id"], &seen["reason"], more),
        (&json!(balancer), &json!("it is in the network of this deployment"), 0)
    );
    let (seen, more) = found("server");
    assert_eq!((&seen["id"], more), (&json!(lost), 0));
    let events = host.api.get(&format!("/api/v1/deployments/{id}/events")).body;
    assert!(events.contains("found in the cloud, and not OpenTofu's to remove"), "{events}");
    assert!(!events.contains("its cloud ("), "all of it was searched: {events}");
    assert_eq!(project.unknown(), Vec::<String>::new());
    assert!(project.count("GET", "/volumes/detail") == 2 && project.count("GET", "/servers/detail") == 2);
    assert!(!(host.trace() + &host.api.everything()).contains(token), "the token was told");
    host.down();
}

/// Starts a host that has no plugin it may load, and so is not ready: it serves what it knows.
fn up_without_plugin(host: &mut Host) {
    host.begin();
    let serves = |host: &Host| std::net::TcpStream::connect(host.address()).is_ok();
    wait_for("the host to serve", LIMIT, || (serves(host) && host.api.get("/healthz").status == 200).then_some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_revoked_between_create_and_destroy_counts_after_a_restart() {
    let (project, front, site) = hetzner_site().await;
    let mut host = site.host(&[("CATALYST_STATE_KEY", KEY)]);
    project.pace(Pace::Polled);
    // Killed in its apply, so that its credentials are sealed for whoever takes it up.
    let id = create(&host, &hetzner_request());
    wait_for("the first resource", LIMIT, || (!project.everything().is_empty()).then_some(()));
    host.crash();
    let without =
        |word: &str| -> Vec<String> { hetzner_lines(&front).into_iter().filter(|line| !line.contains(word)).collect() };

    site.lock(&without(" argument "));
    up_without_plugin(&mut host);
    assert!(!is_loaded(&host), "it wants more than it is granted");
    until(&host, &id, "failed");
    let (left, connections) = (project.everything(), front.connections());
    assert!(!left.is_empty());
    let failed = |host: &Host| {
        destroy(host, &id);
        until(host, &id, "failed")["error"].as_str().unwrap().to_owned()
    };
    let error = failed(&host);
    let words =
        "plugins.lock has no `grant hetzner.wasm argument hetznercloud/hcloud token secret:hetzner-token` any more";
    assert!(error.contains("its plugin is not loaded") && error.contains(words), "{error}");
    assert_eq!(front.connections(), connections, "OpenTofu was not even started");

    host.down();
    site.lock(&without(" host "));
    up_without_plugin(&mut host);
    let error = failed(&host);
    assert!(error.contains("api.hetzner.cloud:443 was not let through"), "{error}");
    assert_eq!((project.everything(), front.connections()), (left.clone(), connections));

    site.lock(&hetzner_lines(&front));
    wait_for("the plugin", LIMIT, || is_loaded(&host).then_some(()));
    destroy(&host, &id);
    until(&host, &id, "destroyed");
    // A call that was on its way at the interrupt may have made what no state knows.
    assert!(project.everything().len() < left.len() && front.connections() > connections);
    host.down();
}

/// OpenTofu makes all there is, and then waits for an answer to its state until its time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_made_while_its_host_was_stopped_is_in_the_state_or_in_the_log() {
    let (project, _front, site) = hetzner_site().await;
    let mut host = site.host(&[("CATALYST_APPLY_TIMEOUT", "8s")]);
    project.pace(Pace::Polled);
    let id = create(&host, &hetzner_request());
    wait_for("the first resource", LIMIT, || (!project.everything().is_empty()).then_some(()));
    host.signal("STOP");
    let work = host.folder().join("tofu").join(&id);
    // Its supervisor stays, until the host has read what it heard.
    let is_tofu = |process: PathBuf| {
        std::fs::read_link(process.join("cwd")).is_ok_and(|folder| folder == work)
            && std::fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "tofu")
    };
    let runs = || std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(|process| is_tofu(process.path()));
    assert!(runs());
    wait_for("the end of OpenTofu", LIMIT, || (!runs()).then_some(()));
    assert!(!project.all("servers").is_empty(), "it went on without its host");
    host.signal("CONT");
    // The host closes what was idle for too long.
    host.api = Api::new(host.address());
    let failed = until(&host, &id, "failed");
    let events = || host.api.get(&format!("/api/v1/deployments/{id}/events")).body;
    let unknown = |known: &str| -> Vec<Value> {
        let names = |made: &Value| {
            known.contains(&format!("({})", made["id"])) || known.contains(&format!("\"{}\"", made["id"]))
        };
        project.everything().into_iter().filter(|made| !names(made)).collect()
    };
    assert_eq!(unknown(&(failed["left"].to_string() + &events())), Vec::<Value>::new());
    // No state came of it, so a destroy removes nothing, and says of each what it knows.
    destroy(&host, &id);
    let destroyed = until(&host, &id, "destroyed");
    assert_eq!(unknown(&destroyed["left"].to_string()), Vec::<Value>::new(), "{destroyed}");
    host.down();
}

/// A component of contract 1.0 whose module, which the request has, leads its provider to a second host.
const SECOND: &str = "terraform {\n  required_providers {\n    hcloud = { source = \"acme/cloud\", version = \"1.2.3\" }\n  }\n}\n\
                      variable \"cloud_token\" {\n  type = string\n}\n\
                      provider \"hcloud\" {\n  token    = var.cloud_token\n  endpoint = \"https://second.test/v1\"\n}\n\
                      resource \"hcloud_ssh_key\" \"a\" {\n  name       = \"a\"\n  public_key = \"SSH_KEY\"\n}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_host_is_reached_by_the_run_that_is_granted_it_and_by_no_other() {
    let project = Project::start(hetzner::TOKEN);
    let front = TlsFront::start(&["second.test"], address_of(&project.endpoint())).await;
    let site = Site::new(
        ("hostile.wasm", &hostile_guests().join("by_request.wasm")),
        &Package { source: "acme/cloud", version: Some("1.2.3"), ..hcloud() },
        front.trust(),
    );
    let mut lines = vec![
        "grant hostile.wasm argument acme/cloud token secret:token".to_owned(),
        "grant hostile.wasm argument acme/cloud endpoint fixed".to_owned(),
        "grant hostile.wasm host api.cloud.example".to_owned(),
    ];
    site.lock(&lines);
    let mut host = site.host(&[]);
    let module = format!("main.tf\n{}", SECOND.replace("SSH_KEY", SSH_KEY));
    let hex: String = module.bytes().map(|byte| format!("{byte:02x}")).collect();
    let own = json!({"orgName": "module", "module": hex, "hostileToken": hetzner::TOKEN});
    let id = create(&host, &request("hostile", "r1", "s", &own));
    let failed = until(&host, &id, "failed");
    let words =
        "second.test:443 was not let through: it is none of the hosts that this run may reach (api.cloud.example:443)";
    assert!(failed["error"].as_str().unwrap().contains(words), "{failed}");
    assert_eq!((front.connections(), project.everything().len()), (0, 0));

    lines.push(format!("grant hostile.wasm host second.test={}", front.address()));
    site.lock(&lines);
    wait_for("the grant", LIMIT, || {
        let granted = host.api.get("/api/v1/providers/hostile").json()["grants"]["granted"].to_string();
        granted.contains("second.test").then_some(())
    });
    let retried = host.api.post(&format!("/api/v1/deployments/{id}/phases/tofu-apply/retry"), "");
    assert_eq!(retried.status, 200, "{}", retried.body);
    until(&host, &id, "flux-bootstrapping");
    assert_eq!(project.all("ssh_keys").len(), 1);
    assert!(front.connections() > 0);
    destroy(&host, &id);
    until(&host, &id, "destroyed");
    assert_eq!(project.everything(), Vec::<Value>::new());
    host.down();
}
