//! Has an id that would be a path.
#![cfg(target_arch = "wasm32")]

use catalyst_hostile_guests::bindings::catalyst::provisioner::descriptor::Provider;
use catalyst_hostile_guests::{Component, Guest, bindings, provider};

struct Liar;

impl Guest for Liar {
    fn describe() -> Provider {
        provider("../cloud")
    }
}

type Exported = Component<Liar>;
bindings::export!(Exported with_types_in bindings);
