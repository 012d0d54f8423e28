//! Rules of functions: nothing is read but the bundle's own files, and no text is evaluated that was not looked at.

use std::collections::BTreeSet;

use catalyst_domain::provider::Bundle;
use hcl_edit::Span;
use hcl_edit::expr::{Expression, FuncCall, TraversalOperator};
use hcl_edit::template::{Element, ForTemplateExpr};
use hcl_edit::visit::{self, Visit};

use super::providers::Providers;
use super::source::{self, Lines, Source};
use super::{Findings, Rule, quoted};

/// Functions that tell about the machine, or evaluate a text that is only known when they run.
const REFUSED: [&str; 3] = ["pathexpand", "abspath", "templatestring"];

/// Checks the functions of all files, and of the templates that they name, which are returned.
pub(super) fn check(
    sources: &[Source],
    bundle: &Bundle,
    providers: &Providers<'_>,
    found: &mut Findings,
) -> BTreeSet<String> {
    let mut templates = BTreeSet::new();
    for source in sources {
        let mut calls =
            Calls { place: Place::Configuration(source), bundle, providers, templates: BTreeSet::new(), found };
        source.visit(&mut calls);
        source.templates(|line, text| calls.json_text(source, line, text));
        templates.append(&mut calls.templates);
    }
    for path in &templates {
        template(path, bundle, providers, found);
    }
    templates
}

fn template(path: &str, bundle: &Bundle, providers: &Providers<'_>, found: &mut Findings) {
    let Some(file) = bundle.files.iter().find(|file| file.path == path) else { return };
    let read = source::text(&file.content).and_then(|text| {
        let parsed = hcl_edit::parser::parse_template(text);
        let why = |error: hcl_edit::parser::Error| {
            (Some(error.location().line()), format!("not a template: {}", quoted(error.message())))
        };
        Ok((text, parsed.map_err(why)?))
    });
    match read {
        Err((line, why)) => found.add(path, line, Rule::Syntax, why),
        Ok((text, parsed)) => {
            let place = Place::Template { path, lines: Lines::of(text) };
            Calls { place, bundle, providers, templates: BTreeSet::new(), found }.visit_template(&parsed);
        }
    }
}

enum Place<'a> {
    Configuration(&'a Source),
    /// A text of a JSON file, which begins in this line.
    JsonText(&'a Source, usize),
    Template {
        path: &'a str,
        lines: Lines,
    },
}

struct Calls<'a, 'p> {
    place: Place<'a>,
    bundle: &'a Bundle,
    providers: &'a Providers<'p>,
    /// Files of the bundle that are evaluated as templates.
    templates: BTreeSet<String>,
    found: &'a mut Findings,
}

impl Visit for Calls<'_, '_> {
    fn visit_func_call(&mut self, call: &FuncCall) {
        self.call(call);
        visit::visit_func_call(self, call);
    }

    // The library's own walk leaves this expression out.
    fn visit_for_template_expr(&mut self, node: &ForTemplateExpr) {
        self.visit_expr(&node.collection_expr);
        visit::visit_for_template_expr(self, node);
    }
}

impl<'a> Calls<'a, '_> {
    fn json_text(&mut self, source: &'a Source, line: usize, text: &str) {
        match hcl_edit::parser::parse_template(text) {
            Ok(parsed) if source::ambiguous(text).is_none() => {
                self.place = Place::JsonText(source, line);
                self.visit_template(&parsed);
            }
            _ => self.found.add(&source.path, Some(line), Rule::Syntax, "not a template that can be read in one way"),
        }
    }

    fn refuse(&mut self, call: &FuncCall, why: String) {
        let (path, line) = match &self.place {
            Place::Configuration(source) => (source.path.as_str(), source.line(call)),
            Place::JsonText(source, line) => (source.path.as_str(), Some(*line)),
            Place::Template { path, lines } => (*path, call.span().map(|span| lines.line(span.start))),
        };
        self.found.add(path, line, Rule::FileRead, why);
    }

    fn call(&mut self, call: &FuncCall) {
        let name = call.name.name.as_str();
        let namespace: Vec<&str> = call.name.namespace.iter().map(|part| part.as_str()).collect();
        match (namespace.as_slice(), &self.place) {
            ([] | ["core"], _) => {}
            (["provider", local, ..], Place::Configuration(source)) => {
                return self.providers.used(source, source.line(call), local, self.found);
            }
            (["provider", local, ..], Place::JsonText(source, line)) => {
                return self.providers.used(source, Some(*line), local, self.found);
            }
            _ => return self.refuse(call, format!("the function {} is not known", quoted(name))),
        }
        if REFUSED.contains(&name) {
            return self.refuse(call, format!("the function {name} is not allowed"));
        }
        let reads = name.starts_with("file") || name == "templatefile";
        if !reads {
            return;
        }
        let (Place::Configuration(source) | Place::JsonText(source, _)) = &self.place else {
            return self.refuse(call, format!("a template may not call {}", quoted(name)));
        };
        let Some(path) = call.args.iter().next().and_then(|first| inside(source.folder(), first)) else {
            let why = format!(
                "{} needs a path of the form \"${{path.module}}/name\" with nothing computed in it",
                quoted(name)
            );
            return self.refuse(call, why);
        };
        if name == "fileset" {
            let pattern = call.args.iter().nth(1).and_then(Expression::as_str);
            if pattern
                .is_none_or(|pattern| pattern.starts_with('/') || pattern.split('/').any(|part| part.contains("..")))
            {
                self.refuse(call, "the pattern of fileset is computed or leaves the module".to_owned());
            }
        } else if !self.bundle.files.iter().any(|file| file.path == path) {
            self.refuse(call, format!("{} is no file of the bundle", quoted(&path)));
        } else if name == "templatefile" {
            self.templates.insert(path);
        }
    }
}

/// The path in the bundle that an expression means: `path.module`, or `"${path.module}/…"` with a plain rest.
fn inside(folder: &str, expression: &Expression) -> Option<String> {
    if is_module(expression) {
        return Some(folder.to_owned());
    }
    let template = expression.as_string_template()?;
    let mut elements = template.iter();
    let (first, rest) = (elements.next()?, elements.next()?);
    let (Element::Interpolation(first), Element::Literal(rest), None) = (first, rest, elements.next()) else {
        return None;
    };
    let rest = rest.as_str().strip_prefix('/')?;
    let plain = is_module(&first.expr) && rest.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let path = if folder.is_empty() { rest.to_owned() } else { format!("{folder}/{rest}") };
    plain.then_some(path)
}

fn is_module(expression: &Expression) -> bool {
    let Expression::Traversal(traversal) = expression else { return false };
    let root = traversal.expr.as_variable().is_some_and(|name| name.as_str() == "path");
    match traversal.operators.as_slice() {
        [one] => root && matches!(one.value(), TraversalOperator::GetAttr(name) if name.as_str() == "module"),
        _ => false,
    }
}
