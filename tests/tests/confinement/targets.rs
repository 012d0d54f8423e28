//! What the hostile provider attacks: parts of this machine that are real and are not its run's.

use crate::kit::Bench;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const KUBECONFIG: &str = "apiVersion: v1\n";

/// The targets, until they are dropped.
pub struct Targets {
    over: Arc<AtomicBool>,
    other: Child,
    shared_memory: Option<String>,
    /// Seconds that processes of this attack sleep: they are known by them.
    pub orphan_seconds: String,
    /// As the provider reads them.
    pub json: String,
}

impl Targets {
    /// Makes them. `providers` is the folder of the provider itself, which other runs use.
    pub fn new(bench: &Bench, providers: &Path, fork_bomb: usize) -> Self {
        let base = bench.folder.path();
        let write = |path: &str, text: &str| -> PathBuf {
            let file = base.join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, text).unwrap();
            file
        };
        let over = Arc::new(AtomicBool::new(false));
        let mut other = Command::new("sleep");
        let other = other.arg("100000").env("SECRET", "of another run").stdin(Stdio::null()).spawn().unwrap();
        let name = format!("catalyst-{}-{}", std::process::id(), other.id());
        let socket = base.join("host.sock");
        listen_unix(UnixListener::bind(&socket).unwrap(), &over);
        let abstract_address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        listen_unix(UnixListener::bind_addr(&abstract_address).unwrap(), &over);
        let everywhere = listen_tcp("0.0.0.0:0", &over);
        let shared_memory = shared_memory();
        let orphan_seconds = format!("{}", 100_000 + u64::from(other.id()));
        let json = json!({
            "otherRunFile": write("work/0808080808080808/catalyst.auto.tfvars.json", "{\"token\": \"secret\"}"),
            "otherProcess": other.id(),
            "hostFile": write("kubeconfigs/a.yaml", KUBECONFIG),
            "hostFolder": base.join("kubeconfigs"),
            "providerFolder": providers,
            "homeFile": write(".netrc", "machine cloud password secret"),
            "hostApi": listen_tcp("127.0.0.1:0", &over),
            "otherBackend": listen_tcp("127.0.0.1:0", &over),
            "foreignAddress": format!("{}:{}", own_address(), everywhere.rsplit_once(':').unwrap().1),
            "udp": answer_udp(&over),
            "abstractSocket": name,
            "pathSocket": socket,
            "listenAt": connect_to_a_listener(&over),
            "hostProcess": std::process::id(),
            "sharedMemory": shared_memory.as_ref().map_or(-1, |id| id.parse::<i64>().unwrap()),
            "orphanSeconds": orphan_seconds,
            "forkBomb": fork_bomb,
        });
        Self { over, other, shared_memory, orphan_seconds, json: json.to_string() }
    }

    /// Processes that the attack left.
    pub fn left_behind(&self) -> Vec<i32> {
        let words = format!("\0{}\0", self.orphan_seconds);
        let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let ours = all.filter(|entry| {
            std::fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&words))
        });
        ours.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    /// Ends what the attack left, where nothing else did.
    pub fn end_left_behind(&self) {
        for pid in self.left_behind() {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

impl Drop for Targets {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.end_left_behind();
        let _ = self.other.kill();
        let _ = self.other.wait();
        if let Some(id) = &self.shared_memory {
            let _ = Command::new("ipcrm").args(["-m", id]).status();
        }
    }
}

/// An address of this machine that is not its loopback's; where it has none, another of loopback.
fn own_address() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let far = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    far.map_or_else(|_| "127.0.0.2".to_owned(), |address| address.ip().to_string())
}

fn shared_memory() -> Option<String> {
    let made = Command::new("ipcmk").args(["-M", "4096", "-p", "0600"]).output().ok()?;
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    said.rsplit_once(' ').map(|(_, id)| id.trim().to_owned())
}

fn listen_tcp(at: &str, over: &Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind(at).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    listener.set_nonblocking(true).unwrap();
    until(over, move || drop(listener.accept()));
    address
}

fn listen_unix(listener: UnixListener, over: &Arc<AtomicBool>) {
    listener.set_nonblocking(true).unwrap();
    until(over, move || drop(listener.accept()));
}

/// Connects all the time to where the provider would listen.
fn connect_to_a_listener(over: &Arc<AtomicBool>) -> String {
    let address = format!("127.0.0.1:{}", catalyst_tests::host::free_port());
    let target = address.clone();
    until(over, move || {
        if let Ok(mut stream) = TcpStream::connect(&target) {
            let _ = stream.write_all(b"x");
            let _ = stream.read(&mut [0]);
        }
    });
    address
}

/// Answers every datagram; a question for a name by an address.
fn answer_udp(over: &Arc<AtomicBool>) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    until(over, move || {
        let mut buffer = [0; 512];
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let answer = answer(&buffer[..length]).unwrap_or_else(|| b"pong".to_vec());
            let _ = socket.send_to(&answer, from);
        }
    });
    address
}

/// An answer of the domain name system (RFC 1035) to one question: its address is 127.0.0.1.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let name = question.get(12..)?.iter().position(|byte| *byte == 0)?;
    let end = 12 + name + 1 + 4;
    let kind = question.get(end - 4..end - 2)?;
    let mut answer = question.get(..end)?.to_vec();
    let is_address = kind == [0, 1];
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    if is_address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

fn until(over: &Arc<AtomicBool>, mut work: impl FnMut() + Send + 'static) {
    let over = over.clone();
    std::thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            work();
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}
