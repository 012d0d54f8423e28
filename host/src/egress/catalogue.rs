//! The services of a cloud that tells them itself: the catalogue of an Identity API, version 3 (its `POST /auth/tokens`), read
//! with an application credential of the request, and the token that comes with it. The address is a stranger's word and is judged as such; so are the addresses
//! of the catalogue, when they are connected to.

use crate::outbound::{Call, HeaderMap, HeaderName, HeaderValue, Method, NamedBy, Outbound, SendError, Url};
use catalyst_domain::SecretValue;
use catalyst_domain::provider::CloudService;
use serde::Deserialize;
use std::time::Duration;
use zeroize::Zeroizing;

/// A person waits for the run, and a cloud that is slower than this fails it by itself.
const BUDGET: Duration = Duration::from_secs(15);
/// A catalogue of a public cloud with all its regions has some hundred KiB.
const ANSWER_LIMIT: usize = 2 * 1024 * 1024;
/// Endpoints that are read: services by regions by interfaces. A cloud has some hundred.
const MOST_ENDPOINTS: usize = 4_096;
/// Different hosts and ports that count.
const MOST_HOSTS: usize = 256;
/// Services that a session names: a cloud has some 30 in each region.
const MOST_SERVICES: usize = 256;
/// Longest token. One of Fernet has some 250 bytes; a header of 8 KiB is more than servers take.
const MOST_TOKEN: usize = 8 * 1024;
/// Longest address of a service.
const MOST_URL: usize = 1_024;

/// Header in which the Identity API gives the token out.
static SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

/// A credential that belongs to one project.
pub struct ApplicationCredential<'a> {
    /// Its id.
    pub id: &'a SecretValue,
    /// Its secret.
    pub secret: &'a SecretValue,
}

/// Why there is no catalogue. Holds nothing of the credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// No answer came, or the address is not allowed.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The identity service did not take the credential, or is in trouble.
    #[error("the identity service answered {0}")]
    Status(u16),
    /// What came is no token with a catalogue.
    #[error("the answer of the identity service holds no catalogue: {0}")]
    Answer(String),
    /// The credential could not be written down.
    #[error("the request cannot be written")]
    Request,
}

/// What a credential was exchanged for: it opens the services of one project until it expires.
pub struct Session {
    /// The token.
    pub token: SecretValue,
    /// Public endpoints of each service and region, at most 256.
    pub services: Vec<CloudService>,
}

#[derive(Deserialize)]
struct Answered {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    catalog: Vec<Service>,
}

#[derive(Deserialize)]
struct Service {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    interface: String,
    url: String,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    region_id: Option<String>,
}

/// The public endpoints of every service and region. `auth_url` is the identity service's own, with or without `/v3`. The ports
/// and hosts of the result differ from each other; paths are left out.
///
/// # Errors
/// [`CatalogueError`].
pub async fn service_urls(
    outbound: &Outbound,
    auth_url: &Url,
    credential: &ApplicationCredential<'_>,
) -> Result<Vec<Url>, CatalogueError> {
    let (answer, _) = log_in(outbound, auth_url, credential).await?;
    Ok(endpoints(&catalogue(&answer)?))
}

/// Logs in, and gives the token with the services that it opens.
///
/// # Errors
/// [`CatalogueError`].
pub async fn session(
    outbound: &Outbound,
    auth_url: &Url,
    credential: &ApplicationCredential<'_>,
) -> Result<Session, CatalogueError> {
    let (answer, token) = log_in(outbound, auth_url, credential).await?;
    let services = services(&catalogue(&answer)?);
    let token = token.filter(|token| !token.is_empty() && token.len() <= MOST_TOKEN);
    let token = token.ok_or_else(|| CatalogueError::Answer("it has no token, or one that is too long".to_owned()))?;
    Ok(Session { token: SecretValue::new(token), services })
}

/// The answer to a login, and its token.
async fn log_in(
    outbound: &Outbound,
    auth_url: &Url,
    credential: &ApplicationCredential<'_>,
) -> Result<(Zeroizing<Vec<u8>>, Option<String>), CatalogueError> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("accept", HeaderValue::from_static("application/json"));
    let call = Call {
        named_by: NamedBy::Stranger,
        method: Method::POST,
        url: tokens_url(auth_url),
        headers,
        body: Some(body(credential)?),
        timeout: BUDGET,
        body_limit: ANSWER_LIMIT,
    };
    let (answer, token) = outbound.send_for_header(call, Some(&SUBJECT_TOKEN)).await?;
    if answer.status != 201 && answer.status != 200 {
        return Err(CatalogueError::Status(answer.status));
    }
    if answer.truncated {
        return Err(CatalogueError::Answer(format!("it has more than {ANSWER_LIMIT} bytes")));
    }
    let token = token.and_then(|token| token.to_str().ok().map(str::to_owned));
    Ok((Zeroizing::new(answer.body), token))
}

/// `<auth url>/v3/auth/tokens`, whether the address ends in `/v3` or not.
fn tokens_url(auth_url: &Url) -> Url {
    let mut url = auth_url.clone();
    let path = url.path().trim_end_matches('/').to_owned();
    let version = if path.ends_with("/v3") { "" } else { "/v3" };
    url.set_path(&format!("{path}{version}/auth/tokens"));
    url.set_query(None);
    url.set_fragment(None);
    url
}

fn body(credential: &ApplicationCredential<'_>) -> Result<Vec<u8>, CatalogueError> {
    let text = |value: &SecretValue| serde_json::to_string(value.expose()).map(Zeroizing::new);
    let id = text(credential.id).map_err(|_| CatalogueError::Request)?;
    let secret = text(credential.secret).map_err(|_| CatalogueError::Request)?;
    let body = format!(
        "{{\"auth\":{{\"identity\":{{\"methods\":[\"application_credential\"],\"application_credential\":{{\"id\":{},\
         \"secret\":{}}}}}}}}}",
        id.as_str(),
        secret.as_str()
    );
    Ok(body.into_bytes())
}

fn catalogue(answer: &[u8]) -> Result<Vec<Service>, CatalogueError> {
    // The words of the parser may repeat what came, which has a token in it.
    let answered: Answered = serde_json::from_slice(answer)
        .map_err(|error| CatalogueError::Answer(format!("line {} column {}", error.line(), error.column())))?;
    Ok(answered.token.catalog)
}

/// The public endpoints of a catalogue, each with its service: without user, query and fragment.
fn public(catalogue: &[Service]) -> impl Iterator<Item = (&Service, &Endpoint, Url)> {
    let every = catalogue.iter().flat_map(|service| service.endpoints.iter().map(move |endpoint| (service, endpoint)));
    let public = every.take(MOST_ENDPOINTS).filter(|(_, endpoint)| endpoint.interface == "public");
    public.filter_map(|(service, endpoint)| {
        let mut url = Url::parse(&endpoint.url).ok()?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return None;
        }
        url.set_query(None);
        url.set_fragment(None);
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Some((service, endpoint, url))
    })
}

fn endpoints(catalogue: &[Service]) -> Vec<Url> {
    let mut urls: Vec<Url> = Vec::new();
    for (_, _, mut url) in public(catalogue) {
        let known = |one: &Url| (one.host(), one.port_or_known_default()) == (url.host(), url.port_or_known_default());
        if !urls.iter().any(known) && urls.len() < MOST_HOSTS {
            url.set_path("");
            urls.push(url);
        }
    }
    urls
}

fn services(catalogue: &[Service]) -> Vec<CloudService> {
    let service = |(service, endpoint, url): (&Service, &Endpoint, Url)| CloudService {
        kind: service.kind.clone(),
        region: endpoint.region.clone().or_else(|| endpoint.region_id.clone()).unwrap_or_default(),
        url: url.into(),
    };
    let is_short = |one: &CloudService| [&one.kind, &one.region, &one.url].iter().all(|text| text.len() <= MOST_URL);
    public(catalogue).map(service).filter(is_short).take(MOST_SERVICES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_identity_services_with_or_without_its_version() {
        for (given, asked) in [
            ("https://auth.example/v3", "https://auth.example/v3/auth/tokens"),
            ("https://auth.example:5000/", "https://auth.example:5000/v3/auth/tokens"),
            ("https://auth.example/identity/v3/?a=b#c", "https://auth.example/identity/v3/auth/tokens"),
        ] {
            assert_eq!(tokens_url(&Url::parse(given).unwrap()).as_str(), asked);
        }
    }

    #[test]
    fn a_credential_stays_text_whatever_it_holds() {
        let (id, secret) = (SecretValue::new("i\"d"), SecretValue::new("s\\\"}"));
        let body = body(&ApplicationCredential { id: &id, secret: &secret }).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body["auth"]["identity"]["application_credential"],
            serde_json::json!({"id": "i\"d", "secret": "s\\\"}"})
        );
    }

    #[test]
    fn public_endpoints_count_once_for_each_host_and_port() {
        let endpoint = |interface: &str, url: &str| serde_json::json!({"interface": interface, "url": url});
        let answer = serde_json::json!({"token": {"catalog": [
            {"type": "compute", "endpoints": [
                endpoint("public", "https://compute.one.example/v2.1/%(project)s"),
                endpoint("public", "https://user:pass@compute.one.example:443/v2?x=1"),
                endpoint("internal", "http://10.0.0.1:8774"),
                endpoint("public", "http://compute.two.example:8774/v2.1"),
                endpoint("public", "not a url"),
                endpoint("public", "file:///etc/shadow"),
            ]},
            {"type": "empty"},
        ]}});
        let endpoints = |answer: &[u8]| catalogue(answer).map(|found| super::endpoints(&found));
        let urls = endpoints(answer.to_string().as_bytes()).unwrap();
        let urls: Vec<&str> = urls.iter().map(Url::as_str).collect();
        assert_eq!(urls, ["https://compute.one.example/", "http://compute.two.example:8774/"]);
        let error = endpoints(b"{\"token\": {\"catalog\": \"secret\"}}").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(endpoints(b"{\"token\": {}}").unwrap(), Vec::<Url>::new());
    }

    #[test]
    fn t6_a_session_names_the_public_endpoints_with_type_and_region() {
        let endpoint = |interface: &str, region: &str, url: &str| serde_json::json!({"interface": interface, "region": region, "url": url});
        let answer = serde_json::json!({"token": {"catalog": [
            {"type": "compute", "endpoints": [
                endpoint("public", "r1", "https://user:pass@compute.one.example/v2.1/p?x=1#y"),
                endpoint("public", "r2", "https://compute.two.example:8774/v2.1"),
                endpoint("admin", "r1", "https://10.0.0.1/v2.1"),
            ]},
            {"type": "network", "endpoints": [{"interface": "public", "region_id": "r1", "url": "http://net.example:9696"}]},
            {"type": "long", "endpoints": [endpoint("public", "r1", &format!("https://a.example/{}", "a".repeat(MOST_URL)))]},
        ]}});
        let found = services(&catalogue(answer.to_string().as_bytes()).unwrap());
        let shown: Vec<String> = found.iter().map(|one| format!("{} {} {}", one.kind, one.region, one.url)).collect();
        assert_eq!(
            shown,
            [
                "compute r1 https://compute.one.example/v2.1/p",
                "compute r2 https://compute.two.example:8774/v2.1",
                "network r1 http://net.example:9696/",
            ]
        );
    }
}
