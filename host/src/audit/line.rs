//! One line.

use super::About;
use catalyst_domain::event::seconds;
use catalyst_sandbox::GrantChange;
use catalyst_sandbox::grants::Basis;
use jiff::Timestamp;
use serde::Serialize;
use std::net::IpAddr;

/// What a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// Somebody who may do it asks for it; it is begun next.
    Asked,
    /// It was answered.
    Answered,
    /// The caller left, or it broke, before it was answered: what became of it must be looked up.
    Unanswered,
    /// Requests were refused.
    Refused,
    /// Lines can be written again; what was to be written before is lost.
    Resumed,
    /// What a plugin may do changed, or why it may. At a start: what each may do.
    Changed,
}

/// A line as it is written.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// RFC 3339, UTC, whole seconds; the order of lines is that of the file.
    time: String,
    event: Event,
    #[serde(skip_serializing_if = "String::is_empty")]
    request: String,
    action: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    peer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    grants: Option<Grants>,
}

/// Rights of a plugin, as they stand in `plugins.lock` behind the name of its file.
#[derive(Debug, Clone, Serialize)]
struct Grants {
    plugin: String,
    file: String,
    /// Why the plugin has its rights; absent when it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    basis: Option<&'static str>,
    granted: Vec<String>,
    revoked: Vec<String>,
}

impl Line {
    /// What happened to a request, with the status of its answer.
    pub fn new(event: Event, about: &About, status: Option<u16>) -> Self {
        Self {
            time: seconds(Timestamp::now()),
            event,
            request: about.request.clone(),
            action: about.action,
            subject: about.caller.subject.clone(),
            mode: Some(about.caller.mode.as_str()),
            peer: about.peer.to_string(),
            client: about.client,
            deployment: about.deployment.as_ref().map(ToString::to_string),
            status,
            reason: None,
            count: None,
            grants: None,
        }
    }

    /// That so many requests were refused; action and subject are those of the last one.
    pub(super) fn refused(
        peer: String,
        reason: &'static str,
        subject: String,
        action: &'static str,
        count: u64,
    ) -> Self {
        Self {
            time: seconds(Timestamp::now()),
            event: Event::Refused,
            request: String::new(),
            action,
            subject,
            mode: None,
            peer,
            client: None,
            deployment: None,
            status: None,
            reason: Some(reason),
            count: Some(count),
            grants: None,
        }
    }

    /// That a plugin may do more or less than before.
    pub fn grants(change: GrantChange) -> Self {
        let GrantChange { file, plugin, basis, granted, revoked } = change;
        let plain = Self::refused(String::new(), "", String::new(), "grants", 0);
        let grants = Some(Grants { plugin, file, basis: basis.map(Basis::name), granted, revoked });
        Self { event: Event::Changed, reason: None, count: None, grants, ..plain }
    }

    /// That lines can be written again, and how many could not.
    pub(super) fn resumed(lost: u64) -> Self {
        let refused = Self::refused(String::new(), "", String::new(), "audit", lost);
        Self { event: Event::Resumed, reason: None, ..refused }
    }

    /// With its line break.
    pub(super) fn text(&self) -> String {
        // A struct of strings and numbers always serialises.
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }
}
