//! What has been seen so far, and whether that ends the watch.
//!
//! Pure: time comes in as the span since the watch began. Three rules hold it together (STATE.md, "When the watch
//! ends"): nothing is judged before the list is complete and while the cluster is out of sight; `ready` at once needs a
//! known expected set; everything else needs a quiet time.

use super::PREFIX;
use super::inventory::Inventory;
use super::release::Release;
use super::state::{ComponentState, Motion, View, derive};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Components that are watched. Far above any kit; a cluster that makes up releases must not fill the record.
const MAX_COMPONENTS: usize = 1000;

/// A cut connection that is back within this time has hidden nothing that matters. Proxies cut idle streams every half
/// minute; if each cut began the quiet time anew, it would never pass.
const BLINK: Duration = Duration::from_secs(5);

/// Names that a sentence lists before it only counts.
const MAX_NAMED: usize = 20;

/// A message inside a sentence, in bytes; the whole message stands in the component's own entry.
const MAX_CAUSE: usize = 240;

/// A component as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) namespace: String,
    pub(super) chart_version: Option<String>,
    pub(super) view: View,
}

/// What viewers have to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// First seen, or in a new state: the release's name.
    State(String),
    /// Gone from the cluster: the release's name.
    Removed(String),
}

/// Whether the watch goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not yet; without any news, look again at that time.
    Wait(Option<Duration>),
    Ready,
    Failed(String),
}

/// Whether the cluster is in sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// No complete list yet.
    Never,
    /// What is held is what the cluster has.
    Clear,
    /// It was seen once and does not answer since then.
    Lost(Duration),
}

/// Everything that was seen.
#[derive(Debug)]
pub(super) struct Board {
    components: BTreeMap<String, Seen>,
    inventory: Inventory,
    /// Why the Kustomization is not ready, in Flux's words.
    kit_fault: Option<String>,
    count: Option<usize>,
    settle: Duration,
    sight: Sight,
    quiet_since: Duration,
}

impl Board {
    /// Nothing seen yet. `count` is the number of expected releases where no inventory tells.
    pub(super) fn new(count: Option<usize>, settle: Duration) -> Self {
        Self {
            components: BTreeMap::new(),
            inventory: Inventory::Unknown,
            kit_fault: None,
            count,
            settle,
            sight: Sight::Never,
            quiet_since: Duration::ZERO,
        }
    }

    /// Takes a complete list: what it lacks is gone.
    pub(super) fn list(&mut self, releases: &[Release], now: Duration) -> Vec<Change> {
        match self.sight {
            Sight::Clear => {}
            Sight::Lost(since) if now.saturating_sub(since) <= BLINK => {}
            Sight::Lost(_) | Sight::Never => self.quiet_since = now,
        }
        self.sight = Sight::Clear;
        let listed: BTreeSet<&str> = releases.iter().map(|r| r.name.as_str()).collect();
        let gone: Vec<String> = self.components.keys().filter(|n| !listed.contains(n.as_str())).cloned().collect();
        let mut changes: Vec<Change> = gone.iter().filter_map(|name| self.remove(name, now)).collect();
        changes.extend(releases.iter().filter_map(|release| self.update(release, now)));
        changes
    }

    /// Takes one release. Tells a change of its state only.
    pub(super) fn update(&mut self, release: &Release, now: Duration) -> Option<Change> {
        let is_component = release.name.strip_prefix(PREFIX).is_some_and(|id| !id.is_empty());
        let known = self.components.get(&release.name);
        if !is_component || (known.is_none() && self.components.len() >= MAX_COMPONENTS) {
            return None;
        }
        let view = derive(release);
        let moved = known
            .is_none_or(|k| (k.view.state, k.view.motion, &k.view.reason) != (view.state, view.motion, &view.reason));
        let told = known.is_some_and(|k| k.view.state == view.state);
        if moved {
            self.quiet_since = now;
        }
        let (namespace, chart_version) = (release.namespace.clone(), release.chart_version.clone());
        self.components.insert(release.name.clone(), Seen { namespace, chart_version, view });
        (!told).then(|| Change::State(release.name.clone()))
    }

    /// Forgets a release that was deleted.
    pub(super) fn remove(&mut self, name: &str, now: Duration) -> Option<Change> {
        self.components.remove(name)?;
        self.quiet_since = now;
        Some(Change::Removed(name.to_owned()))
    }

    /// Takes what the cluster says it should have, and why its Kustomization is not ready, if it says so. Gives a
    /// sentence when the expected set is new.
    pub(super) fn expect(&mut self, inventory: Inventory, kit_fault: Option<String>, now: Duration) -> Option<String> {
        self.kit_fault = kit_fault;
        if self.inventory == inventory {
            return None;
        }
        self.quiet_since = now;
        self.inventory = inventory;
        match &self.inventory {
            Inventory::Known(names) => Some(format!("The cluster's inventory names {} components.", names.len())),
            Inventory::Unknown | Inventory::Absent | Inventory::Coming => None,
        }
    }

    /// The cluster does not answer any more: what is held may be old.
    pub(super) fn lose_sight(&mut self, now: Duration) {
        if self.sight == Sight::Clear {
            self.sight = Sight::Lost(now);
        }
    }

    /// Whether a complete list was ever seen.
    pub(super) fn has_seen(&self) -> bool {
        self.sight != Sight::Never
    }

    /// A component by its release's name.
    pub(super) fn get(&self, name: &str) -> Option<&Seen> {
        self.components.get(name)
    }

    /// Component id → state.
    pub(super) fn states(&self) -> BTreeMap<String, String> {
        self.components.iter().map(|(name, seen)| (id(name).to_owned(), seen.view.state.to_string())).collect()
    }

    /// Whether what is seen ends the watch.
    pub(super) fn judge(&self, now: Duration) -> Verdict {
        if self.sight != Sight::Clear || self.components.is_empty() {
            return Verdict::Wait(None);
        }
        if self.expectation_met() {
            return Verdict::Ready;
        }
        let all_installed = self.inventory == Inventory::Absent && self.count.is_none() && self.all_seen_installed();
        let failed = self.relevant().any(|(_, seen)| seen.view.state == ComponentState::Failed);
        let moving = self
            .relevant()
            .any(|(_, seen)| seen.view.state == ComponentState::Installing || seen.view.motion == Motion::Moving);
        if !all_installed && (!failed || moving) {
            return Verdict::Wait(None);
        }
        let settled = self.quiet_since.saturating_add(self.settle);
        if now < settled {
            Verdict::Wait(Some(settled))
        } else if all_installed {
            Verdict::Ready
        } else {
            Verdict::Failed(self.failures().unwrap_or_default())
        }
    }

    fn expectation_met(&self) -> bool {
        match (&self.inventory, self.count) {
            (Inventory::Known(names), _) => {
                names.iter().all(|n| self.components.get(n).is_some_and(|s| s.view.state == ComponentState::Installed))
            }
            (Inventory::Absent | Inventory::Coming, Some(count)) => {
                self.components.len() >= count && self.all_seen_installed()
            }
            _ => false,
        }
    }

    fn all_seen_installed(&self) -> bool {
        !self.components.is_empty() && self.components.values().all(|s| s.view.state == ComponentState::Installed)
    }

    /// Where the expected ones are known, others are shown but not judged.
    fn relevant(&self) -> impl Iterator<Item = (&String, &Seen)> {
        self.components.iter().filter(|(name, _)| match &self.inventory {
            Inventory::Known(names) => names.contains(*name),
            _ => true,
        })
    }

    fn failures(&self) -> Option<String> {
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
        if let Some(fault) = &self.kit_fault {
            parts.push(format!("Flux says of the bootstrap kit: {}", super::shorten(fault, MAX_CAUSE)));
        } else if self.inventory == Inventory::Coming {
            parts.push("Flux has not applied the bootstrap kit".to_owned());
        }
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
            .map(|(name, s)| {
                format!("{} ({}: {})", id(name), s.view.state, super::shorten(&s.view.message, MAX_CAUSE))
            });
        let missing = match &self.inventory {
            Inventory::Known(names) => names.iter().filter(|n| !self.components.contains_key(*n)).collect(),
            _ => Vec::new(),
        };
        waiting.chain(missing.into_iter().map(|name| format!("{} (not in the cluster)", id(name)))).collect()
    }
}

/// The component's id.
pub(super) fn id(release: &str) -> &str {
    release.strip_prefix(PREFIX).unwrap_or(release)
}

fn enumerate(names: &[String]) -> String {
    let shown = names.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
