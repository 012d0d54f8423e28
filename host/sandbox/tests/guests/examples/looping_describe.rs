//! Loops when it is asked who it is.
#![cfg(target_arch = "wasm32")]

use catalyst_hostile_guests::bindings::catalyst::provisioner::descriptor::Provider;
use catalyst_hostile_guests::{Component, Guest, bindings, provider};

struct LoopingDescribe;

impl Guest for LoopingDescribe {
    fn describe() -> Provider {
        let mut n: u64 = 0;
        while std::hint::black_box(n) < u64::MAX {
            n = std::hint::black_box(n) % 1000 + 1;
        }
        provider("never")
    }
}

type Exported = Component<LoopingDescribe>;
bindings::export!(Exported with_types_in bindings);
