//! What a HelmRelease says about itself, as far as the watch uses it.
//!
//! Read leniently: an object that lacks a field, or has one of an odd type, is a release of which less is known, never
//! an error. A cluster must not be able to end its watch by one strange object.

use serde_json::Value;

/// One entry of `status.conditions`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
    /// Generation of the spec that it speaks of.
    pub(super) observed_generation: Option<i64>,
}

/// A HelmRelease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) name: String,
    pub(super) namespace: String,
    /// Generation of the spec.
    pub(super) generation: Option<i64>,
    /// Generation that the controller has worked off; Flux begins with −1.
    pub(super) observed_generation: Option<i64>,
    pub(super) suspended: bool,
    pub(super) chart_version: Option<String>,
    pub(super) conditions: Vec<Condition>,
}

impl Release {
    /// Reads what stands beside `metadata` in the object.
    pub(super) fn read(name: &str, namespace: &str, generation: Option<i64>, body: &Value) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            generation,
            observed_generation: body.pointer("/status/observedGeneration").and_then(Value::as_i64),
            suspended: body.pointer("/spec/suspend").and_then(Value::as_bool).unwrap_or(false),
            chart_version: chart_version(body),
            conditions: conditions(body),
        }
    }

    /// The condition of that type.
    pub(super) fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.kind == kind)
    }

    /// Whether a condition speaks of the current spec. Without any generation it is taken at its word.
    pub(super) fn is_current(&self, condition: &Condition) -> bool {
        match (self.generation, condition.observed_generation.or(self.observed_generation)) {
            (Some(generation), Some(observed)) => observed >= generation,
            _ => true,
        }
    }

    /// Whether the controller has worked off the current spec, as far as it tells.
    pub(super) fn is_observed(&self) -> bool {
        match (self.generation, self.observed_generation) {
            (Some(generation), Some(observed)) => observed >= generation,
            _ => true,
        }
    }
}

fn conditions(body: &Value) -> Vec<Condition> {
    let list = body.pointer("/status/conditions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
    list.iter()
        .map(|entry| Condition {
            kind: text(entry, "type"),
            status: text(entry, "status"),
            reason: text(entry, "reason"),
            message: text(entry, "message"),
            observed_generation: entry.get("observedGeneration").and_then(Value::as_i64),
        })
        .collect()
}

/// What is installed tells more than what was asked for, which may be a range.
fn chart_version(body: &Value) -> Option<String> {
    ["/status/history/0/chartVersion", "/status/lastAttemptedRevision", "/spec/chart/spec/version"]
        .iter()
        .find_map(|path| body.pointer(path).and_then(Value::as_str))
        .filter(|version| !version.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_strange_object_is_a_release_of_which_little_is_known() {
        for body in [json!(null), json!({"status": {"conditions": {"a": 1}}}), json!({"status": 7, "spec": []})] {
            let release = Release::read("bp-x", "flux-system", Some(1), &body);
            assert_eq!(release.conditions, []);
            assert!(!release.suspended);
        }
        let body = json!({"status": {"conditions": [7, {"type": "Ready", "status": true}]}});
        let release = Release::read("bp-x", "flux-system", None, &body);
        assert_eq!(release.condition("Ready").map(|c| c.status.as_str()), Some(""));
    }

    #[test]
    fn the_installed_version_comes_before_the_wanted_one() {
        let wanted = json!({"spec": {"chart": {"spec": {"version": "1.x"}}}});
        let both = json!({"spec": {"chart": {"spec": {"version": "1.x"}}}, "status": {"history": [{"chartVersion": "1.2.3"}]}});
        let version = |body| Release::read("bp-x", "flux-system", None, &body).chart_version;
        assert_eq!(version(wanted).as_deref(), Some("1.x"));
        assert_eq!(version(both).as_deref(), Some("1.2.3"));
        assert_eq!(version(json!({})), None);
    }
}
