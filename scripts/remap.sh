# Cargo's argument with which the same sources give the same bytes, wherever they, Cargo's home and the folder of build products
# lie, and tell of none of them. The folder of the sources is the working folder. The last prefix that fits counts.
# shellcheck shell=bash disable=SC2034
products=$(realpath -m -- "${CARGO_TARGET_DIR:-target}")
prefixes="'--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo','--remap-path-prefix=$PWD=/src','--remap-path-prefix=$products=/target'"
remap=(--config "target.'cfg(all())'.rustflags=[$prefixes]")
