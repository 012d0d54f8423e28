//! List, watch, list again: keeps what the cluster has and what it is said to have the same.
//!
//! Every watch begins and ends with a list. That costs a small request a minute and buys that a deletion, an expired
//! version or a silently dead connection can hide nothing for longer, and that "the cluster is in sight" is always
//! known.

use super::NAMESPACE;
use super::answers::{self, Listing, WatchedEvent};
use super::flux_object::{FLUX_OBJECT, FluxKind};
use super::object::{ClusterObject, Shape};
use super::release::RELEASE;
use super::trouble::{Kind, Trouble};
use kube::api::{ApiResource, WatchParams};
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

/// Longest event of a watch, in bytes: an object is at most 1.5 MiB in a cluster's own store.
const MAX_EVENT: usize = 2 * 1024 * 1024;

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

    /// What is kept of its objects.
    fn shape(self) -> &'static Shape {
        match self {
            Self::Releases => &RELEASE,
            Self::Flux(_) => &FLUX_OBJECT,
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
    Listed(Vec<ClusterObject>),
    /// A new or changed one.
    Applied(ClusterObject),
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

/// Follows one topic until the receiver is gone. A kind that is absent makes way for the next under which it may be there.
/// Cancelled by dropping.
pub(super) async fn follow(
    client: kube::Client,
    topic: Topic,
    request_timeout: Duration,
    out: mpsc::Sender<(Topic, News)>,
) {
    let listing = |kind| Listing {
        kind,
        namespace: Some(NAMESPACE.to_owned()),
        labels: "",
        fields: "",
        shape: topic.shape(),
        page: PAGE,
        max_pages: MAX_PAGES,
    };
    let listings: Vec<Listing> = topic.kinds().into_iter().map(listing).collect();
    let mut pause = BACKOFF.0;
    let mut served = 0_usize;
    loop {
        let Some(listing) = listings.get(served) else { return };
        let listed = answers::list(&client, listing, request_timeout);
        let listed = tokio::time::timeout(request_timeout, listed).await;
        let news = match listed {
            Ok(Ok((objects, version))) => {
                if out.send((topic, News::Listed(objects))).await.is_err() {
                    return;
                }
                pause = BACKOFF.0;
                match stream(&client, topic, listing, &version, &out).await {
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
                    if served < listings.len() {
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

enum Ended {
    /// By the server at its time, or because the version expired.
    InOrder,
    Cut,
    /// Nobody listens any more.
    Unheard,
}

async fn stream(
    client: &kube::Client,
    topic: Topic,
    listing: &Listing,
    version: &str,
    out: &mpsc::Sender<(Topic, News)>,
) -> Ended {
    let params = WatchParams { timeout: Some(WATCH_SECONDS), bookmarks: true, ..Default::default() };
    let request = answers::path(&listing.kind, listing.namespace.as_deref()).watch(&params, version);
    let watched = async {
        let Ok(mut stream) = answers::lines(client, request).await else { return Ended::Cut };
        let mut line = Vec::new();
        loop {
            match answers::read_line(&mut stream, &mut line, MAX_EVENT).await {
                Ok(Some(())) => {}
                Ok(None) => return Ended::InOrder,
                Err(_) => return Ended::Cut,
            }
            let news = match WatchedEvent::read(&line, listing.shape) {
                Some(WatchedEvent::Applied(object)) => News::Applied(object),
                Some(WatchedEvent::Deleted(object)) => News::Deleted(object.name().to_owned()),
                Some(WatchedEvent::Bookmark) => continue,
                Some(WatchedEvent::Failed(status)) => {
                    let expired = Trouble::from_status(status, "").kind == Kind::Expired;
                    return if expired { Ended::InOrder } else { Ended::Cut };
                }
                None => return Ended::Cut,
            };
            if out.send((topic, news)).await.is_err() {
                return Ended::Unheard;
            }
        }
    };
    let limit = Duration::from_secs(u64::from(WATCH_SECONDS)).saturating_add(WATCH_GRACE);
    tokio::time::timeout(limit, watched).await.unwrap_or(Ended::Cut)
}
