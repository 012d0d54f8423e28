//! Misbehaves on demand: the organisation's name says how.
#![cfg(target_arch = "wasm32")]
#![expect(
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "misbehaving is what it is for"
)]

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use catalyst_hostile_guests::bindings::catalyst::provisioner::bundle::{File, RenderContext, Rendered};
use catalyst_hostile_guests::bindings::catalyst::provisioner::findings::Finding;
use catalyst_hostile_guests::bindings::catalyst::provisioner::log::{Level, write};
use catalyst_hostile_guests::bindings::catalyst::provisioner::request::DeploymentRequest;
use catalyst_hostile_guests::{Component, Guest, bindings, rendered, says};

/// Would be two in a second call if anything of a first one stayed.
static CALLS: AtomicU32 = AtomicU32::new(0);

/// Something with an address.
static FLOOD: u8 = 0;

struct ByRequest;

impl Guest for ByRequest {
    fn validate(request: DeploymentRequest) -> Vec<Finding> {
        match request.org_name.as_str() {
            "loop" => spin(),
            "loop in log" => loop {
                write(Level::Trace, "");
            },
            "trap" => std::process::abort(),
            "panic" => panic!("the secret word is {}", request.sovereign_fqdn),
            "recurse" => says(depth(1_000_000_000 + request.worker_count.unsigned_abs()).to_string()),
            "exit" => std::process::exit(3),
            "memory" => says(hoard().to_string()),
            "tables and memory" => says(hoard_politely().to_string()),
            "sleep" => {
                std::thread::sleep(Duration::from_secs(3600));
                says("slept")
            }
            "log" => flood(),
            "print" => print_flood(),
            "print on one line" => {
                (0..200).for_each(|_| print!("{}", "Y".repeat(4096)));
                says("printed")
            }
            "log a placeholder" => {
                write(Level::Error, "{{secret:token}} ${token}");
                says("{{secret:token}}")
            }
            "ambient" => says(ambient()),
            "random" => says(format!("{:?} {:?}", RandomState::new().build_hasher().finish(), seeds())),
            "hash order" => says(format!("{:?}", (0..100).collect::<HashSet<u32>>())),
            "addresses" => says(format!("{:p} {:p} {:p}", &request, Box::new(1), &raw const FLOOD)),
            "nan" => says(nans()),
            "remembers" => says(format!("call {}", CALLS.fetch_add(1, Ordering::Relaxed) + 1)),
            "controls" => says("\u{1b}[2Jgone\r\u{7}"),
            "backwards" => says("safe \u{202e}cod"),
            "huge" => says("x".repeat(6 * 1024 * 1024)),
            "long message" => says("x".repeat(64 * 1024)),
            "many findings" => (0..5000).flat_map(|n| says(n.to_string())).collect(),
            "no pointer" => says("x").into_iter().map(|f| Finding { pointer: "regions".into(), ..f }).collect(),
            _ => says(request.extra),
        }
    }

    fn render(request: DeploymentRequest, context: RenderContext) -> Result<Rendered, Vec<Finding>> {
        let mut bundle = rendered("main.tf");
        match request.org_name.as_str() {
            "path" => bundle.files[0].path = request.org_email,
            "twice" => bundle.files.push(bundle.files[0].clone()),
            "variables" => bundle.variables = request.extra.replace('{', "["),
            "secret" => bundle.secret_variables[0].secret = "undeclared".into(),
            // The key's text becomes the bundle's configuration.
            "module" => bundle.files[0] = module(&request.extra),
            "twice in case" => {
                bundle.files.push(File { path: "Main.tf".into(), ..bundle.files[0].clone() });
            }
            "mode" => bundle.files[0].mode = 0o120_777,
            "deep variables" => {
                bundle.variables = format!("{{\"a\":{}1{}}}", "[".repeat(20_000), "]".repeat(20_000));
            }
            "a variable over a secret's" => {
                bundle.variables = r#"{"cloud_token":"mine"}"#.into();
            }
            "long warning" => bundle.warnings = vec!["w".repeat(64 * 1024)],
            "many files" => bundle.files = (0..1000).map(|n| rendered(&n.to_string()).files.remove(0)).collect(),
            "huge file" => bundle.files[0].content = vec![b'x'; 2 * 1024 * 1024],
            "no reason" => return Err(says("not an error")),
            _ => bundle.warnings = context.present_secrets,
        }
        Ok(bundle)
    }
}

/// `{"module": "<hexadecimal of path, line feed, text>"}`: the host lets no control character through.
fn module(extra: &str) -> File {
    let (_, digits) = extra.split_once("\"module\":\"").unwrap_or_default();
    let bytes: Vec<u8> = digits
        .as_bytes()
        .chunks_exact(2)
        .map_while(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let plain = String::from_utf8(bytes).unwrap_or_default();
    let (path, content) = plain.split_once('\n').unwrap_or(("main.tf", &plain));
    File { path: path.into(), mode: 0o600, content: content.into() }
}

fn spin() -> Vec<Finding> {
    let mut n: u64 = 0;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

/// Frames that need no linear memory, so that it is the engine's stack that ends.
fn depth(n: u64) -> u64 {
    if n == 0 { 1 } else { depth(n - 1).rotate_left(3) ^ n }
}

fn hoard() -> usize {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        kept.push(vec![1; 1024 * 1024]);
        std::hint::black_box(&kept);
    }
}

/// Takes what it gets, and goes on when there is no more.
fn hoard_politely() -> usize {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut block = Vec::new();
        if block.try_reserve_exact(1024 * 1024).is_err() {
            return kept.len();
        }
        block.resize(1024 * 1024, 1);
        kept.push(block);
    }
}

fn flood() -> Vec<Finding> {
    let line = "Q".repeat(20 * 1024);
    for _ in 0..200 {
        write(Level::Info, &line);
    }
    says("logged")
}

fn print_flood() -> Vec<Finding> {
    for n in 0..1_000 {
        println!("line {n} {}", "Z".repeat(100));
        eprintln!("line {n} {}", "Z".repeat(100));
    }
    says("printed")
}

/// The seed of each new hasher.
fn seeds() -> Vec<u64> {
    (0..8).map(|_| RandomState::new().build_hasher().finish()).collect()
}

/// Bits of results that the standard leaves open.
fn nans() -> String {
    let zero = std::hint::black_box(0.0_f64);
    let payload = f64::from_bits(std::hint::black_box(0xfff8_dead_beef_0001));
    format!("{:016x} {:016x} {:016x}", (zero / zero).to_bits(), (payload + 1.0).to_bits(), (payload * zero).to_bits())
}

/// Everything of the outside that a program may look at.
fn ambient() -> String {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write(b"x");
    let elapsed = Instant::now().elapsed();
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    format!(
        "{:?} {elapsed:?} {} {:?} {:?} {:?} {:?} {:?}",
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH),
        hasher.finish(),
        std::env::vars_os().collect::<Vec<_>>(),
        std::env::args_os().collect::<Vec<_>>(),
        std::fs::read_dir("/").map(|_| ()).map_err(|e| e.kind()),
        std::fs::write("/tmp/x", "x").map_err(|e| e.kind()),
        read.map_err(|e| e.kind()),
    )
}

type Exported = Component<ByRequest>;
bindings::export!(Exported with_types_in bindings);
