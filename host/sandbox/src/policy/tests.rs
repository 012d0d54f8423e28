//! A hostile file for every rule, and files that must pass.

mod arguments;
mod reading;
mod running;
mod sources;

use super::{Allowance, Rule, Terms, check};
use crate::check::sample;
use crate::grants::{Basis, Rights};
use catalyst_domain::provider::{Bundle, BundleFile, Descriptor, TofuProvider};

pub(super) fn descriptor() -> Descriptor {
    let acme = TofuProvider { source: "acme/cloud".into(), version: "1.2.3".into(), settings: None };
    Descriptor { tofu_providers: vec![acme], ..sample() }
}

/// A plugin of contract 1.0 without a lock.
pub(super) struct Plain(Descriptor, Rights, serde_json::Map<String, serde_json::Value>);

impl Plain {
    pub(super) fn new() -> Self {
        Self::of(descriptor())
    }

    pub(super) fn of(descriptor: Descriptor) -> Self {
        let rights = Rights::as_declared(Basis::Declared, &descriptor);
        Self(descriptor, rights, serde_json::Map::new())
    }

    pub(super) fn terms(&self) -> Terms<'_> {
        Terms { descriptor: &self.0, rights: &self.1, settings: &self.2, present_secrets: None }
    }
}

pub(super) fn bundle(files: &[(&str, &str)]) -> Bundle {
    let file = |(path, text): &(&str, &str)| BundleFile {
        path: (*path).to_owned(),
        mode: 0o600,
        content: text.as_bytes().to_vec(),
    };
    Bundle {
        files: files.iter().map(file).collect(),
        variables: serde_json::Map::new(),
        secret_variables: Vec::new(),
        deployment_id_variable: None,
        cluster_exists_variable: None,
        nodes: Vec::new(),
        user_data: Vec::new(),
        warnings: Vec::new(),
    }
}

pub(super) const PINNED: (&str, &str) = (
    "versions.tf",
    "terraform {\n  required_version = \">= 1.6\"\n  required_providers {\n    cloud = {\n      source = \"acme/cloud\"\n      version = \"= 1.2.3\"\n    }\n  }\n}\n",
);

fn all(files: &[(&str, &str)]) -> Vec<(Rule, Option<usize>)> {
    match check(&bundle(files), Allowance::Rendered(Plain::new().terms())) {
        Ok(()) => Vec::new(),
        Err(refused) => refused.refusals.iter().map(|one| (one.rule, one.line)).collect(),
    }
}

fn passes(text: &str) {
    passes_with(&[PINNED, ("main.tf", text), ("a.tftpl", "${x}\n"), ("net/main.tf", "")]);
}

fn passes_with(files: &[(&str, &str)]) {
    let verdict = check(&bundle(files), Allowance::Rendered(Plain::new().terms()));
    assert!(verdict.is_ok(), "{files:?}\n{}", verdict.unwrap_err());
}

/// One refusal, at this line.
fn refused(text: &str, rule: Rule, line: usize) {
    let found = all(&[PINNED, ("main.tf", text), ("a.tftpl", "${x}\n"), ("net/main.tf", "")]);
    assert_eq!(found, [(rule, Some(line))], "{text}");
}

#[test]
fn what_a_cloud_needs_passes() {
    passes(
        r#"
provider "cloud" {
  token = var.token
}
variable "token" {
  type = string
}
locals {
  text = templatefile("${path.module}/a.tftpl", { x = file("${path.module}/a.tftpl") })
  there = fileset(path.module, "*.tftpl")
  escaped = "$${file(1)} 100%%"
  note = <<-EOT
    ${upper("x")} and more
  EOT
}
resource "cloud_server" "a" {
  connection_string = "provisioner"
  dynamic "rule" {
    for_each = [1]
    content {}
  }
}
resource "terraform_data" "b" {
  input = core::sha256("x")
}
data "cloud_image" "c" {
  provider = cloud.other
}
module "net" {
  source = "./net"
}
check "up" {
  data "cloud_image" "d" {}
  assert {
    condition = true
    error_message = "down"
  }
}
provider "cloud" {
  alias    = "many"
  for_each = toset(["a", "b"])
}
resource "cloud_server" "maybe" {
  lifecycle {
    enabled = false
  }
}
variable "fixed" {
  type       = string
  const      = true
  deprecated = "no more"
}
moved {
  from = a.b
  to = a.c
}
output "d" {
  value = provider::cloud::parse("x")
}
"#,
    );
    passes("# provisioner \"local-exec\" { file(\"/etc/passwd\") }\n");
}

#[test]
fn a_refusal_is_short_printable_and_bounded() {
    let name = format!("x{}\\u0007", "é".repeat(300));
    let text = format!("data \"external\" \"a\" {{}}\nresource \"{name}\" \"a\" {{}}\n");
    let refused = check(&bundle(&[("main.tf", &text)]), Allowance::Rendered(Plain::new().terms())).unwrap_err();
    let told = refused.to_string();
    assert!(
        told.starts_with("the bundle is refused: main.tf:1: data-source: data source \"external\" is not allowed; "),
        "{told}"
    );
    assert!(told.len() < 600 && !told.contains('\u{7}'), "{told}");
    let many = "future {}\n".repeat(500);
    assert_eq!(all(&[("main.tf", &many)]).len(), super::TOLD);
}

#[test]
fn the_modules_of_this_project_pass() {
    let read = |cloud: &str, names: &[&str]| {
        let folder = format!("{}/../../infra/{cloud}", env!("CARGO_MANIFEST_DIR"));
        let text = |name: &&str| (name.to_string(), std::fs::read_to_string(format!("{folder}/{name}")).unwrap());
        names.iter().map(text).collect::<Vec<_>>()
    };
    for entry in std::fs::read_dir(format!("{}/../../infra", env!("CARGO_MANIFEST_DIR"))).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            continue;
        }
        let cloud = entry.file_name().into_string().unwrap();
        let folder = format!("{}/../../infra/{cloud}", env!("CARGO_MANIFEST_DIR"));
        let names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        let staged =
            |name: &&String| (name.ends_with(".tf") || name.ends_with(".tftpl")) && !name.contains("standalone");
        let names: Vec<&str> = names.iter().filter(staged).map(String::as_str).collect();
        let files = read(&cloud, &names);
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert!(files.len() >= 7, "{cloud}: {names:?}");
        // Which providers are declared is the plugin's to say; its own tests and the descriptor's compare that.
        let verdict = check(&bundle(&files), Allowance::Orphaned);
        assert!(verdict.is_ok(), "{cloud}: {}", verdict.unwrap_err());
    }
}
