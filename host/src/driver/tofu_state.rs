//! Questions to OpenTofu's state, where there is one.

use catalyst_domain::bearer::SeenServer;
use catalyst_domain::tofu_state::{self, Object};

/// The resource instances that the state has, but for data sources; none where there is no state. `None` for one that cannot be read:
/// nothing is decided on a guess.
pub fn servers(state: Option<&[u8]>) -> Option<Vec<SeenServer>> {
    tofu_state::servers(state.unwrap_or_default())
}

/// Addresses of everything that the state says is there, sorted, each once. Nothing for a state that cannot be read.
pub fn addresses(state: Option<&[u8]>) -> Vec<String> {
    state.and_then(tofu_state::addresses).unwrap_or_default()
}

/// Everything that the state says is there, sorted by address. Nothing for a state that cannot be read.
pub fn objects(state: Option<&[u8]>) -> Vec<Object> {
    state.and_then(tofu_state::objects).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{addresses, objects, servers};

    #[test]
    fn a_state_that_is_not_there_or_cannot_be_read_names_nothing() {
        let state = br#"{"resources":[{"mode":"managed","type":"t","name":"cp","instances":[{"index_key":0}]}]}"#;
        assert_eq!((addresses(Some(state)), objects(Some(state)).len()), (vec!["t.cp[0]".to_owned()], 1));
        for state in [None, Some(b"broken".as_slice())] {
            assert!(addresses(state).is_empty() && objects(state).is_empty());
        }
        assert_eq!(
            (servers(None), servers(Some(b"")), servers(Some(b"broken"))),
            (Some(Vec::new()), Some(Vec::new()), None)
        );
    }
}
