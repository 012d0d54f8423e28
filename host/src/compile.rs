//! The compiler of plugins as a child process: this very program, started anew with limits on time and memory.
//!
//! Together with the engine this is the only place that spawns. A stranger's component reaches the compiler, so the
//! child has an empty environment, no file, a budget of memory and of time, and a low priority; what it gives back is
//! read from its own pipe. It knows nothing of folders, plugins' answers or deployments.

mod child;

pub use child::{Arguments, child};

use async_trait::async_trait;
use catalyst_sandbox::{CompileError, Compiler, Limits, Target};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// This program, even after its file was replaced.
const PROGRAM: &str = "/proc/self/exe";
/// Threads of a compiler: more would take the machine from those who serve, and each takes address space.
const THREADS: &str = "4";
/// Heaps of the C library; each reserves address space that the limit counts.
const HEAPS: &str = "2";
/// Machine code is some three times its component.
const CODE_LIMIT: u64 = 256 * 1024 * 1024;
/// Bytes of what a child says of a failure.
const WORDS_LIMIT: u64 = 8 * 1024;
/// Bytes of the code's length, which stands before it.
const LENGTH: usize = size_of::<u64>();

/// Compiles in a child process for each component.
#[derive(Debug, Clone, Copy)]
pub struct Apart;

/// What a child came to.
struct End {
    status: ExitStatus,
    code: Vec<u8>,
    words: String,
}

#[async_trait]
impl Compiler for Apart {
    async fn compile(&self, component: Vec<u8>, target: Target, limits: &Limits) -> Result<Vec<u8>, CompileError> {
        let broken = |error: io::Error| CompileError::Broken(format!("the compiler cannot be started: {error}"));
        let child = start(target, limits).map_err(broken)?;
        // Dropped with the future when its time is over, and killed by that.
        let Ok(ended) = timeout(limits.compile_timeout, converse(child, component)).await else {
            return Err(too_long(limits));
        };
        judge(ended.map_err(broken)?, limits)
    }
}

fn start(target: Target, limits: &Limits) -> io::Result<Child> {
    let mut command = Command::new(PROGRAM);
    command.args(child::Arguments::new(target, limits).words());
    command.env_clear().env("RAYON_NUM_THREADS", THREADS).env("MALLOC_ARENA_MAX", HEAPS).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true).spawn()
}

async fn converse(mut child: Child, component: Vec<u8>) -> io::Result<End> {
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let say = async {
        if let Some(mut input) = input {
            // Who died early says why elsewhere.
            let _ = input.write_all(&component).await;
        }
    };
    let ((), code, words) = tokio::join!(say, hear(output, CODE_LIMIT), hear(errors, WORDS_LIMIT));
    let words = String::from_utf8_lossy(&words?).trim().to_owned();
    Ok(End { code: code?, words, status: child.wait().await? })
}

async fn hear(stream: Option<impl AsyncRead + Unpin>, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(limit).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

fn judge(end: End, limits: &Limits) -> Result<Vec<u8>, CompileError> {
    let memory = CompileError::Memory { limit_bytes: limits.compile_memory_bytes };
    match (end.status.code(), end.status.signal()) {
        (Some(0), _) => whole(end.code),
        (Some(child::REFUSED), _) => Err(CompileError::Invalid(end.words)),
        (Some(child::NO_MEMORY), _) => Err(memory),
        // Rust's last words when memory is refused.
        (_, Some(_)) if end.words.contains("memory allocation of") => Err(memory),
        (_, Some(signal)) if signal == child::OUT_OF_TIME => Err(too_long(limits)),
        _ => {
            let first = end.words.lines().next().unwrap_or_default();
            Err(CompileError::Broken(format!("the compiler ended with {}: {first}", end.status)))
        }
    }
}

/// The code, if it is as long as its first bytes say.
fn whole(mut code: Vec<u8>) -> Result<Vec<u8>, CompileError> {
    let length = code.first_chunk::<LENGTH>().map(|bytes| u64::from_le_bytes(*bytes));
    if length != Some((code.len() as u64).wrapping_sub(LENGTH as u64)) {
        return Err(CompileError::Broken("the compiler's answer is not whole".to_owned()));
    }
    code.drain(..LENGTH);
    Ok(code)
}

fn too_long(limits: &Limits) -> CompileError {
    let limit: Duration = limits.compile_timeout;
    CompileError::Timeout { limit_ms: limit.as_millis() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(raw: i32, words: &str, code: &[u8]) -> Result<Vec<u8>, String> {
        let end = End { status: ExitStatus::from_raw(raw), code: code.to_vec(), words: words.to_owned() };
        judge(end, &Limits::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_end_is_code_or_a_reason() {
        let exit = |code: i32| code << 8;
        assert_eq!(judged(0, "", &[2, 0, 0, 0, 0, 0, 0, 0, 7, 8]), Ok(vec![7, 8]));
        for half in [&[][..], &[2, 0, 0], &[2, 0, 0, 0, 0, 0, 0, 0, 7], &[1, 0, 0, 0, 0, 0, 0, 0, 7, 8]] {
            assert!(judged(0, "", half).unwrap_err().contains("not whole"));
        }
        for (raw, said, words) in [
            (exit(child::REFUSED), "memory64 is off", "is not a valid component: memory64 is off"),
            (exit(child::NO_MEMORY), "", "within 2147483648 bytes of memory"),
            (6, "memory allocation of 9 bytes failed", "within 2147483648 bytes of memory"),
            (child::OUT_OF_TIME, "", "within 60000 ms"),
            (9, "", "could not be compiled: the compiler ended with signal: 9"),
            (exit(101), "thread panicked\nmore", "thread panicked"),
        ] {
            let error = judged(raw, said, &[]).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
