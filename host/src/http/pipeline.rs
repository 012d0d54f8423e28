//! What every request passes before its handler and every answer after it, in this order: counted, traced, its `Host`, CORS,
//! `HEAD`, panics, access. It is one layer, because each layer of a router costs every request a clone and an allocation.

use super::cors::{AllowedOrigin, Granted};
use super::error::ApiError;
use super::measure::Measured;
use super::request_id::Traced;
use super::routes::{Head, method_not_allowed};
use super::{Served, access, host_header};
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;

/// Takes a request through to its handler, and the answer back.
pub async fn run(State(served): State<Served>, request: Request, next: Next) -> Response {
    let measured = Measured::begin(&request);
    let response = dressed(&served.allowed_origin, request, |request| access::guard(&served, request, next)).await;
    measured.end(&served.app.metrics, response.status());
    response
}

/// What holds for every route, whoever calls.
async fn dressed<F>(origin: &AllowedOrigin, mut request: Request, handle: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let traced = Traced::begin(&mut request);
    let answer = async {
        if let Err(refusal) = host_header::check(&mut request) {
            return refusal.into_response();
        }
        let granted = match Granted::of(origin, &request) {
            Ok(granted) => granted,
            Err(preflight) => return *preflight,
        };
        granted.mark(match no_head(&request) {
            Some(refusal) => refusal.into_response(),
            None => {
                let handled = AssertUnwindSafe(handle(request)).catch_unwind().await;
                // The text of a panic is for the trace, where the panic hook has put it with its place.
                handled.unwrap_or_else(|_| ApiError::Panicked.into_response())
            }
        })
    };
    traced.run(answer).await
}

/// The contract serves no HEAD, which axum would answer for every GET.
fn no_head(request: &Request) -> Option<ApiError> {
    (request.method() == Method::HEAD).then(|| match request.extensions().get::<MatchedPath>() {
        Some(path) => method_not_allowed(path.as_str(), Head::Refused),
        None => ApiError::NoRoute,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::http::header::CONTENT_TYPE;
    use axum::middleware;
    use axum::routing::get;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a3_a_handler_that_panics_costs_its_own_request_only() {
        let dress = async |request: Request, next: Next| {
            dressed(&AllowedOrigin::Any, request, |request| next.run(request)).await
        };
        let routes = Router::new().route("/boom", get(async || -> &str { panic!("sentinel") }));
        let router = routes.layer(middleware::from_fn(dress));
        for _ in 0..2 {
            let request = Request::get("/boom").header("host", "a").header("origin", "https://a.example");
            let request = request.body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), 500);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
            assert!(response.headers().contains_key("x-request-id"));
            assert_eq!(response.headers()["access-control-allow-origin"], "*");
            let body = to_bytes(response.into_body(), 1024).await.unwrap();
            assert!(body.starts_with(b"{") && !body.windows(8).any(|w| w == b"sentinel"), "{body:?}");
        }
    }
}
