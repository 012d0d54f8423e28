//! Guests that end instead of answering, or break the rules of the border between guest and host.

use catalyst_sandbox::Function;

use super::kinds::{End, Fear, Guest, fear};
use super::raw::{Raw, ZEROS};

const LOG: &str = r#"(import "catalyst:provisioner/log@1.0.0" "write" (func $log (param i32 i32 i32)))"#;

fn validating(function: Function, make: impl FnOnce(&mut Raw) -> u32) -> Vec<u8> {
    let mut raw = Raw::new();
    let at = make(&mut raw);
    raw.gives(function, at).build()
}

/// Findings of which all share one large text: a small memory that would become gigabytes.
fn aliased() -> Vec<u8> {
    let body = format!(
        "(local $n i32)
        (loop $again
            (i32.store offset=200016 (i32.mul (local.get $n) (i32.const 28)) (i32.const {ZEROS}))
            (i32.store offset=200020 (i32.mul (local.get $n) (i32.const 28)) (i32.const 131072))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $n) (i32.const 100000))))
        (i32.store (i32.const 900) (i32.const 200000))
        (i32.store (i32.const 904) (i32.const 100000))
        i32.const 900"
    );
    // Ones would be no text; zeros are.
    Raw::new().body(Function::Validate, body).build()
}

pub const FEARS: &[Fear] = &[
    fear("trap", Guest::Asked("trap"), End::Trap, "trapped: wasm trap: wasm `unreachable` instruction executed"),
    fear("panic with the input in its words", Guest::Asked("panic"), End::Trap, "unreachable"),
    fear("exit in an export", Guest::Asked("exit"), End::Exit, "validate exited instead of answering"),
    fear(
        "unreachable in the allocator",
        Guest::Called(|| Raw::new().realloc("unreachable").build(), Function::Validate),
        End::Trap,
        "unreachable",
    ),
    fear(
        "an allocator that gives what is not there",
        Guest::Called(|| Raw::new().realloc("i32.const 0x7ffffff0").build(), Function::Validate),
        End::BadOutput,
        "realloc return: beyond end of memory",
    ),
    fear(
        "an allocator that gives odd addresses",
        Guest::Called(|| Raw::new().realloc("i32.const 100001").build(), Function::Validate),
        End::BadOutput,
        "realloc return: result not aligned",
    ),
    fear(
        "calling the host from the allocator",
        Guest::Called(
            || {
                Raw::new()
                    .imports(LOG)
                    .realloc("(call $log (i32.const 0) (i32.const 16) (i32.const 1)) i32.const 131072")
                    .build()
            },
            Function::Validate,
        ),
        End::Trap,
        "cannot leave component instance",
    ),
    fear(
        "trap in start code",
        Guest::Made(|| Raw::new().fields("(start $stop) (func $stop unreachable)").build()),
        End::Refused,
        "cannot describe itself: plugin hostile.wasm: describe trapped",
    ),
    fear(
        "invalid UTF-8",
        Guest::Called(
            || {
                validating(Function::Validate, |raw| {
                    let at = raw.bytes(b"ab\xff\xfe");
                    raw.finding([at, 4], 0)
                })
            },
            Function::Validate,
        ),
        End::BadOutput,
        "invalid utf-8",
    ),
    fear(
        "a text out of bounds",
        Guest::Called(|| validating(Function::Validate, |raw| raw.finding([0xffff_fff0, 100], 0)), Function::Validate),
        End::BadOutput,
        "out of bounds",
    ),
    fear(
        "a list of 2^31 elements",
        Guest::Called(|| validating(Function::Validate, |raw| raw.words(&[1024, 0x8000_0000])), Function::Validate),
        End::BadOutput,
        "out of bounds",
    ),
    fear(
        "a list at an odd address",
        Guest::Called(|| validating(Function::Validate, |raw| raw.words(&[1025, 1])), Function::Validate),
        End::BadOutput,
        "list pointer is not aligned",
    ),
    fear(
        "an answer at an odd address",
        Guest::Called(|| validating(Function::Validate, |_| 18), Function::Validate),
        End::BadOutput,
        "pointer not aligned",
    ),
    fear(
        "an answer beyond memory",
        Guest::Called(|| validating(Function::Validate, |_| 0xffff_fff0), Function::Validate),
        End::BadOutput,
        "out of bounds",
    ),
    fear(
        "many texts that are one",
        Guest::Called(aliased, Function::Validate),
        End::Handout,
        "handed out more than 4194304 bytes",
    ),
    fear(
        "an enum's case that is not there",
        Guest::Called(|| validating(Function::Validate, |raw| raw.finding([0, 0], 9)), Function::Validate),
        End::BadOutput,
        "unexpected discriminant: 9",
    ),
    fear(
        "a result that is neither",
        Guest::Called(|| validating(Function::ReadOutputs, |raw| raw.words(&[7; 12])), Function::ReadOutputs),
        End::BadOutput,
        "invalid expected discriminant",
    ),
    fear(
        "a variant's case that is not there",
        Guest::Called(
            || validating(Function::JudgeCredentials, |raw| raw.words(&[9, 0, 0])),
            Function::JudgeCredentials,
        ),
        End::BadOutput,
        "unexpected discriminant: 9",
    ),
    fear(
        "no answer at all",
        Guest::Called(|| Raw::new().body(Function::Diagnose, "unreachable").build(), Function::Diagnose),
        End::Trap,
        "diagnose trapped",
    ),
];
