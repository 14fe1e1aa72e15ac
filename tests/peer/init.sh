#!/usr/bin/env bash
# Peer tests of `jackal init`: each template is written for a project, and built with the
# real tools in the sandbox.
#
#   tests/peer/init.sh JACKAL [PROJECT...]
#
# A project is rust, vendored, go, web, py, c, cpp, java, gradle or chart; all of them by
# default. Needs the programs of each: cargo, go, node and npm, python3, make and cc, cmake,
# ninja and c++, mvn and java, gradle; and their package indexes. A missing program is a
# failure.
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
jackal=$(realpath "$1")
shift
projects=("$@")
[ $# -gt 0 ] || projects=(rust vendored go web py c cpp java gradle chart)
need python3
for project in "${projects[@]}"; do
  case $project in
    rust | vendored) need cargo cc ;;
    go) need go ;;
    web) need node npm ;;
    py) need python3 ;;
    c) need make cc ;;
    cpp) need cmake ninja c++ ;;
    java) need mvn java ;;
    gradle) need gradle java ;;
  esac
done
user_home=$HOME
begin
# Toolchains are where their managers put them.
export HOME=$user_home
export JACKAL_CACHE=$work/cache
locks=
for project in "${projects[@]}"; do
  case $project in
    rust | vendored | go | web) locks=$locks,$project ;;
  esac
done
python3 "$here/monorepo.py" all ${locks:+"--lock=${locks#,}"}
rm all/jackal.yaml all/jackal.pipeline.yaml
sleep 0.1
for project in "${projects[@]}"; do
  (
    cd "all/$project"
    "$jackal" init > "$work/log" 2>&1 || { cat "$work/log"; fail "init in $project"; }
    # Certificates of this machine's package indexes.
    sed -i '/^name:/a passThroughEnv: [SSL_CERT_FILE, PIP_CERT, NODE_EXTRA_CA_CERTS]' jackal.pipeline.yaml
    "$jackal" build --pipeline jackal.pipeline.yaml -o packages > "$work/log" 2>&1 || { tail -40 "$work/log"; fail "build of $project"; }
    "$jackal" package verify packages/*.tar.zst > /dev/null || fail "verify of $project"
    "$jackal" build --pipeline jackal.pipeline.yaml -o packages 2>&1 | grep -q '^0 executed' || fail "$project is built again"
  ) || exit 1
  ok "$project: init writes a pipeline that builds"
done
