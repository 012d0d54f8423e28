//! What requests of browsers are held to: the names of the host, and the pages that may call.

use super::{Config, ConfigError, Env};
use crate::auth::Way;
use crate::http::{AllowedHosts, BrowserSettings, WebOrigin};

impl Env<'_> {
    pub(super) fn browsers(&self) -> Result<BrowserSettings, ConfigError> {
        let name = "CATALYST_ALLOWED_HOSTS";
        let listed = self.get(name).map(AllowedHosts::parse).transpose();
        let allowed_hosts = listed.map_err(|why| ConfigError { name, why })?.unwrap_or_default();
        // Its default is the address of somebody else's pages.
        let public_url = self.get("CATALYST_API_PUBLIC_URL");
        Ok(BrowserSettings { allowed_hosts, public_origin: public_url.and_then(WebOrigin::of_url) })
    }

    /// A remark on `*` that was written down and counts for nothing.
    pub(super) fn unused_cors(&self) -> Option<String> {
        let is_open = self.get("CATALYST_AUTH").unwrap_or("none") == "none";
        let text =
            "CORS_ORIGIN: * lets no page of another origin call while CATALYST_AUTH is none; write the origin that may";
        (is_open && self.get("CORS_ORIGIN") == Some("*")).then(|| text.to_owned())
    }

    pub(super) fn is_auth_unset(&self) -> bool {
        self.get("CATALYST_AUTH").is_none()
    }
}

impl Config {
    /// What a start without a word on authentication comes to, and how to ask for a token.
    pub fn remark_on_unset_auth(&self) -> Option<&'static str> {
        let is_open = self.auth_is_unset && matches!(self.auth.way, Way::None);
        is_open.then_some(
            "CATALYST_AUTH is not set: every program on this machine, OpenTofu's providers among them, may create, destroy \
             and read kubeconfigs; pages of other origins may not. For a token: `(umask 077; catalyst token new --name me \
             --scope admin >> tokens)`, then CATALYST_AUTH=token and CATALYST_AUTH_TOKENS=tokens",
        )
    }
}
