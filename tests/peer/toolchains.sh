#!/usr/bin/env bash
# A repository with many toolchains: built by two users, in clones in folders of
# different depth, under umask 022 and 002, cold, and after a change and its reverse.
# Every output and every published digest is equal byte for byte, and nothing runs with
# `sandbox: none`.
#
#   tests/peer/toolchains.sh JACKAL
#
# Run it as root: it builds as an ordinary user as well. Needs the package indexes of
# Cargo, Go, npm, PyPI and Maven, and these programs:
#
#   rustup or Debian's cargo; Go; Node.js 18 or newer with npm
#   apt-get install build-essential cmake ninja-build maven default-jdk-headless gradle \
#     python3-venv python3-pip git curl util-linux docker-registry
#   pip install uv
#
# What differs between builds, and is not compared: signatures and the time of signing in
# their bundles, and the receipt of `publish`, which names the registry's folder.
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
[ "$(id -u)" = 0 ] || fail "it builds as two users: run it as root"
need cargo rustc go node npm npx python3 uv make cc c++ cmake ninja ctest mvn java javac gradle git curl setpriv docker-registry
user_home=$HOME
program=$(realpath "$1")
begin
export HOME=$user_home COSIGN_PASSWORD=peer
unset JACKAL_CACHE
chmod 755 "$work"
umask 022
cp "$program" jackal
jackal=$work/jackal

# The ordinary user: a number that no account of this machine needs to have.
user=64321
mkdir user
chown $user:$user user
as_user() { HOME=$work/user setpriv --reuid $user --regid $user --clear-groups "$@"; }

# Both users have the same PATH: without folders that only root can read, and with copies
# of the toolchains in them.
shared_path=
for folder in ${PATH//:/ }; do
  if as_user test -r "$folder" -a -x "$folder"; then shared_path=$shared_path:$folder; fi
done
share() { # PROGRAM ROOT PART...: copies these parts of a toolchain, unless the user has the program
  local program=$1 root=$2
  shift 2
  PATH=$shared_path as_user sh -c "command -v $program" > /dev/null && return
  mkdir -p "tools/$program"
  (cd "$root" && cp -aL --parents "$@" "$work/tools/$program/")
  chmod -R go+rX "tools/$program"
  shared_path=$work/tools/$program/bin:$shared_path
}
share cargo "$(rustc --print sysroot)" bin lib
share go "$(go env GOROOT)" .
share node "$(node -p 'path.resolve(process.execPath, "../..")')" bin lib/node_modules
share python3 "$(python3 -c 'import sys; print(sys.base_prefix)')" bin lib
share uv "$(dirname "$(dirname "$(realpath "$(command -v uv)")")")" bin/uv
shared_path=${shared_path//::/:}
shared_path=${shared_path#:}

python3 "$here/monorepo.py" one --lock
grep -q sandbox one/jackal.pipeline.yaml && fail "the pipeline names a sandbox"
"$jackal" tools gen-key -o keys > /dev/null
(
  cd one
  git init -q .
  git add -A
  git -c user.name=peer -c user.email=peer@example.com commit -qm peer
)

# Four clones, each with a cache of its own: NAME FOLDER UMASK USER.
declare -A folder mask by
clone() {
  folder[$1]=$2 mask[$1]=$3 by[$1]=$4
  mkdir -p "$(dirname "$2")"
  (umask "$3" && git clone -q one "$2" && cp -r keys "$2")
  mkdir "out-$1" "state-$1" "cache-$1"
  chmod 700 "cache-$1" "state-$1"
  if [ "$4" = user ]; then chown -R $user:$user "$2" "out-$1" "state-$1" "cache-$1"; fi
}
clone shallow first 022 root
clone deep deep/er/and/deeper/second 002 root
clone users third 002 user
clone users-deep deep/er/fourth 022 user
port=$(free_port)
serve "$port" registry
sleep 0.1

# build CLONE SUMS [OPTION...], and `release` to sign and publish as well: SUMS gets the
# digests of all outputs, as they are recorded and as they are in the clone, and the
# archive's.
build() {
  local of=$1 sums=$2
  shift 2
  local run=(env PATH="$shared_path" JACKAL_STATE_DIR="$work/state-$of" "$jackal" build --pipeline jackal.pipeline.yaml
    --cache-dir "$work/cache-$of" -o "$work/out-$of" --summary "$work/out-$of/run.json" "$@")
  if [ "${by[$of]}" = user ]; then run=(as_user "${run[@]}"); fi
  (cd "${folder[$of]}" && umask "${mask[$of]}" && "${run[@]}") > "$sums.log" 2>&1 || { tail -60 "$sums.log"; fail "build of $sums"; }
  python3 - "out-$of/run.json" "${folder[$of]}" > "$sums" <<'PY'
import hashlib, json, os, sys

record, folder = sys.argv[1:]
for task in sorted(json.load(open(record))["tasks"], key=lambda task: task["task"]):
    if task["verb"] in ("sign", "publish"):
        continue
    for output in task.get("outputs", []):
        print(task["task"], output["name"], output["digest"])
        if task["verb"] != "run":
            continue
        top = os.path.join(folder, output["name"])
        files = [os.path.join(below, name) for below, _, names in os.walk(top) for name in names] or [top]
        for path in sorted(files):
            link = os.path.islink(path)
            content = os.readlink(path).encode() if link else open(path, "rb").read()
            mode = "link" if link else "executable" if os.stat(path).st_mode & 0o100 else "file"
            print(task["task"], os.path.relpath(path, folder), mode, hashlib.sha256(content).hexdigest())
PY
  sha256sum < "$(echo "out-$of"/*.tar.zst)" >> "$sums"
}
release() { build "$@" --param release=true --param to="oci://127.0.0.1:$port/$1"; }
same() { diff "$1" "$2" || fail "$1 and $2 differ"; }
counts() { grep 'executed, ' "$1.log"; }

for of in shallow deep users users-deep; do
  release "$of" "$of-cold"
  echo "${folder[$of]}, umask ${mask[$of]}, ${by[$of]}: $(counts "$of-cold")"
  digest_of "127.0.0.1:$port" "$of/suite" 1.0.0 > "$of-published"
  "$jackal" package verify --key keys/cosign.pub -a amd64 "oci://127.0.0.1:$port/$of/suite:1.0.0" > last.log 2>&1 || fail "the signature in $of"
done
ok "$(grep -c sha256: shallow-cold) outputs of all toolchains are built in the sandbox, signed and published"
for of in deep users users-deep; do
  same shallow-cold "$of-cold"
  same shallow-published "$of-published"
done
ok "they are the same in four clones, of two users, in folders of different depth, under both umasks"

# One change in each project, that no test sees.
change() {
  sed -i 's/println!("rust/println!("RUST/' rust/app/src/main.rs vendored/app/src/main.rs
  sed -i 's/Println(greeting/Println("x", greeting/' go/main.go
  sed -i 's/"web"/"WEB"/' web/src/main.ts
  sed -i 's/len(items)/len(list(items))/' py/pytally/__init__.py uv/uvtally/__init__.py
  sed -i 's/"c "/"C "/' c/text.c
  sed -i 's/"cpp "/"CPP "/' cpp/show.cpp
  sed -i 's/println(greeting())/println(greeting() + "!")/' java/src/main/java/com/example/Greeter.java gradle/src/main/java/com/example/Greeter.java
  sed -i 's/a: b/a: c/' chart/templates/config.yaml
  sed -i 's/name: suite/name: suit/' manifests/namespace.yaml
}
for of in shallow users-deep; do
  (cd "${folder[$of]}" && change)
  build "$of" "$of-changed"
  # The modules of npm, one source of two, SBOMs, which name packages and not files, and
  # what is the same in every image.
  kept='^(modules |web web/dist/sum.js|uv uv/dist/.gitignore|sboms:[a-z]+ |(images|package) (frames:)?images/oci-layout)'
  if comm -12 <(sort shallow-cold) <(sort "$of-changed") | grep -vE "$kept" > last.log; then fail "not changed:"; fi
  git -c safe.directory='*' -C "${folder[$of]}" checkout -q .
  if [ "${by[$of]}" = user ]; then chown -R $user:$user "${folder[$of]}"; fi
  release "$of" "$of-back"
  same shallow-cold "$of-back"
done
same shallow-changed users-deep-changed
ok "a change in each project changes every output alike, and its reverse leads back"
release shallow again --force
same shallow-cold again
ok "so does running every task again, with filled caches of downloads: $(counts again)"

build shallow again
grep -q '^0 executed' again.log || fail "built again without a change: $(counts again)"
release shallow again
grep -q '^1 executed' again.log || fail "more than the registry was looked at: $(counts again)"
ok "nothing is built again without a change, and publishing only looks at the registry"
echo "$passed checks passed"
