//! Why the cluster could not be asked, in words for a person.
//!
//! Words are chosen here, never taken from an error's `Debug`: that may hold headers or URLs. What the API server
//! itself says is repeated, shortened.

use super::shorten;

/// The server's own words inside a sentence, in bytes.
const MAX_QUOTE: usize = 240;

/// What is said of an answer that cannot be read.
const NOT_KUBERNETES: &str = "the answer is not one of a Kubernetes API server";

/// What kind of trouble, for those who act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The kind of object, or the object, does not exist there.
    Absent,
    /// It is there and the kubeconfig may not read it.
    Forbidden,
    /// The list is too old to watch from; list again at once.
    Expired,
    /// No answer, or none that helps.
    Unreachable,
}

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) kind: Kind,
    pub(super) why: String,
    /// Whether nothing was heard of the API server itself, or only that it cannot serve. What rests on this gives a cluster up, so whatever
    /// may come of this host's side (a name, a certificate, a route), and any refusal, is no silence. Where a proxy is between, the
    /// caller must not go by it.
    pub(super) is_silence: bool,
}

impl Trouble {
    /// No answer that helps, in these words.
    pub(super) fn unreachable(why: String) -> Self {
        Self { kind: Kind::Unreachable, why, is_silence: false }
    }

    /// No answer within the limit.
    pub(super) fn timeout(seconds: u64) -> Self {
        let why = format!("the API server gave no answer within {seconds} s");
        Self { is_silence: true, ..Self::unreachable(why) }
    }

    /// The same trouble, of a cluster that may be up: something else was heard of it, or this is no word of the API server.
    pub(super) fn no_silence(self) -> Self {
        Self { is_silence: false, ..self }
    }

    /// An answer that is none of an API server.
    pub(super) fn not_kubernetes() -> Self {
        Self::unreachable(NOT_KUBERNETES.to_owned())
    }

    /// What the API server answered. For a 5xx of anything in front of it see [`Self::no_silence`].
    pub(super) fn from_status(code: u16, message: &str) -> Self {
        let said = shorten(message.trim(), MAX_QUOTE);
        let (kind, why) = match code {
            401 => (Kind::Unreachable, "the API server refuses the credentials of the kubeconfig (401)".to_owned()),
            403 => (Kind::Forbidden, format!("the kubeconfig may not read it (403): {said}")),
            404 => (Kind::Absent, "the API server does not know it (404)".to_owned()),
            410 => (Kind::Expired, "the list is too old to watch from (410)".to_owned()),
            _ => (Kind::Unreachable, format!("the API server answered {code}: {said}")),
        };
        Self { kind, why, is_silence: (500..600).contains(&code) }
    }
}

impl From<&kube::Error> for Trouble {
    fn from(error: &kube::Error) -> Self {
        use kube::Error as E;
        match error {
            E::Api(status) => Self::from_status(status.code, &status.message),
            E::Service(source) => connection(source.as_ref()),
            E::HyperError(source) => connection(source),
            E::ReadEvents(source) => connection(source),
            E::SerdeError(_) | E::FromUtf8(_) => Self::not_kubernetes(),
            _ => Self::unreachable("the request could not be made".to_owned()),
        }
    }
}

/// Finds the cause that a person can act on in a chain of wrappers.
fn connection(error: &(dyn std::error::Error + 'static)) -> Trouble {
    let mut cause = Some(error);
    let mut last = String::new();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && let Some(words) = io_words(io.kind())
        {
            let is_silence = io.kind() != std::io::ErrorKind::NetworkUnreachable;
            return Trouble { is_silence, ..Trouble::unreachable(words.to_owned()) };
        }
        last = error.to_string();
        // An io::Error that only wraps another error hides it from `source`.
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    Trouble::unreachable(format!("the connection failed: {}", shorten(&last, MAX_QUOTE)))
}

fn io_words(kind: std::io::ErrorKind) -> Option<&'static str> {
    use std::io::ErrorKind as K;
    Some(match kind {
        K::ConnectionRefused => "the connection was refused",
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof => "the connection was cut",
        K::TimedOut => "no connection within the time limit",
        K::HostUnreachable | K::NetworkUnreachable => "there is no route to the server",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c5_causes_are_told_in_words() {
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let wrapped = std::io::Error::other(std::io::Error::other(io));
        assert_eq!(connection(&wrapped).why, "the connection was refused");
        assert_eq!(
            connection(&std::io::Error::other("invalid peer certificate: UnknownIssuer")).why,
            "the connection failed: invalid peer certificate: UnknownIssuer"
        );
    }

    #[test]
    fn t1_only_what_comes_from_no_living_server_is_silence() {
        use std::io::{Error, ErrorKind as K};
        for kind in [K::ConnectionRefused, K::ConnectionReset, K::TimedOut, K::HostUnreachable, K::UnexpectedEof] {
            assert!(connection(&Error::other(Error::from(kind))).is_silence, "{kind}");
        }
        assert!(Trouble::timeout(20).is_silence && Trouble::from_status(503, "etcdserver: no leader").is_silence);
        for error in [Error::other("invalid peer certificate: Expired"), Error::from(K::NetworkUnreachable)] {
            assert!(!connection(&error).is_silence, "{error}");
        }
        for code in [401, 403, 404, 409, 410, 429] {
            assert!(!Trouble::from_status(code, "no").is_silence, "{code}");
        }
    }

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(Trouble::from_status(404, "page not found").kind, Kind::Absent);
        assert_eq!(Trouble::from_status(403, "no").kind, Kind::Forbidden);
        assert_eq!(Trouble::from_status(410, "").kind, Kind::Expired);
        let trouble = Trouble::from_status(503, &"x".repeat(10_000));
        assert_eq!(trouble.kind, Kind::Unreachable);
        assert!(trouble.why.len() < 400);
    }
}
