"""Follows the tutorials of docs/guide/tutorials, block by block, in an empty folder.

Usage: tutorials.py JACKAL [NAME...]

- A code block after a line that is a path in backticks and a colon is that file.
- Each block of `sh` is run by one bash for the whole page, which stops at the first
  command that fails.
- The lines of a block of `text` must occur, in this order, in what the block of `sh`
  before it printed; `...` in a line stands for anything.

It needs what the pages use: git, make, cc, node, tar.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

pages = pathlib.Path(__file__).resolve().parents[2] / "docs/guide/tutorials"
jackal = pathlib.Path(sys.argv[1]).resolve()
names = sys.argv[2:] or sorted(page.stem for page in pages.glob("*.md"))
BLOCK = re.compile(r"(?:^(?:In )?`(?P<path>[^`\n]+)`:\n\n)?^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.M | re.S)


def expected_is_in(expected, printed):
    lines = iter(printed.splitlines())
    for wanted in expected.splitlines():
        pattern = re.compile(".*".join(re.escape(part) for part in wanted.strip().split("...")))
        if not any(pattern.fullmatch(line.strip()) for line in lines):
            return wanted
    return None


def follow(name):
    page = (pages / f"{name}.md").read_text()
    commands = 0
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder) / "work"
        work.mkdir()
        (pathlib.Path(folder) / "bin").mkdir()
        (pathlib.Path(folder) / "bin/jackal").symlink_to(jackal)
        env = {
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "HOME": folder,
            "JACKAL_CACHE": f"{folder}/cache",
            "JACKAL_STATE_DIR": f"{folder}/state",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            **{f"GIT_{who}_{what}": f"reader{at}" for who in ("AUTHOR", "COMMITTER") for what, at in (("NAME", ""), ("EMAIL", "@example.com"))},
        }
        shell = subprocess.Popen(
            ["bash", "-e"], cwd=work, env=env, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        try:
            printed = ""
            for block in BLOCK.finditer(page):
                language, body, path = block["language"], block["body"], block["path"]
                line = page.count("\n", 0, block.start("body"))
                if path:
                    # Files are relative to where the commands are.
                    shell.stdin.write("pwd; echo '<<ended>>'\n")
                    shell.stdin.flush()
                    here = pathlib.Path(until_ended(shell, name, line).strip())
                    file = here / path
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(body)
                elif language == "sh":
                    commands += sum(1 for text in body.splitlines() if text and not text.startswith(("#", " ")))
                    # `!` alone would also let a command pass that succeeds.
                    body = re.sub(r"^! (.*)$", r'if \1; then echo "this was to fail"; exit 1; fi', body, flags=re.M)
                    shell.stdin.write(body + "echo '<<ended>>'\n")
                    shell.stdin.flush()
                    printed = until_ended(shell, name, line)
                elif language == "text":
                    missing = expected_is_in(body, printed)
                    if missing is not None:
                        sys.exit(f"FAILED: {name}.md:{line}: not printed: {missing}\n{printed}")
                else:
                    sys.exit(f"FAILED: {name}.md:{line}: a block of `{language}` without a path")
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
    print(f"ok: {name}: {commands} commands", flush=True)


def until_ended(shell, name, line):
    printed = []
    for text in shell.stdout:
        if text == "<<ended>>\n":
            return "".join(printed)
        printed.append(text)
    sys.exit(f"FAILED: {name}.md:{line}: a command failed:\n{''.join(printed)}")


for name in names:
    follow(name)
