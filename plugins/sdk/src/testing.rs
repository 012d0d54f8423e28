//! For a plugin's own tests: golden bundles, and the real OpenTofu as the judge of templates.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use serde_json::Value as Json;

use crate::Rendered;

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
    std::env::var_os("CATALYST_TOFU_BIN").unwrap_or_else(|| "tofu".into())
}

/// What `templatefile()` gives for each case, from one `tofu console` process.
///
/// # Errors
/// When OpenTofu cannot be started, or refuses a case; its own words are in the error.
pub fn templatefile(cases: &[Case]) -> io::Result<Vec<Vec<u8>>> {
    let folder = tempfile::tempdir()?;
    let mut script = String::new();
    for (index, case) in cases.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{index}.tftpl")), &case.template)?;
        std::fs::write(
            folder.path().join(format!("{index}.json")),
            case.variables.to_string(),
        )?;
        script.push_str(&format!(
            "base64encode(templatefile(\"{index}.tftpl\", jsondecode(file(\"{index}.json\"))))\n"
        ));
    }
    let mut child = Command::new(tofu_binary())
        .arg("console")
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = child
        .stdin
        .take()
        .ok_or_else(|| io::Error::other("the console has no input"))?;
    let writer = std::thread::spawn(move || input.write_all(script.as_bytes()));
    let output = child.wait_with_output()?;
    // A console that stops at an error closes its input early; its own words say more than the broken pipe.
    let _ = writer.join();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let encoded: Vec<&str> = stdout
        .lines()
        .filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'))
        .collect();
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
    encoded
        .into_iter()
        .map(|text| engine.decode(text).map_err(io::Error::other))
        .collect()
}

/// Compares a bundle with the folder `goldens`: one file each, and `bundle.json` for the rest. With
/// `CATALYST_UPDATE_GOLDENS` set it writes the folder instead.
///
/// # Errors
/// Names the first file that differs.
pub fn check_golden(goldens: &Path, bundle: &Rendered) -> Result<(), String> {
    let mut expected: BTreeMap<PathBuf, Vec<u8>> = bundle
        .files
        .iter()
        .map(|file| (PathBuf::from(&file.path), file.content.clone()))
        .collect();
    expected.insert("bundle.json".into(), summary(bundle)?.into_bytes());
    if std::env::var_os("CATALYST_UPDATE_GOLDENS").is_some() {
        return write_folder(goldens, &expected)
            .map_err(|error| format!("{}: {error}", goldens.display()));
    }
    for (path, content) in &expected {
        let golden = std::fs::read(goldens.join(path))
            .map_err(|e| format!("golden {}: {e}", path.display()))?;
        if golden != *content {
            return Err(format!(
                "{} differs from its golden in {}; look at the change, then set CATALYST_UPDATE_GOLDENS=1",
                path.display(),
                goldens.display()
            ));
        }
    }
    let entries = std::fs::read_dir(goldens).map_err(|error| error.to_string())?;
    for entry in entries {
        let name = PathBuf::from(entry.map_err(|error| error.to_string())?.file_name());
        if !expected.contains_key(&name) {
            return Err(format!(
                "the golden {} is no longer in the bundle",
                name.display()
            ));
        }
    }
    Ok(())
}

fn summary(bundle: &Rendered) -> Result<String, String> {
    let variables: Json =
        serde_json::from_str(&bundle.variables).map_err(|error| error.to_string())?;
    let modes: BTreeMap<&str, String> = bundle
        .files
        .iter()
        .map(|file| (file.path.as_str(), format!("{:04o}", file.mode)))
        .collect();
    let json = serde_json::json!({
        "variables": variables,
        "secretVariables": bundle.secret_variables,
        "deploymentIdVariable": bundle.deployment_id_variable,
        "userData": bundle.user_data,
        "warnings": bundle.warnings,
        "modes": modes,
    });
    serde_json::to_string_pretty(&json)
        .map(|text| text + "\n")
        .map_err(|error| error.to_string())
}

fn write_folder(folder: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    for (path, content) in files {
        std::fs::write(folder.join(path), content)?;
    }
    Ok(())
}
