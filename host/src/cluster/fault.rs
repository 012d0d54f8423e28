//! What is wrong with an object of Flux, from the words of its controllers, and what a person can do about it.
//!
//! Pure. The words are those of source-controller, kustomize-controller and helm-controller, and of the Git, OCI and HTTP
//! libraries whose errors they repeat. Words that are not known are passed on all the same, with a general remedy.

use super::flux_object::{FluxKind, FluxObject};

/// Why an object is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// The folder of a Kustomization is not in its source.
    PathNotFound,
    /// Kustomize cannot build the folder.
    Build,
    /// The API server refused an object of it, or a kind is missing.
    Apply,
    /// Something that it applied is not healthy.
    Unhealthy,
    /// It waits for another Kustomization.
    Dependency,
    /// Its source has nothing for it yet, or is not there.
    SourceMissing,
    /// The server refuses the credentials, or asks for some.
    Refused,
    /// The Secret with its credentials is not there.
    SecretMissing,
    /// The repository, its branch or tag, the chart or its version is not there.
    NotFound,
    /// The server limits how often it is asked.
    RateLimited,
    /// The server's certificate or host key is not trusted.
    Untrusted,
    /// No connection, or no answer that helps.
    Unreachable,
    /// A signature is missing or wrong.
    Unverified,
    /// The controller cannot write its files.
    Storage,
    /// The spec makes no sense, or the controller may not do what it asks for.
    Invalid,
    /// A person suspended it.
    Suspended,
    /// Words that are not known here.
    Other,
}

const RATE: [&str; 4] = ["rate limit", "too many requests", "toomanyrequests", "429"];

const REFUSED: [&str; 16] = [
    "401",
    "403",
    "unauthorized",
    "unauthenticated",
    "forbidden",
    "denied",
    "authentication required",
    "authentication failed",
    "authorization failed",
    "authentication options",
    "unable to authenticate",
    "invalid credentials",
    "bad credentials",
    "incorrect username or password",
    "invalid username or password",
    "could not read username",
];

const UNTRUSTED: [&str; 6] =
    ["x509", "certificate", "tls: ", "knownhosts", "known_hosts", "host key verification failed"];

const UNREACHABLE: [&str; 20] = [
    "no such host",
    "server misbehaving",
    "name resolution",
    "timeout",
    "timed out",
    "deadline exceeded",
    "connection refused",
    "connection reset",
    "connection timed out",
    "no route to host",
    "network is unreachable",
    "dial tcp",
    "eof",
    "bad gateway",
    "temporarily unavailable",
    "proxyconnect",
    "500",
    "502",
    "503",
    "504",
];

const NOT_FOUND: [&str; 12] = [
    "couldn't find remote ref",
    "not found",
    "404",
    "does not exist",
    "manifest unknown",
    "manifest_unknown",
    "name unknown",
    "name_unknown",
    "no matching",
    "no chart version",
    "version matching",
    "repository is empty",
];

const STORAGE: [&str; 7] = [
    "no space left on device",
    "read-only file system",
    "directorycreationfailed",
    "statoperationfailed",
    "archiveoperationfailed",
    "symlinkupdatefailed",
    "acquirelockfailed",
];

/// Finds the cause in the reason and the message of a condition.
pub(super) fn cause(kind: FluxKind, reason: &str, message: &str) -> Cause {
    let text = message.to_lowercase();
    match kind {
        FluxKind::Kustomization => of_kustomization(reason, &text).unwrap_or_else(|| of_transfer(reason, &text)),
        _ => of_transfer(reason, &text),
    }
}

fn of_kustomization(reason: &str, text: &str) -> Option<Cause> {
    let of_source = ["artifact not found", "source is not ready", "source '"];
    let names_source = text.contains("source.toolkit.fluxcd.io") && text.contains("not found");
    Some(match reason {
        "Suspended" => Cause::Suspended,
        _ if text.contains("kustomization path not found") => Cause::PathNotFound,
        "ArtifactFailed" if text.contains("no such file or directory") => Cause::PathNotFound,
        "DependencyNotReady" => Cause::Dependency,
        "ArtifactFailed" if names_source || of_source.iter().any(|words| text.contains(words)) => Cause::SourceMissing,
        "BuildFailed" => Cause::Build,
        "ReconciliationFailed" | "PruneFailed" => Cause::Apply,
        "HealthCheckFailed" => Cause::Unhealthy,
        "AccessDenied" | "InvalidCELExpression" | "FeatureGateDisabled" => Cause::Invalid,
        _ => return None,
    })
}

/// Of what is fetched: Git, OCI, charts, and a Kustomization's own fetch from source-controller.
fn of_transfer(reason: &str, text: &str) -> Cause {
    let both = format!("{} {text}", reason.to_lowercase());
    let has = |words: &[&str]| words.iter().any(|word| contains(&both, word));
    match reason {
        "Suspended" => return Cause::Suspended,
        "NoSourceArtifact" | "SourceUnavailable" => return Cause::SourceMissing,
        "URLInvalid" | "AccessDenied" | "UnsupportedSourceKind" | "FeatureGateDisabled" => return Cause::Invalid,
        "VerificationError" => return Cause::Unverified,
        _ => {}
    }
    if text.contains("secret") && text.contains("not found") {
        Cause::SecretMissing
    } else if has(&STORAGE) {
        Cause::Storage
    } else if has(&RATE) {
        Cause::RateLimited
    } else if has(&REFUSED) {
        Cause::Refused
    } else if has(&UNTRUSTED) {
        Cause::Untrusted
    } else if has(&NOT_FOUND) {
        Cause::NotFound
    } else if has(&UNREACHABLE) {
        Cause::Unreachable
    } else if reason == "AuthenticationFailed" {
        // Also the reason of a login that did not reach the server.
        Cause::Refused
    } else {
        Cause::Other
    }
}

/// Whether words are in a text. Numbers, and words as short, count only where they stand alone: `403` is no part of a port.
fn contains(text: &str, words: &str) -> bool {
    if words.len() > 3 {
        return text.contains(words);
    }
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == words)
}

impl Cause {
    /// What a person can do, as one or two sentences. `source` is where a Kustomization takes its files from.
    pub(super) fn remedy(self, object: &FluxObject, source: Option<&FluxObject>) -> String {
        let from = source.and_then(|source| source.origin.as_deref()).unwrap_or("its source");
        let path = object.path.as_deref().unwrap_or("that spec.path names");
        let origin = object.origin.as_deref().unwrap_or("its server");
        match self {
            Self::PathNotFound => format!("The folder {path} is not in {from}: add it there, or correct spec.path."),
            Self::Build => {
                format!("Kustomize cannot build the folder {path} of {from}: correct the file that is named.")
            }
            Self::Apply => {
                "The API server refused an object: correct it in the repository. A kind that is not known comes \
                            with its custom resource definition."
                    .to_owned()
            }
            Self::Unhealthy => "Look at the objects that are named; Flux goes on checking them.".to_owned(),
            Self::Dependency => {
                "It goes on when the Kustomization that is named is ready: look at that one.".to_owned()
            }
            Self::SourceMissing => {
                "Its source has nothing for it: look at the source, or correct the name that it is called \
                                    by."
                .to_owned()
            }
            Self::Refused => format!(
                "The cluster is refused by {origin}: correct the address, or the credentials in the Secret that spec.secretRef \
                 names, such as an expired token."
            ),
            Self::SecretMissing => "Create the Secret that is named, in the namespace of the object.".to_owned(),
            Self::NotFound => {
                format!("It is not there, or not for these credentials: correct what is asked of {origin}, or add it.")
            }
            Self::RateLimited => {
                "The server limits requests, which passes by itself; with credentials the limit is higher.".to_owned()
            }
            Self::Untrusted => {
                "The cluster does not trust the server: give its certificate authority or host key in the \
                                Secret, and check the clock of the nodes."
                    .to_owned()
            }
            Self::Unreachable => format!(
                "The cluster cannot reach {origin}: check name resolution, the way out, proxies and firewalls. Flux tries again \
                 by itself."
            ),
            Self::Unverified => "Sign what is fetched, or correct the key that spec.verify names.".to_owned(),
            Self::Storage => "A controller of Flux cannot write its files: check the disk of its node.".to_owned(),
            Self::Invalid => "Correct the spec of the object.".to_owned(),
            Self::Suspended => "It does nothing until it is resumed (`flux resume`).".to_owned(),
            Self::Other => format!(
                "`kubectl -n {} describe {} {}` shows more.",
                super::NAMESPACE,
                object.kind.as_str().to_lowercase(),
                object.name
            ),
        }
    }
}

/// A text in which two tries of the same look alike: long numbers, digests and spans of time are left out.
pub(super) fn comparable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().chain(std::iter::once(' ')) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        push_comparable(&mut out, &word);
        word.clear();
        out.push(c);
    }
    out
}

fn push_comparable(out: &mut String, word: &str) {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let is_digest = word.len() >= 7 && digits > 0 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let is_span =
        digits > 0 && digits < word.len() && word.bytes().all(|b| b.is_ascii_digit() || b"hmsun".contains(&b));
    if is_digest || is_span {
        return out.push('#');
    }
    let mut rest = word;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, after) = rest.split_at(start);
        let length = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (number, next) = after.split_at(length);
        out.push_str(before);
        out.push_str(if length > 3 { "#" } else { number });
        rest = next;
    }
    out.push_str(rest);
}

/// The text without user names and passwords in its addresses.
pub(super) fn without_credentials(text: &str) -> String {
    let mut parts = text.split("://");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("://");
        let end = part.find(|c: char| c.is_whitespace() || "/'\"<>?#".contains(c)).unwrap_or(part.len());
        let (authority, rest) = part.split_at(end);
        // `git` alone is the name that every SSH address has.
        match authority.rsplit_once('@') {
            Some((user, host)) if user != "git" => {
                out.push_str("***@");
                out.push_str(host);
            }
            _ => out.push_str(authority),
        }
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
#[path = "fault_tests.rs"]
mod tests;
