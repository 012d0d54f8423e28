//! The plugin natively: the same code as in the component, at the speed of plain tests.

use catalyst_plugin_sdk::testing::requests;
use catalyst_plugin_sdk::{DeploymentRequest, DomainMode, Provisioner, RegionSlot, RenderContext};
use plugin::Cloud;

fn request() -> DeploymentRequest {
    let slot = RegionSlot {
        provider: "mycloud".to_owned(),
        cloud_region: "place-1".to_owned(),
        control_plane_size: "small".to_owned(),
        worker_size: "small".to_owned(),
        worker_count: 1,
    };
    DeploymentRequest {
        org_name: "Example".to_owned(),
        org_email: "ops@mycloud.example".to_owned(),
        sovereign_fqdn: "one.mycloud.example".to_owned(),
        domain_mode: DomainMode::Byo,
        pool_domain: String::new(),
        subdomain: String::new(),
        region: slot.cloud_region.clone(),
        control_plane_size: slot.control_plane_size.clone(),
        worker_size: slot.worker_size.clone(),
        worker_count: slot.worker_count,
        ha_enabled: false,
        regions: vec![slot],
        ssh_public_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops"
            .to_owned(),
        extra: "{}".to_owned(),
    }
}

fn context() -> RenderContext {
    RenderContext {
        public_url: "https://catalyst.example".to_owned(),
        gitops_repo_url: "https://git.example/clusters".to_owned(),
        gitops_branch: "main".to_owned(),
        present_secrets: Cloud::describe().secrets.iter().map(|secret| secret.name.clone()).collect(),
    }
}

#[test]
fn what_validate_passes_renders_twice_the_same() {
    for mut request in requests(&request(), 200) {
        request.ha_enabled = false;
        let findings = Cloud::validate(&request);
        assert!(!findings.has_errors(), "{request:?}: {findings:?}");
        assert_eq!(Cloud::render(&request, &context()).unwrap(), Cloud::render(&request, &context()).unwrap());
    }
}

#[test]
fn a_choice_that_is_not_there_is_refused_where_it_stands() {
    let mut wrong = request();
    wrong.regions[0].cloud_region = "nowhere".to_owned();
    let findings = Cloud::render(&wrong, &context()).unwrap_err();
    let pointers: Vec<&str> = findings.iter().map(|finding| finding.pointer.as_str()).collect();
    assert_eq!(pointers, ["/regions/0/cloudRegion"]);
}
