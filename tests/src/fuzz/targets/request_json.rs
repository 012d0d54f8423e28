//! The body of a create: whatever our parser takes, Go's encoding/json and serde_json read the same out of it.

use crate::fuzz::reader::{Framing, Reader};
use crate::fuzz::{Random, Target, Verdict, caught};
use catalyst_domain::request::parse;
use serde::Deserialize;
use serde_json::{Map, Value};

const TEXTS: [&str; 11] = [
    "orgName",
    "orgEmail",
    "sovereignFQDN",
    "sovereignDomainMode",
    "sovereignPoolDomain",
    "sovereignSubdomain",
    "region",
    "controlPlaneSize",
    "workerSize",
    "sshPublicKey",
    "expectedRenderDigest",
];

const PIECES: &[&str] = &[
    "\"orgName\":",
    "\"ORGNAME\":",
    "\"orgname\":",
    "\"\\u006frgName\":",
    "\"workerCount\":",
    "\"haEnabled\":",
    "\"regions\":[",
    "\"provider\":",
    "\"expectedRenderDigest\":",
    "\"\u{17f}shPublicKey\":",
    "\"wor\u{212a}erCount\":",
    "\"sovereignFQDN\":",
    "\"sovereignFqdn\":",
    "null",
    "true",
    "1",
    "1.0",
    "1e2",
    "-0",
    "\"x\"",
    "\" x \"",
    "\"\\ud800\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\u{feff}",
    "/*x*/",
    "//\n",
    "\0",
    "\"rehearsalToken\":",
];

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    error: String,
    request: Option<Map<String, Value>>,
}

struct RequestJson {
    go: Reader,
}

pub(super) fn target() -> anyhow::Result<Box<dyn Target>> {
    Ok(Box::new(RequestJson { go: Reader::start("client-go", &["request"], Framing::Length)? }))
}

impl Target for RequestJson {
    fn name(&self) -> &'static str {
        "request-json"
    }

    fn dictionary(&self) -> &'static [&'static str] {
        PIECES
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        let mut text = object(random, true);
        if random.one_in(12) {
            text.push_str(random.pick(&[" ", "{}", "x", ",", "\0", "\n"]));
        }
        text.into_bytes()
    }

    fn check(&mut self, inputs: &[Vec<u8>]) -> anyhow::Result<Vec<Verdict>> {
        let answers: Vec<Answer> = self.go.ask(inputs)?;
        Ok(inputs.iter().zip(answers).map(|(input, answer)| caught(|| compare(input, &answer))).collect())
    }
}

/// An object of some keys, of which one may stand twice or in another case.
fn object(random: &mut Random, outer: bool) -> String {
    let mut entries = Vec::new();
    for _ in 0..random.below(6) {
        let key = match random.below(5) {
            0 if outer => "workerCount",
            1 if outer => random.pick(&["haEnabled", "regions", "rehearsalToken", "unknown"]),
            _ if outer => random.pick(&TEXTS),
            _ => random.pick(&["provider", "cloudRegion", "controlPlaneSize", "workerSize", "workerCount"]),
        };
        let value = value(key, random);
        entries.push(format!("{}:{value}", spelled(key, random)));
        if random.one_in(8) {
            entries.push(format!("{}:{}", spelled(key, random), self::value(key, random)));
        }
    }
    random.shuffle(&mut entries);
    format!("{{{}}}", entries.join(","))
}

fn value(key: &str, random: &mut Random) -> String {
    if random.one_in(14) {
        return random
            .pick(&["null", "1", "true", "\"x\"", "[]", "{}", "1.0", "1e2", "-1", "9223372036854775808", "\"1\""])
            .to_owned();
    }
    match key {
        "workerCount" => random.below(9).to_string(),
        "haEnabled" => random.pick(&["true", "false"]).to_owned(),
        "regions" => {
            let slots: Vec<String> = (0..random.below(3)).map(|_| object(random, false)).collect();
            format!("[{}]", slots.join(","))
        }
        "expectedRenderDigest" => format!("\"{}\"", random.pick(&["a", "A", "0"]).repeat(64)),
        _ => random
            .pick(&["\"a\"", "\"b\"", "\"\"", "\" c \"", "\"\\u0064\"", "\"\\ud83d\\ude00\"", "\"e\\n\"", "\"\u{e4}\""])
            .to_owned(),
    }
}

fn spelled(key: &str, random: &mut Random) -> String {
    match random.below(16) {
        0 => format!("\"{}\"", key.to_uppercase()),
        1 => format!("\"{}\"", key.to_lowercase()),
        2 => format!("\"{}\"", key.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<String>()),
        3 => format!("\"{}\"", key.replacen('s', "\u{17f}", 1)),
        4 => format!("\"{}\"", key.replacen('k', "\u{212a}", 1)),
        _ => format!("\"{key}\""),
    }
}

fn compare(input: &[u8], go: &Answer) -> Verdict {
    let Ok(mut parsed) = parse(input) else { return Verdict::Holds("refused".to_owned()) };
    if !parsed.take_wrong_types().is_empty() {
        return Verdict::Holds("refused for a wrong type".to_owned());
    }
    let Some(theirs) = &go.request else { return Verdict::Broken(format!("we take what Go refuses: {}", go.error)) };
    let carries = parsed.carries("rehearsalToken");
    let digest = parsed.approved_render_digest().to_owned();
    let Ok(Value::Object(mut ours)) = serde_json::to_value(parsed.without_extra()) else {
        return Verdict::Broken("a request is no object".to_owned());
    };
    ours.insert("expectedRenderDigest".to_owned(), digest.into());
    let mut theirs = theirs.clone();
    trim(&mut theirs);
    mirror(&mut theirs);
    let given = theirs.remove("rehearsalToken").is_some_and(|token| !token.is_null());
    if given && !carries {
        return Verdict::Broken("Go reads a token where we read none".to_owned());
    }
    if theirs.get("regions") == Some(&Value::Null) {
        theirs.insert("regions".to_owned(), Value::Array(Vec::new()));
    }
    for (key, value) in &theirs {
        if ours.get(key) != Some(value) {
            return Verdict::Broken(format!(
                "{key} is {} to us and {value} to Go",
                ours.get(key).unwrap_or(&Value::Null)
            ));
        }
    }
    match exact(input, &ours) {
        Some(key) => Verdict::Broken(format!("{key} is another to serde_json")),
        None => Verdict::Holds(format!("taken, {} regions", theirs["regions"].as_array().map_or(0, Vec::len))),
    }
}

/// Blanks around a text do not count here.
fn trim(map: &mut Map<String, Value>) {
    for value in map.values_mut() {
        match value {
            Value::String(text) => *text = text.trim().to_owned(),
            Value::Array(slots) => slots.iter_mut().filter_map(Value::as_object_mut).for_each(trim),
            _ => {}
        }
    }
}

/// The first region stands in the singular fields as well.
fn mirror(map: &mut Map<String, Value>) {
    let Some(first) = map.get("regions").and_then(|regions| regions.get(0)).cloned() else { return };
    for (from, to) in [
        ("cloudRegion", "region"),
        ("controlPlaneSize", "controlPlaneSize"),
        ("workerSize", "workerSize"),
        ("workerCount", "workerCount"),
    ] {
        map.insert(to.to_owned(), first[from].clone());
    }
}

/// A key, spelt as documented, that a reader of exact keys takes otherwise. Its last value counts, as in most readers.
fn exact(input: &[u8], ours: &Map<String, Value>) -> Option<&'static str> {
    let first = serde_json::Deserializer::from_slice(input).into_iter::<Value>().next();
    let Some(Ok(Value::Object(mut root))) = first else { return None };
    trim(&mut root);
    if ours["regions"].as_array().is_some_and(|regions| !regions.is_empty()) {
        // The first region stands in their place.
        for key in ["region", "controlPlaneSize", "workerSize"] {
            root.remove(key);
        }
    }
    TEXTS.into_iter().find(|key| {
        let value = root.get(*key).filter(|value| !value.is_null());
        value.is_some_and(|value| ours.get(*key) != Some(value))
    })
}
