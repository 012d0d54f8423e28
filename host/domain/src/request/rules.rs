//! The rules of a request that hold on every cloud. What one cloud refuses, its provider says.

use super::{DomainMode, RegionSlot, Request};
use crate::finding::Finding;

/// Most slots in `regions`; more is a mistake, and each one is stored.
const MAX_REGIONS: usize = 16;
/// Longest organisation name in characters; it lands in user data on every server.
const MAX_ORG_NAME: usize = 200;
/// Longest mail address in bytes (RFC 5321).
const MAX_EMAIL: usize = 254;
/// Longest public key in bytes: RSA with 16,384 bits and a comment.
const MAX_SSH_KEY: usize = 4096;
/// Longest region or machine type name in bytes; real ones are under 40.
const MAX_NAME: usize = 128;

/// All findings of the generic rules.
pub fn validate(request: &Request) -> Vec<Finding> {
    let mut findings = Vec::new();
    regions(request, &mut findings);
    required(request, &mut findings);
    shapes(request, &mut findings);
    domain(request, &mut findings);
    characters(request, &mut findings);
    findings
}

fn regions(request: &Request, findings: &mut Vec<Finding>) {
    if request.regions.len() > MAX_REGIONS {
        let message = format!("regions: at most {MAX_REGIONS} entries, not {}", request.regions.len());
        findings.push(Finding::error("/regions", "too-many", message));
    }
    for (index, slot) in request.regions.iter().take(MAX_REGIONS).enumerate() {
        region(index, slot, findings);
    }
    if request.regions.is_empty() && request.worker_count < 0 {
        findings.push(Finding::error("/workerCount", "negative", "workerCount: must be 0 or more"));
    }
}

fn region(index: usize, slot: &RegionSlot, findings: &mut Vec<Finding>) {
    let mut push = |key: &str, code: &str, rule: &str| {
        findings.push(Finding::error(
            format!("/regions/{index}/{key}"),
            code,
            format!("region[{index}]: {key} {rule}"),
        ));
    };
    if slot.provider.is_empty() {
        push("provider", "required", "is required");
    }
    if slot.cloud_region.is_empty() {
        push("cloudRegion", "required", "is required");
    }
    if slot.control_plane_size.is_empty() {
        push("controlPlaneSize", "required", "is required");
    }
    if slot.worker_count < 0 {
        push("workerCount", "negative", "must be 0 or more");
    }
    if slot.worker_count > 0 && slot.worker_size.is_empty() {
        push("workerSize", "required", "is required when workerCount is above 0");
    }
}

fn required(request: &Request, findings: &mut Vec<Finding>) {
    let fields = [
        ("region", &request.region, "a region is required"),
        ("sovereignFQDN", &request.sovereign_fqdn, "the FQDN of the new cluster is required"),
        ("orgName", &request.org_name, "an organisation name is required"),
        ("orgEmail", &request.org_email, "an organisation email is required"),
        ("sshPublicKey", &request.ssh_public_key, "an SSH public key is required"),
    ];
    for (key, value, rule) in fields {
        // A blank region of a slot is already named with its index.
        let named_by_slot = key == "region" && !request.regions.is_empty();
        if value.is_empty() && !named_by_slot {
            findings.push(Finding::error(format!("/{key}"), "required", format!("{key}: {rule}")));
        }
    }
}

fn shapes(request: &Request, findings: &mut Vec<Finding>) {
    let fqdn = &request.sovereign_fqdn;
    if !fqdn.is_empty() && !is_dns_name(fqdn) {
        let rule = "sovereignFQDN: the FQDN must be a lower-case DNS name of at least two labels, each of 1 to 63 letters, \
                    digits and inner hyphens, 253 characters in all, the last label not only digits";
        findings.push(Finding::error("/sovereignFQDN", "dns-name", rule));
    }
    let email = &request.org_email;
    if !email.is_empty() && !is_email(email) {
        let rule = format!("orgEmail: must be a mail address such as ops@example.org, at most {MAX_EMAIL} bytes");
        findings.push(Finding::error("/orgEmail", "email", rule));
    }
    let limits = [
        ("orgName", request.org_name.chars().count(), MAX_ORG_NAME),
        ("sshPublicKey", request.ssh_public_key.len(), MAX_SSH_KEY),
        ("region", request.region.len(), MAX_NAME),
        ("controlPlaneSize", request.control_plane_size.len(), MAX_NAME),
        ("workerSize", request.worker_size.len(), MAX_NAME),
    ];
    for (key, length, limit) in limits {
        if length > limit {
            let message = format!("{key}: at most {limit} characters, not {length}");
            findings.push(Finding::error(place_of(request, key), "too-long", message));
        }
    }
}

/// Where a person wrote what stands in a field: the first region's keys are those of its entry in `regions`, where there is one.
fn place_of(request: &Request, key: &str) -> String {
    match key {
        "region" if !request.regions.is_empty() => "/regions/0/cloudRegion".to_owned(),
        "controlPlaneSize" | "workerSize" if !request.regions.is_empty() => format!("/regions/0/{key}"),
        _ => format!("/{key}"),
    }
}

fn domain(request: &Request, findings: &mut Vec<Finding>) {
    let mode = request.sovereign_domain_mode.as_str();
    if !["", "pool", "byo", "byo-manual", "byo-api"].contains(&mode) {
        let message = "sovereignDomainMode: must be pool, byo, byo-manual or byo-api";
        findings.push(Finding::error("/sovereignDomainMode", "unknown-mode", message));
    }
    if mode == "byo-api" {
        let message = "sovereignDomainMode: a create points no nameservers anywhere, also with byo-api: call \
                       POST /api/v1/registrar/{registrar}/set-ns when the cluster has its address";
        findings.push(Finding::warning("/sovereignDomainMode", "nameservers-not-set", message));
    }
    if request.domain_mode() != DomainMode::Pool {
        return;
    }
    let (label, pool) = (&request.sovereign_subdomain, &request.sovereign_pool_domain);
    for (key, value) in [("sovereignSubdomain", label), ("sovereignPoolDomain", pool)] {
        if value.is_empty() {
            findings.push(Finding::error(format!("/{key}"), "required", format!("{key}: is required in pool mode")));
        }
    }
    let fqdn = &request.sovereign_fqdn;
    // Whether a name that is none would fit cannot be said.
    if !label.is_empty() && !pool.is_empty() && is_dns_name(fqdn) && *fqdn != format!("{label}.{pool}") {
        let message =
            "sovereignSubdomain: in pool mode sovereignFQDN must be <sovereignSubdomain>.<sovereignPoolDomain>";
        findings.push(Finding::error("/sovereignSubdomain", "fqdn-mismatch", message));
    }
}

/// Control characters break files and terminals, and private-use characters mark the holes of a template.
fn characters(request: &Request, findings: &mut Vec<Finding>) {
    let mut check = |pointer: String, text: &str| {
        if text.chars().any(is_forbidden) {
            let message = format!("{}: must not contain control or private-use characters", &pointer[1..]);
            findings.push(Finding::error(pointer, "forbidden-character", message));
        }
    };
    for (key, text) in [
        ("orgName", &request.org_name),
        ("orgEmail", &request.org_email),
        ("sovereignFQDN", &request.sovereign_fqdn),
        ("sovereignDomainMode", &request.sovereign_domain_mode),
        ("sovereignPoolDomain", &request.sovereign_pool_domain),
        ("sovereignSubdomain", &request.sovereign_subdomain),
        ("region", &request.region),
        ("controlPlaneSize", &request.control_plane_size),
        ("workerSize", &request.worker_size),
    ] {
        check(place_of(request, key), text);
    }
    for (index, slot) in request.regions.iter().enumerate().skip(1) {
        for text in [&slot.provider, &slot.cloud_region, &slot.control_plane_size, &slot.worker_size] {
            check(format!("/regions/{index}"), text);
        }
    }
    for (key, value) in &request.extra {
        strings(value, &mut |text| check(format!("/{key}"), text));
    }
    let key = &request.ssh_public_key;
    let (code, rule) = if key.contains("PRIVATE KEY") || key.starts_with("PuTTY-User-Key-File") {
        ("private-key", "this is a private SSH key: give the public one, and treat the private one as known to others")
    } else if key.contains(['\n', '\r']) {
        ("several-lines", "must be one line: give one key alone, without other keys or lines of comment")
    } else {
        return check("/sshPublicKey".to_owned(), key);
    };
    findings.push(Finding::error("/sshPublicKey", code, format!("sshPublicKey: {rule}")));
}

fn strings(value: &serde_json::Value, visit: &mut impl FnMut(&str)) {
    match value {
        serde_json::Value::String(text) => visit(text),
        serde_json::Value::Array(list) => list.iter().for_each(|v| strings(v, visit)),
        serde_json::Value::Object(map) => map.iter().for_each(|(key, v)| {
            visit(key);
            strings(v, visit);
        }),
        _ => {}
    }
}

fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

fn is_dns_name(name: &str) -> bool {
    let labels: Vec<&str> = name.split('.').collect();
    let label_ok = |label: &&str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let digits = |label: &&str| label.bytes().all(|b| b.is_ascii_digit());
    name.len() <= 253 && labels.len() >= 2 && labels.iter().all(label_ok) && !labels.last().is_some_and(digits)
}

fn is_email(text: &str) -> bool {
    let Some((local, host)) = text.split_once('@') else { return false };
    let dotted = host.split_once('.').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
    let spaced = text.chars().any(char::is_whitespace);
    !local.is_empty() && dotted && !host.contains('@') && !spaced && text.len() <= MAX_EMAIL
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
