//! Bytes of a component: the compiler refuses or takes them, and takes only what its engine can load.

use crate::fuzz::{Pure, Random, Target, Verdict, ending};
use catalyst_sandbox::{Allocator, Counting, compile};

/// The parts that a component is made of: its head, and sections of it.
const PARTS: [&[u8]; 8] = [
    b"\0asm\x0d\0\x01\0",
    // A core module with a memory, and one without anything.
    b"\x01\x0d\0asm\x01\0\0\0\x05\x03\x01\0\x01",
    b"\x01\x08\0asm\x01\0\0\0",
    // An instance of the first module.
    b"\x02\x04\x01\0\0\0",
    // A custom section.
    b"\0\x03\x01xy",
    // A type: a function without parameters and results.
    b"\x07\x05\x01\x40\0\x01\0",
    // An import of that type.
    b"\x0a\x06\x01\0\x01a\x01\0",
    b"\x04\x08\0asm\x0d\0\x01\0",
];

const DICTIONARY: &[&str] = &[
    "\0asm",
    "\u{1}",
    "\u{2}",
    "\u{5}",
    "\u{7f}",
    "\0",
    "\u{8}",
    "wasi:",
    "cabi_realloc",
    "catalyst:provisioner/cloud@1.0.0",
];

pub(super) fn target() -> anyhow::Result<Box<dyn Target>> {
    Ok(Box::new(Pure { name: "component", dictionary: DICTIONARY, generate, check }))
}

fn generate(random: &mut Random) -> Vec<u8> {
    let mut made = PARTS[0].to_vec();
    for _ in 0..random.below(6) {
        made.extend_from_slice(random.pick(&PARTS[1..]));
    }
    if random.one_in(3) {
        let at = random.below(made.len());
        made[at] = random.byte();
    }
    made
}

fn check(input: &[u8]) -> Verdict {
    let target =
        catalyst_sandbox::Target { allocator: Allocator::OnDemand, memory_bytes: 64 << 20, counting: Counting::Off };
    match compile(input, target) {
        Ok(code) if code.is_empty() => Verdict::Broken("it is compiled to nothing".to_owned()),
        Ok(_) => Verdict::Holds("compiled".to_owned()),
        // The parser's words name what it met, so only their beginning is the same for like faults.
        Err(why) => Verdict::Holds(ending(&why.split_whitespace().take(9).collect::<Vec<_>>().join(" "))),
    }
}
