#!/usr/bin/env bash
# Lays out the file system of the image: host, OpenTofu, plugins, a mirror of the providers that they need, trust store, and the
# bills of materials of all of them.
#
#   image.sh [folder]        target/image where none is given; an earlier image in it is removed first
#
# Containerfile runs it in its build stage, and the tests run it where no container engine is. Two runs on one machine give the
# same bytes: every time stamp is SOURCE_DATE_EPOCH, or that of the last commit. IMAGE_BINARY names a host that was built before.
set -euo pipefail
given=${1:+$(realpath -m -- "$1")}
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
root=${given:-$target/image}
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH=$epoch
umask 022
. scripts/plugin-names.sh
. scripts/remap.sh

die() { printf '%s\n' "image.sh: $*" >&2; exit 1; }

# It will be emptied, so it must be nothing else.
if [ -n "$(ls -A "$root" 2>/dev/null)" ] && [ ! -e "$root/usr/local/bin/catalyst-dns" ]; then
    die "$root is not empty, and no image of Catalyst: name another folder"
fi

binary=${IMAGE_BINARY:-}
if [ -z "$binary" ]; then
    # Alone: beside others of the workspace it would be built with what they want of its crates. In a folder of its own, because
    # no other build has these arguments.
    CARGO_TARGET_DIR=$target/image-build cargo build "${remap[@]}" --locked --release --package catalyst --bin catalyst
    binary=$target/image-build/release/catalyst
    scripts/plugins.sh
fi
tofu=$(tests/tools/get.sh tofu --pinned)
arch=$(go env GOARCH)

rm -rf "$root"
mkdir -p "$root"/{etc/ssl/certs,home/nonroot,plugins,providers,tmp,usr/local/bin,usr/share/doc/catalyst,var/cache/catalyst,var/lib/catalyst}

# Programs. The earlier service's image has the hook under its own name.
install -m 0755 "$binary" "$root/usr/local/bin/catalyst"
ln -s catalyst "$root/usr/local/bin/catalyst-dns"
install -m 0755 "$tofu" "$root/usr/local/bin/tofu"

# Which files are the system's.
system=$(mktemp)
trap 'rm -f "$system"' EXIT

# What the host is linked with, at the very paths that it asks for. OpenTofu and the providers are static.
ldd "$root/usr/local/bin/catalyst" | sed -n 's/^.*=> \(\/[^ ]*\) .*$/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*$/\1/p' | while read -r library; do
    mkdir -p "$root${library%/*}"
    install -m 0755 "$library" "$root$library"
    printf '%s\n' "$library"
done >"$system"

# Plugins, which bytes of them may serve, and what their bundles may do.
for plugin in "${plugins[@]}"; do
    install -m 0644 "$target/plugins/$plugin.wasm" "$root/plugins/"
done
"$binary" plugin grant "$root"/plugins/*.wasm --write >&2

# Each cloud's own provider. Unpacked, so that nothing has to be written before it can run.
providers=$(scripts/providers.sh)
while read -r source version program; do
    folder=$root/providers/registry.opentofu.org/$source/$version/linux_$arch
    mkdir -p "$folder"
    install -m 0755 "$program" "$folder/terraform-provider-${source##*/}_v$version"
done <<<"$providers"

# Who and whom to trust.
install -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0::/:/none\nnonroot:x:65534:65534::/home/nonroot:/none\n' >"$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:65534:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"

# What it is made of.
scripts/sbom.sh "$root/usr/share/doc/catalyst" >&2
scripts/sbom-system.sh "$system" >"$root/usr/share/doc/catalyst/system.cdx.json"
install -m 0644 LICENSE "$root/usr/share/doc/catalyst/"

chmod 0700 "$root/var/lib/catalyst" "$root/var/cache/catalyst" "$root/home/nonroot"
chmod 1777 "$root/tmp"
if [ "$(id -u)" = 0 ]; then
    chown -R 0:0 "$root"
    chown 65534:65534 "$root/var/lib/catalyst" "$root/var/cache/catalyst" "$root/home/nonroot"
fi
find "$root" -depth -exec touch -h -d "@$epoch" {} +
printf '%s\n' "$root"
