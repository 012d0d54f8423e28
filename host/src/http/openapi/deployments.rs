//! What clusters can be asked and told.

use super::BEARER;
use super::bodies::{CreateBody, DestroyBody, RetryBody};
use super::route::{Route, audit_unavailable, in_header, in_path, in_query, number, one_of, text, text_like};
use crate::driver::idempotency::KEY_LENGTH;
use crate::http::body::KUBECONFIG_DEADLINE;
use crate::http::error::ApiError;
use crate::http::events::Events;
use crate::http::list::{LIMITS, List};
use crate::http::previews::PreviewAnswer;
use crate::http::read_tokens::Given;
use crate::http::retry::RetryAnswer;
use crate::http::too_many::TooMany;
use crate::http::wire::{Begun, State};
use crate::limits::{self, LiveFault};
use catalyst_domain::Refused;
use catalyst_domain::kubeconfig::{BearerFault, BodyFault, MAX_BYTES};
use catalyst_domain::phase::RetryPhase;
use catalyst_domain::read_token::MOST;
use catalyst_domain::{DeploymentId, Finding, Status, Timestamp};
use catalyst_store::{AcceptError, CreateError, KubeconfigError, StorageError};
use std::time::Duration;
use utoipa::openapi::Required;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

const COLLECTION: &str = "/api/v1/deployments";
const ONE: &str = "/api/v1/deployments/{id}";
const KUBECONFIG: &str = "/api/v1/deployments/{id}/kubeconfig";

const READ_TOKENS: &str = "/api/v1/deployments/{id}/read-tokens";

pub fn routes() -> Vec<Route> {
    vec![
        list(),
        create(),
        get(),
        destroy(),
        events(),
        logs(),
        kubeconfig(),
        put_kubeconfig(),
        retry(),
        give(),
        end(),
        preview(),
    ]
}

fn tagged(place: (&'static str, &'static str), id: &str, summary: &str) -> Route {
    Route::new(place, "deployments", id, summary)
}

fn list() -> Route {
    let statuses = one_of(Status::ALL.map(Status::as_str));
    tagged(("GET", COLLECTION), "listDeployments", "All deployments, oldest first, a page at a time")
        .takes(in_query("status", "Only those that stand here.", statuses))
        .takes(in_query("fqdn", "Only those of this DNS name.", text()))
        .takes(in_query("provider", "Only those of this provider.", text()))
        .takes(in_query("after", "The `next` of an earlier page.", text()))
        .takes(in_query("limit", "Deployments of a page.", number(1, u32::try_from(LIMITS.1).ok())))
        .answers::<List>(200, "A page.")
        .fails([findings("?limit", "out-of-range", "limit: it must be a whole number from 1 to 200")])
}

fn create() -> Route {
    let usual = limits::Settings::default();
    let key =
        format!("Names this create, with 1 to {KEY_LENGTH} printable characters: sent again, it makes no second one.");
    tagged(("POST", COLLECTION), "createDeployment", "Creates a deployment and starts it")
        .says(
            "The same `Idempotency-Key` and request of the same caller get the answer of the first time again, \
             but for the read token.",
        )
        .takes(in_header("Idempotency-Key", &key, text()))
        .reads::<CreateBody>(Required::True, "What is asked for, with the credentials and settings of its cloud.")
        .answers::<Begun>(201, "Its record is on disk.")
        .with_header(201, "Idempotent-Replayed", "`true` when the answer was given before.")
        .with_header(201, "Set-Cookie", "Where callers are known: the read token, for this deployment's routes alone.")
        .with_header(201, "Cache-Control", "`no-store`, where a read token is told.")
        .body_faults()
        .fails([
            findings("/orgName", "required", "orgName: an organisation name is required"),
            ApiError::Create(CreateError::NameTaken {
                fqdn: "a.example".to_owned(),
                owner: some_id(),
                status: Status::Ready,
            }),
            ApiError::SubdomainConflict("somebody else has the name".to_owned()),
            ApiError::OtherRender { approved: String::new(), found: String::new() },
            ApiError::OtherRequest(some_id()),
            ApiError::TooMany(TooMany::Live(LiveFault::Live(usual.live))),
            ApiError::TooMany(TooMany::Live(LiveFault::Waiting(usual.waiting))),
            ApiError::NoRandomness,
            ApiError::Broken,
            ApiError::Provider("the plugin failed".to_owned()),
            ApiError::PdmUnavailable("the pool-domain manager did not answer".to_owned()),
            storage(),
            ApiError::Draining,
        ])
}

fn get() -> Route {
    one(("GET", ONE), "getDeployment", "The state of a deployment").answers::<State>(200, "It.")
}

fn destroy() -> Route {
    one(("DELETE", ONE), "destroyDeployment", "Removes what a deployment made")
        .says("Its log tells how it goes. While the cluster answers, Flux is suspended and Services of type LoadBalancer are deleted \
             before OpenTofu runs. What stays in the cloud is named in the log and as `remaining`. Pages of other origins are never \
             allowed to call it.")
        .reads::<DestroyBody>(
            Required::False,
            "Whether volumes are deleted; and credentials that are no longer kept, under their keys of the create.",
        )
        .answers::<Begun>(202, "It is on record that it is to be destroyed.")
        .body_faults()
        .fails(takes_up())
}

fn events() -> Route {
    one(("GET", "/api/v1/deployments/{id}/events"), "listEvents", "State and whole log of a deployment")
        .answers::<Events>(200, "All of it.")
        .fails([storage()])
}

fn logs() -> Route {
    one(("GET", "/api/v1/deployments/{id}/logs"), "followDeployment", "The log of a deployment as server-sent events")
        .says(
            "Each entry is an event with its number as `id` and an `Entry` as `data`. The last event is `done` with the \
             `State`, or `access-ended` with a `Problem` where the token that opened it has ended; a stream that ends without it is to be taken up again. Comments keep a quiet stream open.",
        )
        .takes(in_header("Last-Event-ID", "Number of the last entry that was seen; the stream goes on after it.", number(0, None)))
        .answers_other(200, "From there to the end of the run.", Some(("text/event-stream", event())))
        .with_header(200, "Cache-Control", "`no-cache`.")
        .fails([storage()])
}

fn kubeconfig() -> Route {
    one(("GET", KUBECONFIG), "getKubeconfig", "The kubeconfig of a deployment")
        .answers_other(200, "As the node handed it in.", Some(("application/yaml", yaml())))
        .with_header(200, "Cache-Control", "`no-store`.")
        .with_header(200, "Content-Disposition", "A file name.")
        .fails([
            ApiError::Kubeconfig(KubeconfigError::NotYet),
            ApiError::Kubeconfig(KubeconfigError::Destroyed),
            ApiError::Kubeconfig(KubeconfigError::Unchecked),
            ApiError::Kubeconfig(KubeconfigError::Refused(String::new())),
            ApiError::Kubeconfig(KubeconfigError::FileMissing),
            storage(),
        ])
}

fn put_kubeconfig() -> Route {
    let invalid = |words: &str| ApiError::Accept(AcceptError::Body(BodyFault::Invalid(words.to_owned())));
    let unsafe_one = |words: &str| ApiError::Accept(AcceptError::Body(BodyFault::Unsafe(words.to_owned())));
    one(("PUT", KUBECONFIG), "handInKubeconfig", "The first node hands in its kubeconfig, once")
        .says("At most 1 MiB within 60 s. Who has no right bearer is refused before the body is read.")
        .bearer(BEARER)
        .reads_other("application/yaml", yaml(), "The kubeconfig.")
        .answers_other(204, "File and record are on disk.", None)
        .fails([
            ApiError::MissingBearer,
            ApiError::Accept(AcceptError::Bearer(BearerFault::NoHash)),
            ApiError::Accept(AcceptError::Bearer(BearerFault::Removed(Status::Destroyed))),
            ApiError::Accept(AcceptError::Bearer(BearerFault::Invalid)),
            ApiError::Accept(AcceptError::AlreadySet { same: false }),
            ApiError::TooManyWrongBearers(Duration::from_secs(3)),
            ApiError::BodyUnreadable,
            ApiError::BodyTooSlow(KUBECONFIG_DEADLINE),
            ApiError::KubeconfigTooLarge(MAX_BYTES),
            ApiError::KubeconfigEmpty,
            invalid("it names no cluster"),
            unsafe_one("it would run a program"),
            ApiError::Accept(AcceptError::Folder(disk())),
            ApiError::Accept(AcceptError::Storage(disk())),
            audit_unavailable(),
        ])
}

fn retry() -> Route {
    let place = ("POST", "/api/v1/deployments/{id}/phases/{phase}/retry");
    one(place, "retryPhase", "Takes a failed deployment up again")
        .takes(in_path("phase", "The phase to retry.", one_of(RetryPhase::names())))
        .says("Servers that are damaged or gone are made anew. Before a kubeconfig was accepted that means all of them, with a new bearer; \
             afterwards one that is made joins the others. A cluster whose data would be lost is made anew only with `acceptDataLoss`.")
        .reads::<RetryBody>(
            Required::False,
            "Credentials that are no longer kept, under their keys of the create; and whether a loss of data is accepted.",
        )
        .answers::<RetryAnswer>(200, "What was taken up, or what a person has to do.")
        .body_faults()
        .fails(takes_up())
        .fails([
            ApiError::UnknownPhase("x".to_owned()),
            ApiError::DataLoss("the cluster's data would be lost".to_owned()),
            ApiError::SubdomainConflict("somebody else has the name".to_owned()),
            ApiError::PdmUnavailable("the pool-domain manager did not answer".to_owned()),
            ApiError::Broken,
        ])
}

fn give() -> Route {
    one(("POST", READ_TOKENS), "giveReadToken", "Another read token of a deployment")
        .says("It lasts a week. It opens the kubeconfig too where its asker has that scope. There are eight at most, that of the \
             create among them; none is given up for a later one.")
        .answers::<Given>(201, "It is told this once.")
        .with_header(201, "Set-Cookie", "The read token, for this deployment's routes alone.")
        .with_header(201, "Cache-Control", "`no-store`.")
        .fails([
            ApiError::NobodyIsKnown,
            ApiError::Refused(Refused::ReadTokensTaken { count: MOST, until: Timestamp::UNIX_EPOCH }),
            ApiError::NoRandomness,
            storage(),
            ApiError::Draining,
        ])
}

fn end() -> Route {
    one(("DELETE", READ_TOKENS), "endReadTokens", "Ends every read token of a deployment")
        .says("Streams that they opened end within half a minute. Pages of other origins are never allowed to call it.")
        .answers_other(204, "None opens it any more.", None)
        .fails([storage(), ApiError::Draining])
}

fn preview() -> Route {
    let against = in_query("against", "A deployment to compare with.", text_like(ID));
    tagged(("POST", "/api/v1/previews"), "previewDeployment", "What a create would do; nothing is created")
        .takes(against)
        .reads::<CreateBody>(Required::True, "As for a create.")
        .answers::<PreviewAnswer>(200, "Findings and, without an error among them, the whole render.")
        .body_faults()
        .fails([
            findings("", "invalid-json", "invalid request body: it must be a JSON object"),
            ApiError::UnknownDeployment,
            ApiError::NothingRendered,
            ApiError::NoRandomness,
            ApiError::Provider("the plugin failed".to_owned()),
            storage(),
        ])
}

/// One event of a stream, as a client reads it.
fn event() -> Object {
    let field = |words: &str| ObjectBuilder::new().schema_type(Type::String).description(Some(words));
    let known = "An `Entry`, or for `done` the `State`, as JSON.";
    ObjectBuilder::new()
        .property("id", field("Number of the entry; `Last-Event-ID` of a stream that goes on after it."))
        .property("event", field("`done`, or `access-ended`, for the last one."))
        .property("data", field(known))
        .required("data")
        .build()
}

/// A kubeconfig: text, which neither side reads as an object of the API.
fn yaml() -> Object {
    let words = "YAML of the form `apiVersion: v1`, `kind: Config`.";
    ObjectBuilder::new().schema_type(Type::String).description(Some(words)).build()
}

const ID: &str = "^[0-9a-f]{16}$";

/// An operation on one deployment.
fn one(place: (&'static str, &'static str), id: &str, summary: &str) -> Route {
    tagged(place, id, summary).takes(the_id()).fails([ApiError::UnknownDeployment])
}

fn the_id() -> Parameter {
    in_path("id", "The deployment.", text_like(ID))
}

/// What any taking up of a deployment can answer.
fn takes_up() -> [ApiError; 8] {
    [
        findings("/cloudToken", "length", "cloudToken: the token must have exactly 64 characters, not 5"),
        ApiError::Refused(Refused::Busy(Status::Provisioning)),
        ApiError::CredentialsNeeded(vec!["cloudToken".to_owned()]),
        ApiError::ProviderNotLoaded("some-cloud".to_owned()),
        ApiError::NoState,
        ApiError::NoRandomness,
        storage(),
        ApiError::Draining,
    ]
}

fn findings(pointer: &str, code: &str, message: &str) -> ApiError {
    ApiError::Findings(vec![Finding::error(pointer, code, message)])
}

fn storage() -> ApiError {
    ApiError::Storage(disk())
}

fn disk() -> StorageError {
    StorageError { doing: "write a record", why: "the disk is full".to_owned() }
}

fn some_id() -> DeploymentId {
    DeploymentId::from_bytes([0; 8])
}
