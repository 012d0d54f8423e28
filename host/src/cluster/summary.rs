//! What failed, and what is missing, as one sentence for the end of a watch.

use super::inventory::Inventory;
use super::judge::{WatchState, id};
use super::shorten;
use super::state::ComponentState;

/// Names that a sentence lists before it only counts.
const MAX_NAMED: usize = 20;

/// A message inside a sentence, in bytes; the whole message stands in the component's own entry.
pub(super) const MAX_CAUSE: usize = 240;

impl WatchState {
    /// `<n> failed component(s): <id> (<reason>), …`; `None` where none failed.
    pub(super) fn failures(&self) -> Option<String> {
        let failed: Vec<String> = self
            .relevant()
            .filter(|(_, seen)| seen.view.state == ComponentState::Failed)
            .map(|(name, seen)| {
                let reason = if seen.view.reason.is_empty() { "no reason given" } else { &seen.view.reason };
                format!("{} ({reason})", id(name))
            })
            .collect();
        (!failed.is_empty()).then(|| format!("{} failed component(s): {}", failed.len(), enumerate(&failed)))
    }

    /// What is missing, for when the time is up.
    pub(super) fn shortfall(&self) -> String {
        let mut parts: Vec<String> = self.failures().into_iter().collect();
        if self.components.is_empty() {
            parts.push("the cluster showed no component".to_owned());
        } else {
            parts.push(self.tally());
        }
        let lacking = self.lacking();
        if !lacking.is_empty() {
            parts.push(format!("not installed: {}", enumerate(&lacking)));
        }
        let faults = self.flux.faults();
        if faults.is_empty() && self.inventory == Inventory::Coming {
            parts.push("Flux has not applied the bootstrap kit".to_owned());
        }
        parts.extend(faults);
        parts.join("; ")
    }

    fn tally(&self) -> String {
        let installed = self.relevant().filter(|(_, s)| s.view.state == ComponentState::Installed).count();
        match (&self.inventory, self.count) {
            (Inventory::Known(names), _) => format!("{installed} of {} expected components installed", names.len()),
            (_, Some(count)) => format!("{installed} of {count} expected components installed"),
            _ => format!("{installed} of {} components installed", self.components.len()),
        }
    }

    fn lacking(&self) -> Vec<String> {
        let waiting = self
            .relevant()
            .filter(|(_, s)| !matches!(s.view.state, ComponentState::Installed | ComponentState::Failed))
            .map(|(name, s)| format!("{} ({}: {})", id(name), s.view.state, shorten(&s.view.message, MAX_CAUSE)));
        let missing = self.missing().into_iter().map(|name| format!("{} (not in the cluster)", id(name)));
        waiting.chain(missing).collect()
    }
}

fn enumerate(names: &[String]) -> String {
    let shown = names.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
