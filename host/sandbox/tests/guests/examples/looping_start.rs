//! Loops before the first call: in a constructor, which runs when the component is instantiated.
#![cfg(target_arch = "wasm32")]

use catalyst_hostile_guests::{Component, Guest, bindings};

struct LoopingStart;

impl Guest for LoopingStart {}

extern "C" fn spin() {
    let mut n: u64 = 0;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

#[used]
#[expect(unsafe_code, reason = "a constructor is placed by its section")]
#[unsafe(link_section = ".init_array")]
static SPIN: extern "C" fn() = spin;

type Exported = Component<LoopingStart>;
bindings::export!(Exported with_types_in bindings);
