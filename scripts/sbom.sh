#!/usr/bin/env bash
# Writes the bills of materials of all that the image holds, as CycloneDX: one of the host, of each plugin, of OpenTofu and of
# each provider. The same bytes for the same sources and programs, wherever they lie.
#
#   sbom.sh [folder]         target/sbom where none is given; other bills in it are removed first
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
out=${1:-$target/sbom}
spec=1.5
. scripts/plugin-names.sh
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
crates=$(tests/tools/get.sh cargo-cyclonedx)
modules=$(tests/tools/get.sh cyclonedx-gomod)
jq=$(tests/tools/get.sh jq)
tofu=$(tests/tools/get.sh tofu)
providers=$(scripts/providers.sh)
host=$(rustc -vV | sed -n 's/^host: //p')

mkdir -p "$out"
rm -f "$out"/*.cdx.json

# It writes beside each manifest, so it works on a copy. It lists what any feature and any test of any member could pull in; Cargo's
# own tree says what of it is built.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
tar -c --exclude=target --exclude=.git --exclude=node_modules . | tar -x -C "$copy"
name=catalyst-sbom
of_crates() {
    "$crates" cyclonedx --quiet --format json --spec-version "$spec" --target "$1" --manifest-path "$copy/host/Cargo.toml" \
        --override-filename "$name"
}
keep() {
    package=$1 triple=$2 folder=$3 file=$4
    cargo tree --locked --package "$package" --target "$triple" --edges normal,build --prefix none --format '{p}' |
        sed -n 's/^\([^ ]*\) v\([^ ]*\).*$/\1@\2/p' | sort -u |
        "$jq" --raw-input . |
        "$jq" --slurp --arg sources "file://$copy" --slurpfile all "$copy/$folder/$name.json" --from-file scripts/sbom.jq \
            >"$out/$file.cdx.json"
}
of_crates "$host"
keep catalyst "$host" host catalyst
of_crates wasm32-wasip2
for plugin in "${plugins[@]}"; do
    keep "catalyst-plugin-$plugin" wasm32-wasip2 "plugins/$plugin" "plugin-$plugin"
done

# What Go has written into a program says of which modules it was made.
of_modules() {
    "$modules" bin -json -std -noserial -notimestamp -output-version "$spec" -version "v$2" -output "$out/$3.cdx.json" "$1"
}
of_modules "$tofu" "$(TF_CLI_CONFIG_FILE=/dev/null "$tofu" version | sed -n 's/^OpenTofu v//p')" tofu
while read -r source version program; do
    of_modules "$program" "$version" "terraform-provider-${source##*/}"
done <<<"$providers"
ls "$out"/*.cdx.json
