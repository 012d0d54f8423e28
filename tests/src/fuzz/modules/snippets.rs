//! Parts of modules, harmless and not, in HCL and in JSON.

use crate::fuzz::Random;

/// The root's list of providers.
pub(super) const PINNED: &str = "terraform {\n  required_version = \">= 1.6\"\n  required_providers {\n    cloud = {\n      source  = \"acme/cloud\"\n      version = \"= 1.2.3\"\n    }\n  }\n}\n";

/// Names of files, of which some act by being there.
pub(super) const NAMES: [&str; 14] = [
    "main.tf",
    "other.tf.json",
    "main.tofu",
    "x_override.tf",
    "override.tf.json",
    "terraform.tfvars",
    "x.auto.tfvars",
    "a.tftest.hcl",
    "Main.TF",
    ".hidden.tf",
    "x.tf~",
    "#x.tf#",
    "x.tf ",
    "sub/main.tf",
];

/// Templates, harmless and not.
pub(super) const TEMPLATES: [&str; 10] = [
    "${x}",
    "$${file(\"/x\")}",
    "${file(\"/etc/shadow\")}",
    "%{ for f in fileset(\"/\", \"*\") }${f}%{ endfor }",
    "${upper(file(\"/x\"))}",
    "%{ if fileexists(\"/x\") }a%{ endif }",
    "${templatefile(\"/x\", {})}",
    "$$${x}",
    "${\"${file(\"/x\")}\"}",
    "e\u{301}$${x}",
];

/// Expressions; the hostile ones read outside of the module or say what is only known when they run.
const EXPRESSIONS: [&str; 38] = [
    "1",
    "\"x\"",
    "var.x",
    "local.x",
    "upper(\"x\")",
    "file(\"${path.module}/a.tftpl\")",
    "templatefile(\"${path.module}/a.tftpl\", { x = 1 })",
    "fileset(path.module, \"*.tf\")",
    "file(\"/etc/shadow\")",
    "core::file(\"/etc/shadow\")",
    "file(\"${path.module}/../x\")",
    "file(\"${path.root}/x\")",
    "file(\"${path.cwd}/x\")",
    "file(\"a.tftpl\")",
    "file(var.x)",
    "file((\"/etc/shadow\"))",
    "file(\"${\"/etc/shadow\"}\")",
    "file(\"${path.module}${var.x}\")",
    "file(\"${path.module}/a\\u002e\\u002e/x\")",
    "file(<<EOT\n/etc/shadow\nEOT\n)",
    "[for f in fileset(\"/etc\", \"*\") : file(f)]",
    "{ for k in [\"/x\"] : k => file(k) }",
    "true ? file(\"/x\") : \"\"",
    "templatestring(\"$${file(1)}\", {})",
    "pathexpand(\"~/x\")",
    "abspath(\".\")",
    "provider::evil::run(\"x\")",
    "provider::cloud::x(1)",
    "x::y(1)",
    "\"a ${file(\"/x\")} b\"",
    "\"%{ if true }${file(\"/x\")}%{ endif }\"",
    "\"$${file(1)}\"",
    "\"$$${file(1)}\"",
    "<<-EOT\n    ${file(\"/x\")}\n  EOT\n",
    "filebase64 (\"/x\")",
    "file(\"${path[\"module\"]}/a.tftpl\")",
    "file(\"${path.module}/a.tftpl\"...)",
    "(file)(\"/x\")",
];

/// Whole blocks; `@` stands for an expression.
const BLOCKS: [&str; 51] = [
    "variable \"x\" {\n  default = \"y\"\n}\n",
    "locals {\n  a = @\n}\n",
    "output \"o\" {\n  value = @\n}\n",
    "resource \"terraform_data\" \"a\" {\n  input = @\n}\n",
    "resource \"cloud_server\" \"a\" {\n  name = @\n}\n",
    "provider \"cloud\" {\n  token = @\n}\n",
    "module \"m\" {\n  source = \"./net\"\n}\n",
    "data \"cloud_image\" \"i\" {\n  name = @\n}\n",
    "moved {\n  from = a.b\n  to = a.c\n}\n",
    "check \"c\" {\n  assert {\n    condition = @\n    error_message = \"x\"\n  }\n}\n",
    "resource \"terraform_data\" \"a\" {\n  provisioner \"local-exec\" {\n    command = \"id\"\n  }\n}\n",
    "resource terraform_data a {\n  provisioner local-exec {\n    command = \"id\"\n  }\n}\n",
    "resource \"terraform_data\" \"a\" { provisioner \"local-exec\" { command = \"id\" } }\n",
    "resource \"terraform_data\" \"a\" {\n  connection {}\n}\n",
    "resource \"terraform_data\" \"a\" {\n  dynamic \"provisioner\" {\n    for_each = [1]\n    content {}\n  }\n}\n",
    "resource \"terraform_data\" \"a\" {\n  lifecycle {\n    provisioner \"local-exec\" {}\n  }\n}\n",
    "resource \"terraform_data\" \"a\" {\n  _ {\n    provisioner \"local-exec\" {}\n  }\n}\n",
    "removed {\n  from = a.b\n  provisioner \"local-exec\" {\n    command = \"id\"\n  }\n}\n",
    "data \"external\" \"a\" {\n  program = [\"id\"]\n}\n",
    "data \"http\" \"a\" {\n  url = \"http://x\"\n}\n",
    "data \"terraform_remote_state\" \"a\" {\n  backend = \"local\"\n}\n",
    "check \"c\" {\n  data \"http\" \"a\" {\n    url = \"http://x\"\n  }\n}\n",
    "data \"\\u0065xternal\" \"a\" {\n  program = [\"id\"]\n}\n",
    "data \"cloud_x\" \"a\" {\n  provider = external\n}\n",
    "ephemeral \"vault_x\" \"a\" {}\n",
    "resource \"null_resource\" \"a\" {}\n",
    "resource \"cloud_server\" \"a\" {\n  provider = other.b\n}\n",
    "resource \"cloud_server\" \"a\" {\n  provider = cloud.b[\"x\"]\n}\n",
    "resource \"cloud_server\" \"a\" {\n  provider = \"null.x\"\n}\n",
    "resource \"cloud_server\" \"a\" {\n  provider = (null)\n}\n",
    "provider \"null\" {}\n",
    "provider \"cloud\" {\n  exec {\n    command = \"id\"\n  }\n}\n",
    "provider \"cloud\" {\n  a = { exec = { command = \"id\" } }\n}\n",
    "provider \"cloud\" {\n  dynamic \"exec\" {\n    for_each = [1]\n    content {}\n  }\n}\n",
    "terraform {\n  backend \"local\" {\n    path = \"/x\"\n  }\n}\n",
    "terraform {\n  cloud {}\n}\n",
    "terraform {\n  encryption {}\n}\n",
    "terraform {\n  provider_meta \"cloud\" {}\n}\n",
    "terraform {\n  experiments = [x]\n}\n",
    "terraform {\n  required_providers {\n    x = { source = \"evil/x\" }\n  }\n}\n",
    "terraform {\n  required_providers {\n    x = { \"source\" = \"evil/x\", version = \"1\" }\n  }\n}\n",
    "terraform {\n  required_providers {\n    x = { \"${\"source\"}\" = \"evil/x\" }\n  }\n}\n",
    "terraform {\n  required_providers {\n    cloud = { source = \"acme/cloud\", version = \"1.2.3\", source = \"evil/x\" }\n  }\n}\n",
    "terraform {\n  required_providers {\n    cloud = { source = \"acme/cloud\", version = \"1.2.3\", \"source\" = \"evil/x\" }\n  }\n}\n",
    "terraform {\n  required_providers {\n    cloud = { source = \"acme/cloud\", version = \"1.2.3\", (\"source\") = \"evil/x\" }\n  }\n}\n",
    "terraform {\n  required_providers {\n    cloud = { source = \"acme/cloud\", version = \"1.2.3\", \"\\u0073ource\" = \"evil/x\" }\n  }\n}\n",
    "terraform {\n  required_providers {\n    x = \">= 1\"\n  }\n}\n",
    "module \"m\" {\n  source = \"git::https://x/y\"\n}\n",
    "module \"m\" {\n  source = \"./net/../..\"\n}\n",
    "module \"m\" {\n  source = \"./${var.x}\"\n}\n",
    "import {\n  to = a.b\n  id = @\n}\n",
];

/// The same in JSON; `@` stands for a text that is a template.
const JSON_BLOCKS: [&str; 26] = [
    "\"variable\": {\"x\": {\"default\": \"y\"}}",
    "\"locals\": {\"a\": \"@\"}",
    "\"output\": {\"o\": {\"value\": \"@\"}}",
    "\"resource\": {\"terraform_data\": {\"a\": {\"input\": \"@\"}}}",
    "\"resource\": [{\"terraform_data\": [{\"a\": [{\"input\": \"@\"}]}]}]",
    "\"resource\": {\"terraform_data\": {\"a\": {\"provisioner\": {\"local-exec\": {\"command\": \"id\"}}}}}",
    "\"resource\": {\"terraform_data\": {\"a\": {\"provisioner\": [[{\"local-exec\": [{\"command\": \"id\"}]}]]}}}",
    "\"resource\": {\"terraform_data\": {\"a\": {\"\\u0070rovisioner\": {\"local-exec\": {}}}}}",
    "\"resource\": {\"terraform_data\": {\"a\": {\"//\": 1, \"connection\": {}}}}",
    "\"resource\": {\"terraform_data\": {\"a\": null, \"b\": {\"provisioner\": null}}}",
    "\"data\": {\"external\": {\"a\": {\"program\": [\"id\"]}}}",
    "\"data\": [{\"external\": {\"a\": {}}}]",
    "\"check\": {\"c\": {\"data\": {\"http\": {\"a\": {}}}}}",
    "\"terraform\": {\"backend\": {\"local\": {}}}",
    "\"terraform\": [{\"cloud\": {}}]",
    "\"terraform\": {\"required_providers\": {\"x\": {\"source\": \"evil/x\"}}}",
    "\"terraform\": {\"required_providers\": [{\"x\": {\"source\": \"evil/x\"}}]}",
    "\"terraform\": {\"//\": 1, \"encryption\": {}}",
    "\"module\": {\"m\": {\"source\": \"./net\"}}",
    "\"module\": {\"m\": {\"source\": \"@\"}}",
    "\"provider\": {\"cloud\": {\"exec\": {\"command\": \"id\"}}}",
    "\"provider\": {\"null\": {}}",
    "\"import\": {\"to\": \"a.b\"}",
    "\"//\": {\"resource\": {}}",
    "\"resource\": {\"cloud_server\": {\"a\": {\"provider\": \"null.x\"}}}",
    "\"resource\": {\"cloud_server\": {\"a\": {\"provider\": \"cloud.b\", \"${file(\\\"/x\\\")}\": 1}}}",
];

/// A file in HCL.
pub(super) fn native(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..=random.below(4) {
        text.push_str(&random.pick(&BLOCKS).replace('@', random.pick(&EXPRESSIONS)));
    }
    text
}

/// A file in JSON.
pub(super) fn json(random: &mut Random) -> String {
    let entry = |random: &mut Random| {
        let expression = random.pick(&EXPRESSIONS);
        let template =
            if random.one_in(3) { expression.trim_matches('"').to_owned() } else { format!("${{{expression}}}") };
        let text = serde_json::Value::from(template).to_string();
        random.pick(&JSON_BLOCKS).replace('@', &text[1..text.len() - 1])
    };
    let entries: Vec<String> = (0..=random.below(4)).map(|_| entry(random)).collect();
    format!("{{\n{}\n}}", entries.join(",\n"))
}
