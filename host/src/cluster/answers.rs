//! Requests to a cluster's API server, and what is read of their answers.
//!
//! kube's own calls are not used: they parse a whole answer into memory, refusals too, and a hostile cluster may answer anything.

use super::object::{ClusterObject, Kept, Room, Shape, read};
use super::trouble::Trouble;
use futures::TryStreamExt as _;
use futures::io::{AsyncBufRead, AsyncBufReadExt as _};
use http_body_util::{BodyExt as _, Limited};
use kube::Resource as _;
use kube::api::{ApiResource, DynamicObject, ListParams, Request};
use kube::client::Body;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Bytes that are read of a refusal: its message is cut to a line.
const MAX_REFUSAL: usize = 64 * 1024;
/// What is read of a refusal.
const REFUSAL: Shape = Shape::Keys(&[("kind", Shape::Plain), ("message", Shape::Plain)]);
/// What is read of a list's own metadata.
const LIST: Shape = Shape::Keys(&[("resourceVersion", Shape::Plain), ("continue", Shape::Plain)]);

/// A request that was not answered as it was meant.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The status of the answer, if there was one.
    pub(super) status: Option<u16>,
    pub(super) trouble: Trouble,
}

impl From<kube::Error> for Refusal {
    fn from(error: kube::Error) -> Self {
        Self { status: None, trouble: Trouble::from(&error) }
    }
}

/// What is listed, and how much of it at the most.
pub(super) struct Listing {
    pub(super) kind: ApiResource,
    /// One namespace, or all.
    pub(super) namespace: Option<String>,
    /// Labels that an object must have; blank for any.
    pub(super) labels: &'static str,
    /// Fields that an object must have, as the API server selects by them; blank for any.
    pub(super) fields: &'static str,
    /// What is kept of each object.
    pub(super) shape: &'static Shape,
    /// Objects in one answer.
    pub(super) page: u32,
    pub(super) max_pages: usize,
}

/// Where requests about a kind go.
pub(super) fn path(kind: &ApiResource, namespace: Option<&str>) -> Request {
    Request::new(DynamicObject::url_path(kind, namespace.filter(|namespace| !namespace.is_empty())))
}

/// All objects, with the version of the list. Each request gets its answer within `limit`, or counts as failed.
///
/// # Errors
/// [`Trouble`], also where there is more than is read.
pub(super) async fn list(
    client: &kube::Client,
    listing: &Listing,
    limit: Duration,
) -> Result<(Vec<ClusterObject>, String), Trouble> {
    let place = path(&listing.kind, listing.namespace.as_deref());
    let mut params = ListParams { limit: Some(listing.page), ..ListParams::default() };
    if !listing.labels.is_empty() {
        params = params.labels(listing.labels);
    }
    if !listing.fields.is_empty() {
        params = params.fields(listing.fields);
    }
    let kind = &listing.kind.kind;
    let too_much = Trouble::unreachable;
    let room = Room::new();
    let mut objects = Vec::new();
    for number in 0..listing.max_pages {
        let most = objects.len().saturating_add(listing.page as usize);
        let answer = whole(client, place.list(&params), limit).await;
        // A cluster that answered with a page is not silent, whatever becomes of the next one.
        let text = answer.map_err(|trouble| if number == 0 { trouble } else { trouble.no_silence() })?;
        let page = Page { shape: listing.shape, room: &room, most, objects: &mut objects };
        let end = page.read(&text).ok_or_else(Trouble::not_kubernetes)?;
        if end.is_over {
            return Err(too_much(format!("the cluster gives more objects of the kind {kind} than it was asked for")));
        }
        if room.is_short() {
            return Err(too_much(format!("the cluster's objects of the kind {kind} hold more than is read of them")));
        }
        match Some(end.next).filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok((objects, end.version)),
        }
    }
    let most = u64::from(listing.page).saturating_mul(listing.max_pages as u64);
    Err(too_much(format!("the cluster lists more than {most} objects of the kind {kind}")))
}

/// What a request asks to be done. What is answered beside the status is not read.
///
/// # Errors
/// [`Refusal`].
pub(super) async fn ask(
    client: &kube::Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<(), Refusal> {
    open(client, request).await.map(drop)
}

/// The lines of an answer that lasts.
///
/// # Errors
/// [`Refusal`].
pub(super) async fn lines(
    client: &kube::Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<impl AsyncBufRead + Unpin + use<>, Refusal> {
    let body = open(client, request).await?;
    Ok(Box::pin(body.into_data_stream().map_err(std::io::Error::other)).into_async_read())
}

/// Reads up to the next line's end into `line`, of which at most `most` bytes are kept. `None` at the end.
pub(super) async fn read_line<R: AsyncBufRead + Unpin>(
    stream: &mut R,
    line: &mut Vec<u8>,
    most: usize,
) -> std::io::Result<Option<()>> {
    line.clear();
    let mut begun = false;
    loop {
        let chunk = stream.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(begun.then_some(()));
        }
        begun = true;
        let (part, used, done) = match chunk.iter().position(|b| *b == b'\n') {
            Some(end) => (chunk.get(..end), end.saturating_add(1), true),
            None => (Some(chunk), chunk.len(), false),
        };
        let room = most.saturating_sub(line.len());
        line.extend(part.unwrap_or_default().iter().take(room));
        stream.consume_unpin(used);
        if done {
            return Ok(Some(()));
        }
    }
}

/// A whole answer within the limit. A cluster whose answer has begun is not silent, whatever becomes of the rest.
async fn whole(
    client: &kube::Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    limit: Duration,
) -> Result<bytes::Bytes, Trouble> {
    let (end, late) = (Instant::now() + limit, || Trouble::timeout(limit.as_secs()));
    let begun = timeout_at(end, send(client, request)).await.map_err(|_| late())?;
    let begun = begun.map_err(|refusal| refusal.trouble)?;
    let rest = async {
        let body = accepted(begun).await.map_err(|refusal| refusal.trouble)?;
        body.collect_bytes().await.map_err(|error| Trouble::from(&error).no_silence())
    };
    timeout_at(end, rest).await.unwrap_or_else(|_| Err(late().no_silence()))
}

async fn open(
    client: &kube::Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<Body, Refusal> {
    accepted(send(client, request).await?).await
}

async fn send(
    client: &kube::Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<http::Response<Body>, Refusal> {
    Ok(client.send(request.map_err(kube::Error::BuildRequest)?.map(Body::from)).await?)
}

/// The body of an answer that is no refusal.
async fn accepted(answer: http::Response<Body>) -> Result<Body, Refusal> {
    if answer.status().is_success() {
        return Ok(answer.into_body());
    }
    let status = answer.status().as_u16();
    let text = Limited::new(answer.into_body(), MAX_REFUSAL).collect().await;
    let text = text.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let said = read(&text, &REFUSAL, &Room::new()).ok();
    let message = match &said {
        Some(said) => said["message"].as_str().unwrap_or_default().to_owned(),
        None => String::from_utf8_lossy(&text).into_owned(),
    };
    let trouble = Trouble::from_status(status, &message);
    // What is no Status comes from something in front of the API server, as a load balancer, or from a path that is not there.
    let is_status = said.is_some_and(|said| said["kind"] == "Status");
    Err(Refusal { status: Some(status), trouble: if is_status { trouble } else { trouble.no_silence() } })
}

/// The end of a page.
#[derive(Debug, Default, PartialEq, Eq)]
struct PageEnd {
    version: String,
    /// Token of the next page, or blank.
    next: String,
    /// Whether there were more objects than were asked for.
    is_over: bool,
}

/// A page that is read behind the objects of those before.
struct Page<'a> {
    shape: &'static Shape,
    room: &'a Room,
    most: usize,
    objects: &'a mut Vec<ClusterObject>,
}

impl Page<'_> {
    /// `None` where it is no list.
    fn read(self, text: &[u8]) -> Option<PageEnd> {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let end = deserializer.deserialize_map(self).ok()?;
        deserializer.end().ok()?;
        end
    }
}

impl<'de> Visitor<'de> for Page<'_> {
    type Value = Option<PageEnd>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of a Kubernetes API server")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut end, mut has_items) = (PageEnd::default(), false);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "metadata" => {
                    let metadata = map.next_value_seed(Kept { shape: &LIST, room: self.room })?;
                    let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
                    (end.version, end.next) = (text("resourceVersion"), text("continue"));
                }
                "items" => {
                    has_items = true;
                    end.is_over |= map.next_value_seed(Items(&mut self))?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(has_items.then_some(end))
    }
}

/// The objects of a page, one after the other; gives whether there are more than were asked for.
struct Items<'a, 'p>(&'a mut Page<'p>);

impl<'de> DeserializeSeed<'de> for Items<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects")
    }

    /// How Go writes a list without elements.
    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        let Page { shape, room, most, objects } = self.0;
        while objects.len() < *most
            && let Some(object) = seq.next_element_seed(Kept { shape, room })?
        {
            objects.push(ClusterObject(object));
        }
        let mut is_over = false;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            is_over = true;
        }
        Ok(is_over)
    }
}

/// One event of a watch.
#[derive(Debug)]
pub(super) enum WatchedEvent {
    Applied(ClusterObject),
    Deleted(ClusterObject),
    /// A newer version of the list, and nothing else.
    Bookmark,
    /// What is wrong with the watch, by its status.
    Failed(u16),
}

impl WatchedEvent {
    /// Reads a line of a watch, of whose object so much is kept. `None` where it is no event.
    pub(super) fn read(line: &[u8], shape: &'static Shape) -> Option<Self> {
        const KIND: Shape = Shape::Keys(&[("type", Shape::Plain), ("object", Shape::Keys(&[("code", Shape::Plain)]))]);
        let said = read(line, &KIND, &Room::new()).ok()?;
        let object = || {
            let mut deserializer = serde_json::Deserializer::from_slice(line);
            deserializer.deserialize_map(EventObject(shape)).ok()?
        };
        Some(match said["type"].as_str()? {
            "ADDED" | "MODIFIED" => Self::Applied(object()?),
            "DELETED" => Self::Deleted(object()?),
            "BOOKMARK" => Self::Bookmark,
            "ERROR" => Self::Failed(said["object"]["code"].as_u64().and_then(|code| code.try_into().ok()).unwrap_or(0)),
            _ => return None,
        })
    }
}

struct EventObject(&'static Shape);

impl<'de> Visitor<'de> for EventObject {
    type Value = Option<ClusterObject>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event of a watch")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let room = Room::new();
        let mut object = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "object" => object = Some(map.next_value_seed(Kept { shape: self.0, room: &room })?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(object.filter(|object: &Value| object.is_object() && !room.is_short()).map(ClusterObject))
    }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
