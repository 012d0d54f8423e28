//! What every way refuses before it looks at a token.

use super::{Fault, LONGEST};
use catalyst_domain::SecretValue;

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the system gave no random bytes")]
pub struct NoRandomness;

/// A token is one short word of visible ASCII.
pub(super) fn nonsense(token: &SecretValue) -> Result<(), Fault> {
    let text = token.expose();
    if text.len() > LONGEST {
        return Err(Fault::Wrong("it is too long"));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Fault::Wrong("it is no word of visible ASCII"));
    }
    Ok(())
}
