//! The outputs that a rendered module declares, as far as its text tells: for who holds a plugin's `read-outputs` against them.
//!
//! Nothing is evaluated. A file that cannot be read is the policy's matter ([`crate::policy`]) and has no outputs here.

use catalyst_domain::provider::{Bundle, BundleFile};
use hcl_edit::expr::Expression;
use hcl_edit::structure::Body;
use serde_json::Value;

/// One output of the root module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleOutput {
    /// Its name.
    pub name: String,
    /// Path of the file that declares it.
    pub file: String,
    /// Whether it says `sensitive = true`. The host removes such outputs before a plugin sees them.
    pub sensitive: bool,
    /// The text that it always is, where nothing is computed in it.
    pub literal: Option<String>,
}

/// The outputs of the root module, in the order of its files.
pub fn outputs(bundle: &Bundle) -> Vec<ModuleOutput> {
    let root = bundle.files.iter().filter(|file| !file.path.contains('/'));
    root.flat_map(of_file).collect()
}

fn of_file(file: &BundleFile) -> Vec<ModuleOutput> {
    let Ok(text) = std::str::from_utf8(&file.content) else { return Vec::new() };
    if file.path.ends_with(".tf.json") {
        return serde_json::from_str(text).map(|json: Value| of_json(&file.path, &json)).unwrap_or_default();
    }
    if !file.path.ends_with(".tf") {
        return Vec::new();
    }
    hcl_edit::parser::parse_body(text).map(|body| of_body(&file.path, &body)).unwrap_or_default()
}

fn of_body(file: &str, body: &Body) -> Vec<ModuleOutput> {
    let blocks = body.blocks().filter(|block| block.ident.as_str() == "output");
    let one = |block: &hcl_edit::structure::Block| {
        let attribute = |name: &str| block.body.get_attribute(name).map(|attribute| &attribute.value);
        Some(ModuleOutput {
            name: block.labels.first()?.as_str().to_owned(),
            file: file.to_owned(),
            sensitive: attribute("sensitive").and_then(Expression::as_bool) == Some(true),
            literal: attribute("value").and_then(Expression::as_str).map(str::to_owned),
        })
    };
    blocks.filter_map(one).collect()
}

/// In JSON a block may stand alone or in a list, and so may the object of all outputs.
fn of_json(file: &str, json: &Value) -> Vec<ModuleOutput> {
    let objects = json.get("output").map(listed).unwrap_or_default();
    let named = objects.into_iter().filter_map(Value::as_object).flatten();
    let one = |(name, value): (&String, &Value)| {
        let block = listed(value).into_iter().next();
        let literal = block.and_then(|block| block.get("value")?.as_str());
        ModuleOutput {
            name: name.clone(),
            file: file.to_owned(),
            sensitive: block.and_then(|block| block.get("sensitive")?.as_bool()) == Some(true),
            literal: literal.filter(|text| !text.contains("${") && !text.contains("%{")).map(str::to_owned),
        }
    };
    named.map(one).collect()
}

fn listed(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        one => vec![one],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(files: &[(&str, &str)]) -> Bundle {
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

    #[test]
    fn outputs_are_read_from_both_forms_of_the_root_module() {
        let native = "output \"a\" {\n  value = local.a\n}\noutput \"b\" {\n  value = \"192.0.2.1\"\n  sensitive = true\n}\n\
            output c {\n  value = \"x-${var.y}\"\n  sensitive = var.z\n}\nresource \"output\" \"d\" {}\n";
        let json = r#"{"output": [{"e": {"value": "plain", "sensitive": true}}, {"f": [{"value": "${var.x}"}]}]}"#;
        let files = [("o.tf", native), ("p.tf.json", json), ("child/o.tf", native), ("o.tftpl", native)];
        let found = outputs(&bundle(&files));
        let found: Vec<_> =
            found.iter().map(|o| (o.name.as_str(), o.file.as_str(), o.sensitive, o.literal.as_deref())).collect();
        let expect = [
            ("a", "o.tf", false, None),
            ("b", "o.tf", true, Some("192.0.2.1")),
            ("c", "o.tf", false, None),
            ("e", "p.tf.json", true, Some("plain")),
            ("f", "p.tf.json", false, None),
        ];
        assert_eq!(found, expect);
    }

    #[test]
    fn what_cannot_be_read_has_no_outputs() {
        assert_eq!(outputs(&bundle(&[("o.tf", "output \"a\" {"), ("p.tf.json", "{"), ("q.tf.json", "[]")])), []);
    }
}
