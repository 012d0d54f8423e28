//! One component over time: what its release said in a row comes to one state, and some of its changes to an entry.
//!
//! Pure: time comes in as the span since the watch began. helm-controller sets `Ready` to `Unknown` whenever it looks at a
//! release again, for a moment, every 30 s where a release waits for others. Such a blink is neither a state nor progress.

use super::conditions::Conditions;
use super::fault::{Cause, cause};
use super::flux_object::{FluxKind, ObjectRef};
use super::flux_state::{FluxState, Patience};
use super::release::Release;
use super::state::{Activity, ComponentState, Motion, Reading, View, Wait, derive};
use catalyst_domain::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long `Ready` may be `Unknown` before that counts as work. The checks behind a blink take a second or two.
const BLINK: Duration = Duration::from_secs(60);

/// How long a state that was told before must last to be told again, and the most that this may grow to.
const LINGER: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(15 * 60));

/// How often an attempt and an outcome are told at once. A release of the kit has four attempts.
const AT_ONCE: u32 = 4;

/// A component as it was seen last.
#[derive(Debug)]
pub(super) struct Component {
    pub(super) namespace: String,
    pub(super) chart_version: Option<String>,
    /// As it is shown and judged.
    pub(super) view: View,
    /// Whether the view is a blink of what is installed.
    is_blink: bool,
    reading: Reading,
    depends_on: BTreeSet<String>,
    /// Releases that it last said it waits for.
    named: BTreeSet<String>,
    sources: Vec<ObjectRef>,
    waiting: Option<Waiting>,
    unknown_since: Option<Duration>,
    was_installed: bool,
    /// The outcome that Flux does nothing about, while it only checks the release again.
    gave_up: Option<View>,
    state_since: Duration,
    /// What it was last, blinks left out.
    last_move: Option<(ComponentState, Motion, String)>,
    entries: Entries,
}

/// A wait that goes on, blinks included.
#[derive(Debug)]
struct Waiting {
    is_for_source: bool,
    view: View,
    since: Duration,
    /// How long it lasted before it was seen, by the cluster's own clock.
    before: Duration,
    /// Since when the message tells of refused credentials.
    refused_since: Option<Duration>,
}

/// What was told of a component.
#[derive(Debug, Default)]
struct Entries {
    last: Option<ComponentState>,
    count: BTreeMap<ComponentState, u32>,
}

impl Component {
    /// A component that is seen for the first time. `cluster_now` is the newest time that the cluster has told.
    pub(super) fn new(release: &Release, cluster_now: Option<Timestamp>, now: Duration) -> Self {
        let reading = derive(release);
        let view = derive(&Release::default()).view;
        let mut component = Self {
            namespace: String::new(),
            chart_version: None,
            view,
            is_blink: false,
            reading,
            depends_on: BTreeSet::new(),
            named: BTreeSet::new(),
            sources: Vec::new(),
            waiting: None,
            unknown_since: None,
            was_installed: false,
            gave_up: None,
            state_since: now,
            last_move: None,
            entries: Entries::default(),
        };
        component.observe(release, cluster_now, now);
        component
    }

    /// Takes in what the release says now. [`Component::refresh`] makes the view of it.
    pub(super) fn observe(&mut self, release: &Release, cluster_now: Option<Timestamp>, now: Duration) {
        self.namespace.clone_from(&release.namespace);
        self.chart_version.clone_from(&release.chart_version);
        self.depends_on.clone_from(&release.depends_on);
        self.sources.clone_from(&release.sources);
        self.reading = derive(release);
        match (&self.reading.wait, self.reading.activity) {
            (Some(wait), _) => {
                let wait = wait.clone();
                self.wait_goes_on(&wait, age(&release.conditions, cluster_now), now);
                self.unknown_since = None;
            }
            (None, Activity::Prerequisites) => {
                self.unknown_since.get_or_insert(now);
            }
            (None, Activity::Helm) => {
                self.unknown_since.get_or_insert(now);
                // It has the chart.
                self.waiting.take_if(|waiting| waiting.is_for_source);
            }
            (None, Activity::Idle) => {
                self.waiting = None;
                self.unknown_since = None;
                self.named.clear();
            }
        }
        if self.reading.activity != Activity::Prerequisites {
            self.was_installed = self.is_installed();
            self.gave_up =
                (self.reading.wait.is_none() && is_given_up(&self.reading.view)).then(|| self.reading.view.clone());
        }
    }

    fn wait_goes_on(&mut self, wait: &Wait, age: Duration, now: Duration) {
        let view = self.reading.view.clone();
        let is_for_source = *wait == Wait::Source;
        self.named = match wait {
            Wait::Dependency(names) => names.clone(),
            Wait::Source => BTreeSet::new(),
        };
        let old = self.waiting.take().filter(|old| old.is_for_source == is_for_source);
        let is_refused = is_for_source && cause(FluxKind::HelmChart, &view.reason, &view.message) == Cause::Refused;
        let refused_since = is_refused.then(|| old.as_ref().and_then(|old| old.refused_since).unwrap_or(now));
        let (since, before) = old.map_or((now, age), |old| (old.since, old.before));
        self.waiting = Some(Waiting { is_for_source, view, since, before, refused_since });
    }

    /// Names of the releases that must be ready before it, as far as it or its spec tells.
    pub(super) fn blockers(&self) -> impl Iterator<Item = &String> {
        self.depends_on.union(&self.named)
    }

    /// Whether it said last that it waits for another release, and for none that can be named.
    pub(super) fn waits_for_unnamed(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| !waiting.is_for_source) && self.blockers().next().is_none()
    }

    /// Whether the release itself says that it is installed.
    pub(super) fn is_installed(&self) -> bool {
        self.reading.view.state == ComponentState::Installed
    }

    /// Makes the view of what is known by now. `missing` are those of its blockers that are not installed, as far as they are
    /// seen; `unseen` is whether there are others.
    pub(super) fn refresh(
        &mut self,
        now: Duration,
        missing: &[&str],
        unseen: bool,
        flux: &FluxState,
        patience: Patience,
    ) {
        let is_unknown = self.reading.activity != Activity::Idle;
        let blinks = self.unknown_since.is_some_and(|since| now.saturating_sub(since) < BLINK);
        self.is_blink = self.was_installed && is_unknown && blinks;
        let view = match (&self.waiting, &self.gave_up) {
            (Some(waiting), _) if waiting.is_for_source && (!is_unknown || blinks) => {
                self.view_of_source(waiting, now, flux, patience)
            }
            (Some(waiting), _)
                if !waiting.is_for_source && is_unknown && (!missing.is_empty() || (unseen && blinks)) =>
            {
                waiting.view.clone()
            }
            (None, Some(outcome)) if is_unknown && blinks => outcome.clone(),
            (None, None) if is_unknown && !missing.is_empty() && self.view.state == ComponentState::Pending => View {
                state: ComponentState::Pending,
                motion: Motion::Still,
                reason: "DependencyNotReady".to_owned(),
                message: format!("Waiting for {}.", missing.join(", ")),
            },
            (None, None) if self.is_blink => View { motion: Motion::Still, ..self.reading.view.clone() },
            _ => self.reading.view.clone(),
        };
        if view.state != self.view.state {
            self.state_since = now;
        }
        self.view = view;
    }

    /// Whether its view is another one since this was asked last. A blink is none.
    pub(super) fn has_moved(&mut self) -> bool {
        let now = (self.view.state, self.view.motion, self.view.reason.clone());
        if self.is_blink || self.last_move.as_ref() == Some(&now) {
            return false;
        }
        self.last_move = Some(now);
        true
    }

    /// A wait for the chart is work of Flux for some minutes, and trouble after that.
    fn view_of_source(&self, waiting: &Waiting, now: Duration, flux: &FluxState, patience: Patience) -> View {
        let mut view = waiting.view.clone();
        let message = view.message.trim_end_matches('.');
        if let Some(found) = flux.explain(&self.sources).filter(|found| !message.contains(found.message)) {
            view.message = format!("{message}; {}", found.text);
        }
        let lasts = now.saturating_sub(waiting.since).saturating_add(waiting.before);
        if lasts >= patience.source {
            let message = view.message.trim_end_matches('.');
            view.message = super::shorten(
                &format!("{message}. This lasts for more than {}.", span(patience.source)),
                super::MAX_TEXT,
            );
            view.state = ComponentState::Degraded;
            view.motion = Motion::Still;
        }
        view
    }

    /// How long its source has refused the credentials, as it was seen here, where that is why it waits.
    pub(super) fn refused_for(&self, now: Duration, flux: &FluxState) -> Option<Duration> {
        let waiting = self.waiting.as_ref().filter(|waiting| waiting.is_for_source)?;
        let of_object = flux.explain(&self.sources).filter(|found| found.cause == Cause::Refused);
        let since =
            [waiting.refused_since, of_object.and_then(|found| found.refused_since)].into_iter().flatten().min()?;
        Some(now.saturating_sub(since))
    }

    /// When its state is to be told; `None` where it is told.
    pub(super) fn due(&self) -> Option<Duration> {
        if self.is_blink || !self.is_untold() {
            return None;
        }
        let state = self.view.state;
        let count = self.entries.count.get(&state).copied().unwrap_or(0);
        let at_once = match state {
            // An attempt that Helm makes is no blink.
            ComponentState::Installing if self.reading.activity == Activity::Helm => AT_ONCE,
            ComponentState::Pending | ComponentState::Installing => 1,
            ComponentState::Installed | ComponentState::Degraded | ComponentState::Failed => AT_ONCE,
        };
        let Some(doublings) = count.checked_sub(at_once) else { return Some(self.state_since) };
        let linger = LINGER.0.saturating_mul(2_u32.saturating_pow(doublings.min(8))).min(LINGER.1);
        Some(self.state_since.saturating_add(linger))
    }

    /// Whether the last entry tells another state.
    pub(super) fn is_untold(&self) -> bool {
        self.entries.last != Some(self.view.state)
    }

    /// Its state is told.
    pub(super) fn mark_told(&mut self) {
        self.entries.last = Some(self.view.state);
        let count = self.entries.count.entry(self.view.state).or_default();
        *count = count.saturating_add(1);
    }

    /// When its view or its entry changes next, without any news.
    pub(super) fn next(&self, now: Duration, patience: Patience) -> Option<Duration> {
        let blink = self.unknown_since.map(|since| since.saturating_add(BLINK));
        let trouble = self
            .waiting
            .as_ref()
            .filter(|waiting| waiting.is_for_source)
            .map(|waiting| waiting.since.saturating_add(patience.source.saturating_sub(waiting.before)));
        let refused = self.waiting.as_ref().and_then(|waiting| waiting.refused_since);
        let refused = refused.map(|since| since.saturating_add(patience.refusal));
        [blink, trouble, refused, self.due()].into_iter().flatten().filter(|at| *at > now).min()
    }
}

/// Whether something is wrong that Flux does not work on.
fn is_given_up(view: &View) -> bool {
    view.motion == Motion::Still && matches!(view.state, ComponentState::Failed | ComponentState::Degraded)
}

/// How old the release's word is, by the cluster's clock alone: the host's may differ.
fn age(conditions: &Conditions, cluster_now: Option<Timestamp>) -> Duration {
    let since = conditions.get("Ready").and_then(|ready| ready.since);
    let age = cluster_now.zip(since).and_then(|(now, since)| Duration::try_from(now.duration_since(since)).ok());
    age.unwrap_or_default()
}

/// Whole minutes, or seconds below one.
pub(super) fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} minutes", seconds / 60),
    }
}

#[cfg(test)]
#[path = "component_tests.rs"]
mod tests;
