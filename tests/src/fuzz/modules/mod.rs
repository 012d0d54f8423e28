//! Generated modules of plugins: what a cloud needs, and what a hostile plugin could write so that two parsers read it differently.
//!
//! One input holds several files: a line `=== path` begins each.

mod snippets;

use super::Random;
use catalyst_domain::provider::{Bundle, BundleFile, Catalogue, Descriptor, TofuProvider};

/// What a plugin declares: one provider in one version.
pub fn declared() -> Descriptor {
    Descriptor {
        id: "acme".to_owned(),
        display_name: "Acme".to_owned(),
        version: "1.0.0".to_owned(),
        secrets: Vec::new(),
        tofu_providers: vec![TofuProvider {
            source: "acme/cloud".to_owned(),
            version: "1.2.3".to_owned(),
            settings: None,
        }],
        bearer_resource: None,
        catalogue: Catalogue {
            as_of: "2026-01-01".to_owned(),
            currency: "EUR".to_owned(),
            regions: Vec::new(),
            machine_types: Vec::new(),
        },
        user_data_limit: 32_768,
        settings_schema: "{}".to_owned(),
        api_hosts: Vec::new(),
    }
}

/// The files of an input.
pub fn bundle(input: &[u8]) -> Bundle {
    let mut files: Vec<BundleFile> = Vec::new();
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        let path = line.strip_prefix(b"=== ").and_then(|path| std::str::from_utf8(path).ok());
        match (path, files.last_mut()) {
            (Some(path), _) => files.push(BundleFile {
                path: path.trim_end_matches('\n').to_owned(),
                mode: 0o600,
                content: Vec::new(),
            }),
            (None, Some(file)) => file.content.extend_from_slice(line),
            (None, None) => files.push(BundleFile { path: "main.tf".to_owned(), mode: 0o600, content: line.to_vec() }),
        }
    }
    Bundle {
        files,
        variables: serde_json::Map::new(),
        secret_variables: Vec::new(),
        deployment_id_variable: None,
        cluster_exists_variable: None,
        nodes: Vec::new(),
        user_data: Vec::new(),
        warnings: Vec::new(),
    }
}

/// One module.
pub fn generate(random: &mut Random) -> Vec<u8> {
    let mut text = String::new();
    if !random.one_in(8) {
        text.push_str(&format!("=== versions.tf\n{}", snippets::PINNED));
    }
    let is_json = random.one_in(3);
    let main = if is_json { snippets::json(random) } else { snippets::native(random) };
    let name = if random.one_in(12) {
        random.pick(&snippets::NAMES)
    } else if is_json {
        "main.tf.json"
    } else {
        "main.tf"
    };
    text.push_str(&format!("=== {name}\n{}\n", odd(main, random)));
    if random.one_in(2) {
        text.push_str(&format!(
            "=== net/main.tf\n{}\n",
            if random.one_in(3) { snippets::native(random) } else { String::new() }
        ));
    }
    text.push_str(&format!("=== a.tftpl\n{}\n", random.pick(&snippets::TEMPLATES)));
    text.into_bytes()
}

/// Signs that editors do not show, and ends of lines, now and then.
fn odd(text: String, random: &mut Random) -> String {
    if !random.one_in(5) {
        return text;
    }
    match random.below(6) {
        0 => text.replace('\n', "\r\n"),
        1 => text.replacen('\n', "\r", 1),
        2 => format!("\u{feff}{text}"),
        3 => text.replacen(
            ' ',
            random.pick(&["\u{a0}", "\t", "\u{2028}", "\0", "/**/", "/* \" */", "\u{85}"]),
            1 + random.below(4),
        ),
        4 => text.replacen('"', "\\\"", 1),
        _ => text.replacen('\n', random.pick(&[" # x\n", " // x\n", "\n/*\n*/\n", "\n#\u{2028}x\n"]), 1),
    }
}

/// Pieces for mutations.
pub const DICTIONARY: &[&str] = &[
    "provisioner \"local-exec\" {\n",
    "connection {\n",
    "data \"external\" \"x\" {\n",
    "resource \"terraform_data\" \"x\" {\n",
    "}\n",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "\"",
    "${",
    "%{",
    "$${",
    "file(\"/etc/shadow\")",
    "core::file(\"/x\")",
    "templatestring(\"x\", {})",
    "path.module",
    "${path.module}/",
    "..",
    "<<EOT\n",
    "<<-EOT\n",
    "EOT\n",
    "  EOT\n",
    "# ",
    "// ",
    "/* ",
    "*/",
    "=",
    ":",
    ",",
    "dynamic \"provisioner\" {\n",
    "backend \"local\" {}\n",
    "cloud {}\n",
    "provider = x.y\n",
    "source = \"evil/x\"\n",
    "required_providers {\n",
    "import {\n",
    "=== main.tf\n",
    "=== net/main.tf\n",
    "=== x_override.tf\n",
    "\"//\": ",
    "\"provisioner\": {\"local-exec\": {}}",
    "\\u0070",
    "\r",
    "\r\n",
    "\u{feff}",
    "\0",
    "~",
    "for x in ",
    "if ",
    "endif",
    "? ",
    "=> ",
    "...",
    "null",
    "true",
    "0",
];
