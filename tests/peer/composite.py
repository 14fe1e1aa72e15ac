"""Runs the `run` steps of a composite GitHub action on this machine, as a runner would.

Usage: composite.py ACTION.YML FOLDER [NAME=VALUE...]

FOLDER gets the runner's files. Steps that use other actions are skipped: they come from
GitHub. Prints the outputs of the steps, one `ID.NAME=VALUE` a line.
"""

import os
import re
import subprocess
import sys

from ruamel.yaml import YAML

action_path, folder, *given = sys.argv[1:]
action = YAML(typ="safe").load(open(action_path))
inputs = {name: str(spec.get("default", "")) for name, spec in action["inputs"].items()}
for pair in given:
    name, _, value = pair.partition("=")
    if name not in inputs:
        sys.exit(f"the action has no input `{name}`")
    inputs[name] = value

values = {f"inputs.{name}": value for name, value in inputs.items()}
values["github.action_path"] = os.path.dirname(os.path.abspath(action_path))
values["runner.temp"] = os.path.join(folder, "temp")
values["runner.os"], values["runner.arch"] = "Linux", "X64"
os.makedirs(values["runner.temp"], exist_ok=True)


def filled(text):
    return re.sub(r"\$\{\{\s*([\w.-]+)\s*\}\}", lambda found: values[found[1]], str(text))


path = os.environ["PATH"]
for step in action["runs"]["steps"]:
    if "run" not in step:
        continue
    files = {name: os.path.join(folder, name) for name in ("GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for file in files.values():
        open(file, "w").close()
    env = {**os.environ, **files, "PATH": path, "GITHUB_ACTIONS": "true", "CI": "true"}
    env |= {name: filled(value) for name, value in step.get("env", {}).items()}
    where = filled(step.get("working-directory", "."))
    done = subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]], env=env, cwd=where)
    for line in open(files["GITHUB_PATH"]):
        path = line.strip() + ":" + path
    for line in open(files["GITHUB_OUTPUT"]):
        print(f"{step['id']}.{line.strip()}", flush=True)
    if done.returncode:
        sys.exit(done.returncode)
