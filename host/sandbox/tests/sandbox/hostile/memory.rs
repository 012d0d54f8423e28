//! Guests that take what they can get: memories, tables, stack, handles.

use catalyst_sandbox::Function;

use super::kinds::{End, Fear, Guest, fear};
use super::raw::{Raw, ZEROS};

const ALL_HANDLES: &str =
    r#"(import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $after (param i64) (result i32)))"#;

/// Takes what there is as soon as it is instantiated, to the last page.
const GREEDY: &str = "(module (memory 1) (start $grow)
    (func $grow (loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))))";

fn validating(body: &str) -> Raw {
    Raw::new().body(Function::Validate, body)
}

pub const FEARS: &[Fear] = &[
    fear("memory bomb", Guest::Asked("memory"), End::Memory, "wanted more than 67108864 bytes of memory"),
    fear(
        "memory bomb over several memories",
        Guest::Made(|| Raw::new().beside(GREEDY, 2).build()),
        End::Refused,
        "describe wanted more than 67108864 bytes of memory",
    ),
    fear("memory of which each part is small", Guest::Asked("tables and memory"), End::Harmless, "says"),
    fear(
        "a memory that begins too large",
        Guest::Made(|| Raw::new().beside("(module (memory 1100))", 1).build()),
        End::Refused,
        "memory",
    ),
    fear(
        "more memories than a module has",
        Guest::Made(|| Raw::new().fields(&"(memory 0)".repeat(10)).build()),
        End::Refused,
        "defined memories count of 11 exceeds the per-instance limit of 1",
    ),
    fear(
        "growth whose failure is ignored",
        Guest::Called(
            || validating("(loop $again (drop (memory.grow $main (i32.const 1))) (br $again)) unreachable").build(),
            Function::Validate,
        ),
        End::Timeout,
        "did not end within 700 ms",
    ),
    fear(
        "table bomb",
        Guest::Called(
            || {
                let grow = "(loop $again (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))";
                validating(&format!("{grow} unreachable")).fields("(table $t 1 funcref)").build()
            },
            Function::Validate,
        ),
        End::Trap,
        "unreachable",
    ),
    fear(
        "a table that begins too large",
        Guest::Made(|| Raw::new().fields("(table 10000000 funcref)").build()),
        End::Refused,
        "table",
    ),
    fear("deep recursion", Guest::Asked("recurse"), End::Trap, "trapped: wasm trap: call stack exhausted"),
    fear(
        "deep recursion of wide frames",
        Guest::Called(
            || {
                let wide = format!(
                    "(func $deep (param i64) (result i64) (local {}) (i64.add (call $deep (local.get 0)) (local.get 900)))",
                    "i64 ".repeat(1000)
                );
                validating(&format!("(drop (call $deep (i64.const 1))) i32.const {ZEROS}")).fields(&wide).build()
            },
            Function::Validate,
        ),
        End::Trap,
        "call stack exhausted",
    ),
    fear(
        "a flood of handles",
        Guest::Called(
            || {
                validating("(loop $again (drop (call $after (i64.const 1))) (br $again)) unreachable")
                    .imports(ALL_HANDLES)
                    .build()
            },
            Function::Validate,
        ),
        End::BadOutput,
        "resource table has no free keys",
    ),
    fear(
        "random bytes by the gigabyte",
        Guest::Called(
            || {
                validating("(call $random (i64.const 0x7fffffff) (i32.const 900)) unreachable")
                    .imports(r#"(import "wasi:random/random@0.2.6" "get-random-bytes" (func $random (param i64 i32)))"#)
                    .build()
            },
            Function::Validate,
        ),
        End::BadOutput,
        "asked for more than 65536 random bytes at once",
    ),
    fear(
        "huge data segments",
        Guest::Made(|| {
            let data = format!("(data (memory $main) (i32.const 4100000) \"{}\")", "x".repeat(200_000));
            Raw::new().fields(&data).build()
        }),
        End::Refused,
        "out of bounds memory access",
    ),
];
