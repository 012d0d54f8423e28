//! How the Kustomizations and sources of a cluster stand, which of their faults are told, and which end a wait early.
//!
//! Pure: time comes in as the span since the watch began. A fault is what stays the same between two tries of a controller,
//! which sets `Ready` to `Unknown` in between and changes numbers and folders in its message.

use super::Remark;
use super::fault::{Cause, cause, comparable};
use super::flux_object::{FluxKind, FluxObject, Health, ObjectRef};
use super::{inventory, shorten};
use catalyst_domain::Level;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Objects that are kept of a kind. Far above any kit; a cluster that makes up objects must not fill the memory.
const MAX_OBJECTS: usize = 1000;

/// A fault of an object that comes again is told at once so often, and then once in this time.
const AT_ONCE: u32 = 3;
const REPEAT: Duration = Duration::from_secs(10 * 60);

/// Entries about one object, and about all: no log gains from more.
const MAX_ENTRIES_OF_ONE: u32 = 30;
const MAX_ENTRIES: u32 = 300;

/// Charts of which the same cause is told. A registry that refuses one chart refuses all of them; each component tells it, too.
const MAX_CHARTS: usize = 5;

/// How long a controller may work on an object before its last fault counts as over.
const WORKS: Duration = Duration::from_secs(120);

/// How long an object may be missing that another names: both are applied together.
const APPLIED_WITHIN: Duration = Duration::from_secs(30);

/// Longest message of a controller in an entry, and inside a sentence, in bytes.
const MAX_MESSAGE: usize = 1000;
const MAX_CAUSE: usize = 240;

/// Faults that a sentence lists.
const MAX_NAMED: usize = 3;

/// How long things may last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Quiet time before anything is final.
    pub(super) settle: Duration,
    /// Wait for a source before it counts as trouble.
    pub(super) source: Duration,
    /// Time after which a refusal counts as one that does not pass by itself.
    pub(super) refusal: Duration,
}

#[derive(Debug)]
struct Fault {
    cause: Cause,
    /// What is the same in each try.
    key: String,
    reason: String,
    message: String,
    is_stalled: bool,
    since: Duration,
    refused_since: Option<Duration>,
    /// Since when the controller works on it again.
    working_since: Option<Duration>,
    is_told: bool,
}

#[derive(Debug)]
struct Tracked {
    object: FluxObject,
    revision_since: Duration,
    fault: Option<Fault>,
    told: Vec<Told>,
}

/// The entries about one fault.
#[derive(Debug)]
struct Told {
    key: String,
    count: u32,
    last: Duration,
}

/// What explains why a release waits for its chart.
pub(super) struct Explanation<'a> {
    pub(super) text: String,
    /// The words of the controller in it.
    pub(super) message: &'a str,
    pub(super) cause: Cause,
    /// Since when credentials are refused, if they are.
    pub(super) refused_since: Option<Duration>,
}

/// All objects that are followed beside the releases.
#[derive(Debug)]
pub(super) struct FluxState {
    tracked: BTreeMap<ObjectRef, Tracked>,
    /// Kinds of which what is held is what the cluster has.
    in_sight: BTreeSet<FluxKind>,
    patience: Patience,
    entries: u32,
    recovered: Vec<ObjectRef>,
}

impl FluxState {
    /// Nothing seen yet.
    pub(super) fn new(patience: Patience) -> Self {
        let (tracked, in_sight) = (BTreeMap::new(), BTreeSet::new());
        Self { tracked, in_sight, patience, entries: 0, recovered: Vec::new() }
    }

    /// Takes a complete list of a kind: what it lacks is gone.
    pub(super) fn list(&mut self, kind: FluxKind, objects: Vec<FluxObject>, now: Duration) {
        self.in_sight.insert(kind);
        let listed: BTreeSet<ObjectRef> = objects.iter().map(FluxObject::reference).collect();
        self.tracked.retain(|reference, _| reference.kind != kind || listed.contains(reference));
        for object in objects {
            self.update(object, now);
        }
    }

    /// Takes one object.
    pub(super) fn update(&mut self, object: FluxObject, now: Duration) {
        let reference = object.reference();
        let Some(tracked) = self.tracked.get_mut(&reference) else {
            if self.tracked.keys().filter(|other| other.kind == reference.kind).count() < MAX_OBJECTS {
                let mut tracked = Tracked { object, revision_since: now, fault: None, told: Vec::new() };
                tracked.observe(now);
                self.tracked.insert(reference, tracked);
            }
            return;
        };
        if tracked.object.revision != object.revision {
            tracked.revision_since = now;
        }
        tracked.object = object;
        if tracked.observe(now) {
            self.recovered.push(reference);
        }
    }

    /// Forgets an object that was deleted.
    pub(super) fn remove(&mut self, kind: FluxKind, name: &str) {
        self.tracked.remove(&ObjectRef { kind, name: name.to_owned() });
    }

    /// Objects of the kind cannot be watched at the moment: what is held may be old.
    pub(super) fn lose_sight(&mut self, kind: FluxKind) {
        self.in_sight.remove(&kind);
    }

    /// The cluster has no such kind, or may not tell.
    pub(super) fn forget(&mut self, kind: FluxKind) {
        self.in_sight.remove(&kind);
        self.tracked.retain(|reference, _| reference.kind != kind);
    }

    /// What is to be told by now.
    pub(super) fn remarks(&mut self, now: Duration) -> Vec<Remark> {
        for tracked in self.tracked.values_mut() {
            let is_over =
                |fault: &mut Fault| fault.working_since.is_some_and(|since| now.saturating_sub(since) >= WORKS);
            tracked.fault.take_if(is_over);
        }
        let mut remarks: Vec<Remark> = std::mem::take(&mut self.recovered)
            .into_iter()
            .map(|reference| Remark { level: Level::Info, message: format!("{reference} is ready again.") })
            .collect();
        let mut charts = self.charts_told();
        let due: Vec<ObjectRef> =
            self.tracked.keys().filter(|r| self.due(r, &charts).is_some_and(|at| at <= now)).cloned().collect();
        for reference in due {
            // One that was told just now may have answered for this one.
            if self.due(&reference, &charts).is_none_or(|at| at > now) {
                continue;
            }
            let text = self.sentence(&reference);
            if let (Some(message), Some(tracked)) = (text, self.tracked.get_mut(&reference)) {
                let cause = tracked.mark_told(now);
                if reference.kind == FluxKind::HelmChart {
                    cause.into_iter().for_each(|cause| *charts.entry(cause).or_default() += 1);
                }
                self.entries = self.entries.saturating_add(1);
                remarks.push(Remark { level: Level::Warn, message });
            }
        }
        remarks
    }

    /// When something is to be told or decided next, without any news.
    pub(super) fn next(&self, now: Duration) -> Option<Duration> {
        let charts = self.charts_told();
        let faults = self.tracked.iter().filter_map(|(reference, tracked)| Some((reference, tracked.fault.as_ref()?)));
        let times = faults.flat_map(|(reference, fault)| {
            let told = self.due(reference, &charts);
            let over = fault.working_since.map(|since| since.saturating_add(WORKS));
            let final_at = Some(self.final_from(fault).saturating_add(self.patience.settle));
            let refused = fault.refused_since.map(|since| since.saturating_add(self.patience.refusal));
            [told, over, final_at, refused]
        });
        times.flatten().filter(|at| *at > now).min()
    }

    /// When the fault of an object is to be told; `None` where it has none, or it is told already or by another one. `charts`
    /// counts the charts whose fault is told, by its cause.
    fn due(&self, reference: &ObjectRef, charts: &BTreeMap<Cause, usize>) -> Option<Duration> {
        let tracked = self.tracked.get(reference)?;
        let fault = tracked.fault.as_ref().filter(|fault| !fault.is_told && fault.working_since.is_none())?;
        let entries_of_one: u32 = tracked.told.iter().map(|told| told.count).sum();
        if self.entries >= MAX_ENTRIES || entries_of_one >= MAX_ENTRIES_OF_ONE {
            return None;
        }
        let grace = match fault.cause {
            Cause::Dependency if *reference == kit() => Duration::ZERO,
            Cause::Dependency if fault.message.contains("not found") => self.patience.source,
            Cause::Dependency => return None,
            Cause::SourceMissing => self.grace_for_source(tracked)?,
            cause if reference.kind == FluxKind::HelmChart && charts.get(&cause).is_some_and(|n| *n >= MAX_CHARTS) => {
                return None;
            }
            _ => Duration::ZERO,
        };
        let told = tracked.told.iter().find(|told| told.key == fault.key && told.count >= AT_ONCE);
        let again = told.map(|told| told.last.saturating_add(REPEAT));
        Some(fault.since.saturating_add(grace).max(again.unwrap_or_default()))
    }

    /// How long an object may wait for its source before that is trouble of its own; `None` where its source tells it.
    fn grace_for_source(&self, tracked: &Tracked) -> Option<Duration> {
        let Some(source) = tracked.object.source.as_ref() else { return Some(self.patience.source) };
        match self.tracked.get(source) {
            Some(found) if found.fault.is_some() => None,
            None if self.in_sight.contains(&source.kind) => Some(APPLIED_WITHIN.min(self.patience.source)),
            _ => Some(self.patience.source),
        }
    }

    fn charts_told(&self) -> BTreeMap<Cause, usize> {
        let charts = self.tracked.iter().filter(|(reference, _)| reference.kind == FluxKind::HelmChart);
        let mut count = BTreeMap::new();
        for fault in charts.filter_map(|(_, chart)| chart.fault.as_ref()).filter(|fault| fault.is_told) {
            *count.entry(fault.cause).or_default() += 1;
        }
        count
    }

    /// `<kind> <name>: <words of Flux> (<reason>). <what to do>`.
    fn sentence(&self, reference: &ObjectRef) -> Option<String> {
        let tracked = self.tracked.get(reference)?;
        let fault = tracked.fault.as_ref()?;
        let source =
            tracked.object.source.as_ref().and_then(|source| self.tracked.get(source)).map(|found| &found.object);
        let remedy = fault.cause.remedy(&tracked.object, source);
        let end = if fault.is_stalled { " Flux does not try again by itself." } else { "" };
        Some(format!("{reference}: {}. {remedy}{end}", fault.words(MAX_MESSAGE)))
    }

    /// What is wrong now with what brings the releases, for when the time is up.
    pub(super) fn faults(&self) -> Vec<String> {
        let kit_source = self.kit_source();
        let faulty = self.tracked.iter().filter_map(|(reference, tracked)| Some((reference, tracked.fault.as_ref()?)));
        faulty
            .filter(|(reference, fault)| {
                fault.is_told && reference.kind != FluxKind::HelmChart
                    || **reference == kit()
                    || Some(*reference) == kit_source
            })
            .take(MAX_NAMED)
            .map(|(reference, fault)| format!("Flux says of {reference}: {}", fault.words(MAX_CAUSE)))
            .collect()
    }

    /// Why Flux cannot bring the kit by itself any more, if that is so. A fault counts while its controller tells it, in a kind
    /// that is in sight.
    pub(super) fn hopeless(&self, now: Duration) -> Option<String> {
        let kit = kit();
        let of_kit = [Some(&kit), self.kit_source()];
        let reference = of_kit.into_iter().flatten().find(|reference| self.is_hopeless(reference, now))?;
        self.sentence(reference)
    }

    fn is_hopeless(&self, reference: &ObjectRef, now: Duration) -> bool {
        let Some(tracked) = self.tracked.get(reference) else { return false };
        let Some(fault) = tracked.fault.as_ref().filter(|fault| fault.working_since.is_none()) else { return false };
        let lasts = |since: Duration, limit: Duration| now.saturating_sub(since) >= limit;
        let refused = fault.refused_since.is_some_and(|since| lasts(since, self.patience.refusal));
        let is_final = fault.is_stalled || self.is_of_a_pinned_source(tracked, fault);
        self.in_sight.contains(&reference.kind)
            && (refused || (is_final && lasts(self.final_from(fault), self.patience.settle)))
    }

    /// What is wrong with files that can never become others.
    fn is_of_a_pinned_source(&self, tracked: &Tracked, fault: &Fault) -> bool {
        let of_the_files = match fault.cause {
            Cause::PathNotFound => true,
            // A substitution, or a decryption, takes more than the files.
            Cause::Build => fault.message.contains("kustomize build failed"),
            _ => false,
        };
        let source = tracked.object.source.as_ref().and_then(|source| self.tracked.get(source));
        of_the_files
            && source.is_some_and(|source| source.object.is_pinned && source.object.health == Health::Ready)
            && tracked.object.source.as_ref().is_some_and(|source| self.in_sight.contains(&source.kind))
    }

    /// A fault speaks of the revision that its controller has; a new one begins the time anew.
    fn final_from(&self, fault: &Fault) -> Duration {
        let source = self.kit_source().and_then(|source| self.tracked.get(source));
        source.map_or(fault.since, |source| fault.since.max(source.revision_since))
    }

    fn kit_source(&self) -> Option<&ObjectRef> {
        self.tracked.get(&kit())?.object.source.as_ref()
    }

    /// What is wrong with the nearest of these that has a fault; one that only waits for another explains least.
    pub(super) fn explain(&self, sources: &[ObjectRef]) -> Option<Explanation<'_>> {
        let found = || sources.iter().filter_map(|source| Some((source, self.tracked.get(source)?.fault.as_ref()?)));
        let (reference, fault) =
            found().find(|(_, fault)| fault.cause != Cause::SourceMissing).or_else(|| found().next())?;
        let text = format!("{reference}: {}", fault.words(MAX_MESSAGE));
        Some(Explanation { text, message: &fault.message, cause: fault.cause, refused_since: fault.refused_since })
    }
}

impl Tracked {
    /// Takes in what the object says now; `true` where it is ready and a fault of it was told.
    fn observe(&mut self, now: Duration) -> bool {
        let (reason, message, is_stalled) = match &self.object.health {
            Health::Ready => return self.fault.take().is_some_and(|fault| fault.is_told),
            Health::Unknown => {
                if let Some(fault) = &mut self.fault {
                    fault.working_since.get_or_insert(now);
                }
                return false;
            }
            Health::NotReady { reason, message, is_stalled } => (reason.clone(), message.clone(), *is_stalled),
        };
        let cause = cause(self.object.kind, &reason, &message);
        // What is unhealthy changes all the time, and each component tells its own part.
        let key =
            if cause == Cause::Unhealthy { reason.clone() } else { format!("{reason}: {}", comparable(&message)) };
        let old = self.fault.take();
        let refused_since =
            (cause == Cause::Refused).then(|| old.as_ref().and_then(|old| old.refused_since).unwrap_or(now));
        let same = old.filter(|old| old.key == key && old.is_stalled == is_stalled);
        let (since, is_told) = same.map_or((now, false), |old| (old.since, old.is_told));
        let working_since = None;
        self.fault =
            Some(Fault { cause, key, reason, message, is_stalled, since, refused_since, working_since, is_told });
        false
    }

    /// Notes the entry; gives the cause that it tells.
    fn mark_told(&mut self, now: Duration) -> Option<Cause> {
        let fault = self.fault.as_mut()?;
        fault.is_told = true;
        match self.told.iter_mut().find(|told| told.key == fault.key) {
            Some(told) => (told.count, told.last) = (told.count.saturating_add(1), now),
            None => self.told.push(Told { key: fault.key.clone(), count: 1, last: now }),
        }
        Some(fault.cause)
    }
}

impl Fault {
    /// `<message> (<reason>)`, without a full stop.
    fn words(&self, limit: usize) -> String {
        let message = shorten(self.message.trim_end_matches('.'), limit);
        match (message.is_empty(), self.reason.is_empty()) {
            (true, true) => "it is not ready, and no reason is given".to_owned(),
            (true, false) => format!("it is not ready ({})", self.reason),
            (false, true) => message,
            (false, false) => format!("{message} ({})", self.reason),
        }
    }
}

/// The Kustomization that brings the releases.
fn kit() -> ObjectRef {
    ObjectRef { kind: FluxKind::Kustomization, name: inventory::KUSTOMIZATION.to_owned() }
}

#[cfg(test)]
#[path = "flux_state_tests.rs"]
mod tests;
