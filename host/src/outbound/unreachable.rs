//! Why there was no connection or no answer, as far as this machine can tell: a typed cause for whoever judges on whose side the fault
//! is, beside the words for people.

use super::excerpt;
use rustls::CertificateError;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::{fmt, io};

/// Length of what an error says of its causes, in bytes.
const MAX_CAUSE: usize = 512;

/// How resolvers say that they know no such name, or no address of it (`gai_strerror` of glibc, of musl and of macOS). Rust gives a
/// failed look-up by these texts alone.
const UNKNOWN_NAME: [&str; 5] = [
    "name or service not known",
    "no address associated with hostname",
    "name does not resolve",
    "name has no usable address",
    "nodename nor servname provided",
];

/// How hyper's client begins to say that a proxy did not open the way; the type is not public.
const TUNNEL: &str = "tunnel error: ";

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UnreachableCause {
    /// The resolver of this machine says that there is no such name, or no address of it.
    UnknownName,
    /// The resolver of this machine gave no answer, or none that says whether there is such a name.
    Resolver,
    /// An address took no connection, or the other side broke off.
    Connection,
    /// No connection, or no answer, came in time.
    TimedOut,
    /// The operator's proxy could not be reached, or broke off.
    Proxy,
    /// The operator's proxy answered and did not open the way; its status, where that is known.
    ProxyRefused(Option<u16>),
    /// The certificate of the other side leads to no authority that is trusted here, or is for another name.
    Certificate,
    /// The certificate of the other side is not valid yet by the clock of this machine.
    CertificateNotYetValid,
    /// The certificate of the other side is no longer valid by the clock of this machine.
    CertificateExpired,
}

/// Why something could not be reached. Never holds a URL's path or query, or a password of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// What failed.
    pub cause: UnreachableCause,
    /// The same in words, for people.
    pub why: String,
}

impl Unreachable {
    pub(crate) fn new(cause: UnreachableCause, why: impl Into<String>) -> Self {
        Self { cause, why: why.into() }
    }

    /// A failed look-up of a name.
    pub(crate) fn of_lookup(error: &io::Error) -> Self {
        let why = error.to_string();
        Self { cause: lookup_cause(&why), why }
    }

    /// A call that brought no whole answer.
    pub(super) fn of_call(error: reqwest::Error) -> Self {
        let error = error.without_url();
        Self { cause: call_cause(&error), why: chain(&error) }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

fn lookup_cause(why: &str) -> UnreachableCause {
    let why = why.to_ascii_lowercase();
    match UNKNOWN_NAME.iter().any(|words| why.contains(words)) {
        true => UnreachableCause::UnknownName,
        false => UnreachableCause::Resolver,
    }
}

fn call_cause(error: &reqwest::Error) -> UnreachableCause {
    // The proxy first: its own name or certificate may be what failed.
    if let Some(cause) = links(error).find_map(|link| tunnel_cause(&link.to_string())) {
        return cause;
    }
    if error.is_dns() {
        return lookup_cause(&chain(error));
    }
    if let Some(cause) = links(error).find_map(certificate_cause) {
        return cause;
    }
    if error.is_timeout() { UnreachableCause::TimedOut } else { UnreachableCause::Connection }
}

fn tunnel_cause(words: &str) -> Option<UnreachableCause> {
    Some(match words.strip_prefix(TUNNEL)? {
        "proxy authorization required" => UnreachableCause::ProxyRefused(Some(407)),
        "unsuccessful" => UnreachableCause::ProxyRefused(None),
        _ => UnreachableCause::Proxy,
    })
}

/// What is wrong with a certificate, if that is what an error says.
fn certificate_cause(link: &(dyn Error + 'static)) -> Option<UnreachableCause> {
    let mut error = link.downcast_ref::<io::Error>()?;
    loop {
        // An error within one of the system is no source of it.
        let inner = error.get_ref()?;
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            let rustls::Error::InvalidCertificate(why) = tls else { return None };
            return Some(match why {
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    UnreachableCause::CertificateNotYetValid
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    UnreachableCause::CertificateExpired
                }
                _ => UnreachableCause::Certificate,
            });
        }
        error = inner.downcast_ref::<io::Error>()?;
    }
}

/// An error and its causes.
fn links<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&link| link.source())
}

/// An error and its causes as one line; reqwest's own text alone says only "error sending request".
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for said in links(error).map(ToString::to_string).filter(|said| !said.is_empty()) {
        if text.is_empty() {
            text = said;
        } else if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
    }
    excerpt(text.as_bytes(), MAX_CAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_resolver_says_tells_an_unknown_name_from_a_resolver_that_fails() {
        for (why, cause) in [
            ("failed to lookup address information: Name or service not known", UnreachableCause::UnknownName),
            (
                "failed to lookup address information: No address associated with hostname",
                UnreachableCause::UnknownName,
            ),
            ("failed to lookup address information: Name does not resolve", UnreachableCause::UnknownName),
            ("failed to lookup address information: Temporary failure in name resolution", UnreachableCause::Resolver),
            ("failed to lookup address information: Try again", UnreachableCause::Resolver),
            ("the resolver gave no answer within 4 s", UnreachableCause::Resolver),
        ] {
            assert_eq!(Unreachable::of_lookup(&io::Error::other(why)), Unreachable::new(cause, why));
        }
    }

    #[test]
    fn a_certificate_is_judged_however_deep_its_error_lies() {
        let of =
            |why: CertificateError| io::Error::new(io::ErrorKind::InvalidData, rustls::Error::InvalidCertificate(why));
        for (why, cause) in [
            (CertificateError::UnknownIssuer, UnreachableCause::Certificate),
            (CertificateError::NotValidForName, UnreachableCause::Certificate),
            (CertificateError::NotValidYet, UnreachableCause::CertificateNotYetValid),
            (CertificateError::Expired, UnreachableCause::CertificateExpired),
        ] {
            assert_eq!(certificate_cause(&of(why.clone())), Some(cause));
            assert_eq!(certificate_cause(&io::Error::other(of(why))), Some(cause));
        }
        assert_eq!(certificate_cause(&io::Error::other("no certificate")), None);
        assert_eq!(certificate_cause(&io::Error::other(fmt::Error)), None);
    }

    #[test]
    fn what_a_proxy_answers_is_told_from_a_proxy_that_is_not_there() {
        for (words, cause) in [
            ("tunnel error: proxy authorization required", Some(UnreachableCause::ProxyRefused(Some(407)))),
            ("tunnel error: unsuccessful", Some(UnreachableCause::ProxyRefused(None))),
            ("tunnel error: failed to create underlying connection", Some(UnreachableCause::Proxy)),
            ("tunnel error: unexpected end of file", Some(UnreachableCause::Proxy)),
            ("tcp connect error", None),
        ] {
            assert_eq!(tunnel_cause(words), cause, "{words}");
        }
    }
}
