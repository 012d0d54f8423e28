//! What a HelmRelease says about itself, as far as the watch uses it.
//!
//! Read leniently, as its [`Conditions`] are.

use super::NAMESPACE;
use super::conditions::{CONDITIONS, Conditions, OBSERVED_GENERATION};
use super::flux_object::{FluxKind, OBJECT_REF, ObjectRef};
use super::object::{METADATA, Shape};
use serde_json::Value;
use std::collections::BTreeSet;

/// Dependencies that are read of one release. A kit's have a handful.
const MAX_DEPENDENCIES: usize = 100;

/// What is kept of a HelmRelease.
pub(super) const RELEASE: Shape = Shape::Keys(&[
    METADATA,
    (
        "spec",
        Shape::Keys(&[
            ("suspend", Shape::Plain),
            ("chart", Shape::Keys(&[("spec", Shape::Keys(&[("version", Shape::Plain), ("sourceRef", OBJECT_REF)]))])),
            ("chartRef", OBJECT_REF),
            (
                "dependsOn",
                Shape::Each(MAX_DEPENDENCIES, &Shape::Keys(&[("name", Shape::Plain), ("namespace", Shape::Plain)])),
            ),
        ]),
    ),
    (
        "status",
        Shape::Keys(&[
            OBSERVED_GENERATION,
            CONDITIONS,
            ("history", Shape::Each(1, &Shape::Keys(&[("chartVersion", Shape::Plain)]))),
            ("lastAttemptedRevision", Shape::Plain),
            ("helmChart", Shape::Plain),
        ]),
    ),
]);

/// A HelmRelease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) suspended: bool,
    pub(super) chart_version: Option<String>,
    pub(super) conditions: Conditions,
    /// Names of the releases of the same namespace that must be ready before it (`spec.dependsOn`).
    pub(super) depends_on: BTreeSet<String>,
    /// The objects that its chart comes through, the nearest first: HelmChart, then repository.
    pub(super) sources: Vec<ObjectRef>,
}

impl Release {
    /// Reads what stands beside `metadata` in the object.
    pub(super) fn read(name: &str, namespace: &str, generation: Option<i64>, body: &Value) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            suspended: body.pointer("/spec/suspend").and_then(Value::as_bool).unwrap_or(false),
            chart_version: chart_version(body),
            conditions: Conditions::read(generation, body),
            depends_on: depends_on(namespace, body),
            sources: sources(name, namespace, body),
        }
    }
}

/// What is installed tells more than what was asked for, which may be a range.
fn chart_version(body: &Value) -> Option<String> {
    ["/status/history/0/chartVersion", "/status/lastAttemptedRevision", "/spec/chart/spec/version"]
        .iter()
        .find_map(|path| body.pointer(path).and_then(Value::as_str))
        .filter(|version| !version.is_empty())
        .map(str::to_owned)
}

fn depends_on(namespace: &str, body: &Value) -> BTreeSet<String> {
    let list = body.pointer("/spec/dependsOn").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let own = |entry: &&Value| entry.get("namespace").and_then(Value::as_str).is_none_or(|ns| ns == namespace);
    let names = list.iter().filter(own).filter_map(|entry| entry.get("name")?.as_str());
    names.take(MAX_DEPENDENCIES).map(str::to_owned).collect()
}

fn sources(name: &str, namespace: &str, body: &Value) -> Vec<ObjectRef> {
    let mut found = Vec::new();
    if let Some(reference) = body.pointer("/spec/chartRef") {
        found.extend(ObjectRef::read(reference, namespace));
    }
    if let Some(reference) = body.pointer("/spec/chart/spec/sourceRef") {
        // helm-controller makes the HelmChart beside the repository and names it after the release.
        let chart =
            match body.pointer("/status/helmChart").and_then(Value::as_str).and_then(|path| path.split_once('/')) {
                Some((chart_namespace, chart)) => (chart_namespace == NAMESPACE).then(|| chart.to_owned()),
                None => Some(format!("{namespace}-{name}")),
            };
        found.extend(chart.map(|name| ObjectRef { kind: FluxKind::HelmChart, name }));
        found.extend(ObjectRef::read(reference, namespace));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: &Value) -> Release {
        Release::read("bp-x", NAMESPACE, None, body)
    }

    #[test]
    fn a_strange_object_is_a_release_of_which_little_is_known() {
        for body in
            [json!(null), json!({"status": 7, "spec": []}), json!({"spec": {"dependsOn": {"a": 1}, "suspend": 3}})]
        {
            let release = read(&body);
            assert!(!release.suspended && release.depends_on.is_empty() && release.sources.is_empty(), "{body}");
        }
    }

    #[test]
    fn the_installed_version_comes_before_the_wanted_one() {
        let wanted = json!({"spec": {"chart": {"spec": {"version": "1.x"}}}});
        let both = json!({"spec": {"chart": {"spec": {"version": "1.x"}}}, "status": {"history": [{"chartVersion": "1.2.3"}]}});
        assert_eq!(read(&wanted).chart_version.as_deref(), Some("1.x"));
        assert_eq!(read(&both).chart_version.as_deref(), Some("1.2.3"));
        assert_eq!(read(&json!({})).chart_version, None);
    }

    #[test]
    fn dependencies_of_the_same_namespace_are_read() {
        let body = json!({"spec": {"dependsOn": [{"name": "bp-a"}, {"name": "bp-b", "namespace": NAMESPACE},
            {"name": "bp-c", "namespace": "other"}, 7, {}]}});
        assert_eq!(read(&body).depends_on, BTreeSet::from(["bp-a".to_owned(), "bp-b".to_owned()]));
    }

    #[test]
    fn the_chart_and_its_repository_are_its_sources() {
        let names = |body: &Value| read(body).sources.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut body =
            json!({"spec": {"chart": {"spec": {"sourceRef": {"kind": "HelmRepository", "name": "openova"}}}}});
        assert_eq!(names(&body), ["HelmChart flux-system-bp-x", "HelmRepository openova"]);
        body["status"] = json!({"helmChart": "flux-system/other"});
        assert_eq!(names(&body), ["HelmChart other", "HelmRepository openova"]);
        let by_reference = json!({"spec": {"chartRef": {"kind": "OCIRepository", "name": "bp-x"}}});
        assert_eq!(names(&by_reference), ["OCIRepository bp-x"]);
    }
}
