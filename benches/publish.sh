#!/usr/bin/env bash
# Publishes a package of 0.5 GB to a local docker-registry, and pulls it again.
#
#   benches/publish.sh JACKAL [ZARF]
#
# Prints seconds and peak memory of a first publish, of publishing the same package
# again, and of pulling it into a verified archive; with ZARF, the same for Zarf, and
# ratios. Medians of three rounds. Each pull starts with an empty cache.
#
# The limit for a first publish is curl sending the same files, three at a time,
# without unpacking or hashing them. The limit for a pull is curl fetching them and
# cat writing them to one flushed file.
#
# Needs docker-registry, curl, zstd and GNU time.
. "$(dirname "$(realpath "$0")")/../tests/peer/lib.sh"
jackal=$(realpath "$1")
zarf=${2:+$(realpath "$2")}
need docker-registry curl zstd /usr/bin/time python3
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
mkdir blobs
zstd -dc "$archive" | tar -x -C blobs --strip-components=1 components
(cd blobs && sha256sum ./*) > sums
cat > put <<'SH'
#!/bin/sh
# REPOSITORY SHA256 FILE
at=$(curl -sfi -X POST "$1/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
exec curl -sf -X PUT -H 'Content-Type: application/octet-stream' -T "$3" "$at&digest=sha256:$2"
SH
cat > send <<'SH'
#!/bin/sh
# REPOSITORY
sed 's,\./,blobs/,' sums | xargs -P 3 -L 1 sh ./put "$1"
SH
cat > fetch <<'SH'
#!/bin/sh
# REPOSITORY
rm -rf got && mkdir got
cut -d' ' -f1 sums | xargs -P 3 -I{} curl -sf -o got/{} "$1/blobs/sha256:{}"
cat got/* > got.all
sync got.all
SH
for round in 1 2 3; do
  timed limit.first sh ./send "http://127.0.0.1:$port/v2/l$round"
  timed limit.pull sh ./fetch "http://127.0.0.1:$port/v2/l$round"
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
    if os.path.exists(f"limit.{what}"):
        least, _ = median(f"limit.{what}")
        line += f"   limit {least:6.2f} s   ratio {ours / least:.2f}"
    print(line)
PY
