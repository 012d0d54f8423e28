#!/usr/bin/env bash
# Builds everything, gets OpenTofu if it is not on PATH, and serves on loopback with the rehearsal cloud. Callers need a token,
# which is made here once, unless CATALYST_AUTH says otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${CATALYST_DATA_DIR:-target/run}
listen=${CATALYST_LISTEN:-127.0.0.1:8080}
target=${CARGO_TARGET_DIR:-target}
auth=${CATALYST_AUTH:-token}

tofu=$(tests/tools/get.sh tofu)
scripts/plugins.sh
cargo build --locked --release --bin catalyst
# What lies there is of this user alone.
umask 077
mkdir -p "$data"
data=$(cd "$data" && pwd)

# The list holds a digest; the token itself is in a file that curl reads, so that no command line and no log shows it.
token_once() {
    local list=$1 header=$2 token
    if [[ -s $list && -s $header ]]; then
        return
    fi
    token=$(CATALYST_AUTH=none "$target/release/catalyst" token new --name make-run --scope admin 2>&1 >"$list.new") || {
        printf '%s\n' "$token" >&2
        exit 1
    }
    printf 'Authorization: Bearer %s\n' "$token" >"$header"
    mv "$list.new" "$list"
}

# It will hold a token that reads one deployment.
touch "$data/deployment.json"
header=$data/curl-header
note=
if [[ $auth == none ]]; then
    note="CATALYST_AUTH is none, so nobody is asked for a token."
elif [[ $auth == token && -z ${CATALYST_AUTH_TOKENS:-} ]]; then
    export CATALYST_AUTH_TOKENS=$data/tokens
    token_once "$CATALYST_AUTH_TOKENS" "$header"
    chmod 600 "$CATALYST_AUTH_TOKENS" "$header"
else
    header=$data/curl-header.own
    note="Write the line \`Authorization: Bearer <your token>\` into ${header#"$PWD/"} first."
fi
chmod 600 "$data/deployment.json"

# As a shell reads it, and short where it lies below this folder.
shown() { printf %q "${1#"$PWD/"}"; }
call="curl -sS"
if [[ $auth != none ]]; then
    call+=" -H @$(shown "$header")"
fi
answer=$(shown "$data/deployment.json")

cat <<TEXT

Try it from another terminal, in this folder.${note:+ $note} Create a deployment on the rehearsal cloud, which costs nothing:

  $call http://$listen/api/v1/deployments -d @scripts/rehearsal.json | tee $answer

Follow it:

  $call -N http://$listen/api/v1/deployments/\$(jq -r .id $answer)/logs

It waits for its first node. Play that node, with a small cluster on it:

  CATALYST_STATE_DIR=$(shown "$data/state") $target/release/catalyst rehearse \$(jq -r .id $answer)

TEXT

unset CATALYST_DATA_DIR CATALYST_TOOLS_DIR
export CATALYST_LISTEN=$listen CATALYST_AUTH=$auth
export CATALYST_API_PUBLIC_URL=${CATALYST_API_PUBLIC_URL:-http://$listen}
export CATALYST_PLUGINS_DIR=$target/plugins CATALYST_TOFU_BIN=$tofu
export CATALYST_DEPLOYMENTS_DIR=$data/deployments CATALYST_KUBECONFIGS_DIR=$data/kubeconfigs
export CATALYST_STATE_DIR=$data/state CATALYST_TOFU_WORKDIR=$data/tofu CATALYST_CACHE_DIR=$data/cache
export CATALYST_PHASE1_SETTLE=${CATALYST_PHASE1_SETTLE:-5s}
exec "$target/release/catalyst" serve
