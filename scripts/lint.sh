#!/usr/bin/env bash
# Formatting and lints of everything, plugins included, and of the dependencies: licences, bans, sources, and whether each is
# used. What is known to be wrong with them (advisories) has to be asked for over the network: .github/workflows/advisories.yml.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/plugin-names.sh

cargo fmt --all --check
cargo clippy --locked --quiet --all-targets -- -D warnings
cargo clippy --locked --quiet --target wasm32-wasip2 "${plugin_packages[@]}" -p catalyst-plugin-example -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --no-deps --document-private-items

# The dependencies are there by now, but for those of other systems.
cargo fetch --locked --quiet
deny=$(tests/tools/get.sh cargo-deny)
"$deny" --offline --locked --log-level error check --hide-inclusion-graph licenses bans sources
shear=$(tests/tools/get.sh cargo-shear)
"$shear" --locked --offline
