#!/usr/bin/env bash
# What a one-line change costs: with jackal and `incremental: true`, and with the tool
# itself in place. CPU seconds of whole processes, the median of five changes each, and
# their ratio.
#
#   benches/toolchains.sh JACKAL
#
# Needs cargo, go, node, npm, cmake, ninja, c++ and git, and their package indexes.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
jackal=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 "$here/../tests/peer/monorepo.py" place
(cd place/rust && cargo generate-lockfile -q)
(cd place/go && go mod tidy) 2> /dev/null
(cd place/web && npm install --no-audit --no-fund) > /dev/null 2>&1
cp -r place sandboxed
rm -rf sandboxed/web/node_modules
# The tasks of the repository, kept between runs; tests are not measured.
sed -i -E -e '/^  (rust|go|web|cpp):$/a\    incremental: true' \
  -e 's/npm ci (.*) && npm run build/[ -d node_modules ] || npm ci \1; node_modules\/.bin\/tsc --incremental/' \
  -e 's/ && ctest --test-dir build//' sandboxed/jackal.pipeline.yaml
cat > measure.py <<'PY'
import os, resource, statistics, subprocess, sys

jackal, work = sys.argv[1:]
changes = {
    'rust': ('rust/lib06/src/lib.rs', '// {}\n', [['cargo', 'build', '--release', '--locked', '-q']]),
    'go': ('go/main.go', '\n// {}\n', [['go', 'build', '-o', 'out/svc', '.']]),
    'web': ('web/src/sum.ts', '// {}\n', [['node_modules/.bin/tsc', '--incremental']]),
    'cpp': ('cpp/shapes.cpp', '// {}\n', [['cmake', '-S', '.', '-B', 'build', '-G', 'Ninja'], ['cmake', '--build', 'build']]),
}


def cpu(commands, folder):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for command in commands:
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            sys.exit(f'{command}: {done.stdout.decode()}')
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


for name, (path, line, commands) in changes.items():
    build = [[jackal, 'build', '--pipeline', 'jackal.pipeline.yaml', '--cache-dir', f'{work}/cache', '--task', name]]
    sandboxed = lambda: cpu(build, f'{work}/sandboxed')
    in_place = lambda: cpu(commands, f'{work}/place/{name}')
    sandboxed(), in_place()
    times = {'sandboxed': [], 'in place': []}
    for number in range(5):
        for where, root, run in (('sandboxed', 'sandboxed', sandboxed), ('in place', 'place', in_place)):
            with open(f'{work}/{root}/{path}', 'a') as file:
                file.write(line.format(number))
            times[where].append(run())
    one, other = (statistics.median(times[where]) for where in ('sandboxed', 'in place'))
    print(f'{name}: jackal {one:.2f} s, in place {other:.2f} s: ratio {one / other:.2f}', flush=True)
PY
python3 measure.py "$jackal" "$work"
