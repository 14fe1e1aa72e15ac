#!/usr/bin/env bash
# A repository with many toolchains, where nothing or one line has changed.
#
#   benches/toolchains.sh JACKAL
#
# 1. A build with nothing to do, compared with turbo and go-task: the same tasks with the
#    same inputs and outputs (benches/peers.py). Only jackal looks at the tools as well.
# 2. A one-line change with `incremental: true`, compared with the tool in place.
#
# Prints CPU seconds of whole processes and, for the first, elapsed time: the medians of
# paired runs, and the median of their ratios. Fails if a ratio of CPU seconds is above our
# aim: 1.5 and 1.3. Elapsed time is only printed, since it depends on what else runs.
#
# Needs the package indexes of Cargo, Go, npm, PyPI and Maven, and these programs:
#
#   rustup or Debian's cargo; Go; Node.js 18 or newer with npm
#   apt-get install build-essential cmake ninja-build maven default-jdk-headless gradle \
#     python3-venv python3-pip git
#   pip install uv
#   go install github.com/go-task/task/v3/cmd/task@latest
here=$(dirname "$(realpath "$0")")
. "$here/../tests/peer/lib.sh"
need cargo go node npm npx python3 uv make cc c++ cmake ninja ctest mvn java javac gradle git task
jackal=$(realpath "$1")
user_home=$HOME
begin
export HOME=$user_home
unset JACKAL_CACHE
export TURBO_TELEMETRY_DISABLED=1
commit() { git -C "$1" add -A && git -C "$1" -c user.name=b -c user.email=b@example.com commit -qm b; }

mkdir turbo
(cd turbo && npm install --no-audit --no-fund turbo) > last.log 2>&1 || fail "npm cannot install turbo"
python3 "$here/../tests/peer/monorepo.py" one --lock
git init -q one
commit one
(cd one && "$jackal" build --pipeline jackal.pipeline.yaml --cache-dir "$work/cache" -o "$work/out") > last.log 2>&1 || fail "the first build"
cp -a one peers
tasks=$(python3 "$here/peers.py" peers)
commit peers

cp -a one place
cp -a one incremental
python3 "$here/../tests/peer/monorepo.py" incremental --incremental
sleep 0.1
python3 "$here/toolchains.py" "$jackal" "$work" $tasks
