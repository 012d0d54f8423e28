#!/usr/bin/env bash
# Builds everything, gets OpenTofu if it is not on PATH, and serves on loopback with the rehearsal cloud.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${CATALYST_DATA_DIR:-target/run}
listen=${CATALYST_LISTEN:-127.0.0.1:8080}
target=${CARGO_TARGET_DIR:-target}

tofu=$(tests/tools/get.sh tofu)
scripts/plugins.sh
cargo build --locked --release --bin catalyst
mkdir -p "$data"
data=$(cd "$data" && pwd)

cat <<TEXT

Try it from another terminal. Create a deployment on the rehearsal cloud, which costs nothing:

  curl -sS http://$listen/api/v1/deployments -d @scripts/rehearsal.json | tee /tmp/deployment.json

Follow it:

  curl -sSN http://$listen/api/v1/deployments/\$(jq -r .id /tmp/deployment.json)/logs

It waits for its first node. Play that node, with a small cluster on it:

  CATALYST_STATE_DIR=$data/state $target/release/catalyst rehearse \$(jq -r .id /tmp/deployment.json)

TEXT

unset CATALYST_DATA_DIR CATALYST_TOOLS_DIR
export CATALYST_LISTEN=$listen CATALYST_AUTH=none
export CATALYST_API_PUBLIC_URL=${CATALYST_API_PUBLIC_URL:-http://$listen}
export CATALYST_PLUGINS_DIR=$target/plugins CATALYST_TOFU_BIN=$tofu
export CATALYST_DEPLOYMENTS_DIR=$data/deployments CATALYST_KUBECONFIGS_DIR=$data/kubeconfigs
export CATALYST_STATE_DIR=$data/state CATALYST_TOFU_WORKDIR=$data/tofu CATALYST_CACHE_DIR=$data/cache
export CATALYST_PHASE1_SETTLE=${CATALYST_PHASE1_SETTLE:-5s}
exec "$target/release/catalyst" serve
