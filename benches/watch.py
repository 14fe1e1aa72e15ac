#!/usr/bin/env python3
"""Scripted edits under `jackal build --watch`: what runs, how soon, and that nothing else does.

    watch.py JACKAL [EDITS [PACKAGES [FILES]]]

Makes a workspace of 200 packages with 100 files each, saves files in it in the ways of
editors, and compares the tasks that ran with those that should have. Fails if a task ran
too often or too rarely, if an output is not of the last save, or if anything happens
without a save. Prints the times from a save to the start of its task.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

JACKAL = os.path.abspath(sys.argv[1])
EDITS, PACKAGES, FILES = (int(n) for n in (sys.argv[2:] + ["1000", "200", "100"][len(sys.argv) - 2:])[:3])
SETTLED = 0.5  # seconds without an event after which nothing more is expected

PIPELINE = """kind: JackalPipeline
version: 1
name: p{n}
tasks:
  t:
    run: [sh, -c, 'cat src/* > out.txt']
    inputs: ['src/**']
    outputs: [out.txt]
    tools: [sh, cat]
"""


class Events:
    """The events of `--events`, with the times at which they came."""

    def __init__(self, path):
        self.all, self.more = [], threading.Condition()
        threading.Thread(target=self.follow, args=(path,), daemon=True).start()

    def follow(self, path):
        while not os.path.exists(path):
            time.sleep(0.01)
        with open(path, encoding="utf-8") as file:
            while True:
                line = file.readline()
                if not line.endswith("\n"):
                    file.seek(file.tell() - len(line))
                    time.sleep(0.002)
                    continue
                with self.more:
                    self.all.append((time.monotonic(), json.loads(line)))
                    self.more.notify_all()

    def wait(self, since, wanted, seconds=60):
        """The first event after the first `since` ones that is wanted."""
        end = time.monotonic() + seconds
        with self.more:
            while True:
                for at, event in self.all[since:]:
                    if wanted(event):
                        return at, event
                left = end - time.monotonic()
                if left <= 0:
                    raise SystemExit(f"FAIL: waited {seconds} s for an event")
                self.more.wait(left)

    def executed(self, since=0):
        ended = [e["record"] for _, e in self.all[since:] if e["event"] == "finished"]
        return [r["task"] for r in ended if r["status"] == "executed"]

    def settle(self):
        count = -1
        while count != len(self.all):
            count = len(self.all)
            time.sleep(SETTLED)


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def rename_over(path, text):
    folder, name = os.path.split(path)
    new = os.path.join(folder, f".{name}.new~")
    write(new, text)
    os.rename(new, path)


def like_vim(path, text):
    """A probe, a backup, a new file under the name, and the backup goes."""
    folder = os.path.dirname(path)
    write(os.path.join(folder, "4913"), "")
    os.unlink(os.path.join(folder, "4913"))
    os.rename(path, path + "~")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.unlink(path + "~")


def in_two_steps(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text[:1])
        file.flush()
        file.write(text[1:])


def again(path, text):
    os.unlink(path)
    write(path, text)


SAVES = [write, rename_over, like_vim, in_two_steps, again]


def main():
    top = tempfile.mkdtemp(prefix="jackal-watch-")
    work = os.path.join(top, "work")
    for n in range(PACKAGES):
        os.makedirs(os.path.join(work, f"p{n}", "src"))
        write(os.path.join(work, f"p{n}", "jackal.pipeline.yaml"), PIPELINE.format(n=n))
        for f in range(FILES):
            write(os.path.join(work, f"p{n}", "src", f"f{f}.txt"), f"{n} {f}\n")
    write(os.path.join(work, ".gitignore"), "out.txt\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", work]
    run = lambda *args: subprocess.run(git + list(args), check=True, stdout=subprocess.DEVNULL)
    run("init", "-q", "-b", "main")
    run("add", "-A")
    run("commit", "-qm", "all")
    events = Events(os.path.join(top, "events"))
    log = open(os.path.join(top, "log"), "wb")
    env = dict(os.environ, JACKAL_CACHE=os.path.join(top, "cache"))
    watched = subprocess.Popen(
        [JACKAL, "build", "--watch", "--events", os.path.join(top, "events")],
        cwd=work, env=env, stdout=log, stderr=log,
    )
    try:
        times = edits(work, events, run)
        watched.send_signal(signal.SIGINT)
        code = watched.wait(10)
        assert code == 0, f"FAIL: Ctrl-C ended with {code}"
    except BaseException:
        watched.kill()
        print(open(os.path.join(top, "log"), errors="replace").read()[-4000:])
        raise
    times.sort()
    at = lambda share: 1000 * times[min(len(times) - 1, int(share * len(times)))]
    print(f"save to start, {len(times)} saves: median {at(.5):.0f} ms, p95 {at(.95):.0f} ms, longest {1000 * times[-1]:.0f} ms")
    shutil.rmtree(top)


def edits(work, events, run):
    chance = random.Random(7)
    events.wait(0, lambda e: e["event"] == "planned", 600)
    ended = lambda: sum(e["event"] == "finished" for _, e in list(events.all))
    while ended() < PACKAGES:
        time.sleep(0.05)
    events.settle()
    first = len(events.executed())
    assert first == PACKAGES, f"FAIL: {first} of {PACKAGES} tasks ran at first"
    expected, times, quiet = 0, [], 0
    for edit in range(EDITS):
        n, f = chance.randrange(PACKAGES), chance.randrange(FILES)
        path = os.path.join(work, f"p{n}", "src", f"f{f}.txt")
        since = len(events.all)
        if edit % 10 == 9:
            # Saved as it was: nothing may run.
            with open(path, encoding="utf-8") as file:
                old = file.read()
            chance.choice(SAVES)(path, old)
            os.utime(path)
            quiet += 1
            time.sleep(0.15)
            continue
        text = f"edit {edit}\n"
        chance.choice(SAVES)(path, text)
        saved = time.monotonic()
        started, _ = events.wait(since, lambda e: e["event"] == "started" and e["task"] == f"p{n}:t")
        times.append(started - saved)
        events.wait(since, lambda e: e["event"] == "finished" and e["record"]["task"] == f"p{n}:t" and e["record"]["status"] == "executed")
        expected += 1
        with open(os.path.join(work, f"p{n}", "out.txt"), encoding="utf-8") as file:
            assert text in file.read(), f"FAIL: the output of p{n} is not of the last save"
        time.sleep(chance.uniform(0, 0.1))
    events.settle()
    ran = len(events.executed()) - first
    print(f"{EDITS} edits, {quiet} of them without a change: {ran} tasks ran, {expected} expected")
    assert ran == expected, "FAIL: not as many tasks ran as expected"
    # Many files at once.
    since = len(events.all)
    run("stash", "-q")
    events.wait(since, lambda e: e["event"] == "finished")
    events.settle()
    ran = events.executed(since)
    assert not ran, f"FAIL: {len(ran)} tasks ran for files as they were at first"
    since = len(events.all)
    run("stash", "pop", "-q")
    events.wait(since, lambda e: e["event"] == "finished")
    events.settle()
    ran = events.executed(since)
    assert not ran, f"FAIL: {len(ran)} tasks ran for files as they were before"
    # Nothing happens by itself.
    since = len(events.all)
    time.sleep(5)
    assert len(events.all) == since, "FAIL: something ran without a save"
    print("checkouts of all changed files there and back: nothing ran; 5 s without a save: no event")
    return times


main()
