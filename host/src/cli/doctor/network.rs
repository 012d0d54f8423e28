//! What goes out, and where others reach us.

use super::check::Site;
use super::finding::Finding;
use crate::cli::serve::outbound_settings;
use crate::config::Config;
use crate::outbound::{Call, HeaderMap, Method, NamedBy, Outbound, SetupError, Url};
use jiff::Timestamp;
use std::net::IpAddr;
use std::time::Duration;

/// A person waits for the whole of this.
const PATIENCE: Duration = Duration::from_secs(5);
/// An answer is only asked whether it comes.
const ANSWER_BYTES: usize = 4096;
/// Certificates and tokens bear this much.
const FAR: i64 = 60;
/// And not this much: tokens that were just made count as not valid yet.
const TOO_FAR: i64 = 300;
/// This was written later than 2026-11-01, so no right clock is before it.
const WRITTEN: Timestamp = Timestamp::constant(1_793_491_200, 0);

/// The trust store, and the proxy as it is written; with them the way out for later checks.
pub(super) fn trust(site: &Site) -> Vec<Finding> {
    let config = &site.config;
    let check = "trust store";
    let name = config.trust_store.as_ref().map_or_else(|| "the system's".to_owned(), |path| path.display().to_string());
    match Outbound::new(&outbound_settings(config)) {
        Ok(outbound) => {
            site.outbound.get_or_init(|| outbound);
            vec![Finding::ok(check, format!("{name} has certificates"))]
        }
        Err(error @ SetupError::Proxy) => {
            vec![Finding::fail("proxy", error, "write HTTPS_PROXY like http://proxy.example.org:3128")]
        }
        Err(error) => {
            let advice = "install ca-certificates, or set SSL_CERT_FILE to a PEM file with the certificates to trust";
            vec![Finding::fail(check, error, advice)]
        }
    }
}

/// Whether the proxy takes connections. Only its host and port are named: a password may stand before them.
pub(super) async fn proxy(config: &Config) -> Vec<Finding> {
    let check = "proxy";
    let text = config.proxy.https_proxy.trim();
    // One that is no URL is told with the trust store.
    let Some(url) = Url::parse(text).ok().filter(|_| !text.is_empty()) else { return Vec::new() };
    let Some((host, port)) = url.host_str().zip(url.port_or_known_default()) else { return Vec::new() };
    let host = host.trim_matches(['[', ']']);
    let advice = "start it, or set HTTPS_PROXY right: cloud APIs and registries are reached through it alone";
    vec![match tokio::time::timeout(PATIENCE, tokio::net::TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Finding::ok(check, format!("{host}:{port} takes connections")),
        Ok(Err(error)) => Finding::fail(check, format!("{host}:{port} takes no connection: {error}"), advice),
        Err(_) => {
            Finding::fail(check, format!("{host}:{port} takes no connection within {} s", PATIENCE.as_secs()), advice)
        }
    }]
}

/// Whether the pool-domain manager answers, and what it says of the time.
pub(super) async fn pool_domain_manager(site: &Site) -> Vec<Finding> {
    let (config, Some(outbound)) = (&site.config, site.outbound.get()) else { return Vec::new() };
    let check = "pool domains";
    let base = &config.pool_domain_manager_url;
    let name = format!("{}:{}", base.host_str().unwrap_or_default(), base.port_or_known_default().unwrap_or_default());
    let url = base.join("healthz").unwrap_or_else(|_| base.clone());
    let call = Call {
        named_by: NamedBy::Operator,
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: None,
        timeout: PATIENCE,
        body_limit: ANSWER_BYTES,
    };
    let answer = outbound.send(call).await;
    let date = answer.as_ref().ok().and_then(|answer| answer.date.clone());
    let reached = match answer {
        Ok(answer) if answer.status < 500 => Finding::ok(check, format!("the pool-domain manager at {name} answers")),
        Ok(answer) => Finding::warn(
            check,
            format!("the pool-domain manager at {name} answers {}", answer.status),
            "look at its trace",
        ),
        Err(error) => Finding::warn(
            check,
            format!("the pool-domain manager at {name} cannot be reached: {error}"),
            "set POOL_DOMAIN_MANAGER_URL, or let the way there through (network policy, NO_PROXY); without it no pool name is given",
        ),
    };
    vec![reached, clock(Timestamp::now(), date.as_deref())]
}

/// Whether this machine knows the time.
fn clock(now: Timestamp, date: Option<&str>) -> Finding {
    let (check, advice) =
        ("clock", "set the clock (chrony, systemd-timesyncd): certificates, tokens and timeouts rest on it");
    if now < WRITTEN {
        return Finding::fail(check, format!("it says {now:.0}, which is before this program was written"), advice);
    }
    let other = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|other| other.timestamp());
    let Some(other) = other else {
        return Finding::ok(check, format!("it says {now:.0}; nobody was there to compare with"));
    };
    let off = (now.as_second() - other.as_second()).abs();
    let found = format!("it is {off} s off the pool-domain manager's");
    if off > TOO_FAR {
        Finding::fail(check, found, advice)
    } else if off > FAR {
        Finding::warn(check, found, advice)
    } else {
        Finding::ok(check, found)
    }
}

/// Whether a node could hand in its kubeconfig at the address that it is told.
pub(super) fn public_url(config: &Config) -> Vec<Finding> {
    let (check, text) = ("public URL", &config.public_url);
    let advice = "set CATALYST_API_PUBLIC_URL to the address under which new nodes reach this API";
    let Ok(mut url) = Url::parse(text) else { return vec![Finding::fail(check, "it is no URL", advice)] };
    let is_default = text == crate::config::DEFAULT_PUBLIC_URL;
    if url.password().is_some() {
        // It is told below, and a password is nobody's to read.
        let _ = url.set_password(None);
    }
    let text = url.as_str().trim_end_matches('/');
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let loopback =
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified());
    vec![if loopback {
        Finding::warn(check, format!("{text} is this machine itself, which no node of a cloud reaches"), advice)
    } else if host.ends_with(".svc") || host.ends_with(".cluster.local") {
        Finding::fail(check, format!("{text} is a name of this cluster, which no new node knows"), advice)
    } else if url.scheme() == "http" {
        Finding::warn(
            check,
            format!("{text} is not https: bearers and kubeconfigs cross the network in clear"),
            "use https",
        )
    } else if is_default {
        Finding::warn(check, format!("{text} is the default; nodes hand their kubeconfig to whoever is there"), advice)
    } else {
        Finding::ok(check, text)
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_held_to_another_one_and_to_the_day_this_was_written() {
        let now: Timestamp = "2027-01-05T10:00:00Z".parse().unwrap();
        let said = |now, date| format!("{:?}", clock(now, date));
        assert!(said(now, None).contains("Ok"));
        assert!(said(now, Some("Tue, 05 Jan 2027 10:00:40 GMT")).contains("Ok"));
        assert!(said(now, Some("Tue, 05 Jan 2027 10:02:00 GMT")).contains("Warn"));
        assert!(said(now, Some("Tue, 05 Jan 2027 09:00:00 GMT")).contains("Fail"));
        assert!(said(now, Some("no date")).contains("Ok"));
        assert!(said(Timestamp::UNIX_EPOCH, None).contains("Fail"));
    }
}
