//! The real OpenTofu as the judge of templates.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use base64::Engine as _;
use serde_json::Value as Json;

/// A template and the values of its variables, for `templatefile()`.
#[derive(Debug, Clone)]
pub struct Case {
    /// Text of the `.tftpl`.
    pub template: String,
    /// A JSON object.
    pub variables: Json,
}

/// The OpenTofu binary: `CATALYST_TOFU_BIN`, else `tofu` on the path.
pub fn tofu_binary() -> OsString {
    #[expect(clippy::disallowed_methods, reason = "tests are told which binary to take")]
    let given = std::env::var_os("CATALYST_TOFU_BIN");
    given.unwrap_or_else(|| "tofu".into())
}

/// Cases below which a second process is not worth its start, and which benchmarks give to one process.
const FOR_ONE_PROCESS: usize = 200;

/// What `templatefile()` gives for each case, from one `tofu console` process, or from two side by side where there are many.
///
/// # Errors
/// When OpenTofu cannot be started, or refuses a case; its own words are in the error.
pub fn templatefile(cases: &[Case]) -> io::Result<Vec<Vec<u8>>> {
    if cases.len() <= FOR_ONE_PROCESS {
        return in_one_process(cases);
    }
    let (first, second) = cases.split_at(cases.len() / 2);
    std::thread::scope(|threads| {
        let other = threads.spawn(|| in_one_process(second));
        let mut texts = in_one_process(first)?;
        let more = other.join().map_err(|_| io::Error::other("the second console's thread ended early"))?;
        texts.extend(more?);
        Ok(texts)
    })
}

fn in_one_process(cases: &[Case]) -> io::Result<Vec<Vec<u8>>> {
    let folder = tempfile::tempdir()?;
    let mut script = String::new();
    for (index, case) in cases.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{index}.tftpl")), &case.template)?;
        std::fs::write(folder.path().join(format!("{index}.json")), case.variables.to_string())?;
        script
            .push_str(&format!("base64encode(templatefile(\"{index}.tftpl\", jsondecode(file(\"{index}.json\"))))\n"));
    }
    let mut child = Command::new(tofu_binary())
        .arg("console")
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            io::Error::other(format!("OpenTofu must be installed, or named by CATALYST_TOFU_BIN: {error}"))
        })?;
    let mut input = child.stdin.take().ok_or_else(|| io::Error::other("the console has no input"))?;
    let writer = std::thread::spawn(move || input.write_all(script.as_bytes()));
    let output = child.wait_with_output()?;
    // A console that stops at an error closes its input early; its own words say more than the broken pipe.
    let _ = writer.join();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let encoded: Vec<&str> = stdout.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"')).collect();
    if encoded.len() != cases.len() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!(
            "OpenTofu answered {} of {} cases. The next is {:?}. It said: {words}",
            encoded.len(),
            cases.len(),
            cases.get(encoded.len())
        )));
    }
    let engine = base64::engine::general_purpose::STANDARD;
    encoded.into_iter().map(|text| engine.decode(text).map_err(io::Error::other)).collect()
}
