//! All targets, a small file each.

mod authorization;
mod component;
mod cookies;
mod forwarded;
mod kubeconfig;
mod last_event_id;
mod log_recovery;
mod policy;
mod record_json;
mod request_json;
mod template;
mod tofu_lines;

use super::Target;

/// How a target is made.
type Make = fn() -> anyhow::Result<Box<dyn Target>>;

/// Every target by its name. Those at the head ask another program.
pub const ALL: [(&str, Make); 12] = [
    ("kubeconfig", kubeconfig::target),
    ("policy", policy::target),
    ("request-json", request_json::target),
    ("forwarded", forwarded::target),
    ("authorization", authorization::target),
    ("cookies", cookies::target),
    ("last-event-id", last_event_id::target),
    ("log-recovery", log_recovery::target),
    ("record-json", record_json::target),
    ("tofu-lines", tofu_lines::target),
    ("template", template::target),
    ("component", component::target),
];

/// The target of a name.
///
/// # Errors
/// When there is none, or it cannot be made.
pub fn named(name: &str) -> anyhow::Result<Box<dyn Target>> {
    let found = ALL.iter().find(|(known, _)| *known == name);
    let names = || ALL.map(|(name, _)| name).join(", ");
    found
        .map(|(_, make)| make())
        .unwrap_or_else(|| Err(anyhow::anyhow!("there is no target {name:?}; there are {}", names())))
}
