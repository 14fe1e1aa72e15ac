#!/usr/bin/env bash
# Publishes one signed package and a hundred of them, and publishes them again when
# nothing has changed.
#
#   benches/nights.sh JACKAL [PACKAGES]     (default: 100)
#
# Uses `jackal dev registry`: with the referrers API, with fallback tags, and with fallback
# tags and 20 ms for each request. Prints the seconds of each release, the requests of a
# package in a quiet night, and the ratio of a quiet night to three HEAD requests for each
# package, 16 at a time, by curl: the median of five pairs. Without delay that ratio is
# about the processor time of two programs. Exits with 1 if a quiet night writes or takes
# more than three requests for a package.
. "$(dirname "$(realpath "$0")")/../tests/peer/lib.sh"
jackal=$(realpath "$1")
packages=${2:-100}
need curl python3
begin
export COSIGN_PASSWORD=pw
touch jackal-workspace.yaml
for number in $(seq 1 "$packages"); do
  mkdir -p "p$number"
  echo "$number" > "p$number/data"
  cat > "p$number/jackal.yaml" <<YML
kind: JackalPackageConfig
metadata: {name: p$number, version: "1.0.0", architecture: amd64}
components: [{name: data, files: [{source: data, target: /data}]}]
YML
done
mkdir one && echo one > one/data && sed 's/name: p1,/name: one,/' p1/jackal.yaml > one/jackal.yaml
sleep 0.1
yes_ "$jackal" build
yes_ "$jackal" tools gen-key -o keys
for kind in generic distribution distant; do
  case $kind in
    distant) like=(--profile distribution --fault rate=1,kinds=slow,delay=20ms) ;;
    *) like=(--profile "$kind") ;;
  esac
  "$jackal" dev registry "${like[@]}" --dir "$work/$kind" --log "$work/$kind.log" > "$kind.addr" 2> /dev/null &
  servers+=($!)
  wait_for "$kind.addr"
done
cat > nights.py <<'PY'
import glob, json, statistics, subprocess, sys, time
jackal, packages = sys.argv[1], int(sys.argv[2])
archives = [path for path in sorted(glob.glob("dist/*-p[0-9]*.tar.zst"))]
one = glob.glob("dist/*-one-*.tar.zst")
assert len(archives) == packages, len(archives)

def log(kind, start=0):
    return [json.loads(line) for line in open(f"{kind}.log")][start:]

def publish(kind, sources):
    host = open(f"{kind}.addr").read().strip()
    command = [jackal, "package", "publish", *sources, f"oci://{host}/team",
               "--signing-key", "keys/cosign.key", "--signature", "detached", "--state-dir", "state"]
    before, began = len(log(kind)), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    taken = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    return taken, log(kind, before)

def heads(kind):
    host = open(f"{kind}.addr").read().strip()
    with open("urls", "w") as urls:
        for number in range(1, packages + 1):
            for _ in range(3):
                urls.write(f'url = "http://{host}/v2/team/p{number}/manifests/1.0.0"\noutput = "/dev/null"\n')
    command = ["curl", "-fI", "--no-progress-meter", "-H", "Accept: application/vnd.oci.image.index.v1+json",
               "--parallel", "--parallel-max", "16", "--parallel-immediate", "--config", "urls"]
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - began

failed = False
for kind in ("generic", "distribution", "distant"):
    alone, _ = publish(kind, one)
    many, requests = publish(kind, archives)
    print(f"{kind:12} one {alone:.2f} s, {packages} packages {many:.2f} s ({len(requests) / packages:.1f} requests each)")
    pairs, quiet = [], []
    for _ in range(5):
        night, requests = publish(kind, archives)
        wrote = [r for r in requests if r["method"] not in ("GET", "HEAD")]
        failed |= bool(wrote) or len(requests) > 3 * packages
        quiet.append(len(requests) / packages)
        pairs.append((night, heads(kind)))
    ratio = statistics.median(night / head for night, head in pairs)
    night, head = (statistics.median(times) for times in zip(*pairs))
    print(f"{'':12} quiet night {night:.2f} s, {max(quiet):.1f} requests each; {3 * packages} HEADs {head:.2f} s; ratio {ratio:.2f}")
sys.exit(failed)
PY
python3 nights.py "$jackal" "$packages"
