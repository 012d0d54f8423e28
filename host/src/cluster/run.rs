//! One watch from its start to its end: feeds the board, tells what changed, and asks the board whether that was all.

use super::feed::{News, Topic};
use super::inventory::{self, Inventory};
use super::judge::{Board, Change, Verdict, id};
use super::release::Release;
use super::trouble::{Kind, Trouble};
use super::{Ended, NAMESPACE, Observation, Stopped, WatchSettings, client, feed, log_tail, nodes};
use catalyst_domain::kubeconfig::Kubeconfig;
use catalyst_domain::{Level, Outcome, Timestamp};
use kube::api::{Api, DynamicObject};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// News on their way to the board. When it is full the feeds wait, and with them the API server.
const QUEUE: usize = 64;

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
    let releases = Api::namespaced_with(client.clone(), NAMESPACE, &feed::releases());
    let kits = Api::namespaced_with(client.clone(), NAMESPACE, &feed::kustomizations());
    let only_kit = Some(format!("metadata.name={}", inventory::KUSTOMIZATION));
    tasks.spawn(feed::follow(Topic::Releases, releases, None, settings.request_timeout, send.clone()));
    tasks.spawn(feed::follow(Topic::Kit, kits, only_kit, settings.request_timeout, send));
    tasks.spawn(log_tail::follow(client.clone(), settings.request_timeout, out.clone()));
    tasks.spawn(nodes::follow(client.clone(), settings.clone(), out.clone()));

    let told = out.clone();
    let watch =
        Watch { board: Board::new(settings.expected, settings.settle), started: Instant::now(), outage: None, out };
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
    board: Board,
    started: Instant,
    outage: Option<Outage>,
    out: mpsc::Sender<Observation>,
}

impl Watch {
    async fn run(mut self, mut news: mpsc::Receiver<(Topic, News)>, timeout: Duration) -> Result<Ended, Stopped> {
        let mut deadline = std::pin::pin!(tokio::time::sleep(timeout));
        loop {
            let look = match self.board.judge(self.started.elapsed()) {
                Verdict::Ready => return Ok(self.end(Outcome::Ready)),
                Verdict::Failed(why) => return Ok(self.end(Outcome::Failed(why))),
                Verdict::Wait(look) => look.unwrap_or(timeout),
            };
            let look = self.started.checked_add(look).unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                () = &mut deadline => {
                    let why = self.out_of_time();
                    return Ok(self.end(Outcome::Failed(why)));
                }
                () = self.out.closed() => return Err(Stopped),
                next = news.recv() => match next {
                    Some((Topic::Releases, news)) => self.releases(news).await?,
                    Some((Topic::Kit, news)) => self.kit(news).await?,
                    // The feeds end only with this call.
                    None => return Err(Stopped),
                },
                () = tokio::time::sleep_until(look) => {}
            }
        }
    }

    fn end(&self, outcome: Outcome) -> Ended {
        Ended { outcome, components: self.board.states() }
    }

    async fn releases(&mut self, news: News) -> Result<(), Stopped> {
        let now = self.started.elapsed();
        let changes = match news {
            News::Listed(objects) => {
                self.in_sight(objects.len()).await?;
                let releases: Vec<Release> = objects.iter().map(release).collect();
                self.board.list(&releases, now)
            }
            News::Applied(object) => self.board.update(&release(&object), now).into_iter().collect(),
            News::Deleted(name) => self.board.remove(&name, now).into_iter().collect(),
            News::Cut => {
                self.board.lose_sight(now);
                return Ok(());
            }
            News::Failed(trouble) => {
                self.board.lose_sight(now);
                return self.trouble(trouble).await;
            }
        };
        for change in changes {
            self.tell(change).await?;
        }
        Ok(())
    }

    async fn kit(&mut self, news: News) -> Result<(), Stopped> {
        let now = self.started.elapsed();
        let (inventory, fault) = match news {
            News::Listed(objects) => objects.first().map_or((Inventory::Absent, None), kit),
            News::Applied(object) => kit(&object),
            News::Deleted(_) => (Inventory::Absent, None),
            // The releases come over the same connection and tell of its end.
            News::Cut => return Ok(()),
            News::Failed(trouble) => match trouble.kind {
                Kind::Absent | Kind::Forbidden => (Inventory::Absent, None),
                Kind::Expired | Kind::Unreachable => return Ok(()),
            },
        };
        if let Some(message) = self.board.expect(inventory, fault, now) {
            self.send(Observation::Remark { level: Level::Info, message }).await?;
        }
        Ok(())
    }

    async fn tell(&self, change: Change) -> Result<(), Stopped> {
        let observation = match change {
            Change::Removed(name) => {
                let message = format!("The release {name} was removed from the cluster.");
                Observation::Remark { level: Level::Info, message }
            }
            Change::State(name) => {
                let Some(seen) = self.board.get(&name) else { return Ok(()) };
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
            None if !self.board.has_seen() => format!("The cluster answers; it has {count} releases."),
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
        let seen = self.board.has_seen();
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
                    self.board.shortfall()
                )
            }
            None if seen => format!("the time is up: {}", self.board.shortfall()),
            None => "the time is up before the cluster gave an answer".to_owned(),
        }
    }

    async fn send(&self, observation: Observation) -> Result<(), Stopped> {
        self.out.send(observation).await.map_err(|_| Stopped)
    }
}

fn release(object: &DynamicObject) -> Release {
    let metadata = &object.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    let namespace = metadata.namespace.as_deref().unwrap_or(NAMESPACE);
    Release::read(name, namespace, metadata.generation, &object.data)
}

/// The inventory, and why the Kustomization is not ready.
fn kit(object: &DynamicObject) -> (Inventory, Option<String>) {
    let kit = release(object);
    let fault = kit.condition("Ready").filter(|c| c.status == "False").map(|c| format!("{} ({})", c.message, c.reason));
    (inventory::read(&object.data), fault)
}
