//! Guests that look for something that differs between two calls.

use super::kinds::{End, Fear, Guest, fear};

/// What they see is the same in each call of each engine; `face` compares two calls, `determinism` two engines.
pub const FEARS: &[Fear] = &[
    fear(
        "non-determinism by clock, environment and files",
        Guest::Asked("ambient"),
        End::Harmless,
        "Ok(1577836800s) 0ns ",
    ),
    fear("non-determinism by random numbers", Guest::Asked("random"), End::Harmless, "says"),
    fear("non-determinism by hash seed", Guest::Asked("hash order"), End::Harmless, "says"),
    fear("non-determinism by address", Guest::Asked("addresses"), End::Harmless, "says"),
    fear("non-determinism by NaN", Guest::Asked("nan"), End::Harmless, "7ff8000000000000"),
    fear("memory of an earlier call", Guest::Asked("remembers"), End::Harmless, "call 1"),
];
