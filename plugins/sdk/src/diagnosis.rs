//! What a diagnostic of OpenTofu means that is of no cloud: disk, memory, clock, trust store, proxy, name resolution and the registry
//! of providers, all on the side of the machine that runs OpenTofu. One table for all clouds.
//!
//! What counts is the cause, never what it led to: `Failed to install provider` is said of a full disk as well as of a registry that is
//! down. So a plugin looks at the answer of its own API first, where the text has one, then asks [`LocalFault::of`], and only then
//! searches the text for words that its cloud or its provider is known to write.

use crate::{Advice, Diagnostic, DiagnosticKind};

#[cfg(test)]
mod tests;

/// The text of a diagnostic in lower case, with one space between words. A line break separates summary and detail.
pub fn words(diagnostic: &Diagnostic) -> String {
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    format!("{}\n{}", one_line(&diagnostic.summary), one_line(&diagnostic.detail))
}

/// Whether [`words`] have this sign. Parts of a sign are separated by ` + `; all of them must occur, in any order.
pub fn has(words: &str, sign: &str) -> bool {
    sign.split(" + ").all(|part| words.contains(part))
}

/// Whether [`words`] have one of these signs.
pub fn has_any(words: &str, signs: &[&str]) -> bool {
    signs.iter().any(|sign| has(words, sign))
}

/// The first key of a table of which [`words`] have a sign.
pub fn first<K: Copy>(words: &str, table: &[(K, &[&str])]) -> Option<K> {
    table.iter().find(|(_, signs)| has_any(words, signs)).map(|(key, _)| *key)
}

/// Advice without alternatives.
pub fn advice(kind: DiagnosticKind, retryable: bool, what_happened: &str, what_to_do: &str) -> Advice {
    Advice {
        kind,
        retryable,
        what_happened: what_happened.to_owned(),
        what_to_do: what_to_do.to_owned(),
        alternatives: Vec::new(),
    }
}

/// Advice for a diagnostic that no table knows: OpenTofu's own summary.
pub fn unexplained(diagnostic: &Diagnostic) -> Advice {
    let summary = match diagnostic.summary.trim() {
        "" => "OpenTofu failed without a word.",
        summary => summary,
    };
    let what_to_do = "Read OpenTofu's words in the log. A retry goes on from where this run stopped.";
    advice(DiagnosticKind::Other, false, summary, what_to_do)
}

/// A fault on the side of the machine that runs OpenTofu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalFault {
    /// A disk is full, may not be written, or is broken.
    Disk,
    /// Memory ran out.
    Memory,
    /// The clock is behind.
    Clock,
    /// The certificate of the other side is not trusted here, or is another one's.
    Certificate,
    /// The certificate of the other side has expired.
    ExpiredCertificate,
    /// The operator's proxy.
    Proxy,
    /// The resolver of names does not answer.
    Resolver,
    /// A name that the resolver does not know.
    UnknownName,
    /// A provider that the registry or the mirror does not have, or has with other bytes.
    Package,
    /// The registry or the mirror of providers.
    Registry,
}

/// The first that matches counts. What is said beside any other cause stands last.
const FAULTS: &[(LocalFault, &[&str])] = &[
    (
        LocalFault::Disk,
        &["no space left on device", "disk quota exceeded", "read-only file system", "input/output error"],
    ),
    (
        LocalFault::Memory,
        &["cannot allocate memory", "runtime: out of memory", "out of memory: killed process", "signal: killed"],
    ),
    (
        LocalFault::Clock,
        &[
            "certificate has expired or is not yet valid + is before",
            "certificate is not yet valid",
            "certificate not valid yet",
        ],
    ),
    (
        LocalFault::Certificate,
        &[
            "signed by unknown authority",
            "certificate is not trusted",
            "unknownissuer",
            "unable to get local issuer certificate",
            "self-signed certificate",
            "self signed certificate",
            "x509: certificate is valid for",
            "certificate not valid for name",
            "x509: cannot validate certificate for",
            "certificate is not valid for any names",
        ],
    ),
    (LocalFault::ExpiredCertificate, &["certificate has expired", "certificate expired", "peer certificate: expired"]),
    (
        LocalFault::Proxy,
        &["proxyconnect", "proxy authentication required", "the proxy of this host:", "tunnel error:", "socks connect"],
    ),
    (
        LocalFault::Resolver,
        &[
            "server misbehaving",
            "temporary failure in name resolution",
            "address information: try again",
            "lookup + :53: i/o timeout",
            "dial tcp: lookup + i/o timeout",
            "lookup + :53: read: ",
            "lookup + :53: connect: ",
            "the resolver gave no answer",
        ],
    ),
    (
        LocalFault::UnknownName,
        &[
            "no such host",
            "name or service not known",
            "name does not resolve",
            "no address associated with hostname",
            "its name cannot be resolved",
        ],
    ),
    (
        LocalFault::Package,
        &[
            "any of the checksums",
            "of the expected checksums",
            "the expected checksum",
            "incorrect checksum",
            "verify provider package checksums",
            "checksum list has",
            "error checking signature",
            "was not found in any of the search locations",
            "does not have a provider named",
            "no available releases match",
            "inconsistent dependency lock file",
            "for your current platform",
        ],
    ),
    (
        LocalFault::Registry,
        &[
            "failed to query available provider packages",
            "failed to resolve provider packages",
            "failed to install provider",
            "could not query provider registry",
            "failed to query provider mirror",
            "could not connect to registry",
            "provider registry",
        ],
    ),
];

impl LocalFault {
    /// The fault that [`words`] tell of. They must be without answers of a cloud: a disk that its API speaks of is the cloud's.
    pub fn of(words: &str) -> Option<Self> {
        first(words, FAULTS)
    }

    /// Plain words for it.
    pub fn advice(self) -> Advice {
        let (kind, retryable) = match self {
            // They may pass by themselves.
            Self::Resolver | Self::Registry => (DiagnosticKind::Transient, true),
            Self::Package => (DiagnosticKind::Configuration, false),
            _ => (DiagnosticKind::Other, false),
        };
        advice(kind, retryable, self.what_happened(), self.what_to_do())
    }

    fn what_happened(self) -> &'static str {
        match self {
            Self::Disk => {
                "A disk of the machine that runs OpenTofu is full, may not be written, or is broken. The cloud has no part in it."
            }
            Self::Memory => "Memory ran out on the machine that runs OpenTofu. The cloud has no part in it.",
            Self::Clock => {
                "The clock of the machine that runs OpenTofu is behind: a certificate is not valid yet by it."
            }
            Self::Certificate => {
                "The certificate of the other side is not trusted by the machine that runs OpenTofu: its authority is not in the \
                 trust store, or something in between, such as a proxy that inspects connections, answers in its place."
            }
            Self::ExpiredCertificate => {
                "The certificate of the other side has expired, or the clock of the machine that runs OpenTofu is ahead."
            }
            Self::Proxy => {
                "The proxy by which the machine that runs OpenTofu goes out did not open the way. The cloud was not reached."
            }
            Self::Resolver => {
                "The name resolution of the machine that runs OpenTofu does not answer. The cloud was not reached."
            }
            Self::UnknownName => {
                "The name resolution of the machine that runs OpenTofu does not know a name. The cloud was not reached."
            }
            Self::Package => {
                "The registry or the mirror of OpenTofu's providers does not have a provider as it is asked for. The cloud was not \
                 asked."
            }
            Self::Registry => "A provider of OpenTofu could not be installed. The cloud was not asked.",
        }
    }

    fn what_to_do(self) -> &'static str {
        match self {
            Self::Disk => "Make room on that machine, or mend its disk, then retry.",
            Self::Memory => "Give that machine more memory, or let fewer runs go on at once, then retry.",
            Self::Clock => "Set that clock right, then retry.",
            Self::Certificate => {
                "Put the authority into the trust store of that machine, or take the name out of that proxy's inspection, then retry."
            }
            Self::ExpiredCertificate => {
                "Compare that machine's clock; where it is right, whoever runs the named server has to renew its certificate."
            }
            Self::Proxy => {
                "Look at that proxy: whether it runs, takes the credentials, and lets the named host through. Then retry."
            }
            Self::Resolver => "Look at that machine's resolver (/etc/resolv.conf), then retry.",
            Self::UnknownName => {
                "Where the request gives the named address, correct it; else look at that machine's resolver. Then retry."
            }
            Self::Package => "Bring the mirror to what the message names, or use one that has it, then retry.",
            Self::Registry => "Look at the way to the registry of providers, or at the mirror, then retry.",
        }
    }
}
