//! Both real providers over their doubles, by name.

use crate::kit::{Bench, Package, Setup, cloud, grant};
use catalyst::egress::{ApplicationCredential, HostGrant, service_urls};
use catalyst::engine::{Confine, RunStep};
use catalyst::outbound::{self, AllowedClouds, NamedBy, Outbound, ProxyConfig, Url};
use catalyst_domain::SecretValue;
use catalyst_plugin_hetzner::Hetzner;
use catalyst_plugin_openstack::Openstack;
use catalyst_plugin_sdk::{DeploymentRequest, Provisioner, RegionSlot, RenderContext, Rendered};
use catalyst_tests::hetzner::Project;
use catalyst_tests::hetzner::module as hetzner;
use catalyst_tests::openstack::module as openstack;
use catalyst_tests::tls_front::TlsFront;
use std::net::SocketAddr;
use std::path::PathBuf;

pub const TOKEN: (&str, &str) = ("hcloud_token", hetzner::TOKEN);

/// A solo cluster.
pub fn request(provider: &str, region: &str, size: &str, extra: &serde_json::Value) -> DeploymentRequest {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ someone@example.test";
    DeploymentRequest {
        org_name: "Example".to_owned(),
        org_email: "ops@example.test".to_owned(),
        sovereign_fqdn: "acme.example.test".to_owned(),
        regions: vec![RegionSlot {
            provider: provider.to_owned(),
            cloud_region: region.to_owned(),
            control_plane_size: size.to_owned(),
            ..RegionSlot::default()
        }],
        ssh_public_key: key.to_owned(),
        extra: extra.to_string(),
        ..DeploymentRequest::default()
    }
}

fn context(secrets: &[&str]) -> RenderContext {
    RenderContext {
        public_url: "https://console.example.test".to_owned(),
        gitops_repo_url: "https://git.example.test/openova".to_owned(),
        gitops_branch: "main".to_owned(),
        present_secrets: secrets.iter().map(|name| (*name).to_owned()).collect(),
    }
}

pub fn hetzner_bundle() -> Rendered {
    let request = request("hetzner", "fsn1", "cpx42", &serde_json::json!({"hetznerProjectID": "12345"}));
    let secrets = ["hetzner-token", "ghcr-pull-token", "kubeconfig-bearer", "k3s-token", "k3s-agent-token"];
    Hetzner::render(&request, &context(&secrets)).unwrap()
}

/// The address of `http://host:port/…`.
pub fn address_of(url: &str) -> SocketAddr {
    let url = Url::parse(url).unwrap();
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap()).parse().unwrap()
}

pub fn hcloud() -> Package {
    let binary = catalyst_tests::tools::path("hcloud").unwrap();
    Package { source: "hetznercloud/hcloud", module: hetzner::MODULE, version: None, binary }
}

/// A setup whose cloud is `https://cloud.test/v1`.
pub fn hetzner_setup(trust: PathBuf) -> Setup {
    Setup {
        package: hcloud(),
        trust,
        proxy: ProxyConfig::default(),
        confine: Confine::Require,
        without: Vec::new(),
        pass: vec![("HCLOUD_ENDPOINT", "https://cloud.test/v1".to_owned())],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hetzners_provider_meets_its_cloud_by_name_through_the_proxy_of_its_run() {
    let project = Project::start(hetzner::TOKEN);
    let front = TlsFront::start(&["cloud.test"], address_of(&project.endpoint())).await;
    let bench = Bench::new(hetzner_setup(front.trust())).await;
    let hosts = cloud(vec![grant("cloud.test", front.address())]);
    let rendered = hetzner_bundle();
    let (result, lines) = bench.apply(bench.run(&rendered, &[TOKEN], hosts.clone())).await;
    result.unwrap_or_else(|error| panic!("{error}: {lines:#?}"));
    assert_eq!(project.all("servers").len(), 1);
    assert!(front.connections() > 0, "it came by the front");
    let (result, lines) = bench.destroy(bench.run(&rendered, &[TOKEN], hosts)).await;
    result.unwrap_or_else(|error| panic!("{error}: {lines:#?}"));
    assert_eq!(project.everything(), Vec::<serde_json::Value>::new());
    assert!(bench.refused().is_empty(), "nothing else was asked for: {:?}", bench.refused());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_host_is_named_in_the_log_and_in_the_reason() {
    let project = Project::start(hetzner::TOKEN);
    let front = TlsFront::start(&["cloud.test"], address_of(&project.endpoint())).await;
    let mut setup = hetzner_setup(front.trust());
    // As a module would that leads its provider elsewhere.
    setup.pass = Vec::new();
    let bench = Bench::new(setup).await;
    let run = bench.run(&hetzner_bundle(), &[TOKEN], cloud(vec![grant("cloud.test", front.address())]));
    let (result, lines) = bench.apply(run).await;
    let error = result.unwrap_err();
    assert!(matches!(error.step, RunStep::Plan | RunStep::Apply), "{error:?}");
    let words =
        "api.hetzner.cloud:443 was not let through: it is none of the hosts that this run may reach (cloud.test:443)";
    assert!(error.reason.contains(words), "{error}");
    let said = format!("{}: {words}", error.step);
    assert_eq!(lines.iter().filter(|(_, line)| *line == said).count(), 1, "{lines:#?}");
    assert!(!format!("{error:?}{lines:?}").contains(hetzner::TOKEN));
    assert_eq!(project.everything(), Vec::<serde_json::Value>::new());
    assert_eq!(front.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openstacks_provider_reaches_what_the_catalogue_of_its_cloud_names_and_nothing_before_that_is_read() {
    let cloud_double = openstack::Cloud::double();
    let project = cloud_double.project();
    let front = TlsFront::start(&["auth.cloud.test", "api.cloud.test"], address_of(&project.auth_url())).await;
    project.advertise("https://api.cloud.test");
    let auth_url = Url::parse("https://auth.cloud.test/identity/v3").unwrap();
    let package = Package {
        source: "terraform-provider-openstack/openstack",
        module: openstack::MODULE,
        version: None,
        binary: catalyst_tests::tools::path("openstack").unwrap(),
    };
    let setup = Setup {
        package,
        trust: front.trust(),
        proxy: ProxyConfig::default(),
        confine: Confine::Require,
        without: Vec::new(),
        pass: Vec::new(),
    };
    let bench = Bench::new(setup).await;
    let extra = serde_json::json!({"openstackAuthUrl": auth_url.as_str(), "openstackExternalNetwork": cloud_double.external_network,
                                   "openstackImage": cloud_double.image});
    let request = request("openstack", &cloud_double.region, &cloud_double.flavour, &extra);
    let secrets = [
        "openstack-credential-id",
        "openstack-credential-secret",
        "ghcr-pull-token",
        "kubeconfig-bearer",
        "k3s-token",
        "k3s-agent-token",
    ];
    let rendered = Openstack::render(&request, &context(&secrets)).unwrap();
    let credential = [
        ("application_credential_id", openstack::CREDENTIAL.0),
        ("application_credential_secret", openstack::CREDENTIAL.1),
    ];
    let auth = grant("auth.cloud.test", front.address());
    let (result, _) = bench.apply(bench.run(&rendered, &credential, cloud(vec![auth.clone()]))).await;
    let error = result.unwrap_err();
    assert!(error.reason.contains("api.cloud.test:443 was not let through"), "{error}");

    let named = ["auth.cloud.test", "api.cloud.test"].map(|name| (name.to_owned(), front.address()));
    let outbound = Outbound::new(&outbound::Settings {
        trust_store: Some(front.trust()),
        addresses: named.into(),
        allowed_clouds: AllowedClouds::parse("*.cloud.test").unwrap(),
        ..outbound::Settings::default()
    });
    let (id, secret) = (SecretValue::new(openstack::CREDENTIAL.0), SecretValue::new(openstack::CREDENTIAL.1));
    let read = service_urls(&outbound.unwrap(), &auth_url, &ApplicationCredential { id: &id, secret: &secret }).await;
    let services = read.unwrap();
    let services = services
        .iter()
        .map(|url| HostGrant { address: Some(front.address()), ..HostGrant::of_url(url, NamedBy::Stranger).unwrap() });
    let hosts = cloud(std::iter::once(auth).chain(services).collect());
    assert_eq!(hosts.cloud.len(), 2, "{hosts:?}");
    let (result, lines) = bench.apply(bench.run(&rendered, &credential, hosts.clone())).await;
    result.unwrap_or_else(|error| panic!("{error}: {lines:#?}"));
    assert_eq!(project.all("servers").len(), 1);
    let (result, lines) = bench.destroy(bench.run(&rendered, &credential, hosts)).await;
    result.unwrap_or_else(|error| panic!("{error}: {lines:#?}"));
    assert_eq!(project.everything(), Vec::<serde_json::Value>::new());
}
