#!/usr/bin/env bash
# Measures the release build; see tests/src/bench. `bench.sh --build` adds what takes minutes: a clean build and all tests.
# `bench.sh render get` measures only those. It ends with 1 where a goal is missed.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
[ "${1:-}" != --build ] || { shift; set -- --on-demand "$@"; }

# A thousand viewers are two thousand sockets.
ulimit -n "$(ulimit -Hn)"
CATALYST_TOFU_BIN=$(tests/tools/get.sh tofu)
export CATALYST_TOFU_BIN
scripts/plugins.sh
cargo build --locked --release --bin catalyst --bin catalyst-bench
"$target/release/catalyst-bench" "$@"
