//! The objects of Flux that releases come from: the Kustomizations that apply them, and the sources of both.
//!
//! Pure, and read as leniently as releases are.

use super::NAMESPACE;
use super::conditions::{CONDITIONS, Conditions, OBSERVED_GENERATION};
use super::fault::without_credentials;
use super::inventory::INVENTORY;
use super::object::{METADATA, Shape};
use super::{MAX_TEXT, shorten};
use serde_json::Value;

/// Longest address, path or name that a sentence repeats, in bytes.
const MAX_NAME: usize = 300;

/// What is kept of a reference to another object.
pub(super) const OBJECT_REF: Shape =
    Shape::Keys(&[("kind", Shape::Plain), ("name", Shape::Plain), ("namespace", Shape::Plain)]);

/// What is kept of a Kustomization or a source.
pub(super) const FLUX_OBJECT: Shape = Shape::Keys(&[
    METADATA,
    (
        "spec",
        Shape::Keys(&[
            ("suspend", Shape::Plain),
            ("path", Shape::Plain),
            ("url", Shape::Plain),
            ("sourceRef", OBJECT_REF),
            (
                "ref",
                Shape::Keys(&[
                    ("commit", Shape::Plain),
                    ("name", Shape::Plain),
                    ("semver", Shape::Plain),
                    ("digest", Shape::Plain),
                    ("tag", Shape::Plain),
                    ("branch", Shape::Plain),
                ]),
            ),
        ]),
    ),
    (
        "status",
        Shape::Keys(&[
            OBSERVED_GENERATION,
            CONDITIONS,
            INVENTORY,
            ("artifact", Shape::Keys(&[("revision", Shape::Plain)])),
        ]),
    ),
]);

/// A kind that is followed beside HelmRelease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FluxKind {
    Kustomization,
    GitRepository,
    OciRepository,
    HelmRepository,
    HelmChart,
}

impl FluxKind {
    /// Every kind.
    pub(super) const ALL: [Self; 5] =
        [Self::Kustomization, Self::GitRepository, Self::OciRepository, Self::HelmRepository, Self::HelmChart];

    /// The name of the kind.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Kustomization => "Kustomization",
            Self::GitRepository => "GitRepository",
            Self::OciRepository => "OCIRepository",
            Self::HelmRepository => "HelmRepository",
            Self::HelmChart => "HelmChart",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Which object, in the namespace of Flux.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ObjectRef {
    pub(super) kind: FluxKind,
    pub(super) name: String,
}

impl ObjectRef {
    /// Reads `{kind, name, namespace}`; `None` for a kind or a namespace that is not followed.
    pub(super) fn read(reference: &Value, own_namespace: &str) -> Option<Self> {
        let text = |key: &str| reference.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let kind = FluxKind::parse(text("kind")?)?;
        (text("namespace").unwrap_or(own_namespace) == NAMESPACE)
            .then(|| Some(Self { kind, name: text("name")?.to_owned() }))
            .flatten()
    }
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

/// What an object says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Health {
    /// It is ready.
    Ready,
    /// A controller works on it, or has not looked yet.
    Unknown,
    /// It is not ready, in the controller's words.
    NotReady {
        reason: String,
        message: String,
        /// Whether the controller gave up: it does not try again by itself.
        is_stalled: bool,
    },
}

/// A Kustomization or a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FluxObject {
    pub(super) kind: FluxKind,
    pub(super) name: String,
    pub(super) health: Health,
    /// Of a Kustomization: the folder that it applies.
    pub(super) path: Option<String>,
    /// Of a Kustomization: where that folder is.
    pub(super) source: Option<ObjectRef>,
    /// Of a source: its address and what is fetched from there, without credentials.
    pub(super) origin: Option<String>,
    /// Of a source: whether what is fetched can never become another, because a commit, a tag or a digest is named.
    pub(super) is_pinned: bool,
    /// Of a source: the revision that was fetched last.
    pub(super) revision: Option<String>,
}

impl FluxObject {
    /// Reads what stands beside `metadata` in the object.
    pub(super) fn read(kind: FluxKind, name: &str, generation: Option<i64>, body: &Value) -> Self {
        let text = |path: &str| body.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
        let source = body.pointer("/spec/sourceRef").and_then(|reference| ObjectRef::read(reference, NAMESPACE));
        let pins: &[&str] = match kind {
            FluxKind::GitRepository => &["/spec/ref/commit", "/spec/ref/tag"],
            FluxKind::OciRepository => &["/spec/ref/digest"],
            _ => &[],
        };
        Self {
            kind,
            name: name.to_owned(),
            health: health(generation, body),
            path: text("/spec/path").map(|path| shorten(path, MAX_NAME)),
            source,
            origin: origin(&text),
            is_pinned: pins.iter().any(|path| text(path).is_some()) && text("/spec/ref/semver").is_none(),
            revision: text("/status/artifact/revision").map(str::to_owned),
        }
    }

    /// Which one it is.
    pub(super) fn reference(&self) -> ObjectRef {
        ObjectRef { kind: self.kind, name: self.name.clone() }
    }
}

/// `<address> (branch <name>)`.
fn origin<'a>(text: &impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let address = shorten(&without_credentials(text("/spec/url")?), MAX_NAME);
    let keys = ["commit", "name", "semver", "digest", "tag", "branch"];
    let wanted = keys.iter().find_map(|key| Some((key, text(&format!("/spec/ref/{key}"))?)));
    Some(match wanted {
        Some((key, value)) => format!("{address} ({key} {})", shorten(value, MAX_NAME)),
        None => address,
    })
}

fn health(generation: Option<i64>, body: &Value) -> Health {
    let not_ready = |reason: &str, message: &str, is_stalled| Health::NotReady {
        reason: shorten(reason, 128),
        message: shorten(&without_credentials(message), MAX_TEXT),
        is_stalled,
    };
    if body.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        return not_ready("Suspended", "it is suspended", false);
    }
    let conditions = Conditions::read(generation, body);
    if let Some(stalled) = conditions.get_true("Stalled") {
        return not_ready(&stalled.reason, &stalled.message, true);
    }
    match conditions.get("Ready").filter(|ready| conditions.is_current(ready)) {
        Some(ready) if ready.status == "True" => Health::Ready,
        Some(ready) if ready.status == "False" && !is_on_its_way(&ready.reason) => {
            not_ready(&ready.reason, &ready.message, false)
        }
        // Controllers set it before `Ready` is worked out.
        None => match conditions.get_true("FetchFailed") {
            Some(failed) => not_ready(&failed.reason, &failed.message, false),
            None => Health::Unknown,
        },
        Some(_) => Health::Unknown,
    }
}

/// Reasons of `Ready=False` that tell of work and of no fault.
fn is_on_its_way(reason: &str) -> bool {
    ["Progressing", "ProgressingWithRetry", "HealthCheckCanceled", "NewGeneration"].contains(&reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn git(body: &Value) -> FluxObject {
        FluxObject::read(FluxKind::GitRepository, "openova", Some(2), body)
    }

    fn ready(status: &str, generation: i64) -> Value {
        json!({"status": {"conditions": [{"type": "Ready", "status": status, "reason": "GitOperationFailed",
            "message": "unable to clone 'https://u:p@x/y'", "observedGeneration": generation}]}})
    }

    #[test]
    fn t5_health_is_read_from_what_speaks_of_the_current_spec() {
        assert_eq!(git(&json!({})).health, Health::Unknown);
        assert_eq!(git(&ready("True", 2)).health, Health::Ready);
        assert_eq!(git(&ready("Unknown", 2)).health, Health::Unknown);
        assert_eq!(git(&ready("False", 1)).health, Health::Unknown, "of the spec before this one");
        let Health::NotReady { reason, message, is_stalled } = git(&ready("False", 2)).health else { panic!() };
        assert_eq!((reason.as_str(), is_stalled), ("GitOperationFailed", false));
        assert_eq!(message, "unable to clone 'https://***@x/y'");
        let mut stalled = ready("False", 2);
        stalled["status"]["conditions"][0]["type"] = json!("Stalled");
        stalled["status"]["conditions"][0]["status"] = json!("True");
        assert!(matches!(git(&stalled).health, Health::NotReady { is_stalled: true, .. }));
        let mut failed = ready("True", 2);
        failed["status"]["conditions"][0]["type"] = json!("FetchFailed");
        assert!(matches!(git(&failed).health, Health::NotReady { is_stalled: false, .. }));
        let suspended = json!({"spec": {"suspend": true}});
        assert!(matches!(git(&suspended).health, Health::NotReady { reason, .. } if reason == "Suspended"));
    }

    #[test]
    fn t5_only_what_can_never_become_another_is_pinned() {
        for (reference, pinned) in [
            (json!({"branch": "main"}), false),
            (json!({"branch": "main", "commit": "0a1b"}), true),
            (json!({"tag": "v1"}), true),
            (json!({"tag": "v1", "semver": "1.x"}), false),
            (json!(null), false),
        ] {
            assert_eq!(git(&json!({"spec": {"ref": reference}})).is_pinned, pinned, "{reference}");
        }
        let oci =
            |reference| FluxObject::read(FluxKind::OciRepository, "x", None, &json!({"spec": {"ref": reference}}));
        assert!(oci(json!({"digest": "sha256:0"})).is_pinned && !oci(json!({"tag": "latest"})).is_pinned);
    }

    #[test]
    fn references_to_what_is_not_followed_are_none() {
        let own = |reference: Value| ObjectRef::read(&reference, NAMESPACE).map(|found| found.to_string());
        assert_eq!(own(json!({"kind": "GitRepository", "name": "x"})).as_deref(), Some("GitRepository x"));
        for other in [
            json!({"kind": "Bucket", "name": "x"}),
            json!({"kind": "GitRepository", "name": "x", "namespace": "other"}),
            json!({"kind": "GitRepository"}),
            json!("x"),
        ] {
            assert_eq!(own(other), None);
        }
    }
}
