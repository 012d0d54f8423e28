//! How spans leave: by OTLP over HTTP, in batches, on a thread of their own. A collector that is slow or gone costs spans and
//! nothing else: what does not fit into the queue is dropped, and the end of the process waits for it a bounded time.

use crate::outbound::{Call, HeaderMap, NamedBy, Outbound, Url};
use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long the end of the process waits for the last spans.
const FLUSH: Duration = Duration::from_secs(3);
/// A collector answers with a few bytes.
const ANSWER_BYTES: usize = 64 * 1024;

/// Where spans go, and which.
#[derive(Clone)]
pub struct Settings {
    /// The whole URL.
    pub endpoint: Url,
    /// Headers for the collector; they may hold its token.
    pub headers: HeaderMap,
    /// Budget of one batch.
    pub timeout: Duration,
    /// Which traces are kept.
    pub sampling: Sampling,
    /// What the host is, as key and value; its name among them.
    pub resource: Vec<(String, String)>,
}

// The headers and the URL may hold a password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("sampling", &self.sampling).finish_non_exhaustive()
    }
}

/// Which traces are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Share of the traces that begin here, from 0 to 1.
    pub share: f64,
    /// Whether a caller that says if its trace is kept decides.
    pub by_parent: bool,
}

/// The way out for spans. It lives as long as the process.
pub struct Spans {
    provider: SdkTracerProvider,
    outbound: watch::Sender<Option<Outbound>>,
}

impl Spans {
    /// Makes it; spans wait until [`Spans::leave_by`] says how they leave, because that reads files, and nothing may be waited
    /// for before signals are heard.
    ///
    /// # Errors
    /// The exporter's reason.
    pub fn new(settings: &Settings, runtime: Handle) -> Result<Self, String> {
        let (outbound, outgoing) = watch::channel(None);
        let way = Way { outgoing, runtime, timeout: settings.timeout, broken: AtomicBool::new(false) };
        let text = |value: &crate::outbound::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(way)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(settings.endpoint.as_str())
            .with_timeout(settings.timeout)
            .with_headers(settings.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
            .build()
            .map_err(|error| error.to_string())?;
        let attributes = settings.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler(settings.sampling))
            .with_resource(Resource::builder_empty().with_attributes(attributes).build())
            .build();
        Ok(Self { provider, outbound })
    }

    /// How spans leave from now on.
    pub fn leave_by(&self, outbound: Outbound) {
        self.outbound.send_replace(Some(outbound));
    }

    /// What the trace's layer makes spans with.
    pub fn tracer(&self) -> SdkTracer {
        self.provider.tracer("catalyst")
    }

    /// Sends what is still there and ends.
    pub async fn flush(self) {
        let flushed = spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH));
        match timeout(FLUSH, flushed).await {
            Ok(Ok(Ok(()))) => {}
            _ => tracing::warn!("the last spans could not be delivered"),
        }
    }
}

fn sampler(sampling: Sampling) -> Sampler {
    let own = match sampling.share {
        share if share >= 1.0 => Sampler::AlwaysOn,
        share if share <= 0.0 => Sampler::AlwaysOff,
        share => Sampler::TraceIdRatioBased(share),
    };
    if sampling.by_parent { Sampler::ParentBased(Box::new(own)) } else { own }
}

/// The host's one way out, for an exporter that runs on a thread without a runtime.
#[derive(Debug)]
struct Way {
    outgoing: watch::Receiver<Option<Outbound>>,
    runtime: Handle,
    timeout: Duration,
    broken: AtomicBool,
}

#[async_trait]
impl HttpClient for Way {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let call = Call {
            named_by: NamedBy::Operator,
            method: head.method,
            url: Url::parse(&head.uri.to_string())?,
            headers: head.headers,
            body: Some(body.to_vec()),
            timeout: self.timeout,
            body_limit: ANSWER_BYTES,
        };
        let (mut outgoing, within) = (self.outgoing.clone(), self.timeout);
        let sent = self.runtime.spawn(async move {
            let outbound = timeout(within, outgoing.wait_for(Option::is_some)).await.ok()?.ok()?.clone()?;
            Some(outbound.send(call).await)
        });
        let Some(answer) = sent.await? else { return Err("the start is not done".into()) };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.went(Some(&error.to_string()));
                return Err(error.into());
            }
        };
        let refused = (answer.status >= 300).then(|| format!("the collector answered {}", answer.status));
        self.went(refused.as_deref());
        Ok(Response::builder().status(answer.status).body(answer.body.into())?)
    }
}

impl Way {
    /// Says it once when it stops working, and once when it works again.
    fn went(&self, wrong: Option<&str>) {
        let before = self.broken.swap(wrong.is_some(), Ordering::Relaxed);
        match (before, wrong) {
            (false, Some(error)) => tracing::warn!(error, "spans cannot be delivered; nothing else depends on it"),
            (true, None) => tracing::info!("spans are delivered again"),
            _ => {}
        }
    }
}
