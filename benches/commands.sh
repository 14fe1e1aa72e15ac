#!/usr/bin/env bash
# What commands cost that do nothing, and what nothing to do costs. CPU seconds of whole
# processes, measured in turns, the median of the rounds, and ratios of the same run. Of
# nothing to do, also the time that it takes.
#
#   benches/commands.sh JACKAL [ROUNDS] [COMMANDS]
#
# - commands: 200 of `true`, in namespaces, compared with `bwrap`.
# - cold: COMMANDS of `true` [default: 5000], compared with ninja, and in namespaces with
#   ninja and as many `bwrap`.
# - inputs: 30,000 files, of which one changed, until the command starts.
# - null: 200 tasks with nothing to do, compared with turbo and go-task.
#
# Needs bwrap (Debian bubblewrap), ninja (ninja-build), npm (turbo comes from its
# registry) and go (so does go-task).
set -euo pipefail
jackal=$(realpath "$1")
rounds=${2:-5}
commands=${3:-5000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src" && cd "$work/src"
git init -q .
npm install --no-audit --no-fund turbo > npm.log 2>&1 || { tail -3 npm.log; exit 1; }
GOBIN="$work" go install github.com/go-task/task/v3/cmd/task@latest > go.log 2>&1 || { tail -3 go.log; exit 1; }
export TURBO_TELEMETRY_DISABLED=1 JACKAL="$jackal" ROUNDS="$rounds" COMMANDS="$commands"
python3 - <<'PY'
import json, os, resource, statistics, subprocess, sys, time

jackal, rounds, commands = os.environ['JACKAL'], int(os.environ['ROUNDS']), int(os.environ['COMMANDS'])


def cpu(argv, folder='.'):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(argv, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f'{argv}: {done.stdout.decode()[-2000:]}')
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def elapsed(run):
    def timed():
        start = time.monotonic()
        run()
        return time.monotonic() - start
    return timed


def medians(runs):
    times = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(run())
    return {name: statistics.median(each) for name, each in times.items()}


def trues(count):
    """Pipelines and a build file with `count` commands each."""
    for sandbox in ('none', 'strict'):
        lines = ['kind: JackalPipeline', 'version: 1', 'name: bench', 'tasks:']
        for t in range(count):
            lines.append(f"  t{t:05}: {{ run: ['true'], inputs: [], tools: ['true'], sandbox: {sandbox}, env: {{ N: '{t}' }} }}")
        open(f'{sandbox}.yaml', 'w').write('\n'.join(lines) + '\n')
    lines = ['rule true', '  command = N=$out true'] + [f'build t{t:05}: true' for t in range(count)]
    os.makedirs('ninja', exist_ok=True)
    open('ninja/build.ninja', 'w').write('\n'.join(lines) + '\n')


def cold(sandbox):
    def run():
        # A new one each time: for a while, ext4 passes over each inode that was freed.
        cold.caches += 1
        return cpu([jackal, 'build', '--pipeline', f'{sandbox}.yaml', '--cache-dir', f'../caches/{cold.caches}'])
    return run


cold.caches = 0


def ninja():
    for name in ('.ninja_log', '.ninja_deps'):
        if os.path.exists(f'ninja/{name}'):
            os.remove(f'ninja/{name}')
    return cpu(['ninja'], 'ninja')


def bwrap(count):
    loop = f'i=0; while [ $i -lt {count} ]; do bwrap --unshare-all --ro-bind / / true; i=$((i+1)); done'
    return lambda: cpu(['sh', '-c', loop])


def below(pid):
    """The processes below `pid`, and itself."""
    found = [pid]
    for process in found:
        try:
            for thread in os.listdir(f'/proc/{process}/task'):
                found += open(f'/proc/{process}/task/{thread}/children').read().split()
        except OSError:
            pass
    return found


def spent(pid):
    """CPU seconds of a process and of its children that have ended, and its name."""
    try:
        text = open(f'/proc/{pid}/stat').read()
    except OSError:
        return 0, ''
    name, fields = text[text.index('(') + 1:text.rindex(')')], text[text.rindex(')') + 2:].split()
    return sum(map(int, fields[11:15])) / os.sysconf('SC_CLK_TCK'), name


def until_start(argv, command):
    """CPU seconds of a build until its `command` runs."""
    build = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = None
    while before is None and build.poll() is None:
        facts = [spent(pid) for pid in below(str(build.pid))]
        if any(name == command for _, name in facts):
            before = sum(time for time, _ in facts)
        time.sleep(0.002)
    if build.wait() or before is None:
        sys.exit(f'{argv}: no `{command}` was seen')
    return before


def show(name, ours, other, theirs, count):
    each = f'{ours * 1000 / count:.2f} ms, {other} {theirs * 1000 / count:.2f} ms a command'
    print(f'{name}: jackal {each}: ratio {ours / theirs:.2f}', flush=True)


trues(200)
times = medians({'jackal': cold('strict'), 'bwrap': bwrap(200)})
show('200 in namespaces', times['jackal'], 'bwrap', times['bwrap'], 200)

trues(commands)
times = medians({'none': cold('none'), 'strict': cold('strict'), 'ninja': ninja, 'bwrap': bwrap(commands)})
show(f'{commands} without a sandbox', times['none'], 'ninja', times['ninja'], commands)
both = times['ninja'] + times['bwrap']
show(f'{commands} in namespaces', times['strict'], 'ninja and bwrap', both, commands)

# 30,000 files, of which one changes each time. The first builds digest and stage them.
os.makedirs('inputs')
for n in range(30000):
    if n % 1000 == 0:
        os.makedirs(f'inputs/{n // 1000}')
    open(f'inputs/{n // 1000}/{n}', 'w').write(f'{n}')
for sandbox in ('none', 'strict'):
    lines = ['kind: JackalPipeline', 'version: 1', 'name: bench', 'tasks:']
    lines.append(f"  t: {{ run: [sleep, '0.3'], inputs: ['inputs/**'], tools: [sleep], sandbox: {sandbox} }}")
    open(f'inputs-{sandbox}.yaml', 'w').write('\n'.join(lines) + '\n')


def changed(sandbox):
    changed.count += 1
    open('inputs/7/7000', 'w').write(f'changed {changed.count}')
    return until_start([jackal, 'build', '--pipeline', f'inputs-{sandbox}.yaml', '--cache-dir', '../cache-inputs'], 'sleep')


changed.count = 0
for sandbox in ('none', 'strict'):
    first = changed(sandbox)
    time.sleep(3)
    changed(sandbox)
    median = statistics.median(changed(sandbox) for _ in range(rounds))
    print(f'30,000 inputs, one changed, sandbox {sandbox}: {median:.2f} s until the command starts, at first {first:.2f} s', flush=True)
subprocess.run(['rm', '-rf', 'inputs'], check=True)

# 200 packages with one file each.
lines = ['kind: JackalPipeline', 'version: 1', 'name: bench', 'tasks:']
tasks = {}
for t in range(200):
    folder = f'packages/p{t:03}'
    os.makedirs(f'{folder}/src')
    open(f'{folder}/src/a.txt', 'w').write(folder)
    script = 'mkdir -p dist && cat src/* > dist/sum'
    package = {'name': f'p{t:03}', 'version': '1.0.0', 'scripts': {'build': script}}
    json.dump(package, open(f'{folder}/package.json', 'w'))
    lines.append(f"  t{t:03}: {{ run: [sh, -c, 'cat {folder}/src/* > out{t:03}'], inputs: ['{folder}/src/**'], outputs: [out{t:03}], tools: [sh, cat] }}")
    tasks[f't{t:03}'] = {'cmds': [f'cat {folder}/src/* > task{t:03}'], 'sources': [f'{folder}/src/**'], 'generates': [f'task{t:03}']}
tasks['all'] = {'deps': [f't{t:03}' for t in range(200)]}
open('null.yaml', 'w').write('\n'.join(lines) + '\n')
json.dump({'version': '3', 'tasks': tasks}, open('Taskfile.yml', 'w'))
json.dump({'name': 'bench', 'private': True, 'packageManager': 'npm@10.0.0', 'workspaces': ['packages/*']}, open('package.json', 'w'))
json.dump({'tasks': {'build': {'inputs': ['src/**'], 'outputs': ['dist/**']}}}, open('turbo.json', 'w'))
open('.gitignore', 'w').write('out*\ntask*\ndist\nnode_modules\n.turbo\n.task\n*.log\n')
subprocess.run(['git', 'add', '-A'], check=True)
subprocess.run(['git', '-c', 'user.name=b', '-c', 'user.email=b@example.com', 'commit', '-qm', 'bench'], check=True)
null = {
    'jackal': lambda: cpu([jackal, 'build', '--pipeline', 'null.yaml', '--cache-dir', '../cache']),
    'turbo': lambda: cpu(['node_modules/.bin/turbo', 'run', 'build', '--no-daemon']),
    'go-task': lambda: cpu(['../task', 'all']),
}
for run in null.values():
    run()
times = medians(null)
waits = medians({name: elapsed(run) for name, run in null.items()})
for other in ('turbo', 'go-task'):
    for what, each in (('CPU', times), ('elapsed', waits)):
        ours, theirs = each['jackal'], each[other]
        print(f'nothing to do, {what}: jackal {ours * 1000:.0f} ms, {other} {theirs * 1000:.0f} ms: ratio {ours / theirs:.2f}', flush=True)
PY
