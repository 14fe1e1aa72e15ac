#!/usr/bin/env python3
"""The measurements of benches/toolchains.sh, in the folders that it has made."""

import re
import resource
import statistics
import subprocess
import sys
import time

jackal, work, *tasks = sys.argv[1:]
CPU = "of CPU"
failed = False


def run(commands, folder):
    """CPU seconds and elapsed seconds of commands, one after the other."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    output = b""
    for command in commands:
        done = subprocess.run(command, cwd=f"{work}/{folder}", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output += done.stdout
        if done.returncode:
            sys.exit(f"{command}: {done.stdout.decode()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return cpu, time.monotonic() - start, output.decode()


def report(what, peer, unit, pairs, aim):
    """Prints medians of pairs (ours, theirs) and the median of their ratios."""
    global failed
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    ours, theirs = (statistics.median(side) for side in zip(*pairs))
    above = ratio > aim
    failed |= above and unit == CPU
    note = f" (above {aim})" if above else ""
    print(f"{what}: jackal {ours:.3f} s, {peer} {theirs:.3f} s {unit}: ratio {ratio:.2f}{note}", flush=True)


def build(cache, *more):
    return [jackal, "build", "--pipeline", "jackal.pipeline.yaml", "--cache-dir", f"{work}/{cache}", *more]


# Nothing to do.
turbo = [f"{work}/turbo/node_modules/.bin/turbo", "run", *tasks, f"--cache-dir={work}/turbo-cache", "--output-logs=none"]
null = {
    "jackal": ([build("cache", "-o", f"{work}/out")], "one", r"(?m)^0 executed"),
    "turbo": ([turbo], "peers", f"{len(tasks)} cached, {len(tasks)} total"),
    "go-task": ([["task", "--verbose", "all"]], "peers", None),
}
for commands, folder, _ in null.values():
    run(commands, folder), run(commands, folder)
times = {name: [] for name in null}
for _ in range(9):
    for name, (commands, folder, proof) in null.items():
        cpu, elapsed, output = run(commands, folder)
        # Of go-task, each task says so.
        idle = re.search(proof, output) if proof else output.count("is up to date") >= len(tasks)
        if not idle:
            sys.exit(f"go-task had something to do:\n{output}")
        times[name].append((cpu, elapsed))
for peer in ("turbo", "go-task"):
    for column, unit in enumerate((CPU, "elapsed")):
        pairs = [(ours[column], theirs[column]) for ours, theirs in zip(times["jackal"], times[peer])]
        report("nothing to do", peer, unit, pairs, 1.5)

# One line.
changes = {
    "rust": ("rust/lib06/src/lib.rs", "// {}\n", [["cargo", "build", "--release", "--locked", "-q"]]),
    "go": ("go/main.go", "\n// {}\n", [["go", "build", "-o", "out/svc", "."]]),
    "web": ("web/src/sum.ts", "// {}\n", [["node_modules/.bin/tsc"]]),
    "cpp": ("cpp/shapes.cpp", "// {}\n", [["sh", "-c", "cmake -S . -B build -G Ninja && cmake --build build && ctest --test-dir build"]]),
}
for name, (path, line, commands) in changes.items():
    sandboxed = [build("incremental-cache", "--task", name)]
    run(sandboxed, "incremental"), run(commands, f"place/{name}")
    pairs = []
    for number in range(7):
        for folder in ("incremental", "place"):
            with open(f"{work}/{folder}/{path}", "a") as file:
                file.write(line.format(number))
        pairs.append((run(sandboxed, "incremental")[0], run(commands, f"place/{name}")[0]))
    report(f"one line of {name}", "in place", CPU, pairs, 1.3)
sys.exit(failed)
