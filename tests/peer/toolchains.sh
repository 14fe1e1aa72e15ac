#!/usr/bin/env bash
# A repository with many toolchains, built in two clones: in folders of different depth,
# by different umasks, cold, and after a change and its reverse. Every output is equal
# byte for byte, and nothing runs with `sandbox: none`.
#
#   tests/peer/toolchains.sh JACKAL
#
# Needs cargo, go, node, npm, python3, make, cc, c++, cmake, ninja, mvn, java and git, and
# the package indexes of these tools. A missing program is a failure.
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
jackal=$(realpath "$1")
need cargo go node npm python3 make cc c++ cmake ninja mvn java git
user_home=$HOME
begin
export HOME=$user_home
unset JACKAL_CACHE
python3 "$here/monorepo.py" one
(
  cd one
  (cd rust && cargo generate-lockfile -q)
  (cd go && go mod tidy)
  (cd web && npm install --package-lock-only)
  git init -q . && git add -A && git -c user.name=p -c user.email=p@example.com commit -qm p
) > lock.log 2>&1 || { cat lock.log; fail "no lock files"; }
mkdir -p deep/er/and/deeper
(umask 002; git clone -q one deep/er/and/deeper/two)
two=deep/er/and/deeper/two
grep -q 'sandbox' one/jackal.pipeline.yaml && fail "the pipeline switches the sandbox off"
sleep 0.1

# The outputs of all tasks with their digests, and the package.
build() {
  (
    cd "$1"
    umask "$3"
    "$jackal" build --pipeline jackal.pipeline.yaml --cache-dir "$work/cache-$2" -o "$work/out-$2" --summary "$work/$2.json" > "$work/$2.log" 2>&1
  ) || { tail -60 "$2.log"; fail "build $2"; }
  python3 - "$work/$2.json" > "$work/$2.sums" <<'PY'
import json, sys
for task in sorted(json.load(open(sys.argv[1]))['tasks'], key=lambda task: task['task']):
    for output in task.get('outputs', []):
        print(task['task'], output['name'], output['digest'])
PY
  sha256sum < "$(echo "$work/out-$2"/*.tar.zst)" >> "$work/$2.sums"
}
build one one 022
ok "$(grep -c . one.sums) outputs of all toolchains are built in the sandbox"
build "$two" two 002
if diff one.sums two.sums; then
  ok "they are the same in another clone, deeper and with another umask"
else
  fail "two clones differ"
fi
sed -i 's/"c "/"C "/' one/c/text.c
echo '// x' >> one/rust/lib05/src/lib.rs
build one one 022
cmp -s one.sums two.sums && fail "a change changes nothing"
git -C one checkout -q .
build one one 022
diff one.sums two.sums || fail "the reverse of a change differs"
tail -1 one.log
ok "a change and its reverse lead back to the same outputs"
build one one 022
grep -q '^0 executed' one.log || fail "built again without a change: $(tail -1 one.log)"
ok "nothing is built again without a change"
echo "$passed checks passed"
