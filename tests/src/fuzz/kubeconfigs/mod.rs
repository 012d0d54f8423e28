//! Generated kubeconfigs: what k3s and kubectl write, and what a hostile node could write to be read differently by two parsers.
//!
//! A document is made as a tree, changed as a tree, written in one of YAML's many forms, and changed as a text.

mod changes;
mod document;
mod render;
mod text;

use super::Random;

/// Servers that are fine.
const GOOD_SERVERS: [&str; 7] = [
    "https://192.0.2.7:6443",
    "https://[2001:db8::7]:6443",
    "https://api.acme.example:6443",
    "https://api.acme.example",
    "https://203.0.113.10:443",
    "https://a.b.c.d.e.example:65535",
    "https://rancher.example/k8s/clusters/c-m-1",
];

/// Names of clusters, users and contexts that are fine.
const NAMES: [&str; 9] = [
    "default",
    "edge-01",
    "kubernetes-admin@kubernetes",
    "0123",
    "1e3",
    "yes",
    "null",
    "arn:aws:eks:eu:1:cluster/x",
    "a b",
];

/// One kubeconfig.
pub fn generate(random: &mut Random) -> Vec<u8> {
    if random.one_in(8) {
        return k3s(random);
    }
    let mut tree = document::document(random);
    // Every third is only laid out in another way.
    if random.one_in(3) {
        return render::write(&tree, random).into_bytes();
    }
    for _ in 0..random.below(4) {
        changes::change(&mut tree, random);
    }
    let written = render::write(&tree, random);
    text::change(written, random)
}

/// What k3s writes, byte for byte.
pub fn k3s(random: &mut Random) -> Vec<u8> {
    let name = random.pick(&NAMES[..3]);
    let server = random.pick(&GOOD_SERVERS[..6]);
    let preferences = if random.one_in(2) { "preferences: {}\n" } else { "" };
    let (authority, certificate, key) = (
        document::pem("CERTIFICATE", random),
        format!("{}{}", document::pem("CERTIFICATE", random), document::pem("CERTIFICATE", random)),
        document::pem("EC PRIVATE KEY", random),
    );
    let [authority, certificate, key] = [authority, certificate, key].map(|pem| document::base64(pem.as_bytes()));
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {authority}\n    server: {server}\n  name: {name}\n\
         contexts:\n- context:\n    cluster: {name}\n    user: {name}\n  name: {name}\ncurrent-context: {name}\nkind: Config\n\
         {preferences}users:\n- name: {name}\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n"
    )
    .into_bytes()
}

/// Whether a server is one of those that are fine.
pub fn is_good_server(server: &str) -> bool {
    GOOD_SERVERS.contains(&server)
}

/// Pieces for mutations.
pub const DICTIONARY: &[&str] = &[
    "exec:",
    "Exec:",
    "auth-provider:",
    "tokenFile: /etc/hostname",
    "proxy-url: http://127.0.0.1:1",
    "insecure-skip-tls-verify: true",
    "as: admin",
    "as-groups: [system:masters]",
    "as-uid: x",
    "as-user-extra: {a: [b]}",
    "certificate-authority: /x",
    "client-certificate: /x",
    "client-key: /x",
    "<<: ",
    "<<: *a",
    "&a ",
    "*a",
    "!!binary ",
    "!!str ",
    "!!merge ",
    "!x ",
    "!<tag:yaml.org,2002:str> ",
    "---\n",
    "...\n",
    "%YAML 1.1\n---\n",
    "%TAG ! tag:x,2000:\n",
    "? ",
    ": ",
    "- ",
    "# ",
    "\t",
    "\r",
    "\r\n",
    "\u{85}",
    "\u{2028}",
    "\u{2029}",
    "\u{feff}",
    "\0",
    "{",
    "}",
    "[",
    "]",
    ",",
    "|",
    "|-",
    ">",
    "'",
    "\"",
    "\\x65",
    "\\u0065",
    "\\\n",
    "~",
    "null",
    "yes",
    "0x10",
    "1e3",
    "0o7",
    "1_000",
    "12:30",
    "2001-01-01",
    ".inf",
    "server: https://198.51.100.66",
    "name: default",
    "users:",
    "clusters:",
    "contexts:",
    "current-context: default",
    "kind: Config",
    "apiVersion: v1",
    "extensions:",
    "preferences: {}",
    "disable-compression: true",
    "user: default",
];
