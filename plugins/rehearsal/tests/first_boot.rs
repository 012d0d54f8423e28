//! The first server's own scripts, run in a folder with stand-ins for k3s and systemctl and the real curl.
#![expect(clippy::unwrap_used, reason = "a test may stop at once")]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use catalyst_plugin_rehearsal::{Rehearsal, template_variables};
use catalyst_plugin_sdk::testing::{self, Case, UserData};
use catalyst_plugin_sdk::{DeploymentRequest, DomainMode, Provisioner, RenderContext};

const BEARER: &str = "5ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4";
const KUBECONFIG: &str = "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: aHR0cHM6Ly8xMjcuMC4wLjE6NjQ0Mw==
    server: https://127.0.0.1:6443
  name: default
users:
- name: \"https://127.0.0.1:6443\"
";

/// A request as the server saw it.
#[derive(Debug, Clone)]
struct Seen {
    line: String,
    headers: Vec<String>,
    body: String,
}

/// Answers each connection with the next of `answers`; the last one for good. None closes without an answer.
fn serve(answers: Vec<Option<(u16, &'static str)>>) -> (u16, Arc<Mutex<Vec<Seen>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        let mut answers = VecDeque::from(answers);
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
                    break;
                }
                lines.push(line.trim_end().to_owned());
            }
            let length =
                lines.iter().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            let (line, headers) = lines.split_first().unwrap();
            let body = String::from_utf8(body).unwrap();
            log.lock().unwrap().push(Seen { line: line.clone(), headers: headers.to_vec(), body });
            let answer = if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0] };
            if let Some((status, body)) = answer {
                let length = body.len();
                write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
                    .unwrap();
            }
        }
    });
    (port, seen)
}

/// User data of the first server, as `templatefile()` makes it of the bundle's template.
fn user_data(port: u16) -> UserData {
    let request = DeploymentRequest {
        org_name: "Example".to_owned(),
        org_email: "ops@example.test".to_owned(),
        sovereign_fqdn: "acme.example.test".to_owned(),
        domain_mode: DomainMode::Byo,
        pool_domain: String::new(),
        subdomain: String::new(),
        region: "local-1".to_owned(),
        control_plane_size: String::new(),
        worker_size: String::new(),
        worker_count: 0,
        ha_enabled: false,
        regions: Vec::new(),
        ssh_public_key: String::new(),
        extra: r#"{"rehearsalApiPort":16443}"#.to_owned(),
    };
    let context = RenderContext {
        public_url: format!("http://127.0.0.1:{port}/sovereign"),
        gitops_repo_url: "https://git.example.test/openova".to_owned(),
        gitops_branch: "main".to_owned(),
        present_secrets: vec!["kubeconfig-bearer".to_owned(), "k3s-token".to_owned()],
    };
    let bundle = Rehearsal::render(&request, &context).unwrap();
    let (path, variables) = template_variables(&request, &context).unwrap().remove(0);
    let template = bundle.files.iter().find(|file| file.path == path).unwrap();
    let values = variables.to_json(|hole| match hole {
        "deployment_id" => "00112233aabbccdd".to_owned(),
        "load_balancer_ipv4" => "127.0.0.1".to_owned(),
        _ => BEARER.to_owned(),
    });
    let case = Case { template: String::from_utf8(template.content.clone()).unwrap(), variables: values };
    let text = testing::templatefile(&[case]).unwrap().remove(0);
    UserData::parse(std::str::from_utf8(&text).unwrap()).unwrap()
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Boots the node below a folder and gives the postback's exit status.
fn boot(root: &Path, user_data: &UserData) -> i32 {
    for file in &user_data.write_files {
        let path = root.join(file.path.trim_start_matches('/'));
        write(&path, &file.content, u32::from_str_radix(&file.permissions, 8).unwrap());
    }
    write(&root.join("bin/k3s"), "#!/bin/sh\nexit 0\n", 0o755);
    write(&root.join("bin/systemctl"), "#!/bin/sh\nprintf '%s\\n' \"$*\" >>\"$CATALYST_ROOT/asked\"\n", 0o755);
    write(&root.join("etc/rancher/k3s/k3s.yaml"), KUBECONFIG, 0o600);
    assert_eq!(run(root, "catalyst-bootstrap"), 0);
    let asked = std::fs::read_to_string(root.join("asked")).unwrap();
    assert!(asked.contains("enable --now --no-block catalyst-postback.service"), "{asked}");
    assert!(root.join("var/lib/catalyst/cloud-init-complete").exists());
    run(root, "catalyst-postback")
}

fn run(root: &Path, script: &str) -> i32 {
    let path = format!("{}:{}", root.join("bin").display(), "/usr/local/bin:/usr/bin:/bin");
    Command::new(root.join("usr/local/sbin").join(script))
        .env_clear()
        .env("PATH", path)
        .env("CATALYST_ROOT", root)
        .env("CATALYST_POLL_SECONDS", "0")
        .env("CATALYST_POSTBACK_DELAY_SECONDS", "0")
        .env("CATALYST_POSTBACK_BUDGET_SECONDS", "5")
        .status()
        .unwrap()
        .code()
        .unwrap()
}

fn play(answers: Vec<Option<(u16, &'static str)>>) -> (tempfile::TempDir, i32, Vec<Seen>) {
    let (port, seen) = serve(answers);
    let root = tempfile::tempdir().unwrap();
    let status = boot(root.path(), &user_data(port));
    let seen = seen.lock().unwrap().clone();
    (root, status, seen)
}

#[test]
fn the_kubeconfig_is_handed_in_once_with_only_its_server_rewritten() {
    let (root, status, seen) = play(vec![Some((204, ""))]);
    assert_eq!((status, seen.len()), (0, 1));
    assert_eq!(seen[0].line, "PUT /sovereign/api/v1/deployments/00112233aabbccdd/kubeconfig HTTP/1.1");
    assert!(seen[0].headers.contains(&format!("Authorization: Bearer {BEARER}")), "{:?}", seen[0].headers);
    let expected = KUBECONFIG.replace("server: https://127.0.0.1:6443", "server: https://127.0.0.1:16443");
    assert_eq!(seen[0].body, expected);
    for gone in ["etc/catalyst/postback-header", "var/lib/catalyst/postback/kubeconfig"] {
        assert!(!root.path().join(gone).exists(), "{gone} is left behind");
    }
    assert_eq!(run(root.path(), "catalyst-postback"), 0, "a second start has nothing to do");
    let log = std::fs::read_to_string(root.path().join("var/log/catalyst-bootstrap.log")).unwrap();
    assert!(log.contains("postback: accepted") && !log.contains(BEARER), "{log}");
}

#[test]
fn a_host_that_does_not_answer_yet_is_tried_again_with_the_same_bytes() {
    let (_root, status, seen) = play(vec![None, Some((503, "")), Some((429, "")), Some((204, ""))]);
    assert_eq!((status, seen.len()), (0, 4));
    assert!(seen.iter().all(|s| s.body == seen[0].body));
}

#[test]
fn an_early_try_that_had_arrived_counts_as_done() {
    let (root, status, seen) = play(vec![Some((403, r#"{"error":"already-set","same":true}"#))]);
    assert_eq!((status, seen.len()), (0, 1));
    assert!(!root.path().join("etc/catalyst/postback-header").exists());
}

#[test]
fn a_refusal_is_not_repeated() {
    let already = r#"{"error":"already-set","same":false}"#;
    let invalid = "{\n  \"error\": \"invalid-kubeconfig\"\n}\n";
    for answer in [(403, r#"{"error":"invalid-bearer"}"#), (403, already), (422, invalid)] {
        let (_root, status, seen) = play(vec![Some(answer)]);
        assert_eq!((status, seen.len()), (3, 1), "{answer:?}");
    }
}

#[test]
fn t4_an_answer_that_is_not_the_hosts_own_ends_nothing() {
    let passing = [
        (404, "404 page not found\n"),
        (200, "<html>Welcome</html>"),
        (302, ""),
        (401, "<html>Sign in</html>"),
        (403, "<html>{\"error\":\"invalid-bearer\"}</html>"),
        (403, r#"{"error":"forbidden","detail":"{\"error\":\"already-set\",\"same\":true}"}"#),
        (422, r#"{"error":"empty-body"}"#),
        (503, r#"{"error":"already-set","same":true}"#),
    ];
    let (_root, status, seen) = play(passing.map(Some).into_iter().chain([Some((204, ""))]).collect());
    assert_eq!((status, seen.len()), (0, passing.len() + 1));
}

#[test]
fn a_host_that_stays_away_ends_the_try_and_leaves_it_to_systemd() {
    let (root, status, seen) = play(vec![Some((500, ""))]);
    assert_eq!(status, 1);
    assert!(seen.len() > 1);
    assert!(root.path().join("etc/catalyst/postback-header").exists(), "the next start still has its bearer");
}
