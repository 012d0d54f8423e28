//! Requests, and a module that is up.

use catalyst_plugin_openstack::Openstack;
use catalyst_plugin_sdk::{DeploymentRequest, DomainMode, Provisioner, RegionSlot, RenderContext, Rendered};
use catalyst_tests::node::Node;
use catalyst_tests::openstack::module::{Cloud, Said, Work, is_real};
use serde_json::{Value, json};
use std::sync::{Arc, Condvar, LazyLock, Mutex};

/// A deployment's id.
pub const DEPLOYMENT: &str = "00112233aabbccdd";
/// Where nodes of these clusters call home.
pub const HOST: &str = "https://console.example.test/sovereign";
/// How the names of everything of these clusters begin.
pub const NAME: &str = "catalyst-acme-example-test-aa7fa430";

/// A request for a cloud, with further settings.
pub fn request(cloud: &Cloud, workers: i64, settings: Value) -> DeploymentRequest {
    let mut extra = json!({"openstackAuthUrl": cloud.auth_url, "openstackExternalNetwork": cloud.external_network,
                           "openstackImage": cloud.image});
    for (key, value) in settings.as_object().into_iter().flatten() {
        extra[key] = value.clone();
    }
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
            provider: "openstack".to_owned(),
            cloud_region: cloud.region.clone(),
            control_plane_size: cloud.flavour.clone(),
            worker_size: String::new(),
            worker_count: workers,
        }],
        ssh_public_key:
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ someone@example.test"
                .to_owned(),
        extra: extra.to_string(),
    }
}

/// The same with three servers of the control plane.
pub fn ha(cloud: &Cloud, workers: i64, settings: Value) -> DeploymentRequest {
    DeploymentRequest { ha_enabled: true, ..request(cloud, workers, settings) }
}

/// A host with every secret.
pub fn context() -> RenderContext {
    let secrets = [
        "openstack-credential-id",
        "openstack-credential-secret",
        "ghcr-pull-token",
        "kubeconfig-bearer",
        "k3s-token",
        "k3s-agent-token",
    ];
    RenderContext {
        public_url: HOST.to_owned(),
        gitops_repo_url: "https://git.example.test/openova".to_owned(),
        gitops_branch: "main".to_owned(),
        present_secrets: secrets.map(str::to_owned).to_vec(),
    }
}

pub fn bundle(request: &DeploymentRequest) -> Rendered {
    let findings = Openstack::validate(request);
    assert!(!findings.has_errors(), "{findings:?}");
    Openstack::render(request, &context()).unwrap()
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
    /// Shared with who still looks at it when the run is over.
    pub cloud: Arc<Cloud>,
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
    let up = Up { cloud: Arc::new(cloud), work, applied, _turn: turn };
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
}

/// A server of the double, by the end of its name.
pub fn server(cloud: &Cloud, end: &str) -> Value {
    let name = format!("{NAME}-{end}");
    cloud.project().all("servers").into_iter().find(|server| server["name"] == *name).unwrap()
}

/// What a server was made with.
pub fn user_data(cloud: &Cloud, end: &str) -> String {
    String::from_utf8(cloud.project().user_data(&format!("{NAME}-{end}")).unwrap()).unwrap()
}

/// A cluster of three servers and two workers, as the cloud shows it, for every question that leaves it as it is.
pub struct World {
    pub cloud: Arc<Cloud>,
    /// The one public address.
    pub address: String,
    /// What each server was made with, in the order cp1, cp2, cp3, w1, w2.
    pub user_data: Vec<String>,
    /// Their private addresses.
    pub private: Vec<String>,
}

pub fn world() -> &'static World {
    static WORLD: LazyLock<World> = LazyLock::new(look);
    &WORLD
}

fn look() -> World {
    let cloud = Cloud::double();
    let settings = json!({"sshAllowedCidrs": ["203.0.113.7/24", "2001:db8::1/48"], "enableOpenstackCredentials": true});
    let request = ha(&cloud, 2, settings);
    let up = up(cloud, &request);
    let names = ["cp1", "cp2", "cp3", "w1", "w2"];
    let private = |name: &&str| {
        let addresses = server(&up.cloud, name)["addresses"].clone();
        addresses[format!("{NAME}-net")][0]["addr"].as_str().unwrap().to_owned()
    };
    let address = up.cloud.project().all("floatingips")[0]["floating_ip_address"].as_str().unwrap().to_owned();
    World {
        address,
        user_data: names.iter().map(|name| user_data(&up.cloud, name)).collect(),
        private: names.iter().map(private).collect(),
        cloud: up.cloud.clone(),
    }
}

/// A server of that cluster before its first boot, told to call home at `url`.
pub fn node(index: usize, url: &str) -> Node {
    Node::new(&world().user_data[index].replace(HOST, url), &world().private[index])
}
