#!/usr/bin/env python3
"""Writes the tasks of a pipeline for turbo and for go-task: with the same inputs,
outputs and order. The commands do nothing, since only a build with nothing to do is
measured, and the outputs are there already.

    benches/peers.py FOLDER

FOLDER is a repository of tests/peer/monorepo.py in which jackal has built everything.
"""

import json
import os
import re
import sys

os.chdir(sys.argv[1])


def listed(value):
    return re.findall(r"[^\[\], ']+", value or "")


# The tasks with commands, as the pipeline has them.
text = open("jackal.pipeline.yaml").read()
commands = {}
for name, body in re.findall(r"(?m)^  ([\w-]+):\n((?:    .*\n)+)", text):
    keys = dict(re.findall(r"(?m)^    (\w+): (.*)$", body))
    if "run" in keys:
        inputs = listed(keys["inputs"])
        commands[name] = {
            "folder": keys["workdir"],
            "inputs": [path for path in inputs if not path.startswith("task:")],
            "outputs": listed(keys.get("outputs")),
            "needs": [path.removeprefix("task:") for path in inputs if path.startswith("task:")],
        }
outputs = [path for task in commands.values() for path in task["outputs"]]

# What jackal makes of them: two images, three components, and a package.
needed = [name for name, task in commands.items() if task["outputs"]]


def made(inputs, needs):
    return {"folder": "pack", "inputs": inputs, "outputs": [], "needs": needs}


commands["svc-image"] = made(["go/out/svc"], ["go"])
commands["web-image"] = made(["web/bundle/main.js", "web/dist/"], ["web", "bundle"])
commands["components"] = made(["jackal.yaml", "chart/**", "manifests/**", *outputs], needed)
commands["package"] = made(["jackal.yaml"], ["components", "svc-image", "web-image"])
os.makedirs("pack", exist_ok=True)


def glob(path):
    return path + "**" if path.endswith("/") else path


# go-task: `**` does not match files below folders by itself, and knows no .gitignore.
ignored = [f"{task['folder']}/{name}/**" for task in commands.values() for name in ("target", "out", "dist", "bundle", "build", "node_modules")]
taskfile = {"version": "3", "method": "checksum", "silent": True, "tasks": {"all": {"deps": list(commands)}}}
for name, task in commands.items():
    taskfile["tasks"][name] = {"deps": task["needs"], "cmds": ["true"]}
    sources = [re.sub(r"/\*\*$", "/**/*", glob(path)) for path in task["inputs"]]
    own = [path for path in dict.fromkeys(ignored) if any(source == f"{path.split('/')[0]}/**/*" for source in sources)]
    taskfile["tasks"][name]["sources"] = sources + [{"exclude": path} for path in own]
    if task["outputs"]:
        taskfile["tasks"][name]["generates"] = [re.sub(r"/\*\*$", "/**/*", glob(path)) for path in task["outputs"]]
json.dump(taskfile, open("Taskfile.yml", "w"), indent=1)  # JSON is YAML.

# turbo: a task belongs to the package of its folder, and paths are relative to it.
turbo = {"tasks": {}}
scripts = {}
for name, task in commands.items():
    folder = task["folder"]
    inside = lambda path: glob(path).removeprefix(folder + "/")
    inputs = ["$TURBO_DEFAULT$" if path == folder + "/**" else inside(path) for path in task["inputs"]]
    inputs = [path if path.startswith("$") or os.path.exists(os.path.join(folder, path.split("*")[0])) else "../" + path for path in inputs]
    scripts.setdefault(folder, {})[name] = "true"
    turbo["tasks"][f"{folder}#{name}"] = {
        "inputs": inputs,
        "outputs": [inside(path) for path in task["outputs"]],
        "dependsOn": [f"{commands[need]['folder']}#{need}" for need in task["needs"]],
    }
for folder, of in scripts.items():
    path = os.path.join(folder, "package.json")
    package = json.load(open(path)) if os.path.exists(path) else {"version": "1.0.0", "private": True}
    package.update(name=folder, scripts=of)
    json.dump(package, open(path, "w"))
json.dump({"name": "suite", "private": True, "packageManager": "npm@10.0.0", "workspaces": list(scripts)}, open("package.json", "w"))
json.dump(turbo, open("turbo.json", "w"), indent=1)
print(" ".join(commands))
