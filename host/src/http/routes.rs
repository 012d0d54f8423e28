//! The one table of the API: each route, what a caller needs for it, and whether it is audited. What is not in it is not
//! served, whatever the router has.

use super::error::ApiError;
use super::header_fault::HeaderFault;
use super::too_many::RateKind;
use crate::auth::{Caller, Scope};
use axum::http::Method;
use catalyst_domain::read_token::Opens;

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Method.
    pub method: &'static str,
    /// Path with its parameters in braces.
    pub path: &'static str,
    /// What a caller needs.
    pub needs: Needs,
    /// What the audit log calls it; `None` where it changes nothing and gives nothing away.
    pub action: Option<&'static str>,
    /// By which rate its subject is limited; `None` where it only reads, or is limited otherwise.
    pub rate: Option<RateKind>,
}

/// What a caller needs for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// The one-time bearer of the deployment, which the handler looks at: it is a node that calls.
    NodeBearer,
    /// This scope.
    Scope(Scope),
    /// One of these scopes.
    Either(Scope, Scope),
    /// This scope, or a token of this deployment that opens so much.
    OrReadToken(Scope, Opens),
}

impl Needs {
    /// Whether the scopes of a caller are enough.
    pub fn met_by(self, caller: &Caller) -> bool {
        match self {
            Self::Nothing | Self::NodeBearer => true,
            Self::Scope(scope) | Self::OrReadToken(scope, _) => caller.may(scope),
            Self::Either(one, other) => caller.may(one) || caller.may(other),
        }
    }

    /// Whether a read token of the deployment is enough.
    pub fn met_by_read_token(self, opens: Opens) -> bool {
        match self {
            Self::OrReadToken(_, needed) => needed == Opens::Reading || opens == Opens::ReadingAndKubeconfig,
            _ => false,
        }
    }

    /// Its words for whoever has less.
    pub fn words(self) -> String {
        match self {
            Self::Nothing | Self::NodeBearer => String::new(),
            Self::Scope(scope) | Self::OrReadToken(scope, _) => format!("the scope `{scope}`"),
            Self::Either(one, other) => format!("the scope `{one}` or `{other}`"),
        }
    }
}

impl Rule {
    /// Whether it only says that the host lives or takes work.
    pub fn is_liveness(&self) -> bool {
        matches!(self.path, "/healthz" | "/readyz")
    }

    /// Whether machines call it by whatever name or address they have for the host: probes, scrapers, nodes.
    pub fn takes_any_host(&self) -> bool {
        self.is_liveness() || self.path == "/metrics" || self.needs == Needs::NodeBearer
    }

    /// Whether a request of it may be refused for this.
    pub(super) fn can_answer(&self, fault: HeaderFault) -> bool {
        match fault {
            HeaderFault::InvalidHost => true,
            HeaderFault::ForeignHost => !self.takes_any_host(),
            HeaderFault::ForeignOrigin => !self.is_liveness(),
            HeaderFault::NotJson => self.method == Method::POST.as_str(),
        }
    }
}

const READ: Needs = Needs::Scope(Scope::Read);
const CREATE: Needs = Needs::Scope(Scope::Create);
const FOLLOW: Needs = Needs::OrReadToken(Scope::Read, Opens::Reading);

const fn open(method: &'static str, path: &'static str, needs: Needs) -> Rule {
    Rule { method, path, needs, action: None, rate: None }
}

const fn audited(method: &'static str, path: &'static str, needs: Needs, action: &'static str) -> Rule {
    Rule { method, path, needs, action: Some(action), rate: None }
}

impl Rule {
    const fn limited(self, kind: RateKind) -> Self {
        Self { rate: Some(kind), ..self }
    }
}

/// The table. The document is open, because it says how to come in; the questions of a wizard need what its create needs,
/// because they send credentials out.
pub const RULES: &[Rule] = &[
    open("GET", "/healthz", Needs::Nothing),
    open("GET", "/readyz", Needs::Nothing),
    open("GET", "/metrics", READ),
    open("GET", "/api/v1/openapi.json", Needs::Nothing),
    open("GET", "/api/v1/deployments", READ),
    open("POST", "/api/v1/credentials/validate", CREATE).limited(RateKind::Questions),
    open("POST", "/api/v1/subdomains/check", CREATE).limited(RateKind::Questions),
    open("POST", "/api/v1/sshkey/generate", CREATE).limited(RateKind::Questions),
    audited("POST", "/api/v1/deployments", CREATE, "create").limited(RateKind::Creates),
    open("GET", "/api/v1/deployments/{id}", FOLLOW),
    audited("DELETE", "/api/v1/deployments/{id}", Needs::Scope(Scope::Admin), "destroy").limited(RateKind::Changes),
    open("GET", "/api/v1/deployments/{id}/events", FOLLOW),
    open("GET", "/api/v1/deployments/{id}/logs", FOLLOW),
    audited(
        "GET",
        "/api/v1/deployments/{id}/kubeconfig",
        Needs::OrReadToken(Scope::Kubeconfig, Opens::ReadingAndKubeconfig),
        "take-kubeconfig",
    ),
    // Its handler audits it, once the bearer was found right.
    open("PUT", "/api/v1/deployments/{id}/kubeconfig", Needs::NodeBearer),
    audited("POST", "/api/v1/deployments/{id}/phases/{phase}/retry", CREATE, "retry").limited(RateKind::Changes),
    // Who creates without reading has the token of the create, and may send that again: another deployment's it must not get.
    audited("POST", "/api/v1/deployments/{id}/read-tokens", READ, "give-read-token").limited(RateKind::Questions),
    audited("DELETE", "/api/v1/deployments/{id}/read-tokens", Needs::Scope(Scope::Admin), "end-read-tokens"),
    open("POST", "/api/v1/previews", CREATE).limited(RateKind::Questions),
    open("GET", "/api/v1/providers", Needs::Either(Scope::Read, Scope::Create)),
    open("GET", "/api/v1/providers/{id}", Needs::Either(Scope::Read, Scope::Create)),
    open("POST", "/api/v1/registrar/{registrar}/validate", CREATE).limited(RateKind::Questions),
    audited("POST", "/api/v1/registrar/{registrar}/set-ns", CREATE, "set-nameservers").limited(RateKind::Changes),
];

/// Every route with its methods; the contract's list is held against it by a test.
pub const ROUTES: &[(&str, &str)] = &{
    let mut routes = [("", ""); RULES.len()];
    let mut at = 0;
    while at < RULES.len() {
        routes[at] = (RULES[at].method, RULES[at].path);
        at += 1;
    }
    routes
};

/// The line of a route.
pub fn rule(method: &Method, path: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.path == path && rule.method == method.as_str())
}

/// Whether a listener answers `HEAD` where it answers `GET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// The API, because the contract has it so.
    Refused,
    /// The address of metrics and probes alone.
    Answered,
}

/// The refusal of a method that a path does not have. Its `Allow` names the methods that are answered there, and no other.
pub fn method_not_allowed(path: &str, head: Head) -> ApiError {
    let answered = |method: &'static str| {
        let with_head = method == "GET" && head == Head::Answered;
        std::iter::once(method).chain(with_head.then_some("HEAD"))
    };
    let allowed = ROUTES.iter().filter(|(_, route)| *route == path).flat_map(|(method, _)| answered(method));
    ApiError::MethodNotAllowed(allowed.collect())
}
