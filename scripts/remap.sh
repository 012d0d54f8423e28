# Cargo's argument with which the same sources give the same bytes, wherever they and Cargo's home lie, and tell of neither. The
# folder of the sources is the working folder.
# shellcheck shell=bash disable=SC2034
remap=(--config "target.'cfg(all())'.rustflags=['--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo','--remap-path-prefix=$PWD=/src']")
