//! An ingress that authenticates: people come to it without a token, and it adds one to every request that has none. A node's
//! request, which carries its one-time bearer, passes as it is.

use crate::host::{built, free_port};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;

/// Largest head of a request in bytes.
const HEAD: usize = 64 * 1024;

/// The ingress, and what the host behind it must be told. It ends with the process.
pub struct Ingress {
    address: SocketAddr,
    behind: String,
    list: tempfile::NamedTempFile,
    token: String,
}

/// What an ingress serves.
struct Way {
    behind: String,
    token: String,
}

impl Ingress {
    /// An ingress on loopback whose token may do everything.
    ///
    /// # Panics
    /// The token cannot be made, or no port is free.
    pub fn start() -> Self {
        let made = Command::new(built("release/catalyst"))
            .args(["token", "new", "--name", "ingress", "--scope", "admin"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let list = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(list.path(), &made.stdout).unwrap();
        let token = String::from_utf8(made.stderr).unwrap().trim().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, behind) = (listener.local_addr().unwrap(), format!("127.0.0.1:{}", free_port()));
        let way = Arc::new(Way { behind: behind.clone(), token: token.clone() });
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let way = way.clone();
                std::thread::spawn(move || way.pass(stream));
            }
        });
        Self { address, behind, list, token }
    }

    /// Where people and nodes come.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// What the host is told.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("CATALYST_LISTEN", self.behind.clone()),
            ("CATALYST_API_PUBLIC_URL", format!("http://{}", self.address)),
            ("CATALYST_AUTH", "token".to_owned()),
            ("CATALYST_AUTH_TOKENS", self.list.path().display().to_string()),
        ]
    }

    /// The token that it adds.
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl Way {
    /// One request a connection; a broken one ends.
    fn pass(&self, mut client: TcpStream) -> Option<()> {
        let mut bytes = Vec::new();
        let end = loop {
            let mut some = [0; 4096];
            let count = client.read(&mut some).ok().filter(|count| *count > 0)?;
            bytes.extend_from_slice(&some[..count]);
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            (bytes.len() < HEAD).then_some(())?;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        let has = |name: &str| head.lines().any(|line| line.to_ascii_lowercase().starts_with(name));
        let mut lines: Vec<&str> =
            head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:")).collect();
        let authorization = format!("Authorization: Bearer {}", self.token);
        if !has("authorization:") {
            lines.push(&authorization);
        }
        lines.push("Connection: close");
        let mut host = TcpStream::connect(&self.behind).ok()?;
        host.write_all(lines.join("\r\n").as_bytes()).ok()?;
        host.write_all(&bytes[end..]).ok()?;
        let (mut from_client, mut to_host) = (client.try_clone().ok()?, host.try_clone().ok()?);
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from_client, &mut to_host);
        });
        let _ = std::io::copy(&mut host, &mut client);
        client.shutdown(Shutdown::Both).ok()
    }
}
