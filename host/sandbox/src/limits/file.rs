//! An operator's limits: one JSON object, read once at the start because the slots for memory are made then.
//!
//! `{"default": {…}, "plugins": {"acme.wasm": {…}}}`. A plugin has what its own object says, then what `default` says, then
//! what is built in. A key that nobody knows is refused: a limit that was misspelt would not hold.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Limits, PluginLimits};

/// One mebibyte.
const MIB: u64 = 1024 * 1024;

/// A limit that can be set: its key, the smallest and the largest value, and where it goes. Below the smallest nothing
/// works; past the largest, a mistake of a factor would reach the machine.
struct Key {
    name: &'static str,
    least: u64,
    most: u64,
    set: fn(&mut Limits, u64),
}

const KEYS: &[Key] = &[
    Key { name: "call_timeout_ms", least: 10, most: 60_000, set: |l, v| l.call_timeout = Duration::from_millis(v) },
    Key { name: "memory_bytes", least: MIB, most: 2048 * MIB, set: |l, v| l.memory_bytes = whole(v) },
    Key { name: "hostcall_bytes", least: 64 * 1024, most: 64 * MIB, set: |l, v| l.hostcall_bytes = whole(v) },
    Key { name: "component_bytes", least: 1024, most: 256 * MIB, set: |l, v| l.component_bytes = v },
    Key { name: "log_bytes", least: 0, most: 16 * MIB, set: |l, v| l.log_bytes = whole(v) },
    Key { name: "log_line_bytes", least: 16, most: MIB, set: |l, v| l.log_line_bytes = whole(v) },
    Key {
        name: "core_instances",
        least: 1,
        most: 200,
        set: |l, v| l.core_instances = u32::try_from(v).unwrap_or(u32::MAX),
    },
    Key {
        name: "compile_timeout_ms",
        least: 100,
        most: 600_000,
        set: |l, v| l.compile_timeout = Duration::from_millis(v),
    },
    Key { name: "compile_memory_bytes", least: 256 * MIB, most: 16_384 * MIB, set: |l, v| l.compile_memory_bytes = v },
];

impl PluginLimits {
    /// Reads the text of an operator's file.
    ///
    /// # Errors
    /// The first key that breaks a rule, and the rule.
    pub fn parse(text: &str) -> Result<Self, String> {
        let whole: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
        let mut common = Limits::default();
        let mut plugins = None;
        for (key, value) in object("the file", &whole)? {
            match key.as_str() {
                "default" => apply(&mut common, key, object(key, value)?)?,
                "plugins" => plugins = Some(object(key, value)?),
                _ => return Err(format!("{key}: is none of default, plugins")),
            }
        }
        let mut limits = Self::from(common.clone());
        for (file, value) in plugins.into_iter().flatten() {
            if !file.ends_with(".wasm") || file.contains('/') {
                return Err(format!("plugins.{file}: must be the name of a component file, such as acme.wasm"));
            }
            let mut own = common.clone();
            apply(&mut own, &format!("plugins.{file}"), object(&format!("plugins.{file}"), value)?)?;
            limits.by_file.insert(file.clone(), Arc::new(own));
        }
        Ok(limits)
    }
}

fn apply(limits: &mut Limits, place: &str, values: &Map<String, Value>) -> Result<(), String> {
    for (name, value) in values {
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            let known: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
            return Err(format!("{place}.{name}: is none of {}", known.join(", ")));
        };
        match value.as_u64() {
            Some(number) if (key.least..=key.most).contains(&number) => (key.set)(limits, number),
            _ => return Err(format!("{place}.{name}: must be a whole number from {} to {}", key.least, key.most)),
        }
    }
    Ok(())
}

fn object<'a>(place: &str, value: &'a Value) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{place}: must be an object"))
}

/// The ranges above fit every machine that this runs on.
fn whole(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_has_its_own_then_the_common_then_the_built_in_limits() {
        let text = r#"{"default": {"call_timeout_ms": 500, "log_bytes": 0},
            "plugins": {"snake.wasm": {"call_timeout_ms": 4000, "memory_bytes": 268435456, "core_instances": 60}}}"#;
        let limits = PluginLimits::parse(text).unwrap();
        let (snake, other) = (limits.of("snake.wasm"), limits.of("other.wasm"));
        assert_eq!((snake.call_timeout, other.call_timeout), (Duration::from_secs(4), Duration::from_millis(500)));
        assert_eq!((snake.log_bytes, other.log_bytes), (0, 0));
        assert_eq!((snake.hostcall_bytes, other.memory_bytes), (4 * 1024 * 1024, 64 * 1024 * 1024));
        assert_eq!((limits.memory_bytes(), limits.core_instances()), (268_435_456, 60), "the slots fit the largest");
        assert_eq!(PluginLimits::parse("{}").unwrap().of("x.wasm"), &Arc::new(Limits::default()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_rule() {
        for (text, words) in [
            ("", "is not JSON"),
            ("[]", "the file: must be an object"),
            (r#"{"defaults": {}}"#, "defaults: is none of default, plugins"),
            (r#"{"default": 1}"#, "default: must be an object"),
            (r#"{"default": {"memory": 1}}"#, "default.memory: is none of call_timeout_ms, memory_bytes"),
            (
                r#"{"default": {"memory_bytes": 1}}"#,
                "default.memory_bytes: must be a whole number from 1048576 to 2147483648",
            ),
            (
                r#"{"plugins": {"a.wasm": {"call_timeout_ms": "2s"}}}"#,
                "plugins.a.wasm.call_timeout_ms: must be a whole number",
            ),
            (r#"{"plugins": {"acme": {}}}"#, "plugins.acme: must be the name of a component file"),
            (r#"{"plugins": {"../a.wasm": {}}}"#, "must be the name of a component file"),
        ] {
            let error = PluginLimits::parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
