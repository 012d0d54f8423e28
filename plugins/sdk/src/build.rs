//! For a plugin's build script: compiles a module's templates, so that a component only evaluates.

use std::path::{Path, PathBuf};

use crate::template::Template;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file could not be read or written.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A template is not one that the engine evaluates.
    #[error("{}", path.display())]
    Template {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: crate::template::CompileError,
    },
    /// Not called from a build script.
    #[error("cargo did not say where to write (OUT_DIR)")]
    NoOutDir,
}

/// Compiles `names` of the folder `module` to `OUT_DIR/<name>.bin`.
///
/// # Errors
/// When a file cannot be read or written, or a template holds what the engine does not evaluate.
pub fn compile_templates(module: &Path, names: &[&str]) -> Result<(), BuildError> {
    #[expect(clippy::disallowed_methods, reason = "cargo tells a build script its folder in this way")]
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).ok_or(BuildError::NoOutDir)?;
    for name in names {
        let path = module.join(name);
        let file_error = |source| BuildError::File { path: path.clone(), source };
        let text = std::fs::read_to_string(&path).map_err(file_error)?;
        let template: Template = text.parse().map_err(|source| BuildError::Template { path: path.clone(), source })?;
        let bytes = template.to_bytes().map_err(|error| file_error(std::io::Error::other(error)))?;
        std::fs::write(out.join(format!("{name}.bin")), bytes).map_err(file_error)?;
        announce(&path);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "standard output is how a build script speaks to cargo")]
fn announce(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}
