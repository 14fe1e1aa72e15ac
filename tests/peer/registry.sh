#!/usr/bin/env bash
# Peer tests of publishing and pulling: with docker-registry over HTTP, over TLS with a
# private CA and a client certificate, and with a login. skopeo and oras read the
# result, also from `jackal dev registry`.
#
#   tests/peer/registry.sh JACKAL
#
# Needs docker-registry, skopeo, openssl and htpasswd (Debian packages
# docker-registry skopeo openssl apache2-utils), and oras (go install
# oras.land/oras/cmd/oras@v1.2.3). A missing program is a failure.
. "$(dirname "$(realpath "$0")")/lib.sh"
jackal=$(realpath "$1")
need docker-registry skopeo openssl htpasswd oras python3
begin
peer_package
head -c 3000000 /dev/urandom > pkg/data
"$jackal" package create pkg --confirm -o out > /dev/null 2>&1
archive=out/jackal-package-peer-amd64-1.0.0.tar.zst

# HTTP.
plain=$(free_port)
serve "$plain" plain
to=oci://127.0.0.1:$plain
"$jackal" package publish "$archive" "$to/one" > first
grep -q "^$to/one/peer:1.0.0 amd64 sha256:" first || fail "publish printed: $(cat first)"
"$jackal" package publish "$archive" "$to/one" > second
grep -q unchanged second || fail "a second publish printed: $(cat second)"
ok "docker-registry accepts a package, and a second publish writes nothing"

skopeo inspect --raw --tls-verify=false "docker://127.0.0.1:$plain/one/peer:1.0.0" > index.json
python3 - index.json <<'PY' || fail "skopeo sees another index"
import json, sys
index = json.load(open(sys.argv[1]))
entry, = index["manifests"]
assert entry["platform"] == {"architecture": "amd64", "os": "multi"}, entry
PY
digest=$(python3 -c 'import json; print(json.load(open("index.json"))["manifests"][0]["digest"])')
skopeo copy -q --src-tls-verify=false "docker://127.0.0.1:$plain/one/peer@$digest" oci:read:x
"$jackal" package pull "$to/one/peer:1.0.0" -a amd64 -o pulled > /dev/null 2>&1
cmp "$archive" pulled/jackal-package-peer-amd64-1.0.0.tar.zst || fail "the pulled archive differs"
ok "skopeo reads the package, and a pulled package equals the built one"

"$jackal" package publish -a amd64 "$to/one/peer:1.0.0" "$to/two" > copied
grep -q "uploaded 0 blobs (0 bytes), mounted" copied || fail "a copy printed: $(cat copied)"
grep -q "$digest" copied || fail "the copy has another digest"
ok "a copy within a registry transfers nothing"

"$jackal" package publish "$archive" "$to/five" --max-request-body "127.0.0.1:$plain=256KiB" > pieces
grep -q "$digest" pieces || fail "a chunked publish printed: $(cat pieces)"
skopeo copy -q --src-tls-verify=false "docker://127.0.0.1:$plain/five/peer@$digest" oci:read:pieces
ok "docker-registry joins blobs that are uploaded in chunks"

"$jackal" dev registry > address &
servers+=($!)
for _ in $(seq 1 100); do [ -s address ] && break; sleep 0.1; done
own=$(cat address)
"$jackal" package publish -a amd64 "$to/one/peer:1.0.0" "oci://$own/three" > /dev/null
skopeo copy -q --src-tls-verify=false "docker://$own/three/peer@$digest" oci:read:own
skopeo copy -q --dest-tls-verify=false oci:read:own "docker://$own/four/peer:1"
back=$(skopeo inspect --raw --tls-verify=false "docker://$own/four/peer:1" | sha256sum | cut -d' ' -f1)
[ "sha256:$back" = "$digest" ] || fail "skopeo's push to our registry has digest $back"
echo attached > note.txt
oras attach --plain-http --artifact-type application/vnd.example "$own/four/peer:1" note.txt:text/plain > /dev/null
oras discover --plain-http --format json "$own/four/peer:1" | grep -q application/vnd.example || fail "oras does not find its attachment"
oras pull --plain-http -o oras "$own/three/peer@$digest" > /dev/null
cmp oras/components/data.tar <("$jackal" package extract "$archive" components/data.tar -o x > /dev/null 2>&1; cat x/components/data.tar) || fail "oras pulled a different component"
ok "skopeo and oras pull from and push to our registry"

for host in "127.0.0.1:$plain" "$own"; do
  for said in attached unchanged; do
    "$jackal" package publish "$archive" "oci://$host/sboms" --sbom-format spdx-json,cyclonedx-json > $said
    oras discover --plain-http --format json "$host/sboms/peer@$digest" > found.json
    for type in spdx vnd.cyclonedx; do
      [ "$(grep -o "\"artifactType\": \"application/$type+json\"" found.json | wc -l)" = 1 ] || fail "oras finds $(cat found.json)"
    done
  done
  grep -q unchanged unchanged || fail "a second publish with SBOMs printed: $(cat unchanged)"
done
ok "oras finds the SBOMs that are attached, in registries with and without a list of referrers"

"$jackal" package publish "$archive" "$to/six" --max-layer "127.0.0.1:$plain=1MB" --split-layers > split
parted=$(cut -d' ' -f3 split)
[ "$parted" != "$digest" ] || fail "nothing was split: $(cat split)"
oras pull --plain-http -o parts "127.0.0.1:$plain/six/peer@$parted" > /dev/null
[ -f parts/components/data.tar.part002 ] || fail "oras pulled $(ls parts/components)"
cat parts/components/data.tar.part* | cmp - x/components/data.tar || fail "the joined parts differ from the file"
skopeo copy -q --src-tls-verify=false "docker://127.0.0.1:$plain/six/peer@$parted" oci:read:parts
"$jackal" package pull "$to/six/peer:1.0.0" -a amd64 -o joined > /dev/null 2>&1
cmp "$archive" joined/jackal-package-peer-amd64-1.0.0.tar.zst || fail "the archive made of parts differs"
ok "split layers: oras and cat restore the file, and pull restores the archive"

# A private CA and a client certificate.
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority \
  -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.crt 2> /dev/null
issue() { # NAME EXTENSIONS
  openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2> /dev/null
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
    -extfile <(echo "$2") -out "$1.crt" 2> /dev/null
}
issue server 'subjectAltName=IP:127.0.0.1,DNS:localhost'
issue client 'extendedKeyUsage=clientAuth'
tls=$(free_port)
serve "$tls" tls ", tls: {certificate: $work/server.crt, key: $work/server.key, clientcas: [$work/ca.crt]}" ""
certs=$work/certs/127.0.0.1:$tls
mkdir -p "$certs"
cp ca.crt "$certs/ca.crt"
if "$jackal" package publish --certs-dir certs "$archive" "oci://127.0.0.1:$tls/x" > refused 2>&1; then
  fail "a registry that requires a client certificate accepted us without one"
fi
grep -q "requires a client certificate" refused || fail "the error does not mention the client certificate: $(cat refused)"
cp client.crt "$certs/client.cert"
cp client.key "$certs/client.key"
"$jackal" package publish --certs-dir certs "$archive" "oci://127.0.0.1:$tls/x" > /dev/null
"$jackal" package verify --certs-dir certs -a amd64 "oci://127.0.0.1:$tls/x/peer:1.0.0" > /dev/null
mkdir "$work/none"
rm "$certs/ca.crt"
if "$jackal" package verify --certs-dir certs -a amd64 "oci://127.0.0.1:$tls/x/peer:1.0.0" > refused 2>&1; then
  fail "a certificate of an unknown CA was accepted"
fi
grep -qi certificate refused || fail "the error does not mention the certificate: $(cat refused)"
"$jackal" package verify --certs-dir certs --insecure-skip-tls-verify -a amd64 "oci://127.0.0.1:$tls/x/peer:1.0.0" > told 2>&1
grep -q "NOT verified" told || fail "a check was turned off without a warning"
ok "TLS with a private CA and a client certificate, and clear errors without them"

# A login.
htpasswd -Bbc users canary s3cret-canary 2> /dev/null
auth=$(free_port)
serve "$auth" auth "" "auth: {htpasswd: {realm: peer, path: $work/users}}"
if "$jackal" package publish "$archive" "oci://127.0.0.1:$auth/x" > refused 2>&1; then
  fail "a registry that requires a login accepted us without one"
fi
grep -q "log in" refused || fail "the error does not suggest to log in: $(cat refused)"
config="{\"auths\":{\"127.0.0.1:$auth\":{\"auth\":\"$(printf 'canary:s3cret-canary' | base64)\"}}}"
DOCKER_AUTH_CONFIG=$config "$jackal" package publish "$archive" "oci://127.0.0.1:$auth/x" > told 2>&1
echo "$config" > login.json
REGISTRY_AUTH_FILE=$work/login.json "$jackal" package verify -a amd64 "oci://127.0.0.1:$auth/x/peer:1.0.0" >> told 2>&1
if grep -q s3cret told refused; then fail "the password was printed"; fi
ok "a login from the environment and from a file, never printed"

echo "$passed checks passed"
