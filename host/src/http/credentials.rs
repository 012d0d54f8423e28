//! `POST /api/v1/credentials/validate`. The secret goes to the hosts that the provider of the request declares, and nowhere
//! else; the answer says what was proven and no more [H-8].

use super::body;
use super::error::ApiError;
use super::fields::Fields;
use crate::app::App;
use crate::fault_origin;
use crate::outbound::{Outbound, ProbeError, Url, probe};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use catalyst_domain::Finding;
use catalyst_domain::finding::{joined_errors, limit};
use catalyst_domain::provider::{Descriptor, SecretSpec, Verdict};
use catalyst_domain::request::known_settings;
use catalyst_domain::{SecretValue, Secrets};
use catalyst_sandbox::Provider;
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

/// The verdict as clients see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialVerdict {
    /// Whether the cloud accepted it.
    valid: bool,
    /// What was proven, or what is wrong; a sentence for a person.
    message: String,
    /// What is wrong with the settings that came with the credential, key by key; absent where nothing is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
}

type Reply = (StatusCode, [(HeaderName, &'static str); 1], Json<CredentialVerdict>);

/// Proves a credential at its own cloud.
pub async fn validate(State(app): State<Arc<App>>, body: Body) -> Result<Reply, ApiError> {
    let body = body::read(body, body::POST_LIMIT, ApiError::BodyTooLarge).await?;
    let fields = Fields::parse(&body)
        .and_then(|f| Ok((SecretValue::new(f.text("token")?), f.text("provider")?, f.others(&["token", "provider"]))));
    let (token, id, others) = match fields {
        Ok(fields) => fields,
        Err(fault) => {
            let form = "invalid request body: it must be a JSON object with the strings token and provider";
            return Ok(refused(fault.said(form)));
        }
    };
    let id = id.trim();
    let Some(provider) = app.sandbox.provider(id) else {
        return Ok(refused(unknown(&app, id)));
    };
    // What of it the cloud's own schema names goes to the plugin; another cloud's secret never does.
    let mut settings = known_settings(others, provider.descriptor(), &secret_keys(&app));
    let judged = provider.judge_settings(&settings).await.map_err(|error| ApiError::Provider(error.to_string()))?;
    settings.retain(|key, _| !judged.unfit.contains(key));
    // What a create needs beside them is not asked for here.
    let mut findings: Vec<Finding> = judged.findings.into_iter().filter(Finding::is_error).collect();
    let outbound = app.outbound.with_fixed(provider.rights().addresses());
    findings.extend(outbound.destinations().judge(&settings, provider.descriptor()).await);
    limit(&mut findings);
    if !findings.is_empty() {
        let (status, headers, Json(verdict)) = refused(joined_errors(&findings));
        return Ok((status, headers, Json(CredentialVerdict { findings, ..verdict })));
    }
    let outcome = judge(&outbound, &provider, &token, &settings).await?;
    tracing::info!(
        provider.id = id,
        http.status = outcome.0.as_u16(),
        credential.valid = outcome.2.valid,
        "credential judged"
    );
    Ok(outcome)
}

/// Request keys of all secrets of all providers.
fn secret_keys(app: &App) -> Vec<String> {
    let keys_of = |provider: &Arc<Provider>| -> Vec<String> {
        provider.descriptor().request_secrets().map(|(_, key)| key.to_owned()).collect()
    };
    app.sandbox.providers().iter().flat_map(keys_of).collect()
}

async fn judge(
    outbound: &Outbound,
    provider: &Provider,
    token: &SecretValue,
    settings: &Map<String, Value>,
) -> Result<Reply, ApiError> {
    let broken = |error: &dyn std::error::Error| ApiError::Provider(error.to_string());
    let descriptor = provider.descriptor();
    let Some(spec) = credential(descriptor) else {
        return Ok(refused(format!("{} takes no credential", descriptor.display_name)));
    };
    let token = token.expose().trim();
    if let Some(fault) = length_fault(spec, token) {
        return Ok(refused(fault));
    }
    if let Some(prefix) = spec.refused_prefixes.iter().find(|prefix| token.starts_with(prefix.as_str())) {
        return Ok(said(StatusCode::OK, false, format!("a {} that begins with {prefix} is made up", spec.label)));
    }
    let mut secrets = Secrets::default();
    secrets.insert(&spec.name, SecretValue::new(token));
    let probes = match provider.credential_probe(settings).await.map_err(|error| broken(&error))? {
        Ok(probes) => probes,
        Err(why) => return Ok(said(StatusCode::SERVICE_UNAVAILABLE, false, why)),
    };
    let answers = match probe(outbound, &probes, &provider.probe_hosts(&probes), &secrets).await {
        Ok(answers) => answers,
        Err(error @ ProbeError::Refused { .. }) => return Err(ApiError::Provider(error.to_string())),
        Err(error @ ProbeError::Secret { .. }) => return Ok(refused(error.to_string())),
        Err(error @ ProbeError::Unreachable { .. }) => {
            tracing::warn!(provider.id = descriptor.id, %error, "a credential could not be probed");
            let requested = provider.rights().request_addresses(settings).into_iter().filter_map(host_of).collect();
            return Ok(said(StatusCode::SERVICE_UNAVAILABLE, false, unreachable(&error, requested)));
        }
    };
    let verdict = provider.judge_credentials(&answers).await.map_err(|error| broken(&error))?;
    Ok(match verdict {
        Verdict::Accepted(proven) => said(StatusCode::OK, true, proven),
        Verdict::Rejected(why) => said(StatusCode::OK, false, why),
        Verdict::Unreachable(why) => said(StatusCode::SERVICE_UNAVAILABLE, false, why),
    })
}

/// Why nothing was asked, with whose fault that is where this host can tell. `requested` are the hosts that the settings name.
fn unreachable(error: &ProbeError, requested: Vec<String>) -> String {
    let fault = match error {
        ProbeError::Unreachable { host, error } => fault_origin::of_call(error, host, &requested),
        ProbeError::Refused { .. } | ProbeError::Secret { .. } => None,
    };
    match fault {
        Some(fault) => format!("{} ({error}). {}", fault.what_happened, fault.what_to_do),
        None => error.to_string(),
    }
}

/// The host name of an address.
fn host_of(address: &str) -> Option<String> {
    let url = Url::parse(address).ok().filter(Url::has_host);
    let url = url.or_else(|| Url::parse(&format!("https://{address}")).ok())?;
    url.host_str().map(str::to_owned)
}

/// The secret that the one field of this route means: the first that a request must carry, else the first it may.
fn credential(descriptor: &Descriptor) -> Option<&SecretSpec> {
    let carried = || descriptor.request_secrets().map(|(spec, _)| spec);
    carried().find(|spec| spec.required).or_else(|| carried().next())
}

fn length_fault(spec: &SecretSpec, token: &str) -> Option<String> {
    let SecretSpec { label, min_length, max_length, .. } = spec;
    if token.len() < *min_length as usize {
        return Some(format!("too short: a {label} has at least {min_length} characters"));
    }
    (token.len() > *max_length as usize).then(|| format!("too long: a {label} has at most {max_length} characters"))
}

fn unknown(app: &App, id: &str) -> String {
    let ids: Vec<String> = app.sandbox.providers().iter().map(|p| p.descriptor().id.clone()).collect();
    let known = ids.join(", ");
    if id.is_empty() {
        return format!("provider is required: one of {known}");
    }
    let shown: String = id.chars().take(64).collect();
    format!("provider {shown:?} is not loaded here, so the credential was sent nowhere; there are {known}")
}

fn refused(message: impl Into<String>) -> Reply {
    said(StatusCode::BAD_REQUEST, false, message)
}

fn said(status: StatusCode, valid: bool, message: impl Into<String>) -> Reply {
    (
        status,
        [(header::CACHE_CONTROL, "no-store")],
        Json(CredentialVerdict { valid, message: message.into(), findings: Vec::new() }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::{SendError, Unreachable, UnreachableCause};

    #[test]
    fn a_fault_of_this_host_is_told_from_one_of_the_cloud() {
        let said = |cause: UnreachableCause, requested: &[&str]| {
            let error = SendError::Unreachable(Unreachable { cause, why: "no answer".to_owned() });
            let error = ProbeError::Unreachable { host: "auth.cloud.test".to_owned(), error };
            unreachable(&error, requested.iter().map(|&name| name.to_owned()).collect())
        };
        for (cause, begins, names) in [
            (UnreachableCause::Resolver, "The name resolution of this host does not answer", "resolv.conf"),
            (
                UnreachableCause::UnknownName,
                "The name resolution of this host does not know auth.cloud.test",
                "resolv.conf",
            ),
            (UnreachableCause::Proxy, "The proxy of this host (HTTPS_PROXY) cannot be reached", "NO_PROXY"),
            (
                UnreachableCause::ProxyRefused(Some(407)),
                "The proxy of this host (HTTPS_PROXY) does not take",
                "HTTPS_PROXY",
            ),
            (UnreachableCause::ProxyRefused(None), "The proxy of this host (HTTPS_PROXY) opened no way", "NO_PROXY"),
            (UnreachableCause::Certificate, "This host does not trust", "SSL_CERT_FILE"),
            (UnreachableCause::CertificateNotYetValid, "The clock of this host is wrong", "catalyst doctor"),
            (UnreachableCause::CertificateExpired, "The certificate of the other side has expired", "renew"),
            (UnreachableCause::Connection, "auth.cloud.test could not be asked: no answer", ""),
            (UnreachableCause::TimedOut, "auth.cloud.test could not be asked: no answer", ""),
        ] {
            let text = said(cause, &[]);
            assert!(text.starts_with(begins) && text.contains(names), "{text}");
            assert!(text.contains("auth.cloud.test could not be asked: no answer"), "{text}");
        }
        let text = said(UnreachableCause::UnknownName, &["Auth.Cloud.test"]);
        assert!(text.starts_with("The request gives auth.cloud.test as an address of its cloud"), "{text}");
        for address in ["https://auth.cloud.test:5000/v3", "auth.cloud.test:5000", "auth.cloud.test"] {
            assert_eq!(host_of(address).as_deref(), Some("auth.cloud.test"), "{address}");
        }
    }
}
