#!/usr/bin/env bash
# Builds a package of four real images, a folder of 1,000 files and a 60 MB
# binary: cold, with nothing to do, and after one changed file. Prints wall time
# (median of ROUNDS), peak memory and bytes written. For comparison it measures one
# flushed write of the same archive, and ZARF if one is given.
#
#   benches/package.sh JACKAL DIR [ZARF]
#
# DIR is kept; `benches/images.sh DIR` fills it once. Needs root, the programs of
# images.sh, GNU time, strace and unshare (Debian packages time strace util-linux).
set -euo pipefail
jackal=$(realpath "$1")
dir=$(realpath -m "$2")
zarf=${3:+$(realpath "$3")}
rounds=${ROUNDS:-5}
here=$(dirname "$(realpath "$0")")
"$here/images.sh" "$dir"
work=$(mktemp -d -p "$dir")
server=
trap 'kill $server 2> /dev/null || true; rm -rf "$work"' EXIT
cd "$work"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > registry.yml <<YML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $dir/registry-data}}
http: {addr: "127.0.0.1:$port"}
YML
docker-registry serve registry.yml > registry.log 2>&1 &
server=$!
for _ in $(seq 1 50); do
  python3 -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$port/v2/')" 2> /dev/null && break
  sleep 0.1
done

# Sources from a seed, so that every run measures the same bytes.
mkdir pkg
python3 - <<'PY'
import os, random
seed = random.Random(7)
for number in range(1000):
    path = f'pkg/tree/d{number % 40:02}/f{number:04}.txt'
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, 'w').write(''.join(seed.choice('abcdefgh \n') for _ in range(seed.randrange(200, 8000))))
half = seed.randbytes(30_000_000)
open('pkg/tool', 'wb').write(half + b'text ' * 6_000_000)
PY
definition() { # kind
  cat <<YML
kind: $1
metadata: {name: bench, version: "1.0.0", architecture: amd64}
components:
- name: files
  required: true
  files: [{source: tree, target: /srv/tree}, {source: tool, target: /usr/bin/tool}]
- name: images
  required: true
  images:
$(for name in python node go java; do echo "  - 127.0.0.1:$port/bench/$name:1.0"; done)
YML
}
definition JackalPackageConfig > pkg/jackal.yaml
mkdir zpkg && cp -al pkg/tree pkg/tool zpkg/ && definition ZarfPackageConfig > zpkg/zarf.yaml
sleep 0.1

seconds() { # command...: wall seconds
  local start=$(date +%s%N)
  "$@" > out.log 2> err.log || { cat err.log >&2; exit 1; }
  awk "BEGIN{printf \"%.3f\n\", ($(date +%s%N) - $start) / 1e9}"
}
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
export JACKAL_CACHE=$work/cache
build() { (cd pkg && "$jackal" build); }
cold() { rm -rf cache pkg/dist pkg/jackal.lock; sync; build; }
archive=pkg/dist/jackal-package-bench-amd64-1.0.0.tar.zst

for _ in $(seq "$rounds"); do rm -rf cache pkg/dist pkg/jackal.lock; sync; seconds build; done > cold.s
cold_s=$(median < cold.s)
size=$(stat -c %s "$archive")
for _ in $(seq 21); do seconds build; done > warm.s
warm_s=$(median < warm.s)
grep -q '^0 executed, ' err.log || { echo "the warm build executed tasks: $(tail -1 err.log)"; exit 1; }
# The cost of one flushed write of the archive to this disk.
for _ in $(seq "$rounds"); do sync; seconds dd if="$archive" of=copy bs=1M conv=fsync; done > disk.s
disk_s=$(median < disk.s)
rm copy

cold > /dev/null 2>&1 # once more, for memory and bytes
rm -rf cache pkg/dist pkg/jackal.lock
(cd pkg && command time -f '%M' -o ../peak "$jackal" build > /dev/null 2>&1)
rm -rf cache pkg/dist pkg/jackal.lock
(cd pkg && strace -f -qq -e trace=write,pwrite64,writev,copy_file_range,sendfile -o ../writes "$jackal" build > /dev/null 2>&1)
# Bytes in files: the cache and the output.
written=$(du -sb cache pkg/dist | awk '{n += $1} END {print n}')
syscalls=$(awk -F= '/ = [0-9]+$/ {n += $NF} END {print n}' writes)

unshare -n bash -c "cd pkg && $jackal build" > /dev/null 2> offline.log
grep -q '^0 executed, ' offline.log || { echo "offline: $(tail -1 offline.log)"; exit 1; }
echo changed >> pkg/tree/d00/f0000.txt
sleep 0.1
one_s=$(seconds build)
echo "archive $size bytes"
echo "cold    $cold_s s ($(awk "BEGIN{printf \"%.1f\", $cold_s / $disk_s}") x one flushed write of the archive, $disk_s s)"
echo "warm    $warm_s s, 0 executed, also without network"
echo "change  $one_s s: $(grep -c '^executed ' err.log) tasks: $(sed -n 's/^executed \([^ ]*\) .*/\1/p' err.log | tr '\n' ' ')"
echo "memory  $(awk '{printf "%.0f", $1 / 1024}' peak) MiB peak"
echo "written $(awk "BEGIN{printf \"%.2f\", $written / $size}") x the archive on disk, $(awk "BEGIN{printf \"%.2f\", $syscalls / $size}") x in write calls"
if [ -n "$zarf" ]; then
  zbuild() { (cd zpkg && "$zarf" package create --confirm --plain-http --zarf-cache "$work/zcache" --cache "$work/zcache" -o "$work/zout" 2>&1 || "$zarf" package create --confirm --plain-http --cache "$work/zcache" -o "$work/zout"); }
  zcold=$(rm -rf zcache zout; sync; seconds zbuild)
  zwarm=$(rm -rf zout; seconds zbuild)
  echo "zarf    cold $zcold s, warm $zwarm s: jackal takes 1/$(awk "BEGIN{printf \"%.1f\", $zcold / $cold_s}") and 1/$(awk "BEGIN{printf \"%.0f\", $zwarm / $warm_s}")"
fi
