//! Asks the binary for its version, once, at start.

use super::EngineError;
use super::command::Version;
use super::confine::Confinement;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

/// It answers in milliseconds; a cold disk may take seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// The answer has some hundred bytes.
const ANSWER_LIMIT: u64 = 64 * 1024;

/// The version of the binary, if it is one that the engine knows.
/// It is asked the way it will be run, so that a binary that needs more than it gets is known at start.
pub(super) async fn version(
    binary: &Path,
    environment: &[(OsString, OsString)],
    confinement: &Confinement,
) -> Result<Version, EngineError> {
    let hint = match confinement {
        Confinement::Behind(_) => "; it is confined to its own files, which CATALYST_TOFU_CONFINE=off would end",
        Confinement::None => "",
    };
    let refuse =
        |why: String| EngineError::Binary { binary: binary.display().to_string(), why: format!("{why}{hint}") };
    let answer = timeout(PATIENCE, ask(binary, environment, confinement))
        .await
        .map_err(|_| refuse(format!("no answer within {} s", PATIENCE.as_secs())))?
        .map_err(|why| refuse(why.to_string()))?;
    let answer: serde_json::Value =
        serde_json::from_slice(&answer).map_err(|_| refuse("`version -json` gave no JSON".to_owned()))?;
    let text = answer.get("terraform_version").and_then(serde_json::Value::as_str);
    let version = text.and_then(Version::parse).ok_or_else(|| refuse("`version -json` named no version".to_owned()))?;
    if !version.is_accepted() {
        return Err(EngineError::TooOld { found: version.as_str().to_owned() });
    }
    if !version.is_current() {
        tracing::warn!(version = version.as_str(), "OpenTofu is older than 1.12, with which the host is tested");
    }
    Ok(version)
}

async fn ask(
    binary: &Path,
    environment: &[(OsString, OsString)],
    confinement: &Confinement,
) -> std::io::Result<Vec<u8>> {
    let temporary = confinement.temporary()?;
    let own: Vec<&Path> = temporary.iter().map(TempDir::path).collect();
    let mut command = Command::new(binary);
    command
        .args(["version", "-json"])
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = confinement.spawn(command, &own).await?;
    let mut answer = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(ANSWER_LIMIT).read_to_end(&mut answer).await?;
    }
    child.wait().await?;
    Ok(answer)
}
