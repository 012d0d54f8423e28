//! A collector of spans as OpenTelemetry has it: OTLP over HTTP, in protobuf.

use crate::double::{Double, Seen};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use prost::Message;
use std::collections::BTreeMap;

/// A collector that takes everything.
pub struct Collector(Double);

/// One span as it arrived.
#[derive(Debug, Clone)]
pub struct Span {
    /// Name.
    pub name: String,
    /// Trace that it is part of, in hex.
    pub trace: String,
    /// Its own id, in hex.
    pub id: String,
    /// Id of its parent, in hex; blank for none.
    pub parent: String,
    /// Kind, as the protocol numbers them.
    pub kind: i32,
    /// Attributes as text.
    pub attributes: BTreeMap<String, String>,
    /// Whether it failed.
    pub failed: bool,
    /// Traces that it points at.
    pub links: Vec<String>,
}

impl Default for Collector {
    fn default() -> Self {
        Self::new()
    }
}

impl Collector {
    /// One that listens.
    pub fn new() -> Self {
        Self(Double::http(|_| Some((200, String::new()))))
    }

    /// `http://host:port`.
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// All requests, as they came.
    pub fn requests(&self) -> Vec<Seen> {
        self.0.seen()
    }

    /// All spans so far.
    ///
    /// # Panics
    /// A request is not what the protocol has.
    pub fn spans(&self) -> Vec<Span> {
        let batches = self.exports();
        let scopes = batches.into_iter().flat_map(|batch| batch.resource_spans).flat_map(|of| of.scope_spans);
        scopes
            .flat_map(|scope| scope.spans)
            .map(|span| Span {
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                kind: span.kind,
                attributes: texts(&span.attributes),
                failed: span.status.is_some_and(|status| status.code == 2),
                links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
            })
            .collect()
    }

    /// What the host says of itself.
    pub fn resource(&self) -> BTreeMap<String, String> {
        let exports = self.exports();
        texts(&exports[0].resource_spans[0].resource.as_ref().unwrap().attributes)
    }

    /// Everything that arrived in a form in which a word can be looked for.
    pub fn everything(&self) -> String {
        let text = |seen: &Seen| format!("{} {:?} {}", seen.path, seen.headers, String::from_utf8_lossy(&seen.body));
        self.requests().iter().map(text).collect::<Vec<_>>().join("\n")
    }

    fn exports(&self) -> Vec<ExportTraceServiceRequest> {
        self.requests().iter().map(|seen| ExportTraceServiceRequest::decode(seen.body.as_slice()).unwrap()).collect()
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: Option<&AnyValue>| match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|pair| (pair.key.clone(), text(pair.value.as_ref()))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
