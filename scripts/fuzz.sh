#!/usr/bin/env bash
# Fuzzes the readers of what strangers write; see tests/src/fuzz. Without a name all targets share FUZZ_SECONDS (600).
#
#   fuzz.sh [target …]                          inputs that come to an ending that is new are kept in the cache folder
#   fuzz.sh --documents 100000 kubeconfig       so many inputs of the generator, in place of a time
#   fuzz.sh --seed 17 kubeconfig                the choices of an earlier run
#   fuzz.sh --replay FILE kubeconfig            one input
#
# A broken rule is told with the input, made small, and ends it with 1. The cache is ${XDG_CACHE_HOME:-~/.cache}/catalyst-fuzz;
# what of it is worth it goes to tests/corpus/<target>, which every run and `make test` begin with.
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/catalyst-fuzz

for tool in client-go hcl; do tests/tools/get.sh "$tool" >/dev/null; done
cargo build --locked --release --bin catalyst-fuzz
program=$(realpath -- "$target/release/catalyst-fuzz")
# A file is named from where it was called.
cd "$here"
exec "$program" --seconds "${FUZZ_SECONDS:-600}" --cache "$cache" "$@"
