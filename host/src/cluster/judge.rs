//! What has been seen so far, and whether that ends the watch.
//!
//! Pure: time comes in as the span since the watch began. Four rules hold it together: nothing is judged before the list is
//! complete and while the cluster is out of sight; `ready` at once needs a known expected set; everything else needs a quiet
//! time; and what waits for a release that failed for good is no sign that anything goes on.

use super::component::{Component, span};
use super::flux_object::{FluxKind, FluxObject};
use super::flux_state::{FluxState, Patience};
use super::inventory::Inventory;
use super::release::Release;
use super::state::{ComponentState, Motion};
use super::{PREFIX, Remark};
use catalyst_domain::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Components that are watched. Far above any kit; a cluster that makes up releases must not fill the record.
const MAX_COMPONENTS: usize = 1000;

/// A cut connection that is back within this time has hidden nothing that matters. Proxies cut idle streams every half
/// minute; if each cut began the quiet time anew, it would never pass.
const BLINK: Duration = Duration::from_secs(5);

/// What viewers have to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// First seen, or in a new state: the release's name.
    State(String),
    /// Gone from the cluster: the release's name.
    Removed(String),
    /// About something else than a component.
    Remark(Remark),
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
pub(super) struct WatchState {
    pub(super) components: BTreeMap<String, Component>,
    pub(super) inventory: Inventory,
    pub(super) flux: FluxState,
    pub(super) count: Option<usize>,
    patience: Patience,
    sight: Sight,
    quiet_since: Duration,
    /// What waits for a release that failed for good.
    blocked: BTreeSet<String>,
    /// The newest time that the cluster told.
    cluster_now: Option<Timestamp>,
}

impl WatchState {
    /// Nothing seen yet. `count` is the number of expected releases where no inventory tells.
    pub(super) fn new(count: Option<usize>, patience: Patience) -> Self {
        Self {
            components: BTreeMap::new(),
            inventory: Inventory::Unknown,
            flux: FluxState::new(patience),
            count,
            patience,
            sight: Sight::Never,
            quiet_since: Duration::ZERO,
            blocked: BTreeSet::new(),
            cluster_now: None,
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
        let mut changes: Vec<Change> = gone.iter().filter_map(|name| self.forget(name, now)).collect();
        for release in releases {
            self.observe(release, now);
        }
        changes.extend(self.refresh(now));
        changes
    }

    /// Takes one release.
    pub(super) fn update(&mut self, release: &Release, now: Duration) -> Vec<Change> {
        self.observe(release, now);
        self.refresh(now)
    }

    /// Forgets a release that was deleted.
    pub(super) fn remove(&mut self, name: &str, now: Duration) -> Vec<Change> {
        let mut changes: Vec<Change> = self.forget(name, now).into_iter().collect();
        changes.extend(self.refresh(now));
        changes
    }

    fn forget(&mut self, name: &str, now: Duration) -> Option<Change> {
        self.components.remove(name)?;
        self.quiet_since = now;
        Some(Change::Removed(name.to_owned()))
    }

    fn observe(&mut self, release: &Release, now: Duration) {
        let is_component = release.name.strip_prefix(PREFIX).is_some_and(|id| !id.is_empty());
        if let Some(known) = self.components.get_mut(&release.name) {
            known.observe(release, self.cluster_now, now);
        } else if is_component && self.components.len() < MAX_COMPONENTS {
            self.components.insert(release.name.clone(), Component::new(release, self.cluster_now, now));
        }
    }

    /// Takes a complete list of another kind of Flux.
    pub(super) fn list_objects(&mut self, kind: FluxKind, objects: Vec<FluxObject>, now: Duration) -> Vec<Change> {
        self.flux.list(kind, objects, now);
        self.refresh(now)
    }

    /// Takes one object of such a kind.
    pub(super) fn update_object(&mut self, object: FluxObject, now: Duration) -> Vec<Change> {
        self.flux.update(object, now);
        self.refresh(now)
    }

    /// Takes a time of the cluster's clock; only the newest counts.
    pub(super) fn note_time(&mut self, time: Option<Timestamp>) {
        self.cluster_now = self.cluster_now.max(time);
    }

    /// Takes what the cluster says it should have. Gives a sentence when the expected set is new.
    pub(super) fn set_inventory(&mut self, inventory: Inventory, now: Duration) -> Option<String> {
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
    pub(super) fn get(&self, name: &str) -> Option<&Component> {
        self.components.get(name)
    }

    /// Component id → state.
    pub(super) fn states(&self) -> BTreeMap<String, String> {
        self.components.iter().map(|(name, seen)| (id(name).to_owned(), seen.view.state.to_string())).collect()
    }

    /// Works out what follows from all that is known by now, and gives what has to be told.
    pub(super) fn refresh(&mut self, now: Duration) -> Vec<Change> {
        let blockers: Vec<(Vec<String>, bool)> = self.components.values().map(|c| self.blockers(c)).collect();
        let mut moved = Vec::new();
        for ((name, component), (missing, unseen)) in self.components.iter_mut().zip(blockers) {
            let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
            component.refresh(now, &missing, unseen, &self.flux, self.patience);
            if component.has_moved() {
                moved.push(name.clone());
            }
        }
        self.blocked = self.blocked_by(|_, component| is_failed_for_good(component));
        if moved.iter().any(|name| !self.blocked.contains(name)) {
            self.quiet_since = now;
        }
        let mut changes: Vec<Change> = self.flux.remarks(now).into_iter().map(Change::Remark).collect();
        changes.extend(self.told(|component| component.due().is_some_and(|at| at <= now)));
        changes
    }

    /// What was held back so far, for the end of the watch.
    pub(super) fn held_back(&mut self) -> Vec<Change> {
        self.told(Component::is_untold)
    }

    fn told(&mut self, wanted: impl Fn(&Component) -> bool) -> Vec<Change> {
        let due = self.components.iter_mut().filter(|(_, component)| wanted(component));
        due.map(|(name, component)| {
            component.mark_told();
            Change::State(name.clone())
        })
        .collect()
    }

    /// When something follows from what is known, without any news.
    pub(super) fn next(&self, now: Duration) -> Option<Duration> {
        let components = self.components.values().filter_map(|component| component.next(now, self.patience));
        components.chain(self.flux.next(now)).min()
    }

    /// Which of its blockers are not installed, and whether it has others that are not seen.
    fn blockers(&self, component: &Component) -> (Vec<String>, bool) {
        let mut missing = Vec::new();
        let mut unseen = component.waits_for_unnamed();
        for name in component.blockers() {
            match self.components.get(name) {
                Some(blocker) if blocker.is_installed() => {}
                Some(_) => missing.push(name.clone()),
                None if name.starts_with(PREFIX) && self.sight == Sight::Clear => missing.push(name.clone()),
                None => unseen = true,
            }
        }
        (missing, unseen)
    }

    /// What is not installed and waits, by whatever way, for one of these.
    fn blocked_by(&self, is_root: impl Fn(&String, &Component) -> bool) -> BTreeSet<String> {
        let mut dependants: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
        for (name, component) in self.components.iter().filter(|(_, component)| !component.is_installed()) {
            for blocker in component.blockers() {
                dependants.entry(blocker).or_default().push(name);
            }
        }
        let roots: BTreeSet<&String> =
            self.components.iter().filter(|(n, c)| is_root(n, c)).map(|(name, _)| name).collect();
        if roots.is_empty() {
            return BTreeSet::new();
        }
        let unnamed = self.components.iter().filter(|(_, component)| component.waits_for_unnamed());
        let mut blocked: BTreeSet<String> = unnamed.map(|(name, _)| name.clone()).collect();
        let mut open: Vec<&String> = roots.iter().copied().collect();
        open.extend(self.components.keys().filter(|name| blocked.contains(*name)));
        while let Some(blocker) = open.pop() {
            for name in dependants.get(blocker).into_iter().flatten() {
                if !roots.contains(name) && blocked.insert((*name).clone()) {
                    open.push(name);
                }
            }
        }
        blocked
    }

    /// Whether what is seen ends the watch.
    pub(super) fn judge(&self, now: Duration) -> Verdict {
        if self.sight != Sight::Clear {
            return Verdict::Wait(None);
        }
        if self.expectation_met() {
            return Verdict::Ready;
        }
        let all_installed = self.inventory == Inventory::Absent && self.count.is_none() && self.all_seen_installed();
        let failed = self.relevant().any(|(_, seen)| seen.view.state == ComponentState::Failed);
        let moving =
            self.relevant().any(|(name, seen)| seen.view.motion == Motion::Moving && !self.blocked.contains(name));
        if !all_installed && (!failed || moving) {
            let hopeless = if moving { None } else { self.hopeless(now) };
            return hopeless.map_or(Verdict::Wait(None), Verdict::Failed);
        }
        let settled = self.quiet_since.saturating_add(self.patience.settle);
        if now < settled {
            Verdict::Wait(Some(settled))
        } else if all_installed {
            Verdict::Ready
        } else {
            Verdict::Failed(self.failures().unwrap_or_default())
        }
    }

    /// Why nothing will come any more, although no release failed.
    fn hopeless(&self, now: Duration) -> Option<String> {
        let why = self.flux.hopeless(now).or_else(|| self.all_refused(now))?;
        Some(format!(
            "Flux cannot go on by itself: {why} The wait ended before its time for that; once it is corrected, a retry watches \
             the cluster again."
        ))
    }

    /// Where everything that is not installed is refused by its source for long, or waits for what is.
    fn all_refused(&self, now: Duration) -> Option<String> {
        let limit = self.patience.refusal;
        let is_refused = |_: &String, component: &Component| {
            let is_trouble = component.view.state == ComponentState::Degraded;
            is_trouble && component.refused_for(now, &self.flux).is_some_and(|time| time >= limit)
        };
        let blocked = self.blocked_by(is_refused);
        let (mut refused, mut rest) = (Vec::new(), self.missing().len());
        for (name, component) in self.relevant().filter(|(_, seen)| seen.view.state != ComponentState::Installed) {
            if is_refused(name, component) {
                refused.push(component);
            } else if !blocked.contains(name) {
                rest = rest.saturating_add(1);
            }
        }
        let first = refused.first().filter(|_| rest == 0)?;
        let message = super::shorten(&first.view.message, super::summary::MAX_CAUSE);
        let (count, time) = (refused.len(), span(limit));
        Some(format!(
            "the sources of {count} component(s) have refused the cluster for {time}, one of them with: {message}"
        ))
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
    pub(super) fn relevant(&self) -> impl Iterator<Item = (&String, &Component)> {
        self.components.iter().filter(|(name, _)| match &self.inventory {
            Inventory::Known(names) => names.contains(*name),
            _ => true,
        })
    }

    /// Releases that are expected and not in the cluster.
    pub(super) fn missing(&self) -> Vec<&String> {
        match &self.inventory {
            Inventory::Known(names) => names.iter().filter(|n| !self.components.contains_key(*n)).collect(),
            _ => Vec::new(),
        }
    }
}

/// Whether Flux gave up on it.
fn is_failed_for_good(component: &Component) -> bool {
    component.view.state == ComponentState::Failed && component.view.motion == Motion::Still
}

/// The component's id.
pub(super) fn id(release: &str) -> &str {
    release.strip_prefix(PREFIX).unwrap_or(release)
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
