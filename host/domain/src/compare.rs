//! What another request would mean for servers that are there: only what the requests themselves tell.
//!
//! What OpenTofu would do is known from its plan alone. Here stands what holds on every cloud: a server cannot move, a
//! size is the cloud's to change or to replace, counts add and remove, and user data reaches new servers only, because
//! modules keep it under `ignore_changes`.

use crate::Request;
use serde::Serialize;
use utoipa::ToSchema;

/// What would happen to servers that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// They are replaced.
    Replaces,
    /// The cloud may change them where they are or replace them; the plan says which.
    MayReplace,
    /// Some are removed.
    Removes,
    /// Others are added; those that are there stay.
    Adds,
    /// They stay as they are.
    Keeps,
}

/// One consequence and what brings it about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Consequence {
    /// JSON pointer of the key that differs; empty for the rendered files.
    pub pointer: String,
    /// What happens.
    pub effect: Effect,
    /// One sentence for a person.
    pub message: String,
}

/// Whether rendered files differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// Byte for byte the same.
    Same,
    /// At least one differs, or was added or removed.
    Differ,
}

/// The consequences of going from one request to another; `providers` are their provider ids.
pub fn consequences(before: &Request, after: &Request, providers: (&str, &str), files: Files) -> Vec<Consequence> {
    use Effect::{Adds, Keeps, MayReplace, Removes, Replaces};
    let mut all = Vec::new();
    let mut add = |pointer: &str, effect, message: String| {
        all.push(Consequence { pointer: pointer.to_owned(), effect, message });
    };
    if providers.0 != providers.1 {
        let (from, to) = providers;
        let text = format!("{from} cannot become {to}: every server would be made anew on the other cloud");
        add("/regions/0/provider", Replaces, text);
    } else if before.region != after.region {
        let text = format!("a server cannot move from {} to {}: every server is replaced", before.region, after.region);
        add("/region", Replaces, text);
    }
    if before.control_plane_size != after.control_plane_size {
        let (from, to) = (&before.control_plane_size, &after.control_plane_size);
        let text = format!("from {from} to {to}: the cloud resizes or replaces the control-plane servers");
        add("/controlPlaneSize", MayReplace, text);
    }
    if before.worker_size != after.worker_size && before.worker_count.min(after.worker_count) > 0 {
        let (from, to) = (&before.worker_size, &after.worker_size);
        add("/workerSize", MayReplace, format!("from {from} to {to}: the cloud resizes or replaces the workers"));
    }
    match after.worker_count - before.worker_count {
        0 => {}
        more @ 1.. => add("/workerCount", Adds, format!("workers: {more} more")),
        fewer => add("/workerCount", Removes, format!("workers: {} fewer", fewer.unsigned_abs())),
    }
    match (before.ha_enabled, after.ha_enabled) {
        (false, true) => add("/haEnabled", Adds, "control-plane servers join the first one".to_owned()),
        (true, false) => add("/haEnabled", Removes, "all control-plane servers but the first are removed".to_owned()),
        _ => {}
    }
    if before.sovereign_fqdn != after.sovereign_fqdn {
        let text = "resources are named after the FQDN: another one may rename or replace them";
        add("/sovereignFQDN", MayReplace, text.to_owned());
    }
    if files == Files::Differ {
        let text = "files differ: user data is under ignore_changes, so a server that is there keeps what it booted with, \
                    and only servers made from now on get the new one";
        add("", Keeps, text.to_owned());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::RegionSlot;

    fn request() -> Request {
        Request {
            sovereign_fqdn: "a.example".into(),
            region: "r1".into(),
            control_plane_size: "m".into(),
            worker_size: "s".into(),
            worker_count: 2,
            regions: vec![RegionSlot::default()],
            ..Request::default()
        }
    }

    fn check(change: impl Fn(&mut Request), expect: &[(&str, Effect)]) {
        let mut after = request();
        change(&mut after);
        let got = consequences(&request(), &after, ("x", "x"), Files::Same);
        let got: Vec<(&str, Effect)> = got.iter().map(|c| (c.pointer.as_str(), c.effect)).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn only_what_is_known_is_said() {
        check(|_| {}, &[]);
        check(|r| r.org_name = "B".into(), &[]);
        check(|r| r.region = "r2".into(), &[("/region", Effect::Replaces)]);
        check(|r| r.control_plane_size = "l".into(), &[("/controlPlaneSize", Effect::MayReplace)]);
        check(|r| r.worker_count = 5, &[("/workerCount", Effect::Adds)]);
        check(|r| r.worker_count = 1, &[("/workerCount", Effect::Removes)]);
        check(|r| r.ha_enabled = true, &[("/haEnabled", Effect::Adds)]);
        // With no worker left there is none to resize.
        check(|r| (r.worker_size, r.worker_count) = ("l".into(), 0), &[("/workerCount", Effect::Removes)]);
        let moved = consequences(&request(), &request(), ("x", "y"), Files::Differ);
        assert_eq!(moved[0].effect, Effect::Replaces);
        assert!(moved[1].effect == Effect::Keeps && moved[1].message.contains("ignore_changes"));
    }
}
