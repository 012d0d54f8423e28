//! From a strict YAML document to a kubeconfig: every key of every level is known, and nothing in it runs, reads a file, names a
//! proxy, turns off a check or takes another's name.

use super::fault::{invalid, unsafe_body};
use super::plain::{boolean, is_typed};
use super::server::{Server, is_host};
use super::yaml::{Map, Node};
use super::{BodyFault, Credentials, Kubeconfig};
use crate::SecretValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashSet;

/// Longest name of a cluster, user or context in bytes; clouds use long ones.
const NAME_BYTES: usize = 253;

/// Reads the root of the document.
pub(super) fn kubeconfig(root: Node<'_>) -> Result<Kubeconfig, BodyFault> {
    let Node::Map(root) = root else { return Err(invalid("it is not a YAML mapping")) };
    let (mut current, mut has_preferences) = (None, false);
    let (mut clusters, mut users, mut contexts) = (None, None, None);
    for (key, value) in root {
        match &*key {
            "apiVersion" => fixed(value, "apiVersion", "v1")?,
            "kind" => fixed(value, "kind", "Config")?,
            "clusters" => clusters = Some(entries(value, "clusters", "cluster", cluster)?),
            "users" => users = Some(entries(value, "users", "user", user)?),
            "contexts" => contexts = Some(entries(value, "contexts", "context", context)?),
            "current-context" => current = Some(name(value, "current-context")?),
            "preferences" => {
                preferences(value)?;
                has_preferences = true;
            }
            "extensions" => extensions(value)?,
            _ => return Err(unsafe_body("it has a key that kubeconfigs do not have")),
        }
    }
    let (clusters, users) = (listed(clusters, "clusters")?, listed(users, "users")?);
    let (current, contexts) = (current.unwrap_or_default(), listed(contexts, "contexts")?);
    if clusters.iter().any(|(_, cluster)| cluster.server != clusters[0].1.server) {
        return Err(unsafe_body("it names more than one server"));
    }
    let context = pick(contexts, &current).ok_or_else(|| invalid("its current-context is not one of its contexts"))?;
    let missing = |kind| invalid(format!("its context names a {kind} that it does not have"));
    let cluster = pick(clusters, &context.cluster).ok_or_else(|| missing("cluster"))?;
    let credentials = pick(users, &context.user).ok_or_else(|| missing("user"))?;
    Ok(Kubeconfig {
        server: cluster.server,
        authority_data: cluster.authority_data,
        tls_server_name: cluster.tls_server_name,
        credentials,
        cluster_name: context.cluster,
        user_name: context.user,
        context_name: current,
        namespace: context.namespace,
        has_preferences,
    })
}

struct Cluster {
    server: Server,
    authority_data: Option<String>,
    tls_server_name: Option<String>,
}

struct Context {
    cluster: String,
    user: String,
    namespace: Option<String>,
}

type Named<T> = Vec<(String, T)>;

fn listed<T>(list: Option<Named<T>>, key: &str) -> Result<Named<T>, BodyFault> {
    let list = list.ok_or_else(|| invalid(format!("it has no list {key}")))?;
    if list.is_empty() { Err(invalid(format!("its list {key} is empty"))) } else { Ok(list) }
}

fn pick<T>(list: Named<T>, name: &str) -> Option<T> {
    list.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// A list of entries that have a name and one value each.
fn entries<T>(
    list: Node<'_>,
    key: &str,
    inner: &str,
    read: impl Fn(Map<'_>) -> Result<T, BodyFault>,
) -> Result<Named<T>, BodyFault> {
    let Node::List(list) = list else { return Err(invalid(format!("it has no list {key}"))) };
    let mut found: Named<T> = Vec::with_capacity(list.len());
    for entry in list {
        let Node::Map(entry) = entry else { return Err(invalid(format!("an entry of {key} is no mapping"))) };
        let (mut named, mut value) = (None, None);
        for (field, node) in entry {
            match (&*field, node) {
                ("name", node) => named = Some(name(node, &format!("name of an entry of {key}"))?),
                (field, Node::Map(map)) if field == inner => value = Some(read(map)?),
                (field, _) if field == inner => break,
                _ => return Err(unsafe_body(format!("an entry of {key} has a key that is not allowed"))),
            }
        }
        let named = named.ok_or_else(|| invalid(format!("an entry of {key} has no name")))?;
        let value = value.ok_or_else(|| invalid(format!("an entry of {key} has no {inner}")))?;
        if found.iter().any(|(known, _)| *known == named) {
            return Err(unsafe_body(format!("two entries of {key} have one name")));
        }
        found.push((named, value));
    }
    Ok(found)
}

fn cluster(map: Map<'_>) -> Result<Cluster, BodyFault> {
    let (mut server, mut authority_data, mut tls_server_name) = (None, None, None);
    for (key, value) in map {
        match &*key {
            "server" => server = Some(Server::parse(&text(value, "server")?)?),
            "certificate-authority-data" => authority_data = Some(data(value, &key)?),
            "tls-server-name" => tls_server_name = Some(tls_name(value)?),
            "insecure-skip-tls-verify" if flag(&value, &key)? => {
                return Err(unsafe_body("it turns off TLS verification"));
            }
            "insecure-skip-tls-verify" => {}
            "disable-compression" => drop(flag(&value, &key)?),
            "extensions" => extensions(value)?,
            "proxy-url" => return Err(unsafe_body("it names a proxy")),
            "certificate-authority" => return Err(unsafe_body("it refers to a file")),
            _ => return Err(unsafe_body("a cluster has a key that is not allowed")),
        }
    }
    let server = server.ok_or_else(|| invalid("a cluster has no server"))?;
    Ok(Cluster { server, authority_data, tls_server_name })
}

fn user(map: Map<'_>) -> Result<Credentials, BodyFault> {
    let mut user = Credentials::default();
    for (key, value) in map {
        match &*key {
            "client-certificate-data" => user.client_certificate_data = Some(data(value, &key)?),
            "client-key-data" => user.client_key_data = Some(SecretValue::new(data(value, &key)?)),
            "token" => user.token = Some(SecretValue::new(printable(value, &key)?)),
            "username" => user.username = Some(printable(value, &key)?),
            "password" => user.password = Some(SecretValue::new(printable(value, &key)?)),
            "extensions" => extensions(value)?,
            "exec" | "auth-provider" => return Err(unsafe_body("it would run a program to log in")),
            "client-certificate" | "client-key" | "tokenFile" => return Err(unsafe_body("it refers to a file")),
            "as" | "as-uid" | "as-groups" | "as-user-extra" => {
                return Err(unsafe_body("it takes another user's name"));
            }
            _ => return Err(unsafe_body("a user has a key that is not allowed")),
        }
    }
    // client-go takes a key for nothing without its certificate, and refuses the rest.
    if user.client_certificate_data.is_some() != user.client_key_data.is_some() {
        return Err(invalid("a user has a client certificate without its key, or a key without its certificate"));
    }
    if user.token.is_some() && (user.username.is_some() || user.password.is_some()) {
        return Err(invalid("a user has a token and a password as well"));
    }
    Ok(user)
}

fn context(map: Map<'_>) -> Result<Context, BodyFault> {
    let (mut cluster, mut user, mut namespace) = (String::new(), String::new(), None);
    for (key, value) in map {
        match &*key {
            "cluster" => cluster = name(value, "cluster of a context")?,
            "user" => user = name(value, "user of a context")?,
            "namespace" if value.is_null() || value == Node::Quoted("".into()) => {}
            "namespace" => namespace = Some(label(value)?),
            "extensions" => extensions(value)?,
            _ => return Err(unsafe_body("a context has a key that is not allowed")),
        }
    }
    Ok(Context { cluster, user, namespace })
}

fn preferences(node: Node<'_>) -> Result<(), BodyFault> {
    if node.is_null() {
        return Ok(());
    }
    let Node::Map(map) = node else { return Err(invalid("its preferences are no mapping")) };
    for (key, value) in map {
        match &*key {
            "colors" => drop(flag(&value, &key)?),
            "extensions" => extensions(value)?,
            _ => return Err(unsafe_body("its preferences have a key that is not allowed")),
        }
    }
    Ok(())
}

/// What other programs keep in a kubeconfig, such as minikube. It is taken and not kept: kubectl makes no use of it. Each has a
/// name and any value.
fn extensions(node: Node<'_>) -> Result<(), BodyFault> {
    if node.is_null() {
        return Ok(());
    }
    let Node::List(list) = node else { return Err(invalid("its extensions are no list")) };
    let mut names = HashSet::new();
    for entry in list {
        let Node::Map(entry) = entry else { return Err(invalid("an extension is no mapping")) };
        let mut named = None;
        for (field, value) in entry {
            match &*field {
                "name" => named = Some(name(value, "name of an extension")?),
                "extension" => {}
                _ => return Err(unsafe_body("an extension has a key that is not allowed")),
            }
        }
        if !names.insert(named.ok_or_else(|| invalid("an extension has no name"))?) {
            return Err(unsafe_body("two extensions have one name"));
        }
    }
    Ok(())
}

fn fixed(node: Node<'_>, key: &str, value: &str) -> Result<(), BodyFault> {
    if text(node, key)? == value { Ok(()) } else { Err(invalid(format!("its {key} is not {value}"))) }
}

fn flag(node: &Node<'_>, key: &str) -> Result<bool, BodyFault> {
    let value = if let Node::Plain(text) = node { boolean(text) } else { None };
    value.ok_or_else(|| unsafe_body(format!("its {key} is neither true nor false")))
}

/// A text, or bytes that are one.
fn text(node: Node<'_>, key: &str) -> Result<String, BodyFault> {
    match node {
        Node::Plain(text) if is_typed(&text) => Err(invalid(format!("its {key} is no text: put it in quotes"))),
        Node::Plain(text) | Node::Quoted(text) => Ok(text.into_owned()),
        Node::Binary(bytes) => String::from_utf8(bytes).map_err(|_| invalid(format!("its {key} is no text"))),
        Node::List(_) | Node::Map(_) => Err(invalid(format!("its {key} is no text"))),
    }
}

/// A text that can stand in a header and on one line.
fn printable(node: Node<'_>, key: &str) -> Result<String, BodyFault> {
    let text = text(node, key)?;
    let plain = text.bytes().all(|b| (b' '..=b'~').contains(&b)) && text.trim() == text && !text.is_empty();
    if plain { Ok(text) } else { Err(invalid(format!("its {key} is not printable ASCII without blanks around it"))) }
}

fn name(node: Node<'_>, key: &str) -> Result<String, BodyFault> {
    let name = printable(node, key)?;
    if name.len() <= NAME_BYTES { Ok(name) } else { Err(invalid(format!("its {key} is over {NAME_BYTES} bytes"))) }
}

fn label(node: Node<'_>) -> Result<String, BodyFault> {
    let text = text(node, "namespace")?;
    if !text.contains('.') && is_host(&text.to_ascii_lowercase()) {
        return Ok(text);
    }
    Err(invalid("its namespace is not the name of a namespace"))
}

fn tls_name(node: Node<'_>) -> Result<String, BodyFault> {
    let text = text(node, "tls-server-name")?;
    let right = is_host(&text) || text.parse::<std::net::Ipv6Addr>().is_ok();
    if right { Ok(text) } else { Err(invalid("its tls-server-name is neither a host name nor an address")) }
}

/// Embedded certificates and keys, as base64 on one line. They come as base64, perhaps wrapped; as bytes that are base64, which is
/// how PyYAML writes such a text; or as the very bytes.
fn data(node: Node<'_>, key: &str) -> Result<String, BodyFault> {
    let decode = |text: &str| STANDARD.decode(text.split_ascii_whitespace().collect::<String>()).ok();
    let bytes = match node {
        Node::Binary(bytes) => std::str::from_utf8(&bytes).ok().and_then(decode).or(Some(bytes)),
        node => decode(&text(node, key)?),
    };
    let bytes = bytes.filter(|bytes| !bytes.is_empty());
    bytes.map(|bytes| STANDARD.encode(bytes)).ok_or_else(|| invalid(format!("its {key} is not base64")))
}
