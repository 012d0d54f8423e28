//! The work folder of one deployment: 0700, named by its id, and the only place on disk where a run's secrets stand.
//!
//! Everything goes through a `Dir`, so neither a path of a bundle nor a link that lies there leads out of the folder.

mod aside;
mod leftovers;
mod lock_file;
mod removal;
mod spool;
mod variables;

use super::cli_config::DevOverride;
use aside::make_folder_in_any_case;
use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt};
use catalyst_domain::provider::{Bundle, BundleFile, SecretVariable};
use catalyst_domain::{DeploymentId, Secrets};
pub(super) use removal::remove_folder_at;
use removal::{open, remove};
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde_json::Value;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use variables::{secrets_of, variables};
use zeroize::Zeroizing;

/// Variables and secrets of a run. The name makes OpenTofu read it by itself.
const VARIABLES_FILE: &str = "catalyst.auto.tfvars.json";
/// The saved plan; it holds the values of sensitive variables.
pub(super) const PLAN_FILE: &str = "catalyst.tfplan";
/// Points OpenTofu at the state backend. As an override it also wins over a backend of the module's own.
const BACKEND_FILE: &str = "catalyst_backend_override.tf";
const BACKEND: &str = "terraform {\n  backend \"http\" {}\n}\n";
/// OpenTofu's own settings: where providers come from.
const SETTINGS_FILE: &str = "catalyst.tofurc";
/// The operator's own settings, which may hold passwords; there while providers are installed.
const INSTALL_SETTINGS_FILE: &str = "catalyst.install.tofurc";
/// Where OpenTofu leaves a state that the backend did not take.
const ERRORED_STATE: &str = "errored.tfstate";
/// Folder of what runs have for themselves, among the work folders. No deployment has such an id.
const RUN_FOLDERS: &str = ".runs";
/// Folder of what supervisors leave of their runs, beside them.
const SPOOLS: &str = ".made";
/// Where OpenTofu keeps providers and what `init` remembers when nobody says another place, as in earlier releases. A run has a folder of
/// its own for them, so the name is only kept free of files of a bundle.
const DATA_FOLDER: &str = ".terraform";
/// Versions and checksums of providers; kept between runs, so that a later run takes the very programs of the first.
const LOCK_FILE: &str = ".terraform.lock.hcl";
/// What a run leaves to the next one.
const KEPT_FILES: [&str; 2] = [LOCK_FILE, ERRORED_STATE];
/// What `init` of an earlier release remembered of the backend.
const REMEMBERED_BACKEND: &str = ".terraform/terraform.tfstate";

/// A module and its templates are some dozens of files; a bundle beyond this is a fault of its plugin.
const MOST_FILES: usize = 2_000;
/// Limit of what is read back: variables and a left-over state. As in the state backend.
const MOST_BYTES: u64 = super::held::STATE_LIMIT as u64;

/// The folder of all work folders.
pub(super) struct WorkRoot {
    dir: Dir,
    path: PathBuf,
}

/// One deployment's work folder.
pub(super) struct WorkFolder {
    dir: Dir,
    path: PathBuf,
    /// The folder of all of them, and the name in it.
    above: Dir,
    id: String,
}

impl WorkRoot {
    /// Opens the folder, making it 0700 when it is not there.
    pub(super) fn open(path: &Path) -> Result<Self, (&'static str, io::Error)> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|why| ("create", why))?;
        let path = path.canonicalize().map_err(|why| ("open", why))?;
        let dir = Dir::open_ambient_dir(&path, ambient_authority()).map_err(|why| ("open", why))?;
        Ok(Self { dir, path })
    }

    /// The work folder of a deployment, made when it is not there.
    pub(super) fn folder(&self, id: &DeploymentId) -> io::Result<WorkFolder> {
        make_folder_in_any_case(&self.dir, id.as_str())?;
        let dir = open(&self.dir, Path::new(id.as_str()))?;
        dir.set_permissions(".", Permissions::from_mode(0o700))?;
        self.work_folder(id, dir)
    }

    /// The work folder of a deployment, if there is one.
    pub(super) fn existing(&self, id: &DeploymentId) -> io::Result<Option<WorkFolder>> {
        match open(&self.dir, Path::new(id.as_str())) {
            Ok(dir) => self.work_folder(id, dir).map(Some),
            Err(why) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(why) => Err(why),
        }
    }

    fn work_folder(&self, id: &DeploymentId, dir: Dir) -> io::Result<WorkFolder> {
        let (path, id) = (self.path.join(id.as_str()), id.to_string());
        Ok(WorkFolder { dir, path, above: self.dir.try_clone()?, id })
    }

    /// Removes a work folder with everything in it. States that were set aside stay.
    pub(super) fn remove(&self, id: &DeploymentId) -> io::Result<()> {
        self.remove_run_folder(id)?;
        self.remove_spool(id)?;
        remove(&self.dir, id.as_str())
    }

    /// Removes it with states that were set aside as well.
    pub(super) fn remove_whole(&self, id: &DeploymentId) -> io::Result<()> {
        self.remove(id)?;
        self.remove_aside(id)
    }

    /// The folder of a deployment's run, new and with these folders in it. One that is there is removed.
    pub(super) fn make_run_folder(&self, id: &DeploymentId, inside: &[&str]) -> io::Result<PathBuf> {
        self.remove_run_folder(id)?;
        make_folder_in_any_case(&self.dir, RUN_FOLDERS)?;
        let above = self.dir.open_dir_nofollow(RUN_FOLDERS)?;
        make_folder(&above, Path::new(id.as_str()))?;
        let dir = above.open_dir_nofollow(id.as_str())?;
        inside.iter().try_for_each(|name| make_folder(&dir, Path::new(name)))?;
        Ok(self.path.join(RUN_FOLDERS).join(id.as_str()))
    }

    /// Removes that folder.
    pub(super) fn remove_run_folder(&self, id: &DeploymentId) -> io::Result<()> {
        match self.dir.open_dir_nofollow(RUN_FOLDERS) {
            Ok(above) => remove(&above, id.as_str()),
            Err(why) => absent_is_fine(Err(why)),
        }
    }
}

/// Why a work folder is not as a run needs it.
pub(super) fn unwritten(why: &io::Error) -> String {
    format!("cannot write the work folder: {}", disk_words(why))
}

impl WorkFolder {
    /// Where it is, for the process that works in it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the module: removes what an earlier run left but for the checksums of its providers, then writes the bundle. A
    /// sentence where those checksums could not be kept.
    ///
    /// # Errors
    /// A sentence that names the file of the bundle and what is wrong with it.
    pub(super) fn stage(&self, bundle: &Bundle) -> Result<Option<String>, String> {
        let cannot_clear = |why: io::Error| format!("cannot clear the work folder: {}", disk_words(&why));
        let notice = self.remove_damaged_lock_file().map_err(cannot_clear)?;
        self.clear().map_err(cannot_clear)?;
        if bundle.files.len() > MOST_FILES {
            return Err(format!("the bundle has {} files; {MOST_FILES} are allowed", bundle.files.len()));
        }
        for file in &bundle.files {
            let path = checked_path(&file.path)?;
            self.write_file(&path, file).map_err(|why| format!("cannot write {}: {}", file.path, disk_words(&why)))?;
        }
        self.write_new(BACKEND_FILE, BACKEND.as_bytes())
            .map_err(|why| format!("cannot write {BACKEND_FILE}: {}", disk_words(&why)))?;
        Ok(notice)
    }

    /// Writes settings that let providers come from a folder only, or from their registries only, and says where they are. Without
    /// such a word OpenTofu looks into folders that others may write.
    pub(super) fn write_settings(&self, mirror: Option<&Path>, overrides: &[DevOverride]) -> io::Result<PathBuf> {
        let quoted = |text: &str| Value::from(text).to_string().replace("${", "$${").replace("%{", "%%{");
        let method = mirror.map_or("direct {}".to_owned(), |mirror| {
            format!("filesystem_mirror {{\n    path = {}\n  }}", quoted(&mirror.to_string_lossy()))
        });
        let line = |one: &DevOverride| format!("    {} = {}\n", quoted(&one.provider), quoted(&one.folder));
        let lines: String = overrides.iter().map(line).collect();
        // OpenTofu wants them first.
        let overrides = if lines.is_empty() { lines } else { format!("  dev_overrides {{\n{lines}  }}\n") };
        let text = format!("provider_installation {{\n{overrides}  {method}\n}}\n");
        self.write_new(SETTINGS_FILE, text.as_bytes())?;
        Ok(self.path.join(SETTINGS_FILE))
    }

    /// Writes the operator's own settings for the step that installs providers, and says where they are.
    pub(super) fn write_install_settings(&self, text: &str) -> io::Result<PathBuf> {
        self.write_new(INSTALL_SETTINGS_FILE, text.as_bytes())?;
        Ok(self.path.join(INSTALL_SETTINGS_FILE))
    }

    /// Removes them.
    pub(super) fn remove_install_settings(&self) -> io::Result<()> {
        remove(&self.dir, INSTALL_SETTINGS_FILE)
    }

    /// Writes the variables of a run, secrets among them, and makes place for a plan that nobody else can read. The module is told
    /// whether the cluster exists, where it wants to know.
    pub(super) fn write_variables(
        &self,
        id: &DeploymentId,
        bundle: &Bundle,
        secrets: &Secrets,
        cluster_exists: bool,
    ) -> io::Result<()> {
        let text = variables(id, bundle, secrets, cluster_exists)?;
        self.write_new(VARIABLES_FILE, &text)?;
        self.write_new(PLAN_FILE, b"")
    }

    /// The secrets that an interrupted run left; `None` when it left no variables.
    pub(super) fn leftover(&self, filled: &[SecretVariable]) -> io::Result<Option<Secrets>> {
        let Some(text) = self.read(VARIABLES_FILE)? else { return Ok(None) };
        secrets_of(&text, filled).map(Some)
    }

    /// Removes variables, plan, the operator's settings and OpenTofu's data folder, or whatever stands in their place.
    pub(super) fn remove_secrets(&self) -> io::Result<()> {
        self.take_back()?;
        // All of them, whatever becomes of one.
        let names = [VARIABLES_FILE, PLAN_FILE, INSTALL_SETTINGS_FILE, DATA_FOLDER];
        names.map(|name| remove(&self.dir, name)).into_iter().collect()
    }

    /// The state that OpenTofu could not hand to the backend.
    pub(super) fn errored_state(&self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        self.read(ERRORED_STATE)
    }

    /// Removes that state once it is kept elsewhere.
    pub(super) fn remove_errored_state(&self) -> io::Result<()> {
        remove(&self.dir, ERRORED_STATE)
    }

    /// Gives this user all rights to the folder itself, of which a run may have taken some away. Its name is the host's alone.
    fn take_back(&self) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        absent_is_fine(std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(0o700)))
    }

    fn write_file(&self, path: &Path, file: &BundleFile) -> io::Result<()> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            let mut so_far = PathBuf::new();
            for part in parent.components() {
                so_far.push(part);
                make_folder(&self.dir, &so_far)?;
            }
        }
        if path == Path::new(LOCK_FILE) {
            remove(&self.dir, path)?;
        }
        // OpenTofu must be able to read it, and nobody but us: a file that is staged may become part of user data.
        self.write_mode(path, &file.content, (file.mode & 0o700) | 0o600)
    }

    fn write_new(&self, name: &str, content: &[u8]) -> io::Result<()> {
        remove(&self.dir, name)?;
        self.write_mode(Path::new(name), content, 0o600)
    }

    fn write_mode(&self, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        self.dir.open_with(path, &options)?.write_all(content)
    }

    fn read(&self, name: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let mut options = OpenOptions::new();
        // What a run left there may be anything: a pipe would hold whoever opens it.
        options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).follow(FollowSymlinks::No);
        let file = match self.dir.open_with(name, &options) {
            Ok(file) => file,
            Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
            Err(why) if why.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => return Ok(None),
            Err(why) => return Err(why),
        };
        // A folder, a link, a pipe or a device is nothing that OpenTofu or the host wrote.
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut content = Zeroizing::new(Vec::new());
        file.take(MOST_BYTES + 1).read_to_end(&mut content)?;
        if content.len() as u64 > MOST_BYTES {
            return Err(io::Error::new(ErrorKind::FileTooLarge, format!("{name} has more than {MOST_BYTES} bytes")));
        }
        Ok(Some(content))
    }
}

/// Removes a run's secrets from disk when it is dropped: at the end of the run, well or not.
pub(super) struct SecretsOnDisk(pub(super) Arc<WorkFolder>);

impl Drop for SecretsOnDisk {
    fn drop(&mut self) {
        if let Err(why) = self.0.remove_secrets() {
            tracing::error!(error = %why, "cannot remove a run's variables and plan from its work folder");
        }
    }
}

/// A path of a bundle as it may be written: relative, plain, and none of the names that the engine or OpenTofu owns.
fn checked_path(text: &str) -> Result<PathBuf, String> {
    let refuse = |why| Err(format!("the bundle's file {text:?} is refused: {why}"));
    let path = Path::new(text);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if text.is_empty() || text.len() > 512 || text.ends_with('/') || !plain || text.chars().any(char::is_control) {
        return refuse("not a plain relative path");
    }
    let parts: Vec<&str> = text.split('/').collect();
    if parts.iter().any(|part| part.is_empty() || *part == ".") {
        return refuse("not a plain relative path");
    }
    let Some(name) = parts.last() else { return refuse("it has no name") };
    if parts[0] == DATA_FOLDER || name.contains(".tfstate") || parts[0].starts_with("catalyst.") {
        return refuse("the name belongs to OpenTofu or to the host");
    }
    let stem = [".tf", ".tofu", ".tf.json", ".tofu.json"].iter().find_map(|end| name.strip_suffix(end));
    if stem.is_some_and(|stem| stem == "override" || stem.ends_with("_override")) {
        return refuse("an override could undo the state backend");
    }
    Ok(path.to_owned())
}

/// Why a work folder could not be written, with what helps where a person can help.
pub(super) fn disk_words(why: &io::Error) -> String {
    match why.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("{why}: make room on the disk of CATALYST_TOFU_WORKDIR")
        }
        ErrorKind::ReadOnlyFilesystem => format!("{why}: the disk of CATALYST_TOFU_WORKDIR must be writable"),
        _ => why.to_string(),
    }
}

fn make_folder(dir: &Dir, path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    match dir.create_dir_with(path, &builder) {
        Err(why) if why.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(why) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        other => other,
    }
}
