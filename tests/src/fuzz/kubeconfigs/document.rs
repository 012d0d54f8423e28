//! A kubeconfig as a tree: a plausible one, and parts that do harm.

use super::{GOOD_SERVERS, NAMES};
use crate::fuzz::Random;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A part of a document.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    /// A text, to be written in any style.
    Text(String),
    /// Base64, which may be wrapped.
    Data(String),
    /// Written as it stands: a number, an alias, a tag.
    Raw(String),
    /// A mapping.
    Map(Vec<(String, Tree)>),
    /// A list.
    List(Vec<Tree>),
}

impl Tree {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn map<const N: usize>(entries: [(&str, Tree); N]) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A text in PEM form; what is in it is nobody's.
pub(super) fn pem(label: &str, random: &mut Random) -> String {
    let bytes: Vec<u8> = (0..48 + random.below(160)).map(|_| random.byte()).collect();
    let text = base64(&bytes);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn data(label: &str, random: &mut Random) -> Tree {
    Tree::Data(base64(pem(label, random).as_bytes()))
}

pub(super) fn cluster(random: &mut Random) -> Tree {
    let server = if random.one_in(8) { odd_server(random) } else { random.pick(&GOOD_SERVERS).to_owned() };
    let mut entries = vec![("server".to_owned(), Tree::Text(server))];
    if !random.one_in(5) {
        entries.insert(0, ("certificate-authority-data".to_owned(), data("CERTIFICATE", random)));
    }
    if random.one_in(8) {
        entries.push(("tls-server-name".to_owned(), Tree::text("api.acme.example")));
    }
    if random.one_in(10) {
        entries.push(("insecure-skip-tls-verify".to_owned(), Tree::Raw("false".to_owned())));
    }
    Tree::Map(entries)
}

pub(super) fn user(random: &mut Random) -> Tree {
    let mut entries = Vec::new();
    if !random.one_in(3) {
        entries.push(("client-certificate-data".to_owned(), data("CERTIFICATE", random)));
        entries.push(("client-key-data".to_owned(), data("EC PRIVATE KEY", random)));
    } else if random.one_in(2) {
        entries.push((
            "token".to_owned(),
            Tree::text(random.pick(&["abc", "K10ab::server:cd", "0123456789", "e\u{301}", "a b", "x\ny"])),
        ));
    } else {
        entries.push(("username".to_owned(), Tree::text(random.pick(&["admin", "1", "a: b"]))));
        entries.push(("password".to_owned(), Tree::text(random.pick(&["secret", "#1", "'", "\"", " x "]))));
    }
    Tree::Map(entries)
}

/// A whole kubeconfig: mostly of one cluster, user and context.
pub(super) fn document(random: &mut Random) -> Tree {
    let usual = if random.one_in(4) { NAMES.len() } else { 2 };
    let name = random.pick(&NAMES[..usual]);
    let mut context = vec![("cluster".to_owned(), Tree::text(name)), ("user".to_owned(), Tree::text(name))];
    if random.one_in(8) {
        context.push(("namespace".to_owned(), Tree::text(random.pick(&["default", "kube-system", "1", "a.b"]))));
    }
    let mut clusters = vec![Tree::map([("cluster", cluster(random)), ("name", Tree::text(name))])];
    let mut users = vec![Tree::map([("name", Tree::text(name)), ("user", user(random))])];
    if random.one_in(10) {
        users.push(Tree::map([("name", Tree::text("other")), ("user", user(random))]));
    }
    if random.one_in(14) {
        clusters.push(Tree::map([("cluster", cluster(random)), ("name", Tree::text("other"))]));
    }
    let mut root = vec![
        ("apiVersion".to_owned(), Tree::text("v1")),
        ("clusters".to_owned(), Tree::List(clusters)),
        (
            "contexts".to_owned(),
            Tree::List(vec![Tree::map([("context", Tree::Map(context)), ("name", Tree::text(name))])]),
        ),
        ("current-context".to_owned(), Tree::text(name)),
        ("kind".to_owned(), Tree::text("Config")),
        ("users".to_owned(), Tree::List(users)),
    ];
    if random.one_in(2) {
        root.insert(5, ("preferences".to_owned(), Tree::Raw("{}".to_owned())));
    }
    Tree::Map(root)
}

/// Parts that run, read, send elsewhere or take another's name: a key, and what stands behind it.
pub(super) fn harm(random: &mut Random) -> (String, Tree) {
    let exec = || {
        let arguments = Tree::List(vec![Tree::text("-c"), Tree::text("id")]);
        let version = Tree::text("client.authentication.k8s.io/v1");
        Tree::map([
            ("apiVersion", version),
            ("command", Tree::text("/bin/sh")),
            ("args", arguments),
            ("interactiveMode", Tree::text("Never")),
        ])
    };
    let (key, value) = match random.below(14) {
        0..=2 => ("exec", exec()),
        3 => (
            "auth-provider",
            Tree::map([
                ("name", Tree::text("oidc")),
                ("config", Tree::map([("idp-issuer-url", Tree::text("https://x"))])),
            ]),
        ),
        4 => ("tokenFile", Tree::text("/etc/hostname")),
        5 => ("client-certificate", Tree::text("/etc/hostname")),
        6 => ("client-key", Tree::text("/etc/hostname")),
        7 => ("certificate-authority", Tree::text("/etc/hostname")),
        8 => ("proxy-url", Tree::text("http://198.51.100.66:3128")),
        9 => (
            "insecure-skip-tls-verify",
            Tree::Raw(random.pick(&["true", "True", "yes", "on", "'true'", "1", "!!bool true"]).to_owned()),
        ),
        10 => ("as", Tree::text("system:admin")),
        11 => ("as-groups", Tree::List(vec![Tree::text("system:masters")])),
        12 => ("as-uid", Tree::text("0")),
        _ => ("as-user-extra", Tree::map([("a", Tree::List(vec![Tree::text("b")]))])),
    };
    (key.to_owned(), value)
}

/// URLs that clients read in different ways, or that lead where they should not.
pub(super) fn odd_server(random: &mut Random) -> String {
    random
        .pick(&[
            "http://192.0.2.7:6443",
            "https://a@192.0.2.7:6443",
            "https://192.0.2.7:6443@198.51.100.66",
            "https://192.0.2.7\\@198.51.100.66",
            "https://192.0.2.7#@198.51.100.66",
            "https://192.0.2.7?@198.51.100.66",
            "HTTPS://192.0.2.7:6443",
            "https:192.0.2.7",
            "https:/192.0.2.7",
            "//192.0.2.7:6443",
            "192.0.2.7:6443",
            "https://192.0.2.7:",
            "https://192.0.2.7:0",
            "https://192.0.2.7:06443",
            "https://192.0.2.7:99999",
            "https://[::ffff:192.0.2.7]:6443",
            "https://[fe80::1%25eth0]:6443",
            "https://[fe80::1%eth0]:6443",
            "https://[2001:db8::1]extra",
            "https://0x7f.1",
            "https://2130706433",
            "https://0177.0.0.1",
            "https://127.1",
            "https://1.2.3.4.",
            "https://ex\u{e4}mple.org",
            "https://xn--exmple-cua.org",
            "https://192.0.2.7%2e",
            "https://192.0.2.7/../x",
            "https://192.0.2.7/%2e%2e/x",
            "https://192.0.2.7/a?b=c#d",
            " https://192.0.2.7",
            "https://192.0.2.7 ",
            "https://192.0.2.7\t",
            "https://192.0.2.7\n",
            "https://192.0.2.7/a b",
            "https://a_b.example",
            "https://-a.example",
            "https://A.Example:6443",
            "https://",
            "",
            "https://:6443",
            "https://192.0.2.7:6443/",
            "unix:///run/x",
            "https://[::1",
            "https://192.0.2.7:6443//",
            "https://192.0.2.7/api/../..",
            "https://192.0.2.7;x",
            "https://192.0.2.7,198.51.100.66",
        ])
        .to_owned()
}
