//! Rules of `provider` blocks: a bundle sets only the arguments that its plugin declares and the operator granted, each from where
//! they say. One of them could send a credential elsewhere (`endpoint`), or read one that is not the deployment's (`shared_config`),
//! and which of them do differs from provider to provider, so none passes without being named.

use std::fmt;

use catalyst_domain::host_name::covers;
use catalyst_domain::provider::Bundle;
use catalyst_domain::tofu_provider::short_address;
use hcl_edit::expr::{Expression, TraversalOperator};
use serde_json::Value as Json;

use super::providers::Providers;
use super::source::{Block, Kind, Node, Source, Value};
use super::{Allowance, Findings, Rule, Terms, quoted};
use crate::grants::{ArgumentSource, Basis};

/// The key of a remark in JSON, where it stands in a block.
const REMARK: &str = "//";

/// An argument that a bundle sets, and what is known of its value without evaluating it. Whether it may depends on more than the
/// text of the module, so it is asked anew for each bundle.
#[derive(Debug, Clone)]
pub(super) struct Argument {
    file: String,
    line: Option<usize>,
    /// Full address of the provider.
    provider: String,
    name: String,
    form: Form,
}

/// The form of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// A literal; the text where it is one.
    Literal(Option<String>),
    /// `var.<name>` and nothing else.
    Variable(String),
    /// A list.
    List(Vec<Form>),
    /// In JSON an object, which may be a block as well.
    Object(Vec<(String, Form)>),
    /// Anything else.
    Computed,
}

/// The arguments in all `provider` blocks. A block outside of the root module gets its values from elsewhere, so it has none that can
/// be judged.
pub(super) fn of(source: &Source, providers: &Providers<'_>, into: &mut Vec<Argument>) {
    for block in source.blocks().unwrap_or_default().iter().filter(|block| block.kind == "provider") {
        let name = block.labels.first().copied().unwrap_or_default();
        let provider = providers.address_of(source, name);
        let in_root = source.folder().is_empty();
        gather(source, block, "", &provider, in_root, into);
    }
}

fn gather(source: &Source, block: &Block<'_>, prefix: &str, provider: &str, in_root: bool, into: &mut Vec<Argument>) {
    for attribute in &block.attributes {
        // A remark in JSON, and the name under which resources ask for this block.
        if attribute.name == REMARK || (prefix.is_empty() && attribute.name == "alias") {
            continue;
        }
        into.push(Argument {
            file: source.path.clone(),
            line: attribute.line,
            provider: provider.to_owned(),
            name: format!("{prefix}{}", attribute.name),
            form: if in_root { form(attribute.value) } else { Form::Computed },
        });
    }
    // In JSON they were attributes already.
    for inner in block.blocks.iter().filter(|inner| block.attribute(inner.kind).is_none()) {
        // A label could be anything, so a block with one is named by it.
        let labels: String = inner.labels.iter().map(|label| format!("{label}.")).collect();
        let prefix = format!("{prefix}{}.{labels}", inner.kind);
        if inner.attributes.is_empty() && inner.blocks.is_empty() {
            let name = prefix.trim_end_matches('.').to_owned();
            let (file, provider) = (source.path.clone(), provider.to_owned());
            into.push(Argument { file, line: inner.line, provider, name, form: Form::Literal(None) });
        }
        gather(source, inner, &prefix, provider, in_root, into);
    }
}

fn form(value: Value<'_>) -> Form {
    match value {
        Value::Native(expression) => native(expression),
        Value::Json(node) => json(node),
    }
}

fn native(expression: &Expression) -> Form {
    match expression {
        Expression::Null(_) | Expression::Bool(_) | Expression::Number(_) => Form::Literal(None),
        Expression::String(text) => Form::Literal(Some(text.as_str().to_owned())),
        Expression::Array(items) => Form::List(items.iter().map(native).collect()),
        Expression::Traversal(traversal) => {
            let root = traversal.expr.as_variable().is_some_and(|name| name.as_str() == "var");
            match traversal.operators.as_slice() {
                [one] if root => match one.value() {
                    TraversalOperator::GetAttr(name) => Form::Variable(name.as_str().to_owned()),
                    _ => Form::Computed,
                },
                _ => Form::Computed,
            }
        }
        _ => Form::Computed,
    }
}

fn json(node: &Node) -> Form {
    match &node.kind {
        Kind::Other => Form::Literal(None),
        Kind::List(items) => Form::List(items.iter().map(json).collect()),
        // Keys of a map are templates as well. A remark (`//`) is one in a block only, and which of both this is is not known here.
        Kind::Object(entries) if entries.iter().any(|(key, _)| is_template(key)) => Form::Computed,
        Kind::Object(entries) => Form::Object(entries.iter().map(|(key, of)| (key.clone(), json(of))).collect()),
        Kind::Text(text) => match text.strip_prefix("${var.").and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) => {
                Form::Variable(name.to_owned())
            }
            _ if is_template(text) => Form::Computed,
            _ => Form::Literal(Some(text.clone())),
        },
    }
}

fn is_template(text: &str) -> bool {
    text.contains("${") || text.contains("%{")
}

/// Says which arguments the bundle may not set, or not so.
pub(super) fn check(arguments: &[Argument], bundle: &Bundle, allowance: Allowance<'_>, found: &mut Findings) {
    let (terms, kept) = match allowance {
        Allowance::Rendered(terms) => (terms, false),
        Allowance::Kept(terms) => (terms, true),
        // It is the very bundle that was admitted.
        Allowance::Orphaned => return,
    };
    // Without a word of the operator a kept bundle is held to what it was admitted by: its plugin may declare less by now, and what
    // it made must not stay for ever.
    if terms.rights.any_argument() || (kept && terms.rights.basis() != Basis::Granted) {
        return;
    }
    let judge = Judge { bundle, terms, kept };
    for argument in arguments {
        if let Some(why) = judge.refusal(argument, &argument.name, &argument.form) {
            found.add(&argument.file, argument.line, Rule::ProviderArgument, why);
        }
    }
}

struct Judge<'a> {
    bundle: &'a Bundle,
    terms: Terms<'a>,
    kept: bool,
}

impl Judge<'_> {
    fn refusal(&self, argument: &Argument, name: &str, form: &Form) -> Option<String> {
        let rights = self.terms.rights;
        let sources: Vec<&ArgumentSource> = match self.kept {
            false => rights.sources(&argument.provider, name).collect(),
            true => rights.kept_sources(&argument.provider, name).collect(),
        };
        if sources.is_empty() {
            return match form {
                // It may be a block, or several, whose arguments are named one by one.
                Form::Object(entries) if entries.iter().any(|(key, _)| key != REMARK) => {
                    entries.iter().find_map(|(key, inner)| match key.as_str() {
                        // A remark where this is a block, and a value where it is a map.
                        REMARK => (!matches!(inner, Form::Literal(_))).then(|| self.unnamed(argument, name)),
                        key => self.refusal(argument, &format!("{name}.{key}"), inner),
                    })
                }
                Form::List(items) if items.iter().all(|item| matches!(item, Form::Object(_))) && !items.is_empty() => {
                    items.iter().find_map(|item| self.refusal(argument, name, item))
                }
                _ => Some(self.unnamed(argument, name)),
            };
        }
        let refused = |source: &&ArgumentSource| self.differs(form, source);
        let whys: Vec<String> = sources.iter().map_while(refused).collect();
        (whys.len() == sources.len()).then(|| {
            format!(
                "the argument {} of {} {}",
                quoted(name),
                quoted(short_address(&argument.provider)),
                whys.join(", and ")
            )
        })
    }

    fn unnamed(&self, argument: &Argument, name: &str) -> String {
        let (name, provider) = (quoted(name), quoted(short_address(&argument.provider)));
        match self.terms.rights.basis() {
            Basis::Granted => {
                format!("the argument {name} of {provider} is not granted to this plugin in plugins.lock")
            }
            _ => format!("the argument {name} of {provider} is not declared by the plugin"),
        }
    }

    /// Why a value does not come from there; `None` when it does.
    fn differs(&self, form: &Form, source: &ArgumentSource) -> Option<String> {
        let holds = match (source, form) {
            (ArgumentSource::Secret(secret), Form::Variable(name)) => self.fills(secret, name),
            (ArgumentSource::Request(key) | ArgumentSource::AddressOf(key), Form::Variable(name)) => {
                self.is_of_request(key, name)
            }
            (ArgumentSource::Fixed, form) => self.holds_no_secret(form),
            (ArgumentSource::Address, Form::Literal(Some(text))) => self.leads_to_granted(text),
            (ArgumentSource::Address, Form::Variable(name)) => {
                self.bundle.variables.get(name).and_then(Json::as_str).is_some_and(|text| self.leads_to_granted(text))
            }
            _ => false,
        };
        (!holds).then(|| Must(source).to_string())
    }

    fn fills(&self, secret: &str, variable: &str) -> bool {
        let mut filled = self.bundle.secret_variables.iter().filter(|filled| filled.variable == variable).peekable();
        if filled.peek().is_some() {
            return filled.all(|filled| filled.secret == secret);
        }
        // A secret that is not there fills nothing: the module is rendered with an empty variable, as for a preview.
        let is_absent = self.terms.present_secrets.is_none_or(|present| !present.iter().any(|name| name == secret));
        is_absent && !self.bundle.variables.contains_key(variable)
    }

    fn is_of_request(&self, key: &str, variable: &str) -> bool {
        let (Some(given), Some(asked)) = (self.bundle.variables.get(variable), self.terms.settings.get(key)) else {
            return false;
        };
        match (given, asked) {
            (Json::String(given), Json::String(asked)) => given.trim() == asked.trim(),
            (given, asked) => given == asked,
        }
    }

    fn holds_no_secret(&self, form: &Form) -> bool {
        match form {
            Form::Literal(_) => true,
            Form::Variable(name) => !self.bundle.secret_variables.iter().any(|filled| filled.variable == *name),
            Form::List(items) => items.iter().all(|item| self.holds_no_secret(item)),
            Form::Object(entries) => entries.iter().all(|(_, value)| self.holds_no_secret(value)),
            Form::Computed => false,
        }
    }

    fn leads_to_granted(&self, address: &str) -> bool {
        address_host(address)
            .is_some_and(|host| self.terms.rights.hosts().iter().any(|granted| covers(&granted.pattern, &host)))
    }
}

/// What a value from a source must be, in words.
struct Must<'a>(&'a ArgumentSource);

impl fmt::Display for Must<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ArgumentSource::Secret(name) => write!(f, "must be the variable that the secret {name} fills"),
            ArgumentSource::Request(key) | ArgumentSource::AddressOf(key) => {
                write!(f, "must be a variable with the value of the request's {key}")
            }
            ArgumentSource::Fixed => f.write_str("must be a literal or a variable that no secret fills"),
            ArgumentSource::Address => f.write_str("must be an address at a host that is declared and granted"),
        }
    }
}

/// The host of an address in the plainest form that there is: `https://name/…`, `http://name:port/…` or `name:port`. Readers of
/// addresses differ, so whatever is not as plain as that has none.
pub(crate) fn address_host(text: &str) -> Option<String> {
    let rest = match text.split_once("://") {
        Some(("https" | "http", rest)) => rest,
        Some(_) => return None,
        None => text,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, port) = rest[..end].split_once(':').unwrap_or((&rest[..end], "1"));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let is_plain = !host.is_empty() && host.chars().all(plain) && port.parse::<u16>().is_ok();
    let tail_is_plain = rest[end..].chars().all(|c| c.is_ascii_graphic() && !matches!(c, '\\' | '@'));
    (is_plain && tail_is_plain).then(|| host.to_ascii_lowercase())
}
