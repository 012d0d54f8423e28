#!/usr/bin/env bash
# Formatting and lints of everything, plugins included.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/plugin-names.sh

cargo fmt --all --check
cargo clippy --locked --quiet --all-targets -- -D warnings
cargo clippy --locked --quiet --target wasm32-wasip2 "${plugin_packages[@]}" -p catalyst-plugin-example -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --no-deps --document-private-items
