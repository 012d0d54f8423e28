//! The conditions of an object's status, as all of Flux's controllers write them.
//!
//! Read leniently: an object that lacks a field, or has one of an odd type, is one of which less is known, never an error. A
//! cluster must not be able to end its watch by one strange object.

use super::object::Shape;
use catalyst_domain::Timestamp;
use serde_json::Value;

/// The generation that a controller has worked off.
pub(super) const OBSERVED_GENERATION: (&str, Shape) = ("observedGeneration", Shape::Plain);

/// What is kept of the conditions. Controllers of Flux write some five.
pub(super) const CONDITIONS: (&str, Shape) = (
    "conditions",
    Shape::Each(
        32,
        &Shape::Keys(&[
            ("type", Shape::Plain),
            ("status", Shape::Plain),
            ("reason", Shape::Plain),
            ("message", Shape::Plain),
            OBSERVED_GENERATION,
            ("lastTransitionTime", Shape::Plain),
        ]),
    ),
);

/// One entry of `status.conditions`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
    /// Generation of the spec that it speaks of.
    pub(super) observed_generation: Option<i64>,
    /// When it became what it is, by the cluster's clock.
    pub(super) since: Option<Timestamp>,
}

/// The conditions of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    /// Generation of the spec.
    generation: Option<i64>,
    /// Generation that the controller has worked off; Flux begins with −1.
    observed_generation: Option<i64>,
    pub(super) list: Vec<Condition>,
}

impl Conditions {
    /// Reads them from what stands beside `metadata` in the object.
    pub(super) fn read(generation: Option<i64>, body: &Value) -> Self {
        let observed_generation = body.pointer("/status/observedGeneration").and_then(Value::as_i64);
        let list = body.pointer("/status/conditions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Self { generation, observed_generation, list: list.iter().map(condition).collect() }
    }

    /// The condition of that type.
    pub(super) fn get(&self, kind: &str) -> Option<&Condition> {
        self.list.iter().find(|c| c.kind == kind)
    }

    /// The condition of that type, where it is `True` and speaks of the current spec.
    pub(super) fn get_true(&self, kind: &str) -> Option<&Condition> {
        self.get(kind).filter(|c| c.status == "True" && self.is_current(c))
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

fn condition(entry: &Value) -> Condition {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
    Condition {
        kind: text("type"),
        status: text("status"),
        reason: text("reason"),
        message: text("message"),
        observed_generation: entry.get("observedGeneration").and_then(Value::as_i64),
        since: text("lastTransitionTime").parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_strange_object_has_few_conditions_and_is_no_error() {
        for body in [json!(null), json!({"status": {"conditions": {"a": 1}}}), json!({"status": 7, "spec": []})] {
            assert_eq!(Conditions::read(Some(1), &body).list, []);
        }
        let body =
            json!({"status": {"conditions": [7, {"type": "Ready", "status": true, "lastTransitionTime": "soon"}]}});
        let conditions = Conditions::read(None, &body);
        let ready = conditions.get("Ready").unwrap();
        assert_eq!((ready.status.as_str(), ready.since), ("", None));
    }

    #[test]
    fn a_condition_counts_for_the_generation_that_it_names() {
        let body = |observed: i64| {
            json!({"status": {"conditions": [{"type": "Stalled", "status": "True", "observedGeneration": observed,
                "lastTransitionTime": "2026-01-02T03:04:05Z"}]}})
        };
        assert!(Conditions::read(Some(2), &body(2)).get_true("Stalled").is_some_and(|c| c.since.is_some()));
        assert!(Conditions::read(Some(2), &body(1)).get_true("Stalled").is_none());
    }
}
