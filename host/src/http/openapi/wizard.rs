//! What a page asks before it creates.

use super::bodies::{CredentialBody, KeyBody, NameserversBody, RegistrarBody, SubdomainBody};
use super::route::{Route, anything, in_path, one_of};
use crate::dns::pdm::Availability;
use crate::dns::registrar::{BodyFault, ForwardError, Registrar, UnsupportedRegistrar};
use crate::http::credentials::CredentialVerdict;
use crate::http::error::ApiError;
use crate::http::registrar::LIMIT;
use crate::http::sshkey::KeyPair;
use catalyst_domain::json::{DuplicateKey, JsonError};
use catalyst_domain::request::given_twice;
use utoipa::openapi::Required;

pub fn routes() -> Vec<Route> {
    vec![credentials(), subdomains(), key(), validate(), set_nameservers()]
}

fn tagged(path: &'static str, id: &str, summary: &str) -> Route {
    Route::new(("POST", path), "wizard", id, summary)
}

fn credentials() -> Route {
    tagged("/api/v1/credentials/validate", "proveCredential", "Proves a credential at its own cloud")
        .reads::<CredentialBody>(Required::True, "The credential and its provider.")
        .answers::<CredentialVerdict>(200, "What the cloud said of it.")
        .answers::<CredentialVerdict>(400, "It was sent nowhere, because of what `message` says.")
        .answers::<CredentialVerdict>(503, "The cloud could not be asked.")
        .with_header(200, "Cache-Control", "`no-store`.")
        .body_faults()
        .fails([ApiError::Provider("the plugin failed".to_owned())])
}

fn subdomains() -> Route {
    tagged("/api/v1/subdomains/check", "checkSubdomain", "Whether a name is free")
        .reads::<SubdomainBody>(Required::True, "The name.")
        .answers::<Availability>(200, "The verdict; that nobody could be asked is one too.")
        .answers::<Availability>(400, "The body is not of that form.")
        .body_faults()
}

fn key() -> Route {
    tagged("/api/v1/sshkey/generate", "makeKeyPair", "A fresh Ed25519 key pair; nothing is kept")
        .reads::<KeyBody>(Required::False, "For the comment of the key. One that cannot be read counts as none.")
        .answers::<KeyPair>(200, "It.")
        .with_header(200, "Cache-Control", "`no-store`.")
        .body_faults()
        .fails([
            ApiError::Findings(vec![given_twice(&DuplicateKey {
                pointer: "/fqdn".to_owned(),
                key: "fqdn".to_owned(),
            })]),
            ApiError::NoRandomness,
            ApiError::NoKey("the key could not be written".to_owned()),
        ])
}

fn validate() -> Route {
    let path = "/api/v1/registrar/{registrar}/validate";
    registrar(tagged(path, "proveRegistrarToken", "Whether a registrar token reaches a domain"))
        .reads::<RegistrarBody>(Required::True, "Domain and token; they are passed on as they are.")
        .fails([
            ApiError::RegistrarBody(BodyFault::InvalidBody),
            ApiError::RegistrarBody(BodyFault::MissingDomain),
            ApiError::RegistrarBody(BodyFault::MissingToken),
        ])
}

fn set_nameservers() -> Route {
    let path = "/api/v1/registrar/{registrar}/set-ns";
    registrar(tagged(path, "setNameservers", "Points a domain at nameservers"))
        .reads::<NameserversBody>(Required::True, "Passed on as it is; the pool-domain manager judges it.")
        .fails([ApiError::RegistrarBody(BodyFault::Duplicate(JsonError::Duplicate(Vec::new())))])
}

/// What both calls to a registrar have in common.
fn registrar(route: Route) -> Route {
    let names = in_path("registrar", "Who holds the domain.", one_of(Registrar::ALL.map(Registrar::as_str)));
    route
        .takes(names)
        .answers_other(200, "The pool-domain manager's answer, as it is.", Some(("application/json", anything())))
        .answers_otherwise("The manager's answer, with its own status and shape.", anything())
        .fails([
            ApiError::UnsupportedRegistrar(UnsupportedRegistrar),
            ApiError::RegistrarTooLarge(LIMIT),
            ApiError::PdmUnreachable(ForwardError::TooLarge),
        ])
}
