#!/usr/bin/env bash
# The GitHub action and the GitLab component: against the schemas of both services, and
# run here. The steps of the action are run by composite.py, the component by
# gitlab-ci-local.
#
# Usage: tests/peer/ci.sh JACKAL
# It needs check-jsonschema and opentelemetry-proto (PyPI, in one environment), and
# gitlab-ci-local (npm, with rsync of Debian).
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
repository=$(realpath "$here/../..")
jackal=$(realpath "$1")
need check-jsonschema gitlab-ci-local rsync git
# The Python that check-jsonschema has its packages in.
python=$(sed -n '1s/^#!//p' "$(command -v check-jsonschema)")
begin

check-jsonschema --builtin-schema vendor.github-actions "$repository/action.yml"
sed '/^---$/,$d' "$repository/ci/gitlab.yml" > "$work/head.yml"
sed '1,/^---$/d' "$repository/ci/gitlab.yml" > "$work/body.yml"
check-jsonschema --builtin-schema vendor.gitlab-ci "$work/head.yml" "$work/body.yml"
ok "action.yml and ci/gitlab.yml fit the schemas"

# A program to download.
mkdir "$work/served"
cp "$jackal" "$work/served/jackal"
sum=$(sha256sum "$jackal" | cut -d' ' -f1)
port=$(free_port)
python3 -m http.server --bind 127.0.0.1 --directory "$work/served" "$port" 2> /dev/null > server.log &
servers+=($!)
listening "$port"
url=http://127.0.0.1:$port/jackal

project=$work/project
mkdir "$project"
cat > "$project/jackal.pipeline.yaml" <<'YAML'
kind: JackalPipeline
version: 1
name: p
tasks:
  a: { run: [sh, -c, 'echo made > a'], inputs: [], outputs: [a], tools: [sh], tags: [wanted] }
  b: { run: [sh, -c, 'echo made > b'], inputs: [], outputs: [b], tools: [sh] }
YAML
git -C "$project" init -q
git -C "$project" add .
git -C "$project" -c user.name=a -c user.email=a@example.com commit -qm first
git -C "$project" remote add origin https://gitlab.example.com/group/project.git

action() { "$python" "$here/composite.py" "$repository/action.yml" "$work/runner" "working-directory=$project" "$@"; }
mkdir "$work/runner"
said=$(action "url=$url" "sha256=$sum" targets=tag:wanted 'arguments=--keep-going
--no-verify-nothing' 2>&1) && fail "an unknown argument was accepted: $said"
said=$(action "url=$url" "sha256=$sum" targets=tag:wanted arguments=--keep-going 2>"$work/log") || fail "$(cat "$work/log")"
summary=$(sed -n 's/^build\.summary=//p' <<< "$said")
grep -q '"task": "a"' "$summary" || fail "the record lacks the task: $said"
grep -q '"task": "b"' "$summary" && fail "a task that was not a target ran"
grep -q '<testsuites' "$(sed -n 's/^build\.junit=//p' <<< "$said")" || fail "no JUnit XML"
ok "the action installs the program and builds its targets"

said=$(action "url=$url" "sha256=${sum//[0-4]/0}" 2>&1) && fail "another program than that of sha256 was accepted"
grep -q 'not the one of sha256' <<< "$said" || fail "$said"
said=$(action "url=$url" 2>&1) && fail "a URL without sha256 was accepted"
action "url=$url" "sha256=$sum" "targets=\$(touch $work/ran); touch $work/ran" >/dev/null 2>&1 && fail "odd targets were accepted"
[ -e "$work/ran" ] && fail "a target was run as a command"
ok "it refuses other programs, and no text of an input is run"

cp "$repository/ci/gitlab.yml" "$project/component.yml"
cat > "$project/.gitlab-ci.yml" <<YAML
stages: [build]
include:
  - local: component.yml
    inputs: { job: build it, url: '$url', sha256: '$sum', targets: 'tag:wanted', arguments: '--keep-going' }
YAML
git -C "$project" add .
for counts in '1 executed, 0 cached' '0 executed, 1 cached'; do
  said=$(cd "$project" && gitlab-ci-local --shell-executor-no-image --force-shell-executor --no-color 2>&1) || fail "$said"
  grep -q "$counts" <<< "$said" || fail "expected $counts: $said"
done
ls "$project"/.gitlab-ci-local/artifacts/*/.jackal-ci/run.json >/dev/null || fail "no artifact"
ok "the component builds, keeps its cache and leaves its record"

# A collector: each request must be one of the protocol.
port=$(free_port)
"$python" "$here/collector.py" "$port" "$work/spans" &
servers+=($!)
listening "$port"
(cd "$project" && TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:$port OTEL_EXPORTER_OTLP_HEADERS=authorization=token \
  "$jackal" build --cache-dir "$work/traced") 2> last.log || fail "a traced build"
trace=0af7651916cd43dd8448eb211c80319c
[ "$(sort "$work/spans" | tr '\n' ';')" = "$trace a;$trace b;$trace jackal build;" ] ||
  fail "other spans: $(cat "$work/spans")"
(cd "$project" && OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1 "$jackal" build --cache-dir "$work/again") 2> last.log ||
  fail "a collector that does not answer failed the build"
grep -q 'warning: the trace of this run was not sent' last.log || fail "nothing said about the collector"
ok "a collector gets the trace of a run, as a part of another one"
