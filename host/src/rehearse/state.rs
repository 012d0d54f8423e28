//! Reads the nodes' user data from the OpenTofu state that the host keeps.
//!
//! It looks on from outside: files are opened for reading and without the host's lock, which is safe because the host
//! replaces them as a whole. A state is secret; nothing of it is put into an error.

use catalyst_domain::DeploymentId;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Largest state in bytes; the host accepts no larger one.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// What a version file ends with; its name is a number.
const SUFFIX: &str = ".tfstate";
/// The output that holds node → user data.
const USER_DATA: &str = "user_data";
/// The output that holds the port of the cluster's API.
const API_PORT: &str = "api_port";

/// The nodes of a deployment. No `Debug`: user data holds tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Nodes {
    /// Short name → user data.
    pub user_data: BTreeMap<String, String>,
    /// Where the kubeconfig of the first server will lead, if the state tells.
    pub api_port: Option<u16>,
}

/// Why there is nothing to boot.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The host keeps no such deployment there.
    #[error("there is no state of deployment {id} in {}; is that the host's CATALYST_STATE_DIR?", folder.display())]
    Unknown {
        /// The deployment.
        id: DeploymentId,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The folder or file.
    #[error("cannot read the state in {}", folder.display())]
    Io {
        /// The deployment's folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The host encrypts its states.
    #[error("the state is encrypted; a rehearsal needs a host without CATALYST_STATE_KEY")]
    Encrypted,
    /// It is something else.
    #[error("the state is not one that OpenTofu writes")]
    NotAState,
    /// A cloud that has machines of its own.
    #[error("the state has outputs but no `{USER_DATA}`: this deployment is not on a cloud that can be rehearsed")]
    NotRehearsable,
}

/// What the state has so far.
#[derive(Clone, PartialEq, Eq)]
pub enum Found {
    /// OpenTofu has not come to its end yet.
    NotYet(&'static str),
    /// The nodes.
    Nodes(Nodes),
}

/// Looks once.
///
/// # Errors
/// [`StateError`]; [`StateError::Unknown`] also for a deployment that has not begun to be provisioned.
pub fn look(state_dir: &Path, id: &DeploymentId) -> Result<Found, StateError> {
    let folder = state_dir.join(id.as_str());
    let failed = |source| StateError::Io { folder: folder.clone(), source };
    let newest = match newest(&folder) {
        Ok(newest) => newest,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StateError::Unknown { id: id.clone(), folder: state_dir.to_owned() });
        }
        Err(error) => return Err(failed(error)),
    };
    let Some(newest) = newest else { return Ok(Found::NotYet("OpenTofu has not written a state yet")) };
    let bytes = read(&newest).map_err(failed)?;
    if bytes.is_empty() {
        return Ok(Found::NotYet("OpenTofu has not written a state yet"));
    }
    nodes(&bytes)
}

/// The version file with the highest number.
fn newest(folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest: Option<(u64, PathBuf)> = None;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(number) = name.strip_suffix(SUFFIX).and_then(|number| number.parse().ok()) else { continue };
        if newest.as_ref().is_none_or(|(highest, _)| number > *highest) {
            newest = Some((number, path));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than any state"));
    }
    Ok(bytes)
}

fn nodes(bytes: &[u8]) -> Result<Found, StateError> {
    if catalyst_store::is_sealed(bytes) {
        return Err(StateError::Encrypted);
    }
    let Ok(state) = serde_json::from_slice::<Value>(bytes) else { return Err(StateError::NotAState) };
    if state.get("encrypted_data").is_some() || state.pointer("/meta/key_provider").is_some() {
        return Err(StateError::Encrypted);
    }
    if state.get("version").and_then(Value::as_u64).is_none() {
        return Err(StateError::NotAState);
    }
    let outputs = state.get("outputs").and_then(Value::as_object);
    let Some(outputs) = outputs.filter(|outputs| !outputs.is_empty()) else {
        return Ok(Found::NotYet("OpenTofu has not come to its outputs yet"));
    };
    let value = |name: &str| outputs.get(name).and_then(|output| output.get("value"));
    let Some(texts) = value(USER_DATA).and_then(Value::as_object) else { return Err(StateError::NotRehearsable) };
    let user_data: Option<BTreeMap<String, String>> =
        texts.iter().map(|(node, text)| Some((node.clone(), text.as_str()?.to_owned()))).collect();
    let user_data = user_data.filter(|nodes| !nodes.is_empty()).ok_or(StateError::NotRehearsable)?;
    let api_port = value(API_PORT).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    Ok(Found::Nodes(Nodes { user_data, api_port }))
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
