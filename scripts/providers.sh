#!/usr/bin/env bash
# Prints each cloud's own OpenTofu provider: its source, the version that infra/ pins, and the path of its program, which is got
# where it is missing. The rehearsal has no provider but OpenTofu's own.
set -euo pipefail
cd "$(dirname "$0")/.."

for pinned in infra/*/versions.tf; do
    source=$(sed -n 's/^.*source *= "\([a-z0-9/-]*\)".*$/\1/p' "$pinned")
    version=$(sed -n 's/^.*version *= "= \([0-9.]*\)".*$/\1/p' "$pinned")
    [ -n "$source" ] || continue
    [ -n "$version" ] || { printf '%s\n' "providers.sh: $pinned pins no version of its provider" >&2; exit 1; }
    program=$(tests/tools/get.sh "${source##*/}")
    printf '%s %s %s\n' "$source" "$version" "$program"
done
