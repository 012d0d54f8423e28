//! End-to-end, hostile-guest, crash and convention tests on real parts.
