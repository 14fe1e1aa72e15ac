#!/usr/bin/env bash
# Peer tests of packages from earlier programs: skopeo reads the images of a package that
# was migrated and published, and finds the configurations and layers of before.
#
#   tests/peer/older.sh JACKAL
#
# Needs docker-registry, skopeo, zstd, tar and jq (Debian packages docker-registry skopeo
# zstd jq). A missing program is a failure.
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
jackal=$(realpath "$1")
fixtures=$(realpath "$here/../fixtures/old")
need docker-registry skopeo zstd tar jq
begin
port=$(free_port)
serve "$port" registry

# Configuration, then layer, of each image, as the README of the fixtures has them.
web='cfe3716c4677562b8fcb409fc74d5dbe95315b3490e1cca35d8ed7390ed50d2d 0c1435e8561465f7b0974a64e7d289f4153f6b3a972135ac3a33b16c5036955c'
api='c2dd5c3dfd035655dbec0c4ddeb0648189d43635fc58831965a2184d9c574642 71a21765b676c8dac0e126ae82c99f5b36905750ba2b35baff82a000626ecd51'

for archive in "$fixtures"/*/*-old-*.tar.zst; do
  name=$(basename "$(dirname "$archive")")
  tag=$(tr 'A-Z' 'a-z' <<< "$name")
  yes_ "$jackal" package migrate "$archive" "oci://127.0.0.1:$port/$tag" --plain-http
  yes_ "$jackal" package pull "oci://127.0.0.1:$port/$tag/old:0.1.0" -a amd64 --plain-http -o "pulled-$tag"
  yes_ "$jackal" package extract "pulled-$tag"/*.tar.zst -o "out-$tag"
  for image in web:1.4 api:2.0; do
    from="127.0.0.1:5077/team/$image"
    # From v0.25 on, layouts have manifests of Docker, which skopeo reads in no layout.
    read -r digest type <<< "$(jq -r --arg name "$from" '.manifests[]
      | select(.annotations["org.opencontainers.image.base.name"] == $name)
      | .digest + " " + .mediaType' "out-$tag/images/index.json")"
    if [ "$type" = application/vnd.oci.image.manifest.v1+json ]; then
      at="docker://127.0.0.1:$port/images/$tag-$image"
      yes_ skopeo copy -q --dest-tls-verify=false "oci:out-$tag/images:$from" "$at"
      skopeo inspect --raw --tls-verify=false "$at" > manifest.json
    else
      cp "out-$tag/images/blobs/${digest/://}" manifest.json
    fi
    found=$(jq -r '[.config.digest, .layers[].digest] | map(ltrimstr("sha256:")) | join(" ")' manifest.json)
    expected=${image%%:*}
    [ "$found" = "${!expected}" ] || fail "$name: $image has $found"
  done
  ok "$name: migrated, published and pulled with the images of before"
done

echo "$passed passed, 0 failed"
