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
