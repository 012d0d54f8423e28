//! Which component a line of helm-controller speaks of, and how much it weighs.
//!
//! Pure. Flux prints JSON; its versions name the release as an object, as one string, or by `name` and `namespace`
//! (C-4). Lines that are no JSON are read as `key=value` text.

use super::object::{Room, Shape, read};
use super::{NAMESPACE, PREFIX};
use catalyst_domain::Level;
use serde_json::Value;

/// What names an object.
const NAMED: Shape = Shape::Keys(&[("namespace", Shape::Plain), ("name", Shape::Plain)]);
/// What is kept of a line.
const LINE: Shape = Shape::Keys(&[
    ("level", Shape::Plain),
    ("controller", Shape::Plain),
    ("namespace", Shape::Plain),
    ("name", Shape::Plain),
    // As an object, or as one text.
    ("HelmRelease", Shape::PlainOr(&NAMED)),
    ("helmRelease", Shape::PlainOr(&NAMED)),
    ("helmrelease", Shape::PlainOr(&NAMED)),
]);

/// What a line is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Component id.
    pub(super) component: String,
    /// Info or warn: an error line would draw the component's card as failed (C-9).
    pub(super) level: Level,
}

/// Reads a line; `None` when it is about no component.
pub(super) fn parse(line: &str) -> Option<Line> {
    match read(line.as_bytes(), &LINE, &Room::new()) {
        Ok(value @ Value::Object(_)) => {
            let component = of_json(&value)?;
            let level = value.get("level").and_then(Value::as_str).unwrap_or_default();
            Some(Line { component, level: capped(level) })
        }
        _ => {
            let component = of_text(line)?;
            let level = ["error", "warn"].iter().find(|l| line.contains(&format!("level={l}")));
            Some(Line { component, level: capped(level.copied().unwrap_or_default()) })
        }
    }
}

fn capped(level: &str) -> Level {
    match level {
        "error" | "warn" | "warning" | "panic" | "fatal" => Level::Warn,
        _ => Level::Info,
    }
}

fn of_json(value: &Value) -> Option<String> {
    let field = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let named = ["HelmRelease", "helmRelease", "helmrelease"].iter().find_map(|key| value.get(key));
    match named {
        Some(Value::String(path)) => of_path(path),
        Some(object @ Value::Object(_)) => of_names(&field(object, "namespace"), &field(object, "name")),
        _ if field(value, "controller") == "helmrelease" => of_names(&field(value, "namespace"), &field(value, "name")),
        _ => None,
    }
}

fn of_text(line: &str) -> Option<String> {
    let lower = line.to_ascii_lowercase();
    let after = lower.match_indices("helmrelease").find_map(|(at, key)| {
        let rest = lower.get(at.saturating_add(key.len())..)?.trim_start_matches('"').trim_start();
        rest.strip_prefix([':', '=']).map(str::trim_start)
    })?;
    let path = after.trim_start_matches(['"', '\'']);
    let end = path.find(|c: char| !(c.is_ascii_alphanumeric() || "-./".contains(c))).unwrap_or(path.len());
    of_path(path.get(..end)?)
}

fn of_path(path: &str) -> Option<String> {
    let (namespace, name) = path.split_once('/')?;
    of_names(namespace, name)
}

fn of_names(namespace: &str, name: &str) -> Option<String> {
    let id = name.strip_prefix(PREFIX)?;
    // Names of objects are at most 253 characters of this set (RFC 1123 subdomain).
    let plain = id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
    (namespace == NAMESPACE && plain && (1..=250).contains(&id.len())).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expect: Option<(&str, Level)>) {
        let parsed = parse(line).map(|l| (l.component, l.level));
        assert_eq!(parsed, expect.map(|(component, level)| (component.to_owned(), level)), "{line}");
    }

    #[test]
    fn c4_every_form_of_flux_is_read() {
        let cilium = Some(("cilium", Level::Info));
        check(
            r#"{"level":"info","ts":"2026-01-01T00:00:00.000Z","msg":"running 'install' action","controller":"helmrelease",
            "HelmRelease":{"name":"bp-cilium","namespace":"flux-system"},"namespace":"flux-system","name":"bp-cilium"}"#,
            cilium,
        );
        check(r#"{"level":"info","msg":"x","helmrelease":"flux-system/bp-cilium"}"#, cilium);
        check(r#"{"msg":"x","controller":"helmrelease","name":"bp-cilium","namespace":"flux-system"}"#, cilium);
        check(r#"level=info msg="x" helmrelease=flux-system/bp-cilium"#, cilium);
        check(r#"level=info msg="x" HelmRelease="flux-system/bp-cilium" more"#, cilium);
        check(r#"level=info "HelmRelease": "flux-system/bp-cilium""#, cilium);
    }

    #[test]
    fn c9_no_line_weighs_more_than_warn() {
        let warn = Some(("spire", Level::Warn));
        check(r#"{"level":"error","error":"x","helmrelease":"flux-system/bp-spire"}"#, warn);
        check(r#"{"level":"warn","helmrelease":"flux-system/bp-spire"}"#, warn);
        check("level=error helmrelease=flux-system/bp-spire", warn);
    }

    #[test]
    fn other_lines_are_left_out() {
        for line in [
            "",
            "{",
            r#"{"msg":"starting manager"}"#,
            r#"{"HelmRelease":{"name":"podinfo","namespace":"flux-system"}}"#,
            r#"{"HelmRelease":{"name":"bp-x","namespace":"default"}}"#,
            r#"{"HelmRelease":{"name":"bp-X Y","namespace":"flux-system"}}"#,
            r#"{"HelmRelease":{"name":"bp-","namespace":"flux-system"}}"#,
            r#"{"controller":"helmchart","name":"bp-x","namespace":"flux-system"}"#,
            r#"["flux-system/bp-x"]"#,
            "helmrelease",
            "helmrelease=é/bp-x",
            "the helmrelease flux-system/bp-x",
        ] {
            check(line, None);
        }
    }
}
