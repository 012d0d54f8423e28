//! Questions to OpenTofu's state, where there is one.

use catalyst_domain::bearer::SeenServer;
use catalyst_domain::tofu_state::{self, Object, StateFault};

/// The resource instances that the state has, but for data sources; none where there is no state.
///
/// # Errors
/// It cannot be read, or names too much: nothing is decided on a guess.
pub fn servers(state: Option<&[u8]>) -> Result<Vec<SeenServer>, StateFault> {
    tofu_state::servers(state.unwrap_or_default())
}

/// Addresses of everything that the state says is there, sorted, each once. Nothing for a state that cannot be read, which the trace says.
pub fn addresses(state: Option<&[u8]>) -> Vec<String> {
    read(state, tofu_state::addresses).unwrap_or_default()
}

/// Everything that the state says is there, sorted by address; nothing where there is no state. The trace says why one cannot be read.
///
/// # Errors
/// It cannot be read, or names too much.
pub fn objects(state: Option<&[u8]>) -> Result<Vec<Object>, StateFault> {
    read(state, tofu_state::objects)
}

fn read<T: Default>(state: Option<&[u8]>, ask: impl FnOnce(&[u8]) -> Result<T, StateFault>) -> Result<T, StateFault> {
    let Some(state) = state else { return Ok(T::default()) };
    ask(state).inspect_err(|fault| {
        tracing::error!(error = %fault, bytes = state.len(), "what OpenTofu's state names is not known");
    })
}

#[cfg(test)]
mod tests {
    use super::{StateFault, addresses, objects, servers};

    #[test]
    fn a_state_that_is_not_there_or_cannot_be_read_names_nothing() {
        let state = br#"{"resources":[{"mode":"managed","type":"t","name":"cp","instances":[{"index_key":0}]}]}"#;
        assert_eq!((addresses(Some(state)), objects(Some(state)).unwrap().len()), (vec!["t.cp[0]".to_owned()], 1));
        assert_eq!((addresses(None), objects(None)), (Vec::new(), Ok(Vec::new())));
        assert_eq!((addresses(Some(b"broken")), objects(Some(b"broken"))), (Vec::new(), Err(StateFault::Unread)));
        assert_eq!(
            (servers(None), servers(Some(b"")), servers(Some(b"broken"))),
            (Ok(Vec::new()), Ok(Vec::new()), Err(StateFault::Unread))
        );
    }
}
