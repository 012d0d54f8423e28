//! One entry of a deployment's log: what people read.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How much an entry weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Progress.
    Info,
    /// Worth a look.
    Warn,
    /// A failure.
    Error,
}

/// What an entry may take of the room that a full log has beside its limit. It is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogReserve {
    /// What its phase may.
    #[default]
    OfPhase,
    /// Nothing: its text comes from a cluster or a cloud, which may go on for ever.
    Nothing,
    /// What a marker may: it is this host's last word on what was under way.
    LastWord,
}

/// One log entry, as it is sent. Its number is its place in the log and stands outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// RFC 3339, UTC, whole seconds.
    pub time: String,
    /// Phase id, such as `tofu-apply` or `component`.
    pub phase: String,
    /// Weight.
    pub level: Level,
    /// One line for a person.
    pub message: String,
    /// Component id without its prefix, for Phase 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// State of the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Name of the HelmRelease behind the component.
    #[serde(default, rename = "helmRelease", skip_serializing_if = "Option::is_none")]
    pub helm_release: Option<String>,
    /// Namespace of the HelmRelease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Version of the chart.
    #[serde(default, rename = "chartVersion", skip_serializing_if = "Option::is_none")]
    pub chart_version: Option<String>,
    /// What it may take of the reserve of a full log.
    #[serde(skip)]
    pub reserve: LogReserve,
}

impl Entry {
    /// An entry without a component.
    pub fn new(at: jiff::Timestamp, phase: impl Into<String>, level: Level, message: impl Into<String>) -> Self {
        Self {
            time: seconds(at),
            phase: phase.into(),
            level,
            message: message.into(),
            component: None,
            state: None,
            helm_release: None,
            namespace: None,
            chart_version: None,
            reserve: LogReserve::OfPhase,
        }
    }

    /// The same, with a use of the reserve of its own.
    pub fn with_reserve(self, reserve: LogReserve) -> Self {
        Self { reserve, ..self }
    }
}

/// The same time without its fraction of a second, as it goes out where it is no text of its own.
pub fn whole_second(at: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// RFC 3339 in UTC with whole seconds, the form of every time on the wire and in the audit log.
pub fn seconds(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
