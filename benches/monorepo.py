#!/usr/bin/env python3
"""A monorepo whose size you choose: what planning, a build with nothing to do, a change of
one file, and a first build cost with jackal, compared with ninja and turbo.

    benches/monorepo.py JACKAL [--packages 500] [--tasks 10] [--files 40] [--rounds 5]
                        [--only plan,null,change,cold] [--without turbo] [--in FOLDER]

Each package has a pipeline of its own with TASKS commands, and each command reads FILES
files. The defaults are 500 packages, 5,000 tasks and 200,000 files; for 200 tasks and
10,000 files: `--packages 200 --tasks 1 --files 50`.

Prints CPU seconds, elapsed seconds and peak resident memory of whole processes, the
medians of runs in turns, and the medians of the ratios of paired runs. Elapsed time
depends on what else runs. Of jackal, `plan` is `jackal list` and `dry` is
`jackal build --dry-run`; of ninja, both are `ninja -n`, with nothing built for `plan`.

- ninja (Debian ninja-build): build.ninja has one edge for each task, with all of its files
  as inputs.
- turbo (from the npm registry, so npm is needed): the same packages, tasks, inputs and
  outputs.

`--in` keeps the folder, and uses what an earlier run of the same sizes has made there.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

options = argparse.ArgumentParser()
options.add_argument("jackal")
for name, default in (("packages", 500), ("tasks", 10), ("files", 40), ("rounds", 5)):
    options.add_argument(f"--{name}", type=int, default=default)
options.add_argument("--only", default="plan,dry,null,change,cold")
options.add_argument("--without", default="")
options.add_argument("--in", dest="folder")
options = options.parse_args()
jackal = os.path.realpath(options.jackal)
work = os.path.realpath(options.folder or tempfile.mkdtemp())
root = os.path.join(work, "repo")
cache = os.path.join(work, "cache")
changed = "packages/p000/t0/f00.txt"


def written(path, text):
    with open(path, "w") as file:
        file.write(text)


def generate():
    """The tree, and what each program needs to know of it."""
    ninja = ["rule sum", "  command = cat $in > $out"]
    names = [f"t{t}" for t in range(options.tasks)]
    for p in range(options.packages):
        package = f"packages/p{p:03}"
        pipeline = ["kind: JackalPipeline", "version: 1", f"name: p{p:03}", "tasks:"]
        for name in names:
            os.makedirs(f"{package}/{name}")
            files = [f"{package}/{name}/f{n:02}.txt" for n in range(options.files)]
            for path in files:
                written(path, path * 20)
            pipeline += [
                f"  {name}:",
                f"    run: [sh, -c, 'cat {name}/* > out/{name}']",
                f"    inputs: ['{name}/**']",
                f"    outputs: [out/{name}]",
                "    tools: [sh, cat]",
            ]
            ninja.append(f"build nout/p{p:03}-{name}: sum {' '.join(files)}")
        written(f"{package}/jackal.pipeline.yaml", "\n".join(pipeline) + "\n")
        scripts = {name: f"mkdir -p dist && cat {name}/* > dist/{name}" for name in names}
        written(f"{package}/package.json", json.dumps({"name": f"p{p:03}", "version": "1.0.0", "scripts": scripts}))
    written("build.ninja", "\n".join(ninja) + "\n")
    written("package.json", json.dumps({"name": "bench", "private": True, "packageManager": "npm@10.0.0", "workspaces": ["packages/*"]}))
    tasks = {name: {"inputs": [f"{name}/**"], "outputs": [f"dist/{name}"]} for name in names}
    written("turbo.json", json.dumps({"tasks": tasks}))
    written(".gitignore", "out\nnout\ndist\nnode_modules\n.turbo\n.ninja_*\n*.log\n")
    git = ["git", "-c", "user.name=b", "-c", "user.email=b@example.com"]
    for argv in (["init", "-q", "."], ["add", "-A"], ["commit", "-qm", "bench"]):
        subprocess.run(git + argv, check=True)


def turbo_program():
    """The program itself, without the script in front of it."""
    if "turbo" in options.without.split(","):
        return None
    if not os.path.exists("node_modules/.bin/turbo"):
        done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "turbo"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            sys.exit(f"npm cannot install turbo (--without turbo leaves it out): {done.stdout[-500:]}")
    for folder, _, names in os.walk("node_modules"):
        if folder.endswith("/bin") and "turbo" in names and "linux" in folder:
            return os.path.realpath(os.path.join(folder, "turbo"))
    return os.path.realpath("node_modules/.bin/turbo")


def run(argv):
    """CPU seconds, elapsed seconds and peak MiB of one process and what it waits for."""
    with tempfile.TemporaryFile() as output:
        start = time.monotonic()
        child = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        elapsed = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            output.seek(0)
            sys.exit(f"{argv}: {output.read().decode()[-2000:]}")
    return usage.ru_utime + usage.ru_stime, elapsed, usage.ru_maxrss / 1024


def compare(what, runs, before=None):
    """Runs each program in turns, and prints the medians."""
    figures = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, argv in runs.items():
            if before:
                before(name)
            figures[name].append(run(argv))
    for name, rounds in figures.items():
        cpu, elapsed, memory = (statistics.median(each) for each in zip(*rounds))
        line = f"{what:7} {name:7} {cpu:8.3f} CPU s {elapsed:8.3f} s {memory:7.0f} MiB"
        if name != "jackal":
            pairs = list(zip(figures["jackal"], rounds))
            ratio = lambda at: statistics.median(ours[at] / max(theirs[at], 1e-6) for ours, theirs in pairs)
            line += f"   jackal is {ratio(0):.2f} x CPU, {ratio(1):.2f} x elapsed, {ratio(2):.2f} x memory"
        print(line, flush=True)


def remove(*paths):
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
        if os.path.lexists(path):
            os.remove(path)


def built_nothing(name):
    """As if the program had never run here. A new cache each time: ext4 passes over
    inodes that were freed for a while."""
    if name == "jackal":
        os.rename(cache, f"{cache}.{time.monotonic_ns()}") if os.path.exists(cache) else None
    elif name == "ninja":
        remove(".ninja_log", ".ninja_deps", "nout")
    else:
        remove(".turbo", "node_modules/.cache")
    outputs = {"jackal": "out", "turbo": "dist"}.get(name)
    if outputs:
        for package in os.listdir("packages"):
            remove(f"packages/{package}/{outputs}")


def change_one(_):
    with open(changed, "a") as file:
        file.write("x")
    # An entry as young as this is read again.
    time.sleep(0.05)


os.makedirs(root, exist_ok=True)
os.chdir(root)
if not os.path.exists("build.ninja"):
    generate()
turbo = turbo_program()
os.environ["TURBO_TELEMETRY_DISABLED"] = "1"
os.environ["JACKAL_CACHE"] = cache
ours = {"build": [jackal, "build"], "list": [jackal, "list"], "dry": [jackal, "build", "--dry-run"]}
turbo_run = [turbo, "run", *(f"t{t}" for t in range(options.tasks)), "--no-daemon", "--output-logs=none"]


def with_turbo(runs, argv):
    return {**runs, "turbo": argv} if turbo else runs


only = options.only.split(",")
if "plan" in only:
    for name in ("jackal", "ninja"):
        built_nothing(name)
    compare("plan", {"jackal": ours["list"], "ninja": ["ninja", "-n"]})
if "cold" in only:
    compare("cold", with_turbo({"jackal": ours["build"], "ninja": ["ninja"]}, turbo_run), built_nothing)
everything = with_turbo({"jackal": ours["build"], "ninja": ["ninja"]}, turbo_run)
for argv in everything.values():
    run(argv)
# The first run after a build settles what was too young, and remembers the plan.
time.sleep(0.1)
run(ours["build"])
if "null" in only:
    compare("null", everything)
if "dry" in only:
    compare("dry", with_turbo({"jackal": ours["dry"], "ninja": ["ninja", "-n"]}, [*turbo_run, "--dry-run=json"]))
if "change" in only:
    compare("change", everything, change_one)
if not options.folder:
    shutil.rmtree(work)
