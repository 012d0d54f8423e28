//! The rules of names, origins and types as tables: a listener, a request, and what becomes of it.

use super::super::routes::rule;
use super::*;
use axum::http::{HeaderValue, header};

/// Where a request comes in.
struct Listener {
    guard: BrowserGuard,
    proxies: TrustedProxies,
}

/// A listener with these settings; blank ones are not set.
fn listener(callers: Callers, reach: Reach, cors: &str, hosts: &str, public_url: &str) -> Listener {
    let set = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let settings = BrowserSettings {
        allowed_hosts: set(hosts).map(|text| AllowedHosts::parse(&text).unwrap()).unwrap_or_default(),
        public_origin: set(public_url).and_then(|url| WebOrigin::of_url(&url)),
    };
    let allowed = AllowedOrigin::parse(if cors.is_empty() { "*" } else { cors }).unwrap();
    let proxies = TrustedProxies::parse("10.0.0.0/8").unwrap();
    Listener { guard: BrowserGuard::new(settings, &allowed, callers, reach), proxies }
}

fn laptop() -> Listener {
    listener(Callers::Unknown, Reach::Loopback, "", "", "")
}

fn behind_an_ingress() -> Listener {
    listener(Callers::Unknown, Reach::Network, "", "", "")
}

const CREATE: (&str, &str) = ("POST", "/api/v1/deployments");
const LIST: (&str, &str) = ("GET", "/api/v1/deployments");
const KUBECONFIG: (&str, &str) = ("GET", "/api/v1/deployments/{id}/kubeconfig");
const POSTBACK: (&str, &str) = ("PUT", "/api/v1/deployments/{id}/kubeconfig");

impl Listener {
    /// The code of a refusal; blank where the request goes on.
    fn from(&self, peer: &str, route: (&str, &str), host: &str, headers: &[(&str, &str)], body: &str) -> &'static str {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let host = Some(host).filter(|host| !host.is_empty()).map(|host| HostPort::parse(host).unwrap());
        let peer = SocketAddr::new(peer.parse().unwrap(), 7);
        let received = Received { host: host.as_ref(), headers: &map, peer, proxies: &self.proxies };
        let rule = rule(&route.0.parse().unwrap(), route.1).unwrap();
        let body = if body.is_empty() { Body::empty() } else { Body::from(body.to_owned()) };
        self.guard.check(rule, &received, &body).map_or_else(HeaderFault::code, |()| "")
    }

    fn says(&self, route: (&str, &str), host: &str, headers: &[(&str, &str)]) -> &'static str {
        let json = [(header::CONTENT_TYPE.as_str(), "application/json")];
        let more: &[(&str, &str)] = if route.0 == "POST" { &json } else { &[] };
        self.from("127.0.0.1", route, host, &[headers, more].concat(), if route.0 == "POST" { "{}" } else { "" })
    }
}

#[test]
fn a_page_of_another_origin_is_refused_and_our_own_is_not() {
    let own = laptop();
    let at = "localhost:8080";
    for route in [CREATE, LIST, KUBECONFIG, POSTBACK, ("GET", "/metrics"), ("GET", "/api/v1/openapi.json")] {
        for origin in ["http://localhost:8080", "https://LOCALHOST:8080"] {
            assert_eq!(own.says(route, at, &[("origin", origin)]), "", "{route:?} {origin}");
        }
        assert_eq!(own.says(route, at, &[]), "", "{route:?}: a program");
        for origin in [
            "https://evil.example",
            "http://evil.example:8080",
            "null",
            "",
            "http://localhost",
            "http://localhost:3000",
            "http://localhost.:8080",
            "http://127.0.0.1:8080",
            "http://localhost:8080/",
            "http://localhost:8080, https://evil.example",
            "http://me@localhost:8080",
            "chrome-extension://localhost:8080",
            "localhost:8080",
            "\u{e4}",
        ] {
            assert_eq!(own.says(route, at, &[("origin", origin)]), "foreign-origin", "{route:?} {origin}");
        }
        let twice = [("origin", "http://localhost:8080"), ("origin", "http://localhost:8080")];
        assert_eq!(own.says(route, at, &twice), "foreign-origin", "{route:?}");
    }
    for probe in [("GET", "/healthz"), ("GET", "/readyz")] {
        let evil = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
        assert_eq!(own.says(probe, at, &evil), "", "{probe:?}");
    }
    // A request of HTTP/1.0 without a host has no origin of its own.
    assert_eq!(own.says(LIST, "", &[("origin", "http://localhost:8080")]), "foreign-origin");
    assert_eq!(own.says(LIST, "", &[]), "");
}

#[test]
fn what_the_browser_says_of_the_site_counts_beside_the_origin() {
    let named = listener(Callers::Unknown, Reach::Network, "https://wizard.example", "", "https://console.example/x");
    let at = "catalyst.example";
    let check = |origin: &str, sites: &[&str], expect: &str| {
        let origin: Vec<(&str, &str)> =
            Some(("origin", origin)).filter(|(_, text)| !text.is_empty()).into_iter().collect();
        let sites: Vec<(&str, &str)> = sites.iter().map(|site| ("sec-fetch-site", *site)).collect();
        for route in [LIST, CREATE] {
            assert_eq!(named.says(route, at, &[&origin[..], &sites].concat()), expect, "{origin:?} {sites:?}");
        }
    };
    for site in ["same-origin", "none"] {
        check("", &[site], "");
        check("https://catalyst.example", &[site], "");
        check("https://evil.example", &[site], "foreign-origin");
    }
    check("", &["same-site"], "foreign-origin");
    check("https://catalyst.example", &["same-site"], "");
    check("https://console.example", &["same-site"], "");
    check("https://sibling.example", &["same-site"], "foreign-origin");
    check("", &["cross-site"], "foreign-origin");
    check("http://catalyst.example", &["cross-site"], "foreign-origin");
    check("https://console.example", &["cross-site"], "foreign-origin");
    check("https://wizard.example", &["cross-site"], "");
    check("https://wizard.example", &["same-site"], "");
    check("https://wizard.example", &[], "");
    check("http://wizard.example", &[], "foreign-origin");
    check("https://wizard.example:444", &[], "foreign-origin");
    for unknown in ["", "Same-Origin", "CROSS-SITE", "same-origin, none", "same-origin;x", "sibling"] {
        check("", &[unknown], "foreign-origin");
        check("https://wizard.example", &[unknown], "foreign-origin");
    }
    check("", &["same-origin", "cross-site"], "foreign-origin");
    check("", &["cross-site", "same-origin"], "foreign-origin");
    check("", &["same-origin", "none"], "");
}

#[test]
fn the_name_that_a_trusted_proxy_was_asked_for_is_ours_and_another_peers_word_is_not() {
    let guard = behind_an_ingress();
    let json = ("content-type", "application/json");
    let check = |peer: &str, forwarded: &[&str], expect: &str| {
        let mut headers = vec![json, ("origin", "https://console.example")];
        headers.extend(forwarded.iter().map(|host| ("x-forwarded-host", *host)));
        assert_eq!(guard.from(peer, CREATE, "catalyst-api.catalyst.svc:8080", &headers, "{}"), expect, "{forwarded:?}");
    };
    check("10.1.2.3", &["console.example"], "");
    check("::ffff:10.1.2.3", &["console.example:443"], "");
    check("10.1.2.3", &["other.example, console.example"], "");
    check("10.1.2.3", &["other.example", "console.example"], "");
    check("10.1.2.3", &["console.example, other.example"], "foreign-origin");
    check("10.1.2.3", &["other.example"], "foreign-origin");
    check("10.1.2.3", &["a b"], "foreign-origin");
    check("10.1.2.3", &[], "foreign-origin");
    check("192.0.2.1", &["console.example"], "foreign-origin");
}

#[test]
fn a_post_of_a_page_is_json_and_one_of_a_program_is_what_it_likes() {
    let guard = laptop();
    let post = |headers: &[(&str, &str)], body: &str| guard.from("127.0.0.1", CREATE, "localhost:8080", headers, body);
    let pages =
        [[("origin", "http://localhost:8080")], [("sec-fetch-site", "same-origin")], [("sec-fetch-site", "none")]];
    for page in pages {
        let typed = |kind: &str, body: &str| post(&[&page[..], &[("content-type", kind)]].concat(), body);
        for kind in
            ["application/json", "Application/JSON", "application/json; charset=utf-8", " application/json ;a=b"]
        {
            assert_eq!(typed(kind, "{}"), "", "{kind}");
        }
        for kind in [
            "text/plain",
            "text/plain;charset=UTF-8",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/plain; application/json",
            "text/plain, application/json",
            "application/json, text/plain",
            "application/jsonp",
            "application/problem+json",
            "",
        ] {
            assert_eq!(typed(kind, "{}"), "unsupported-media-type", "{kind}");
        }
        assert_eq!(typed("text/plain", ""), "unsupported-media-type", "a type that is none of ours, without a body");
        assert_eq!(post(&page, "{}"), "unsupported-media-type", "a body of no type");
        assert_eq!(post(&page, ""), "", "neither, as the wizard's retry");
        let two = [&page[..], &[("content-type", "application/json"), ("content-type", "text/plain")]].concat();
        assert_eq!(post(&two, "{}"), "unsupported-media-type");
    }
    for kind in ["application/x-www-form-urlencoded", "text/plain", "application/x-yaml"] {
        assert_eq!(post(&[("content-type", kind)], "{}"), "", "{kind} of curl");
    }
    assert_eq!(post(&[], "{}"), "");
    let yaml = [("content-type", "application/x-yaml")];
    assert_eq!(guard.from("127.0.0.1", POSTBACK, "localhost:8080", &yaml, "apiVersion: v1"), "");
    let evil = [("content-type", "text/plain"), ("origin", "https://evil.example")];
    assert_eq!(post(&evil, "{}"), "foreign-origin", "the worse fault is named");
}

#[test]
fn on_loopback_without_tokens_only_names_that_nobody_else_can_give_lead_here() {
    let guard = laptop();
    for host in ["localhost:8080", "a.localhost", "127.0.0.1:8080", "192.0.2.7", "[::1]:8080", ""] {
        assert_eq!(guard.says(KUBECONFIG, host, &[]), "", "{host}");
    }
    for host in ["evil.example:8080", "localhost.:8080", "0x7f.1:8080", "localhost.evil.example", "x"] {
        for route in [CREATE, LIST, KUBECONFIG, ("DELETE", "/api/v1/deployments/{id}"), ("GET", "/api/v1/openapi.json")]
        {
            assert_eq!(guard.says(route, host, &[]), "foreign-host", "{route:?} {host}");
            let own = format!("http://{host}");
            assert_eq!(guard.says(route, host, &[("origin", &own)]), "foreign-host", "{route:?} {host}");
        }
        for route in [("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"), POSTBACK] {
            assert_eq!(guard.says(route, host, &[]), "", "{route:?} {host}");
        }
    }
    let public = listener(Callers::Unknown, Reach::Loopback, "", "", "https://console.example/sovereign");
    assert_eq!(public.says(LIST, "console.example", &[]), "");
    assert_eq!(public.says(LIST, "console.example:8080", &[]), "");
    assert_eq!(public.says(LIST, "a.console.example", &[]), "foreign-host");
    assert_eq!(behind_an_ingress().says(LIST, "anything.example", &[]), "");
    assert_eq!(listener(Callers::Known, Reach::Loopback, "", "", "").says(LIST, "anything.example", &[]), "");
}

#[test]
fn listed_hosts_hold_for_every_listener_and_way_to_know_callers() {
    for callers in [Callers::Unknown, Callers::Known] {
        for reach in [Reach::Loopback, Reach::Network] {
            let guard = listener(callers, reach, "", "console.example, .apps.example", "https://other.example");
            let local = if reach == Reach::Loopback { "" } else { "foreign-host" };
            for (host, expect) in [
                ("console.example", ""),
                ("console.example:8443", ""),
                ("a.apps.example", ""),
                ("apps.example", "foreign-host"),
                ("other.example", "foreign-host"),
                ("evil.example", "foreign-host"),
                ("localhost:8080", local),
                ("10.1.2.3:8080", local),
            ] {
                assert_eq!(guard.says(LIST, host, &[]), expect, "{callers:?} {reach:?} {host}");
                assert_eq!(guard.says(("GET", "/readyz"), host, &[]), "", "{callers:?} {reach:?} {host}");
                assert_eq!(guard.says(POSTBACK, host, &[]), "", "{callers:?} {reach:?} {host}");
            }
        }
    }
}

#[test]
fn where_callers_are_known_no_origin_and_no_type_is_refused() {
    let guard = listener(Callers::Known, Reach::Network, "", "", "");
    let evil = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("content-type", "text/plain")];
    for route in [CREATE, LIST] {
        assert_eq!(guard.from("192.0.2.1", route, "a.example", &evil, "{}"), "");
    }
}

#[test]
fn loopback_is_known_in_every_form() {
    for (address, reach) in [
        ("127.0.0.1", Reach::Loopback),
        ("127.9.9.9", Reach::Loopback),
        ("::1", Reach::Loopback),
        ("::ffff:127.0.0.1", Reach::Loopback),
        ("0.0.0.0", Reach::Network),
        ("::", Reach::Network),
        ("192.0.2.1", Reach::Network),
    ] {
        assert_eq!(Reach::of(address.parse().unwrap()), reach, "{address}");
    }
}
