//! A whole small provider that keeps every rule, and the mistakes of its author: one at a time, chosen by a word in the component's
//! data, which tests replace. For `catalyst plugin`, whose commands tell an author what is wrong.
#![cfg(target_arch = "wasm32")]
#![expect(
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "mistakes are what it is for"
)]

use catalyst_hostile_guests::bindings;
use catalyst_hostile_guests::bindings::catalyst::provisioner::bundle::{
    File, RenderContext, Rendered, SecretVariable, UserDataSize,
};
use catalyst_hostile_guests::bindings::catalyst::provisioner::credentials::{Probe, ProbeResponse, Verdict};
use catalyst_hostile_guests::bindings::catalyst::provisioner::descriptor::{
    Catalogue, MachineType, Provider, Region, Secret, SecretRole, SecretSource,
};
use catalyst_hostile_guests::bindings::catalyst::provisioner::findings::{Finding, Severity};
use catalyst_hostile_guests::bindings::catalyst::provisioner::log::{Level, write};
use catalyst_hostile_guests::bindings::catalyst::provisioner::outcome::{
    Advice, Asked, CostLine, Diagnostic, DiagnosticKind, Endpoints, Estimate,
};
use catalyst_hostile_guests::bindings::catalyst::provisioner::request::DeploymentRequest;

/// What tests replace: the name of a mistake, filled up with blanks.
static MISTAKE: [u8; 48] = *b"mistake:none                                    ";

const LIMIT: u32 = 16_384;

const MAIN: &str = r#"variable "sovereign_fqdn" { type = string }
variable "org_name" { type = string }
variable "deployment_id" { type = string }
variable "cloud_token" {
  type      = string
  sensitive = true
}
variable "bearer" {
  type      = string
  sensitive = true
}
resource "terraform_data" "server" {
  input = {
    name      = var.sovereign_fqdn
    account   = sha256(var.cloud_token)
    user_data = templatefile("${path.module}/cloudinit.tftpl", { bearer = var.bearer, id = var.deployment_id })
  }
}
"#;
const OUTPUTS: &str = r#"output "control_plane_ip" { value = terraform_data.server.output.name }
output "load_balancer_ip" { value = "192.0.2.11" }
output "console_url" { value = "https://console.${var.sovereign_fqdn}" }
"#;
const SENSITIVE: &str = "output \"load_balancer_ip\" {\n  value     = \"192.0.2.11\"\n  sensitive = true\n}\n";
const CLOUD_INIT: &str = "#cloud-config\nruncmd:\n  - [echo, \"${bearer}\", \"${id}\"]\n";
const SCHEMA: &str =
    r#"{"type":"object","properties":{"port":{"type":"integer","minimum":1,"default":6443,"examples":[443]}}}"#;

fn makes(mistake: &str) -> bool {
    let word = std::str::from_utf8(std::hint::black_box(&MISTAKE)).unwrap_or_default();
    word.trim_start_matches("mistake:").trim_end() == mistake
}

fn spin() {
    let mut n: u64 = 0;
    while std::hint::black_box(n) < u64::MAX {
        n = std::hint::black_box(n) % 1000 + 1;
    }
}

/// Some tens of milliseconds.
fn dawdle() {
    for n in 0..300_000_000_u64 {
        std::hint::black_box(n);
    }
}

/// What each export does first.
fn enter(export: &str) {
    if makes("every export loops") || makes(&format!("{export} loops")) {
        spin();
    }
    if makes("is slow") {
        dawdle();
    }
    if makes(&format!("{export} panics")) {
        panic!("{export} has no plan\nfor this");
    }
    if makes("talks") {
        write(Level::Info, &format!("{export} begins"));
        println!("{export} prints");
        eprintln!("{export} complains");
    }
}

struct Author;

impl bindings::exports::catalyst::provisioner::cloud::Guest for Author {
    fn describe() -> Provider {
        if !makes("every export loops") {
            enter("describe");
        }
        provider()
    }

    fn validate(request: DeploymentRequest) -> Vec<Finding> {
        enter("validate");
        if makes("loops on quotes") && request.org_name.contains('`') {
            spin();
        }
        findings(&request)
    }

    fn render(request: DeploymentRequest, context: RenderContext) -> Result<Rendered, Vec<Finding>> {
        enter("render");
        if makes("counts workers blindly") {
            // Of a negative number of workers there is no such index.
            let names = ["none", "one"];
            let count = request.regions.first().map_or(0, |slot| slot.worker_count);
            write(Level::Debug, names[usize::try_from(count.min(1)).unwrap_or(usize::MAX)]);
        }
        if makes("hoards memory") {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![1_u8; 1024 * 1024]);
                std::hint::black_box(&kept);
            }
        }
        let mut found = findings(&request);
        if makes("render refuses more") && request.org_name.len() > 100 {
            found.push(finding("/orgName", "the name is too long"));
        }
        if found.is_empty() { Ok(rendered(&request, &context)) } else { Err(found) }
    }

    fn read_outputs(outputs: String) -> Result<Endpoints, String> {
        enter("read-outputs");
        let (control_plane_ip, load_balancer_ip, console_url) = if makes("makes endpoints up") {
            ("192.0.2.1".to_owned(), "192.0.2.2".to_owned(), "https://console.example".to_owned())
        } else {
            (
                address(&outputs, "control_plane_ip")?,
                address(&outputs, "load_balancer_ip")?,
                text(&outputs, "console_url")?,
            )
        };
        let kubeconfig_hosts = if makes("names no hosts") { Vec::new() } else { vec![load_balancer_ip.clone()] };
        Ok(Endpoints { control_plane_ip, load_balancer_ip, kubeconfig_hosts, console_url })
    }

    fn diagnose(diagnostic: Diagnostic, _: Asked) -> Advice {
        enter("diagnose");
        Advice {
            kind: DiagnosticKind::Other,
            retryable: false,
            what_happened: diagnostic.summary.chars().take(1000).collect(),
            what_to_do: if makes("advises nothing") { " ".into() } else { "Read OpenTofu's words.".into() },
            alternatives: Vec::new(),
        }
    }

    fn estimate(_: DeploymentRequest) -> Result<Estimate, String> {
        enter("estimate");
        if makes("estimate exits") {
            std::process::exit(1);
        }
        let lines = vec![CostLine { label: "server".into(), quantity: 1, monthly_cents: 499 }];
        Ok(Estimate { currency: "EUR".into(), as_of: "2026-01-01".into(), lines, unknown: Vec::new() })
    }

    fn credential_probe(_: String) -> Result<Vec<Probe>, String> {
        enter("credential-probe");
        Err("there is no API that proves a token".into())
    }

    fn judge_credentials(_: Vec<ProbeResponse>) -> Verdict {
        enter("judge-credentials");
        Verdict::Unreachable("there is no API that proves a token".into())
    }
}

fn provider() -> Provider {
    let secret = |name: &str, source, role| Secret {
        name: name.into(),
        source,
        role,
        required: true,
        min_length: 1,
        max_length: 64,
        label: name.into(),
        refused_prefixes: Vec::new(),
    };
    let machine = MachineType {
        name: "small".into(),
        cores: 2,
        memory_gib: 4,
        disk_gib: 40,
        arch: "x86".into(),
        monthly_cents: Some(499),
        retired: false,
        successor: None,
    };
    Provider {
        id: "author".into(),
        display_name: "An author's cloud".into(),
        version: if makes("has half a version") { "0.1".into() } else { "0.1.0".into() },
        secrets: vec![
            secret("cloud-token", SecretSource::Request("authorToken".into()), SecretRole::Ordinary),
            secret("bearer", SecretSource::Minted, SecretRole::KubeconfigBearer),
        ],
        tofu_providers: Vec::new(),
        bearer_resource: Some(
            if makes("names no bearer") { "terraform_data.first" } else { "terraform_data.server" }.into(),
        ),
        catalogue: Catalogue {
            as_of: "2026-01-01".into(),
            currency: "EUR".into(),
            regions: vec![Region {
                id: "r1".into(),
                display_name: "First".into(),
                machine_types: vec!["small".into()],
            }],
            machine_types: vec![machine],
        },
        user_data_limit: LIMIT,
        settings_schema: schema(),
        api_hosts: Vec::new(),
    }
}

fn schema() -> String {
    let (from, to) = if makes("misspells a type") {
        ("integer", "integre")
    } else if makes("defaults to a text") {
        ("6443", "\"6443\"")
    } else if makes("requires without example") {
        (r#""properties""#, r#""required":["zone"],"properties""#)
    } else {
        return SCHEMA.into();
    };
    let schema = SCHEMA.replacen(from, to, 1);
    if makes("requires without example") {
        return schema.replacen(r#"{"port""#, r#"{"zone":{"type":"string","pattern":"^z[0-9]$"},"port""#, 1);
    }
    schema
}

fn finding(pointer: &str, message: &str) -> Finding {
    Finding { pointer: pointer.into(), code: "no".into(), message: message.into(), severity: Severity::Error }
}

fn findings(request: &DeploymentRequest) -> Vec<Finding> {
    let mut found = Vec::new();
    let slot = request.regions.first();
    let region = slot.map_or(request.region.as_str(), |slot| slot.cloud_region.as_str());
    let known = if makes("forgets its region") { "r2" } else { "r1" };
    if !region.is_empty() && region != known {
        found.push(finding("/regions/0/cloudRegion", "there is no region of that name"));
    }
    let count = slot.map_or(request.worker_count, |slot| slot.worker_count);
    if !(0..=100).contains(&count) && !makes("counts workers blindly") {
        found.push(finding("/regions/0/workerCount", "there are 0 to 100 workers"));
    }
    match port(&request.extra) {
        None | Some(Ok(1024..)) => {}
        Some(Ok(1..)) if !makes("refuses its own example") => {}
        Some(Err(())) if makes("takes any type") => {}
        Some(_) => found.push(finding("/port", "port is no port that may be used")),
    }
    found
}

/// The setting, or that it is no whole number.
fn port(extra: &str) -> Option<Result<i64, ()>> {
    let (_, value) = extra.split_once("\"port\":")?;
    let end = value.find([',', '}']).unwrap_or(value.len());
    Some(value[..end].trim().parse().map_err(|_| ()))
}

fn rendered(request: &DeploymentRequest, context: &RenderContext) -> Rendered {
    let file = |path: &str, content: String| File { path: path.into(), mode: 0o600, content: content.into() };
    let mut main = MAIN.to_owned();
    let (mut outputs, mut cloud_init) = (OUTPUTS.to_owned(), CLOUD_INIT.to_owned());
    let balancer = OUTPUTS.lines().nth(1).unwrap_or_default().to_owned() + "\n";
    for (mistake, from, to) in [
        ("uses an unknown variable", "var.sovereign_fqdn", "var.sovereign"),
        ("loses a secret's variable", "variable \"cloud_token\"", "variable \"cloud_tokens\""),
        ("runs a program", "  input = {", "  provisioner \"local-exec\" {\n    command = \"id\"\n  }\n  input = {"),
    ] {
        if makes(mistake) {
            main = main.replacen(from, to, 1);
        }
    }
    if makes("loses a secret's variable") {
        main = main.replace("var.cloud_token)", "var.cloud_tokens)");
    }
    if makes("evaluates the request") {
        main.push_str(&format!("locals {{\n  org = \"{}\"\n}}\n", request.org_name));
    }
    if makes("forgets an output") {
        outputs = outputs.replace(&balancer, "");
    } else if makes("hides an output") {
        outputs = outputs.replace(&balancer, SENSITIVE);
    } else if makes("has no outputs") {
        outputs.clear();
    }
    if makes("breaks its cloud-config") {
        cloud_init = cloud_init.replace("runcmd:", "runcmd: [");
    }
    let filled = [("cloud-token", "cloud_token"), ("bearer", "bearer")].into_iter();
    let filled = filled.filter(|(secret, _)| context.present_secrets.iter().any(|present| present == secret));
    Rendered {
        files: vec![file("main.tf", main), file("outputs.tf", outputs), file("cloudinit.tftpl", cloud_init)],
        variables: format!(
            "{{\"sovereign_fqdn\":{},\"org_name\":{}}}",
            json(&request.sovereign_fqdn),
            json(&request.org_name)
        ),
        secret_variables: filled
            .map(|(secret, variable)| SecretVariable { secret: secret.into(), variable: variable.into() })
            .collect(),
        deployment_id_variable: Some("deployment_id".into()),
        user_data: vec![UserDataSize {
            node: "server".into(),
            bytes: if makes("outgrows the user data") { LIMIT + 1 } else { 900 },
            limit: LIMIT,
        }],
        warnings: Vec::new(),
    }
}

fn json(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out + "\""
}

/// A text output. Its object has no object within.
fn text(outputs: &str, name: &str) -> Result<String, String> {
    let missing = || format!("there is no output `{name}`");
    let (_, rest) = outputs.split_once(&format!("\"{name}\":{{")).ok_or_else(missing)?;
    let (object, _) = rest.split_once('}').ok_or_else(missing)?;
    let (_, value) = object.split_once("\"value\":\"").ok_or_else(|| format!("the output `{name}` is no text"))?;
    value.split_once('"').map(|(value, _)| value.to_owned()).ok_or_else(missing)
}

fn address(outputs: &str, name: &str) -> Result<String, String> {
    let text = text(outputs, name)?;
    if text.parse::<std::net::IpAddr>().is_ok() { Ok(text) } else { Err(format!("the output `{name}` is no address")) }
}

bindings::export!(Author with_types_in bindings);
