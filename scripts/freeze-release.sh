#!/usr/bin/env bash
# Makes a frozen folder of a release: what its host leaves on disk, for the test that the next release opens it.
#
#   freeze-release.sh CATALYST PLUGINS FOLDER
#   freeze-release.sh target/release/catalyst target/plugins tests/fixtures/release-0.2
#
# It plays deployments of the rehearsal cloud with that release and real OpenTofu, one for each state that a record can be in,
# and writes FOLDER/plain, FOLDER/sealed (its states are encrypted) and FOLDER/deployments.json. FOLDER must not exist: a
# frozen folder is never made twice. All paths are /var/lib/catalyst, in a mount namespace of its own, so that no file names
# a folder of this machine. Tokens and keys are made for the run and open nothing.
set -euo pipefail

say() { printf '%s\n' "freeze-release.sh: $*" >&2; }
die() { say "$*"; exit 1; }

# Where the frozen host listened: its nodes' user data names it.
address=127.0.0.1:18080
manager=127.0.0.1:18081
# Where the clusters of the deployments would answer.
api_port=16443
base=/var/lib/catalyst
play=/var/lib/play
# Longest wait for anything here; what waits is looked at every tenth of a second.
limit=1200

if [ "${1:-}" != --inside ]; then
    [ $# = 3 ] || die "usage: freeze-release.sh CATALYST PLUGINS FOLDER"
    catalyst=$(realpath "$1") plugins=$(realpath "$2") folder=$(realpath -m "$3")
    [ ! -e "$folder" ] || die "$folder is there already, and a frozen folder is never changed"
    cd "$(dirname "$0")/.."
    for tool in jq curl openssl python3 unshare; do
        command -v "$tool" >/dev/null || die "$tool is missing"
    done
    tofu=$(tests/tools/get.sh tofu)
    mkdir -p "$folder"
    own=()
    [ "$(id -u)" = 0 ] || own=(--map-root-user)
    exec unshare --mount "${own[@]}" "$0" --inside "$catalyst" "$plugins" "$folder" "$tofu"
fi

catalyst=$2 plugins=$3 folder=$4 tofu=$5
mount -t tmpfs tmpfs /var/lib
mkdir -p "$base" "$play"
host='' names=''
trap 'kill $host $names 2>/dev/null || true' EXIT

# OpenTofu behind two gates: while the file is there a run waits before its apply, or after it.
cat >"$play/tofu" <<TEXT
#!/bin/sh
gate() {
    [ -e "$play/\$1" ] || return 0
    echo \$\$ >"$play/\$1.waiting"
    while [ -e "$play/\$1" ]; do sleep 0.05; done
    rm -f "$play/\$1.waiting"
}
[ "\$1" = apply ] || exec "$tofu" "\$@"
gate apply
"$tofu" "\$@"
status=\$?
gate applied
exit "\$status"
TEXT
chmod 755 "$play/tofu"

# A pool-domain manager that gives and keeps every name.
cat >"$play/manager.py" <<'TEXT'
import http.server, json, sys

class Manager(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        status, said = {
            "reserve": (201, {"subdomain": body.get("subdomain"), "state": "reserved", "reservationToken": "reservation-1"}),
            "commit": (200, {"state": "active"}),
            "release": (200, {"state": "released"}),
        }.get(self.path.rsplit("/", 1)[-1], (404, {"error": "not-found"}))
        text = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass

name, port = sys.argv[1].split(":")
http.server.HTTPServer((name, int(port)), Manager).serve_forever()
TEXT

until_true() {
    what=$1
    shift
    for _ in $(seq "$limit"); do
        ! "$@" || return 0
        sleep 0.1
    done
    die "waited in vain for $what"
}

is_ready() { curl -sf "http://$address/readyz" >/dev/null; }
ask() { curl -sS -H "@$play/header" "$@"; }
status_is() { [ "$(ask "http://$address/api/v1/deployments/$1" | jq -r .status)" = "$2" ]; }
pool_name_is() { [ "$(ask "http://$address/api/v1/deployments/$1" | jq -r .dns.state)" = "$2" ]; }
becomes() { until_true "$1 to be $2" status_is "$1" "$2"; }

serve() {
    ! is_ready || die "something answers on $address already"
    env -i PATH="$PATH" HOME="$play" \
        CATALYST_LISTEN=$address CATALYST_API_PUBLIC_URL=http://$address \
        CATALYST_AUTH=token CATALYST_AUTH_TOKENS="$play/tokens" \
        CATALYST_PLUGINS_DIR="$plugins" CATALYST_CACHE_DIR="$play/cache" \
        CATALYST_TOFU_BIN="$play/tofu" CATALYST_TOFU_CONFINE=off \
        CATALYST_PHASE1_SETTLE=1s CATALYST_GHCR_PULL_TOKEN="$(openssl rand -hex 20)" \
        POOL_DOMAIN_MANAGER_URL=http://$manager "$@" \
        "$catalyst" serve 2>"$play/trace" &
    host=$!
    until_true "the host" is_ready
}

stop() {
    kill "-$1" "$host"
    wait "$host" 2>/dev/null || true
    host=''
}

# create LABEL [jq changes]: the id of a new deployment, which is written into the list of all.
create() {
    request=$(jq --arg fqdn "$1.frozen.example.test" --argjson port "$api_port" \
        '.sovereignFQDN = $fqdn | .rehearsalApiPort = $port | .regions[0].workerCount = 0' scripts/rehearsal.json |
        jq --arg token "$(openssl rand -hex 16)" '.rehearsalToken = $token' | jq "${2:-.}")
    id=$(ask "http://$address/api/v1/deployments" --json "$request" | jq -re .id)
    jq -n --arg name "$1" --arg id "$id" '{name: $name, id: $id}' >>"$play/list"
    printf '%s' "$id"
}

close() { : >"$play/$1"; }
open() { rm -f "$play/$1"; }
held() { [ -e "$play/$1.waiting" ]; }

# What k3s writes on its first server, with a CA and a client of their own.
kubeconfig() {
    (
        cd "$play"
        openssl ecparam -name prime256v1 -genkey -noout -out ca.key
        openssl req -x509 -new -key ca.key -days 3650 -subj /CN=k3s-server-ca -out ca.crt
        openssl ecparam -name prime256v1 -genkey -noout -out client.key
        openssl req -new -key client.key -subj /O=system:masters/CN=system:admin -addext extendedKeyUsage=clientAuth -out client.csr
        openssl x509 -req -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -copy_extensions copyall -out client.crt
    ) 2>/dev/null
    cat <<TEXT
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: $(base64 -w0 "$play/ca.crt")
    server: https://127.0.0.1:$api_port
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
preferences: {}
users:
- name: default
  user:
    client-certificate-data: $(base64 -w0 "$play/client.crt")
    client-key-data: $(base64 -w0 "$play/client.key")
TEXT
}

# A document that looks harmless key by key; kubectl merges the keys and would run a command.
unsafe_kubeconfig() {
    cat <<TEXT
apiVersion: v1
kind: Config
clusters: [{name: default, cluster: {server: "https://127.0.0.1:$api_port"}}]
contexts: [{name: default, context: {cluster: default, user: default}}]
current-context: default
users: [{name: default, user: {token: abc}, <<: {user: {exec: {command: /bin/sh, args: [-c, id], apiVersion: client.authentication.k8s.io/v1}}}}]
TEXT
}

# early LABEL: a deployment whose kubeconfig, read from stdin, comes while its apply goes on.
early() {
    cat >"$play/kubeconfig"
    close apply
    id=$(create "$1")
    until_true "the apply of $1" held apply
    bearer=$(jq -r .kubeconfig_bearer_token "$base/tofu/$id"/*.auto.tfvars.json)
    printf 'Authorization: Bearer %s' "$bearer" >"$play/bearer"
    code=$(curl -sS -o /dev/null -w '%{http_code}' -X PUT -H "@$play/bearer" -H 'Content-Type: application/yaml' \
        --data-binary "@$play/kubeconfig" "http://$address/api/v1/deployments/$id/kubeconfig")
    [ "$code" = 204 ] || die "the kubeconfig of $1 was answered with $code"
    open apply
    becomes "$id" phase1-watching
}

umask 077
token=$("$catalyst" token new --name operator --scope admin 2>&1 >"$play/tokens")
printf 'Authorization: Bearer %s' "$token" >"$play/header"
python3 "$play/manager.py" "$manager" &
names=$!

say "a host whose states are plain"
serve
id=$(create ready)
becomes "$id" flux-bootstrapping
env -i PATH="$PATH" HOME="$play" TMPDIR="$play" CATALYST_DEPLOYMENTS_DIR="$base/deployments" CATALYST_STATE_DIR="$base/state" \
    CATALYST_PHASE1_SETTLE=1s "$catalyst" rehearse "$id" --seconds 2 --until-done >"$play/film" ||
    { cat "$play/film"; die "the rehearsal ended early"; }
becomes "$id" ready
ask -X POST "http://$address/api/v1/deployments/$id/read-tokens" >/dev/null

id=$(create failed '.rehearsalFail = "apply-once"')
becomes "$id" failed
id=$(create waiting)
becomes "$id" flux-bootstrapping
id=$(create pool '.sovereignDomainMode = "pool" | .sovereignPoolDomain = "omani.works" | .sovereignSubdomain = "frozen"
    | .sovereignFQDN = "frozen.omani.works"')
becomes "$id" flux-bootstrapping
until_true "the pool name" pool_name_is "$id" published
id=$(create destroyed)
becomes "$id" flux-bootstrapping
ask -X DELETE "http://$address/api/v1/deployments/$id" >/dev/null
becomes "$id" destroyed
kubeconfig | early early
unsafe_kubeconfig | early unsafe
close applied
id=$(create interrupted)
until_true "the apply of interrupted" held applied
stop KILL
kill "$(cat "$play/applied.waiting")" 2>/dev/null || true
open applied

keep() {
    mkdir -p "$folder/$1"
    cp -a "$base/." "$folder/$1"
    # Locks of a process, and what OpenTofu may make anew.
    find "$folder/$1" \( -name '*.lock' -o -name .lock \) -type f -size 0 -delete
    find "$folder/$1/tofu" -mindepth 1 -maxdepth 1 ! -name "$id" -exec rm -rf {} +
}
keep plain

say "a host whose states are encrypted"
rm -rf "${base:?}"/*
key=$(openssl rand -hex 32)
serve CATALYST_STATE_KEY="$key"
id=$(create sealed)
becomes "$id" flux-bootstrapping
stop TERM
keep sealed

state_of() { jq -r .status "$folder"/*/deployments/"$1.json"; }
jq -s --arg key "$key" --arg version "$("$catalyst" --version)" --arg address "$address" \
    '{release: $version, address: $address, stateKey: $key, deployments: .}' "$play/list" |
    jq "$(jq -r .id "$play/list" | while read -r id; do
        printf '(.deployments[] | select(.id == "%s")).status = "%s" | ' "$id" "$(state_of "$id")"
    done) ." >"$folder/deployments.json"

# Nothing of this machine may be in it.
for word in "$HOME" "$(pwd)" "$(hostname)" "$tofu" "$play"; do
    # A short one stands in every encrypted text by chance.
    [ "${#word}" -gt 5 ] || continue
    ! grep -rlaF -e "$word" "$folder" || die "the files above name $word"
done
say "$(du -sh "$folder" | cut -f1) in $folder; write its README.md beside it, and see that git takes all of it"
