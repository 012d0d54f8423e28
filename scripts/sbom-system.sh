#!/usr/bin/env bash
# Prints the bill of materials of what an image takes from the system it is built on, as CycloneDX: the packages of the files that
# a list names, a path a line, and that of the trust store.
set -euo pipefail
list=$(realpath -- "$1")
cd "$(dirname "$0")/.."
jq=$(tests/tools/get.sh jq)
command -v dpkg-query >/dev/null || {
    printf '%s\n' "sbom-system.sh: only Debian and its like can say here whose these files are: build the image there" >&2
    exit 1
}

# shellcheck source=/dev/null
system=$(. /etc/os-release && printf '%s-%s' "$ID" "${VERSION_ID:-}")

# A path of before Debian merged /lib into /usr/lib may be the one that the package knows.
owner() { dpkg-query --search "$1" 2>/dev/null || dpkg-query --search "/usr$1" 2>/dev/null || dpkg-query --search "${1#/usr}"; }
# shellcheck disable=SC2016
while read -r path; do
    owner "$path" | sed -n '1s/: .*$//p'
done <"$list" | { cat; echo ca-certificates; } | sort -u |
    xargs dpkg-query --show --showformat='${Package} ${Version} ${Architecture} ${source:Package} ${source:Version}\n' |
    "$jq" --raw-input --slurp --arg system "$system" --from-file scripts/sbom-system.jq
