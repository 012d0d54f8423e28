//! Who calls, and what that caller may do.
//!
//! One trait stands for every way to know a caller, so that the API asks the same question whatever the operator chose.
//! The room knows tokens, never routes or records: which scope a route needs stands beside the list of routes, and what a
//! deployment's read token opens is a matter of its record.

mod caller;
mod jwks;
mod jwt;
mod known;
mod kubernetes;
mod line;
mod oidc;
mod refuse;
mod scope;
mod scope_map;
mod settings;
mod signatures;
mod token;
mod tokens;

pub use caller::{Caller, Mode};
pub use jwks::is_private_on_the_way;
pub use kubernetes::Kubernetes;
pub use oidc::{Oidc, algorithm};
pub use refuse::NoRandomness;
pub use scope::{Scope, Scopes};
pub use scope_map::ScopeMap;
pub use settings::{CookieSettings, OidcSettings, ReviewSettings, Settings, Way};
pub use token::{TokenKind, digest, mint, mint_for_reading};
pub use tokens::{GRACE, Tokens, TokensError, is_name, is_too_open, line};

use crate::outbound::{self, Outbound, SetupError};
use async_trait::async_trait;
use catalyst_domain::SecretValue;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the file of tokens, or the age of keys, is looked at: a mounted Secret changes without a signal.
const LOOK: Duration = Duration::from_secs(2);
/// Longest token that is looked at, in bytes: a JWT with many groups has a few KiB.
const LONGEST: usize = 16 * 1024;

/// How a peer has behaved. It decides only who waits where asking costs something; a right token is right from anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Few wrong tokens, or none.
    Good,
    /// So many that what comes from there is most likely wrong too.
    Suspect,
}

/// Why a token does not tell who calls.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not one of ours, or no longer. The reason is for the trace: a client learns nothing from it.
    #[error("the token is wrong: {0}")]
    Wrong(&'static str),
    /// It was not looked at: too many unknown ones come from there.
    #[error("too many unknown tokens are waiting")]
    Busy,
    /// Who could tell does not answer.
    #[error("{0}")]
    Unavailable(String),
    /// What the operator gave to tell by cannot be used. The reason is for the trace.
    #[error("{0}")]
    Blind(String),
}

/// What keeps a way from knowing callers. The words are for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Callers are known by what was known before, for a while.
    Lasting(String),
    /// Nobody is known.
    Blind(String),
}

/// A way to know a caller by a token.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// Which way it is.
    fn mode(&self) -> Mode;

    /// Looks whether what it rests on has changed; asked for every few seconds.
    async fn look(self: Arc<Self>) {}

    /// What keeps it from knowing callers.
    fn trouble(&self) -> Option<Trouble> {
        None
    }

    /// Whether there is nobody whom it could know.
    fn knows_nobody(&self) -> bool {
        false
    }

    /// Asks whoever tells callers apart once, as a caller's token would; for a person who wants to know before.
    ///
    /// # Errors
    /// [`Fault`]: no caller would be let in.
    async fn prove(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// Who has this token.
    ///
    /// # Errors
    /// [`Fault`].
    async fn identify(&self, token: &SecretValue, standing: Standing) -> Result<Caller, Fault>;
}

/// Why authentication cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The file of tokens.
    #[error("cannot use CATALYST_AUTH_TOKENS")]
    Tokens(#[source] TokensError),
    /// The client for the cluster that reviews tokens.
    #[error("cannot call the Kubernetes API that reviews tokens")]
    Review(#[source] SetupError),
}

/// How the API knows its callers.
pub struct Auth {
    by: Option<Arc<dyn Authenticator>>,
    /// How a browser carries a read token.
    pub cookie: CookieSettings,
}

impl Auth {
    /// Everybody may do everything.
    pub fn none() -> Self {
        Self { by: None, cookie: CookieSettings::default() }
    }

    /// What the operator chose. Nothing is asked over the network yet.
    ///
    /// # Errors
    /// [`AuthError`].
    pub fn new(settings: Settings, outbound: &Outbound, how: &outbound::Settings) -> Result<Self, AuthError> {
        let mut auth = Self { cookie: settings.cookie, ..Self::none() };
        match settings.way {
            Way::None => {}
            Way::Token { file, grace } => {
                auth.by = Some(Arc::new(Tokens::open(file, grace).map_err(AuthError::Tokens)?));
            }
            Way::Kubernetes(review) => {
                auth.by = Some(Arc::new(Kubernetes::new(review, how).map_err(AuthError::Review)?));
            }
            Way::Oidc(oidc) => auth.by = Some(Arc::new(Oidc::new(oidc, outbound.clone()))),
        }
        Ok(auth)
    }

    /// Who knows callers; `None` where everybody may do everything.
    pub fn authenticator(&self) -> Option<&Arc<dyn Authenticator>> {
        self.by.as_ref()
    }

    /// Which way it is.
    pub fn mode(&self) -> Mode {
        self.by.as_ref().map_or(Mode::None, |by| by.mode())
    }

    /// What keeps callers from being known.
    pub fn trouble(&self) -> Option<Trouble> {
        self.by.as_ref()?.trouble()
    }

    /// Looks every few seconds whether tokens or keys have changed, until the process stops.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let Some(by) = self.by.clone() else { return };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            by.clone().look().await;
        }
    }
}
