#!/usr/bin/env bash
# Kills cold builds at random moments and builds again. The second build must give
# the same bytes and leave no unfinished files.
#
#   benches/crash.sh JACKAL PACKAGE-FOLDER [ROUNDS]
#
# PACKAGE-FOLDER is copied; its images must be reachable. Exits with 1 at the first
# wrong byte, failed rerun or unfinished file.
set -euo pipefail
jackal=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -a "$2" "$work/src"
rounds=${3:-100}
cd "$work/src"
rm -rf dist
build() { "$jackal" build --cache-dir "$work/cache" --output "$work/dist" "$@"; }
start=$(date +%s%N)
build > /dev/null 2>&1
wall=$((($(date +%s%N) - start) / 1000000))
expected=$(sha256sum "$work"/dist/* | cut -d' ' -f1)
echo "clean build: $wall ms, $expected"
for round in $(seq 1 "$rounds"); do
  rm -rf "$work/cache" "$work/dist"
  build > /dev/null 2>&1 &
  pid=$!
  delay=$(((RANDOM * 32768 + RANDOM) % wall))
  sleep "$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))"
  kill -9 "$pid" 2> /dev/null || true
  wait "$pid" 2> /dev/null || true
  timeout 120 "$jackal" build --cache-dir "$work/cache" --output "$work/dist" > /dev/null 2> "$work/log" ||
    { echo "round $round, killed after $delay ms: rerun failed"; cat "$work/log"; exit 1; }
  found=$(sha256sum "$work"/dist/* | cut -d' ' -f1)
  [ "$found" = "$expected" ] || { echo "round $round: archive differs, or more than one file: $found"; ls -la "$work/dist"; exit 1; }
  left=$(find "$work/cache/v1/ingest" "$work/dist" -mindepth 1 ! -name 'jackal-package-*' | wc -l)
  [ "$left" = 0 ] || { echo "round $round: $left unfinished files"; find "$work/cache/v1/ingest" "$work/dist"; exit 1; }
done
echo "$rounds kills: 0 wrong bytes, 0 failed reruns, 0 unfinished files"
