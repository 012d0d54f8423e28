//! Reading records at start, those of the earlier service among them.

use crate::folder::{Folder, WriteFault};
use catalyst_domain::record::SCHEMA;
use catalyst_domain::{DeploymentId, Record};
use std::collections::HashSet;
use std::io;
use std::path::Path;

/// Largest record in bytes: one of the earlier service with its 10,000 entries inside has some 5 MB.
const RECORD_BYTES: u64 = 64 * 1024 * 1024;
/// What the earlier service wrote in the place of a secret. Taken for a value it would pass as a credential.
const PLACEHOLDER: &str = "<redacted>";
const PROBE: &str = ".write-probe";

/// File name of a record.
pub(crate) fn file_name(id: &DeploymentId) -> String {
    format!("{id}.json")
}

/// A record as it stands in its file.
pub(crate) fn encode(record: &Record) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = serde_json::to_vec_pretty(record)?;
    text.push(b'\n');
    Ok(text)
}

/// What was found at start.
pub(crate) struct Loaded {
    /// All that could be read.
    pub(crate) records: Vec<Record>,
    /// The disk failed at a file that may be a record.
    pub(crate) unread: Option<io::Error>,
    /// The deployments whose record was left out, for whatever reason.
    pub(crate) left_out: HashSet<DeploymentId>,
}

/// Why a file gave no record.
enum ReadFault {
    /// The disk did not give its bytes.
    Disk(io::Error),
    /// Its bytes are not a record of ours.
    NoRecord(String),
}

/// Reads all records. What is no record is reported and left where it is.
pub(crate) fn records(folder: &Folder) -> io::Result<Loaded> {
    let mut loaded = Loaded { records: Vec::new(), unread: None, left_out: HashSet::new() };
    // Whatever lies there: where it is a folder, what it stands in the place of may be a record.
    for name in folder.all_names()? {
        let Some(stem) = name.strip_suffix(".json").filter(|stem| !stem.starts_with('.')) else { continue };
        match read(folder, &name, stem) {
            Ok(record) => loaded.records.push(record),
            Err(fault) => {
                tracing::error!(file = %name, why = fault.words(), "a record cannot be read and is left out");
                loaded.left_out.extend(DeploymentId::parse(stem));
                if let ReadFault::Disk(error) = fault {
                    loaded.unread = Some(error);
                }
            }
        }
    }
    Ok(loaded)
}

/// An earlier layout had the records in the folder above this one. They are moved here, where no record is in the way.
///
/// # Errors
/// The disk failed, or a record could not be moved: then it would seem to be gone. That others may not look into the folder
/// above is no error.
pub(crate) fn take_in_older_layout(deployments_dir: &Path, folder: &Folder) -> io::Result<()> {
    let Some(parent) = std::path::absolute(deployments_dir).ok().and_then(|path| Some(path.parent()?.to_owned()))
    else {
        return Ok(());
    };
    let above = cap_std::fs::Dir::open_ambient_dir(parent, cap_std::ambient_authority()).and_then(Folder::new);
    match above.and_then(|above| take_in(&above, folder)) {
        Ok(0) => Ok(()),
        Ok(moved) => {
            tracing::info!(records = moved, "records of the older folder layout were moved in");
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            tracing::warn!(%error, "records of the older folder layout could not be looked for");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Whether a file can be written at all.
pub(crate) fn probe(folder: &Folder) -> Result<(), WriteFault> {
    folder.replace(PROBE, b"probe\n").and_then(|()| folder.remove(PROBE))
}

/// Whether a temporary file, named without its first dot, is one of [`probe`].
pub(crate) fn is_probe(name: &str) -> bool {
    name.starts_with(PROBE)
}

fn take_in(above: &Folder, folder: &Folder) -> io::Result<usize> {
    let mut moved = 0;
    for name in above.names()? {
        let Some(stem) = name.strip_suffix(".json").filter(|stem| DeploymentId::parse(stem).is_ok()) else { continue };
        if folder.dir().exists(&name) {
            tracing::warn!(file = %name, "a record of the older folder layout is left out: there is a newer one");
            continue;
        }
        match read(above, &name, stem) {
            Ok(_) => {
                above.dir().rename(&name, folder.dir(), &name)?;
                moved += 1;
            }
            Err(ReadFault::Disk(error)) => return Err(error),
            Err(ReadFault::NoRecord(why)) => {
                tracing::error!(file = %name, why, "a record of the older folder layout cannot be read");
            }
        }
    }
    if moved > 0 {
        // First the new names, then the loss of the old ones.
        folder.sync()?;
        above.sync()?;
    }
    Ok(moved)
}

fn read(folder: &Folder, name: &str, stem: &str) -> Result<Record, ReadFault> {
    let text = match folder.read(name, RECORD_BYTES) {
        Ok(Some(text)) => text,
        Ok(None) => return Err(ReadFault::NoRecord("it is gone".to_owned())),
        // Too long, or a folder.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(ReadFault::NoRecord(error.to_string())),
        Err(error) => return Err(ReadFault::Disk(error)),
    };
    decode(&text, stem).map_err(ReadFault::NoRecord)
}

fn decode(text: &[u8], stem: &str) -> Result<Record, String> {
    let mut record: Record = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if record.id.as_str() != stem {
        return Err(format!("it holds the record of {}", record.id));
    }
    if record.schema > SCHEMA {
        return Err(format!("it has the schema {}, but this version knows {SCHEMA} at most", record.schema));
    }
    record.request.extra.retain(|_, value| value.as_str() != Some(PLACEHOLDER));
    // A list is read with room for more, which thousands of records that have ended would hold for nothing.
    record.request.regions.shrink_to_fit();
    record.kubeconfig_hosts.shrink_to_fit();
    Ok(record)
}

impl ReadFault {
    fn words(&self) -> String {
        match self {
            Self::Disk(error) => error.to_string(),
            Self::NoRecord(why) => why.clone(),
        }
    }
}
