# Shared by the peer suites and the benchmarks: a temporary folder, servers that are
# stopped at the end, and counted checks.
set -euo pipefail

# need PROGRAM...: fails if programs are missing, with what the script's head says of them.
need() {
  local peer missing=
  for peer in "$@"; do
    command -v "$peer" > /dev/null || missing="$missing $peer"
  done
  [ -z "$missing" ] && return
  echo "missing programs:$missing"
  awk 'NR > 1 && !/^#/ { exit } NR > 1 { print substr($0, 3) }' "$0"
  exit 1
}

# Changes to a new folder with its own home, cache and state.
begin() {
  work=$(mktemp -d)
  servers=()
  trap 'kill "${servers[@]}" 2> /dev/null || true; rm -rf "$work"' EXIT
  cd "$work"
  export HOME=$work/home JACKAL_CACHE=$work/cache JACKAL_STATE_DIR=$work/state
  mkdir home
}

passed=0
ok() { passed=$((passed + 1)); echo "ok: $*"; }
fail() { echo "FAILED: $*"; cat last.log 2> /dev/null || true; exit 1; }
yes_() { "$@" > last.log 2>&1 || fail "expected success: $*"; }
no_() { if "$@" > last.log 2>&1; then fail "expected a refusal: $*"; fi; }

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

listening() { # PORT
  for _ in $(seq 1 100); do
    python3 -c "import socket; socket.create_connection(('127.0.0.1', $1), 1)" 2> /dev/null && return
    sleep 0.1
  done
  fail "nothing listens on $1"
}

wait_for() { # FILE: waits until it is not empty
  for _ in $(seq 1 100); do [ -s "$1" ] && return; sleep 0.1; done
  fail "$1 stayed empty"
}

serve() { # PORT NAME [HTTP-YAML [MORE-YAML]]: Debian's docker-registry on loopback
  cat > "$2.yml" <<YML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $PWD/$2}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$1"${3:-}}
${4:-}
YML
  docker-registry serve "$2.yml" > "$2.log" 2>&1 &
  servers+=($!)
  listening "$1"
}

own_registry() { # NAME: `jackal dev registry`; its address goes to NAME.addr
  "$jackal" dev registry --dir "$work/$1" > "$1.addr" 2> "$1.log" &
  servers+=($!)
  wait_for "$1.addr"
}

peer_package() { # a package `peer` with one small file, in pkg
  mkdir -p pkg
  echo hello > pkg/data
  cat > pkg/jackal.yaml <<YML
kind: JackalPackageConfig
metadata: {name: peer, version: "1.0.0", architecture: amd64}
components:
- name: data
  files: [{source: data, target: /srv/data}]
YML
}

digest_of() { # HOST REPOSITORY TAG: of the first manifest in its index
  curl -sf -H 'Accept: application/vnd.oci.image.index.v1+json' "http://$1/v2/$2/manifests/$3" |
    python3 -c "import json,sys; print(json.load(sys.stdin)['manifests'][0]['digest'])"
}
