//! What is read, and how the bytes are: files, templates, names, forms.

use super::{PINNED, all, bundle, passes, passes_with, refused};
use crate::policy::{Allowance, Rule, check};
use catalyst_domain::provider::{Bundle, BundleFile};

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
