//! cloud-init's own schema and shellcheck as judges of user data.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// The parts of a `#cloud-config` that tests look at.
#[derive(Debug, Clone, Deserialize)]
pub struct UserData {
    /// Files to write.
    pub write_files: Vec<WrittenFile>,
    /// Commands, each as a list of words or a line.
    pub runcmd: Vec<serde_yaml_ng::Value>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: BTreeMap<String, serde_yaml_ng::Value>,
}

/// One file of `write_files`.
#[derive(Debug, Clone, Deserialize)]
pub struct WrittenFile {
    /// Absolute path.
    pub path: String,
    /// Octal digits.
    pub permissions: String,
    /// Text.
    pub content: String,
}

impl UserData {
    /// Reads user data.
    ///
    /// # Errors
    /// When it is no YAML of this form.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_yaml_ng::from_str(text).map_err(|error| error.to_string())
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<&WrittenFile> {
        self.write_files.iter().find(|file| file.path == path)
    }
}

/// Checks user data with `cloud-init schema`, and each of its scripts with `shellcheck`. Both must be installed.
///
/// # Errors
/// What the tool said, or that it is not there.
pub fn check_user_data(text: &str) -> Result<UserData, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("user-data");
    std::fs::write(&path, text).map_err(|error| error.to_string())?;
    run(Command::new("cloud-init").args(["schema", "--config-file"]).arg(&path), &path)?;
    let user_data = UserData::parse(text)?;
    for (index, file) in user_data.write_files.iter().enumerate() {
        if file.content.starts_with("#!") {
            let script = folder.path().join(format!("{index}.sh"));
            std::fs::write(&script, &file.content).map_err(|error| error.to_string())?;
            run(Command::new("shellcheck").arg(&script), Path::new(&file.path))?;
        }
    }
    Ok(user_data)
}

fn run(command: &mut Command, about: &Path) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program} must be installed for this test: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = [output.stdout, output.stderr].concat();
    Err(format!("{program} refuses {}: {}", about.display(), String::from_utf8_lossy(&words)))
}
