//! What a node fetches, under the addresses and with the checksum lists of the real publishers. The programs in it are
//! stand-ins.

use crate::node::{Node, install_script, noting};
use catalyst_domain::kubeconfig::sha256_hex;
use std::path::Path;
use std::process::Command;

/// Versions that the module pins by default.
const K3S: &str = "v1.31.4%2Bk3s1";
const HELM: &str = "v3.16.4";
const CILIUM: &str = "1.16.5";
const FLUX: &str = "2.4.0";

/// Name by which a publisher calls this machine's kind.
pub const ARCH: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

/// Address of the k3s binary.
pub fn k3s_url() -> String {
    let binary = if ARCH == "amd64" { "k3s".to_owned() } else { format!("k3s-{ARCH}") };
    format!("https://github.com/k3s-io/k3s/releases/download/{K3S}/{binary}")
}

/// Address of Helm's tarball.
pub fn helm_url() -> String {
    format!("https://get.helm.sh/helm-{HELM}-linux-{ARCH}.tar.gz")
}

/// Address of Cilium's chart.
pub fn cilium_url() -> String {
    format!("https://helm.cilium.io/cilium-{CILIUM}.tgz")
}

/// Address of Flux's tarball.
pub fn flux_url() -> String {
    format!("https://github.com/fluxcd/flux2/releases/download/v{FLUX}/flux_{FLUX}_linux_{ARCH}.tar.gz")
}

/// Where a node finds what an address serves.
pub fn path_of(url: &str) -> String {
    format!("/stub/net/{}", url.replace('/', "_"))
}

fn put(node: &Node, url: &str, bytes: impl AsRef<[u8]>) {
    node.write(&path_of(url), bytes, 0o644);
}

fn line(url: &str, bytes: &[u8]) -> String {
    format!("{}  {}\n", sha256_hex(bytes), url.rsplit('/').next().unwrap_or_default())
}

pub(super) fn publish(node: &Node) {
    let k3s = b"#!/bin/sh\n";
    let url = k3s_url();
    put(node, &url, k3s);
    let folder = url.rsplit_once('/').unwrap().0;
    put(node, &format!("{folder}/sha256sum-{ARCH}.txt"), line(&url, k3s));
    let script = format!("https://raw.githubusercontent.com/k3s-io/k3s/{K3S}/install.sh");
    put(node, &script, install_script());
    put(node, &format!("{script}.sha256sum"), line(&script, install_script().as_bytes()));

    let url = helm_url();
    let helm = tarball(&format!("linux-{ARCH}/helm"), noting());
    put(node, &format!("{url}.sha256sum"), line(&url, &helm));
    put(node, &url, helm);

    let url = cilium_url();
    // As Helm writes it: the keys of an entry in order, in them lists and a text of several lines.
    let entry = |digest: &str, url: &str| {
        format!(
            "  - annotations:\n      artifacthub.io/crds: |\n        - kind: CiliumEndpoint\n    apiVersion: v2\n    \
             digest: {digest}\n    keywords:\n    - BPF\n    urls:\n    - {url}\n    version: x\n"
        )
    };
    let other = entry(&"0".repeat(64), "https://helm.cilium.io/cilium-1.16.6.tgz");
    let index = format!("apiVersion: v1\nentries:\n  cilium:\n{other}{}", entry(&sha256_hex(b"chart"), &url));
    put(node, "https://helm.cilium.io/index.yaml", index);
    put(node, &url, "chart");

    let url = flux_url();
    let flux = tarball("flux", "#!/bin/sh\nprintf '%s\\n' \"flux $*\" >>/stub/calls\necho 'kind: Namespace'\n");
    let folder = url.rsplit_once('/').unwrap().0;
    put(node, &format!("{folder}/flux_{FLUX}_checksums.txt"), line(&url, &flux));
    put(node, &url, flux);
}

fn tarball(program: &str, text: &str) -> Vec<u8> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(program);
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new("tar").args(["-czf", "-", "-C"]).arg(folder.path()).arg(program).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}
