//! Lines of OpenTofu as viewers see them: no secret of the run, no control character, a bounded length.

use crate::fuzz::{Pure, Random, Target, Verdict};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalyst::engine::shown_line;
use catalyst_domain::{SecretValue, Secrets};

/// A value that has what escapes change: quotes, a slash, an ampersand, a letter beyond ASCII.
const SECRET: &str = "s3cr3t/of\"n\u{f6}body&0123456789abcdef";
/// Longest line that is shown, with room for the marks that stand in the place of secrets.
const MOST_BYTES: usize = 66 * 1024;

const PIECES: &[&str] = &[
    "{\"@level\":\"error\",\"@message\":\"",
    "\",\"type\":\"diagnostic\",\"diagnostic\":{\"severity\":\"error\",\"summary\":\"",
    "\",\"detail\":\"",
    "\",\"address\":\"a.b\"}}",
    "\",\"type\":\"apply_start\",\"hook\":{\"resource\":{\"addr\":\"",
    "\"}}}",
    "\"}",
    "Error: ",
    "s3cr3t/of\"n\u{f6}body&0123456789abcdef",
    "s3cr3t/of\\\"n\\u00f6body\\u00260123456789abcdef",
    "\\u0073",
    "\u{1b}[31m",
    "\0",
    "\r",
    "\t",
    "\u{202e}",
    "\u{85}",
    "\u{fffd}",
    " ",
    "\u{2502} ",
    "text",
    "s3cr3t%2Fof%22n%C3%B6body%260123456789abcdef",
];

pub(super) fn target() -> anyhow::Result<Box<dyn Target>> {
    Ok(Box::new(Pure { name: "tofu-lines", dictionary: PIECES, generate, check }))
}

fn generate(random: &mut Random) -> Vec<u8> {
    let encoded = STANDARD.encode(format!("{}{SECRET} and more", "x".repeat(random.below(3))));
    let mut text = random.pieces(PIECES, 6);
    if random.one_in(3) {
        text.push_str(&encoded);
    }
    text.push_str(&random.pieces(PIECES, 6));
    text.into_bytes()
}

fn check(input: &[u8]) -> Verdict {
    let mut secrets = Secrets::default();
    secrets.insert("token", SecretValue::new(SECRET));
    let shown = match shown_line(input, &secrets) {
        Ok(shown) => shown,
        Err(why) => return Verdict::Broken(why),
    };
    let forms = [
        SECRET.to_owned(),
        serde_json::Value::from(SECRET).to_string().trim_matches('"').to_owned(),
        base64_core(0),
        base64_core(1),
        base64_core(2),
        hex(SECRET),
    ];
    if let Some(form) = forms.iter().find(|form| shown.contains(form.as_str())) {
        return Verdict::Broken(format!("the secret is shown as {form}"));
    }
    if let Some(odd) = shown.chars().find(|c| c.is_control()) {
        return Verdict::Broken(format!("a control character is shown: {odd:?}"));
    }
    if shown.len() > MOST_BYTES {
        return Verdict::Broken(format!("{} bytes are shown", shown.len()));
    }
    let kind = if serde_json::from_slice::<serde_json::Value>(input).is_ok() { "JSON" } else { "text" };
    let masked = if shown.contains("***") { "masked" } else { "plain" };
    Verdict::Holds(format!("{kind}, {masked}, {}", if shown.is_empty() { "empty" } else { "shown" }))
}

/// The letters of base64 that the secret alone decides, where it begins so many bytes into a group of three.
fn base64_core(before: usize) -> String {
    let encoded = STANDARD.encode(format!("{}{SECRET}", "x".repeat(before)));
    encoded[(before * 8).div_ceil(6)..(before + SECRET.len()) * 8 / 6].to_owned()
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}
