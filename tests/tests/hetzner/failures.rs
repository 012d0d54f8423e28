//! How it fails: what the cloud's refusals become in the provider's own words, what the plugin makes of them, and that a
//! retry goes on from there.

use crate::kit::{DEPLOYMENT, Turn, bundle, ha, request};
use catalyst_plugin_hetzner::Hetzner;
use catalyst_plugin_sdk::{Advice, Asked, DeploymentRequest, Diagnostic, DiagnosticKind, Provisioner};
use catalyst_tests::hetzner::Answer;
use catalyst_tests::hetzner::module::{Cloud, Said, Words, Work};

/// A module that was planned.
struct Planned {
    cloud: Cloud,
    work: Work,
    _turn: Turn,
}

fn planned(request: &DeploymentRequest) -> Planned {
    let turn = Turn::wait();
    let cloud = Cloud::double();
    let work = Work::of_bundle(&bundle(request), &cloud, DEPLOYMENT).unwrap();
    work.init().unwrap();
    work.plan().passed();
    Planned { cloud, work, _turn: turn }
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
    let diagnostic = Diagnostic { summary: words.summary, detail: words.detail, address: words.address };
    Hetzner::diagnose(&diagnostic, asked)
}

/// With what the host adds to the cloud's words.
fn advice_on(words: &Words, request: &DeploymentRequest) -> Advice {
    let slot = &request.regions[0];
    advice_for(
        words,
        &Asked {
            region: slot.cloud_region.clone(),
            control_plane_size: slot.control_plane_size.clone(),
            worker_size: slot.worker_size.clone(),
            worker_count: slot.worker_count,
            ha_enabled: request.ha_enabled,
        },
    )
}

/// The only error, and the plugin's advice.
#[track_caller]
fn one_error(said: &Said) -> Advice {
    assert_ne!(said.status, 0);
    let errors = said.errors();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    advice(&errors[0])
}

/// Each alternative, put into the request, is another one, renders, and has no finding about what it changes.
fn alternatives_render(request: &DeploymentRequest, said: &Said) {
    let advice = advice_on(&said.errors()[0], request);
    assert!(advice.alternatives.len() >= 2, "{advice:?}");
    for alternative in &advice.alternatives {
        let mut other = request.clone();
        if let Some(region) = &alternative.region {
            other.regions[0].cloud_region.clone_from(region);
        }
        if let Some(size) = &alternative.machine_type {
            other.regions[0].control_plane_size.clone_from(size);
        }
        assert_ne!(&other, request, "{alternative:?}");
        let findings = Hetzner::validate(&other);
        let about = |code: &str| code.starts_with("machine-type") || code == "unknown-region" || code == "memory";
        assert!(!findings.iter().any(|finding| about(&finding.code)), "{alternative:?}: {findings:?}");
        bundle(&other);
    }
}

#[test]
fn f11_no_stock_says_so_offers_others_and_a_retry_goes_on() {
    let request = ha("nbg1", 0);
    let run = planned(&request);
    let words = "error during placement";
    run.cloud.project().fail("POST", "/servers", 2, Answer::Refused(412, "resource_unavailable", words));
    let said = run.work.apply();
    let advice = one_error(&said);
    assert_eq!((advice.kind, advice.retryable), (DiagnosticKind::Capacity, false));
    assert!(advice.what_happened.contains(catalyst_tests::double::CORRELATION_ID), "{}", advice.what_happened);
    alternatives_render(&request, &said);
    run.recovers();
}

#[test]
fn a_quota_that_is_reached_is_told_from_no_stock() {
    let run = planned(&request("fsn1", 0));
    let refused = Answer::Refused(403, "resource_limit_exceeded", "server limit reached");
    run.cloud.project().fail("POST", "/servers", 1, refused);
    assert_eq!(one_error(&run.work.apply()).kind, DiagnosticKind::Quota);
    run.recovers();
}

#[test]
fn a_token_that_only_reads_and_one_that_nobody_knows_are_credentials() {
    let mut run = planned(&request("fsn1", 0));
    let refused = Answer::Refused(403, "token_readonly", "the token is only allowed to perform GET requests");
    for path in ["/networks", "/firewalls", "/ssh_keys", "/load_balancers", "/placement_groups"] {
        run.cloud.project().fail("POST", path, 1, refused.clone());
    }
    let errors = run.work.apply().errors();
    assert_eq!(errors.len(), 5, "{errors:#?}");
    assert!(errors.iter().all(|words| advice(words).kind == DiagnosticKind::Credentials), "{errors:#?}");
    run.work.set("hcloud_token", &"x".repeat(64));
    run.work.plan().passed();
    let errors = run.work.apply().errors();
    assert!(
        !errors.is_empty() && errors.iter().all(|words| advice(words).kind == DiagnosticKind::Credentials),
        "{errors:#?}"
    );
    assert_eq!(run.cloud.project().everything().len(), 0);
}

#[test]
fn g16_what_the_cloud_would_refuse_in_mid_apply_does_not_pass_the_plan() {
    let mut run = planned(&request("fsn1", 0));
    let calls = run.cloud.project().count("POST", "");
    let long = "a1".repeat(32);
    let cases =
        [("hcloud_token", "short", &*long), ("deployment_id", "-x", DEPLOYMENT), ("k3s_token", "guessable", &*long)];
    for (variable, bad, good) in cases {
        run.work.set(variable, bad);
        let said = run.work.plan();
        assert_ne!(said.status, 0, "{variable}");
        assert!(said.errors().iter().any(|words| words.detail.contains(variable)), "{variable}: {:?}", said.errors());
        run.work.set(variable, good);
    }
    assert_eq!(run.cloud.project().count("POST", ""), calls, "nothing was created");
}

/// The module's default for callers that name no size is such a type.
#[test]
fn a_retired_type_is_named_with_its_successor() {
    let mut retired = request("fsn1", 0);
    retired.regions[0].control_plane_size = "cx42".to_owned();
    let run = planned(&retired);
    let said = run.work.apply();
    let advice = one_error(&said);
    assert_eq!((advice.kind, advice.retryable), (DiagnosticKind::Configuration, false));
    assert_eq!(advice.alternatives[0].machine_type.as_deref(), Some("cx43"), "{advice:?}");
    alternatives_render(&retired, &said);
}

#[test]
fn a_type_that_is_not_offered_at_a_location_is_a_choice_to_change() {
    let mut elsewhere = request("ash", 0);
    elsewhere.regions[0].control_plane_size = "cx43".to_owned();
    assert!(Hetzner::validate(&elsewhere).iter().any(|finding| finding.code == "machine-type-not-there"));
    let run = planned(&elsewhere);
    let said = run.work.apply();
    assert_eq!(one_error(&said).kind, DiagnosticKind::Configuration);
    alternatives_render(&elsewhere, &said);
}

/// The server exists, the state does not know it: the next run meets its name, and its labels find it.
#[test]
fn f3_a_server_whose_answer_was_lost_is_found_by_its_label_and_named_as_a_leftover() {
    let run = planned(&request("hel1", 0));
    run.cloud.project().fail("POST", "/servers", 1, Answer::Lost);
    let lost = one_error(&run.work.apply());
    assert!(lost.retryable, "{lost:?}");
    run.work.plan().passed();
    let advice = one_error(&run.work.apply());
    assert_eq!(advice.kind, DiagnosticKind::Conflict);
    assert!(advice.what_to_do.contains("catalyst.openova.io"), "{}", advice.what_to_do);

    let left = run.cloud.labelled("servers", &format!("catalyst.openova.io/deployment-id={DEPLOYMENT}"));
    assert_eq!(left.len(), 1);
    let output = run.work.run(&["output", "-json"]);
    let outputs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let selector = outputs["label_selector"]["value"].as_str().unwrap();
    assert_eq!(run.cloud.labelled("servers", selector), left);
}

/// Nobody but a person, or the cluster itself, can take it away, so nothing passes by waiting.
#[test]
fn t16_a_destroy_that_meets_what_others_attached_is_a_conflict_that_does_not_pass() {
    let run = planned(&request("fsn1", 0));
    run.work.apply().passed();
    let project = run.cloud.project();
    let path: &'static str = format!("/networks/{}", project.all("networks")[0]["id"]).leak();
    project.fail("DELETE", path, 1, Answer::Refused(409, "resource_in_use", "network still has attached resources"));
    let advice = one_error(&run.work.destroy());
    assert_eq!((advice.kind, advice.retryable), (DiagnosticKind::Conflict, false), "{advice:?}");
    assert!(advice.what_to_do.contains("load balancers"), "{advice:?}");
    run.work.destroy().passed();
    assert_eq!(project.everything().len(), 0);
}

/// It was added by hand, or another Sovereign of the project brought it.
#[test]
fn an_ssh_key_that_the_project_has_is_named_and_then_used() {
    let run = planned(&request("fsn1", 0));
    let key = request("fsn1", 0).ssh_public_key;
    run.cloud.project().add_ssh_key("mine", &key);
    let advice = one_error(&run.work.apply());
    assert_eq!((advice.kind, advice.retryable), (DiagnosticKind::Conflict, false));
    assert!(advice.what_to_do.contains("sshKeyName") && advice.what_to_do.contains("label"), "{advice:?}");

    let mut named = request("fsn1", 1);
    named.extra = r#"{"hetznerProjectID":"12345","sshKeyName":"mine"}"#.to_owned();
    run.work.set_variables(&bundle(&named).variables);
    run.work.plan().passed();
    run.work.apply().passed();
    assert_eq!(run.cloud.project().all("servers").len(), 2);
    assert_eq!(run.work.plan().passed().planned.len(), 0);
    run.work.destroy().passed();
    let left = run.cloud.project().everything();
    assert_eq!((left.len(), &left[0]["name"]), (1, &serde_json::json!("mine")), "not ours to remove");
}

/// Two deployments of one domain in one project: the second makes nothing.
#[test]
fn f8_a_domain_whose_resources_have_the_names_of_another_deployment_touches_nothing() {
    let request = DeploymentRequest { sovereign_fqdn: "a.b-c.test".into(), ..request("fsn1", 0) };
    let first = crate::kit::up(Cloud::double(), &request);
    let before = first.cloud.project().everything();
    let work = Work::of_bundle(&bundle(&request), &first.cloud, "ffeeddccbbaa9988").unwrap();
    work.init().unwrap();
    work.plan().passed();
    let errors = work.apply().errors();
    assert!(
        !errors.is_empty() && errors.iter().all(|words| advice(words).kind == DiagnosticKind::Conflict),
        "{errors:#?}"
    );
    assert_eq!(first.cloud.project().everything(), before);
}

/// The client of the provider waits and goes on by itself; no run is lost to it.
#[test]
fn a_moment_over_the_rate_limit_and_a_busy_resource_are_waited_out() {
    let run = planned(&request("fsn1", 0));
    let project = run.cloud.project();
    let limit = "limit of 3600 requests per hour reached";
    project.fail("POST", "/networks", 1, Answer::Refused(429, "rate_limit_exceeded", limit));
    project.fail("POST", "/actions/add_subnet", 1, Answer::Refused(409, "conflict", "network is busy"));
    run.work.apply().passed();
    run.recovers();
}

#[test]
fn f9_the_pinned_provider_is_the_one_that_runs_here() {
    let module = std::fs::read_to_string(format!("{}/versions.tf", catalyst_tests::hetzner::module::MODULE)).unwrap();
    let built = include_str!("../../tools/hcloud/go.mod");
    let version = module.split_once("\"= ").unwrap().1.split_once('"').unwrap().0;
    let line = format!("github.com/hetznercloud/terraform-provider-hcloud v{version}");
    assert!(built.lines().any(|known| known.trim().trim_end_matches(" // indirect").ends_with(&line)), "{line}");
    let run = planned(&request("fsn1", 0));
    let lock = std::fs::read_to_string(run.work.path().join(".terraform.lock.hcl")).unwrap();
    assert!(lock.contains(&format!("version     = \"{version}\"")), "{lock}");
}
