//! List, watch, list again: keeps what the cluster has and what it is said to have the same.
//!
//! Every watch begins and ends with a list. That costs a small request a minute and buys that a deletion, an expired
//! version or a silently dead connection can hide nothing for longer, and that "the cluster is in sight" is always
//! known.

use super::flux_object::FluxKind;
use super::trouble::{Kind, Trouble};
use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long one watch lasts before the next list, in seconds: within it a dead connection can go unnoticed.
const WATCH_SECONDS: u32 = 50;

/// How much later than asked for the server may end a watch.
const WATCH_GRACE: Duration = Duration::from_secs(10);

/// Objects in one answer. A HelmRelease with its values is some 10 KiB.
const PAGE: u32 = 100;

/// Pages of one list: more objects than are ever watched.
const MAX_PAGES: usize = 20;

/// Between a watch and the next list, so that a server that ends watches at once is not hammered.
const BREATH: Duration = Duration::from_millis(250);

/// First and longest pause after a failure. A node that comes up should be seen soon after; one request in five seconds
/// burdens nobody.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// Longest pause for what only explains a wait of minutes, and may never be there.
const BACKOFF_OF_CHARTS: Duration = Duration::from_secs(30);

/// What is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    /// The HelmReleases.
    Releases,
    /// What they come from.
    Flux(FluxKind),
}

impl Topic {
    /// Everything that is followed.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Releases).chain(FluxKind::ALL.into_iter().map(Self::Flux))
    }

    /// The kinds under which it may be there, the newest first: each version of Flux serves one of them.
    pub(super) fn kinds(self) -> Vec<ApiResource> {
        let source = |versions: &[&str], kind: &str, plural: &str| -> Vec<ApiResource> {
            versions.iter().map(|version| resource("source.toolkit.fluxcd.io", version, kind, plural)).collect()
        };
        match self {
            Self::Releases => vec![resource("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases")],
            Self::Flux(FluxKind::Kustomization) => {
                vec![resource("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations")]
            }
            Self::Flux(kind @ FluxKind::GitRepository) => source(&["v1"], kind.as_str(), "gitrepositories"),
            Self::Flux(kind @ FluxKind::OciRepository) => source(&["v1", "v1beta2"], kind.as_str(), "ocirepositories"),
            Self::Flux(kind @ FluxKind::HelmRepository) => {
                source(&["v1", "v1beta2"], kind.as_str(), "helmrepositories")
            }
            Self::Flux(kind @ FluxKind::HelmChart) => source(&["v1", "v1beta2"], kind.as_str(), "helmcharts"),
        }
    }

    fn longest_pause(self) -> Duration {
        match self {
            Self::Flux(FluxKind::HelmRepository | FluxKind::HelmChart | FluxKind::OciRepository) => BACKOFF_OF_CHARTS,
            Self::Releases | Self::Flux(FluxKind::Kustomization | FluxKind::GitRepository) => BACKOFF.1,
        }
    }
}

/// What the cluster says.
#[derive(Debug)]
pub(super) enum News {
    /// All there are.
    Listed(Vec<DynamicObject>),
    /// A new or changed one.
    Applied(Box<DynamicObject>),
    /// One that is gone.
    Deleted(String),
    /// The watch was cut; the next list tells whether that matters.
    Cut,
    /// The list failed.
    Failed(Trouble),
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&kube::api::GroupVersionKind::gvk(group, version, kind), plural)
}

/// Follows one topic until the receiver is gone. `apis` are those of its kinds; one that is absent makes way for the next.
/// Cancelled by dropping.
pub(super) async fn follow(
    topic: Topic,
    apis: Vec<Api<DynamicObject>>,
    request_timeout: Duration,
    out: mpsc::Sender<(Topic, News)>,
) {
    let mut pause = BACKOFF.0;
    let mut served = 0_usize;
    loop {
        let Some(api) = apis.get(served) else { return };
        let listed = tokio::time::timeout(request_timeout, list(api)).await;
        let news = match listed {
            Ok(Ok((objects, version))) => {
                if out.send((topic, News::Listed(objects))).await.is_err() {
                    return;
                }
                pause = BACKOFF.0;
                match stream(topic, api, &version, &out).await {
                    Ended::InOrder => None,
                    Ended::Cut => Some(News::Cut),
                    Ended::Unheard => return,
                }
            }
            Ok(Err(trouble)) => Some(News::Failed(trouble)),
            Err(_) => Some(News::Failed(Trouble::timeout(request_timeout.as_secs()))),
        };
        let mut wait = BREATH;
        if let Some(news) = news {
            if let News::Failed(trouble) = &news {
                wait = pause;
                pause = pause.saturating_mul(2).min(topic.longest_pause());
                if trouble.kind == Kind::Absent {
                    served = served.saturating_add(1);
                    if served < apis.len() {
                        continue;
                    }
                    served = 0;
                }
            }
            if out.send((topic, news)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(wait).await;
    }
}

async fn list(api: &Api<DynamicObject>) -> Result<(Vec<DynamicObject>, String), Trouble> {
    let mut objects = Vec::new();
    let mut params = ListParams { limit: Some(PAGE), ..Default::default() };
    for _ in 0..MAX_PAGES {
        let page = api.list(&params).await.map_err(|error| Trouble::from(&error))?;
        objects.extend(page.items);
        let version = page.metadata.resource_version.unwrap_or_default();
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok((objects, version)),
        }
    }
    let why = format!("the cluster lists more than {} objects", u64::from(PAGE).saturating_mul(MAX_PAGES as u64));
    Err(Trouble::unreachable(why))
}

enum Ended {
    /// By the server at its time, or because the version expired.
    InOrder,
    Cut,
    /// Nobody listens any more.
    Unheard,
}

async fn stream(topic: Topic, api: &Api<DynamicObject>, version: &str, out: &mpsc::Sender<(Topic, News)>) -> Ended {
    let params = WatchParams { timeout: Some(WATCH_SECONDS), bookmarks: true, ..Default::default() };
    let watched = async {
        let Ok(stream) = api.watch(&params, version).await else { return Ended::Cut };
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            let news = match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => News::Applied(Box::new(object)),
                Ok(WatchEvent::Deleted(object)) => News::Deleted(object.metadata.name.unwrap_or_default()),
                Ok(WatchEvent::Bookmark(_)) => continue,
                Ok(WatchEvent::Error(status)) => {
                    let expired = Trouble::from_status(status.code, "").kind == Kind::Expired;
                    return if expired { Ended::InOrder } else { Ended::Cut };
                }
                Err(_) => return Ended::Cut,
            };
            if out.send((topic, news)).await.is_err() {
                return Ended::Unheard;
            }
        }
        Ended::InOrder
    };
    let limit = Duration::from_secs(u64::from(WATCH_SECONDS)).saturating_add(WATCH_GRACE);
    tokio::time::timeout(limit, watched).await.unwrap_or(Ended::Cut)
}
