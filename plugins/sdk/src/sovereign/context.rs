//! What the modules take from a host. A fault here is the operator's to mend, so it is said before anything is created.

use crate::{Findings, Pointer, RenderContext, text};

/// Longest URL in characters, as in the module.
const MAX_URL: usize = 256;
/// Longest branch name in characters, as in the module.
const MAX_BRANCH: usize = 200;

/// Adds a finding for each value that the module would refuse.
pub fn check_context(context: &RenderContext, findings: &mut Findings) {
    let mut refuse = |code: &str, message: &str| findings.error(&Pointer::root(), code, message);
    let url = context.public_url.trim();
    if !url.is_empty() && !is_public_url(url) {
        refuse(
            "public-url",
            "the host's public URL must be https without a query (http only to this machine) and have at most 256 \
             characters, or no node can hand in its kubeconfig",
        );
    }
    let repository = context.gitops_repo_url.trim();
    if !repository.is_empty() && !is_repository(repository) {
        refuse(
            "gitops-repo-url",
            "the host's GitOps repository must be an http, https or ssh URL of at most 256 characters",
        );
    }
    let branch = context.gitops_branch.trim();
    if !branch.is_empty() && !is_branch(branch) {
        refuse(
            "gitops-branch",
            "the host's GitOps branch must have at most 200 letters, digits and ._/- and begin with one of the first two",
        );
    }
    if repository.starts_with("ssh://") {
        let message = "the host's GitOps repository is an ssh URL, and the cluster gets no key for it: Flux waits until one is \
                       put into the cluster and named by its GitRepository";
        findings.warning(&Pointer::root(), "gitops-ssh-key", message);
    }
}

/// Whether a URL may be sent a credential: https without a query, or plain http to this machine, at most 256 characters.
pub fn is_public_url(url: &str) -> bool {
    if url.chars().count() > MAX_URL {
        return false;
    }
    let (address, local) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (rest, false),
        (_, Some(rest)) => (rest, true),
        _ => return false,
    };
    let (host, path) = address.split_at(address.find('/').unwrap_or(address.len()));
    let path_fits = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~/-".contains(&b));
    let host_fits = if local { is_loopback(host) } else { is_host(host) };
    path_fits && host_fits
}

fn is_host(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".:[]_-".contains(&b))
}

fn is_loopback(host: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if digits(port) && !name.ends_with(':') => name,
        _ => host,
    };
    let v4 = name
        .strip_prefix("127.")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
    v4 || name == "localhost" || name == "[::1]"
}

fn is_repository(url: &str) -> bool {
    let rest = ["https://", "http://", "ssh://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let plain = |c: char| !c.is_whitespace() && !text::is_forbidden(c) && !"\"'<>\\".contains(c);
    url.chars().count() <= MAX_URL && rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(plain))
}

fn is_branch(branch: &str) -> bool {
    branch.len() <= MAX_BRANCH
        && branch.starts_with(|c: char| c.is_ascii_alphanumeric())
        && branch.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ssh_repository_passes_with_the_remark_that_nothing_gives_a_key() {
        let said = |url: &str| {
            let mut findings = Findings::new();
            let context = RenderContext { gitops_repo_url: url.to_owned(), ..RenderContext::default() };
            check_context(&context, &mut findings);
            (findings.has_errors(), findings.warnings().len())
        };
        assert_eq!(said("https://git.test/a.git"), (false, 0));
        assert_eq!(said("ssh://git@git.test/a.git"), (false, 1));
        assert_eq!(said("git@git.test:a.git"), (true, 0));
    }
}
