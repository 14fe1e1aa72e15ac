#!/usr/bin/env bash
# Measures a build with nothing to do: 200 commands over 10,000 files, with jackal,
# ninja and turbo on the same tree. Prints the median of seven runs, and ratios.
#
#   benches/null_build.sh JACKAL
#
# Needs ninja (Debian ninja-build) and npx (turbo comes from the npm registry).
set -euo pipefail
jackal=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 - <<'PY'
import json, os
tasks, files = 200, 50
os.makedirs('out')
pipeline = ['kind: JackalPipeline', 'version: 1', 'name: bench', 'tasks:']
ninja = ['rule sum', '  command = cat $dir/* > $out']
for t in range(tasks):
    d = f'packages/p{t:03}/src'
    os.makedirs(d)
    names = [f'{d}/f{n:02}.txt' for n in range(files)]
    for name in names:
        open(name, 'w').write(name * 20)
    pipeline.append(f"  t{t:03}: {{ run: [sh, -c, 'cat {d}/* > out/t{t:03}'], inputs: ['{d}/**'], outputs: [out/t{t:03}], tools: [sh, cat] }}")
    ninja.append(f'build nout/t{t:03}: sum {" ".join(names)}\n  dir = {d}')
    json.dump({'name': f'p{t:03}', 'version': '1.0.0', 'scripts': {'build': 'mkdir -p dist && cat src/* > dist/sum'}}, open(f'packages/p{t:03}/package.json', 'w'))
open('p.yaml', 'w').write('\n'.join(pipeline) + '\n')
open('build.ninja', 'w').write('\n'.join(ninja) + '\n')
json.dump({'name': 'bench', 'private': True, 'packageManager': 'npm@10.0.0', 'workspaces': ['packages/*']}, open('package.json', 'w'))
json.dump({'tasks': {'build': {'inputs': ['src/**'], 'outputs': ['dist/**']}}}, open('turbo.json', 'w'))
open('.gitignore', 'w').write('out\nnout\ndist\nnode_modules\n.turbo\ncache\n')
PY
git init -q . && git add -A && git -c user.name=b -c user.email=b@example.com commit -qm bench
median() { # command...
  for _ in 1 2 3 4 5 6 7; do
    local start=$(date +%s%N)
    "$@" > /dev/null 2>&1
    echo $((($(date +%s%N) - start) / 1000))
  done | sort -n | sed -n 4p
}
run_jackal() { "$jackal" build --pipeline p.yaml --cache-dir "$work/cache"; }
run_jackal > /dev/null 2>&1
sleep 0.1
run_jackal 2>&1 | tail -1
j=$(median run_jackal)
ninja -j2 > /dev/null
n=$(median ninja -j2)
echo "jackal $j us, ninja $n us: ratio $(awk "BEGIN{printf \"%.2f\", $j/$n}")"
if npm install --no-audit --no-fund turbo > npm.log 2>&1; then
  turbo() { ./node_modules/.bin/turbo run build --cache-dir="$work/tcache" --no-daemon; }
  export TURBO_TELEMETRY_DISABLED=1
  turbo > turbo.log 2>&1 || tail -3 turbo.log
  t=$(median turbo)
  echo "turbo $t us: ratio $(awk "BEGIN{printf \"%.2f\", $j/$t}")"
else
  echo "turbo could not be installed"; tail -3 npm.log; exit 1
fi
