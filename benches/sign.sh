#!/usr/bin/env bash
# Signs a package of 0.5 GB in place, and verifies it.
#
#   benches/sign.sh JACKAL ZARF
#
# Prints seconds and peak memory of signing an archive and of verifying it with the
# key, the same for Zarf, and ratios. Medians of three rounds. Each program also
# verifies what the other one signed.
#
# Needs GNU time.
. "$(dirname "$(realpath "$0")")/../tests/peer/lib.sh"
jackal=$(realpath "$1")
zarf=$(realpath "$2")
need /usr/bin/time python3
begin
export COSIGN_PASSWORD=pw ZARF_SIGNING_KEY_PASSWORD=pw
mkdir pkg
for number in 1 2 3 4; do head -c 120000000 /dev/urandom > "pkg/r$number"; done
seq 1 4000000 > pkg/text
cat > pkg/zarf.yaml <<YML
kind: ZarfPackageConfig
metadata: {name: big, version: 1.0.0, architecture: amd64}
components:
- {name: a, required: true, files: [{source: r1, target: /r1}]}
- {name: b, required: true, files: [{source: r2, target: /r2}]}
- {name: c, required: true, files: [{source: r3, target: /r3}]}
- {name: d, required: true, files: [{source: r4, target: /r4}, {source: text, target: /t}]}
YML
yes_ "$jackal" package create pkg --confirm -o plain
name=zarf-package-big-amd64-1.0.0.tar.zst
yes_ "$jackal" tools gen-key -o keys
key=(--signing-key keys/cosign.key)
timed() { # FILE COMMAND...: appends "seconds kilobytes"
  local file=$1
  shift
  /usr/bin/time -a -o "$file" -f '%e %M' "$@" > last.log 2>&1 || fail "$*"
}
for round in 1 2 3; do
  for who in jackal zarf; do
    rm -rf "$who"
    mkdir "$who"
    cp "plain/$name" "$who/"
    sync
    case $who in
      jackal) timed jackal.sign "$jackal" package sign "jackal/$name" "${key[@]}" ;;
      zarf) timed zarf.sign "$zarf" package sign "zarf/$name" "${key[@]}" --signing-key-pass pw -l error ;;
    esac
  done
  timed jackal.verify "$jackal" package verify "jackal/$name" --key keys/cosign.pub
  timed zarf.verify "$zarf" package verify "zarf/$name" --key keys/cosign.pub -l error
done
yes_ "$jackal" package verify "zarf/$name" --key keys/cosign.pub
yes_ "$zarf" package verify "jackal/$name" --key keys/cosign.pub
python3 - <<'PY'
def median(path):
    rows = sorted(tuple(map(float, line.split())) for line in open(path))
    return rows[len(rows) // 2][0], max(row[1] for row in rows) / 1024
for what in ("sign", "verify"):
    (ours, memory), (theirs, heavy) = median(f"jackal.{what}"), median(f"zarf.{what}")
    print(f"{what:6} jackal {ours:6.2f} s {memory:4.0f} MiB   zarf {theirs:6.2f} s {heavy:4.0f} MiB   ratio {ours / theirs:.2f}")
PY
