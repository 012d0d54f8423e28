//! The request's own fields.

use crate::checks::{self, KeyRemark};
use crate::{DeploymentRequest, DomainMode, Findings, Placement, Pointer};

/// Longest domain in bytes, as in the modules: names below it must fit 253.
pub const MAX_FQDN: usize = 240;
/// Longest name below the pool domain in characters, as in the modules.
const MAX_SUBDOMAIN: usize = 63;
/// Longest organisation name in characters and in bytes, as in the modules.
const MAX_ORG_NAME: (usize, usize) = (200, 800);
/// Most workers: their private addresses are .10 to .59.
const MAX_WORKERS: i64 = 50;

/// Adds a finding for each name that the modules would refuse. Whether a field may be blank is the host's rule.
pub fn check_names(request: &DeploymentRequest, findings: &mut Findings) {
    let fqdn = request.sovereign_fqdn.as_str();
    if !fqdn.is_empty() && !checks::is_dns_name(fqdn, MAX_FQDN) {
        let message = format!(
            "sovereignFQDN must be a lower-case FQDN of at least two labels and at most {MAX_FQDN} characters, the last \
             label beginning with a letter"
        );
        findings.error(&Pointer::to("sovereignFQDN"), "dns-name", message);
    }
    let name = &request.org_name;
    if name.chars().count() > MAX_ORG_NAME.0 || name.len() > MAX_ORG_NAME.1 {
        let message = format!("orgName has at most {} characters and {} bytes", MAX_ORG_NAME.0, MAX_ORG_NAME.1);
        findings.error(&Pointer::to("orgName"), "too-long", message);
    }
    let email = request.org_email.as_str();
    if !email.is_empty() && !checks::is_email(email) {
        let message = "orgEmail must be a mail address of at most 254 bytes";
        findings.error(&Pointer::to("orgEmail"), "email", message);
    }
    if request.domain_mode == DomainMode::Pool {
        let label = request.subdomain.as_str();
        let under_a_domain = format!("{label}.example");
        let fits = label.len() <= MAX_SUBDOMAIN && checks::is_dns_name(&under_a_domain, MAX_FQDN);
        if !label.is_empty() && !fits {
            let message = format!(
                "sovereignSubdomain must be a lower-case DNS label, or several with dots between them, of at most \
                 {MAX_SUBDOMAIN} characters"
            );
            findings.error(&Pointer::to("sovereignSubdomain"), "dns-name", message);
        }
        let pool = request.pool_domain.as_str();
        if !pool.is_empty() && !checks::is_dns_name(pool, MAX_FQDN) {
            let message = "sovereignPoolDomain must be a lower-case domain name";
            findings.error(&Pointer::to("sovereignPoolDomain"), "dns-name", message);
        }
    }
    if request.regions.len() > 1 {
        let message = "only the first region is built; the others are noted and left out";
        findings.warning(&Pointer::to("regions").index(1), "one-region", message);
    }
}

/// The name below the pool domain and that domain: blank outside pool mode, where a request may say them but nothing reads
/// them and the modules would refuse what no finding was made of.
#[must_use]
pub fn pool_names(request: &DeploymentRequest) -> (&str, &str) {
    match request.domain_mode {
        DomainMode::Pool => (request.subdomain.trim(), request.pool_domain.trim()),
        DomainMode::Byo => ("", ""),
    }
}

/// Adds a finding when the modules do not build so many workers.
pub fn check_worker_count(placement: &Placement, findings: &mut Findings) {
    let count = placement.worker_count;
    if count < 0 {
        findings.error(&placement.worker_count_pointer, "negative", "workerCount must be 0 or more");
    } else if count > MAX_WORKERS {
        let message = format!("workerCount is {count}; at most {MAX_WORKERS} are built");
        findings.error(&placement.worker_count_pointer, "too-many-workers", message);
    }
}

/// Whether a cloud takes keys whose private half is in a FIDO security key (`sk-ssh-ed25519@openssh.com` and its like).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FidoKeys {
    /// It does.
    Taken,
    /// It does not; the sentence says why, and what to give.
    NotTaken(&'static str),
}

/// Adds a finding when a public key is not one that the cloud takes.
pub fn check_ssh_key(key: &str, fido: FidoKeys, findings: &mut Findings) {
    if key.trim().is_empty() {
        return;
    }
    let (code, reason) = match (checks::check_public_key(key), fido) {
        (Ok(KeyRemark::Sound), _) | (Ok(KeyRemark::Fido), FidoKeys::Taken) => return,
        (Ok(KeyRemark::Fido), FidoKeys::NotTaken(why)) => ("ssh-fido-key", why.to_owned()),
        (Ok(KeyRemark::ShortRsa { bits }), _) => {
            ("ssh-public-key", format!("the SSH public key is RSA with {bits} bits; 2048 are the least"))
        }
        (Err(reason), _) => ("ssh-public-key", reason),
    };
    findings.error(&Pointer::to("sshPublicKey"), code, reason);
}
