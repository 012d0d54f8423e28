//! Requests, and a module that is up.

use catalyst_plugin_hetzner::Hetzner;
use catalyst_plugin_sdk::{DeploymentRequest, DomainMode, Provisioner, RegionSlot, RenderContext, Rendered};
use catalyst_tests::hetzner::module::{Cloud, Said, Work};
use serde_json::Value;
use std::sync::{Condvar, Mutex};

/// A deployment's id.
pub const DEPLOYMENT: &str = "00112233aabbccdd";

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
        public_url: "https://console.example.test/sovereign".to_owned(),
        gitops_repo_url: "https://git.example.test/openova".to_owned(),
        gitops_branch: "main".to_owned(),
        present_secrets: secrets.map(str::to_owned).to_vec(),
    }
}

pub fn bundle(request: &DeploymentRequest) -> Rendered {
    bundle_for(request, &context())
}

fn bundle_for(request: &DeploymentRequest, context: &RenderContext) -> Rendered {
    let findings = Hetzner::validate(request);
    assert!(!findings.has_errors(), "{findings:?}");
    Hetzner::render(request, context).unwrap()
}

/// OpenTofu and the provider of one run keep a core busy.
static RUNS: (Mutex<usize>, Condvar) = (Mutex::new(2), Condvar::new());

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
    up_for(cloud, request, &context())
}

/// The same with another host.
pub fn up_for(cloud: Cloud, request: &DeploymentRequest, context: &RenderContext) -> Up {
    let turn = Turn::wait();
    let work = Work::of_bundle(&bundle_for(request, context), &cloud, DEPLOYMENT).unwrap();
    work.init().unwrap();
    let planned = work.plan().passed();
    assert_eq!(planned.count("create"), planned.planned.len(), "{:?}", planned.planned);
    let applied = work.apply().passed();
    Up { cloud, work, applied, _turn: turn }
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
