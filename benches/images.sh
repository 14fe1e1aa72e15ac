#!/usr/bin/env bash
# Builds four real images with a shared base layer, about 0.5 GB compressed, into the
# storage of a docker-registry. benches/package.sh serves them.
#
#   benches/images.sh DIR     writes DIR/registry-data, unless it exists
#
# Needs root, debootstrap, buildah and docker-registry (Debian packages of those names).
set -euo pipefail
dir=$(realpath -m "$1")
mkdir -p "$dir"
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
store=(--root "$dir/containers" --runroot "$dir/run")
port=5599
if [ -e "$dir/registry-data/.made" ]; then
  exit 0
fi
cat > "$dir/registry.yml" <<YML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $dir/registry-data}}
http: {addr: 127.0.0.1:$port}
YML
docker-registry serve "$dir/registry.yml" > "$dir/registry.log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT

[ -d "$dir/base" ] || debootstrap --variant=minbase bookworm "$dir/base" > "$dir/debootstrap.log" 2>&1
base=$(buildah "${store[@]}" from scratch)
buildah "${store[@]}" copy -q "$base" "$dir/base" / > /dev/null
buildah "${store[@]}" commit -q "$base" bench-base > /dev/null
image() {
  local name=$1 container
  shift
  container=$(buildah "${store[@]}" from bench-base)
  buildah "${store[@]}" run "$container" -- sh -c "apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $* >/dev/null && apt-get clean && rm -rf /var/lib/apt/lists/*"
  buildah "${store[@]}" commit -q "$container" "bench-$name" > /dev/null
  buildah "${store[@]}" push -q --tls-verify=false "bench-$name" "docker://127.0.0.1:$port/bench/$name:1.0"
  buildah "${store[@]}" rm "$container" > /dev/null
}
image python python3-pip python3-numpy python3-requests
image node nodejs npm
image go golang-go
image java default-jre-headless
touch "$dir/registry-data/.made"
rm -rf "$dir/containers" "$dir/run"
