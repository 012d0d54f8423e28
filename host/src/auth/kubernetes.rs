//! Tokens of a Kubernetes API, which reviews each (`authentication.k8s.io/v1`, TokenReview). A review costs a call, so right
//! ones are remembered for a minute, and few go out at once: those from peers with many wrong tokens wait in a short line of
//! their own, where they hold nobody else up.

use super::known::{Known, Recall};
use super::line::{Line, Place};
use super::refuse::nonsense;
use super::token::digest;
use super::{Authenticator, Caller, Fault, Mode, ReviewSettings, Standing};
use crate::outbound::{self, Answer, Call, HeaderMap, HeaderValue, Method, NamedBy, Outbound, SetupError, Url};
use async_trait::async_trait;
use catalyst_domain::SecretValue;
use serde::Deserialize;
use serde_json::json;
use std::time::{Duration, Instant};

/// How long a review holds: a token that was revoked works so long, as with the API itself.
const HOLDS: Duration = Duration::from_secs(60);
/// Budget of a review.
const BUDGET: Duration = Duration::from_secs(5);
/// Largest answer in bytes: a user with thousands of groups.
const LARGEST: usize = 256 * 1024;
/// Reviews at once: far below what the API's own limits let through.
const AT_ONCE: usize = 16;
/// Reviews at once for suspect peers.
const SUSPECT_AT_ONCE: usize = 2;
/// Suspect tokens that may wait for that; the next ones are told to come again.
const SUSPECT_WAITING: usize = 32;
/// Other tokens that may wait: what the places can review within the budget of one, where the API takes some 100 ms each.
const WAITING: usize = 512;

/// What a review of such a token comes to.
const UNKNOWN: &str = "the cluster does not know it";
/// A token that nobody has, to see whether the API says so.
const MADE_UP: &str = "made-up-by-catalyst-doctor";

/// Reviews tokens.
pub struct Kubernetes {
    outbound: Outbound,
    url: Url,
    settings: ReviewSettings,
    known: Known,
    line: Line,
    suspects: Line,
}

impl Kubernetes {
    /// A reviewer. Where the account has a `ca.crt`, only that is trusted.
    ///
    /// # Errors
    /// The certificates cannot be read.
    pub fn new(settings: ReviewSettings, how: &outbound::Settings) -> Result<Self, SetupError> {
        let authority = settings.account.join("ca.crt");
        let trust_store = if authority.exists() { Some(authority) } else { how.trust_store.clone() };
        let outbound = Outbound::new(&outbound::Settings { trust_store, ..how.clone() })?;
        let mut url = settings.api.clone();
        url.set_path(&format!(
            "{}/apis/authentication.k8s.io/v1/tokenreviews",
            settings.api.path().trim_end_matches('/')
        ));
        let (line, suspects) = (Line::new(AT_ONCE, WAITING), Line::new(SUSPECT_AT_ONCE, SUSPECT_WAITING));
        Ok(Self { outbound, url, settings, known: Known::default(), line, suspects })
    }

    async fn place(&self, standing: Standing) -> Result<Place, Fault> {
        let full = || Fault::Unavailable("too many tokens wait for a review".to_owned());
        match standing {
            Standing::Good => self.line.place().await.ok_or_else(full),
            Standing::Suspect => self.suspects.place().await.ok_or(Fault::Busy),
        }
    }

    async fn review(&self, token: &SecretValue) -> Result<Caller, Fault> {
        let unavailable =
            |why: String| Fault::Unavailable(format!("the Kubernetes API cannot review the token: {why}"));
        let own = tokio::fs::read_to_string(self.settings.account.join("token")).await;
        let own = own.map(SecretValue::new).map_err(|error| unavailable(format!("no token of our own: {error}")))?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", own.expose().trim()))
            .map_err(|_| unavailable("our own token is no token".to_owned()))?;
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert("authorization", bearer);
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        let audiences: Vec<&str> = self.settings.audience.as_deref().into_iter().collect();
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token.expose(), "audiences": audiences},
        });
        let call = Call {
            named_by: NamedBy::Operator,
            method: Method::POST,
            url: self.url.clone(),
            headers,
            body: Some(body.to_string().into_bytes()),
            timeout: BUDGET,
            body_limit: LARGEST,
        };
        let answer = self.outbound.send(call).await.map_err(|error| unavailable(error.to_string()))?;
        self.read(&answer).map_err(|fault| match fault {
            Fault::Unavailable(why) => unavailable(why),
            other => other,
        })
    }

    fn read(&self, answer: &Answer) -> Result<Caller, Fault> {
        // The body may repeat the token, so nothing of it is told.
        if !matches!(answer.status, 200 | 201) {
            return Err(Fault::Unavailable(format!("it answered {}", answer.status)));
        }
        let parsed: Result<Review, _> = serde_json::from_slice(&answer.body);
        let status = parsed.map_err(|_| Fault::Unavailable("it answered something else".to_owned()))?.status;
        if !status.authenticated {
            return Err(Fault::Wrong(UNKNOWN));
        }
        // An API that knows no audiences names none, and then the token may have been meant for somebody else.
        if self.settings.audience.as_ref().is_some_and(|wanted| !status.audiences.contains(wanted)) {
            return Err(Fault::Wrong("it is meant for another audience"));
        }
        let scopes = self.settings.scopes.scopes_of(&status.user.username, &status.user.groups);
        Ok(Caller::new(&status.user.username, Mode::Kubernetes, scopes).in_groups(&status.user.groups))
    }
}

#[async_trait]
impl Authenticator for Kubernetes {
    fn mode(&self) -> Mode {
        Mode::Kubernetes
    }

    async fn prove(&self) -> Result<(), Fault> {
        match self.review(&SecretValue::new(MADE_UP)).await {
            Err(Fault::Wrong(UNKNOWN)) => Ok(()),
            Err(fault @ (Fault::Unavailable(_) | Fault::Busy | Fault::Blind(_))) => Err(fault),
            Ok(_) | Err(Fault::Wrong(_)) => {
                Err(Fault::Blind("the Kubernetes API takes a token that was made up".to_owned()))
            }
        }
    }

    async fn identify(&self, token: &SecretValue, standing: Standing) -> Result<Caller, Fault> {
        nonsense(token)?;
        let digest = digest(token);
        let standing = match self.known.recall(&digest, Instant::now()) {
            Recall::Fresh(caller) => return Ok(caller),
            // It was right, so it does not stand behind what comes from the same address.
            Recall::Stale => Standing::Good,
            Recall::Nothing => standing,
        };
        let _place = self.place(standing).await?;
        // Many requests of one page may have waited here for the same answer.
        if let Recall::Fresh(caller) = self.known.recall(&digest, Instant::now()) {
            return Ok(caller);
        }
        let reviewed = self.review(token).await;
        match &reviewed {
            Ok(caller) => self.known.put(digest, caller.clone(), Instant::now(), HOLDS),
            Err(Fault::Wrong(_)) => self.known.forget(&digest),
            Err(_) => {}
        }
        reviewed
    }
}

#[derive(Deserialize)]
struct Review {
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    authenticated: bool,
    user: User,
    audiences: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct User {
    username: String,
    groups: Vec<String>,
}

#[cfg(test)]
#[path = "kubernetes_tests.rs"]
mod tests;
