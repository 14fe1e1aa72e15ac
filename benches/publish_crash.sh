#!/usr/bin/env bash
# Kills a publish of 20 packages at random moments. After each kill, no tag may name
# anything but the release; then the publish is run to its end.
#
#   benches/publish_crash.sh JACKAL [KILLS]     (default: 100)
#
# Uses `jackal dev registry`. Prints the bytes that were sent more than once, and how
# many are allowed: the blobs in flight at a kill. Exits with 1 if a tag was wrong or
# the final state differs.
set -euo pipefail
jackal=$(realpath "$1")
kills=${2:-100}
work=$(mktemp -d)
server=
trap 'kill $server 2> /dev/null || true; rm -rf "$work"' EXIT
cd "$work"
export JACKAL_CACHE=$work/cache JACKAL_STATE_DIR=$work/state
for number in $(seq 1 20); do
  mkdir -p "p$number"
  head -c 4000000 /dev/urandom > "p$number/data"
  cat > "p$number/jackal.yaml" <<YML
kind: JackalPackageConfig
metadata: {name: p$number, version: "1.0.0", architecture: amd64}
components: [{name: data, files: [{source: data, target: /data}]}]
YML
  "$jackal" package create "p$number" --confirm -o out > /dev/null 2>&1
done
"$jackal" dev registry --dir "$work/registry" --log "$work/log" > address &
server=$!
for _ in $(seq 1 100); do [ -s address ] && break; sleep 0.1; done
cat > bench.py <<'PY'
import glob, hashlib, json, os, random, signal, subprocess, sys, time
jackal, kills, host = sys.argv[1], int(sys.argv[2]), open("address").read().strip()
random.seed(1)
archives = sorted(glob.glob("out/*.tar.zst"))

def publish(path):
    return [jackal, "package", "publish", *archives, f"oci://{host}/{path}", "--oci-concurrency", "3"]

def requests(start):
    return [json.loads(line) for line in open("log").read().splitlines()[start:]]

def count():
    return len(open("log").read().splitlines())

def tags(path):
    found = {}
    for name in glob.glob(f"registry/repositories/{path}/*/_tags/*"):
        found[name.split("/")[3]] = open(name).read()
    return found

# A run without kills gives the expected tags and the duration.
began = time.monotonic()
subprocess.run(publish("whole"), check=True, stdout=subprocess.DEVNULL)
whole = time.monotonic() - began
right = tags("whole")
assert len(right) == 20, right
sent = sum(r["bytesIn"] for r in requests(0) if "/blobs/" in r["path"])

wrong, worst, again_total, landed = 0, 0, 0, 0
largest = 3 * max(os.path.getsize(f"p{n}/data") + 10240 for n in range(1, 21))
rounds = 0
while landed < kills:
    path, start = f"r{rounds}", count()
    rounds += 1
    here = 0
    while True:
        process = subprocess.Popen(publish(path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(random.uniform(0, whole))
            assert process.returncode == 0, process.returncode
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            landed += 1
            here += 1
            visible = tags(path)
            wrong += sum(1 for name, digest in visible.items() if right.get(name) != digest)
            if here >= 10 or landed >= kills:
                subprocess.run(publish(path), check=True, stdout=subprocess.DEVNULL)
                break
    if tags(path) != right:
        sys.exit(f"{path} has other tags at the end")
    sent_here = sum(r["bytesIn"] for r in requests(start) if "/blobs/" in r["path"])
    extra = sent_here - sent
    again_total += max(extra, 0)
    if here:
        worst = max(worst, extra / here)
    subprocess.run(["rm", "-rf", f"registry/repositories/{path}"], check=True)
print(f"{landed} kills in {rounds} releases of 20 packages ({sent} bytes, {whole:.2f} s)")
print(f"wrong tags: {wrong}")
print(f"journals left: {len(glob.glob('state/*'))}")
print(f"sent again: {again_total} bytes; at most {worst:.0f} for one kill, with up to {largest} in flight")
if wrong or worst > largest:
    sys.exit(1)
PY
python3 bench.py "$jackal" "$kills"
