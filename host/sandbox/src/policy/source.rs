//! A configuration file as blocks and attributes with their lines, whether it is written in HCL or in JSON.
//!
//! Both parsers bound the depth of what they read. A text in JSON is a template of HCL once it is decoded, so that is what
//! is looked at.

mod heredoc;
mod json;

use catalyst_domain::provider::BundleFile;
use hcl_edit::Span;
use hcl_edit::expr::{Expression, ObjectKey, ObjectValue};
use hcl_edit::structure::{Body, Structure};
use hcl_edit::visit::{self, Visit};
use std::collections::BTreeSet;

pub(super) use self::json::{Kind, Node};
use super::{Findings, Rule, folder, quoted};

/// Blocks of a JSON file and the number of their labels, at the top.
const TOP: [(&str, usize); 13] = [
    ("terraform", 0),
    ("locals", 0),
    ("moved", 0),
    ("removed", 0),
    ("import", 0),
    ("module", 1),
    ("provider", 1),
    ("variable", 1),
    ("output", 1),
    ("check", 1),
    ("resource", 2),
    ("data", 2),
    ("ephemeral", 2),
];

/// Blocks inside of blocks that a rule looks at. In JSON nothing else tells a block from an attribute.
const INNER: [(&str, usize); 8] = [
    ("provisioner", 1),
    ("connection", 0),
    ("data", 2),
    ("backend", 1),
    ("cloud", 0),
    ("required_providers", 0),
    ("provider_meta", 1),
    ("encryption", 0),
];

/// One file.
pub(super) struct Source {
    pub path: String,
    tree: Tree,
    lines: Lines,
}

enum Tree {
    Native(Body),
    Json(Node),
}

/// One block.
pub(super) struct Block<'a> {
    pub kind: &'a str,
    pub labels: Vec<&'a str>,
    pub line: Option<usize>,
    pub attributes: Vec<Attribute<'a>>,
    pub blocks: Vec<Block<'a>>,
}

/// One attribute; in JSON also what may be a block.
pub(super) struct Attribute<'a> {
    pub name: &'a str,
    pub line: Option<usize>,
    pub value: Value<'a>,
}

/// What stands behind an attribute's name.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Native(&'a Expression),
    Json(&'a Node),
}

/// Why a file or a part of it cannot be read, and where.
pub(super) type Unread = (Option<usize>, String);

impl Block<'_> {
    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute<'_>> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

impl<'a> Value<'a> {
    /// The text that it is, where nothing is computed in it.
    pub(super) fn text(self) -> Option<&'a str> {
        match self {
            Self::Native(expression) => expression.as_str(),
            Self::Json(Node { kind: Kind::Text(text), .. }) => Some(text.as_str()).filter(|text| !is_template(text)),
            Self::Json(_) => None,
        }
    }

    /// Whether it is an object.
    pub(super) fn is_object(self) -> bool {
        match self {
            Self::Native(expression) => expression.is_object(),
            Self::Json(node) => matches!(node.kind, Kind::Object(_)),
        }
    }

    /// The entries of an object whose keys are plain names or texts, each there once; `None` where it is none. OpenTofu evaluates a
    /// key, and of two that come to the same text it takes the last, however they are written.
    pub(super) fn plain_entries(self) -> Option<Vec<(&'a str, Self)>> {
        let entries: Vec<(&str, Self)> = match self {
            Self::Native(expression) => {
                let plain = |(key, value): (&'a ObjectKey, &'a ObjectValue)| {
                    let key = match key {
                        ObjectKey::Ident(ident) => ident.as_str(),
                        ObjectKey::Expression(Expression::String(text)) => text.as_str(),
                        ObjectKey::Expression(_) => return None,
                    };
                    Some((key, Self::Native(value.expr())))
                };
                expression.as_object()?.iter().map(plain).collect::<Option<_>>()?
            }
            Self::Json(Node { kind: Kind::Object(entries), .. }) => {
                let plain =
                    |(key, value): &'a (String, Node)| (!is_template(key)).then_some((key.as_str(), Self::Json(value)));
                entries.iter().map(plain).collect::<Option<_>>()?
            }
            Self::Json(_) => return None,
        };
        let names: BTreeSet<&str> = entries.iter().map(|(key, _)| *key).collect();
        (names.len() == entries.len()).then_some(entries)
    }

    /// Every plain key of the objects in it, at any depth.
    pub(super) fn keys(self) -> Vec<String> {
        match self {
            Self::Native(expression) => {
                let mut keys = Keys::default();
                keys.visit_expr(expression);
                keys.0
            }
            Self::Json(node) => node.keys(),
        }
    }

    /// The first name of `x`, `x.alias`, `x.alias["key"]`, or of one of them in quotes.
    pub(super) fn root_name(self) -> Option<&'a str> {
        match self {
            Self::Native(Expression::Variable(name)) => Some(name.as_str()),
            Self::Native(Expression::Traversal(traversal)) => traversal.expr.as_variable().map(|name| name.as_str()),
            text => text.text()?.split(['.', '[']).next(),
        }
    }
}

/// Whether something is computed in a decoded text.
fn is_template(text: &str) -> bool {
    text.contains("${") || text.contains("%{")
}

/// Whether OpenTofu may read the file as configuration.
pub(super) fn is_configuration(path: &str) -> bool {
    path.ends_with(".tf") || path.ends_with(".tf.json")
}

/// Reads a file; says why where that is not possible.
pub(super) fn read(file: &BundleFile, found: &mut Findings) -> Option<Source> {
    match parse(file) {
        Ok(source) => Some(source),
        Err((line, why)) => {
            found.add(&file.path, line, Rule::Syntax, why);
            None
        }
    }
}

fn parse(file: &BundleFile) -> Result<Source, Unread> {
    let text = text(&file.content)?;
    let tree = if file.path.ends_with(".json") {
        let unread = |_| (json::error_at(text), "not JSON, nested too deeply, or a key stands twice".to_owned());
        Tree::Json(json::parse(text).map_err(unread)?)
    } else {
        let unread = |why: hcl_edit::parser::Error| (Some(why.location().line()), quoted(why.message()));
        let body = hcl_edit::parser::parse_body(text).map_err(unread)?;
        heredoc::are_plain(text, &body)?;
        Tree::Native(body)
    };
    Ok(Source { path: file.path.clone(), tree, lines: Lines::of(text) })
}

/// A text without anything that two parsers may take differently.
pub(super) fn text(content: &[u8]) -> Result<&str, Unread> {
    let text = std::str::from_utf8(content).map_err(|_| (None, "not UTF-8".to_owned()))?;
    let bytes = text.as_bytes();
    // Nearly all texts are plain, which a look at their bytes tells at a fraction of the cost.
    let is_plain = bytes.iter().all(|byte| matches!(byte, b'\n' | b'\t' | b' '..=b'~'));
    let strange_may_be = if is_plain { "" } else { text };
    for (at, c) in strange_may_be.char_indices() {
        let strange = match c {
            '\n' | '\t' => false,
            '\r' => bytes.get(at + 1) != Some(&b'\n'),
            '\u{feff}' | '\u{2028}' | '\u{2029}' => true,
            c => c.is_control(),
        };
        if strange {
            return Err((Some(line_of(text, at)), "a control character or a byte order mark".to_owned()));
        }
    }
    match ambiguous(text) {
        Some(at) => {
            Err((Some(line_of(text, at)), "three or more `$` or `%` before `{` can be read in two ways".to_owned()))
        }
        None => Ok(text),
    }
}

/// Where an escape and the beginning of a template cannot be told apart.
pub(super) fn ambiguous(text: &str) -> Option<usize> {
    text.find("$$${").or_else(|| text.find("%%%{"))
}

/// Line of an offset, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// Where lines begin, for texts in which many are asked for.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    pub(super) fn line(&self, at: usize) -> usize {
        self.0.partition_point(|end| *end < at) + 1
    }
}

impl Source {
    /// The folder of the file: its module.
    pub(super) fn folder(&self) -> &str {
        folder(&self.path)
    }

    /// Line of a node of this file.
    pub(super) fn line(&self, node: &impl Span) -> Option<usize> {
        node.span().map(|span| self.lines.line(span.start))
    }

    /// Lets a visitor see every expression of an HCL file.
    pub(super) fn visit(&self, visitor: &mut impl Visit) {
        if let Tree::Native(body) = &self.tree {
            visitor.visit_body(body);
        }
    }

    /// Lets a function see every text of a JSON file that is a template, with its line.
    pub(super) fn templates(&self, mut see: impl FnMut(usize, &str)) {
        if let Tree::Json(node) = &self.tree {
            node.texts(&mut |at, text| {
                if is_template(text) {
                    see(self.lines.line(at), text);
                }
            });
        }
    }

    /// The blocks at the top.
    ///
    /// # Errors
    /// What is there and is no block that is known, by its line.
    pub(super) fn blocks(&self) -> Result<Vec<Block<'_>>, Unread> {
        let node = match &self.tree {
            Tree::Native(body) => {
                if let Some(attribute) = body.attributes().next() {
                    return Err((self.line(attribute), "an attribute outside of a block".to_owned()));
                }
                return Ok(body.blocks().map(|block| self.native(block)).collect());
            }
            Tree::Json(node) => node,
        };
        let mut blocks = Vec::new();
        for (name, value) in self.entries(node)? {
            // HCL's JSON form takes this key for a remark.
            if name == "//" {
                continue;
            }
            let labels = TOP.iter().find(|(known, _)| *known == name).map(|(_, labels)| *labels);
            let labels =
                labels.ok_or_else(|| (self.json_line(value), format!("{} is no known block", quoted(name))))?;
            self.json(name, value, labels, &mut Vec::new(), &mut blocks)?;
        }
        Ok(blocks)
    }

    fn native<'a>(&'a self, block: &'a hcl_edit::structure::Block) -> Block<'a> {
        let labels = block.labels.iter().map(|label| label.as_str()).collect();
        let (attributes, blocks) = (Vec::new(), Vec::new());
        let mut own = Block { kind: block.ident.as_str(), labels, line: self.line(block), attributes, blocks };
        for structure in block.body.iter() {
            match structure {
                Structure::Attribute(attribute) => own.attributes.push(Attribute {
                    name: attribute.key.as_str(),
                    line: self.line(attribute),
                    value: Value::Native(&attribute.value),
                }),
                Structure::Block(inner) => own.blocks.push(self.native(inner)),
            }
        }
        own
    }

    /// Labels are nested objects; at each level an array stands for several of them.
    fn json<'a>(
        &'a self,
        kind: &'a str,
        value: &'a Node,
        labels_left: usize,
        labels: &mut Vec<&'a str>,
        into: &mut Vec<Block<'a>>,
    ) -> Result<(), Unread> {
        if let Kind::List(list) = &value.kind {
            return list.iter().try_for_each(|one| self.json(kind, one, labels_left, labels, into));
        }
        let entries = self.entries(value)?;
        if labels_left > 0 {
            for (label, value) in entries {
                labels.push(label);
                self.json(kind, value, labels_left - 1, labels, into)?;
                labels.pop();
            }
            return Ok(());
        }
        let line = self.json_line(value);
        let mut block = Block { kind, labels: labels.clone(), line, attributes: Vec::new(), blocks: Vec::new() };
        for (name, value) in entries {
            let line = self.json_line(value);
            block.attributes.push(Attribute { name, line, value: Value::Json(value) });
            let Some((_, labels)) = INNER.iter().find(|(known, _)| *known == name) else { continue };
            let before = block.blocks.len();
            let read = self.json(name, value, *labels, &mut Vec::new(), &mut block.blocks);
            // Most of these are refused by their name alone, whatever stands in them.
            if read.is_err() || block.blocks.len() == before {
                let (labels, attributes, blocks) = Default::default();
                block.blocks.push(Block { kind: name, labels, line, attributes, blocks });
            }
        }
        into.push(block);
        Ok(())
    }

    fn entries<'a>(&self, node: &'a Node) -> Result<impl Iterator<Item = (&'a str, &'a Node)> + use<'a>, Unread> {
        match &node.kind {
            Kind::Object(entries) => Ok(entries.iter().map(|(key, value)| (key.as_str(), value))),
            _ => Err((self.json_line(node), "not an object where a block is expected".to_owned())),
        }
    }

    fn json_line(&self, node: &Node) -> Option<usize> {
        Some(self.lines.line(node.at))
    }
}

#[derive(Default)]
struct Keys(Vec<String>);

impl Visit for Keys {
    fn visit_object_key(&mut self, node: &ObjectKey) {
        match node {
            ObjectKey::Ident(ident) => self.0.push(ident.as_str().to_owned()),
            ObjectKey::Expression(key) => self.0.extend(key.as_str().map(str::to_owned)),
        }
        visit::visit_object_key(self, node);
    }
}
