//! `GET /api/v1/openapi.json`: the API as a document for programs, made from the code that answers.
//!
//! Shapes come from the types that are sent, and a failure's status, code and headers from the very value that a handler
//! would give. Which of them an operation can give stands in a table a resource; tests hold it to the list of routes and
//! to what a running host answers. It must not know how a request is handled.

mod bodies;
mod deployments;
mod probes;
mod providers;
mod route;
mod wizard;

use super::ROUTES;
use super::error::ApiError;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use route::{Route, failure_response};
use std::sync::LazyLock;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathsBuilder};

/// Name of the one-time bearer among the security schemes.
const BEARER: &str = "kubeconfigBearer";
/// Name of a caller's token among them.
const TOKEN: &str = "token";
/// Name of the cookie with a read token.
const READ_COOKIE: &str = "readToken";

const WORDS: &str = "Creates Kubernetes clusters on any cloud. What a cloud needs beside the keys named here stands in \
    `settingsSchema` and `secrets` of `GET /api/v1/providers/{id}`.\n\n\
    What is not among the responses of an operation, because it is decided before one is found: 404 `not-found` for \
    another path, 405 with one `Allow` for each right method (`HEAD` is not served), 503 `too-many-connections`, and \
    400 or 431 without a body for a head that is no HTTP or over 64 KiB.\n\n\
    Bodies are read whatever their content type says, but for those of pages where the host was started without \
    authentication: there a POST with `Origin` or `Sec-Fetch-Site` must be `application/json`. Their keys match in any \
    case, keys that are not known are passed over, and `null` means that a key is not given. A body over 256 KiB is \
    refused, and so is one that takes longer than 20 s. Every answer names its request in `X-Request-Id`, which is taken \
    over from the request where it is plain. Times are RFC 3339 in UTC with whole seconds.\n\n\
    Where the host was started without authentication, no token is asked for, and none is told. Pages of other \
    origins than its own and the one that it was told to let in are then refused with `foreign-origin`. A name in \
    `Host` that the host does not answer to is refused with `foreign-host`.";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_pretty_json().unwrap_or_default());

/// The document.
pub async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

/// The document of all routes.
pub fn document() -> OpenApi {
    let mut paths = PathsBuilder::new();
    let mut components = ComponentsBuilder::new();
    for route in routes() {
        let (path, item, schemas) = route.finish();
        paths = paths.path(path, item);
        components = components.schemas_from_iter(schemas);
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The one-time bearer that the user data of a deployment's first node carries."));
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "A caller's token. What it allows are the scopes `read`, `create`, `kubeconfig` and `admin`, which allows all. The \
         `readToken` of a create is one too, for that deployment alone.",
    ));
    let words = "The `readToken` of a create as a browser carries it, to that deployment's routes alone.";
    let cookie = ApiKeyValue::with_description(super::cookie::NAME, words);
    let components = components
        .response("NotFound", failure_response(ApiError::NoRoute))
        .response("MethodNotAllowed", failure_response(ApiError::MethodNotAllowed(vec!["GET"])))
        .security_scheme(BEARER, SecurityScheme::Http(bearer.build()))
        .security_scheme(TOKEN, SecurityScheme::Http(token.build()))
        .security_scheme(READ_COOKIE, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    let license = LicenseBuilder::new().name(env!("CARGO_PKG_LICENSE")).identifier(Some(env!("CARGO_PKG_LICENSE")));
    let info = InfoBuilder::new()
        .title("Catalyst")
        .version(env!("CARGO_PKG_VERSION"))
        .license(Some(license.build()))
        .description(Some(WORDS));
    let tags = [
        ("deployments", "Clusters, from their create to their destroy"),
        ("wizard", "What a page asks before it creates"),
        ("providers", "Clouds"),
        ("host", "This host"),
    ]
    .map(|(name, words)| TagBuilder::new().name(name).description(Some(words)).build());
    OpenApiBuilder::new()
        .info(info.build())
        .tags(Some(tags))
        .paths(paths.build())
        .components(Some(components.build()))
        .build()
}

/// Every operation, in the order of [`ROUTES`].
fn routes() -> Vec<Route> {
    let mut all = Vec::new();
    all.extend(probes::routes());
    all.extend(deployments::routes());
    all.extend(wizard::routes());
    all.extend(providers::routes());
    all.sort_by_key(|route| ROUTES.iter().position(|of| *of == route.place()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_has_the_routes_and_no_others() {
        let documented: Vec<(&str, &str)> = routes().iter().map(Route::place).collect();
        let served: BTreeSet<(&str, &str)> = ROUTES.iter().copied().collect();
        assert_eq!(documented.iter().copied().collect::<BTreeSet<_>>(), served);
        assert_eq!(documented.len(), served.len(), "an operation is described twice");
        let text = document().to_json().unwrap();
        let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut written = BTreeSet::new();
        for (path, item) in whole["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                written.insert((method.to_uppercase(), path.clone()));
            }
        }
        let served: BTreeSet<_> = ROUTES.iter().map(|(m, p)| ((*m).to_owned(), (*p).to_owned())).collect();
        assert_eq!(written, served);
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let text = document().to_json().unwrap();
        let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
        let schemas: BTreeSet<&String> = whole["components"]["schemas"].as_object().unwrap().keys().collect();
        let mut used = BTreeSet::new();
        references(&whole, &mut used);
        assert!(!used.is_empty());
        for reference in &used {
            assert!(whole.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
        }
        let of_schemas = |name: &&&String| !used.contains(&format!("#/components/schemas/{name}"));
        let unused: Vec<_> = schemas.iter().filter(of_schemas).collect();
        assert!(unused.is_empty(), "{unused:?}");
    }

    #[test]
    fn a_kubeconfig_is_text_in_both_directions() {
        let whole: serde_json::Value = serde_json::from_str(&document().to_json().unwrap()).unwrap();
        let operations = &whole["paths"]["/api/v1/deployments/{id}/kubeconfig"];
        let (put, get) = (&operations["put"]["requestBody"], &operations["get"]["responses"]["200"]);
        for content in [&put["content"], &get["content"]] {
            let types: Vec<&String> = content.as_object().unwrap().keys().collect();
            assert_eq!(types, ["application/yaml"]);
            assert_eq!(content["application/yaml"]["schema"]["type"], "string", "{content}");
        }
    }

    fn references(value: &serde_json::Value, found: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(map) => {
                found.extend(map.get("$ref").and_then(|r| r.as_str()).map(str::to_owned));
                map.values().for_each(|inner| references(inner, found));
            }
            serde_json::Value::Array(list) => list.iter().for_each(|inner| references(inner, found)),
            _ => {}
        }
    }
}
