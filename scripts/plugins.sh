#!/usr/bin/env bash
# Builds the provider plugins for wasm32-wasip2 and lays them into target/plugins: the same bytes on every machine.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
. scripts/plugin-names.sh
. scripts/remap.sh

rustup target list --installed 2>/dev/null | grep -qx wasm32-wasip2 || rustup target add wasm32-wasip2
cargo build "${remap[@]}" --locked --profile plugin --target wasm32-wasip2 "${plugin_packages[@]}"
mkdir -p "$target/plugins"
for plugin in "${plugins[@]}"; do
    install -m 0644 "$target/wasm32-wasip2/plugin/catalyst_plugin_$plugin.wasm" "$target/plugins/$plugin.wasm"
done
