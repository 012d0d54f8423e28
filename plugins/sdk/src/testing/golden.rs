//! Golden bundles: a folder of files, so that a change is read as a diff.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::Rendered;

/// Compares a bundle with the folder `goldens`: one file for each template, and `bundle.json` for the rest. With
/// `CATALYST_UPDATE_GOLDENS` set it writes the folder instead.
///
/// # Errors
/// Names the first file that differs.
pub fn check_golden(goldens: &Path, bundle: &Rendered) -> Result<(), String> {
    // The module's own files are in the repository once already.
    let rendered = bundle.files.iter().filter(|file| !file.path.ends_with(".tf"));
    let mut expected: BTreeMap<PathBuf, Vec<u8>> =
        rendered.map(|file| (PathBuf::from(&file.path), file.content.clone())).collect();
    expected.insert("bundle.json".into(), summary(bundle)?.into_bytes());
    if is_update() {
        return write_folder(goldens, &expected).map_err(|error| format!("{}: {error}", goldens.display()));
    }
    for (path, content) in &expected {
        let golden = std::fs::read(goldens.join(path)).map_err(|e| format!("golden {}: {e}", path.display()))?;
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
            return Err(format!("the golden {} is no longer in the bundle", name.display()));
        }
    }
    Ok(())
}

/// Compares a text with the file `golden`, for what is no bundle of its own, such as how two bundles differ.
///
/// # Errors
/// When the file differs, or cannot be read or written.
pub fn check_golden_text(golden: &Path, text: &str) -> Result<(), String> {
    let unusable = |error: io::Error| format!("golden {}: {error}", golden.display());
    if is_update() {
        return std::fs::write(golden, text).map_err(unusable);
    }
    if std::fs::read_to_string(golden).map_err(unusable)? == text {
        return Ok(());
    }
    Err(format!("{} differs; look at the change, then set CATALYST_UPDATE_GOLDENS=1", golden.display()))
}

#[expect(clippy::disallowed_methods, reason = "how a person asks for new goldens")]
fn is_update() -> bool {
    std::env::var_os("CATALYST_UPDATE_GOLDENS").is_some()
}

fn summary(bundle: &Rendered) -> Result<String, String> {
    let variables: Json = serde_json::from_str(&bundle.variables).map_err(|error| error.to_string())?;
    let modes: BTreeMap<&str, String> =
        bundle.files.iter().map(|file| (file.path.as_str(), format!("{:04o}", file.mode))).collect();
    #[cfg_attr(not(feature = "contract-1-1"), expect(unused_mut, reason = "the contract 1.0 has no more"))]
    let mut json = serde_json::json!({
        "variables": variables,
        "secretVariables": bundle.secret_variables,
        "deploymentIdVariable": bundle.deployment_id_variable,
        "userData": bundle.user_data,
        "warnings": bundle.warnings,
        "modes": modes,
    });
    #[cfg(feature = "contract-1-1")]
    {
        json["clusterExistsVariable"] = serde_json::json!(bundle.cluster_exists_variable);
        json["nodes"] = serde_json::json!(bundle.nodes);
    }
    serde_json::to_string_pretty(&json).map(|text| text + "\n").map_err(|error| error.to_string())
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
