//! What is wrong with the headers that say where a request is meant to go and which page sent it. It chooses no status.

/// A fault of `Host`, `Origin`, `Sec-Fetch-Site` or `Content-Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// HTTP/1.1 without exactly one valid `Host` (RFC 9112, section 3.2).
    #[error("Host: it must be given exactly once, as a host and an optional port (RFC 9112, section 3.2)")]
    InvalidHost,
    /// A host name that this host does not answer to.
    #[error("Host: this server does not answer to that name; add it to CATALYST_ALLOWED_HOSTS if it is yours")]
    ForeignHost,
    /// A page of another origin, where nobody is asked for a token.
    #[error(
        "Origin: while CATALYST_AUTH is none, only pages of this host's own origin and of the one that CORS_ORIGIN names \
         may call"
    )]
    ForeignOrigin,
    /// A POST of a page that is not JSON, where nobody is asked for a token.
    #[error("Content-Type: a POST of a browser must be application/json while CATALYST_AUTH is none")]
    NotJson,
}

impl HeaderFault {
    /// Every fault, for the document of the API.
    pub const ALL: [Self; 4] = [Self::InvalidHost, Self::ForeignHost, Self::ForeignOrigin, Self::NotJson];

    /// Its code on the wire and in the audit log.
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidHost => "invalid-host",
            Self::ForeignHost => "foreign-host",
            Self::ForeignOrigin => "foreign-origin",
            Self::NotJson => "unsupported-media-type",
        }
    }
}
