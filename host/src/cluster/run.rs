//! One watch from its start to its end: feeds its state, tells what changed, and asks whether that was all.

use super::conditions::Conditions;
use super::feed::{News, Topic};
use super::flux_object::{FluxKind, FluxObject};
use super::flux_state::Patience;
use super::inventory::{self, Inventory};
use super::judge::{Change, Verdict, WatchState, id};
use super::object::ClusterObject;
use super::release::Release;
use super::trouble::{Kind, Trouble};
use super::{Ended, NAMESPACE, Observation, Remark, Stopped, WatchSettings, client, feed, log_tail, nodes};
use catalyst_domain::kubeconfig::Kubeconfig;
use catalyst_domain::{Level, Outcome, Timestamp};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// News on their way to the state. When it is full the feeds wait, and with them the API server: the state takes news at once, and an
/// event may hold some megabytes.
const QUEUE: usize = 8;

/// How often a lasting trouble is told again. Silence for an hour was C-5.
const REMIND: Duration = Duration::from_secs(60);

/// How soon a trouble that changed its face is told again.
const REMIND_CHANGED: Duration = Duration::from_secs(10);

/// Watches a cluster until it is ready, failed, out of time or unreachable to the end. Writes nothing to it.
///
/// Observations go out in order; the receiver has to take them, a full channel holds up the watch. A closed one stops
/// it.
///
/// # Errors
/// [`Stopped`] when `stop` was cancelled or nobody takes the observations any more: nothing is known then.
pub async fn watch(
    kubeconfig: &Kubeconfig,
    settings: WatchSettings,
    out: mpsc::Sender<Observation>,
    stop: CancellationToken,
) -> Result<Ended, Stopped> {
    let client = match client::connect(kubeconfig, &settings) {
        Ok(client) => client,
        Err(fault) => {
            let outcome = Outcome::Failed(fault.to_string());
            return Ok(Ended { outcome, components: std::collections::BTreeMap::new() });
        }
    };
    let (send, news) = mpsc::channel(QUEUE);
    // Dropped with this call, and the tasks with it.
    let mut tasks = JoinSet::new();
    for topic in Topic::all() {
        tasks.spawn(feed::follow(client.clone(), topic, settings.request_timeout, send.clone()));
    }
    drop(send);
    tasks.spawn(log_tail::follow(client.clone(), settings.request_timeout, out.clone()));
    tasks.spawn(nodes::follow(client.clone(), settings.clone(), out.clone()));

    let patience =
        Patience { settle: settings.settle, source: settings.source_patience, refusal: settings.refusal_patience };
    let state = WatchState::new(settings.expected, patience);
    let told = out.clone();
    let watch = Watch { state, started: Instant::now(), outage: None, out };
    let watched = async {
        let ended = watch.run(news, settings.timeout).await?;
        if ended.outcome == Outcome::Ready {
            nodes::tell_missing(client, &settings, &told).await;
        }
        Ok(ended)
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(Stopped),
        ended = watched => ended,
    }
}

/// A trouble that lasts.
struct Outage {
    kind: Kind,
    why: String,
    since: Timestamp,
    told: Instant,
}

struct Watch {
    state: WatchState,
    started: Instant,
    outage: Option<Outage>,
    out: mpsc::Sender<Observation>,
}

impl Watch {
    async fn run(mut self, mut news: mpsc::Receiver<(Topic, News)>, timeout: Duration) -> Result<Ended, Stopped> {
        let mut deadline = std::pin::pin!(tokio::time::sleep(timeout));
        loop {
            let now = self.started.elapsed();
            let look = match self.state.judge(now) {
                Verdict::Ready => return self.end(Outcome::Ready).await,
                Verdict::Failed(why) => return self.end(Outcome::Failed(why)).await,
                Verdict::Wait(look) => [look, self.state.next(now)].into_iter().flatten().min().unwrap_or(timeout),
            };
            let look = self.started.checked_add(look).unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                () = &mut deadline => {
                    let why = self.out_of_time();
                    return self.end(Outcome::Failed(why)).await;
                }
                () = self.out.closed() => return Err(Stopped),
                next = news.recv() => match next {
                    Some((Topic::Releases, news)) => self.releases(news).await?,
                    Some((Topic::Flux(kind), news)) => self.objects(kind, news).await?,
                    // The feeds end only with this call.
                    None => return Err(Stopped),
                },
                () = tokio::time::sleep_until(look) => {
                    let changes = self.state.refresh(self.started.elapsed());
                    self.tell_all(changes).await?;
                }
            }
        }
    }

    /// Tells what was held back as a blink, so that the last entry of each component is its state.
    async fn end(&mut self, outcome: Outcome) -> Result<Ended, Stopped> {
        let changes = self.state.held_back();
        self.tell_all(changes).await?;
        Ok(Ended { outcome, components: self.state.states() })
    }

    async fn releases(&mut self, news: News) -> Result<(), Stopped> {
        let now = self.started.elapsed();
        let changes = match news {
            News::Listed(objects) => {
                self.in_sight(objects.len()).await?;
                objects.iter().for_each(|object| self.state.note_time(newest_time(object)));
                let releases: Vec<Release> = objects.iter().map(release).collect();
                self.state.list(&releases, now)
            }
            News::Applied(object) => {
                self.state.note_time(newest_time(&object));
                self.state.update(&release(&object), now)
            }
            News::Deleted(name) => self.state.remove(&name, now),
            News::Cut => {
                self.state.lose_sight(now);
                return Ok(());
            }
            News::Failed(trouble) => {
                self.state.lose_sight(now);
                return self.trouble(trouble).await;
            }
        };
        self.tell_all(changes).await
    }

    /// What the releases come from. Nothing about it is a trouble of the watch: a cluster may not have it, or not tell.
    async fn objects(&mut self, kind: FluxKind, news: News) -> Result<(), Stopped> {
        let now = self.started.elapsed();
        let of_kit = |object: &ClusterObject| object.name() == inventory::KUSTOMIZATION;
        let (changes, inventory) = match news {
            News::Listed(objects) => {
                objects.iter().for_each(|object| self.state.note_time(newest_time(object)));
                let kit = objects.iter().find(|object| of_kit(object));
                let inventory = kit.map_or(Inventory::Absent, |kit| inventory::read(kit.body()));
                let objects = objects.iter().map(|object| flux_object(kind, object)).collect();
                (self.state.list_objects(kind, objects, now), Some(inventory))
            }
            News::Applied(object) => {
                self.state.note_time(newest_time(&object));
                let inventory = of_kit(&object).then(|| inventory::read(object.body()));
                (self.state.update_object(flux_object(kind, &object), now), inventory)
            }
            News::Deleted(name) => {
                self.state.flux.remove(kind, &name);
                (Vec::new(), (name == inventory::KUSTOMIZATION).then_some(Inventory::Absent))
            }
            // The releases come over the same connection and tell of its end.
            News::Cut => {
                self.state.flux.lose_sight(kind);
                (Vec::new(), None)
            }
            News::Failed(trouble) => match trouble.kind {
                Kind::Absent | Kind::Forbidden => {
                    self.state.flux.forget(kind);
                    (Vec::new(), Some(Inventory::Absent))
                }
                Kind::Expired | Kind::Unreachable => {
                    self.state.flux.lose_sight(kind);
                    (Vec::new(), None)
                }
            },
        };
        if let Some(inventory) = inventory.filter(|_| kind == FluxKind::Kustomization)
            && let Some(message) = self.state.set_inventory(inventory, now)
        {
            self.send(Observation::Remark { level: Level::Info, message }).await?;
        }
        self.tell_all(changes).await
    }

    async fn tell_all(&mut self, changes: Vec<Change>) -> Result<(), Stopped> {
        for change in changes {
            self.tell(change).await?;
        }
        Ok(())
    }

    async fn tell(&self, change: Change) -> Result<(), Stopped> {
        let observation = match change {
            Change::Remark(Remark { level, message }) => Observation::Remark { level, message },
            Change::Removed(name) => {
                let message = format!("The release {name} was removed from the cluster.");
                Observation::Remark { level: Level::Info, message }
            }
            Change::State(name) => {
                let Some(seen) = self.state.get(&name) else { return Ok(()) };
                Observation::Component {
                    id: id(&name).to_owned(),
                    namespace: seen.namespace.clone(),
                    chart_version: seen.chart_version.clone(),
                    state: seen.view.state,
                    level: seen.view.state.level(),
                    message: seen.view.message.clone(),
                    release: name,
                }
            }
        };
        self.send(observation).await
    }

    /// The list came: says so when that is news.
    async fn in_sight(&mut self, count: usize) -> Result<(), Stopped> {
        let message = match self.outage.take() {
            Some(Outage { kind: Kind::Unreachable, .. }) => format!("The cluster answers; it has {count} releases."),
            Some(_) => format!("Flux's releases can be read now; there are {count}."),
            None if !self.state.has_seen() => format!("The cluster answers; it has {count} releases."),
            None => return Ok(()),
        };
        self.send(Observation::Remark { level: Level::Info, message }).await
    }

    async fn trouble(&mut self, trouble: Trouble) -> Result<(), Stopped> {
        let now = Instant::now();
        let since = match &mut self.outage {
            Some(outage) if outage.kind == trouble.kind => {
                let silent = now.saturating_duration_since(outage.told);
                let changed = outage.why != trouble.why;
                outage.why.clone_from(&trouble.why);
                if silent < REMIND && !(changed && silent >= REMIND_CHANGED) {
                    return Ok(());
                }
                outage.told = now;
                outage.since
            }
            _ => {
                let since = Timestamp::now();
                self.outage = Some(Outage { kind: trouble.kind, why: trouble.why.clone(), since, told: now });
                since
            }
        };
        let observation = match trouble.kind {
            Kind::Unreachable => Observation::Unreachable { since, why: trouble.why },
            Kind::Absent => Observation::Remark {
                level: Level::Info,
                message: "The cluster answers; Flux's HelmRelease kind is not there yet.".to_owned(),
            },
            Kind::Forbidden | Kind::Expired => Observation::Remark {
                level: Level::Warn,
                message: format!("The cluster answers, but its releases cannot be read: {}.", trouble.why),
            },
        };
        self.send(observation).await
    }

    fn out_of_time(&self) -> String {
        let seen = self.state.has_seen();
        match &self.outage {
            Some(Outage { kind: Kind::Unreachable, why, .. }) if !seen => {
                format!("the time is up and the cluster could not be reached: {why}")
            }
            Some(Outage { kind: Kind::Absent, .. }) if !seen => {
                "the time is up; the cluster answers, but Flux's HelmRelease kind never came".to_owned()
            }
            Some(Outage { why, .. }) if !seen => format!("the time is up and no release could be read: {why}"),
            Some(Outage { why, since, .. }) => {
                let since = catalyst_domain::event::seconds(*since);
                format!(
                    "the time is up and the cluster is out of sight since {since}: {why}; before that: {}",
                    self.state.shortfall()
                )
            }
            None if seen => format!("the time is up: {}", self.state.shortfall()),
            None => "the time is up before the cluster gave an answer".to_owned(),
        }
    }

    async fn send(&self, observation: Observation) -> Result<(), Stopped> {
        self.out.send(observation).await.map_err(|_| Stopped)
    }
}

fn release(object: &ClusterObject) -> Release {
    Release::read(object.name(), object.namespace().unwrap_or(NAMESPACE), object.generation(), object.body())
}

fn flux_object(kind: FluxKind, object: &ClusterObject) -> FluxObject {
    FluxObject::read(kind, object.name(), object.generation(), object.body())
}

/// The newest time of the cluster's clock in an object.
fn newest_time(object: &ClusterObject) -> Option<Timestamp> {
    let told = Conditions::read(None, object.body()).list.into_iter().filter_map(|condition| condition.since);
    object.times().chain(told).max()
}
