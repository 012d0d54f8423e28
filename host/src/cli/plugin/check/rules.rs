//! The walk through the rules: which calls are made, and what must hold of the answers.

use super::super::asked;
use super::files;
use super::ledger::Rule;
use super::samples::{self, Sample};
use super::twins::Twins;
use catalyst_domain::provider::{Asked, Bundle, Descriptor, Diagnostic, ProbeResponse, RenderContext, SecretRole};
use catalyst_domain::{Finding, Request, finding};
use serde_json::{Map, json};

/// Longest text of a diagnostic that a host hands on, in bytes.
const DIAGNOSTIC: usize = 16 * 1024;

/// Holds the twins to every rule but that of loading. `given` is a request that must be accepted, in the place of those that
/// are made from the descriptor.
pub(super) async fn walk(twins: &mut Twins, given: Option<Sample>) {
    let provider = twins.provider();
    let descriptor = provider.descriptor();
    schema(twins, descriptor);
    let accepted = match given {
        Some(sample) => vec![sample],
        None => samples::accepted(descriptor),
    };
    for sample in &accepted {
        accepts(twins, descriptor, sample).await;
    }
    let base =
        accepted.into_iter().next().map_or_else(|| samples::default_request(descriptor), |sample| sample.request);
    settings(twins, descriptor, &base).await;
    for sample in samples::hostile(&base, descriptor) {
        hostile(twins, descriptor, &sample).await;
    }
    outputs(twins).await;
    diagnoses(twins, &base).await;
    credentials(twins, descriptor, &base).await;
}

fn schema(twins: &mut Twins, descriptor: &Descriptor) {
    let schema = samples::schema(descriptor);
    let properties = schema.get("properties").is_none_or(serde_json::Value::is_object);
    let ledger = &mut twins.ledger;
    ledger.expect(Rule::Schema, properties, || "`properties` is no object".to_owned());
    let kind = schema.get("type").is_none_or(|kind| kind == "object");
    ledger.expect(Rule::Schema, kind, || "`type` is not `object`".to_owned());
    for (key, value) in samples::required_settings(descriptor) {
        ledger.expect(Rule::Schema, value.is_some(), || {
            format!("{key} is required, and no value can be told: give it `examples`, or check with --request")
        });
    }
    for (key, schema) in samples::properties(descriptor) {
        ledger.expect(Rule::Schema, schema.is_object(), || format!("the schema of {key} is no object"));
    }
}

async fn accepts(twins: &mut Twins, descriptor: &Descriptor, sample: &Sample) {
    let Sample { name, request } = sample;
    let findings = validate(twins, Rule::Accepts, name, request).await;
    let refused = |findings: &[Finding]| format!("{name}: refused: {}", finding::joined_errors(findings));
    if let Some(findings) = &findings {
        twins.ledger.expect(Rule::Accepts, !has_errors(findings), || refused(findings));
    }
    let everything = asked::context(descriptor);
    if let Some(rendered) = render(twins, Rule::Accepts, name, request, &everything).await {
        agree(twins, name, findings.as_deref(), &rendered);
        if let Ok(bundle) = &rendered {
            modules(twins, descriptor, &everything, name, bundle);
        }
    }
    // As `catalyst render` asks: nothing of what a host adds is there.
    let bare = RenderContext { present_secrets: Vec::new(), public_url: String::new(), ..everything };
    let what = format!("{name}, without secrets");
    if let Some(Ok(bundle)) = render(twins, Rule::Accepts, &what, request, &bare).await {
        modules(twins, descriptor, &bare, &what, &bundle);
    }
    twins.ask(Rule::Answers, &format!("{name}: estimate"), async |provider| provider.estimate(request).await).await;
}

/// What must hold of each module that a component renders.
fn modules(twins: &mut Twins, descriptor: &Descriptor, context: &RenderContext, name: &str, bundle: &Bundle) {
    let ledger = &mut twins.ledger;
    ledger.hold(Rule::Bundle, Ok(()));
    for hole in &bundle.secret_variables {
        let there = context.present_secrets.contains(&hole.secret);
        ledger.expect(Rule::Secrets, there, || {
            format!("{name}: {} is filled from {}, which is not there", hole.variable, hole.secret)
        });
    }
    for spec in descriptor.secrets.iter().filter(|spec| context.present_secrets.contains(&spec.name)) {
        // What is optional may be for another request.
        let used = !spec.required || bundle.secret_variables.iter().any(|hole| hole.secret == spec.name);
        ledger.expect(Rule::Secrets, used, || format!("{name}: the required secret {} fills no variable", spec.name));
        if spec.role == SecretRole::KubeconfigBearer {
            ledger.hold(Rule::Secrets, files::bearer(descriptor, bundle).map_err(|why| format!("{name}: {why}")));
        }
    }
    let of_the_host = bundle.deployment_id_variable.iter().chain(&bundle.cluster_exists_variable);
    for variable in bundle.secret_variables.iter().map(|hole| &hole.variable).chain(of_the_host) {
        let declared = files::declares_variable(bundle, variable);
        ledger.expect(Rule::Secrets, declared, || format!("{name}: the module declares no variable {variable}"));
    }
    if descriptor.bearer().is_some() {
        ledger.expect(Rule::UserData, !bundle.user_data.is_empty(), || format!("{name}: no size of user data is told"));
    }
    for size in &bundle.user_data {
        let within = size.bytes <= size.limit && size.limit <= descriptor.user_data_limit;
        ledger.expect(Rule::UserData, within, || {
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

async fn settings(twins: &mut Twins, descriptor: &Descriptor, base: &Request) {
    for (key, request) in samples::wrong_settings(base, descriptor) {
        let what = format!("{key} with a wrong type");
        let Some(findings) = validate(twins, Rule::Settings, &what, &request).await else { continue };
        let at = format!("/{key}");
        let told =
            findings.iter().any(|f| f.is_error() && (f.pointer == at || f.pointer.starts_with(&format!("{at}/"))));
        twins.ledger.expect(Rule::Settings, told, || format!("{what}: no error finding at {at}"));
    }
}

async fn hostile(twins: &mut Twins, descriptor: &Descriptor, sample: &Sample) {
    let Sample { name, request } = sample;
    let findings = validate(twins, Rule::Hostile, name, request).await;
    let context = asked::context(descriptor);
    if let Some(rendered) = render(twins, Rule::Hostile, name, request, &context).await {
        agree(twins, name, findings.as_deref(), &rendered);
        if let Ok(bundle) = &rendered {
            modules(twins, descriptor, &context, name, bundle);
        }
    }
    twins.ask(Rule::Hostile, &format!("{name}: estimate"), async |provider| provider.estimate(request).await).await;
}

fn agree(twins: &mut Twins, name: &str, findings: Option<&[Finding]>, rendered: &Result<Bundle, Vec<Finding>>) {
    let Some(findings) = findings else { return };
    let (refused, rendered_it) = (has_errors(findings), rendered.is_ok());
    twins.ledger.expect(Rule::Agreement, refused != rendered_it, || match rendered {
        Ok(_) => format!("{name}: validate refuses it, and render makes a module"),
        Err(findings) => {
            format!("{name}: validate passes it, and render refuses: {}", finding::joined_errors(findings))
        }
    });
}

async fn validate(twins: &mut Twins, rule: Rule, name: &str, request: &Request) -> Option<Vec<Finding>> {
    twins.ask(rule, &format!("{name}: validate"), async |provider| provider.validate(request).await).await
}

async fn render(
    twins: &mut Twins,
    rule: Rule,
    name: &str,
    request: &Request,
    context: &RenderContext,
) -> Option<Result<Bundle, Vec<Finding>>> {
    twins.ask(rule, &format!("{name}: render"), async |provider| provider.render(request, context).await).await
}

fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(Finding::is_error)
}

/// What a run may leave behind when it went wrong.
async fn outputs(twins: &mut Twins) {
    for (what, text) in [
        ("no outputs", "{}"),
        ("an unknown output", r#"{"nothing_known": {"value": "x", "type": "string", "sensitive": false}}"#),
        ("outputs that are no object", "[]"),
        ("outputs that are no JSON", "Error: no state\n"),
        ("no text", ""),
    ] {
        let read = twins.ask(Rule::Outputs, what, async |provider| provider.read_outputs(text).await).await;
        if let Some(read) = read {
            twins.ledger.expect(Rule::Outputs, read.is_err(), || format!("{what}: endpoints are made up"));
            let words = read.err().is_none_or(|reason| !reason.trim().is_empty());
            twins.ledger.expect(Rule::Outputs, words, || format!("{what}: the reason is blank"));
        }
    }
}

async fn diagnoses(twins: &mut Twins, base: &Request) {
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
        let advice =
            twins.ask(Rule::Answers, what, async |provider| provider.diagnose(&diagnostic, &asked).await).await;
        if let Some(advice) = advice {
            let said = !advice.what_to_do.trim().is_empty();
            twins.ledger.expect(Rule::Answers, said, || format!("{what}: it does not say what to do"));
        }
    }
}

async fn credentials(twins: &mut Twins, descriptor: &Descriptor, base: &Request) {
    let odd = samples::properties(descriptor).into_iter().map(|(key, _)| (key, json!([null]))).collect();
    let mut count = 1;
    for (what, settings) in [("of a wrong type", odd), ("left out", Map::new()), ("as accepted", base.extra.clone())] {
        let what = format!("credential-probe with settings {what}");
        let probes = twins.ask(Rule::Answers, &what, async |provider| provider.credential_probe(&settings).await).await;
        count = probes.and_then(Result::ok).map_or(count, |probes| probes.len());
    }
    for (status, body) in [(200, "{}"), (401, "{\"error\":\"unauthorized\"}"), (403, ""), (500, "<html>"), (0, "\u{0}")]
    {
        let responses = vec![ProbeResponse { status, body: body.into() }; count];
        let what = format!("judge-credentials of status {status}");
        twins.ask(Rule::Answers, &what, async |provider| provider.judge_credentials(&responses).await).await;
    }
    twins
        .ask(Rule::Answers, "judge-credentials of no answer", async |provider| provider.judge_credentials(&[]).await)
        .await;
}
