//! Writes a tree in one of YAML's forms.

use super::document::Tree;
use crate::fuzz::Random;

/// Writes a document; JSON now and then.
pub(super) fn write(tree: &Tree, random: &mut Random) -> String {
    let mut page = String::new();
    match random.below(12) {
        0 => json(tree, &mut page),
        1 => {
            flow(tree, &mut page, random);
            page.push('\n');
        }
        _ => block(tree, 0, &mut page, random),
    }
    page
}

fn block(tree: &Tree, indent: usize, page: &mut String, random: &mut Random) {
    let pad = " ".repeat(indent);
    match tree {
        Tree::Map(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                page.push_str(&pad);
                entry(key, value, indent, page, random);
            }
        }
        Tree::List(list) if !list.is_empty() => {
            for one in list {
                page.push_str(&pad);
                page.push('-');
                item(one, indent, page, random);
            }
        }
        other => {
            page.push_str(&pad);
            flow(other, page, random);
            page.push('\n');
        }
    }
}

/// An entry of a list: a mapping begins on the line of its dash.
fn item(one: &Tree, indent: usize, page: &mut String, random: &mut Random) {
    match one {
        Tree::Map(entries) if !entries.is_empty() => {
            for (at, (key, value)) in entries.iter().enumerate() {
                let lead = if at == 0 { " ".to_owned() } else { " ".repeat(indent + 2) };
                page.push_str(&lead);
                entry(key, value, indent + 2, page, random);
            }
        }
        other => {
            page.push(' ');
            flow(other, page, random);
            page.push('\n');
        }
    }
}

fn entry(key: &str, value: &Tree, indent: usize, page: &mut String, random: &mut Random) {
    let written = written_key(key, random);
    if random.one_in(60) {
        page.push_str(&format!("? {written}\n{}:", " ".repeat(indent)));
    } else {
        page.push_str(&format!("{written}:"));
    }
    let nested = matches!(value, Tree::Map(entries) if !entries.is_empty())
        || matches!(value, Tree::List(list) if !list.is_empty());
    if nested && !random.one_in(12) {
        page.push('\n');
        // A list of client-go stands as deep as its key.
        let deeper = if matches!(value, Tree::List(_)) && !random.one_in(4) { 0 } else { 2 };
        return block(value, indent + deeper, page, random);
    }
    page.push(' ');
    match value {
        Tree::Text(text) if random.one_in(12) => literal(text, indent + 2, page, random),
        Tree::Data(data) if random.one_in(10) => literal(&wrapped(data), indent + 2, page, random),
        value => {
            flow(value, page, random);
            page.push('\n');
        }
    }
}

fn written_key(key: &str, random: &mut Random) -> String {
    match random.below(24) {
        0 => format!("\"{key}\""),
        1 => format!("'{key}'"),
        2 => format!("\"{}\"", key.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<String>()),
        3 if random.one_in(12) => format!("!!str {key}"),
        4 => format!("{key} "),
        _ => key.to_owned(),
    }
}

fn wrapped(data: &str) -> String {
    data.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect()
}

fn literal(text: &str, indent: usize, page: &mut String, random: &mut Random) {
    let header = random.pick(&["|", "|-", "|+", ">", ">-", "|2", "| # x"]);
    page.push_str(header);
    page.push('\n');
    for line in text.split('\n') {
        page.push_str(&format!("{}{line}\n", " ".repeat(indent)));
    }
}

fn flow(tree: &Tree, page: &mut String, random: &mut Random) {
    match tree {
        Tree::Raw(raw) => page.push_str(raw),
        Tree::Text(text) => page.push_str(&scalar(text, random)),
        Tree::Data(data) => match random.below(12) {
            0 => page.push_str(&format!(
                "\"{}\"",
                data.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\\\n      ")
            )),
            1 => page.push_str(&format!("!!binary {data}")),
            2 => page.push_str(&format!("'{data}'")),
            _ => page.push_str(data),
        },
        Tree::Map(entries) => {
            page.push('{');
            for (at, (key, value)) in entries.iter().enumerate() {
                page.push_str(if at == 0 { "" } else { ", " });
                page.push_str(&format!("{}: ", written_key(key, random)));
                flow(value, page, random);
            }
            page.push('}');
        }
        Tree::List(list) => {
            page.push('[');
            for (at, one) in list.iter().enumerate() {
                page.push_str(if at == 0 { "" } else { ", " });
                flow(one, page, random);
            }
            page.push(']');
        }
    }
}

/// A text in one of the styles; plain in most cases, whether or not that is right.
fn scalar(text: &str, random: &mut Random) -> String {
    match random.below(40) {
        0..=3 => format!("'{}'", text.replace('\'', "''")),
        4..=7 => serde_json::Value::from(text).to_string(),
        8 => format!("\"{}\"", text.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect::<String>()),
        9 => format!("!!binary {}", super::document::base64(text.as_bytes())),
        10 if random.one_in(6) => format!("!!str {text}"),
        10 if random.one_in(6) => format!("&a{} {text}", random.below(3)),
        _ => text.to_owned(),
    }
}

fn json(tree: &Tree, page: &mut String) {
    match tree {
        Tree::Raw(raw) => page.push_str(raw),
        Tree::Text(text) | Tree::Data(text) => page.push_str(&serde_json::Value::from(text.as_str()).to_string()),
        Tree::Map(entries) => {
            let entry = |(key, value): &(String, Tree)| {
                let mut written = format!("{}:", serde_json::Value::from(key.as_str()));
                json(value, &mut written);
                written
            };
            page.push_str(&format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(",")));
        }
        Tree::List(list) => {
            let one = |one: &Tree| {
                let mut written = String::new();
                json(one, &mut written);
                written
            };
            page.push_str(&format!("[{}]", list.iter().map(one).collect::<Vec<_>>().join(",")));
        }
    }
}
