//! The one PUT of a fresh node: is the bearer right, and is the body a kubeconfig that cannot hurt who loads it?
//!
//! A body is read once, strictly, and written anew. What is stored, watched and served is that text alone, so no other parser
//! can find in it what this one did not. It is laid out as k3s lays out its own, which therefore comes back byte for byte.

mod fault;
mod plain;
mod read;
mod server;
#[cfg(test)]
mod tests;
mod write;
mod yaml;

pub use fault::BodyFault;
pub use server::Server;

use crate::{Record, SecretValue, Status};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use subtle::ConstantTimeEq;

/// Largest kubeconfig in bytes (the contract's limit of a PUT).
pub const MAX_BYTES: usize = 1_048_576;

/// Why a bearer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BearerFault {
    /// The record has no hash: no bearer was given out.
    #[error("this deployment accepts no kubeconfig")]
    NoHash,
    /// It is being destroyed, or is.
    #[error("this deployment is {0}: it accepts no kubeconfig any more")]
    Removed(Status),
    /// It is not the one that was given out.
    #[error("the bearer is not the one of this deployment")]
    Invalid,
}

/// A kubeconfig that cannot hurt who loads it: one cluster, one user, one context. No `Debug`: it opens a cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct Kubeconfig {
    /// Where the API server is.
    pub server: Server,
    /// PEM certificates that the server is checked against, as base64; the system's where there are none.
    pub authority_data: Option<String>,
    /// Name that the server's certificate must have, where it is not the host's.
    pub tls_server_name: Option<String>,
    /// By what the user is known.
    pub credentials: Credentials,
    cluster_name: String,
    user_name: String,
    context_name: String,
    namespace: Option<String>,
    has_preferences: bool,
}

/// By what a user is known to the API server.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// PEM certificates, as base64.
    pub client_certificate_data: Option<String>,
    /// PEM key, as base64.
    pub client_key_data: Option<SecretValue>,
    /// Bearer token.
    pub token: Option<SecretValue>,
    /// Name, for servers that still take passwords.
    pub username: Option<String>,
    /// Password.
    pub password: Option<SecretValue>,
}

impl Credentials {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Kubeconfig {
    /// Reads a body.
    ///
    /// # Errors
    /// [`BodyFault::Invalid`] for what is no kubeconfig; [`BodyFault::Unsafe`] for what could hurt who loads it, or what YAML
    /// parsers read differently.
    pub fn parse(body: &[u8]) -> Result<Self, BodyFault> {
        let text = std::str::from_utf8(body).map_err(|_| fault::invalid("it is not UTF-8 text"))?;
        let config = read::kubeconfig(yaml::document(text)?)?;
        if config.canonical().len() > MAX_BYTES {
            return Err(fault::invalid(format!("written out it is over {MAX_BYTES} bytes")));
        }
        Ok(config)
    }

    /// The text that is stored in its place.
    pub fn canonical(&self) -> String {
        write::canonical(self)
    }

    /// What is stored of the body that it was read from: the body, where it is the canonical text with at most comments behind
    /// it, else that text.
    pub fn stored<'a>(&self, body: &'a [u8]) -> Cow<'a, [u8]> {
        let canonical = self.canonical();
        match body.strip_prefix(canonical.as_bytes()) {
            Some(rest) if is_comments(rest) => Cow::Borrowed(body),
            _ => Cow::Owned(canonical.into_bytes()),
        }
    }
}

/// Whether there is nothing but whole-line comments of printable ASCII, which no parser can take for anything else.
fn is_comments(rest: &[u8]) -> bool {
    rest.split(|b| *b == b'\n').all(|line| match line {
        [] => true,
        [b'#', text @ ..] => text.iter().all(|b| (b' '..=b'~').contains(b) || *b == b'\t'),
        _ => false,
    })
}

/// SHA-256 as lower-case hex: of a bearer's text or of a body.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Which server a bearer was given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BearerOf {
    /// The first server, as the record knows it.
    FirstServer,
    /// The one that takes its place in the run that goes on, or in the last one.
    Replacement,
}

/// Compares a bearer with the record's hashes in constant time.
///
/// # Errors
/// [`BearerFault`].
pub fn authorise(record: &Record, bearer: &str) -> Result<BearerOf, BearerFault> {
    if record.is_leaving() {
        return Err(BearerFault::Removed(record.status));
    }
    if !record.takes_kubeconfig() {
        return Err(BearerFault::NoHash);
    }
    let given = sha256_hex(bearer.as_bytes());
    let is = |hash: &str| bool::from(given.as_bytes().ct_eq(hash.as_bytes()));
    let new = record.replacement.as_ref().and_then(|replacement| replacement.bearer_hash.as_deref());
    if new.is_some_and(is) {
        Ok(BearerOf::Replacement)
    } else if is(&record.kubeconfig_bearer_hash) {
        Ok(BearerOf::FirstServer)
    } else {
        Err(BearerFault::Invalid)
    }
}
