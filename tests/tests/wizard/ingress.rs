//! The wizard in a browser behind its ingress, without authentication and with every header as browser, Traefik and nginx write
//! them (the paths below `/sovereign/api` lose their prefix on the way), and a stranger's page by the same way.

use catalyst_tests::host::{Host, wait_for};
use catalyst_tests::ingress::Ingress;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Where people open the wizard.
const PAGES: &str = "console.example.org";
/// By what name its nginx knows the host, where it does not pass the browser's on.
const INSIDE: &str = "catalyst-api.catalyst.svc.cluster.local:8080";

/// A browser's page, and the way to the host.
struct Page<'a> {
    /// Where it connects to.
    address: &'a str,
    /// `Host` as it arrives.
    arrives_as: &'a str,
    /// Where the page is from, and what the browser makes of that.
    origin: &'a str,
    site: &'a str,
}

struct Seen {
    status: u16,
    head: String,
    body: String,
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Page<'_> {
    /// What `fetch` and `EventSource` send: `Origin` with a POST, and with a GET to another origin.
    fn fetch(&self, method: &str, path: &str, accept: &str, body: &str) -> Seen {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nX-Real-IP: 10.42.0.9\r\nConnection: close\r\nAccept: {accept}\r\n\
             Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en\r\nReferer: {}/sovereign/wizard\r\n\
             Sec-Ch-Ua-Platform: \"Linux\"\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: {}\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0\r\nX-Forwarded-For: 203.0.113.9\r\n\
             X-Forwarded-Host: {PAGES}\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Prefix: /sovereign\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Server: traefik-5d7\r\n",
            self.arrives_as, self.origin, self.site
        );
        if method == "POST" || self.site == "cross-site" {
            head.push_str(&format!("Origin: {}\r\n", self.origin));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        send(self.address, &format!("{head}\r\n{body}"))
    }

    /// What the wizard does from its first question to the kubeconfig.
    fn walk(&self) {
        let post = |path: &str, body: &Value| self.fetch("POST", path, "*/*", &body.to_string());
        let proven = post("/api/v1/credentials/validate", &json!({"token": "x".repeat(64), "provider": "rehearsal"}));
        assert_eq!((proven.status, &proven.json()["valid"]), (503, &json!(false)), "{}", proven.body);
        let key = post("/api/v1/sshkey/generate", &json!({"fqdn": "acme.example.org"})).json();
        let name = post("/api/v1/subdomains/check", &json!({"subdomain": "-", "poolDomain": "omani.works"}));
        assert_eq!((name.status, &name.json()["reason"]), (200, &json!("invalid-format")), "{}", name.body);
        let registrar = post("/api/v1/registrar/dynadot/validate", &json!({"domain": "a.example"}));
        assert_eq!(registrar.json()["error"], "missing-token", "{}", registrar.body);
        let request = json!({
            "orgName": "Acme", "orgEmail": "ops@acme.example", "sovereignFQDN": format!("{}.example", self.arrives_as.len()),
            "sovereignDomainMode": "byo-manual", "sshPublicKey": key["publicKey"], "rehearsalToken": "t", "rehearsalFail": "plan",
            "regions": [{"provider": "rehearsal", "cloudRegion": "local-1", "controlPlaneSize": "medium"}],
        });
        let made = post("/api/v1/deployments", &request);
        assert_eq!(made.status, 201, "{}", made.body);
        let path = format!("/api/v1/deployments/{}", made.json()["id"].as_str().unwrap());
        wait_for("the end of its run", Duration::from_secs(60), || {
            (self.fetch("GET", &path, "application/json", "").json()["status"] == "failed").then_some(())
        });
        // It comes in chunks.
        let history = self.fetch("GET", &format!("{path}/events"), "application/json", "");
        assert!(history.status == 200 && history.body.contains("\"done\":true"), "{}", history.body);
        let stream = self.fetch("GET", &format!("{path}/logs"), "text/event-stream", "");
        assert!(stream.status == 200 && stream.body.contains("event: done"), "{}", stream.body);
        let kubeconfig = self.fetch("GET", &format!("{path}/kubeconfig"), "application/yaml", "");
        assert_eq!(kubeconfig.json()["error"], "not-implemented", "there is none yet: {}", kubeconfig.body);
        let retried = self.fetch("POST", &format!("{path}/phases/cilium/retry"), "*/*", "");
        assert_eq!(retried.status, 200, "a retry has neither body nor type: {}", retried.body);
    }

    /// That it is let at nothing but a probe.
    fn is_kept_out(&self) {
        for (method, path) in [
            ("POST", "/api/v1/deployments"),
            ("POST", "/api/v1/sshkey/generate"),
            ("GET", "/api/v1/deployments"),
            ("GET", "/api/v1/providers"),
            ("DELETE", "/api/v1/deployments/0101010101010101"),
        ] {
            let seen = self.fetch(method, path, "*/*", if method == "POST" { "{}" } else { "" });
            assert_eq!((seen.status, &seen.json()["error"]), (403, &json!("foreign-origin")), "{method} {path}");
            assert!(!seen.head.to_lowercase().contains("access-control"), "{}", seen.head);
        }
        assert_eq!(self.fetch("GET", "/healthz", "*/*", "").status, 200);
    }
}

fn send(address: &str, request: &str) -> Seen {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut whole = String::new();
    stream.read_to_string(&mut whole).unwrap();
    let (head, body) = whole.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {whole}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Seen { status, head: head.to_owned(), body: body.to_owned() }
}

#[test]
fn the_wizard_works_behind_an_ingress_that_adds_the_token_and_a_node_passes_with_its_bearer() {
    let ingress = Ingress::start();
    let env = ingress.env();
    let host = Host::start(&env.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>());
    let (own, way) = (format!("https://{PAGES}"), ingress.address());
    Page { address: &way, arrives_as: PAGES, origin: &own, site: "same-origin" }.walk();
    let node = |authorization: &str| {
        let put = format!(
            "PUT /api/v1/deployments/0101010101010101/kubeconfig HTTP/1.1\r\nHost: {PAGES}\r\n{authorization}Content-Length: \
             1\r\n\r\nx"
        );
        send(&way, &put).json()["error"].clone()
    };
    assert_eq!(
        node("Authorization: Bearer of-a-node\r\n"),
        "deployment-not-found",
        "its bearer is not taken for a token"
    );
    let straight = Page { address: host.address(), arrives_as: PAGES, origin: &own, site: "same-origin" };
    assert_eq!(straight.fetch("GET", "/api/v1/deployments", "*/*", "").status, 401, "nobody comes past the ingress");
}

/// A host as in a Pod of an operator who said that nobody is asked who calls.
fn pod(env: &[(&str, &str)]) -> Host {
    let mut all = vec![("CATALYST_AUTH", "none"), ("CATALYST_API_PUBLIC_URL", "")];
    all.extend(env);
    let mut host = Host::prepare(&all);
    host.listen_everywhere();
    host.up();
    host
}

#[test]
fn the_wizard_works_behind_its_ingress_without_any_setting_and_a_strangers_page_does_not() {
    let host = pod(&[]);
    let own = format!("https://{PAGES}");
    Page { address: host.address(), arrives_as: PAGES, origin: &own, site: "same-origin" }.walk();
    let stranger = "https://evil.example";
    Page { address: host.address(), arrives_as: PAGES, origin: stranger, site: "cross-site" }.is_kept_out();
    Page { address: host.address(), arrives_as: PAGES, origin: "https://blog.example.org", site: "same-site" }
        .is_kept_out();
    // A node, a probe of the kubelet and a scraper come by other names.
    let id = "0101010101010101";
    let node = format!(
        "PUT /api/v1/deployments/{id}/kubeconfig HTTP/1.1\r\nHost: {PAGES}\r\nUser-Agent: curl/8.5.0\r\nConnection: close\r\n\
         Authorization: Bearer x\r\nContent-Type: application/x-yaml\r\nContent-Length: 1\r\n\r\nx"
    );
    assert_eq!(send(host.address(), &node).json()["error"], "deployment-not-found");
    for path in ["/healthz", "/readyz", "/metrics"] {
        let probe = format!("GET {path} HTTP/1.1\r\nHost: 10.42.0.7:8080\r\nConnection: close\r\n\r\n");
        assert_eq!(send(host.address(), &probe).status, 200, "{path}");
    }
    assert!(!host.trace().contains("CATALYST_AUTH is not set"), "its operator said so");
}

#[test]
fn the_wizard_works_where_its_proxy_calls_the_host_by_another_name_once_its_address_is_known() {
    let own = format!("https://{PAGES}");
    let url = format!("{own}/sovereign");
    for known in
        [("CATALYST_API_PUBLIC_URL", url.as_str()), ("CORS_ORIGIN", &own), ("CATALYST_TRUSTED_PROXIES", "127.0.0.0/8")]
    {
        let host = pod(&[known]);
        Page { address: host.address(), arrives_as: INSIDE, origin: &own, site: "same-origin" }.walk();
        Page { address: host.address(), arrives_as: INSIDE, origin: "https://evil.example", site: "cross-site" }
            .is_kept_out();
    }
    let host = pod(&[]);
    let page = Page { address: host.address(), arrives_as: INSIDE, origin: &own, site: "same-origin" };
    let refused = page.fetch("POST", "/api/v1/deployments", "*/*", "{}").json();
    assert_eq!(refused["error"], "foreign-origin");
    assert!(refused["detail"].as_str().unwrap().contains("CORS_ORIGIN"), "{refused}");
}

#[test]
fn a_start_without_a_word_on_callers_or_with_every_origin_says_what_that_means() {
    let host = Host::start(&[("CORS_ORIGIN", "*")]);
    let trace = host.trace();
    for words in
        ["CATALYST_AUTH is not set", "catalyst token new", "CORS_ORIGIN: * lets no page of another origin call"]
    {
        assert_eq!(trace.matches(words).count(), 1, "{words}: {trace}");
    }
    let rebound = "GET /api/v1/deployments HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(send(host.address(), rebound).json()["error"], "foreign-host");
}
