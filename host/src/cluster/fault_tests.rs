//! Messages as Flux's controllers write them, and what they come to.

use super::FluxKind::{GitRepository, HelmChart, HelmRepository, Kustomization, OciRepository};
use super::*;
use serde_json::json;

/// Kind, reason, message, and the cause.
const MESSAGES: &[(FluxKind, &str, &str, Cause)] = &[
    (
        Kustomization,
        "ArtifactFailed",
        "kustomization path not found: stat /tmp/kustomization-878691743/clusters/x: no such file or directory",
        Cause::PathNotFound,
    ),
    (
        Kustomization,
        "BuildFailed",
        "kustomize build failed: accumulating resources: read /tmp/x: is a directory",
        Cause::Build,
    ),
    (Kustomization, "ReconciliationFailed", "Widget/x dry-run failed: no matches for kind \"Widget\"", Cause::Apply),
    (Kustomization, "HealthCheckFailed", "health check failed after 3.2s: timeout waiting for: [x]", Cause::Unhealthy),
    (Kustomization, "DependencyNotReady", "dependency 'flux-system/infra' is not ready", Cause::Dependency),
    (Kustomization, "ArtifactFailed", "Source artifact not found, retrying in 30s", Cause::SourceMissing),
    (
        Kustomization,
        "ArtifactFailed",
        "gitrepositories.source.toolkit.fluxcd.io \"openova\" not found",
        Cause::SourceMissing,
    ),
    (
        Kustomization,
        "ArtifactFailed",
        "GET http://source-controller.flux-system.svc.cluster.local./x.tar.gz giving up after 10 attempt(s): dial tcp: \
             connect: connection refused",
        Cause::Unreachable,
    ),
    (
        GitRepository,
        "GitOperationFailed",
        "failed to checkout and determine revision: unable to clone 'https://git.example/x': authentication required",
        Cause::Refused,
    ),
    (
        GitRepository,
        "GitOperationFailed",
        "failed to checkout and determine revision: unable to clone 'https://git.example/x': couldn't find remote ref \
             \"refs/heads/main\"",
        Cause::NotFound,
    ),
    (
        GitRepository,
        "GitOperationFailed",
        "unable to list remote for 'https://git.example/x': Get \"https://git.example/x\": dial tcp: lookup git.example: \
             i/o timeout",
        Cause::Unreachable,
    ),
    (
        GitRepository,
        "GitOperationFailed",
        "unable to list remote for 'ssh://git@git.example/x': ssh: handshake failed: knownhosts: key mismatch",
        Cause::Untrusted,
    ),
    (
        GitRepository,
        "AuthenticationFailed",
        "failed to get secret 'flux-system/deploy-key': secrets \"deploy-key\" not found",
        Cause::SecretMissing,
    ),
    (GitRepository, "URLInvalid", "failed to parse url", Cause::Invalid),
    (
        OciRepository,
        "OCIPullFailed",
        "failed to determine artifact digest: GET https://ghcr.io/token: DENIED: requested access to the resource is denied",
        Cause::Refused,
    ),
    (OciRepository, "OCIPullFailed", "GET https://ghcr.io/v2/x: MANIFEST_UNKNOWN: manifest unknown", Cause::NotFound),
    (HelmChart, "AuthenticationFailed", "failed to login to OCI registry: … 401 Unauthorized", Cause::Refused),
    (
        HelmChart,
        "AuthenticationFailed",
        "failed to login to OCI registry: dial tcp: no route to host",
        Cause::Unreachable,
    ),
    (GitRepository, "AuthenticationFailed", "secretRef with github app data must be specified", Cause::Refused),
    (HelmChart, "ChartPullError", "chart pull error: no 'x' chart with version matching '9.x' found", Cause::NotFound),
    (HelmChart, "ChartPullError", "chart pull error: failed to fetch x : 504 Gateway Time-out", Cause::Unreachable),
    (
        HelmChart,
        "ChartPullError",
        "chart pull error: GET https://r.example:4010/x: 429 Too Many Requests",
        Cause::RateLimited,
    ),
    (HelmChart, "NoSourceArtifact", "no artifact available for HelmRepository source 'x'", Cause::SourceMissing),
    (HelmRepository, "Failed", "failed to fetch https://x.example/index.yaml : 404 Not Found", Cause::NotFound),
    (
        HelmRepository,
        "Failed",
        "Get \"https://x.example:4031/index.yaml\": tls: failed to verify certificate",
        Cause::Untrusted,
    ),
    (HelmRepository, "Failed", "rain", Cause::Other),
];

#[test]
fn t5_messages_of_the_controllers_lead_to_their_cause() {
    for (kind, reason, message, expected) in MESSAGES {
        assert_eq!(cause(*kind, reason, message), *expected, "{reason}: {message}");
    }
}

#[test]
fn t5_remedies_name_the_folder_and_the_repository() {
    let body = json!({"spec": {"url": "https://u:sentinel@git.example/acme/kit", "ref": {"branch": "main"}}});
    let source = FluxObject::read(GitRepository, "openova", None, &body);
    let body = json!({"spec": {"path": "./clusters/x", "sourceRef": {"kind": "GitRepository", "name": "openova"}}});
    let kit = FluxObject::read(Kustomization, "bootstrap-kit", None, &body);
    let remedy = Cause::PathNotFound.remedy(&kit, Some(&source));
    assert_eq!(
        remedy,
        "The folder ./clusters/x is not in https://***@git.example/acme/kit (branch main): add it there, or correct spec.path."
    );
    assert_eq!(
        Cause::Other.remedy(&source, None),
        "`kubectl -n flux-system describe gitrepository openova` shows more."
    );
}

#[test]
fn t5_two_tries_of_the_same_look_alike_and_others_do_not() {
    for (one, other) in [
        ("stat /tmp/kustomization-878691743/x: no", "stat /tmp/kustomization-11223344/x: no"),
        ("stat /tmp/flux-system414368903/x", "stat /tmp/flux-system98765/x"),
        ("revision main@sha1:0a1b2c3d4e", "revision main@sha1:ffeedd0011"),
        ("retrying in 30s, after 5m0s", "retrying in 31s, after 4m59s"),
        ("read tcp 10.42.0.5:43210: timeout", "read tcp 10.42.0.5:51234: timeout"),
    ] {
        assert_eq!(comparable(one), comparable(other), "{one}");
    }
    for (one, other) in [("unexpected status 401", "unexpected status 403"), ("path a not found", "path b not found")] {
        assert_ne!(comparable(one), comparable(other), "{one}");
    }
}

#[test]
fn no_password_of_an_address_goes_out() {
    for (text, shown) in [
        ("clone 'https://user:pw@git.example/x': no", "clone 'https://***@git.example/x': no"),
        ("a https://t@b/c ssh://git@host/x", "a https://***@b/c ssh://git@host/x"),
        ("https://host/path@v1 and user@host", "https://host/path@v1 and user@host"),
        ("https://a:p@ss@host", "https://***@host"),
        ("", ""),
    ] {
        assert_eq!(without_credentials(text), shown);
    }
}
