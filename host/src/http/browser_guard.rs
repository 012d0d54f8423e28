//! Keeps web pages out where nobody is asked for a token, and names that were made to lead here (DNS rebinding) where only
//! this machine should come in.
//!
//! A browser says which page a request is of, and no page can change that: `Origin` (Fetch standard, section 3.1) and
//! `Sec-Fetch-Site` (Fetch Metadata). Programs send neither. The rules stand in `docs/settings.md`.

use super::Served;
use super::access::peer;
use super::allowed_hosts::AllowedHosts;
use super::cors::AllowedOrigin;
use super::error::ApiError;
use super::header_fault::HeaderFault;
use super::host_header::{HostPort, RequestHost};
use super::routes::Rule;
use super::sender::TrustedProxies;
use super::web_origin::WebOrigin;
use crate::limits::network;
use axum::body::{Body, HttpBody as _};
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};

/// How a page stands to what it asks, in a browser's words.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The only type of a POST for which a browser asks before it sends it to another origin.
const JSON: &str = "application/json";

/// What an operator says of the names and pages of a host.
#[derive(Debug, Clone, Default)]
pub struct BrowserSettings {
    /// Hosts that requests may name.
    pub allowed_hosts: AllowedHosts,
    /// Origin of the public URL, where an operator set one.
    pub public_origin: Option<WebOrigin>,
}

/// The rules of one listener.
#[derive(Debug)]
pub struct BrowserGuard {
    settings: BrowserSettings,
    /// The origin that CORS lets in.
    named: Option<WebOrigin>,
    callers: Callers,
    reach: Reach,
}

/// Whether callers are asked who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// They are not: everybody may do everything.
    Unknown,
    /// By a token.
    Known,
}

/// Who can reach a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This machine.
    Loopback,
    /// Other machines.
    Network,
}

impl Reach {
    /// That of a listener at this address.
    pub const fn of(address: IpAddr) -> Self {
        if address.to_canonical().is_loopback() { Self::Loopback } else { Self::Network }
    }
}

/// Whose page sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PageOrigin {
    /// None is named: a program, or a browser that asks for what its own page or its user wants.
    Unsaid,
    /// One of this host.
    Own,
    /// One of the origin that CORS lets in.
    Named,
    /// Any other, and what cannot be read.
    Foreign,
}

impl BrowserGuard {
    /// The rules.
    pub fn new(settings: BrowserSettings, allowed: &AllowedOrigin, callers: Callers, reach: Reach) -> Self {
        let named = match allowed {
            AllowedOrigin::One(text) => WebOrigin::parse(text),
            AllowedOrigin::Any | AllowedOrigin::None => None,
        };
        Self { settings, named, callers, reach }
    }

    /// Whether a request may go on to its route.
    fn check(&self, rule: &Rule, request: &Received<'_>, body: &Body) -> Result<(), HeaderFault> {
        if rule.can_answer(HeaderFault::ForeignHost) && request.host.is_some_and(|host| !self.answers_to(host)) {
            return Err(HeaderFault::ForeignHost);
        }
        if self.callers == Callers::Known {
            return Ok(());
        }
        let page = self.page_origin(request);
        let is_ours = page != PageOrigin::Foreign && is_of_this_site(request.headers, page);
        if rule.can_answer(HeaderFault::ForeignOrigin) && !is_ours {
            return Err(HeaderFault::ForeignOrigin);
        }
        let of_browser = request.headers.contains_key(ORIGIN) || request.headers.contains_key(SEC_FETCH_SITE);
        if rule.can_answer(HeaderFault::NotJson) && of_browser && !is_json_or_nothing(request.headers, body) {
            return Err(HeaderFault::NotJson);
        }
        Ok(())
    }

    fn answers_to(&self, host: &HostPort) -> bool {
        let BrowserSettings { allowed_hosts, public_origin } = &self.settings;
        let local = self.reach == Reach::Loopback && host.host.is_fixed();
        if !allowed_hosts.is_empty() {
            return local || allowed_hosts.allow(host);
        }
        let is_checked = self.reach == Reach::Loopback && self.callers == Callers::Unknown;
        !is_checked || local || public_origin.as_ref().is_some_and(|origin| *origin.host() == host.host)
    }

    fn page_origin(&self, request: &Received<'_>) -> PageOrigin {
        let mut given = request.headers.get_all(ORIGIN).iter();
        let Some(first) = given.next() else { return PageOrigin::Unsaid };
        let origin = first.to_str().ok().filter(|_| given.next().is_none()).and_then(WebOrigin::parse);
        let Some(origin) = origin else { return PageOrigin::Foreign };
        if self.named.as_ref() == Some(&origin) {
            return PageOrigin::Named;
        }
        let here = |host: &HostPort| origin.is_at(host);
        let own = self.settings.public_origin.as_ref() == Some(&origin)
            || request.host.is_some_and(here)
            || request.proxies.forwarded_host(request.peer.ip(), request.headers).as_ref().is_some_and(here);
        if own { PageOrigin::Own } else { PageOrigin::Foreign }
    }
}

/// What is looked at of a request.
struct Received<'a> {
    host: Option<&'a HostPort>,
    headers: &'a HeaderMap,
    peer: SocketAddr,
    proxies: &'a TrustedProxies,
}

/// Whether each `Sec-Fetch-Site` fits the origin of the page. A page of a sibling domain must be of an origin of ours, and one
/// of another site of the origin that CORS lets in.
fn is_of_this_site(headers: &HeaderMap, page: PageOrigin) -> bool {
    headers.get_all(SEC_FETCH_SITE).iter().all(|said| match said.as_bytes() {
        b"same-origin" | b"none" => true,
        b"same-site" => matches!(page, PageOrigin::Own | PageOrigin::Named),
        b"cross-site" => page == PageOrigin::Named,
        _ => false,
    })
}

/// Whether a body says that it is JSON, or there is neither body nor type.
fn is_json_or_nothing(headers: &HeaderMap, body: &Body) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (None, _) => body.is_end_stream(),
        (Some(one), None) => one.to_str().is_ok_and(|text| {
            let essence = text.split(';').next().unwrap_or_default();
            essence.trim().eq_ignore_ascii_case(JSON)
        }),
        (Some(_), Some(_)) => false,
    }
}

/// Why a request for a route may not go on to it, as an answer. It is asked before who calls.
pub fn refusal(served: &Served, rule: &Rule, parts: &Parts, body: &Body) -> Option<Response> {
    let peer = peer(parts);
    let host = parts.extensions.get::<RequestHost>().and_then(|RequestHost(host)| host.as_ref());
    let received = Received { host, headers: &parts.headers, peer, proxies: &served.proxies };
    let fault = served.browsers.check(rule, &received, body).err()?;
    let from = served.proxies.sender(peer, &parts.headers).address();
    served.app.audit.refused(network(from), fault.code(), None, rule.action.unwrap_or("read"));
    Some(ApiError::Header(fault).into_response())
}

#[cfg(test)]
#[path = "browser_guard_tests.rs"]
mod tests;
