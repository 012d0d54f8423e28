//! Callers of each kind and scope, in each way that callers are known.

use crate::kit::{Server, Setup, id, record};
use catalyst::auth::{self, CookieSettings, OidcSettings, ReviewSettings, ScopeMap, Scopes, Way, algorithm};
use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_domain::read_token::{Opens, ReadToken, Tenure};
use catalyst_domain::{Record, SecretValue, Status, Timestamp};
use catalyst_tests::double::Double;
use catalyst_tests::openid::{self, OpenId};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// How callers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    None,
    Token,
    Kubernetes,
    Oidc,
}

impl Mode {
    pub const ALL: [Self; 4] = [Self::None, Self::Token, Self::Kubernetes, Self::Oidc];
}

/// The scopes that somebody has in these tests; the last one has none.
pub const SCOPES: [&str; 5] = ["read", "create", "kubeconfig", "admin", ""];

/// How long a list of tokens counts whose file is gone; longer than it takes until somebody looks.
pub const TOKENS_GRACE: Duration = Duration::from_secs(3);

/// What opens deployment 1 for reading, and its kubeconfig too.
pub const READING: &str = "catalyst-read_one";
pub const READING_KUBECONFIG: &str = "catalyst-read_two";
/// What opens deployment 2.
pub const READING_OTHER: &str = "catalyst-read_other";

/// A server, and whoever tells it who calls.
pub struct Scene {
    pub server: Server,
    mode: Mode,
    signer: Option<OpenId>,
    _provider: Option<Double>,
    folder: tempfile::TempDir,
}

impl Scene {
    pub async fn start(mode: Mode) -> Self {
        Self::with(mode, records()).await
    }

    pub async fn with(mode: Mode, records: Vec<Record>) -> Self {
        Self::under(mode, Setup { records, ..Setup::default() }).await
    }

    /// With everything else as it is set up.
    pub async fn under(mode: Mode, setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut signer, mut provider) = (None, None);
        let way = match mode {
            Mode::None => Way::None,
            Mode::Token => {
                let line = |scopes: &str| {
                    let given = Scopes::parse(scopes)?;
                    auth::line(&format!("of-{scopes}"), given, &SecretValue::new(static_token(scopes)))
                };
                let lines: Vec<String> = SCOPES.into_iter().filter_map(line).collect();
                let file = folder.path().join("tokens");
                std::fs::write(&file, lines.join("\n")).unwrap();
                Way::Token { file, grace: TOKENS_GRACE }
            }
            Mode::Kubernetes => {
                std::fs::write(folder.path().join("token"), "own").unwrap();
                let api = reviewer();
                let settings = ReviewSettings {
                    api: api.url().parse().unwrap(),
                    account: folder.path().to_owned(),
                    audience: Some("catalyst".to_owned()),
                    scopes: scope_map(),
                };
                provider = Some(api);
                Way::Kubernetes(settings)
            }
            Mode::Oidc => {
                let made = OpenId::start();
                let settings = OidcSettings {
                    clients: Vec::new(),
                    issuer: made.issuer(),
                    audience: openid::AUDIENCE.to_owned(),
                    algorithms: vec![algorithm("ES256").unwrap()],
                    groups_claim: "groups".to_owned(),
                    scopes: scope_map(),
                };
                signer = Some(made);
                Way::Oidc(settings)
            }
        };
        let settings = auth::Settings { way, cookie: CookieSettings::default() };
        let server = Server::start(Setup { auth: settings, ..setup }).await;
        Self { server, mode, signer, _provider: provider, folder }
    }

    /// The file of tokens.
    pub fn tokens(&self) -> PathBuf {
        self.folder.path().join("tokens")
    }

    /// The token of whoever has these scopes; `None` where this way knows nobody without any.
    pub fn token(&self, scopes: &str) -> Option<String> {
        match self.mode {
            Mode::None => None,
            Mode::Token => Scopes::parse(scopes).map(|_| static_token(scopes)),
            Mode::Kubernetes => Some(format!("reviewed.of-{scopes}.x")),
            Mode::Oidc => self.signer.as_ref().map(|signer| signer.token(&format!("of-{scopes}"))),
        }
    }

    /// `Authorization` of that caller.
    pub fn bearer(&self, scopes: &str) -> String {
        format!("Bearer {}", self.token(scopes).unwrap())
    }
}

fn static_token(scopes: &str) -> String {
    format!("catalyst_{scopes}")
}

fn scope_map() -> ScopeMap {
    let entry = |scopes: &&str| format!("user:of-{scopes}={scopes}");
    let entries: Vec<String> = SCOPES.iter().filter(|scopes| !scopes.is_empty()).map(entry).collect();
    ScopeMap::parse(&entries.join(";")).unwrap()
}

/// Two deployments at their end, so that no route that is let through begins anything.
pub fn records() -> Vec<Record> {
    let token = |text: &str, opens| ReadToken {
        sha256: sha256_hex(text.as_bytes()),
        opens,
        given_at: Some(Timestamp::now()),
        tenure: Tenure::Kept,
    };
    let destroyed = |n| Record { finished_at: Some(Timestamp::now()), ..record(n, Status::Destroyed) };
    let mut one = destroyed(1);
    one.read_tokens = vec![token(READING, Opens::Reading), token(READING_KUBECONFIG, Opens::ReadingAndKubeconfig)];
    let mut two = destroyed(2);
    two.read_tokens = vec![token(READING_OTHER, Opens::ReadingAndKubeconfig)];
    assert_eq!((&one.id, &two.id), (&id(1), &id(2)));
    vec![one, two]
}

/// A Kubernetes API that knows tokens of the form `reviewed.<user>.x`.
fn reviewer() -> Double {
    Double::http(|seen| {
        let review = seen.json();
        let token = review["spec"]["token"].as_str().unwrap_or_default();
        let user = token.strip_prefix("reviewed.").and_then(|rest| rest.strip_suffix(".x"));
        let status = user.map_or(
            json!({}),
            |user| json!({"authenticated": true, "user": {"username": user}, "audiences": review["spec"]["audiences"]}),
        );
        Some((201, json!({"status": status}).to_string()))
    })
}
