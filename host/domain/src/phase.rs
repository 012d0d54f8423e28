//! Names of the phases, as the wizard and the retry route know them.

/// Marker before `tofu init`.
pub const TOFU_INIT: &str = "tofu-init";
/// Marker before `tofu plan`.
pub const TOFU_PLAN: &str = "tofu-plan";
/// Marker before `tofu apply`.
pub const TOFU_APPLY: &str = "tofu-apply";
/// Marker before the outputs are read.
pub const TOFU_OUTPUT: &str = "tofu-output";
/// Marker before `tofu destroy`.
pub const TOFU_DESTROY: &str = "tofu-destroy";
/// Lines of OpenTofu itself.
pub const TOFU: &str = "tofu";
/// The infrastructure is there; the node bootstraps Flux.
pub const FLUX_BOOTSTRAP: &str = "flux-bootstrap";
/// State changes of a component. At warn or error level without a component key it tells the wizard that monitoring was
/// given up, so use [`MONITOR`] for remarks.
pub const COMPONENT: &str = "component";
/// Lines of helm-controller about a component. Never at error level: the wizard would draw the card as failed.
pub const COMPONENT_LOG: &str = "component-log";
/// Remarks on the watch that are no state of a component.
pub const MONITOR: &str = "phase1";
/// The pool name of a deployment.
pub const DNS: &str = "dns";
/// The host's own remarks: restarts, retries, wrong bearers, lost lines.
pub const HOST: &str = "host";

const PHASE_0: [&str; 5] = [TOFU_INIT, TOFU_PLAN, TOFU_APPLY, TOFU_OUTPUT, FLUX_BOOTSTRAP];

// The contract's names and, where they differ from the releases', both.
const PHASE_1: [(&str, &str); 12] = [
    ("cilium", "bp-cilium"),
    ("cert-manager", "bp-cert-manager"),
    ("flux", "bp-flux"),
    ("crossplane", "bp-crossplane"),
    ("sealed-secrets", "bp-sealed-secrets"),
    ("spire", "bp-spire"),
    ("jetstream", "bp-nats-jetstream"),
    ("nats-jetstream", "bp-nats-jetstream"),
    ("openbao", "bp-openbao"),
    ("keycloak", "bp-keycloak"),
    ("gitea", "bp-gitea"),
    ("bp-catalyst-platform", "bp-catalyst-platform"),
];

/// What a retry's `{phase}` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryPhase {
    /// Part of Phase 0: the infrastructure is applied again.
    Infrastructure(&'static str),
    /// A component of Phase 1: the watch is taken up again.
    Component {
        /// The id as it was given.
        id: &'static str,
        /// The HelmRelease behind it.
        release: &'static str,
    },
}

impl RetryPhase {
    /// Every id that is read.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PHASE_0.into_iter().chain(PHASE_1.into_iter().map(|(name, _)| name))
    }

    /// Reads a phase id; `None` for an unknown one.
    pub fn parse(id: &str) -> Option<Self> {
        if let Some(phase) = PHASE_0.iter().find(|p| **p == id) {
            return Some(Self::Infrastructure(phase));
        }
        PHASE_1.iter().find(|(name, _)| *name == id).map(|(id, release)| Self::Component { id, release })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c10_retry_names_lead_to_the_right_release() {
        let release = |id| match RetryPhase::parse(id) {
            Some(RetryPhase::Component { release, .. }) => release,
            other => panic!("{other:?}"),
        };
        assert_eq!(release("jetstream"), "bp-nats-jetstream");
        assert_eq!(release("bp-catalyst-platform"), "bp-catalyst-platform");
        assert_eq!(RetryPhase::parse("tofu-apply"), Some(RetryPhase::Infrastructure("tofu-apply")));
        assert_eq!(RetryPhase::parse("nonsense"), None);
    }
}
