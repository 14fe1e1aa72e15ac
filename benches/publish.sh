#!/usr/bin/env bash
# A package of 0.5 GB to docker-registry on loopback, and back.
#
#   benches/publish.sh JACKAL [ZARF]
#
# Prints seconds and peak memory of a first publish, of publishing the same
# again (with its requests), and of pulling it to an archive that is verified;
# with ZARF, the same of that program, and the ratios. Three rounds, the median
# counts; a pull begins with an empty cache each time.
#
# Needs docker-registry and GNU time.
. "$(dirname "$(realpath "$0")")/../tests/peer/lib.sh"
jackal=$(realpath "$1")
zarf=${2:+$(realpath "$2")}
need docker-registry /usr/bin/time python3
begin
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
"$jackal" package create pkg --confirm -o out > /dev/null 2>&1
archive=out/zarf-package-big-amd64-1.0.0.tar.zst
port=$(free_port)
serve "$port" registry
timed() { # FILE COMMAND...: appends "seconds kilobytes"
  local file=$1
  shift
  /usr/bin/time -a -o "$file" -f '%e %M' "$@" > /dev/null 2> "$file.err" || { cat "$file.err"; exit 1; }
}
for round in 1 2 3; do
  to=127.0.0.1:$port/j$round
  timed jackal.first "$jackal" package publish "$archive" "oci://$to"
  timed jackal.again "$jackal" package publish "$archive" "oci://$to"
  rm -rf cache-pull pulled
  timed jackal.pull "$jackal" package pull -a amd64 --cache-dir cache-pull -o pulled "oci://$to/big:1.0.0"
  cmp "$archive" "pulled/$(basename "$archive")"
  if [ -n "$zarf" ]; then
    to=127.0.0.1:$port/z$round
    timed zarf.first "$zarf" package publish "$archive" "oci://$to" --plain-http -l error
    timed zarf.again "$zarf" package publish "$archive" "oci://$to" --plain-http -l error
    rm -rf zarf-pull home/.zarf-cache
    mkdir zarf-pull
    timed zarf.pull "$zarf" package pull "oci://$to/big:1.0.0" --plain-http -o zarf-pull -l error
  fi
done
python3 - <<'PY'
import os
def median(path):
    rows = sorted(tuple(map(float, line.split())) for line in open(path))
    return rows[len(rows) // 2][0], max(row[1] for row in rows) / 1024
for what in ("first", "again", "pull"):
    ours, memory = median(f"jackal.{what}")
    line = f"{what:6} jackal {ours:6.2f} s {memory:4.0f} MiB"
    if os.path.exists(f"zarf.{what}"):
        theirs, heavy = median(f"zarf.{what}")
        line += f"   zarf {theirs:6.2f} s {heavy:4.0f} MiB   ratio {ours / theirs:.2f}"
    print(line)
PY
