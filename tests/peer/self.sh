#!/usr/bin/env bash
# jackal builds itself: twice, by the program given and by the one that it makes, in
# folders of different depth and with caches of their own. Both packages must be equal.
#
# Usage: tests/peer/self.sh JACKAL
# It needs rustup with the target below, and musl-gcc (Debian: musl-tools).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
repository=$PWD
jackal=$(realpath "$1")
target=x86_64-unknown-linux-musl

fail() { echo "FAIL: $*" >&2; exit 1; }
command -v musl-gcc >/dev/null || fail "no musl-gcc: apt-get install musl-tools"
[ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] || fail "no target: rustup target add $target"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# build JACKAL FOLDER: clones the sources, and builds the package there.
build() {
  local folder=$work/$2
  mkdir -p "$(dirname "$folder")"
  git clone -q "$repository" "$folder"
  cp -r "$work/keys" "$folder/pipelines/self/"
  (cd "$folder" && "$1" build --pipeline pipelines/self.yaml --cache-dir "$folder.cache" -o "$folder.out") \
    > "$folder.log" 2>&1 || { tail -40 "$folder.log" >&2; fail "the build in $2"; }
}

(cd "$work" && COSIGN_PASSWORD= "$jackal" tools gen-key -o keys >/dev/null)
export COSIGN_PASSWORD=
build "$jackal" two
program=$work/two/pipelines/target/$target/release/jackal
case $(file -L "$program") in *"dynamically linked"*) fail "the program is not static" ;; esac
"$program" version >/dev/null || fail "the program does not start"
build "$program" deeper/and/deeper/three

cd "$work"
archive=$(basename "$(ls two.out/*.tar.zst)")
cmp "two.out/$archive" "deeper/and/deeper/three.out/$archive" || fail "the second and the third generation differ"
"$program" package verify "two.out/$archive" --key keys/cosign.pub >/dev/null || fail "the package is not valid"
images=$("$program" package inspect images "two.out/$archive")
grep -q '^localhost/jackal:' <<< "$images" || fail "the package has no image: $images"
"$program" package inspect sbom "two.out/$archive" --output sboms >/dev/null || fail "the SBOMs cannot be read"
[ "$(find sboms -name '*.json' | wc -l)" = 2 ] || fail "not one SBOM for the component and one for the image: $(find sboms)"
find two.out -name '*.sigstore.jsonl' | grep . >/dev/null || fail "the package has no provenance: $(ls two.out)"
echo "ok: $archive, $(stat -c %s "two.out/$archive") bytes, is the same in the second and the third generation"
