#!/usr/bin/env python3
"""Records what `jackal build` writes on a terminal, and checks how it does so.

    terminal.py JACKAL

Builds 300 quick tasks beside noisy ones on a pseudo-terminal of 80 x 24. Fails if two
repaints are less than 50 ms apart, if a line that stays is written twice or not at all,
or if output of a task controls the terminal.
"""

import os
import pty
import re
import select
import shutil
import struct
import sys
import tempfile
import time
import fcntl
import termios

JACKAL = os.path.abspath(sys.argv[1])
BEGIN, END = b"\x1b[?2026h", b"\x1b[?2026l"
QUICK = 300


def workspace(top):
    work = os.path.join(top, "work")
    os.makedirs(work)
    text = "kind: JackalPipeline\nversion: 1\nname: t\ntasks:\n"
    for n in range(QUICK):
        text += f"  quick-{n}: {{ run: ['true'], inputs: [], tools: ['true'], env: {{ N: '{n}' }} }}\n"
    for n in range(3):
        noise = "for i in $(seq 40); do echo \"line $i\"; printf '\\033[2J\\033]0;title\\007\\033[?1049h'; sleep 0.1; done"
        text += f"  noisy-{n}:\n    run: [sh, -c, '" + noise.replace("'", "''") + f"']\n    inputs: []\n    tools: [sh, seq, sleep]\n    env: {{ N: '{n}' }}\n"
    with open(os.path.join(work, "jackal.pipeline.yaml"), "w", encoding="utf-8") as file:
        file.write(text)
    open(os.path.join(work, "jackal-workspace.yaml"), "w").close()
    return work


def main():
    top = tempfile.mkdtemp(prefix="jackal-terminal-")
    work = workspace(top)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(work)
        env = {k: v for k, v in os.environ.items() if k not in ("CI", "NO_COLOR")}
        env.update(JACKAL_CACHE=os.path.join(top, "cache"), TERM="xterm-256color")
        os.execve(JACKAL, [JACKAL, "build"], env)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    written, begins = b"", []
    while True:
        try:
            select.select([terminal], [], [])
            piece = os.read(terminal, 1 << 16)
        except OSError:
            break
        begins += [time.monotonic()] * piece.count(BEGIN)
        written += piece
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, written[-2000:]
    gaps = sorted(b - a for a, b in zip(begins, begins[1:]))
    seconds = begins[-1] - begins[0]
    print(f"{len(begins)} repaints in {seconds:.1f} s, {len(written)} bytes; shortest gap {1000 * gaps[0]:.0f} ms, second shortest {1000 * gaps[1]:.0f} ms")
    # Written together is read together, or a little later.
    assert gaps[0] >= 0.045, "FAIL: two repaints in less than 50 ms"
    lines = re.findall(rb"executed((?:\x1b\[0m)?) ((?:quick|noisy)-\d+) ", written)
    names = [name for _, name in lines]
    assert len(names) == len(set(names)) == QUICK + 3, f"FAIL: {len(names)} lines for {len(set(names))} tasks"
    for bad in (b"\x1b[2J", b"\x1b]0;", b"\x1b[?1049h", b"\x07"):
        assert bad not in written, f"FAIL: {bad} of a task reached the terminal"
    outside = re.sub(rb"\x1b\[\?2026h.*?\x1b\[\?2026l", b"", written, flags=re.S)
    assert b"\x1b[" not in re.sub(rb"\x1b\[[0-9;]*m", b"", outside), "FAIL: the cursor moves outside of a repaint"
    print(f"each of {len(names)} lines once; no sequence of a task reached the terminal")
    shutil.rmtree(top)


main()
