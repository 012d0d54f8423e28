//! Which releases go together. What does not look like a release is refused where it is read.

use super::settings::NodeSettings;
use crate::{Findings, LeftOut, Pointer};

/// k3s release where none is asked for, as in the modules.
pub(super) const DEFAULT_K3S: &str = "v1.31.4+k3s1";
/// Flux release where none is asked for, as in the modules.
pub(super) const DEFAULT_FLUX: &str = "v2.4.0";

/// The first minor release of Flux 2 with the API `helm.toolkit.fluxcd.io/v2`, by which the host follows HelmReleases.
const OLDEST_FLUX: u64 = 3;
/// When the table was looked up.
const AS_OF: &str = "2026-11-30";
/// Minor release of Flux 2, and the oldest minor release of Kubernetes 1 that it supports: what its `flux check` asks for
/// (fluxcd/flux2, pull requests 4781, 5200, 5364, 5533 and 5730).
const SUPPORTED: [(u64, u64); 6] = [(3, 28), (4, 28), (5, 30), (6, 31), (7, 32), (8, 33)];

/// Three numbers with dots between them, as they are written: to the modules' patterns 016 is not 16.
pub(super) fn numbers(text: Option<&str>) -> Option<[&str; 3]> {
    let parts: Vec<&str> = text?.split('.').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if parts.iter().all(digits) { parts.try_into().ok() } else { None }
}

pub(super) fn is_k3s_version(text: &str) -> bool {
    let Some((kubernetes, k3s)) = text.split_once("+k3s") else { return false };
    numbers(kubernetes.strip_prefix('v')).is_some() && !k3s.is_empty() && k3s.bytes().all(|b| b.is_ascii_digit())
}

pub(super) fn is_cilium_version(text: &str) -> bool {
    numbers(Some(text)).is_some_and(|[major, minor, _]| major == "1" && minor.len() == 2 && minor >= "16")
}

pub(super) fn is_flux_version(text: &str) -> bool {
    flux_minor(text).is_some()
}

/// The minor number of a release of Flux 2.
fn flux_minor(text: &str) -> Option<u64> {
    let [major, minor, _] = numbers(text.strip_prefix('v'))?;
    (major == "2" && (minor == "0" || !minor.starts_with('0'))).then(|| number(minor))
}

/// Major and minor number of the Kubernetes in a release of k3s.
fn kubernetes(k3s: &str) -> Option<(u64, u64)> {
    let [major, minor, _] = numbers(k3s.split_once("+k3s")?.0.strip_prefix('v'))?;
    Some((number(major), number(minor)))
}

/// Digits as a number; more of them than fit are more than any release has.
fn number(digits: &str) -> u64 {
    digits.parse().unwrap_or(u64::MAX)
}

/// Adds a finding for releases that do not go together: an error for a Flux that the host cannot follow, a warning for a
/// Kubernetes that is older than what the Flux supports.
pub fn check_versions(settings: &NodeSettings, left_out: &LeftOut, findings: &mut Findings) {
    let given = settings.flux_version.as_deref();
    let flux = given.unwrap_or(DEFAULT_FLUX);
    let Some(minor) = flux_minor(flux) else { return };
    if minor < OLDEST_FLUX {
        let message = format!(
            "fluxVersion is {flux}, which has no HelmRelease of version v2, by which the host follows a cluster: take v2.{OLDEST_FLUX}.0 \
             or later, such as {DEFAULT_FLUX}"
        );
        return findings.error(&Pointer::to("fluxVersion"), "flux-too-old", message);
    }
    if left_out.has_any(&["fluxVersion", "k3sVersion"]) {
        return;
    }
    let k3s = settings.k3s_version.as_deref().unwrap_or(DEFAULT_K3S);
    let Some(has) = kubernetes(k3s) else { return };
    // One that is newer than the table asks for no less than the last that is in it.
    let wants = SUPPORTED.iter().rev().find(|(release, _)| *release <= minor).map_or(0, |(_, oldest)| *oldest);
    if has >= (1, wants) {
        return;
    }
    let older = SUPPORTED.iter().rev().find(|(_, oldest)| has >= (1, *oldest));
    let or_older = older.map_or(String::new(), |(release, _)| format!(", or fluxVersion of v2.{release}"));
    let message = format!(
        "Flux {flux} supports Kubernetes 1.{wants} or later (looked up on {AS_OF}), and k3sVersion is {k3s}: take k3sVersion of \
         v1.{wants} or later{or_older}."
    );
    let at = if given.is_some() { "fluxVersion" } else { "k3sVersion" };
    findings.warning(&Pointer::to(at), "kubernetes-too-old", message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Severity;

    #[test]
    fn versions_have_the_form_of_the_modules() {
        assert!(is_k3s_version("v1.31.4+k3s1"));
        for bad in ["1.31.4+k3s1", "v1.31+k3s1", "v1.31.4", "v1.31.4+k3s", "v1.31.4+rke2r1", "v1.31.4+k3s1 "] {
            assert!(!is_k3s_version(bad), "{bad}");
        }
        assert!(is_cilium_version("1.16.5") && is_cilium_version("1.99.0"));
        for bad in ["1.15.9", "v1.16.5", "1.016.5", "01.16.5", "1.100.0", "1.2.0", "1.16.5.0"] {
            assert!(!is_cilium_version(bad), "{bad}");
        }
        assert!(is_flux_version("v2.0.0") && is_flux_version("v2.10.1"));
        for bad in ["2.2.3", "v1.5.0", "v2.5", "v2.05.0", "v2.4.0-rc.1", "latest", "v2.x.0", ""] {
            assert!(!is_flux_version(bad), "{bad}");
        }
    }

    /// `pointer code severity` of what is said, and its words.
    fn said(flux: Option<&str>, k3s: Option<&str>, left_out: &[&str]) -> Option<(String, String)> {
        let settings = NodeSettings {
            flux_version: flux.map(str::to_owned),
            k3s_version: k3s.map(str::to_owned),
            ..NodeSettings::default()
        };
        let mut findings = Findings::new();
        let left_out = LeftOut::new(left_out.iter().map(|pointer| (*pointer).to_owned()).collect());
        check_versions(&settings, &left_out, &mut findings);
        assert!(findings.iter().count() <= 1, "{findings:?}");
        let severity = |severity| if severity == Severity::Error { "error" } else { "warning" };
        findings
            .iter()
            .next()
            .map(|f| (format!("{} {} {}", f.pointer, f.code, severity(f.severity)), f.message.clone()))
    }

    #[test]
    fn t8_a_flux_that_the_host_cannot_follow_is_an_error() {
        for flux in ["v2.0.0", "v2.1.2", "v2.2.3"] {
            for k3s in [None, Some("v1.31.4+k3s1"), Some("v1.22.0+k3s1")] {
                let (what, words) = said(Some(flux), k3s, &[]).unwrap();
                assert_eq!(what, "/fluxVersion flux-too-old error", "{flux}");
                assert!(words.contains(flux) && words.contains("v2.3.0"), "{words}");
            }
        }
        assert_eq!(said(Some("v2.3.0"), None, &[]), None);
    }

    #[test]
    fn t8_a_kubernetes_that_is_too_old_for_its_flux_is_a_warning_with_a_way_out() {
        for (flux, k3s, wants, way_out) in [
            (Some("v2.7.2"), Some("v1.31.4+k3s1"), "1.32", "v2.6"),
            (Some("v2.7.2"), None, "1.32", "v2.6"),
            (Some("v2.8.0"), Some("v1.32.9+k3s1"), "1.33", "v2.7"),
            (Some("v2.99.0"), Some("v1.30.0+k3s1"), "1.33", "v2.5"),
            (Some("v2.99999999999999999999.0"), Some("v1.9.0+k3s1"), "1.33", ""),
            (Some("v2.3.0"), Some("v1.27.16+k3s1"), "1.28", ""),
        ] {
            let (what, words) = said(flux, k3s, &[]).unwrap_or_else(|| panic!("{flux:?} {k3s:?}"));
            assert_eq!(what, "/fluxVersion kubernetes-too-old warning", "{flux:?} {k3s:?}");
            assert!(words.contains(&format!("Kubernetes {wants} or later")) && words.contains(AS_OF), "{words}");
            assert_eq!(words.contains("or fluxVersion of"), !way_out.is_empty(), "{words}");
            assert!(words.contains(way_out), "{words}");
        }
        let (what, _) = said(None, Some("v1.27.16+k3s1"), &[]).unwrap();
        assert_eq!(what, "/k3sVersion kubernetes-too-old warning");
        for (flux, k3s) in [
            (None, None),
            (Some("v2.4.0"), Some("v1.28.0+k3s1")),
            (Some("v2.6.4"), Some("v1.31.4+k3s1")),
            (Some("v2.7.2"), Some("v1.34.1+k3s1")),
            (Some("v2.8.8"), Some("v2.0.0+k3s1")),
            (Some("garbage"), Some("v1.20.0+k3s1")),
            (Some("v2.7.2"), Some("garbage")),
        ] {
            assert_eq!(said(flux, k3s, &[]), None, "{flux:?} {k3s:?}");
        }
        assert_eq!(said(Some("v2.7.2"), None, &["/k3sVersion"]), None, "which one it has cannot be said");
    }
}
