//! How single values of a record are written and read, where serde's own form will not do.

use crate::event::Entry;
use serde::Deserialize;

pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

pub(super) fn null_is_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Entry>, D::Error> {
    Ok(Option::<Vec<Entry>>::deserialize(deserializer)?.unwrap_or_default())
}

/// The earlier service wrote an unset time as the year 1.
pub(super) mod go_time {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        at.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        let at = Option::<Timestamp>::deserialize(deserializer)?;
        Ok(at.filter(|at| at.as_second() > 0))
    }
}
