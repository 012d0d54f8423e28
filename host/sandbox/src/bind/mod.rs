//! One small file for each version of the contract that is served. A component is bound by the version it was built
//! for.

mod convert;
mod described;
mod exports;
mod leftovers;
mod v1_0;
mod v1_1;

use wasmtime::component::{InstancePre, Linker};

use crate::error::LoadError;
use crate::state::CallState;

/// What a call came to: a value, or a failure that the engine or a conversion found.
pub(crate) type Called<T> = Result<T, Failed>;

/// A call that gave nothing.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The engine stopped it.
    Engine(wasmtime::Error),
    /// Its answer cannot be read.
    Output(String),
    /// The host could not read its answer, through no fault of the plugin.
    Host(String),
}

impl From<wasmtime::Error> for Failed {
    fn from(error: wasmtime::Error) -> Self {
        Self::Engine(error)
    }
}

/// Longest text of a bundle's variables: that of a request's body. A parsed text takes up to ninety times its length,
/// and that is the host's memory.
const VARIABLES_BYTES: usize = 256 * 1024;

/// The variables of a bundle. The parser's message would quote the text, so it is left out.
fn variables(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, Failed> {
    if text.len() > VARIABLES_BYTES {
        return Err(Failed::Output(format!("the bundle's variables are longer than {VARIABLES_BYTES} bytes")));
    }
    serde_json::from_str(text).map_err(|_| Failed::Output("the bundle's variables are not a JSON object".into()))
}

/// Links what the contract's versions import from the host.
pub(crate) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    v1_0::link(linker)?;
    v1_1::link(linker)
}

/// Versions of the contract that are served, as an error names them.
pub(crate) const SERVED: &str = "1.0 and 1.1";

/// Keys of the cloud's own settings schema.
pub(crate) type Settings = serde_json::Map<String, serde_json::Value>;

/// A version of the contract that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// 1.0, which is frozen.
    V1_0,
    /// 1.1, which grows.
    V1_1,
}

impl Version {
    /// The served version that a component was built for. Checked before linking, whose error would be about types.
    pub fn of(contract: &semver::Version) -> Result<Self, LoadError> {
        match (contract.major, contract.minor) {
            (1, 0) => Ok(Self::V1_0),
            (1, 1) => Ok(Self::V1_1),
            _ => Err(LoadError::Interface { found: format!("catalyst:provisioner {contract}") }),
        }
    }
}

/// A component bound to its version of the contract.
pub(crate) enum Bound {
    /// See [`Version::V1_0`].
    V1_0(v1_0::Bound),
    /// See [`Version::V1_1`].
    V1_1(v1_1::Bound),
}

pub(crate) use leftovers::Leftovers;

impl Bound {
    /// Finds the exports of the world, or says which is missing or differs.
    pub fn new(version: Version, pre: InstancePre<CallState>) -> Result<Self, LoadError> {
        match version {
            Version::V1_0 => v1_0::Bound::new(pre).map(Self::V1_0),
            Version::V1_1 => v1_1::Bound::new(pre).map(Self::V1_1),
        }
        .map_err(|error| LoadError::World(format!("{error:#}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_up_to_their_longest_and_no_further() {
        let of = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
        assert_eq!(variables(&of(VARIABLES_BYTES)).unwrap().len(), 1);
        let Err(Failed::Output(why)) = variables(&of(VARIABLES_BYTES + 1)) else { panic!("it is read") };
        assert!(why.contains("longer than 262144 bytes"), "{why}");
    }
}
