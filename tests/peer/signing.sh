#!/usr/bin/env bash
# Peer tests of signatures and attestations. cosign (v3 and v2) and openssl verify
# what jackal signs, and the reverse; none of them accepts altered content. strace
# checks that verification opens no socket.
#
#   tests/peer/signing.sh JACKAL COSIGN3 COSIGN2
#
# Needs docker-registry, openssl, strace, zstd (Debian packages) and two builds of cosign:
# go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3 and
# github.com/sigstore/cosign/v2/cmd/cosign@v2.6.2. A missing program is a failure.
. "$(dirname "$(realpath "$0")")/lib.sh"
jackal=$(realpath "$1") cosign3=$(realpath "$2") cosign2=$(realpath "$3")
need docker-registry openssl strace zstd curl python3 "$cosign3" "$cosign2"
begin
export COSIGN_PASSWORD=pw
peer_package
yes_ "$jackal" package create pkg --confirm -o plain
archive=jackal-package-peer-amd64-1.0.0.tar.zst
yes_ "$jackal" tools trusted-root -o root.json
# Nothing was logged, so cosign must not look for a log entry.
offline=(--insecure-ignore-tlog=true)

# Each kind of key, with each verifier.
for kind in p256 p384 p521 rsa ed25519; do
  yes_ "$jackal" tools gen-key --algorithm $kind -o "$kind"
  cp "plain/$archive" "$kind/"
  yes_ "$jackal" package sign "$kind/$archive" --signing-key "$kind/cosign.key" --signature bundle
  zstd -dcq "$kind/$archive" | tar -xf - -C "$kind" jackal.yaml jackal.yaml.sig jackal.bundle.sig
  base64 -d "$kind/jackal.yaml.sig" > "$kind/raw.sig"
  if [ $kind = ed25519 ]; then
    yes_ openssl pkeyutl -verify -pubin -inkey $kind/cosign.pub -rawin -in $kind/jackal.yaml -sigfile $kind/raw.sig
  else
    yes_ openssl dgst -sha256 -verify $kind/cosign.pub -signature $kind/raw.sig $kind/jackal.yaml
  fi
  sed 's/peer/pier/' "$kind/jackal.yaml" > "$kind/other.yaml"
  for cosign in "$cosign3" "$cosign2"; do
    plain=("$cosign" verify-blob --key "$kind/cosign.pub" "${offline[@]}" --signature "$kind/jackal.yaml.sig")
    yes_ "${plain[@]}" "$kind/jackal.yaml"
    no_ "${plain[@]}" "$kind/other.yaml"
    bundle=("$cosign" verify-blob --key "$kind/cosign.pub" "${offline[@]}" --bundle "$kind/jackal.bundle.sig" --new-bundle-format --trusted-root root.json)
    yes_ "${bundle[@]}" "$kind/jackal.yaml"
    no_ "${bundle[@]}" "$kind/other.yaml"
  done
  # cosign can use the key file.
  yes_ "$cosign3" public-key --key "$kind/cosign.key"
  diff -q last.log "$kind/cosign.pub" > /dev/null || fail "cosign derives another public key for $kind"
  ok "$kind: openssl and both cosign versions verify signature and bundle"
done

# Keys and signatures of cosign, verified by jackal.
for cosign in "$cosign3" "$cosign2"; do
  name=by-$("$cosign" version 2> /dev/null | sed -n 's/^GitVersion: *//p')
  mkdir -p "$name/package"
  (cd "$name" && yes_ "$cosign" generate-key-pair)
  zstd -dcq "plain/$archive" | tar -xf - -C "$name/package"
  extra=()
  [ "$cosign" = "$cosign3" ] && extra=(--use-signing-config=false)
  yes_ "$cosign" sign-blob -y --tlog-upload=false "${extra[@]}" --new-bundle-format=false --key "$name/cosign.key" --output-signature "$name/sig" "$name/package/jackal.yaml"
  tr -d '\n' < "$name/sig" > "$name/package/jackal.yaml.sig"
  yes_ "$jackal" package verify "$name/package" --key "$name/cosign.pub"
  no_ "$jackal" package verify "$name/package" --key p256/cosign.pub
  rm "$name/package/jackal.yaml.sig"
  yes_ "$cosign" sign-blob -y --tlog-upload=false "${extra[@]}" --new-bundle-format=true --key "$name/cosign.key" --bundle "$name/package/jackal.bundle.sig" "$name/package/jackal.yaml"
  yes_ "$jackal" package verify "$name/package" --key "$name/cosign.pub"
  no_ "$jackal" package verify "$name/package" --key p256/cosign.pub
  printf '#' >> "$name/package/jackal.yaml"
  no_ "$jackal" package verify "$name/package" --key "$name/cosign.pub"
  # jackal can sign with its key.
  cp "plain/$archive" "$name/"
  yes_ "$jackal" package sign "$name/$archive" --signing-key "$name/cosign.key"
  yes_ "$jackal" package verify "$name/$archive" --key "$name/cosign.pub"
  ok "$name: jackal accepts its key and its signatures"
done

# In registries with and without the referrers API.
port=$(free_port)
serve "$port" registry
own_registry own
cat > policy.yaml <<YML
rules:
- packages: peer
  signers: [{key: p256/cosign.pub}]
  attestations:
  - {predicateType: https://slsa.dev/provenance/v1}
  - {predicateType: https://spdx.dev/Document}
  - {predicateType: https://cyclonedx.org/bom}
YML
for host in "127.0.0.1:$port" "$(tr -d '\n' < own.addr)"; do
  yes_ "$jackal" package create pkg --confirm -o "oci://$host/signed" --signing-key p256/cosign.key --attest --sbom-format cyclonedx-json
  at=$host/signed/peer@$(digest_of "$host" signed/peer 1.0.0)
  yes_ "$jackal" package verify "oci://$host/signed/peer:1.0.0" -a amd64 --policy policy.yaml
  for cosign in "$cosign3" "$cosign2"; do
    how=("${offline[@]}" --allow-http-registry --new-bundle-format --trusted-root root.json)
    yes_ "$cosign" verify --key p256/cosign.pub "${how[@]}" "$at"
    no_ "$cosign" verify --key p384/cosign.pub "${how[@]}" "$at"
    for type in slsaprovenance1 spdxjson cyclonedx; do
      yes_ "$cosign" verify-attestation --type $type --key p256/cosign.pub "${how[@]}" "$at"
      no_ "$cosign" verify-attestation --type $type --key p384/cosign.pub "${how[@]}" "$at"
    done
  done
  ok "$host: both cosign versions verify our signature and attestations"
  # The tag names an index, which has a signature of its own.
  yes_ "$jackal" package publish "plain/$archive" "oci://$host/tagged" --signing-key p256/cosign.key
  for cosign in "$cosign3" "$cosign2"; do
    yes_ "$cosign" verify --key p256/cosign.pub "${how[@]}" "$host/tagged/peer:1.0.0"
    no_ "$cosign" verify --key p384/cosign.pub "${how[@]}" "$host/tagged/peer:1.0.0"
  done
  ok "$host: both cosign versions verify the tag"
  yes_ "$jackal" package pull "oci://$host/signed/peer:1.0.0" -a amd64 -o pulled --policy policy.yaml
  yes_ "$jackal" package verify "pulled/$archive" --policy policy.yaml
  zstd -dcq "pulled/$archive" | tar -xf - -C pulled jackal.yaml
  # The first line is the signature, the others are the attestations.
  split -l 1 -d "pulled/$archive.sigstore.jsonl" pulled/bundle-
  for file in pulled/bundle-0[1-9]; do
    type=$(python3 -c "
import base64, json, sys
said = json.loads(base64.b64decode(json.load(open(sys.argv[1]))['dsseEnvelope']['payload']))
print(said['predicateType'])" "$file")
    yes_ "$cosign3" verify-blob-attestation --key p256/cosign.pub "${offline[@]}" --bundle "$file" --new-bundle-format --type "$type" pulled/jackal.yaml
    no_ "$cosign3" verify-blob-attestation --key p256/cosign.pub "${offline[@]}" --bundle "$file" --new-bundle-format --type "$type" pkg/data
  done
  ok "$host: a pulled package keeps them, also for cosign"
  # Signatures and attestations of cosign: bundles, and tags as v2 writes them.
  for form in v3 v2-bundle v2-tags; do
    yes_ "$jackal" package publish "plain/$archive" "oci://$host/$form"
    at=$host/$form/peer@$(digest_of "$host" "$form/peer" 1.0.0)
    cosign=$cosign2 flags=(--tlog-upload=false -y --allow-http-registry --key p256/cosign.key)
    case $form in
      v3) cosign=$cosign3; flags+=(--use-signing-config=false) ;;
      v2-bundle) flags+=(--new-bundle-format) ;;
    esac
    no_ "$jackal" package verify "oci://$host/$form/peer:1.0.0" -a amd64 --key p256/cosign.pub
    yes_ "$cosign" sign "${flags[@]}" "$at"
    yes_ "$jackal" package verify "oci://$host/$form/peer:1.0.0" -a amd64 --key p256/cosign.pub
    no_ "$jackal" package verify "oci://$host/$form/peer:1.0.0" -a amd64 --key p384/cosign.pub
    echo '{"buildDefinition":{"buildType":"x","externalParameters":{}},"runDetails":{"builder":{"id":"b"}}}' > predicate.json
    printf 'rules:\n- signers: [{key: p256/cosign.pub}]\n  attestations: [{predicateType: https://slsa.dev/provenance/v1, builder: b}]\n' > one.yaml
    no_ "$jackal" package verify "oci://$host/$form/peer:1.0.0" -a amd64 --policy one.yaml
    yes_ "$cosign" attest "${flags[@]}" --type slsaprovenance1 --predicate predicate.json "$at"
    # The old form has no referrers: its attestation is under a tag.
    yes_ "$jackal" package verify "oci://$host/$form/peer:1.0.0" -a amd64 --policy one.yaml
    ok "$host: jackal verifies what cosign signs and attests ($form)"
  done
done

# A key behind a KMS plugin.
mkdir bin
cat > bin/sigstore-kms-peer <<'SH'
#!/usr/bin/env bash
# The protocol of cosign's plugins: version and arguments; the message on stdin.
if [[ $2 == *'"methodName":"publicKey"'* ]]; then
  printf '{"publicKey":{"publicKeyPEM":"%s"}}' "$(openssl pkey -in "$PEER_KEY" -pubout | base64 -w0)"
else
  printf '{"signMessage":{"signature":"%s"}}' "$(openssl dgst -sha256 -sign "$PEER_KEY" | base64 -w0)"
fi
SH
chmod +x bin/sigstore-kms-peer
openssl ecparam -genkey -name prime256v1 -noout -out plugin.pem
openssl pkey -in plugin.pem -pubout -out plugin.pub
cp "plain/$archive" plugin.tar.zst
export PEER_KEY=$work/plugin.pem
yes_ env PATH="$work/bin:$PATH" "$jackal" package sign plugin.tar.zst --signing-key peer://any
yes_ "$jackal" package verify plugin.tar.zst --key plugin.pub
yes_ env PATH="$work/bin:$PATH" "$jackal" package verify plugin.tar.zst --key peer://any
# Each signature differs, so existing ones must be reused, also after an interruption.
for turn in 1 2 3; do
  yes_ env PATH="$work/bin:$PATH" "$jackal" package publish "plain/$archive" "oci://127.0.0.1:$port/plugin" --signing-key peer://any
  [ $turn = 1 ] || grep -q unchanged last.log || fail "a second publish was not unchanged"
done
"$jackal" dev registry --dir "$work/stopping" --fault 'kinds=403,match=^PUT .*/manifests/1.0.0,count=1' > stopping.addr 2> stopping.log &
servers+=($!)
wait_for stopping.addr
no_ env PATH="$work/bin:$PATH" "$jackal" package publish "plain/$archive" "oci://$(cat stopping.addr)/plugin" --signing-key peer://any
yes_ env PATH="$work/bin:$PATH" "$jackal" release resume --signing-key peer://any
yes_ "$jackal" package verify "oci://$(cat stopping.addr)/plugin/peer:1.0.0" -a amd64 --key plugin.pub
yes_ "$jackal" tools import-key plugin.pem -o imported
yes_ "$jackal" package verify plugin.tar.zst --key imported/cosign.pub
ok "a key behind a plugin, and the same key imported"

# Verification is offline: no socket in a hundred runs.
count=0
for turn in $(seq 1 25); do
  for what in "pulled/$archive --policy policy.yaml" "p256/$archive --key p256/cosign.pub" \
    "rsa/$archive --key rsa/cosign.pub" "ed25519/$archive --key ed25519/cosign.pub"; do
    # shellcheck disable=SC2086
    strace -f -qq -e trace=network -o trace.log "$jackal" package verify $what > last.log 2>&1 || fail "verify $what"
    if grep -Eq 'socket\(|connect\(' trace.log; then cat trace.log; fail "a socket in turn $turn: $what"; fi
    count=$((count + 1))
  done
done
ok "$count offline verifications, 0 sockets"

echo "all $passed checks against cosign and openssl passed"
