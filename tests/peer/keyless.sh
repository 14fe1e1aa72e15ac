#!/usr/bin/env bash
# Peer tests of keyless signing with a local Sigstore: both log versions, a timestamp
# authority alone, and every source of tokens. cosign and sigstore-python verify the
# result, and the reverse. Releases are also made while the log fails.
#
#   tests/peer/keyless.sh JACKAL COSIGN3 FAKESIGSTORE [PUBLISHES [OUTAGE]]
#
# FAKESIGSTORE is a program like fakesigstore.py: it writes its trust config to
# `--dir DIR` and one line of JSON with its addresses to stdout. Needs python3 with
# `cryptography`, `sigstore` (PyPI sigstore==4.5.1), openssl and strace. A missing
# program is a failure. PUBLISHES releases (20) are made while half of the log's
# responses are 502, and all of them for OUTAGE seconds (5).
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
jackal=$(realpath "$1") cosign=$(realpath "$2") fake=$(realpath "$3")
publishes=${4:-20} outage=${5:-5}
need python3 openssl strace sigstore zstd curl "$cosign"
python3 -c 'import cryptography' || { echo "missing Python package: cryptography"; exit 1; }
begin
export COSIGN_PASSWORD=pw
peer_package
yes_ "$jackal" package create pkg --confirm -o plain
archive=jackal-package-peer-amd64-1.0.0.tar.zst
own_registry registry
python3 "$fake" --dir "$work/sigstore" > sigstore.json 2> sigstore.log &
servers+=($!)
wait_for sigstore.json
host=$(tr -d '\n' < registry.addr)
base=$(python3 -c 'import json; print(json.load(open("sigstore.json"))["base"])')
config=$work/sigstore/client_trust_config.json root=$work/sigstore/trusted_root.json
export JACKAL_TRUST_CONFIG=$config
token() { curl -sf "$base/token?sub=ci&iss=$base&email=${1:-dev@peer.example}"; }
who=(--trusted-root "$root" --certificate-identity dev@peer.example --certificate-oidc-issuer "$base")
other=(--trusted-root "$root" --certificate-identity other@peer.example --certificate-oidc-issuer "$base")

# Each proof of time: both log versions, and a timestamp authority.
export SIGSTORE_ID_TOKEN
for form in v1 v2 tsa; do
  SIGSTORE_ID_TOKEN=$(token)
  how=(--keyless --confirm) flags=()
  case $form in
    v1) how+=(--rekor-url "$base" --rekor-version 1) ;;
    v2) how+=(--rekor-url "$base" --rekor-version 2) ;;
    tsa) how+=(--tlog-upload false) flags=(--insecure-ignore-tlog) ;;
  esac
  yes_ "$jackal" package publish "plain/$archive" "oci://$host/$form" "${how[@]}"
  place=oci://$host/$form/peer:1.0.0
  yes_ "$jackal" package verify "$place" -a amd64 "${who[@]}" "${flags[@]}" --json
  grep -q '"timestamp"' last.log || [ $form = v1 ] || fail "$form: no timestamp was checked"
  no_ "$jackal" package verify "$place" -a amd64 "${other[@]}" "${flags[@]}"
  [ $form != tsa ] || no_ "$jackal" package verify "$place" -a amd64 "${who[@]}"
  # A second publish finds the signature: nothing is signed or written.
  yes_ "$jackal" package publish "plain/$archive" "oci://$host/$form" "${how[@]}"
  grep -q unchanged last.log || fail "$form: signed again"
  at=$host/$form/peer@$(digest_of "$host" "$form/peer" 1.0.0)
  ignore=(); [ $form != tsa ] || ignore=(--insecure-ignore-tlog --use-signed-timestamps)
  yes_ "$cosign" verify --allow-http-registry --new-bundle-format --trusted-root "$root" \
    --certificate-identity dev@peer.example --certificate-oidc-issuer "$base" "${ignore[@]}" "$at"
  no_ "$cosign" verify --allow-http-registry --new-bundle-format --trusted-root "$root" \
    --certificate-identity other@peer.example --certificate-oidc-issuer "$base" "${ignore[@]}" "$at"
  # Offline, and in an archive that is signed in place.
  yes_ "$jackal" package pull "$place" -a amd64 -o "gap-$form" "${who[@]}" "${flags[@]}"
  mkdir -p "in-$form"
  cp "plain/$archive" "in-$form/"
  yes_ "$jackal" package sign "in-$form/$archive" "${how[@]}"
  zstd -dcq "in-$form/$archive" | tar -xf - -C "in-$form" jackal.yaml jackal.bundle.sig
  for file in "gap-$form/$archive" "in-$form/$archive"; do
    strace -f -qq -e trace=network -o trace.log "$jackal" package verify "$file" "${who[@]}" "${flags[@]}" > last.log 2>&1 || fail "verify $file"
    if grep -Eq 'socket\(|connect\(' trace.log; then fail "verification opened a socket: $file"; fi
    no_ "$jackal" package verify "$file" "${other[@]}" "${flags[@]}"
  done
  if [ $form != tsa ]; then
    yes_ sigstore --trust-config "$config" verify identity --cert-identity dev@peer.example \
      --cert-oidc-issuer "$base" --bundle "in-$form/jackal.bundle.sig" "in-$form/jackal.yaml"
  fi
  ok "$form: signed; verified by jackal and other programs, offline without a socket"
done

# Signatures of sigstore-python, verified by jackal.
mkdir foreign
zstd -dcq "plain/$archive" | tar -xf - -C foreign
yes_ sigstore --trust-config "$config" sign --identity-token "$(token)" --bundle foreign/jackal.bundle.sig foreign/jackal.yaml
yes_ "$jackal" package verify foreign "${who[@]}"
no_ "$jackal" package verify foreign "${other[@]}"
printf '#' >> foreign/jackal.yaml
no_ "$jackal" package verify foreign "${who[@]}"
ok "what sigstore-python signs"

# What cosign signs and attests: as a bundle, as before bundles with the log's
# promise, the same with a timestamp besides, and with that alone.
echo '{"buildDefinition":{"buildType":"x","externalParameters":{}},"runDetails":{"builder":{"id":"b"}}}' > predicate.json
cat > policy.yaml <<YML
rules:
- signers: [{identity: dev@peer.example, issuer: "$base"}]
  attestations: [{predicateType: https://slsa.dev/provenance/v1, builder: b}]
YML
for form in bundle tag tag-stamped tag-unlogged; do
  yes_ "$jackal" package publish "plain/$archive" "oci://$host/$form"
  place=oci://$host/$form/peer:1.0.0 at=$host/$form/peer@$(digest_of "$host" "$form/peer" 1.0.0) flags=()
  how=(-y --allow-http-registry --use-signing-config=false --fulcio-url "$base" --rekor-url "$base"
    --oidc-issuer "$base" --trusted-root "$root")
  stamp=(--timestamp-server-url "$base/api/v1/timestamp")
  case $form in
    tag) how+=(--new-bundle-format=false) ;;
    tag-stamped) how+=(--new-bundle-format=false "${stamp[@]}") flags=(--use-signed-timestamps) ;;
    tag-unlogged) how+=(--new-bundle-format=false --tlog-upload=false "${stamp[@]}") flags=(--insecure-ignore-tlog) ;;
  esac
  no_ "$jackal" package verify "$place" -a amd64 "${who[@]}" "${flags[@]}"
  yes_ "$cosign" sign "${how[@]}" --identity-token "$(token)" "$at"
  yes_ "$jackal" package verify "$place" -a amd64 "${who[@]}" "${flags[@]}"
  no_ "$jackal" package verify "$place" -a amd64 "${other[@]}" "${flags[@]}"
  [ $form != tag-unlogged ] || no_ "$jackal" package verify "$place" -a amd64 "${who[@]}"
  [ $form != tag ] || no_ "$jackal" package verify "$place" -a amd64 "${who[@]}" --use-signed-timestamps
  policy=(--policy policy.yaml --trusted-root "$root" "${flags[@]}")
  no_ "$jackal" package verify "$place" -a amd64 "${policy[@]}"
  yes_ "$cosign" attest "${how[@]}" --identity-token "$(token)" --type slsaprovenance1 --predicate predicate.json "$at"
  yes_ "$jackal" package verify "$place" -a amd64 "${policy[@]}"
  ok "$form: jackal verifies what cosign signs and attests with a certificate"
done

# Tokens: a file, GitHub Actions; and invalid ones.
unset SIGSTORE_ID_TOKEN
token > token.txt
yes_ "$jackal" package publish "plain/$archive" "oci://$host/file" --keyless --confirm --identity-token token.txt
yes_ env GITHUB_ACTIONS=true ACTIONS_ID_TOKEN_REQUEST_URL="$base/actions-token?x=1" ACTIONS_ID_TOKEN_REQUEST_TOKEN=secret \
  "$jackal" package publish "plain/$archive" "oci://$host/actions" --keyless --confirm
no_ "$jackal" package publish "plain/$archive" "oci://$host/none" --keyless --confirm
no_ "$jackal" package publish "plain/$archive" "oci://$host/none" --keyless --confirm --identity-token a.b.c
grep -qF a.b.c last.log && fail "a token was printed"
no_ "$jackal" package publish "plain/$archive" "oci://$host/none" --keyless --identity-token token.txt
[ "$(curl -s -o /dev/null -w '%{http_code}' "http://$host/v2/none/peer/manifests/1.0.0")" = 404 ] || fail "an unsigned package is visible"
ok "tokens from a file and from GitHub Actions; refusals without a token, with a bad one, and without consent"

# Services that keep failing: nothing becomes visible.
for path in /api/v2/signingCert /api/v1/timestamp /api/v2/log/entries; do
  curl -sf -XPOST "$base/control" -d "{\"fail\": {\"$path\": 400}}" > /dev/null
  no_ "$jackal" package publish "plain/$archive" "oci://$host/failing" --keyless --confirm --identity-token "$(token)"
  [ "$(curl -s -o /dev/null -w '%{http_code}' "http://$host/v2/failing/peer/manifests/1.0.0")" = 404 ] || fail "an unsigned package is visible after a failure of $path"
done
curl -sf -XPOST "$base/control" -d '{"fail": {}, "no_sct": true}' > /dev/null
no_ "$jackal" package publish "plain/$archive" "oci://$host/failing" --keyless --confirm --identity-token "$(token)"
curl -sf -XPOST "$base/control" -d '{"fail": {}, "no_sct": false}' > /dev/null
ok "no tag if a service refuses or the certificate has no SCT"

# A pipeline with keyless signing.
cat > pkg/p.yaml <<YML
kind: JackalPipeline
version: 1
name: keyless
tasks:
  data: { component: { definition: jackal.yaml, name: data } }
  sboms: { sbom: { of: data } }
  package: { package: { definition: jackal.yaml, components: data, sboms: sboms } }
  sign: { sign: { subjects: package, keyless: true, identity: dev@peer.example, issuer: "$base", builder: "https://ci.example/1" } }
  publish: { publish: { packages: package, signatures: sign, to: "oci://$host/pipeline" } }
YML
cat > policy.yaml <<YML
rules:
- packages: peer
  signers: [{identity: dev@peer.example, issuer: "$base"}]
  maxAge: 1d
  attestations:
  - {predicateType: https://slsa.dev/provenance/v1, builder: "https://ci.example/1"}
  - {predicateType: https://spdx.dev/Document}
YML
(cd pkg && no_ env SIGSTORE_ID_TOKEN="$(token someone@else.example)" "$jackal" build --pipeline p.yaml)
[ "$(curl -s -o /dev/null -w '%{http_code}' "http://$host/v2/pipeline/peer/manifests/1.0.0")" = 404 ] || fail "a package signed by another identity is visible"
(cd pkg && yes_ env SIGSTORE_ID_TOKEN="$(token)" "$jackal" build --pipeline p.yaml)
yes_ "$jackal" package verify "oci://$host/pipeline/peer:1.0.0" -a amd64 --trusted-root "$root" --policy policy.yaml
yes_ "$cosign" verify-attestation --type slsaprovenance1 --allow-http-registry --new-bundle-format --trusted-root "$root" \
  --certificate-identity dev@peer.example --certificate-oidc-issuer "$base" "$host/pipeline/peer@$(digest_of "$host" pipeline/peer 1.0.0)"
(cd pkg && yes_ env SIGSTORE_ID_TOKEN="$(token)" "$jackal" build --pipeline p.yaml)
grep -q 'unchanged\|1 executed' pkg/last.log || true
ok "a pipeline: signed and attested as the policy requires; not visible if another identity signs"

# Releases while the log fails.
python3 "$here/faulty_log.py" "$base" "$host" "faulty{}/peer" $((publishes / 2)) "$outage" > faulty.port &
faulty=$!
servers+=($faulty)
wait_for faulty.port
log=http://127.0.0.1:$(cat faulty.port)
began=$(date +%s) killed=0
for number in $(seq 1 "$publishes"); do
  how=(package publish "plain/$archive" "oci://$host/faulty$number" --keyless --confirm --identity-token "$(token)" --rekor-url "$log" --rekor-version 1)
  if [ $((number % 5)) = 0 ]; then
    "$jackal" "${how[@]}" > last.log 2>&1 &
    victim=$!
    sleep "0.$((RANDOM % 40 + 10))"
    kill -9 $victim 2> /dev/null && killed=$((killed + 1))
    wait $victim 2> /dev/null || true
  fi
  yes_ "$jackal" "${how[@]}"
done
sleep 1
kill $faulty
wait $faulty 2> /dev/null || true
[ ! -e violations.txt ] || { cat violations.txt; fail "a tag was visible before its signature"; }
for number in 1 $((publishes / 2)) "$publishes"; do
  yes_ "$jackal" package verify "oci://$host/faulty$number/peer:1.0.0" -a amd64 "${who[@]}"
done
ok "$publishes releases in $(($(date +%s) - began)) s, $killed of them killed and repeated; $(cat counts.json); no tag without its signature"

echo "all $passed checks of keyless signing passed"
