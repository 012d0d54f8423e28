//! The one PUT of a fresh node: is the bearer right, and is the body a kubeconfig that cannot hurt who loads it?

use crate::Record;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_yaml_ng::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Largest kubeconfig in bytes (API.md 1.10).
pub const MAX_BYTES: usize = 1_048_576;

/// Why a bearer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BearerFault {
    /// The record has no hash: no bearer was given out, or it went with a destroy.
    #[error("this deployment accepts no kubeconfig")]
    NoHash,
    /// It is not the one that was given out.
    #[error("the bearer is not the one of this deployment")]
    Invalid,
}

/// Why a body is refused; the bearer stays unused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// It is no kubeconfig.
    #[error("not a kubeconfig: {0}")]
    Invalid(String),
    /// It could hurt who loads it.
    #[error("unsafe kubeconfig: {0}")]
    Unsafe(String),
    /// It leads to a host that is not part of this cluster.
    #[error("the kubeconfig names the server {found}, but this cluster answers at {}", expected.join(" or "))]
    ForeignServer {
        /// Host in the body.
        found: String,
        /// Hosts of the cluster.
        expected: Vec<String>,
    },
}

/// What was read from an acceptable kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// URL of the API server.
    pub server: String,
    /// Its host, without port and brackets.
    pub host: String,
}

/// SHA-256 as lower-case hex: of a bearer's text or of a body.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Compares a bearer with the record's hash in constant time.
///
/// # Errors
/// [`BearerFault`].
pub fn authorise(record: &Record, bearer: &str) -> Result<(), BearerFault> {
    if !record.takes_kubeconfig() {
        return Err(BearerFault::NoHash);
    }
    let given = sha256_hex(bearer.as_bytes());
    if bool::from(given.as_bytes().ct_eq(record.kubeconfig_bearer_hash.as_bytes())) {
        Ok(())
    } else {
        Err(BearerFault::Invalid)
    }
}

/// Checks a body: a plain kubeconfig with one https server, embedded credentials, and nothing that runs or reads.
///
/// # Errors
/// [`BodyFault::Invalid`] or [`BodyFault::Unsafe`].
pub fn inspect(body: &[u8]) -> Result<Inspected, BodyFault> {
    let text = std::str::from_utf8(body).map_err(|_| invalid("it is not UTF-8 text"))?;
    let root: Value = serde_yaml_ng::from_str(text).map_err(|_| invalid("it is not one plain YAML document"))?;
    let root = root.as_mapping().ok_or_else(|| invalid("it is not a YAML mapping"))?;
    for key in root.keys() {
        let known =
            ["apiVersion", "kind", "clusters", "users", "contexts", "current-context", "preferences", "extensions"];
        if !key.as_str().is_some_and(|k| known.contains(&k)) {
            return Err(unsafe_body("it has a key that kubeconfigs do not have"));
        }
    }
    if root.get("kind").and_then(Value::as_str).is_some_and(|kind| kind != "Config") {
        return Err(invalid("its kind is not Config"));
    }
    let mut server = None;
    for cluster in entries(root.get("clusters"), "clusters", "cluster")? {
        let url = check_cluster(cluster)?;
        if server.as_ref().is_some_and(|known| *known != url) {
            return Err(unsafe_body("it names more than one server"));
        }
        server = Some(url);
    }
    for user in entries(root.get("users"), "users", "user")? {
        check_user(user)?;
    }
    check_context(root)?;
    let server = server.ok_or_else(|| invalid("it has no cluster"))?;
    let host = host_of(&server).ok_or_else(|| unsafe_body("its server is not an https URL with a plain host"))?;
    Ok(Inspected { server, host })
}

/// Checks that the server is one of this cluster's. An empty list means that the outputs are not known yet.
///
/// # Errors
/// [`BodyFault::ForeignServer`].
pub fn check_server(inspected: &Inspected, hosts: &[String]) -> Result<(), BodyFault> {
    let known =
        hosts.is_empty() || hosts.iter().any(|h| h.trim_matches(['[', ']']).eq_ignore_ascii_case(&inspected.host));
    if known {
        Ok(())
    } else {
        Err(BodyFault::ForeignServer { found: inspected.host.clone(), expected: hosts.to_vec() })
    }
}

fn invalid(why: &str) -> BodyFault {
    BodyFault::Invalid(why.to_owned())
}

fn unsafe_body(why: &str) -> BodyFault {
    BodyFault::Unsafe(why.to_owned())
}

fn entries<'a>(list: Option<&'a Value>, name: &str, inner: &str) -> Result<Vec<&'a serde_yaml_ng::Mapping>, BodyFault> {
    let list = list.and_then(Value::as_sequence).ok_or_else(|| invalid(&format!("it has no list {name}")))?;
    if list.is_empty() {
        return Err(invalid(&format!("its list {name} is empty")));
    }
    list.iter()
        .map(|entry| {
            entry
                .get(inner)
                .and_then(Value::as_mapping)
                .ok_or_else(|| invalid(&format!("an entry of {name} has no {inner}")))
        })
        .collect()
}

/// The current context must lead to a cluster and a user of this file; otherwise the bearer would be spent on nothing.
fn check_context(root: &serde_yaml_ng::Mapping) -> Result<(), BodyFault> {
    let current = root.get("current-context").and_then(Value::as_str).unwrap_or_default();
    let context = named(root.get("contexts"), current).and_then(|entry| entry.get("context"));
    let context = context.ok_or_else(|| invalid("its current-context is not one of its contexts"))?;
    for (list, kind) in [("clusters", "cluster"), ("users", "user")] {
        let name = context.get(kind).and_then(Value::as_str).unwrap_or_default();
        if named(root.get(list), name).is_none() {
            return Err(invalid(&format!("its context names a {kind} that it does not have")));
        }
    }
    Ok(())
}

fn named<'a>(list: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    let list = list.and_then(Value::as_sequence)?;
    list.iter().find(|entry| !name.is_empty() && entry.get("name").and_then(Value::as_str) == Some(name))
}

/// Embedded certificates and keys are base64; anything else is found out only when it is too late.
fn check_data(map: &serde_yaml_ng::Mapping) -> Result<(), BodyFault> {
    for (key, value) in map {
        let key = key.as_str().unwrap_or_default();
        let text = value.as_str().unwrap_or_default();
        if key.ends_with("-data") && (text.is_empty() || STANDARD.decode(text.trim()).is_err()) {
            return Err(invalid(&format!("its {key} is not base64")));
        }
    }
    Ok(())
}

fn check_cluster(cluster: &serde_yaml_ng::Mapping) -> Result<String, BodyFault> {
    for (key, value) in cluster {
        match key.as_str().unwrap_or_default() {
            "server" | "certificate-authority-data" | "tls-server-name" => {}
            "insecure-skip-tls-verify" if value.as_bool() == Some(false) => {}
            "insecure-skip-tls-verify" => return Err(unsafe_body("it turns off TLS verification")),
            "proxy-url" => return Err(unsafe_body("it names a proxy")),
            "certificate-authority" => return Err(unsafe_body("it refers to a file")),
            _ => return Err(unsafe_body("a cluster has a key that is not allowed")),
        }
    }
    check_data(cluster)?;
    cluster.get("server").and_then(Value::as_str).map(str::to_owned).ok_or_else(|| invalid("a cluster has no server"))
}

fn check_user(user: &serde_yaml_ng::Mapping) -> Result<(), BodyFault> {
    for key in user.keys() {
        match key.as_str().unwrap_or_default() {
            "client-certificate-data" | "client-key-data" | "token" | "username" | "password" => {}
            "exec" | "auth-provider" => return Err(unsafe_body("it would run a program to log in")),
            "client-certificate" | "client-key" | "tokenFile" => return Err(unsafe_body("it refers to a file")),
            _ => return Err(unsafe_body("a user has a key that is not allowed")),
        }
    }
    check_data(user)
}

/// The host of an https URL without user info; brackets of an IPv6 address are taken off.
fn host_of(server: &str) -> Option<String> {
    let rest = server.strip_prefix("https://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':').unwrap_or(after))
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let plain = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b));
    let port_ok = port.is_empty() || port.parse::<u16>().is_ok();
    (plain && port_ok).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "apiVersion: v1\nkind: Config\nclusters:\n- name: default\n  cluster:\n    certificate-authority-data: QQ==\n    \
                        server: https://192.0.2.7:6443\nusers:\n- name: default\n  user:\n    client-certificate-data: QQ==\n    \
                        client-key-data: QQ==\ncontexts:\n- name: default\n  context:\n    cluster: default\n    user: default\n\
                        current-context: default\n";

    #[test]
    fn k3s_writes_what_is_accepted() {
        let inspected = inspect(GOOD.as_bytes()).unwrap();
        assert_eq!(inspected.host, "192.0.2.7");
        assert_eq!(check_server(&inspected, &[]), Ok(()));
        assert_eq!(check_server(&inspected, &["192.0.2.7".into()]), Ok(()));
        assert!(check_server(&inspected, &["192.0.2.8".into()]).unwrap_err().to_string().contains("192.0.2.7"));
    }

    #[test]
    fn h4_a_hostile_or_broken_body_is_refused() {
        let swap = |from: &str, to: &str| inspect(GOOD.replace(from, to).as_bytes()).unwrap_err();
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
            + &('b'..'k')
                .map(|c| format!("{c}: &{c} [{}]\n", vec![format!("*{}", (c as u8 - 1) as char); 9].join(",")))
                .collect::<String>();
        for (fault, body) in [
            ("exec", swap("client-key-data: QQ==", "exec: {command: sh}")),
            ("auth-provider", swap("client-key-data: QQ==", "auth-provider: {name: x}")),
            ("token file", swap("client-key-data: QQ==", "tokenFile: /x")),
            ("ca file", swap("certificate-authority-data: QQ==", "certificate-authority: /x")),
            ("proxy", swap("certificate-authority-data: QQ==", "proxy-url: http://x")),
            ("insecure", swap("certificate-authority-data: QQ==", "insecure-skip-tls-verify: true")),
            ("http", swap("https://", "http://")),
            ("userinfo", swap("https://192", "https://a@192")),
            ("impersonation", swap("client-key-data: QQ==", "as: admin")),
        ] {
            assert!(matches!(body, BodyFault::Unsafe(_)), "{fault}: {body:?}");
        }
        for body in ["", "   ", "<html></html>", "a: b", "[]", "clusters: []", &bomb, "\u{0}", "a: *b", "--- a\n--- b"]
        {
            assert!(inspect(body.as_bytes()).is_err(), "{body:?}");
        }
        assert!(inspect(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn what_leads_nowhere_does_not_spend_the_bearer() {
        let swap = |from: &str, to: &str| inspect(GOOD.replace(from, to).as_bytes()).unwrap_err();
        for body in [
            swap("current-context: default\n", ""),
            swap("current-context: default", "current-context: other"),
            swap("    user: default\n", "    user: other\n"),
            swap("    cluster: default\n", "    cluster: other\n"),
            swap("client-key-data: QQ==", "client-key-data: '%%%'"),
            swap("certificate-authority-data: QQ==", "certificate-authority-data: ''"),
        ] {
            assert!(matches!(body, BodyFault::Invalid(_)), "{body:?}");
        }
    }

    #[test]
    fn ipv6_hosts_lose_their_brackets() {
        assert_eq!(host_of("https://[2001:db8::1]:6443").as_deref(), Some("2001:db8::1"));
        assert_eq!(host_of("https://a.example").as_deref(), Some("a.example"));
        for bad in ["https://", "https://a:b", "https://a b", "ftp://a"] {
            assert_eq!(host_of(bad), None, "{bad}");
        }
    }
}
