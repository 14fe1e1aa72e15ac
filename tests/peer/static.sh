#!/usr/bin/env bash
# Static programs for two architectures, built by ci/static.sh: they need no library, and
# both make the same package. The one for the other architecture runs under QEMU.
#
# Usage: tests/peer/static.sh JACKAL
# It needs rustup, python3 with venv, and QEMU (Debian: qemu-user).
. "$(dirname "$(realpath "$0")")/lib.sh"
repository=$(realpath "$(dirname "$(realpath "$0")")/../..")
jackal=$(realpath "$1")
# The test has a home of its own, which neither of them is in.
export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
need rustup python3 file cmp qemu-aarch64 qemu-x86_64
begin
python3 -m venv zig
zig/bin/pip install -q ziglang==0.17.1
cp -r "$repository/examples/demo" demo
yes_ "$jackal" build demo -o native -a amd64 --cache-dir cache
for architecture in amd64 arm64; do
  PATH="$work/zig/bin:$PATH" "$repository/ci/static.sh" "$architecture" programs > "$architecture.log" 2>&1 ||
    fail "$architecture: $(tail -20 "$architecture.log")"
  program=programs/jackal-linux-$architecture
  (cd programs && sha256sum --check --quiet "jackal-linux-$architecture.sha256")
  file "$program" | grep -q 'statically linked\|static-pie linked' || fail "not static: $(file "$program")"
  case $architecture in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; esac
  run=("$program")
  [ "$(uname -m)" = "$machine" ] || run=("qemu-$machine" "$program")
  yes_ "${run[@]}" version
  yes_ "${run[@]}" build demo -o "of-$architecture" -a amd64 --cache-dir "cache-$architecture"
  archive=$(basename "$(ls native/*.tar.zst)")
  cmp "native/$archive" "of-$architecture/$archive" || fail "the $architecture program makes another package"
  yes_ "${run[@]}" package verify "of-$architecture/$archive"
  echo "ok: $architecture, $(stat -c %s "$program") bytes: the same package"
done
