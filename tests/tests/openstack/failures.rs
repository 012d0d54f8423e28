//! How it fails: what the services' refusals become in the provider's own words, what the plugin makes of them, and that a
//! retry goes on from there.

use crate::kit::{DEPLOYMENT, NAME, Turn, bundle, ha, request};
use catalyst_plugin_openstack::Openstack;
use catalyst_plugin_sdk::{Advice, Asked, DeploymentRequest, Diagnostic, DiagnosticKind, Provisioner};
use catalyst_tests::openstack::Answer;
use catalyst_tests::openstack::module::{Cloud, MODULE, Said, Words, Work, pinned};
use serde_json::json;

/// A module that was planned.
struct Planned {
    cloud: Cloud,
    work: Work,
    _turn: Turn,
}

fn planned(cloud: Cloud, request: &DeploymentRequest) -> Planned {
    let turn = Turn::wait();
    let work = Work::of_bundle(&bundle(request), &cloud, DEPLOYMENT).unwrap();
    work.init().unwrap();
    work.plan().passed();
    Planned { cloud, work, _turn: turn }
}

fn solo() -> Planned {
    let cloud = Cloud::double();
    let asked = request(&cloud, 0, json!({}));
    planned(cloud, &asked)
}

impl Planned {
    /// Applies to the end: plan again, apply, settled, gone.
    fn recovers(&self) {
        self.work.plan().passed();
        self.work.apply().passed();
        assert_eq!(self.work.plan().passed().planned.len(), 0);
        self.work.destroy().passed();
        assert_eq!(self.cloud.project().everything().len(), 0);
    }
}

fn advice(words: &Words) -> Advice {
    advice_for(words, &Asked::default())
}

fn advice_for(words: &Words, asked: &Asked) -> Advice {
    let words = words.clone();
    Openstack::diagnose(&Diagnostic { summary: words.summary, detail: words.detail, address: words.address }, asked)
}

/// The only error, and the plugin's advice.
#[track_caller]
fn one_error(said: &Said) -> Advice {
    assert_ne!(said.status, 0);
    let errors = said.errors();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    advice(&errors[0])
}

/// The provider says only that the server's state is ERROR; the broken one is replaced by the next run.
#[test]
fn f11_a_server_without_a_host_is_capacity_with_others_to_choose_and_a_retry_replaces_it() {
    let cloud = Cloud::double();
    let asked = ha(&cloud, 0, json!({}));
    let run = planned(cloud, &asked);
    run.cloud.project().fail("POST", "/servers", 2, Answer::Broken);
    let said = run.work.apply();
    let errors = said.errors();
    let size = asked.regions[0].control_plane_size.clone();
    let advice = advice_for(&errors[0], &Asked { control_plane_size: size, ..Asked::default() });
    assert_eq!((advice.kind, advice.retryable), (DiagnosticKind::Capacity, false), "{errors:?}");
    assert!(!advice.alternatives.is_empty());
    for alternative in advice.alternatives {
        let mut other = asked.clone();
        other.regions[0].control_plane_size = alternative.machine_type.unwrap();
        assert_ne!(other, asked);
        assert!(!Openstack::validate(&other).has_errors());
        bundle(&other);
    }
    run.recovers();
}

#[test]
fn a_quota_that_is_reached_is_told_for_each_service() {
    let cases = [
        ("/servers", 403, "Forbidden", "Quota exceeded for cores, ram: Requested 4, but already used 18 of 20 cores"),
        ("/floatingips", 409, "OverQuota", "Quota exceeded for resources: ['floatingip']."),
        ("/loadbalancers", 403, "Forbidden", "Quota has been met for resources: Load Balancer"),
    ];
    for (path, status, kind, message) in cases {
        let run = solo();
        run.cloud.project().fail("POST", path, 1, Answer::Refused(status, kind, message));
        let said = run.work.apply();
        assert_eq!(one_error(&said).kind, DiagnosticKind::Quota, "{path}: {:?}", said.errors());
        run.recovers();
    }
}

#[test]
fn a_credential_that_nobody_knows_and_one_without_rights_are_credentials() {
    let mut run = solo();
    let forbidden = Answer::Refused(403, "PolicyNotAuthorized", "(rule:create_router) is disallowed by policy");
    run.cloud.project().fail("POST", "/routers", 1, forbidden);
    assert_eq!(one_error(&run.work.apply()).kind, DiagnosticKind::Credentials);
    run.work.destroy().passed();
    run.work.set("application_credential_secret", "another-secret");
    let said = run.work.plan();
    assert!(!said.errors().is_empty());
    assert!(
        said.errors().iter().all(|words| advice(words).kind == DiagnosticKind::Credentials),
        "{:#?}",
        said.errors()
    );
    assert_eq!(run.cloud.project().everything().len(), 0);
}

/// Nothing is created for a name that the cloud does not have.
#[test]
fn a_flavour_an_image_and_a_network_that_are_not_there_are_told_at_plan() {
    let turn = Turn::wait();
    let cloud = Cloud::double();
    for (variable, address) in [
        ("control_plane_size", "data.openstack_compute_flavor_v2.control_plane"),
        ("image_name", "data.openstack_images_image_v2.ubuntu"),
        ("external_network", "data.openstack_networking_network_v2.external"),
    ] {
        let bundle = bundle(&request(&cloud, 0, json!({})));
        let work = Work::of_bundle(&bundle, &cloud, DEPLOYMENT).unwrap();
        let mut variables: serde_json::Value = serde_json::from_str(&bundle.variables).unwrap();
        variables[variable] = "nowhere".into();
        work.set_variables(&variables.to_string());
        work.init().unwrap();
        let said = work.plan();
        assert_eq!(one_error(&said).kind, DiagnosticKind::Configuration, "{:?}", said.errors());
        assert_eq!(said.errors()[0].address.as_deref(), Some(address));
    }
    assert_eq!(cloud.project().everything().len(), 0);
    drop(turn);
}

#[test]
fn a_load_balancer_that_cannot_be_built_is_told_and_made_anew() {
    let run = solo();
    run.cloud.project().fail("POST", "/loadbalancers", 1, Answer::Broken);
    let said = run.work.apply();
    let advice = one_error(&said);
    assert_eq!(advice.kind, DiagnosticKind::Capacity, "{:?}", said.errors());
    assert!(advice.what_to_do.contains("openstackLoadBalancer none"));
    assert!(advice.alternatives.is_empty(), "another flavour would not help");
    run.recovers();
}

/// Nobody but a person, or the cluster itself, can take it away, so nothing passes by waiting.
#[test]
fn t16_a_destroy_that_meets_what_others_attached_is_a_conflict_that_does_not_pass() {
    let run = solo();
    run.work.apply().passed();
    let project = run.cloud.project();
    let networks = project.all("networks");
    let own = networks.iter().find(|network| network["name"].as_str().is_some_and(|name| name.starts_with(NAME)));
    let path: &'static str = format!("/networks/{}", own.unwrap()["id"].as_str().unwrap()).leak();
    let words = "Unable to complete operation on network x. There are one or more ports still in use on the network.";
    project.fail("DELETE", path, 1, Answer::Refused(409, "NetworkInUse", words));
    let advice = one_error(&run.work.destroy());
    assert_eq!((advice.kind, advice.retryable), (DiagnosticKind::Conflict, false), "{advice:?}");
    assert!(advice.what_to_do.contains("load balancers"), "{advice:?}");
    run.work.destroy().passed();
    assert_eq!(project.everything().len(), 0);
}

/// The server exists, the state does not know it: the next run meets its port, and its metadata finds it.
#[test]
fn f3_a_server_whose_answer_was_lost_is_found_by_its_metadata_and_named_as_a_leftover() {
    let run = solo();
    run.cloud.project().fail("POST", "/servers", 1, Answer::Lost);
    let lost = one_error(&run.work.apply());
    assert!(lost.retryable, "{lost:?}");
    run.work.plan().passed();
    let said = run.work.apply();
    let advice = one_error(&said);
    assert_eq!(advice.kind, DiagnosticKind::Conflict, "{:?}", said.errors());
    assert!(advice.what_to_do.contains("catalyst-deployment"), "{}", advice.what_to_do);
    let left = run.cloud.project().all("servers");
    assert_eq!((left.len(), &left[0]["metadata"]["catalyst-deployment"]), (1, &json!(DEPLOYMENT)));
    assert!(left[0]["name"].as_str().unwrap().starts_with(NAME));
}

/// The client of the provider waits and goes on by itself; no run is lost to it.
#[test]
fn a_moment_over_the_rate_limit_and_a_busy_load_balancer_are_waited_out() {
    let run = solo();
    let busy = "Load Balancer x is immutable and cannot be updated.";
    run.cloud.project().fail("POST", "/listeners", 1, Answer::Refused(409, "Conflict", busy));
    run.work.apply().passed();
    run.recovers();
}

#[test]
fn f9_the_pinned_provider_is_the_one_that_runs_here() {
    let version = pinned(MODULE).unwrap();
    let built = include_str!("../../tools/openstack/go.mod");
    let line = format!("github.com/terraform-provider-openstack/terraform-provider-openstack/v3 v{version}");
    assert!(built.lines().any(|known| known.trim().trim_end_matches(" // indirect").ends_with(&line)), "{line}");
    let run = solo();
    let lock = std::fs::read_to_string(run.work.path().join(".terraform.lock.hcl")).unwrap();
    assert!(lock.contains(&format!("version     = \"{version}\"")), "{lock}");
}
