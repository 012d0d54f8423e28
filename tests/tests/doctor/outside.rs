//! What comes from outside: the environment, the network, the clock, limits.

use super::*;
use std::io::{Read as _, Write as _};

#[test]
fn broken_an_environment_that_makes_no_sense() {
    let mut set_up = SetUp::well();
    set_up.set("CATALYST_APPLY_TIMEOUT", "soon");
    set_up.examine().shows("environment", "fail", "CATALYST_APPLY_TIMEOUT: must be a duration");
}

#[test]
fn broken_a_variable_that_is_mistyped() {
    let mut set_up = SetUp::well();
    set_up.set("CATALYST_PHASE1_TIMEOUT", "5m");
    set_up.examine().shows("environment", "warn", "CATALYST_PHASE1_TIMEOUT");
}

#[test]
fn broken_no_pool_domain_manager() {
    let mut set_up = SetUp::well();
    set_up.set("POOL_DOMAIN_MANAGER_URL", format!("http://127.0.0.1:{}", free_port()));
    set_up.examine().shows("pool domains", "warn", "cannot be reached");
}

#[test]
fn broken_a_clock_that_is_wrong() {
    let mut set_up = SetUp::well();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    set_up.set("POOL_DOMAIN_MANAGER_URL", format!("http://{}", listener.local_addr().unwrap()));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _head = stream.read(&mut [0; 4096]).unwrap();
            let answer = "HTTP/1.1 200 OK\r\ndate: Tue, 06 Oct 2020 10:00:00 GMT\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    set_up.examine().shows("clock", "fail", "s off the pool-domain manager's");
}

#[test]
fn broken_a_trust_store_without_certificates() {
    let mut set_up = SetUp::well();
    fs::write(set_up.path("ca.pem"), "no certificate").unwrap();
    set_up.set("SSL_CERT_FILE", set_up.path("ca.pem").display());
    set_up.examine().shows("trust store", "fail", "no certificate could be read from");
}

#[test]
fn broken_a_proxy_that_is_not_there() {
    let mut set_up = SetUp::well();
    let port = free_port();
    set_up.set("HTTPS_PROXY", format!("http://ops:{SENTINEL}@127.0.0.1:{port}"));
    set_up.examine().shows("proxy", "fail", &format!("127.0.0.1:{port} takes no connection"));
    set_up.set("HTTPS_PROXY", format!("ops {SENTINEL}"));
    set_up.examine().shows("proxy", "fail", "HTTPS_PROXY is not a URL");
}

#[test]
fn broken_an_address_that_nodes_cannot_reach() {
    let mut set_up = SetUp::well();
    for (url, verdict, words) in [
        ("http://127.0.0.1:8080", "warn", "is this machine itself"),
        ("http://catalyst.example.org", "warn", "is not https"),
        ("https://catalyst.catalyst.svc.cluster.local", "fail", "is a name of this cluster"),
        ("", "warn", "is the default"),
    ] {
        set_up.set("CATALYST_API_PUBLIC_URL", url);
        set_up.examine().shows("public URL", verdict, words);
    }
}

#[test]
fn broken_an_open_api() {
    let mut set_up = SetUp::well();
    set_up.set("CATALYST_LISTEN", format!("0.0.0.0:{}", free_port()));
    set_up.set("CATALYST_AUTH", "none");
    set_up.examine().shows("authentication", "warn", "whoever reaches it may create");
}

#[test]
fn broken_too_few_open_files() {
    let set_up = SetUp::well();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -n 512 && exec \"$0\" doctor --json"]).arg(built("release/catalyst"));
    let output = command.env_clear().envs(&set_up.env).output().unwrap();
    Examined::from(output).shows("open files", "warn", "the hard limit is 512");
}

#[test]
fn broken_a_file_of_tokens_that_is_not_there() {
    let mut set_up = SetUp::well();
    set_up.set("CATALYST_AUTH", "token");
    set_up.set("CATALYST_AUTH_TOKENS", set_up.path("tokens").display());
    set_up.examine().shows("authentication", "fail", "CATALYST_AUTH_TOKENS");
    std::fs::write(set_up.path("tokens"), "# nobody yet\n").unwrap();
    set_up.examine().shows("authentication", "warn", "nobody is let in");
}

#[test]
fn broken_a_file_that_does_not_open() {
    let mut set_up = SetUp::well();
    // Whoever opens one to read waits for a writer, as on a disk that hangs.
    let pipe = set_up.path("tokens");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    set_up.set("CATALYST_AUTH", "token");
    set_up.set("CATALYST_AUTH_TOKENS", pipe.display());
    let well = SetUp::well().examine().findings.len();
    let examined = set_up.examine();
    examined.shows("authentication", "fail", "CATALYST_AUTH_TOKENS or the files of an account gave no answer within");
    assert_eq!(examined.findings.len(), well, "every other check is made as well");

    // What needs a way out says nothing rather than that it hangs, too.
    let mut set_up = SetUp::well();
    set_up.set("SSL_CERT_FILE", pipe.display());
    let begun = std::time::Instant::now();
    set_up.examine().shows("trust store", "fail", "SSL_CERT_FILE gave no answer within");
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
}

#[test]
fn an_api_on_loopback_says_who_may_call_it_and_that_every_origin_is_none() {
    let mut set_up = SetUp::well();
    set_up.env.remove("CORS_ORIGIN");
    for said in ["", "none"] {
        set_up.set("CATALYST_AUTH", said);
        let examined = set_up.examine();
        assert!(examined.troubled().is_empty(), "{:#?}", examined.findings);
        let all = format!("{:?}", examined.findings);
        assert!(all.contains("every program on this machine may create"), "{all}");
        assert!(all.contains("pages of other origins may not"), "{all}");
    }
    set_up.set("CORS_ORIGIN", "*");
    set_up.examine().shows("environment", "warn", "CORS_ORIGIN: * lets no page of another origin call");
    set_up.set("CORS_ORIGIN", "");
    set_up.set("CATALYST_ALLOWED_HOSTS", "https://console.example.org");
    set_up.examine().shows(
        "environment",
        "fail",
        "CATALYST_ALLOWED_HOSTS: \"https://console.example.org\" must be a host",
    );
}

#[test]
fn broken_an_openid_provider_that_proves_nobody() {
    let mut set_up = SetUp::well();
    set_up.set("CATALYST_AUTH", "oidc");
    set_up.set("CATALYST_AUTH_SCOPES", "*=read");
    set_up.set("CATALYST_OIDC_AUDIENCE", "catalyst");
    set_up.set("CATALYST_OIDC_ISSUER", format!("http://127.0.0.1:{}", free_port()));
    set_up.examine().shows("authentication", "fail", "nobody is let in: the OpenID provider's configuration");
    let other = Double::http(|_| Some((200, r#"{"issuer": "https://x", "jwks_uri": "https://x"}"#.to_owned())));
    set_up.set("CATALYST_OIDC_ISSUER", other.url());
    set_up.examine().shows("authentication", "fail", "calls itself by another name");
}

#[test]
fn broken_a_cluster_that_reviews_no_token() {
    let mut set_up = SetUp::well();
    let said = |authenticated: bool| format!(r#"{{"status": {{"authenticated": {authenticated}}}}}"#);
    let review = move |seen: &catalyst_tests::double::Seen| {
        let right = seen.headers.iter().any(|line| line.to_lowercase() == "authorization: bearer right");
        // To "open" everybody is somebody, and nobody else may ask.
        let open = seen.headers.iter().any(|line| line.to_lowercase() == "authorization: bearer open");
        Some(if right || open { (201, said(open)) } else { (403, String::new()) })
    };
    let api = Double::http(review);
    set_up.set("CATALYST_AUTH", "kubernetes");
    set_up.set("CATALYST_AUTH_SCOPES", "*=read");
    set_up.set("CATALYST_AUTH_KUBERNETES_API", api.url());
    set_up.set("CATALYST_AUTH_KUBERNETES_ACCOUNT", set_up.path("account").display());
    set_up.examine().shows("authentication", "fail", "no token of our own");
    fs::create_dir(set_up.path("account")).unwrap();
    for (own, words) in [("nobody", "it answered 403"), ("open", "takes a token that was made up")] {
        fs::write(set_up.path("account/token"), own).unwrap();
        set_up.examine().shows("authentication", "fail", words);
    }
    fs::write(set_up.path("account/token"), "right").unwrap();
    assert!(set_up.examine().troubled().is_empty(), "{:#?}", set_up.examine().findings);
}

#[test]
fn broken_an_address_of_the_metrics_that_cannot_be_had() {
    let mut set_up = SetUp::well();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    set_up.set("CATALYST_METRICS_LISTEN", taken.local_addr().unwrap());
    set_up.examine().shows("metrics", "fail", "cannot be listened on");
    set_up.set("CATALYST_METRICS_LISTEN", set_up.env["CATALYST_LISTEN"].clone());
    set_up.examine().shows("environment", "fail", "CATALYST_METRICS_LISTEN: must be another address");
}
