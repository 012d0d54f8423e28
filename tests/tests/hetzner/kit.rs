//! Requests, and a module that is up.

use catalyst_plugin_hetzner::Hetzner;
use catalyst_plugin_sdk::{DeploymentRequest, DomainMode, Provisioner, RegionSlot, RenderContext, Rendered};
use catalyst_tests::hetzner::module::{Cloud, Said, Work, is_real};
use catalyst_tests::hetzner::node::Node;
use serde_json::Value;
use std::sync::{Condvar, LazyLock, Mutex};

/// A deployment's id.
pub const DEPLOYMENT: &str = "00112233aabbccdd";
/// Where nodes of these clusters call home.
pub const HOST: &str = "https://console.example.test/sovereign";

/// How the names of everything of these clusters begin.
pub const NAME: &str = "catalyst-acme-example-test-aa7fa430";

/// A request; the machine types are current ones of every location.
pub fn request(location: &str, workers: i64) -> DeploymentRequest {
    DeploymentRequest {
        org_name: "Example <& Sons> \"${file(\"/etc/shadow\")}\"".to_owned(),
        org_email: "ops@example.test".to_owned(),
        sovereign_fqdn: "acme.example.test".to_owned(),
        domain_mode: DomainMode::Byo,
        pool_domain: String::new(),
        subdomain: String::new(),
        region: String::new(),
        control_plane_size: String::new(),
        worker_size: String::new(),
        worker_count: 0,
        ha_enabled: false,
        regions: vec![RegionSlot {
            provider: "hetzner".to_owned(),
            cloud_region: location.to_owned(),
            control_plane_size: "cpx42".to_owned(),
            worker_size: "cpx32".to_owned(),
            worker_count: workers,
        }],
        ssh_public_key:
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ someone@example.test"
                .to_owned(),
        extra: r#"{"hetznerProjectID":"12345"}"#.to_owned(),
    }
}

/// The same with three servers of the control plane.
pub fn ha(location: &str, workers: i64) -> DeploymentRequest {
    DeploymentRequest { ha_enabled: true, ..request(location, workers) }
}

/// A host with every secret.
pub fn context() -> RenderContext {
    let secrets = ["hetzner-token", "ghcr-pull-token", "kubeconfig-bearer", "k3s-token", "k3s-agent-token"];
    RenderContext {
        public_url: HOST.to_owned(),
        gitops_repo_url: "https://git.example.test/openova".to_owned(),
        gitops_branch: "main".to_owned(),
        present_secrets: secrets.map(str::to_owned).to_vec(),
    }
}

pub fn bundle(request: &DeploymentRequest) -> Rendered {
    let findings = Hetzner::validate(request);
    assert!(!findings.has_errors(), "{findings:?}");
    Hetzner::render(request, &context()).unwrap()
}

/// OpenTofu and the provider of one run keep a core busy. In a real project the names of two runs would meet.
static RUNS: LazyLock<(Mutex<usize>, Condvar)> =
    LazyLock::new(|| (Mutex::new(if is_real() { 1 } else { 2 }), Condvar::new()));

/// Leave to run, given back at its end.
pub struct Turn(());

impl Turn {
    pub fn wait() -> Self {
        let mut free = RUNS.1.wait_while(RUNS.0.lock().unwrap(), |free| *free == 0).unwrap();
        *free -= 1;
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNS.0.lock().unwrap() += 1;
        RUNS.1.notify_one();
    }
}

/// A module that was applied.
pub struct Up {
    pub cloud: Cloud,
    pub work: Work,
    pub applied: Said,
    _turn: Turn,
}

/// Renders, initialises, validates, plans and applies.
pub fn up(cloud: Cloud, request: &DeploymentRequest) -> Up {
    let turn = Turn::wait();
    let work = Work::of_bundle(&bundle(request), &cloud, DEPLOYMENT).unwrap();
    work.init().unwrap();
    let planned = work.plan().passed();
    assert_eq!(planned.count("create"), planned.planned.len(), "{:?}", planned.planned);
    let applied = work.apply();
    let up = Up { cloud, work, applied, _turn: turn };
    assert_eq!(up.applied.status, 0, "{:#?}", up.applied.errors());
    up
}

/// A test that fails leaves nothing behind that costs.
impl Drop for Up {
    fn drop(&mut self) {
        if self.cloud.double.is_none() && std::thread::panicking() {
            self.work.destroy();
        }
    }
}

impl Up {
    /// The second plan has nothing to do.
    #[track_caller]
    pub fn settled(&self) {
        let again = self.work.plan().passed();
        assert_eq!(again.planned.len(), 0, "{:?}", again.planned);
    }

    /// Destroys, and nothing is left.
    #[track_caller]
    pub fn down(&self) {
        self.work.destroy().passed();
        let state = self.work.run(&["state", "list"]);
        assert_eq!(String::from_utf8_lossy(&state.stdout), "", "the state is not empty");
        if let Some(project) = &self.cloud.double {
            assert_eq!(project.everything(), Vec::<Value>::new());
            assert_eq!(project.unknown(), Vec::<String>::new());
            assert_eq!(project.refused(), Vec::<String>::new(), "a rule of the cloud was broken on the way");
        }
    }

    /// Objects of this deployment.
    pub fn labelled(&self, kind: &str) -> Vec<Value> {
        self.cloud.labelled(kind, &format!("catalyst.openova.io/deployment-id={DEPLOYMENT}"))
    }
}

/// A cluster of three servers and two workers, as the cloud shows it, for every question that leaves it as it is.
pub struct World {
    /// Servers in the order cp1, cp2, cp3, w1, w2.
    pub servers: Vec<Value>,
    pub balancer: Value,
    /// The balancer's public address.
    pub address: String,
    pub firewall: Value,
    pub groups: Vec<Value>,
    pub everything: Vec<Value>,
    /// What each server was made with.
    pub user_data: Vec<String>,
}

pub fn world() -> &'static World {
    static WORLD: LazyLock<World> = LazyLock::new(look);
    &WORLD
}

fn look() -> World {
    let request = DeploymentRequest {
        extra: r#"{"hetznerProjectID":"12345","sshAllowedCidrs":["203.0.113.7/24","2001:db8::1/48"]}"#.to_owned(),
        ..ha("nbg1", 2)
    };
    let up = up(Cloud::double(), &request);
    let project = up.cloud.project();
    let names = ["cp1", "cp2", "cp3", "w1", "w2"].map(|name| format!("{NAME}-{name}"));
    let by_name = |name: &String| project.all("servers").into_iter().find(|server| server["name"] == **name).unwrap();
    let balancer = project.all("load_balancers").remove(0);
    World {
        servers: names.iter().map(by_name).collect(),
        address: balancer["public_net"]["ipv4"]["ip"].as_str().unwrap().to_owned(),
        balancer,
        firewall: project.all("firewalls").remove(0),
        groups: project.all("placement_groups"),
        everything: project.everything(),
        user_data: names.iter().map(|name| project.user_data(name).unwrap()).collect(),
    }
}

/// A server of that cluster before its first boot, told to call home at `url`.
pub fn node(index: usize, url: &str) -> Node {
    let private = world().servers[index]["private_net"][0]["ip"].as_str().unwrap();
    Node::new(&world().user_data[index].replace(HOST, url), private)
}
