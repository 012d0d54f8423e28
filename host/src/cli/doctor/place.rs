//! Whether this process could take the host's place: the folders' locks and the address, and who has them.

use super::check::Site;
use super::finding::Finding;
use crate::config::Config;
use crate::outbound::{Call, HeaderMap, Method, NamedBy, Outbound, SendError, Url};
use rustix::fs::{FlockOperation, fstat, major, minor};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

/// A host answers on this machine within milliseconds.
const ANSWER: Duration = Duration::from_secs(5);
/// A readiness has some hundred bytes.
const ANSWER_BYTES: usize = 64 * 1024;

/// Who is at the address.
enum There {
    /// A host, with what speaks against sending it work.
    Host(Vec<String>),
    /// Nobody.
    Nobody,
    /// Something else.
    Stranger,
}

/// A lock that is held is well where a host answers, and not where none does.
pub(super) async fn lock_and_address(site: &Site) -> Vec<Finding> {
    let (config, Some(outbound)) = (&site.config, site.outbound.get()) else { return Vec::new() };
    let there = who(config.listen, outbound).await;
    let metrics = config.metrics_listen.map(|listen| metrics(listen, &there));
    [locks(config, &there), address(config.listen, &there)].into_iter().chain(metrics).collect()
}

/// The address that serves the metrics alone: the host's, or free.
fn metrics(listen: SocketAddr, there: &There) -> Finding {
    let check = "metrics";
    match (TcpListener::bind(listen), there) {
        (Err(error), There::Host(_)) if error.kind() == ErrorKind::AddrInUse => {
            Finding::ok(check, format!("{listen} is taken, as by the host that answers"))
        }
        (Ok(_), There::Host(_)) => Finding::warn(
            check,
            format!("a host answers, and nobody listens on {listen}"),
            "restart the host, so that it takes CATALYST_METRICS_LISTEN over",
        ),
        (Ok(_), _) => Finding::ok(check, format!("{listen} is free")),
        (Err(error), _) => {
            let advice = "set CATALYST_METRICS_LISTEN to an address of this machine that is free, from port 1024 on";
            Finding::fail(check, format!("{listen} cannot be listened on: {error}"), advice)
        }
    }
}

fn locks(config: &Config, there: &There) -> Finding {
    let check = "lock";
    let folders = [&config.deployments_dir, &config.state_dir, &config.tofu.workdir];
    for folder in folders {
        let holder = match holder(folder) {
            Ok(None) => continue,
            Ok(Some(holder)) => holder,
            Err(error) => {
                let found = format!("{} cannot be locked: {error}", folder.display());
                return Finding::fail(check, found, "use a file system that knows flock, as every local one does");
            }
        };
        let found = format!("{} is held by {holder}", folder.display());
        return match there {
            There::Host(_) => Finding::ok(check, format!("{found}, and a host answers on {}", config.listen)),
            There::Nobody | There::Stranger => Finding::fail(
                check,
                format!("{found}, and no host answers on {}", config.listen),
                "stop that process: a second host, or one that hangs. Two must never share a folder",
            ),
        };
    }
    Finding::ok(check, "no other process has the folders")
}

/// Who holds the lock of a folder; `None` where nobody does.
fn holder(folder: &Path) -> std::io::Result<Option<String>> {
    let Ok(node) = File::open(folder) else { return Ok(None) };
    match rustix::fs::flock(&node, FlockOperation::NonBlockingLockExclusive) {
        // Let go with the descriptor.
        Ok(()) => Ok(None),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Some(process(&node).unwrap_or_else(|| "another process".to_owned()))),
        Err(errno) => Err(errno.into()),
    }
}

/// The process that the kernel lists for a lock, where it is one of this container.
fn process(node: &File) -> Option<String> {
    let known = fstat(node).ok()?;
    let wanted = format!("{:02x}:{:02x}:{}", major(known.st_dev), minor(known.st_dev), known.st_ino);
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let line =
        locks.lines().find(|line| line.contains("FLOCK") && line.split_whitespace().any(|word| word == wanted))?;
    let pid: u32 = line.split_whitespace().nth(4)?.parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("process {pid} ({})", name.trim()))
}

fn address(listen: SocketAddr, there: &There) -> Finding {
    let check = "address";
    match there {
        There::Host(reasons) if reasons.is_empty() => {
            Finding::ok(check, format!("a host answers on {listen} and is ready"))
        }
        There::Host(reasons) => Finding::fail(
            check,
            format!("a host answers on {listen} and is not ready: {}", reasons.join("; ")),
            "do what its reasons say",
        ),
        There::Stranger => Finding::fail(
            check,
            format!("another program answers on {listen}"),
            "stop it, or set CATALYST_LISTEN or PORT to an address that is free",
        ),
        There::Nobody => match TcpListener::bind(listen) {
            Ok(_) => Finding::ok(check, format!("{listen} is free")),
            Err(error) => Finding::fail(check, format!("{listen} cannot be listened on: {error}"), bind_advice(&error)),
        },
    }
}

fn bind_advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied => "set a port from 1024 on: lower ones need a right that the host should not have",
        ErrorKind::AddrNotAvailable => "set CATALYST_LISTEN to an address of this machine",
        _ => "set CATALYST_LISTEN or PORT to an address that is free",
    }
}

async fn who(listen: SocketAddr, outbound: &Outbound) -> There {
    // Nothing can be asked at "every address".
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, listen.port());
    if tokio::time::timeout(ANSWER, tokio::net::TcpStream::connect(address)).await.is_ok_and(|tried| tried.is_err()) {
        return There::Nobody;
    }
    let Ok(url) = Url::parse(&format!("http://{address}/readyz")) else { return There::Stranger };
    let call = Call {
        named_by: NamedBy::Operator,
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: None,
        timeout: ANSWER,
        body_limit: ANSWER_BYTES,
    };
    let answer = match outbound.send(call).await {
        Ok(answer) => answer,
        Err(SendError::Timeout(_) | SendError::Unreachable(_) | SendError::NotAllowed(_)) => return There::Stranger,
    };
    let Ok(said) = serde_json::from_slice::<serde_json::Value>(&answer.body) else { return There::Stranger };
    match said.get("reasons").and_then(serde_json::Value::as_array) {
        Some(reasons) => There::Host(reasons.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()),
        None => There::Stranger,
    }
}
