//! Guests that do not come back.

use catalyst_sandbox::Function;

use super::kinds::{End, Fear, Guest, fear};
use super::raw::{Raw, ZEROS};

const LOOP: &str = "(loop $again (br $again)) unreachable";

/// Spins for some milliseconds, far below its budget, and answers.
const SPIN: &str = "(local $n i32) (loop $again
    (local.set $n (i32.add (local.get $n) (i32.const 1))) (br_if $again (i32.lt_u (local.get $n) (i32.const 3000000))))";

fn looping(function: Function) -> Vec<u8> {
    Raw::new().body(function, LOOP).build()
}

const POLL: &str = r#"(import "wasi:io/poll@0.2.6" "poll" (func $poll (param i32 i32 i32)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $after (param i64) (result i32)))"#;

pub const FEARS: &[Fear] = &[
    fear("loop in describe", Guest::Built("looping_describe"), End::Refused, "describe did not end within 700 ms"),
    fear(
        "loop in validate",
        Guest::Called(|| looping(Function::Validate), Function::Validate),
        End::Timeout,
        "validate did not end within 700 ms",
    ),
    fear(
        "loop in render",
        Guest::Called(|| looping(Function::Render), Function::Render),
        End::Timeout,
        "render did not end within 700 ms",
    ),
    fear(
        "loop in read-outputs",
        Guest::Called(|| looping(Function::ReadOutputs), Function::ReadOutputs),
        End::Timeout,
        "read-outputs did not end within 700 ms",
    ),
    fear(
        "loop in diagnose",
        Guest::Called(|| looping(Function::Diagnose), Function::Diagnose),
        End::Timeout,
        "diagnose did not end within 700 ms",
    ),
    fear(
        "loop in estimate",
        Guest::Called(|| looping(Function::Estimate), Function::Estimate),
        End::Timeout,
        "estimate did not end within 700 ms",
    ),
    fear(
        "loop in credential-probe",
        Guest::Called(|| looping(Function::CredentialProbe), Function::CredentialProbe),
        End::Timeout,
        "credential-probe did not end within 700 ms",
    ),
    fear(
        "loop in judge-credentials",
        Guest::Called(|| looping(Function::JudgeCredentials), Function::JudgeCredentials),
        End::Timeout,
        "judge-credentials did not end within 700 ms",
    ),
    fear("loop in start code", Guest::Built("looping_start"), End::Refused, "describe did not end within 700 ms"),
    fear(
        "loop in the start function",
        Guest::Made(|| Raw::new().fields("(start $spin) (func $spin (loop $again (br $again)))").build()),
        End::Refused,
        "describe did not end within 700 ms",
    ),
    fear("loop around a host call", Guest::Asked("loop in log"), End::Timeout, "did not end within 700 ms"),
    fear("loop without a host call", Guest::Asked("loop"), End::Timeout, "did not end within 700 ms"),
    fear(
        "loop in the allocator",
        Guest::Called(|| Raw::new().realloc(LOOP).build(), Function::Validate),
        End::Timeout,
        "validate did not end within 700 ms",
    ),
    fear(
        "spinning just under the limit",
        Guest::Called(
            || Raw::new().body(Function::Validate, format!("{SPIN} i32.const {ZEROS}")).build(),
            Function::Validate,
        ),
        End::Harmless,
        "[]",
    ),
    fear("a long sleep", Guest::Asked("sleep"), End::Harmless, "slept"),
    fear(
        "polling for ever on nothing",
        Guest::Called(
            || {
                let body = format!("(call $poll (i32.const {ZEROS}) (i32.const 0) (i32.const 900)) i32.const {ZEROS}");
                Raw::new().imports(POLL).body(Function::Validate, body).build()
            },
            Function::Validate,
        ),
        End::BadOutput,
        "empty poll list",
    ),
    fear(
        "polling again and again on what is ready",
        Guest::Called(
            || {
                let body = "(i32.store (i32.const 800) (call $after (i64.const 1000000000000)))
                    (loop $again (call $poll (i32.const 800) (i32.const 1) (i32.const 900)) (br $again)) unreachable";
                Raw::new().imports(POLL).body(Function::Validate, body).build()
            },
            Function::Validate,
        ),
        End::Timeout,
        "did not end within 700 ms",
    ),
];
