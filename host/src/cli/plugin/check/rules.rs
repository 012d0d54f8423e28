//! The walk through the rules: which calls are made, and what must hold of the answers.

use super::super::asked;
use super::ledger::Rule;
use super::samples::{self, Sample};
use super::twins::Twins;
use super::{files, outputs, settings};
use catalyst_domain::provider::{
    Asked, Bundle, CloudService, Descriptor, Diagnostic, LeftoverQuery, MadeResource, ProbeResponse, RenderContext,
    SecretRole,
};
use catalyst_domain::{Finding, RemainingResource, Request, finding};
use catalyst_sandbox::{Function, Provider, module_outputs};
use serde_json::{Map, json};

/// Longest text of a diagnostic that a host hands on, in bytes.
const DIAGNOSTIC: usize = 16 * 1024;

/// Holds the twins to every rule but those of loading and of OpenTofu. `given` is a request that must be accepted, in the place of
/// those that are made from the descriptor. Gives the module of the first request, where there is one.
///
/// What costs little and tells most comes first: where the time ends early, the end is what was not tried.
pub(super) async fn walk(twins: &mut Twins<'_>, given: Option<Sample>) -> Option<Bundle> {
    let provider = twins.provider();
    let descriptor = provider.descriptor();
    settings::schema(twins, descriptor).await;
    let accepted = match given {
        Some(sample) => vec![sample],
        None => samples::accepted(descriptor),
    };
    let (mut first, mut seen) = (None, Vec::new());
    for sample in &accepted {
        let Some(bundle) = accepts(twins, descriptor, sample).await else { continue };
        let declared = module_outputs::outputs(&bundle);
        if !seen.contains(&declared) {
            outputs::module(twins, &sample.name, &bundle).await;
            seen.push(declared);
        }
        first.get_or_insert(bundle);
    }
    let base =
        accepted.into_iter().next().map_or_else(|| samples::default_request(descriptor), |sample| sample.request);
    broken_outputs(twins).await;
    settings::given(twins, descriptor, &base).await;
    settings::wrong(twins, descriptor, &base).await;
    diagnoses(twins, &base).await;
    credentials(twins, descriptor, &base).await;
    leftovers(twins, &base).await;
    for sample in samples::hostile(&base, descriptor) {
        hostile(twins, descriptor, &sample).await;
    }
    first
}

async fn accepts(twins: &mut Twins<'_>, descriptor: &Descriptor, sample: &Sample) -> Option<Bundle> {
    let Sample { name, request } = sample;
    let findings = validate(twins, Rule::Accepts, name, request).await;
    let refused = |findings: &[Finding]| format!("{name}: refused: {}", finding::joined_errors(findings));
    if let Some(findings) = &findings {
        twins.ledger.require(Rule::Accepts, !has_errors(findings), || refused(findings));
    }
    let everything = asked::context(descriptor);
    let mut module = None;
    if let Some(rendered) = render(twins, Rule::Accepts, name, request, &everything).await {
        agree(twins, name, findings.as_deref(), &rendered);
        if let Ok(bundle) = rendered {
            modules(twins, descriptor, &everything, name, &bundle);
            module = Some(bundle);
        }
    }
    // As `catalyst render` asks: nothing of what a host adds is there.
    let bare = RenderContext { present_secrets: Vec::new(), public_url: String::new(), ..everything };
    let what = format!("{name}, without secrets");
    if let Some(Ok(bundle)) = render(twins, Rule::Accepts, &what, request, &bare).await {
        modules(twins, descriptor, &bare, &what, &bundle);
    }
    estimate(twins, Rule::Answers, name, request).await;
    module
}

async fn estimate(twins: &mut Twins<'_>, rule: Rule, name: &str, request: &Request) {
    twins.ask(rule, Function::Estimate, name, async |provider| provider.estimate(request).await).await;
}

/// What must hold of each module that a component renders.
fn modules(twins: &mut Twins<'_>, descriptor: &Descriptor, context: &RenderContext, name: &str, bundle: &Bundle) {
    let ledger = &mut twins.ledger;
    ledger.hold(Rule::Bundle, Ok(()));
    for hole in &bundle.secret_variables {
        let there = context.present_secrets.contains(&hole.secret);
        ledger.require(Rule::Secrets, there, || {
            format!("{name}: {} is filled from {}, which is not there", hole.variable, hole.secret)
        });
    }
    for spec in descriptor.secrets.iter().filter(|spec| context.present_secrets.contains(&spec.name)) {
        // What is optional may be for another request.
        let used = !spec.required || bundle.secret_variables.iter().any(|hole| hole.secret == spec.name);
        ledger.require(Rule::Secrets, used, || format!("{name}: the required secret {} fills no variable", spec.name));
        if spec.role == SecretRole::KubeconfigBearer {
            ledger.hold(Rule::Secrets, files::bearer(descriptor, bundle).map_err(|why| format!("{name}: {why}")));
        }
    }
    let of_the_host = bundle.deployment_id_variable.iter().chain(&bundle.cluster_exists_variable);
    for variable in bundle.secret_variables.iter().map(|hole| &hole.variable).chain(of_the_host) {
        let declared = files::declares_variable(bundle, variable);
        ledger.require(Rule::Secrets, declared, || format!("{name}: the module declares no variable {variable}"));
    }
    if descriptor.bearer().is_some() {
        ledger
            .require(Rule::UserData, !bundle.user_data.is_empty(), || format!("{name}: no size of user data is told"));
    }
    for size in &bundle.user_data {
        let within = size.bytes <= size.limit && size.limit <= descriptor.user_data_limit;
        ledger.require(Rule::UserData, within, || {
            format!(
                "{name}: {} has {} bytes, its limit is {}, the cloud's {}",
                size.node, size.bytes, size.limit, descriptor.user_data_limit
            )
        });
    }
    for (path, outcome) in files::cloud_configs(bundle) {
        ledger.hold(Rule::UserData, outcome.map_err(|why| format!("{name}: {path}: {why}")));
    }
    ledger.hold(Rule::TextStaysText, files::text_stays_text(bundle).map_err(|why| format!("{name}: {why}")));
}

async fn hostile(twins: &mut Twins<'_>, descriptor: &Descriptor, sample: &Sample) {
    let Sample { name, request } = sample;
    let findings = validate(twins, Rule::Hostile, name, request).await;
    let context = asked::context(descriptor);
    if let Some(rendered) = render(twins, Rule::Hostile, name, request, &context).await {
        agree(twins, name, findings.as_deref(), &rendered);
        if let Ok(bundle) = &rendered {
            modules(twins, descriptor, &context, name, bundle);
        }
    }
    estimate(twins, Rule::Hostile, name, request).await;
}

fn agree(twins: &mut Twins<'_>, name: &str, findings: Option<&[Finding]>, rendered: &Result<Bundle, Vec<Finding>>) {
    let Some(findings) = findings else { return };
    let (refused, rendered_it) = (has_errors(findings), rendered.is_ok());
    twins.ledger.require(Rule::Agreement, refused != rendered_it, || match rendered {
        Ok(_) => format!("{name}: validate refuses it, and render makes a module"),
        Err(findings) => {
            format!("{name}: validate passes it, and render refuses: {}", finding::joined_errors(findings))
        }
    });
}

async fn validate(twins: &mut Twins<'_>, rule: Rule, name: &str, request: &Request) -> Option<Vec<Finding>> {
    twins.ask(rule, Function::Validate, name, async |provider| provider.validate(request).await).await
}

async fn render(
    twins: &mut Twins<'_>,
    rule: Rule,
    name: &str,
    request: &Request,
    context: &RenderContext,
) -> Option<Result<Bundle, Vec<Finding>>> {
    twins.ask(rule, Function::Render, name, async |provider| provider.render(request, context).await).await
}

fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(Finding::is_error)
}

/// What a run may leave behind when it went wrong.
async fn broken_outputs(twins: &mut Twins<'_>) {
    for (what, text) in [
        ("no outputs", "{}"),
        ("an unknown output", r#"{"nothing_known": {"value": "x", "type": "string", "sensitive": false}}"#),
        ("outputs that are no object", "[]"),
        ("outputs that are no JSON", "Error: no state\n"),
        ("no text", ""),
    ] {
        let read = async |provider: &Provider| provider.read_outputs(text).await;
        if let Some(read) = twins.ask(Rule::Outputs, Function::ReadOutputs, what, read).await {
            twins.ledger.require(Rule::Outputs, read.is_err(), || format!("{what}: endpoints are made up"));
            let words = read.err().is_none_or(|reason| !reason.trim().is_empty());
            twins.ledger.require(Rule::Outputs, words, || format!("{what}: the reason is blank"));
        }
    }
}

async fn diagnoses(twins: &mut Twins<'_>, base: &Request) {
    let asked = Asked::of(base);
    let long = "E".repeat(DIAGNOSTIC);
    for (what, summary, detail, address) in [
        ("an empty diagnostic", "", "", None),
        ("a refused token", "unauthorized", "the token is not valid (401)", Some("cloud_server.first[0]")),
        ("a long diagnostic", long.as_str(), long.as_str(), None),
        ("an odd diagnostic", "\u{0}\u{1b}[31m${x}", "%{ if }", Some("\u{202e}")),
    ] {
        let diagnostic =
            Diagnostic { summary: summary.into(), detail: detail.into(), address: address.map(str::to_owned) };
        let diagnose = async |provider: &Provider| provider.diagnose(&diagnostic, &asked).await;
        if let Some(advice) = twins.ask(Rule::Answers, Function::Diagnose, what, diagnose).await {
            let said = !advice.what_to_do.trim().is_empty();
            twins.ledger.require(Rule::Answers, said, || format!("{what}: it does not say what to do"));
        }
    }
}

async fn credentials(twins: &mut Twins<'_>, descriptor: &Descriptor, base: &Request) {
    let odd = samples::properties(descriptor).into_iter().map(|(key, _)| (key, json!([null]))).collect();
    let mut count = 1;
    for (what, settings) in [("of a wrong type", odd), ("left out", Map::new()), ("as accepted", base.extra.clone())] {
        let what = format!("settings {what}");
        let probe = async |provider: &Provider| provider.credential_probe(&settings).await;
        let probes = twins.ask(Rule::Answers, Function::CredentialProbe, &what, probe).await;
        count = probes.and_then(Result::ok).map_or(count, |probes| probes.len());
    }
    for (status, body) in [(200, "{}"), (401, "{\"error\":\"unauthorized\"}"), (403, ""), (500, "<html>"), (0, "\u{0}")]
    {
        let responses = vec![ProbeResponse { status, body: body.into() }; count];
        judged(twins, &format!("answers of status {status}"), &responses).await;
    }
    judged(twins, "no answer", &[]).await;
}

/// Of a component that searches its cloud.
async fn leftovers(twins: &mut Twins<'_>, base: &Request) {
    if !twins.provider().searches_leftovers() {
        return;
    }
    let query = LeftoverQuery {
        deployment_id: "00112233aabbccdd".into(),
        sovereign_fqdn: base.sovereign_fqdn.clone(),
        region: base.region.clone(),
        settings: base.extra.clone(),
        made: vec![MadeResource { address: "cloud_server.first[0]".into(), id: "\u{202e}".into() }],
        known: vec![RemainingResource::new("volume", "a volume", "42", "it was seen before")],
        services: vec![CloudService {
            kind: "compute".into(),
            region: base.region.clone(),
            url: "https://compute.cloud.example/v2.1".into(),
        }],
    };
    let probe = async |provider: &Provider| provider.leftover_probe(&query).await;
    let probes = twins.ask(Rule::Answers, Function::LeftoverProbe, "a search", probe).await;
    let count = probes.and_then(Result::ok).map_or(1, |probes| probes.len());
    for (status, body) in [(200, "{}"), (200, "[7]"), (401, ""), (404, "{}"), (500, "<html>"), (0, "\u{0}")] {
        let responses = vec![ProbeResponse { status, body: body.into() }; count];
        let judge = async |provider: &Provider| provider.judge_leftovers(&query, &responses).await;
        let what = format!("answers of status {status} to a search");
        twins.ask(Rule::Answers, Function::JudgeLeftovers, &what, judge).await;
    }
}

async fn judged(twins: &mut Twins<'_>, what: &str, responses: &[ProbeResponse]) {
    let judge = async |provider: &Provider| provider.judge_credentials(responses).await;
    twins.ask(Rule::Answers, Function::JudgeCredentials, what, judge).await;
}
