#!/usr/bin/env bash
# Writes the bill of materials of the host into target/sbom, as CycloneDX: the same bytes for the same sources, wherever they lie.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
version=0.5.9
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
tools=$(mkdir -p "$target/tools" && cd "$target/tools" && pwd)

"$tools/bin/cargo-cyclonedx" cyclonedx --version 2>/dev/null | grep -qF "$version" ||
    cargo install --locked --quiet --root "$tools" --version "$version" cargo-cyclonedx
# It writes beside each manifest; only the host's is of use.
trap 'find . -path "./$target" -prune -o -name "catalyst-sbom.json" -print | xargs -r rm -f' EXIT
"$tools/bin/cargo-cyclonedx" cyclonedx --quiet --format json --spec-version 1.5 --target x86_64-unknown-linux-gnu \
    --manifest-path host/Cargo.toml --override-filename catalyst-sbom
mkdir -p "$target/sbom"
sed "s|file://$PWD|file:///src|g" host/catalyst-sbom.json >"$target/sbom/catalyst.cdx.json"
printf '%s\n' "$target/sbom/catalyst.cdx.json"
