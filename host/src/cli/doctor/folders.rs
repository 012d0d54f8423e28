//! The folders: there, ours, private, durable, with room, and on one disk.

use super::finding::{Finding, reason};
use crate::config::Config;
use catalyst_domain::DeploymentId;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Bytes that are written to try a folder: one block, about what a record takes.
const TRIAL: usize = 4096;
/// A promise waits for two syncs. Past this the wizard feels it in every step.
const SLOW_SYNC: Duration = Duration::from_millis(500);
/// Room that the states and logs of a few deployments take. Below it the next one may already not fit.
const LITTLE: u64 = 256 * 1024 * 1024;
/// Room that one run takes.
const TOO_LITTLE: u64 = 32 * 1024 * 1024;
/// Files that were written later than now by more than this come from another clock.
const AHEAD: Duration = Duration::from_secs(300);
/// Records that are looked at; a host that has more of them has been looked after.
const MANY: usize = 20_000;

/// The folder of the records, tried out the way the host uses it.
pub(super) fn records_folder(config: &Config) -> Vec<Finding> {
    own("records", &config.deployments_dir, "CATALYST_DEPLOYMENTS_DIR")
}

/// The folder of the kubeconfigs.
pub(super) fn kubeconfigs_folder(config: &Config) -> Vec<Finding> {
    own("kubeconfigs", &config.kubeconfigs_dir, "CATALYST_KUBECONFIGS_DIR")
}

/// The folder of OpenTofu's states.
pub(super) fn states_folder(config: &Config) -> Vec<Finding> {
    own("states", &config.state_dir, "CATALYST_STATE_DIR")
}

/// The folder in which OpenTofu runs.
pub(super) fn work_folders(config: &Config) -> Vec<Finding> {
    own("work folders", &config.tofu.workdir, "CATALYST_TOFU_WORKDIR")
}

fn own(check: &'static str, path: &Path, variable: &str) -> Vec<Finding> {
    vec![folder(check, path, variable, 0o007)]
}

/// The file of who did what, as it will be opened, and its folder, in which a start or a SIGHUP makes a new one. It may be
/// anywhere, so its folder is looked at apart.
pub(super) fn audit_log(config: &Config) -> Vec<Finding> {
    let (check, variable) = ("audit log", "CATALYST_AUDIT_LOG");
    let path = &config.audit_log;
    let shown = path.display();
    match fs::metadata(path) {
        Ok(known) if !known.is_file() => {
            return vec![Finding::fail(
                check,
                format!("{shown} is no file"),
                format!("move it away, or set {variable}"),
            )];
        }
        Ok(_) => {
            // Nothing is written, so nothing of it changes.
            if let Err(error) = File::options().append(true).read(true).open(path) {
                let found = format!("{shown} cannot be written: {error}");
                return vec![Finding::fail(check, found, advice(&error, variable))];
            }
        }
        // What is above it says why.
        Err(_) => {}
    }
    // The file is shut by its own mode, and may lie at the root of a volume, whose mode is not ours.
    vec![folder(check, folder_of(path), variable, 0)]
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `shut` are the rights that nobody but user and group may have.
fn folder(check: &'static str, path: &Path, variable: &str, shut: u32) -> Finding {
    let shown = path.display();
    let known = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return missing(check, path, variable),
        Err(error) => return Finding::fail(check, format!("{shown}: {error}"), advice(&error, variable)),
        Ok(known) => known,
    };
    if !known.is_dir() {
        return Finding::fail(check, format!("{shown} is no folder"), format!("move it away, or set {variable}"));
    }
    let took = match try_out(path) {
        Err(error) => {
            return Finding::fail(
                check,
                format!("{shown} cannot be written: {}", reason(&error)),
                advice(&error, variable),
            );
        }
        Ok(took) => took,
    };
    let mode = known.permissions().mode() & 0o7777;
    if mode & shut != 0 {
        let found = format!("{shown} has mode {mode:o}: everybody on the machine may enter it");
        return Finding::warn(check, found, format!("chmod o-rwx {shown}"));
    }
    if took > SLOW_SYNC {
        let found = format!("{shown}: a write took {} ms to be on disk", took.as_millis());
        return Finding::warn(check, found, "use a faster disk; each promise of the API waits for this");
    }
    Finding::ok(check, format!("{shown} is written, synced and renamed in {} ms", took.as_millis()))
}

/// A folder that is not there is made at the start, if what is above it lets us.
fn missing(check: &'static str, path: &Path, variable: &str) -> Finding {
    let above = standing(path);
    // Asking for the right says less than doing it: some file systems refuse whom they gave it to.
    match tempfile::Builder::new().prefix(".catalyst-doctor-").tempdir_in(&above) {
        Ok(_) => Finding::ok(check, format!("{} is not there yet; the start makes it", path.display())),
        Err(error) => {
            let (path, above, why) = (path.display(), above.display(), reason(&error));
            let found = format!("{path} is not there and cannot be made below {above}: {why}");
            Finding::fail(check, found, advice(&error, variable))
        }
    }
}

/// The nearest folder above, or itself, that is there.
fn standing(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// Writes a file, syncs it, renames it, syncs the folder, and removes it; how long that took.
fn try_out(folder: &Path) -> io::Result<Duration> {
    let begun = Instant::now();
    let mut file = tempfile::Builder::new().prefix(".catalyst-doctor-").suffix(".tmp").tempfile_in(folder)?;
    file.write_all(&[0; TRIAL])?;
    file.as_file().sync_all()?;
    let renamed = file.path().with_extension("renamed");
    file.persist(&renamed).map_err(|error| error.error)?;
    let synced = File::open(folder).and_then(|node| node.sync_all());
    fs::remove_file(&renamed)?;
    synced.map(|()| begun.elapsed())
}

fn advice(error: &io::Error, variable: &str) -> String {
    let user = rustix::process::geteuid().as_raw();
    match error.kind() {
        ErrorKind::PermissionDenied => format!("give it to user {user} (chown; in a Pod fsGroup), or set {variable}"),
        ErrorKind::ReadOnlyFilesystem => {
            format!("mount it writable, or set {variable}; a disk with errors turns read-only")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room, or enlarge the volume".to_owned(),
        _ => format!("set {variable} to a folder on a local disk or a volume"),
    }
}

/// Room, once for each disk.
pub(super) fn space(config: &Config) -> Vec<Finding> {
    let mut disks: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let own = [&config.deployments_dir, &config.kubeconfigs_dir, &config.state_dir, &config.tofu.workdir];
    let audit = folder_of(&config.audit_log);
    for path in own.into_iter().map(PathBuf::as_path).chain([audit]) {
        let folder = standing(path);
        if let Ok(known) = fs::metadata(&folder) {
            disks.entry(known.dev()).or_insert(folder);
        }
    }
    disks.values().filter_map(|folder| room(folder)).collect()
}

/// The room of a disk; `None` for a file system that has no size of its own.
fn room(folder: &Path) -> Option<Finding> {
    let (check, shown) = ("space", folder.display());
    let known = match rustix::fs::statvfs(folder) {
        Ok(known) => known,
        Err(error) => return Some(Finding::warn(check, format!("{shown}: {error}"), "look at the disk")),
    };
    if known.f_blocks == 0 {
        return None;
    }
    let free = known.f_bavail.saturating_mul(known.f_frsize);
    let found = format!("{} MiB are free at {shown}", free / 1024 / 1024);
    let enlarge = "make room, or enlarge the volume: a full one refuses every change";
    if known.f_files > 0 && known.f_favail == 0 {
        let found = format!("no more file can be made at {shown}: it has no inode left");
        return Some(Finding::fail(check, found, enlarge));
    }
    Some(match free {
        ..TOO_LITTLE => Finding::fail(check, found, enlarge),
        TOO_LITTLE..LITTLE => Finding::warn(check, found, enlarge),
        _ => Finding::ok(check, found),
    })
}

/// What must be backed up together should lie together, and records of the older layout must be within a rename.
pub(super) fn one_disk(config: &Config) -> Vec<Finding> {
    let check = "one disk";
    let disk = |path: &Path| fs::metadata(standing(path)).map(|known| known.dev()).ok();
    let kept = [&config.deployments_dir, &config.kubeconfigs_dir, &config.state_dir];
    let first = disk(kept[0]);
    let older = config.deployments_dir.parent().filter(|above| holds_records(above));
    if let Some(above) = older.filter(|above| disk(above) != first) {
        let found = format!("{} holds records of the older layout, on another disk", above.display());
        return vec![Finding::fail(check, found, format!("move its *.json into {}", config.deployments_dir.display()))];
    }
    match kept.iter().find(|path| disk(path) != first) {
        None => vec![Finding::ok(check, "records, kubeconfigs and states lie together")],
        Some(other) => {
            let found = format!("{} is on another disk than the records", other.display());
            vec![Finding::warn(check, found, "put them on one, or stop the host while you back them up")]
        }
    }
}

fn holds_records(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| is_record(&entry.file_name().to_string_lossy()))
}

fn is_record(name: &str) -> bool {
    name.strip_suffix(".json").is_some_and(|id| DeploymentId::parse(id).is_ok())
}

/// Whether what is kept can be read, and was not written in the future.
pub(super) fn records(config: &Config) -> Vec<Finding> {
    let check = "kept records";
    let Ok(entries) = fs::read_dir(&config.deployments_dir) else { return Vec::new() };
    let (mut count, mut ahead, mut unread) = (0_usize, 0_usize, Vec::new());
    let latest = SystemTime::now() + AHEAD;
    for entry in entries.flatten().filter(|entry| is_record(&entry.file_name().to_string_lossy())).take(MANY) {
        count += 1;
        let text = fs::read(entry.path());
        let whole =
            text.is_ok_and(|text| serde_json::from_slice::<serde_json::Value>(&text).is_ok_and(|v| v.is_object()));
        if !whole {
            unread.push(entry.file_name().to_string_lossy().into_owned());
        }
        let written = entry.metadata().and_then(|known| known.modified());
        ahead += usize::from(written.is_ok_and(|written| written > latest));
    }
    if let Some(first) = unread.first() {
        let found = format!("{} of {count} records cannot be read, {first} among them", unread.len());
        return vec![Finding::fail(check, found, "restore it from a backup, or give it to the host's user")];
    }
    if ahead > 0 {
        let found = format!("{ahead} of {count} records were written in the future");
        return vec![Finding::fail("clock", found, "set the clock of this machine: timeouts and tokens rest on it")];
    }
    vec![Finding::ok(check, format!("all {count} can be read"))]
}
