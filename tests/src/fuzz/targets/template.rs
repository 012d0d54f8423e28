//! Templates that are filled in part: what is filled afterwards gives the same text as what is filled at once.

use crate::fuzz::{Pure, Random, Target, Verdict, ending};
use catalyst_plugin_sdk::template::{Template, Variables};

/// What the holes are filled with: also text that would be live, were it read as a template.
const FILLINGS: [(&str, &str); 3] =
    [("token", "s3cr3t"), ("address", "192.0.2.1"), ("odd", "{x} ${token} %{if} \"\\ $")];

const PIECES: &[&str] = &[
    "$",
    "%",
    "{",
    "}",
    "$$",
    "%%",
    "${",
    "%{",
    "$${",
    "%%{",
    "~",
    "~}",
    "\"",
    "\\",
    "\n",
    "\r\n",
    " ",
    "\u{e9}",
    "\u{301}",
    "\u{600}",
    "text",
    "${word}",
    "${~ word ~}",
    "${token}",
    "${~ token}",
    "${token ~}",
    "${address}",
    "${odd}",
    "%{ if flag }",
    "%{ else }",
    "%{ endif }",
    "%{ endif ~}",
    "%{ for v in list }",
    "%{ endfor }",
    "${jsonencode(list)}",
    "${base64encode(word)}",
    "${indent(4, word)}",
    "${token == \"a\"}",
    "${upper(token)}",
    "${flag ? token : word}",
    "${list[0]}",
];

pub(super) fn target() -> anyhow::Result<Box<dyn Target>> {
    Ok(Box::new(Pure { name: "template", dictionary: PIECES, generate, check }))
}

fn generate(random: &mut Random) -> Vec<u8> {
    random.pieces(PIECES, 14).into_bytes()
}

fn value(hole: &str) -> String {
    FILLINGS.iter().find(|(name, _)| *name == hole).map(|(_, text)| (*text).to_owned()).unwrap_or_default()
}

fn check(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else { return Verdict::Holds("no text".to_owned()) };
    let template: Template = match text.parse() {
        Ok(template) => template,
        Err(_) => return Verdict::Holds("no template".to_owned()),
    };
    let known = Variables::new()
        .with("word", "v \"${x}\"")
        .with("flag", true)
        .with("list", ["a", "b"].into_iter().collect::<catalyst_plugin_sdk::template::Value>());
    let at_once = FILLINGS.iter().fold(known.clone(), |known, (name, text)| known.with(name, *text));
    let in_part = FILLINGS.iter().fold(known, |known, (name, _)| known.with_hole(name, 64));
    let (whole, part) = (template.fill(&at_once), template.fill(&in_part));
    let part = match part {
        Ok(part) => part,
        Err(error) => return Verdict::Holds(ending(&error.to_string())),
    };
    let whole = match whole {
        Ok(whole) => whole.with_values(|_| String::new()),
        Err(error) => return Verdict::Broken(format!("it is filled in part, but not at once: {error}")),
    };
    if part.with_values(value) != whole {
        return Verdict::Broken("filled in part and then whole it is another text".to_owned());
    }
    let Ok(written) = part.to_template() else { return Verdict::Holds("cannot be written as a template".to_owned()) };
    let again = match written.parse::<Template>() {
        Ok(again) => again.fill(&at_once),
        Err(error) => return Verdict::Broken(format!("what is left is no template: {error}: {written:?}")),
    };
    match again {
        Ok(again) if again.with_values(|_| String::new()) == whole => {
            Verdict::Holds(format!("{} holes", part.holes().len()))
        }
        Ok(_) => Verdict::Broken(format!("what is left means another text: {written:?}")),
        Err(error) => Verdict::Broken(format!("what is left cannot be filled: {error}: {written:?}")),
    }
}
