//! The process itself: what it is told, as whom it runs, and what it may.

use super::check::Site;
use super::finding::Finding;
use crate::auth::{Auth, Mode, Way};
use crate::cli::descriptors;
use crate::cli::serve::{outbound_settings, store_settings};
use crate::config::Config;
use crate::http;
use catalyst_store::Seal;

/// Variables that are ignored or most likely mistyped.
pub(super) fn environment(config: &Config) -> Vec<Finding> {
    let check = "environment";
    if config.warnings.is_empty() {
        return vec![Finding::ok(check, "every variable is understood")];
    }
    let warn = |text: &String| Finding::warn(check, text, "take it out, or write it as `catalyst serve --help` does");
    config.warnings.iter().map(warn).collect()
}

/// Whose rights it has.
pub(super) fn user() -> Vec<Finding> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let found = format!("user {user}, group {group}");
    if user == 0 {
        let advice = "run it as a user of its own, such as 65534: nothing here needs root, and files that root makes shut others out";
        return vec![Finding::warn("user", "root", advice)];
    }
    vec![Finding::ok("user", found)]
}

/// Room for connections.
pub(super) fn open_files() -> Vec<Finding> {
    let clients = http::Limits::default().connections;
    let check = "open files";
    match descriptors::hard_limit_below(clients) {
        None => vec![Finding::ok(check, format!("the limit has room for {clients} connections"))],
        Some((hard, wanted)) => {
            let found = format!("the hard limit is {hard}, and {wanted} are wanted: fewer connections are taken");
            vec![Finding::warn(check, found, "raise it (ulimit -Hn, LimitNOFILE=, the runtime's default)")]
        }
    }
}

/// Who may call, and whether what tells callers apart does so now.
pub(super) async fn authentication(site: &Site) -> Vec<Finding> {
    let config = &site.config;
    let check = "authentication";
    if matches!(config.auth.way, Way::None) {
        return vec![nobody_is_asked(check, config)];
    }
    // Without a way out nothing can be said; that has its own finding.
    let Some(outbound) = site.outbound.get() else { return Vec::new() };
    let makes_lines = "`catalyst token new` makes the lines of a file of tokens";
    let auth = match Auth::new(config.auth.clone(), outbound, &outbound_settings(config)) {
        Ok(auth) => auth,
        Err(error) => {
            let advice = format!("{makes_lines}; for kubernetes see CATALYST_AUTH_KUBERNETES_*");
            return vec![Finding::fail(check, format!("{:#}", anyhow::Error::from(error)), &advice)];
        }
    };
    let Some(by) = auth.authenticator() else { return Vec::new() };
    if by.knows_nobody() {
        return vec![Finding::warn(check, "the file of tokens holds none, so nobody is let in", makes_lines)];
    }
    let mode = by.mode();
    vec![match by.prove().await {
        Ok(()) => Finding::ok(check, format!("callers are known by {}", mode.as_str())),
        Err(fault) => Finding::fail(check, format!("nobody is let in: {fault}"), way_in(mode)),
    }]
}

fn nobody_is_asked(check: &'static str, config: &Config) -> Finding {
    let listen = config.listen;
    if !listen.ip().is_loopback() {
        let found = format!("none, on {listen}: whoever reaches it may create, destroy and read kubeconfigs");
        let advice = "set CATALYST_AUTH, or put something before it that authenticates, and a network policy around it";
        let names =
            "; set CATALYST_ALLOWED_HOSTS to its names, so that no page comes by a name of its own (DNS rebinding)";
        let names = if config.browsers.allowed_hosts.is_empty() { names } else { "" };
        return Finding::warn(check, found, format!("{advice}{names}"));
    }
    let found = format!(
        "none, on {listen}: every program on this machine may create, destroy and read kubeconfigs, pages of other origins \
         may not; CATALYST_AUTH=token asks for a token"
    );
    Finding::ok(check, found)
}

/// What to do where nobody can tell callers apart.
fn way_in(mode: Mode) -> &'static str {
    match mode {
        Mode::Kubernetes => {
            "give it an account that may create tokenreviews of authentication.k8s.io, its token mounted where \
             CATALYST_AUTH_KUBERNETES_ACCOUNT says, and a way to CATALYST_AUTH_KUBERNETES_API"
        }
        Mode::Oidc => {
            "set CATALYST_OIDC_ISSUER as the provider writes it, and let the way there through (network policy, HTTPS_PROXY, \
             SSL_CERT_FILE)"
        }
        _ => "look at the cause",
    }
}

/// Whether what is kept encrypted can be opened, and whether what is to be encrypted is.
pub(super) fn state_key(config: &Config) -> Vec<Finding> {
    let check = "state key";
    let settings = store_settings(config);
    vec![match (catalyst_store::closed_to(&settings), &config.state_key) {
        (Err(error), _) => Finding::fail(
            check,
            format!("the states or kubeconfigs cannot be read: {error}"),
            "give them to the host's user",
        ),
        (Ok(0), Some(_)) => opened(check, config),
        (Ok(0), None) => Finding::warn(
            check,
            "states are kept as they come, with what the servers were given",
            "set CATALYST_STATE_KEY (openssl rand -hex 32) and keep it elsewhere",
        ),
        (Ok(count), Some(_)) => Finding::fail(
            check,
            format!(
                "the states of {count} deployments are encrypted with another key, or their kubeconfigs or bundles are; the start refuses"
            ),
            "set CATALYST_STATE_KEY to that key",
        ),
        (Ok(count), None) => Finding::fail(
            check,
            format!("the states, kubeconfigs or bundles of {count} deployments are encrypted, and no key is set"),
            "set CATALYST_STATE_KEY: without it they can be neither retried nor destroyed, and no encrypted kubeconfig is given out",
        ),
    }]
}

fn opened(check: &'static str, config: &Config) -> Finding {
    let kept = catalyst_store::kubeconfigs_sealed_and_plain(&config.kubeconfigs_dir);
    match (config.seal, kept) {
        (_, Err(error)) => {
            Finding::fail(check, format!("the kubeconfigs cannot be read: {error}"), "give them to the host's user")
        }
        (Seal::All, Ok((_, plain))) if plain > 0 => Finding::ok(
            check,
            format!("it opens all that is kept; {plain} kubeconfigs are not encrypted yet: the start does that"),
        ),
        (Seal::All, _) => Finding::ok(check, "it opens all that is kept, and every kubeconfig is encrypted"),
        (Seal::States, Ok((sealed, _))) if sealed > 0 => Finding::warn(
            check,
            format!("{sealed} kubeconfigs are encrypted from an earlier CATALYST_SEAL=all, and new ones are not"),
            "set CATALYST_SEAL=all again, if that is not meant",
        ),
        (Seal::States, _) => Finding::ok(check, "it opens every state that is kept"),
    }
}
