#!/usr/bin/env bash
# Writes the bills of materials of all that the image holds, as CycloneDX: one of the host, of each plugin, of OpenTofu and of
# each provider. The same bytes for the same sources and programs, wherever they lie.
#
#   sbom.sh [folder]         target/sbom where none is given; other bills in it are removed first
set -euo pipefail
given=${1:+$(realpath -m -- "$1")}
cd "$(dirname "$0")/.."
out=${given:-${CARGO_TARGET_DIR:-target}/sbom}
spec=1.5
. scripts/plugin-names.sh
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
crates=$(tests/tools/get.sh cargo-cyclonedx)
modules=$(tests/tools/get.sh cyclonedx-gomod)
jq=$(tests/tools/get.sh jq)
tofu=$(tests/tools/get.sh tofu --pinned)
providers=$(scripts/providers.sh)
host=$(rustc -vV | sed -n 's/^host: //p')

# It writes beside each manifest, so it works on a copy of what Cargo reads; a file that somebody edits meanwhile (tar's status 1)
# is none of that. It lists what any feature and any test of any member could pull in; Cargo's own tree says what of it is built.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
{ tar -c --exclude=target Cargo.toml Cargo.lock rust-toolchain.toml host plugins tests wit || [ $? = 1 ]; } | tar -x -C "$copy"
# shellcheck disable=SC2016
sources=file://$("$jq" --null-input --raw-output --arg path "$copy" '$path | split("/") | map(@uri) | join("/")')
bills=$copy/bills
mkdir "$bills"
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
        "$jq" --slurp --arg sources "$sources" --slurpfile all "$copy/$folder/$name.json" --from-file scripts/sbom.jq \
            >"$bills/$file.cdx.json"
}
of_crates "$host"
keep catalyst "$host" host catalyst
of_crates wasm32-wasip2
for plugin in "${plugins[@]}"; do
    keep "catalyst-plugin-$plugin" wasm32-wasip2 "plugins/$plugin" "plugin-$plugin"
done

# What Go has written into a program says of which modules it was made.
of_modules() {
    "$modules" bin -json -std -noserial -notimestamp -output-version "$spec" -version "v$2" -output "$bills/$3.cdx.json" "$1"
}
of_modules "$tofu" "$(TF_CLI_CONFIG_FILE=/dev/null "$tofu" version | sed -n 's/^OpenTofu v//p')" tofu
while read -r source version program; do
    of_modules "$program" "$version" "terraform-provider-${source##*/}"
done <<<"$providers"

# Whole or not at all.
mkdir -p "$out"
rm -f "$out"/*.cdx.json
install -m 0644 "$bills"/*.cdx.json "$out/"
ls "$out"/*.cdx.json
