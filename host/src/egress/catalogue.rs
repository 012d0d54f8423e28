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
/// Endpoints that are read for the hosts of a run: services by regions by interfaces. A cloud has some hundred.
const MOST_ENDPOINTS: usize = 4_096;
/// Different hosts and ports that count.
const MOST_HOSTS: usize = 256;
/// Services of one region that a session names: a cloud has one of each kind.
const MOST_SERVICES: usize = 256;
/// Kinds of services that a session names: those that have what a cluster may leave. The token opens others as well, such as those that keep
/// secrets, and a plugin reads what they answer.
const SEARCHED: [&str; 6] = ["compute", "network", "volumev3", "block-storage", "block-store", "load-balancer"];
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
    /// The catalogue has no service in the region.
    #[error("its catalogue names no service in the region {0}")]
    NoService(String),
    /// The catalogue has more services in the region than a session names. One that is left out would count as one that the cloud
    /// does not have.
    #[error("its catalogue names more services in the region {0} than the host reads")]
    TooManyServices(String),
    /// The credential could not be written down.
    #[error("the request cannot be written")]
    Request,
}

/// What a credential was exchanged for: it opens the services of one project until it expires.
pub struct Session {
    /// The token.
    pub token: SecretValue,
    /// Public endpoints of the services of one region, at most 256.
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

/// Logs in, and gives the token with the services of a region that it opens; those of all regions where the region is blank.
///
/// # Errors
/// [`CatalogueError`].
pub async fn session(
    outbound: &Outbound,
    auth_url: &Url,
    credential: &ApplicationCredential<'_>,
    region: &str,
) -> Result<Session, CatalogueError> {
    let (answer, token) = log_in(outbound, auth_url, credential).await?;
    let services = services(&catalogue(&answer)?, region)?;
    let token = token.ok_or_else(|| CatalogueError::Answer("it has no token, or one that is too long".to_owned()))?;
    Ok(Session { token, services })
}

/// The answer to a login, and its token, where it has one that can be sent.
async fn log_in(
    outbound: &Outbound,
    auth_url: &Url,
    credential: &ApplicationCredential<'_>,
) -> Result<(Zeroizing<Vec<u8>>, Option<SecretValue>), CatalogueError> {
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
    let token = token.as_ref().and_then(subject_token);
    if answer.status != 201 && answer.status != 200 {
        return Err(CatalogueError::Status(answer.status));
    }
    if answer.truncated {
        return Err(CatalogueError::Answer(format!("it has more than {ANSWER_LIMIT} bytes")));
    }
    Ok((Zeroizing::new(answer.body), token))
}

/// The token of an answer; none where it is no text, blank, or too long for a header.
fn subject_token(value: &HeaderValue) -> Option<SecretValue> {
    let token = SecretValue::new(value.to_str().ok()?);
    Some(token).filter(|token| !token.is_blank() && token.expose().len() <= MOST_TOKEN)
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

/// Every endpoint of a catalogue, with its service.
fn every(catalogue: &[Service]) -> impl Iterator<Item = (&Service, &Endpoint)> {
    catalogue.iter().flat_map(|service| service.endpoints.iter().map(move |endpoint| (service, endpoint)))
}

/// The URL of an endpoint that is public: without user, query and fragment.
fn public_url(endpoint: &Endpoint) -> Option<Url> {
    let mut url = Url::parse(&endpoint.url).ok().filter(|_| endpoint.interface == "public")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return None;
    }
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some(url)
}

fn endpoints(catalogue: &[Service]) -> Vec<Url> {
    let mut urls: Vec<Url> = Vec::new();
    for mut url in every(catalogue).take(MOST_ENDPOINTS).filter_map(|(_, endpoint)| public_url(endpoint)) {
        let known = |one: &Url| (one.host(), one.port_or_known_default()) == (url.host(), url.port_or_known_default());
        if !urls.iter().any(known) && urls.len() < MOST_HOSTS {
            url.set_path("");
            urls.push(url);
        }
    }
    urls
}

/// The services of a region, and those that are of no region. Chosen before they are counted: other regions of a large cloud leave
/// none of them out.
fn services(catalogue: &[Service], region: &str) -> Result<Vec<CloudService>, CatalogueError> {
    let of = |endpoint: &Endpoint| endpoint.region.clone().or_else(|| endpoint.region_id.clone()).unwrap_or_default();
    let service = |(service, endpoint): (&Service, &Endpoint)| {
        Some(CloudService { kind: service.kind.clone(), region: of(endpoint), url: public_url(endpoint)?.into() })
    };
    let is_here = |one: &CloudService| region.is_empty() || one.region.is_empty() || one.region == region;
    let is_short = |one: &CloudService| [&one.kind, &one.region, &one.url].iter().all(|text| text.len() <= MOST_URL);
    let is_searched = |one: &CloudService| SEARCHED.contains(&one.kind.as_str());
    let found = every(catalogue).filter_map(service).filter(is_searched).filter(is_here).filter(is_short);
    let found: Vec<CloudService> = found.take(MOST_SERVICES + 1).collect();
    match found.len() {
        0 => Err(CatalogueError::NoService(region.to_owned())),
        1..=MOST_SERVICES => Ok(found),
        _ => Err(CatalogueError::TooManyServices(region.to_owned())),
    }
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
        let found = services(&catalogue(answer.to_string().as_bytes()).unwrap(), "").unwrap();
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

    #[test]
    fn services_of_other_regions_leave_none_of_a_sessions_region_out() {
        let endpoint =
            |region: &str| serde_json::json!({"interface": "public", "region": region, "url": "https://a.example"});
        let others: Vec<serde_json::Value> = (0..MOST_ENDPOINTS).map(|n| endpoint(&format!("r{n}"))).collect();
        let many: Vec<serde_json::Value> = (0..=MOST_SERVICES).map(|_| endpoint("many")).collect();
        let answer = serde_json::json!({"token": {"catalog": [
            {"type": "compute", "endpoints": others},
            {"type": "network", "endpoints": [endpoint("")]},
            {"type": "volumev3", "endpoints": [endpoint("here")]},
            {"type": "key-manager", "endpoints": [endpoint("here")]},
            {"type": "load-balancer", "endpoints": many},
        ]}});
        let catalogue = catalogue(answer.to_string().as_bytes()).unwrap();
        let kinds: Vec<String> =
            services(&catalogue, "here").unwrap().into_iter().map(|service| service.kind).collect();
        assert_eq!(kinds, ["network", "volumev3"], "and none that keeps secrets");
        // A part of them is none: who searches would take what is missing for what the cloud does not have.
        let error = services(&catalogue, "many").err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(error, "its catalogue names more services in the region many than the host reads");
        assert!(matches!(services(&[], "here"), Err(CatalogueError::NoService(region)) if region == "here"));
    }

    #[test]
    fn a_token_that_cannot_be_sent_is_none() {
        let read = |text: &[u8]| subject_token(&HeaderValue::from_bytes(text).unwrap());
        assert_eq!(read(b"gAAAA").unwrap().expose(), "gAAAA");
        for unfit in [b"".to_vec(), b" ".to_vec(), b"\xff".to_vec(), vec![b'a'; MOST_TOKEN + 1]] {
            assert!(read(&unfit).is_none(), "{} bytes", unfit.len());
        }
    }
}
