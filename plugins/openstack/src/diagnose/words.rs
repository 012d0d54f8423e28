//! Words of the services, the provider and OpenTofu, for texts without an answer of a service.

use catalyst_plugin_sdk::diagnosis::{first, has_any};

use super::Cause;
use super::answer::{ATTACHED, BALANCER_PROVIDER, BUSY, NO_ADDRESS, NO_DISK, NO_HOST, limit};

/// The first that matches counts.
const WORDS: &[(Cause, &[&str])] = &[
    (Cause::NoAddress, NO_ADDRESS),
    (Cause::NoHost, NO_HOST),
    (
        Cause::BrokenBalancer,
        &["error waiting for loadbalancer", "waiting for openstack_lb_", "loadbalancer became error"],
    ),
    (Cause::BrokenServer, &[BROKEN_SERVER]),
    (Cause::NoService, &["no suitable endpoint could be found", "no endpoint found"]),
    (Cause::BalancerProvider, BALANCER_PROVIDER),
    (Cause::BalancerProvider, &["got 501 instead"]),
    (
        Cause::NotThere,
        &[
            "your query returned no results",
            "no flavor found",
            "no network found with name",
            "invalid imageref",
            "invalid flavorref",
        ],
    ),
    (Cause::Ambiguous, &["your query returned more than one result"]),
    (Cause::NoDisk, NO_DISK),
    (Cause::RateLimit, &["got 429 instead", "too many requests"]),
    (
        Cause::RefusedCredential,
        &[
            "got 401 instead",
            "requires authentication",
            "authentication failed",
            "unable to authenticate",
            "application_credential_id must",
            "application_credential_secret must",
        ],
    ),
    (Cause::NoRights, &["got 403 instead", "disallowed by policy", "policy doesn't allow", "is disallowed"]),
    (Cause::Busy, BUSY),
    (Cause::StillAttached, ATTACHED),
    (
        Cause::NameTaken,
        &[
            "already exists",
            "already allocated",
            "ipaddressinuse",
            "already using the protocol",
            "got 409 instead",
            "still in use",
            "inuse",
        ],
    ),
    (
        Cause::Unavailable,
        &[
            "got 500 instead",
            "got 502 instead",
            "got 503 instead",
            "got 504 instead",
            "timeout while waiting for state",
            "context deadline exceeded",
            "i/o timeout",
            "connection reset",
            "connection refused",
            "no route to host",
            "network is unreachable",
            "tls handshake",
            "unexpected eof",
            "connection error, retries exhausted",
            // How Go says that the connection ended before the answer.
            "\": eof",
        ],
    ),
    (
        Cause::InvalidValue,
        &["got 400 instead", "invalid input", "invalid value for variable", "no value for required variable"],
    ),
];

/// How the provider says that the cloud gave a server up. What follows is the cloud's word.
const BROKEN_SERVER: &str = "unexpected state 'error', wanted target 'active'";

/// A resource whose removal the provider waits for while the service answers 409, which it does not tell: something uses it.
const WAITED_FOR: &str = "timeout while waiting for state to become 'deleted'";
const USED_BY_OTHERS: [&str; 5] = [
    "openstack_networking_network_v2",
    "openstack_networking_subnet_v2",
    "openstack_networking_router",
    "openstack_networking_secgroup_v2",
    "openstack_networking_port_v2",
];

/// Whether the cloud itself says all that follows, so that a disk in it is the cloud's.
pub(super) fn is_of_a_server(words: &str) -> bool {
    words.contains(BROKEN_SERVER)
}

/// What the words tell; `address` is the resource that failed.
pub(super) fn cause(words: &str, address: Option<&str>) -> Option<Cause> {
    if let Some(limit) = limit(words) {
        return Some(limit);
    }
    let is_used =
        |resource: &str| words.contains(resource) || address.is_some_and(|address| address.starts_with(resource));
    if words.contains(WAITED_FOR) && (has_any(words, ATTACHED) || USED_BY_OTHERS.into_iter().any(is_used)) {
        return Some(Cause::StillAttached);
    }
    first(words, WORDS)
}
