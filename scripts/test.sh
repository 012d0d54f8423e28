#!/usr/bin/env bash
# Every test on real parts. Gets its tools first; what cannot run here fails, it is not skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

say() { printf '\n== %s\n' "$*"; }

say "tools"
for tool in tofu client-go hcl hostile hcloud openstack helm promtool cargo-cyclonedx cyclonedx-gomod buildah kube-apiserver etcd cloud-init \
    shellcheck strace jq schemathesis cargo-deny cargo-shear; do
    path=$(tests/tools/get.sh "$tool")
    printf '%-16s %s\n' "$tool" "$path"
done

say "plugins"
scripts/plugins.sh

say "lint"
scripts/lint.sh

say "host"
cargo build --locked --release --bin catalyst

say "tests"
CATALYST_TOFU_BIN=$(tests/tools/get.sh tofu)
export CATALYST_TOFU_BIN
status=0
cargo test --locked --workspace --no-fail-fast 2>&1 | tee "$log" || status=$?

# One closing count over all test binaries.
awk -v status="$status" '
    /^test result:/ { passed += $4; failed += $6; ignored += $8 }
    END {
        if (ignored > 0) printf "\n%d tests are ignored, which counts as failed\n", ignored
        failed += ignored
        if (status != 0 && failed == 0) failed = 1
        printf "\n%d passed, %d failed\n", passed, failed
        exit failed > 0 || passed == 0
    }' "$log"
