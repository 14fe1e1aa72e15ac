#!/usr/bin/env bash
# Builds the release program for Linux as one static file, on any machine.
#
#   ci/static.sh amd64|arm64 FOLDER
#
# Writes FOLDER/jackal-linux-ARCH and its SHA-256 beside it. Needs rustup, and python3 with
# the package `ziglang` (pip install ziglang==0.17.1): its C compiler comes with the
# headers and libraries of every target.
set -euo pipefail
fail() { echo "error: $*" >&2; exit 1; }
case ${1:-} in
  amd64) machine=x86_64 ;;
  arm64) machine=aarch64 ;;
  *) fail "the architecture is amd64 or arm64: ci/static.sh amd64|arm64 FOLDER" ;;
esac
[ -n "${2:-}" ] || fail "no folder: ci/static.sh $1 FOLDER"
mkdir -p "$2"
folder=$(realpath "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python3 -m ziglang version > /dev/null || fail "no zig: pip install ziglang==0.17.1"
target=$machine-unknown-linux-musl
rustup target add "$target"

wrappers=$(mktemp -d)
trap 'rm -rf "$wrappers"' EXIT
# The crate `cc` passes Rust's name of the target, which zig does not know.
cat > "$wrappers/cc" <<CC
#!/usr/bin/env bash
arguments=()
for argument; do
  case \$argument in --target=*) ;; *) arguments+=("\$argument") ;; esac
done
# Without the checks of undefined behaviour that zig adds: they need a library.
exec python3 -m ziglang cc -target $machine-linux-musl -fno-sanitize=undefined "\${arguments[@]}"
CC
cat > "$wrappers/ar" <<'AR'
#!/usr/bin/env bash
exec python3 -m ziglang ar "$@"
AR
chmod 755 "$wrappers/cc" "$wrappers/ar"

name=${target//-/_}
export "CC_$name=$wrappers/cc" "AR_$name=$wrappers/ar"
# The linker of Rust, with the C library that comes with the target.
export "CARGO_TARGET_${name^^}_LINKER=rust-lld"
cargo build --release --locked --target "$target"

program=jackal-linux-$1
cp "${CARGO_TARGET_DIR:-target}/$target/release/jackal" "$folder/$program"
(cd "$folder" && sha256sum "$program" | tee "$program.sha256")
