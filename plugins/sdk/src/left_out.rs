//! What the host left out of a request, because it refuses it already.

use crate::Pointer;

/// Places of a request that are blank, zero, false or absent although something was written there. What rests on one of them
/// cannot be judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut(Vec<String>);

impl LeftOut {
    /// These RFC 6901 pointers.
    pub fn new(pointers: Vec<String>) -> Self {
        Self(pointers)
    }

    /// A request that was read whole.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Whether a place, or one that it lies in, was left out.
    pub fn has(&self, place: &Pointer) -> bool {
        let place = place.to_string();
        let is_within = |outer: &String| {
            place.strip_prefix(outer.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.0.iter().any(is_within)
    }

    /// Whether one of these top-level keys was left out.
    pub fn has_any(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.has(&Pointer::to(key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_left_out_with_what_it_lies_in() {
        let left_out = LeftOut::new(vec!["/regions/0".to_owned(), "/haEnabled".to_owned()]);
        assert!(left_out.has(&Pointer::to("regions").index(0).key("workerCount")));
        assert!(left_out.has_any(&["workerCount", "haEnabled"]));
        assert!(!left_out.has(&Pointer::to("regions").index(1)) && !left_out.has(&Pointer::to("haEnabled2")));
        assert!(!LeftOut::nothing().has(&Pointer::root()));
    }
}
