//! Tells on whose side a fault is: a part of this host, the request, a server elsewhere, or none that can be told here, which leaves it
//! to the plugin of the cloud.
//!
//! Pure: it gets texts of OpenTofu and typed causes of this host's own connections, and reads no clock, file or environment. It knows
//! no cloud. What a service of a cloud answered is left out before the text is judged: a disk of which a service speaks is not this
//! host's.

mod texts;
mod words;

#[cfg(test)]
mod tests;

use crate::egress::{Reach, Refusal, RefusalRule};
use crate::outbound::{SendError, UnreachableCause};

/// A part of this host, or of what its operator put beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPart {
    /// Disks.
    Disk,
    /// Memory.
    Memory,
    /// Clock.
    Clock,
    /// Certificates that are trusted.
    TrustStore,
    /// The operator's proxy.
    Proxy,
    /// The resolver of names.
    NameResolution,
    /// The registry or the mirror that OpenTofu's providers are installed from, and the way there.
    Registry,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This host's.
    Host(HostPart),
    /// The request's: it gives an address that does not exist.
    Request,
    /// That of the server at the other end.
    Server,
}

/// A fault whose side is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedFault {
    /// Whose it is.
    pub origin: Origin,
    /// What happened: a sentence without its full stop.
    pub what_happened: String,
    /// What to do: a sentence with its full stop.
    pub what_to_do: String,
}

/// What is known of a failure beside its text.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What the step was allowed to reach: in [`Reach::Install`] no cloud is asked.
    pub reach: Reach,
    /// Connections that the proxy of the run did not make in this step.
    pub refused: &'a [Refusal],
    /// Host names that the request gives as addresses of its cloud.
    pub requested: &'a [String],
}

/// A fault as this room tells them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    DiskFull,
    DiskReadOnly,
    DiskBroken,
    MemoryExhausted,
    Killed,
    /// What the clock says, where that is known.
    WrongClock(Option<String>),
    Untrusted,
    Expired,
    ProxyUnreachable,
    ProxyCredentials,
    /// The host, and the status that the proxy answered.
    ProxyForbids(String, u16),
    /// The host.
    ProxyFails(String),
    ResolverSilent,
    UnknownName(Option<String>),
    RequestedName(String),
    Checksum,
    PackageMissing,
    RegistryUnreachable,
}

/// Judges what OpenTofu says.
pub fn of_text(text: &str, context: &Context<'_>) -> Option<LocatedFault> {
    let words = texts::own_words(text)?;
    let fault = texts::of_system(&words).or_else(|| {
        let is_of_rule = |one: &&Refusal| one.rule != RefusalRule::Unreachable;
        if context.refused.iter().filter(is_of_rule).any(|one| texts::tells_of(&words, one)) {
            // The rule stands in the text, and says what to do.
            return None;
        }
        texts::of_certificate(&words)
            .or_else(|| of_connection(&words, context))
            .or_else(|| texts::of_package(&words))
            .or_else(|| {
                (context.reach == Reach::Install && texts::is_of_registry(&words)).then_some(Fault::RegistryUnreachable)
            })
    });
    fault.map(LocatedFault::from)
}

/// Judges the signal that ended OpenTofu, or the supervisor of its run, and that this host did not send.
pub fn of_signal(signal: i32) -> Option<LocatedFault> {
    /// What the kernel sends where memory is short.
    const SIGKILL: i32 = 9;
    (signal == SIGKILL).then(|| Fault::Killed.into())
}

/// Judges a call of this host itself that brought no answer. `requested` are the host names that the request gives.
pub fn of_call(error: &SendError, host: &str, requested: &[String]) -> Option<LocatedFault> {
    let SendError::Unreachable(unreachable) = error else { return None };
    let context = Context { reach: Reach::Cloud, refused: &[], requested };
    of_cause(unreachable.cause, host, &context).map(LocatedFault::from)
}

/// What the proxy of the run could not reach, as far as the text tells of it, and else what the text says of names and proxies.
fn of_connection(words: &str, context: &Context<'_>) -> Option<Fault> {
    let of_refusal = |refusal: &Refusal| of_cause(refusal.cause?, host_of(&refusal.target), context);
    if let Some(told) = context.refused.iter().find(|refusal| texts::tells_of(words, refusal)) {
        return of_refusal(told);
    }
    if let Some(fault) = texts::of_proxy(words).or_else(|| texts::of_names(words)) {
        return Some(match fault {
            Fault::UnknownName(Some(name)) => unknown_name(&name, context),
            fault => fault,
        });
    }
    // A client that tries again and again says at last no more than that its time was over.
    let has_no_cause = texts::is_of_transport(words);
    has_no_cause.then(|| context.refused.iter().find_map(of_refusal)).flatten()
}

fn of_cause(cause: UnreachableCause, host: &str, context: &Context<'_>) -> Option<Fault> {
    Some(match cause {
        UnreachableCause::UnknownName => unknown_name(host, context),
        UnreachableCause::Resolver => Fault::ResolverSilent,
        UnreachableCause::Proxy => Fault::ProxyUnreachable,
        UnreachableCause::ProxyRefused(Some(407)) => Fault::ProxyCredentials,
        UnreachableCause::ProxyRefused(Some(status @ 400..=499)) => Fault::ProxyForbids(host.to_owned(), status),
        UnreachableCause::ProxyRefused(_) => Fault::ProxyFails(host.to_owned()),
        UnreachableCause::Certificate => Fault::Untrusted,
        UnreachableCause::CertificateNotYetValid => Fault::WrongClock(None),
        UnreachableCause::CertificateExpired => Fault::Expired,
        UnreachableCause::Connection | UnreachableCause::TimedOut if context.reach == Reach::Install => {
            Fault::RegistryUnreachable
        }
        UnreachableCause::Connection | UnreachableCause::TimedOut => return None,
    })
}

fn unknown_name(name: &str, context: &Context<'_>) -> Fault {
    let name = name.trim_end_matches('.');
    match context.requested.iter().any(|requested| requested.trim_end_matches('.').eq_ignore_ascii_case(name)) {
        true => Fault::RequestedName(name.to_owned()),
        false => Fault::UnknownName(Some(name.to_owned())),
    }
}

/// The host of `host:port`.
fn host_of(target: &str) -> &str {
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
    host.trim_matches(['[', ']'])
}
