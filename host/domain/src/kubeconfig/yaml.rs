//! Reads YAML so strictly that every parser must read the same: one document of mappings, lists and scalars, without anchors,
//! aliases, merge keys, directives, duplicate keys, or tags other than `!!binary`. It does not know what a kubeconfig is.

use super::BodyFault;
use super::fault::{invalid, unsafe_body};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use granit_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use std::borrow::Cow;
use std::collections::HashSet;

/// Deepest nesting of collections: a kubeconfig has 5 levels, an extension in it some more.
const DEPTH: usize = 32;
/// Most nodes of a document: a kubeconfig of a person with a hundred clusters has some 2,000.
const NODES: usize = 20_000;
/// The one tag that is read; PyYAML writes it for a text that was bytes.
const BINARY: (&str, &str) = ("tag:yaml.org,2002:", "binary");

/// A value of the document.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Node<'a> {
    /// A plain scalar, whose type its text decides.
    Plain(Cow<'a, str>),
    /// A quoted or block scalar: a text.
    Quoted(Cow<'a, str>),
    /// What a `!!binary` scalar encodes.
    Binary(Vec<u8>),
    /// A sequence.
    List(Vec<Self>),
    /// A mapping with keys that differ, in their order.
    Map(Map<'a>),
}

/// A mapping with keys that differ, in their order.
pub(super) type Map<'a> = Vec<(Cow<'a, str>, Node<'a>)>;

impl Node<'_> {
    /// Whether it is the plain scalar for "no value".
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Plain(text) if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// Reads one document.
///
/// # Errors
/// [`BodyFault::Invalid`] for what is no single YAML document; [`BodyFault::Unsafe`] for what parsers read differently.
pub(super) fn document(text: &str) -> Result<Node<'_>, BodyFault> {
    // YAML 1.1 ends a line at these three, YAML 1.2 does not.
    if text.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        return Err(unsafe_body("it has a line break that YAML parsers read differently (U+0085, U+2028 or U+2029)"));
    }
    let mut options = granit_parser::options! {
        disallow_directives: true,
        flow_nesting_limit: DEPTH,
        block_nesting_limit: DEPTH,
        emit_unresolved_aliases: true,
    };
    options.set_emit_comments(false);
    let mut reader = Reader { events: Parser::new_from_str_with_options(text, options), nodes: 0 };
    reader.next_is(|event| matches!(event, Event::StreamStart))?;
    reader.next_is(|event| matches!(event, Event::DocumentStart(..)))?;
    let first = reader.next()?;
    let root = reader.node(first)?;
    reader.next_is(|event| matches!(event, Event::DocumentEnd))?;
    reader.next_is(|event| matches!(event, Event::StreamEnd))?;
    Ok(root)
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, BodyFault> {
        match self.events.next() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(_)) | None => Err(invalid("it is not one plain YAML document")),
        }
    }

    fn next_is(&mut self, is_right: impl FnOnce(&Event<'a>) -> bool) -> Result<(), BodyFault> {
        if is_right(&self.next()?) { Ok(()) } else { Err(invalid("it is not one plain YAML document")) }
    }

    fn node(&mut self, event: Event<'a>) -> Result<Node<'a>, BodyFault> {
        self.nodes += 1;
        if self.nodes > NODES {
            return Err(unsafe_body("it has too many values"));
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                no_anchor(anchor)?;
                scalar(text, style, tag.as_deref())
            }
            Event::SequenceStart(_, anchor, tag) => {
                no_anchor(anchor)?;
                no_tag(tag.as_deref())?;
                self.list()
            }
            Event::MappingStart(_, anchor, tag) => {
                no_anchor(anchor)?;
                no_tag(tag.as_deref())?;
                self.map()
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => Err(unsafe_body("it has a YAML alias")),
            _ => Err(invalid("it is not one plain YAML document")),
        }
    }

    fn list(&mut self) -> Result<Node<'a>, BodyFault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Node::List(items)),
                event => items.push(self.node(event)?),
            }
        }
    }

    fn map(&mut self) -> Result<Node<'a>, BodyFault> {
        let mut entries: Map<'a> = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let event = match self.next()? {
                Event::MappingEnd => return Ok(Node::Map(entries)),
                event => event,
            };
            let key = match self.node(event)? {
                Node::Plain(key) if key == "<<" => return Err(unsafe_body("it has a YAML merge key")),
                Node::Plain(key) | Node::Quoted(key) => key,
                _ => return Err(unsafe_body("it has a key that is no text")),
            };
            if !seen.insert(key.clone()) {
                return Err(unsafe_body("it has a key twice"));
            }
            let event = self.next()?;
            let value = self.node(event)?;
            entries.push((key, value));
        }
    }
}

fn scalar<'a>(text: Cow<'a, str>, style: ScalarStyle, tag: Option<&Tag>) -> Result<Node<'a>, BodyFault> {
    match tag {
        None if style == ScalarStyle::Plain => Ok(Node::Plain(text)),
        None => Ok(Node::Quoted(text)),
        Some(tag) if tag.parts() == BINARY => {
            let bare: String = text.split_ascii_whitespace().collect();
            STANDARD.decode(bare).map(Node::Binary).map_err(|_| invalid("its !!binary value is not base64"))
        }
        some => no_tag(some).map(|()| Node::Quoted(text)),
    }
}

fn no_anchor(anchor: usize) -> Result<(), BodyFault> {
    if anchor == 0 { Ok(()) } else { Err(unsafe_body("it has a YAML anchor")) }
}

fn no_tag(tag: Option<&Tag>) -> Result<(), BodyFault> {
    if tag.is_none() { Ok(()) } else { Err(unsafe_body("it has a YAML tag other than !!binary")) }
}
