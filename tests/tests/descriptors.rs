//! Limits of open files: the real binary takes the room that its connections need, and says so when it cannot.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use catalyst_tests::host::Host;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Soft and hard limit of open files of a process.
fn limits(pid: u32) -> (u64, u64) {
    let all = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = all.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// As many connections at once, each of which asked and was answered.
fn connect(host: &Host, count: usize) -> Vec<(TcpStream, String)> {
    let one = |number: usize| {
        let mut stream = TcpStream::connect(host.address()).unwrap_or_else(|error| panic!("{number}: {error}"));
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer).unwrap();
        let head = String::from_utf8_lossy(&buffer[..length]).lines().next().unwrap_or_default().to_owned();
        (stream, head)
    };
    (0..count).map(one).collect()
}

#[test]
fn a_low_soft_limit_is_raised_so_that_connections_and_files_fit() {
    let mut host = Host::prepare(&[]);
    host.limit("ulimit -Sn 128 && ulimit -Hn 16384");
    host.up();
    assert_eq!(limits(host.pid()), (5_120, 16_384));
    let open = connect(&host, 300);
    assert!(open.iter().all(|(_, head)| head == "HTTP/1.1 200 OK"), "all are open at once and answered");
    assert!(!host.trace().contains("limit of open files"), "{}", host.trace());
}

#[test]
fn a_low_hard_limit_is_said_and_leaves_room_for_files() {
    let mut host = Host::prepare(&[]);
    host.limit("ulimit -Sn 128 && ulimit -Hn 256");
    host.up();
    assert_eq!(limits(host.pid()), (256, 256));
    assert!(host.trace().contains("the hard limit of open files is too low"), "{}", host.trace());
    // 64 connections fit: 32 for an address, and 56 for callers that are not known. The others are told why not.
    let open = connect(&host, 90);
    let answered = |status: &str| open.iter().filter(|(_, head)| head.starts_with(status)).count();
    let (served, refused) = (answered("HTTP/1.1 200"), answered("HTTP/1.1 429") + answered("HTTP/1.1 503"));
    assert!(served >= 30 && served + refused == 90, "{served} {refused}");
    // With all of them open there is still a descriptor for a file: a create is on disk when it is answered.
    let body = r#"{"orgName":"Acme","orgEmail":"ops@acme.example","sovereignFQDN":"full.example","rehearsalFail":"plan",
        "regions":[{"provider":"rehearsal","cloudRegion":"local-1","controlPlaneSize":"medium"}],"rehearsalToken":"tttttttt",
        "sshPublicKey":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops"}"#;
    let answer = host.api.post("/api/v1/deployments", body);
    assert_eq!(answer.status, 201, "{}", answer.body);
}
