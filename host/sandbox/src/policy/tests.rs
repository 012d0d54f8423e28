//! A hostile file for every rule, and files that must pass.

use super::{Allowance, Rule, check};
use crate::check::sample;
use catalyst_domain::provider::{Bundle, BundleFile, Descriptor, TofuProvider};

pub(super) fn descriptor() -> Descriptor {
    let acme = TofuProvider { source: "acme/cloud".into(), version: "1.2.3".into() };
    Descriptor { tofu_providers: vec![acme], ..sample() }
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
        user_data: Vec::new(),
        warnings: Vec::new(),
    }
}

pub(super) const PINNED: (&str, &str) = (
    "versions.tf",
    "terraform {\n  required_version = \">= 1.6\"\n  required_providers {\n    cloud = {\n      source = \"acme/cloud\"\n      version = \"= 1.2.3\"\n    }\n  }\n}\n",
);

fn all(files: &[(&str, &str)]) -> Vec<(Rule, Option<usize>)> {
    match check(&bundle(files), Allowance::Rendered(&descriptor())) {
        Ok(()) => Vec::new(),
        Err(refused) => refused.refusals.iter().map(|one| (one.rule, one.line)).collect(),
    }
}

fn passes(text: &str) {
    passes_with(&[PINNED, ("main.tf", text), ("a.tftpl", "${x}\n"), ("net/main.tf", "")]);
}

fn passes_with(files: &[(&str, &str)]) {
    let verdict = check(&bundle(files), Allowance::Rendered(&descriptor()));
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
fn programs_are_not_run() {
    refused(
        "resource \"terraform_data\" \"a\" {\n  provisioner \"local-exec\" {\n    command = \"id\"\n  }\n}\n",
        Rule::Provisioner,
        2,
    );
    refused(
        "removed {\n  from = a.b\n  provisioner \"local-exec\" {\n    when = destroy\n  }\n}\n",
        Rule::Provisioner,
        3,
    );
    refused("resource \"terraform_data\" \"a\" {\n\n  connection {}\n}\n", Rule::Connection, 3);
    refused("provider \"cloud\" {\n  exec {\n    api_version = \"v1\"\n  }\n}\n", Rule::Provisioner, 2);
    refused("provider \"cloud\" {\n  auth {\n    credential_process = \"id\"\n  }\n}\n", Rule::Provisioner, 3);
    refused("provider \"cloud\" {\n  kubernetes = {\n    exec = { command = \"id\" }\n  }\n}\n", Rule::Provisioner, 2);
    refused("provider \"cloud\" {\n  a = [{ b = { \"credential_process\" : \"id\" } }]\n}\n", Rule::Provisioner, 2);
    refused("provider \"cloud\" {\n  dynamic \"exec\" {\n    for_each = [1]\n  }\n}\n", Rule::Provisioner, 2);
    let json = "{\"provider\": {\"cloud\": {\n\"kubernetes\": [{\"exec\": {\"a\": \"id\"}}]}}}";
    assert_eq!(all(&[PINNED, ("main.tf.json", json)]), [(Rule::Provisioner, Some(2))]);
    let json = "{\"provider\": {\"cloud\": {\n\"exec\": {\"command\": \"id\"}}}}";
    assert_eq!(all(&[PINNED, ("main.tf.json", json)]), [(Rule::Provisioner, Some(2))]);
}

#[test]
fn data_comes_from_declared_providers_only() {
    refused("\ndata \"external\" \"a\" {\n  program = [\"id\"]\n}\n", Rule::DataSource, 2);
    refused("data \"http\" \"a\" {\n  url = \"http://x\"\n}\n", Rule::DataSource, 1);
    refused("data \"terraform_remote_state\" \"a\" {\n  backend = \"local\"\n}\n", Rule::DataSource, 1);
    refused("check \"c\" {\n  data \"http\" \"a\" {}\n}\n", Rule::DataSource, 2);
    refused("data \"local_file\" \"a\" {\n  filename = \"/x\"\n}\n", Rule::Provider, 1);
}

#[test]
fn providers_are_the_declared_ones_in_the_declared_version() {
    refused("resource \"random_id\" \"a\" {}\n", Rule::Provider, 1);
    refused("resource \"cloud_server\" \"a\" {\n  provider = other.b\n}\n", Rule::Provider, 1);
    refused("provider \"aws\" {}\n", Rule::Provider, 1);
    refused("output \"a\" {\n  value = provider::local::direxists(\"/\")\n}\n", Rule::Provider, 2);
    refused("ephemeral \"vault_secret\" \"a\" {}\n", Rule::Provider, 1);
    refused(
        "terraform {\n  required_providers {\n    x = { source = \"evil.example/acme/cloud\" }\n  }\n}\n",
        Rule::Provider,
        3,
    );
    refused(
        "terraform {\n  required_providers {\n    http = { source = \"hashicorp/http\" }\n  }\n}\n",
        Rule::Provider,
        3,
    );
    refused(
        "terraform {\n  required_providers {\n    c = {\n      source = \"acme/cloud\"\n      version = \">= 1\"\n    }\n  }\n}\n",
        Rule::ProviderVersion,
        3,
    );
    let unpinned =
        ("main.tf", "terraform {\n  required_providers {\n    cloud = { source = \"acme/cloud\" }\n  }\n}\n");
    assert_eq!(all(&[unpinned]), [(Rule::ProviderVersion, Some(3))]);
    let nested = [("main.tf", "module \"m\" {\n  source = \"./m\"\n}\n"), ("m/versions.tf", PINNED.1)];
    assert_eq!(all(&nested), [(Rule::ProviderVersion, Some(4))], "only the root's pin is the last word");
}

#[test]
fn a_kept_bundle_may_have_another_version_but_no_other_provider() {
    let old = bundle(&[("main.tf", &PINNED.1.replace("1.2.3", "1.0.0")), ("a.tf", "resource \"cloud_x\" \"a\" {}\n")]);
    assert!(check(&old, Allowance::Rendered(&descriptor())).is_err());
    assert_eq!(check(&old, Allowance::Kept(&descriptor())), Ok(()));
    assert_eq!(check(&old, Allowance::Orphaned), Ok(()));
    assert!(check(&old, Allowance::Kept(&sample())).is_err());
    for evil in
        ["data \"external\" \"a\" {}\n", "provider \"http\" {}\n", "output \"a\" {\n  value = file(\"/x\")\n}\n"]
    {
        assert!(check(&bundle(&[("main.tf", evil)]), Allowance::Orphaned).is_err(), "{evil}");
    }
}

#[test]
fn modules_are_folders_of_the_bundle() {
    for source in [
        "acme/net/cloud",
        "git::https://x/y",
        "https://x/y.zip",
        "../net",
        "/etc/net",
        "~/net",
        "acme.example/net/cloud/x",
        "s3::https://x/y",
        "./none",
        "/net",
        "./net//x",
        "./net/../..",
        "net",
    ] {
        refused(&format!("module \"m\" {{\n  source = \"{source}\"\n}}\n"), Rule::Module, 2);
    }
    // Evaluated early since OpenTofu 1.8.
    refused("module \"m\" {\n  source = \"./${var.x}\"\n}\n", Rule::Module, 2);
    refused("module \"m\" {\n  source = var.x\n}\n", Rule::Module, 2);
    refused("module \"m\" {\n  source = local.x\n}\n", Rule::Module, 2);
    refused("module \"m\" {}\n", Rule::Module, 1);
    passes_with(&[
        ("main.tf", "module \"m\" {\n  source = \"./a\"\n}\n"),
        ("a/main.tf", "module \"m\" {\n  source = \"../b\"\n}\n"),
        ("b/x.tf", ""),
    ]);
}

#[test]
fn the_terraform_block_sets_next_to_nothing() {
    refused("terraform {\n  backend \"local\" {\n    path = \"/x\"\n  }\n}\n", Rule::Backend, 2);
    refused("terraform {\n  cloud {}\n}\n", Rule::Backend, 2);
    refused("terraform {\n  provider_meta \"cloud\" {\n    x = 1\n  }\n}\n", Rule::ProviderMeta, 2);
    refused(
        "terraform {\n  encryption {\n    key_provider \"external\" \"x\" {\n      command = [\"id\"]\n    }\n  }\n}\n",
        Rule::Setting,
        2,
    );
    refused("terraform {\n  experiments = [x]\n}\n", Rule::Setting, 2);
}

#[test]
fn unknown_blocks_are_refused() {
    refused("import {\n  to = a.b\n  id = \"x\"\n}\n", Rule::Block, 1);
    refused("future \"x\" {}\n", Rule::Block, 1);
    refused("x = 1\n", Rule::Block, 1);
    // New in OpenTofu 1.12, and whatever comes after it.
    refused("language {\n  compatible_with {\n    opentofu = \">= 1.12\"\n  }\n}\n", Rule::Block, 1);
    refused("run \"x\" {\n  command = apply\n}\n", Rule::Block, 1);
    refused("mock_provider \"cloud\" {}\n", Rule::Block, 1);
    refused("terraform {\n  language = TF2021\n}\n", Rule::Setting, 2);
    refused("tofu {}\n", Rule::Block, 1);
}

#[test]
fn only_files_of_the_bundle_are_read() {
    let with = |call: &str| format!("output \"a\" {{\n  value = {call}\n}}\n");
    for call in [
        "file(\"/etc/passwd\")",
        "core::file(\"/etc/passwd\")",
        "file(\"a.tftpl\")",
        "file(\"${path.module}/../a.tftpl\")",
        "file(\"${path.module}//etc/passwd\")",
        "file(\"${path.module}/${var.x}\")",
        "file(\"${path.root}/a.tftpl\")",
        "file(\"${path.cwd}/a.tftpl\")",
        "file(\"~/.ssh/id_rsa\")",
        "filebase64sha512(\"${path.module}/../x\")",
        "fileset(path.root, \"*\")",
        "file(\"${path.module}/catalyst.auto.tfvars.json\")",
        "file(var.x)",
        "file()",
        "\"x ${upper(file(\"/etc/passwd\"))}\"",
        "[for x in [1] : filebase64(\"/x\")]",
        "{ a = filesha256(\"/x\") }",
        "true ? fileexists(\"/x\") : 1",
        "fileset(\"/etc\", \"*\")",
        "fileset(path.module, \"../*\")",
        "fileset(path.module, var.x)",
        "filemd5(\"/x\")[0]",
        "templatefile(\"/x\", {})",
        "templatefile(var.x, {})",
        "templatestring(var.x, {})",
        "pathexpand(\"~/x\")",
        "abspath(\".\")",
        "other::file(\"/x\")",
    ] {
        refused(&with(call), Rule::FileRead, 2);
    }
    refused("locals {\n  a = <<EOT\n${file(\"/x\")}\nEOT\n}\n", Rule::FileRead, 3);
}

#[test]
fn templates_are_looked_at_too() {
    let main = ("main.tf", "output \"a\" {\n  value = templatefile(\"${path.module}/a.tftpl\", {})\n}\n");
    assert_eq!(all(&[main, ("a.tftpl", "one\n${file(\"/etc/passwd\")}\n")]), [(Rule::FileRead, Some(2))]);
    assert_eq!(
        all(&[main, ("a.tftpl", "%{ for x in fileset(\"/\", \"*\") }x%{ endfor }\n")]),
        [(Rule::FileRead, Some(1))]
    );
    assert_eq!(all(&[main, ("a.tftpl", "one ${\n")]), [(Rule::Syntax, Some(1))]);
    passes_with(&[main, ("a.tftpl", "$${file(1)} ${upper(x)} ${\"$\"}${x}\n")]);
}

#[test]
fn names_that_act_by_being_there_are_refused() {
    for name in [
        "main.tofu",
        "main.tofu.json",
        "a.tofutest.hcl",
        "tests/a.tftest.json",
        "override.tf",
        "x_override.tf.json",
        "terraform.tfvars",
        "x.auto.tfvars.json",
        ".tofurc",
        ".terraformrc",
        "a/b.tofurc",
        "terraform.tfstate",
        ".terraform/providers/x",
        "terraform.d/plugins/x",
        "catalyst.auto.tfvars.json",
        "catalyst_backend_override.tf",
    ] {
        let text = if name.ends_with("json") { "{}" } else { "" };
        let found = all(&[("main.tf", ""), (name, text)]);
        assert!(matches!(found.as_slice(), [(Rule::ReservedName, None)]), "{name}: {found:?}");
    }
    assert_eq!(all(&[("../x.tf", "")]), [(Rule::Path, None)]);
    assert_eq!(all(&[("a.tf", ""), ("a.tf", "")]), [(Rule::Path, None)]);
    passes_with(&[("main.tf", ""), (".terraform.lock.hcl", ""), ("example.tfvars", ""), ("overrides.tf", "")]);
}

#[test]
fn a_text_that_can_be_read_in_two_ways_is_refused() {
    refused("output \"a\" {\n  value = \"$$${file(1)}\"\n}\n", Rule::Syntax, 2);
    refused("# x\r provisioner\n", Rule::Syntax, 1);
    refused("\u{feff}locals {}\n", Rule::Syntax, 1);
    refused("locals {\n", Rule::Syntax, 1);
    let heredoc = |body: &str| format!("locals {{\n  a = <<EOT\n{body}\nEOT\n}}\n");
    passes(&heredoc("plain"));
    passes(&format!("{}{}", heredoc("plain"), heredoc("twice").replace("a =", "b =")));
    refused(&heredoc("x EOT y"), Rule::Syntax, 3);
    refused("locals {\n  a = <<EOT\nx\n  EOT\n  b = <<-B\n  EOT\n  B\n}\n", Rule::Syntax, 6);
    let deep = format!("locals {{\n  a = {}1{}\n}}\n", "(".repeat(5000), ")".repeat(5000));
    refused(&deep, Rule::Syntax, 2);
    let raw = Bundle { files: vec![BundleFile { path: "a.tf".into(), mode: 0, content: vec![0xff] }], ..bundle(&[]) };
    assert_eq!(check(&raw, Allowance::Orphaned).unwrap_err().refusals[0].rule, Rule::Syntax);
}

#[test]
fn json_is_held_to_the_same_rules() {
    let json = |text: &str| all(&[PINNED, ("main.tf.json", text), ("a.tftpl", "")]);
    let good = r#"{
  "//": "a remark",
  "variable": {"x": {"default": "plain"}},
  "resource": {"cloud_server": {"a": [{"name": "${var.x}", "provider": "cloud.b"}]}, "terraform_data": {"b": {}}},
  "output": {"o": {"value": "${file(\"${path.module}/a.tftpl\")}"}}
}"#;
    assert_eq!(json(good), []);
    let in_resource = |inner: &str| format!("{{\"resource\": {{\"terraform_data\": {{\"a\": {{\n{inner}}}}}}}}}");
    assert_eq!(
        json(&in_resource(r#""provisioner": {"local-exec": {"command": "id"}}"#)),
        [(Rule::Provisioner, Some(2))]
    );
    assert_eq!(
        json(&in_resource(r#""provisioner": [{"local-exec": [{"command": "id"}]}]"#)),
        [(Rule::Provisioner, Some(2))]
    );
    assert_eq!(json(&in_resource(r#""provisioner": "odd""#)), [(Rule::Provisioner, Some(2))]);
    assert_eq!(json(&in_resource(r#""input": "${file(\"/etc/passwd\")}""#)), [(Rule::FileRead, Some(2))]);
    assert_eq!(json(&in_resource(r#""provider": "null.x""#)).len(), 1);
    assert_eq!(json("{\"data\": [{\"external\": {\"a\": {}}}]}"), [(Rule::DataSource, Some(1))]);
    assert_eq!(json("{\"terraform\": {\"backend\": {\"local\": {}}}}"), [(Rule::Backend, Some(1))]);
    assert_eq!(json("{\"terraform\": [{\"encryption\": {}}]}"), [(Rule::Setting, Some(1))]);
    assert_eq!(json("{\"module\": {\"m\": {\n\"source\": \"x/y/z\"}}}"), [(Rule::Module, Some(2))]);
    assert_eq!(
        json("{\"terraform\": {\"required_providers\": {\n\"x\": {\"source\": \"evil/x\"}}}}"),
        [(Rule::Provider, Some(2))]
    );
    assert_eq!(json("{\"import\": {}}"), [(Rule::Block, Some(1))]);
    assert_eq!(json("{\"future\": {}}"), [(Rule::Block, Some(1))]);
    for hidden in [
        r#""a": "\u0024{file(\u0022/x\u0022)}""#,
        r#""a": "${x}\u0024{file(1)}""#,
        r#""${file(1)}": 1"#,
        r#""a": ["%{ for x in fileset(1, 2) }%{ endfor }"]"#,
    ] {
        assert_eq!(json(&in_resource(hidden)), [(Rule::FileRead, Some(2))], "{hidden}");
    }
    assert_eq!(json(&in_resource(r#""a": "$$${file(1)}""#)), [(Rule::Syntax, Some(2))]);
    assert_eq!(json(&in_resource(r#""a": "\u0024$${file(1)}""#)), [(Rule::Syntax, Some(2))]);
    for odd in ["{\n\"a\": 1,\n\"a\": 2}", "{} # x", "[", "{\"a\":", "\"text\"x"] {
        assert!(matches!(json(odd).as_slice(), [(Rule::Syntax, Some(_))]), "{odd}");
    }
    assert_eq!(json("{\n\"locals\": {},\n\"locals\": {\"a\": \"${file(\\\"/x\\\")}\"}}"), [(Rule::Syntax, Some(3))]);
}

#[test]
fn a_refusal_is_short_printable_and_bounded() {
    let name = format!("x{}\\u0007", "é".repeat(300));
    let text = format!("data \"external\" \"a\" {{}}\nresource \"{name}\" \"a\" {{}}\n");
    let refused = check(&bundle(&[("main.tf", &text)]), Allowance::Rendered(&descriptor())).unwrap_err();
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
        let cloud = entry.unwrap().file_name().into_string().unwrap();
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
