//! Which releases a cluster is expected to have, from the inventory of Flux's `bootstrap-kit` Kustomization.
//!
//! Pure. The inventory is what kustomize-controller applied last, so it is the cluster's own word for "all of them".

use super::object::Shape;
use super::{NAMESPACE, PREFIX};
use serde_json::Value;
use std::collections::BTreeSet;

/// The Kustomization that holds the bootstrap kit.
pub(super) const KUSTOMIZATION: &str = "bootstrap-kit";

/// Inventory entries that are kept. A kit has dozens; Flux itself stays below a few thousand because the inventory
/// lives in one object.
const MAX_ENTRIES: usize = 10_000;

/// What is kept of an inventory: the entries that name releases. Each Kustomization has one, some of them thousands of entries, so all
/// entries of all of them would be more than is kept of one answer.
pub(super) const INVENTORY: (&str, Shape) = (
    "inventory",
    Shape::Keys(&[("entries", Shape::EachThat(MAX_ENTRIES, &Shape::Keys(&[("id", Shape::Plain)]), names_release))]),
);

fn names_release(entry: &Value) -> bool {
    entry["id"].as_str().and_then(release_name).is_some()
}

/// What the cluster tells about the expected releases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Inventory {
    /// Not asked, or the answer did not come: nothing may be concluded.
    #[default]
    Unknown,
    /// The cluster has no such Kustomization, or may not tell.
    Absent,
    /// The Kustomization is there and has not applied anything yet.
    Coming,
    /// Names of the releases.
    Known(BTreeSet<String>),
}

/// Reads the inventory of the Kustomization's object.
pub(super) fn read(body: &Value) -> Inventory {
    let Some(entries) = body.pointer("/status/inventory/entries").and_then(Value::as_array) else {
        return Inventory::Coming;
    };
    let names: BTreeSet<String> = entries
        .iter()
        .take(MAX_ENTRIES)
        .filter_map(|entry| release_name(entry.get("id")?.as_str()?))
        .map(str::to_owned)
        .collect();
    // Applied, but without releases of ours: it does not say what to expect.
    if names.is_empty() { Inventory::Absent } else { Inventory::Known(names) }
}

/// The release in `<namespace>_<name>_<group>_<kind>`.
fn release_name(id: &str) -> Option<&str> {
    let rest = id.strip_suffix("_helm.toolkit.fluxcd.io_HelmRelease")?;
    let (namespace, name) = rest.split_once('_')?;
    (namespace == NAMESPACE && name.starts_with(PREFIX) && name.len() > PREFIX.len()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn c1_the_inventory_names_the_releases() {
        let ids = [
            "flux-system_bp-cilium_helm.toolkit.fluxcd.io_HelmRelease",
            "flux-system_bp-flux_helm.toolkit.fluxcd.io_HelmRelease",
            "flux-system_bp-cilium_source.toolkit.fluxcd.io_HelmRepository",
            "other_bp-foreign_helm.toolkit.fluxcd.io_HelmRelease",
            "flux-system_podinfo_helm.toolkit.fluxcd.io_HelmRelease",
            "flux-system_bp-_helm.toolkit.fluxcd.io_HelmRelease",
            "_flux-system__Namespace",
            "",
        ];
        let entries: Vec<Value> = ids.iter().map(|id| json!({"id": id, "v": "v2"})).collect();
        let body = json!({"status": {"inventory": {"entries": entries}}});
        assert_eq!(read(&body), Inventory::Known(BTreeSet::from(["bp-cilium".to_owned(), "bp-flux".to_owned()])));
    }

    #[test]
    fn the_inventories_of_many_kustomizations_fit_into_one_answer() {
        use super::super::object::{Room, read as read_object};
        const ALL: Shape = Shape::Each(usize::MAX, &Shape::Keys(&[("status", Shape::Keys(&[INVENTORY]))]));
        let kit = json!({"id": "flux-system_bp-cilium_helm.toolkit.fluxcd.io_HelmRelease", "v": "v2"});
        let mut entries = vec![json!({"id": "shop_web_apps_Deployment", "v": "v1"}); 1_000];
        entries.push(kit);
        let all = vec![json!({"status": {"inventory": {"entries": entries}}}); 100];
        let room = Room::new();
        let kept = read_object(json!(all).to_string().as_bytes(), &ALL, &room).unwrap();
        assert!(!room.is_short());
        for kustomization in kept.as_array().unwrap() {
            assert_eq!(read(kustomization), Inventory::Known(BTreeSet::from(["bp-cilium".to_owned()])));
        }
        let foreign = json!([{"status": {"inventory": {"entries": [{"id": "shop_web_apps_Deployment"}]}}}]);
        let kept = read_object(foreign.to_string().as_bytes(), &ALL, &Room::new()).unwrap();
        assert_eq!(read(&kept[0]), Inventory::Absent, "applied, and none of ours");
    }

    #[test]
    fn no_inventory_is_not_an_empty_one() {
        for body in [json!({}), json!({"status": {}}), json!({"status": {"inventory": null}})] {
            assert_eq!(read(&body), Inventory::Coming);
        }
        for entries in [json!([]), json!([{"id": 7}, {}, 3])] {
            assert_eq!(read(&json!({"status": {"inventory": {"entries": entries}}})), Inventory::Absent);
        }
    }
}
