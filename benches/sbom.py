#!/usr/bin/env python3
"""What jackal finds beside syft, and what finding it costs.

    benches/sbom.py PROGRAM SYFT FOLDER [--only NAME,...] [--explain] [--keep FOLDER] [--reuse]

PROGRAM is jackal, or a program called `scan` that writes the document of
`scan image LAYER...` or `scan dir FOLDER` to its output. benches/sbom_inputs.sh makes a
FOLDER:

- images/NAME: an image as an OCI layout
- folders/NAME: files of a component
- archives/NAME: files of a component, each of them an archive. syft gets them, and beside
  each a folder called `<archive>:` with its content, so that locations are the same.

Prints for each type of package what syft (the peer) has, and recall and precision; of the
packages that both have, how many agree in each field; their edges; and the CPU seconds and peak
resident memory of both. Known faults of syft are explained by the rules of
tests/peer/sbom_compare.py, and count as found. `--explain` lists each difference.
`--keep` leaves the documents in a folder, and uses those of syft that are there.

`--reuse` measures only images, and what is used again, with jackal: the second document of the
same image beside syft's cost, and ten images that share all layers but a small one of their own:
what each of them costs, and by how much the cache grows.

syft reads declarations such as lock files in folders only, and what is installed by npm in
images only. It gets both of them for folders, as jackal does.
"""

import argparse
import collections
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "peer"))
import sbom_compare
from sbom_compare import Compared, Document, share

KINDS = ("images", "folders", "archives")


# Runs a command with its output in a file, and prints what it took. In a process of its own:
# the peak memory of a child begins with that of its parent.
MEASURE = """
import json, os, subprocess, sys
with open(sys.argv[1], "wb") as file:
    child = subprocess.Popen(sys.argv[2:], stdout=file)
    _, status, usage = os.wait4(child.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""


class Run:
    """What a program wrote, and what that took."""

    def __init__(self, command, output, **options):
        measure = [sys.executable, "-I", "-S", "-c", MEASURE, output, *command]
        done = subprocess.run(measure, capture_output=True, check=True, **options)
        code, self.cpu, memory = json.loads(done.stdout)
        self.memory = memory / 1024
        self.failure = done.stderr.decode(errors="replace")[-600:] if code else None


def layers(layout):
    """The layers of the only image of an OCI layout, base first."""
    blob = lambda descriptor: layout / "blobs" / descriptor["digest"].replace(":", "/")
    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads(blob(index["manifests"][0]).read_text())
    while "manifests" in manifest:
        manifest = json.loads(blob(manifest["manifests"][0]).read_text())
    return [str(blob(layer)) for layer in manifest["layers"]]


def scan(program, kind, path, output, work):
    """Ours, by the scanner alone."""
    if kind == "images":
        return Run([program, "image", *layers(path)], output)
    return Run([program, "dir", str(path)], output)


def build(program, kind, path, output, work):
    """Ours, by `jackal sbom` with an empty cache."""
    project = work / "project"
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir()
    own = {**os.environ, "HOME": str(project / "home"), "JACKAL_CACHE": str(project / "cache")}
    subject = f"oci:{path}" if kind == "images" else str(path)
    return Run([program, "sbom", subject, "--format", "syft-json"], output, env=own)


def peer(syft, kind, path, output):
    """What syft finds."""
    command = [syft, "scan", "-q", "-o", "syft-json"]
    environment = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    if kind == "images":
        return Run([*command, f"oci-dir:{path}"], output, env=environment)
    catalogers = ["--override-default-catalogers", "image,directory"]
    # A path in which folders are not cut off by its own patterns.
    return Run([*command, *catalogers, "--base-path", str(path), f"dir:{path}"], output, env=environment)


def unpack(folder, target):
    """Copies `folder` to `target`, with each archive unpacked beside itself; the archives'
    paths."""
    shutil.copytree(folder, target)
    archives = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(folder)
        inside = target / f"{name}:"
        inside.mkdir()
        if path.suffix == ".deb":
            subprocess.run(["dpkg-deb", "-x", path, inside], check=True)
        elif path.suffix == ".rpm":
            subprocess.run(f"rpm2cpio '{path}' | cpio -idm --quiet", shell=True, cwd=inside, check=True)
        elif path.suffix == ".zst":
            subprocess.run(["tar", "-I", "zstd", "-xf", path, "-C", inside], check=True)
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(inside)
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as tar:
                tar.extractall(inside, filter="tar")
        else:
            inside.rmdir()
            continue
        archives.append(f"/{name}")
    return archives


class Sums:
    """What is added up over all inputs."""

    def __init__(self):
        self.kinds = collections.defaultdict(lambda: [0] * 6)
        self.paired = collections.Counter()
        self.equal = collections.defaultdict(collections.Counter)
        self.fields = collections.defaultdict(lambda: [0, 0])
        self.cpes = collections.defaultdict(lambda: [0] * 5)
        self.edges = collections.defaultdict(lambda: [0, 0, 0])
        self.files = [0, 0]
        self.explained = collections.Counter()
        self.cost = [0.0, 0.0, 0.0, 0.0]

    def add(self, compared):
        for kind, row in compared.kinds().items():
            self.kinds[kind] = [a + b for a, b in zip(self.kinds[kind], row)]
        for mine, theirs in compared.pairs:
            self.paired[theirs.kind] += 1
            for field in sbom_compare.FIELDS:
                self.equal[theirs.kind][field] += mine.fields[field] == theirs.fields[field]
            if theirs.cpes:
                shared = len(theirs.cpes & mine.cpes)
                added = (shared, len(theirs.cpes), mine.cpes == theirs.cpes, mine.cpes >= theirs.cpes, 1)
                self.cpes[theirs.kind] = [a + b for a, b in zip(self.cpes[theirs.kind], added)]
        for field, mine, theirs, _ in compared.metadata():
            row = self.fields[field]
            row[0] += mine == theirs
            row[1] += 1
        mine, theirs = compared.edges()
        for edge, count in theirs.items():
            row = self.edges[edge[0]]
            row[0] += min(count, mine[edge])
            row[1] += count
        for edge, count in mine.items():
            self.edges[edge[0]][2] += count
        theirs = set(compared.peer.files.values())
        self.files[0] += len(theirs & set(compared.ours.files.values()))
        self.files[1] += len(theirs)
        self.explained.update(compared.explained)


def explain(name, compared):
    """Each difference of one input, on a line."""
    for side, package in compared.unexplained:
        print(f"{name}: {side}: {package}")
    for field, mine, theirs, package in compared.differences():
        print(f"{name}: {field} of {package.kind} {package.name} {package.version}: {brief(mine)}, expected {brief(theirs)}")
    for field, mine, theirs, package in compared.metadata():
        if mine != theirs:
            print(f"{name}: {field} of {package.name} {package.version}: {brief(mine)}, expected {brief(theirs)}")
    for mine, theirs in compared.pairs:
        for cpe in sorted(theirs.cpes - mine.cpes):
            print(f"{name}: cpe of {theirs.kind} {theirs.name} {theirs.version}: {cpe} is missing")
    mine, theirs = compared.edges()
    for side, edges in (("missing", theirs - mine), ("extra", mine - theirs)):
        for kind, parent, child, evidence in sorted(edges, key=str):
            print(f"{name}: {side} edge: {kind} {brief(parent)} -> {brief(child)} {evidence}")


def brief(value):
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 300 else f"{text[:300]}... ({len(text)} characters)"


def table(sums):
    columns = ("type", "ours", "syft", "recall", "precision", *sbom_compare.FIELDS)
    print("  ".join(f"{column:>12}" for column in columns))

    def row(name, numbers, equal, paired):
        mine, theirs, missing, extra, excused, allowed = numbers
        recall = share(theirs - missing + excused, theirs)
        precision = share(mine - extra + allowed, mine)
        agreed = [share(equal[field], paired) for field in sbom_compare.FIELDS]
        print("  ".join(f"{word:>12}" for word in (name[:20], mine, theirs, recall, precision, *agreed)))

    whole, agreed = [0] * 6, collections.Counter()
    for kind, numbers in sorted(sums.kinds.items()):
        row(kind, numbers, sums.equal[kind], sums.paired[kind])
        whole = [a + b for a, b in zip(whole, numbers)]
        agreed.update(sums.equal[kind])
    row("all", whole, agreed, sums.paired.total())
    print()
    kinds = collections.defaultdict(lambda: [0, 0])
    for field, (equal, count) in sums.fields.items():
        kind = field.split(".")[0]
        kinds[kind] = [kinds[kind][0] + equal, kinds[kind][1] + count]
    for kind, (equal, count) in sorted(kinds.items()):
        worst = {field: row for field, row in sums.fields.items() if field.split(".")[0] == kind and row[0] < row[1]}
        worst = sorted(worst.items(), key=lambda item: item[1][0] - item[1][1])[:4]
        worst = ", ".join(f"{field.split('.')[1]} {equal}/{count}" for field, (equal, count) in worst)
        print(f"metadata {kind or 'none':48} {equal:6}/{count:<6} {share(equal, count)} {worst}")
    everything = [sum(column) for column in zip(*sums.cpes.values())] or [0] * 5
    for kind, row in [*sorted(sums.cpes.items()), ("all", everything)]:
        shared, all_cpes, same, covered, packages = row
        print(
            f"CPEs of syft that we have: {kind:22} {shared:6}/{all_cpes:<6} {share(shared, all_cpes)}; "
            f"packages with the same ones {same}/{packages} {share(same, packages)}, with all of them {share(covered, packages)}"
        )
    for kind, (shared, theirs, mine) in sorted(sums.edges.items()):
        print(f"edges {kind:28} {shared:7}/{theirs:<7} recall {share(shared, theirs)} precision {share(shared, mine)}")
    print(f"files of syft that we have: {sums.files[0]}/{sums.files[1]}")
    for (side, kind, reason), count in sorted(sums.explained.items()):
        print(f"explained: {count} {side} {kind}: {reason}")
    cpu, peers, memory, other = sums.cost
    ratio = peers / cpu if cpu else 0
    print(f"CPU {cpu:.1f} s, syft {peers:.1f} s ({ratio:.1f} times); peak memory {memory:.0f} MiB, syft {other:.0f} MiB")


def derived(layout, target, number):
    """The image of a layout with one more layer, whose only file is a package."""
    blobs = target / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for blob in (layout / "blobs" / "sha256").iterdir():
        os.link(blob, blobs / blob.name)

    def put(kind, content):
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    read = lambda descriptor: json.loads((blobs / descriptor["digest"].split(":")[1]).read_text())
    manifest = read(json.loads((layout / "index.json").read_text())["manifests"][0])
    while "manifests" in manifest:
        manifest = read(manifest["manifests"][0])
    tar, package = io.BytesIO(), json.dumps({"name": f"own-{number}", "version": "1.0.0"}).encode()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        entry = tarfile.TarInfo(f"own/{number}/package.json")
        entry.size = len(package)
        archive.addfile(entry, io.BytesIO(package))
    layer = put("application/vnd.oci.image.layer.v1.tar", tar.getvalue())
    config = read(manifest["config"])
    config["rootfs"]["diff_ids"].append(layer["digest"])
    manifest["config"] = put(manifest["config"]["mediaType"], json.dumps(config).encode())
    manifest["layers"].append(layer)
    kind = manifest.get("mediaType", "application/vnd.oci.image.manifest.v1+json")
    entry = put(kind, json.dumps(manifest).encode())
    (target / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    shutil.copy(layout / "oci-layout", target)
    return layer["size"]


def reused(program, syft, path, kept, work):
    """What the second document of an image costs, and those of images that share its layers."""
    cache = work / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    own = {**os.environ, "HOME": str(work), "JACKAL_CACHE": str(cache)}
    document = work / "document.json"

    def run(layout):
        done = Run([program, "sbom", f"oci:{layout}", "--format", "syft-json"], document, env=own)
        if done.failure:
            sys.exit(f"{path.name}: {done.failure}")
        return done.cpu, sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())

    other, _ = measured(syft, "images", path, kept / f"images-{path.name}.syft.json", work)
    other = other["cpu"]
    cold, before = run(path)
    warm, _ = run(path)
    print(f"{path.name}: first {cold:.2f} s, second {warm:.3f} s; syft {other:.2f} s ({other / warm:.0f} times)")
    costs, layers = [], 0
    for number in range(10):
        layout = work / f"derived-{number}"
        layers += derived(path, layout, number)
        cost, after = run(layout)
        costs.append(cost)
    documents = 10 * document.stat().st_size
    print(
        f"{path.name}: ten images with a layer of their own: {sum(costs) / 10:.2f} s each; the cache grew by"
        f" {(after - before) / 1024:.0f} KiB, of which documents {documents / 1024:.0f} and own layers {layers / 1024:.0f}"
    )
    shutil.rmtree(work)


def arguments():
    options = argparse.ArgumentParser(usage=__doc__)
    for name in ("program", "syft", "folder"):
        options.add_argument(name)
    options.add_argument("--only", default="")
    options.add_argument("--explain", action="store_true")
    options.add_argument("--keep")
    options.add_argument("--reuse", action="store_true")
    return options.parse_args()


def main():
    options = arguments()
    program = os.path.realpath(options.program)
    syft = os.path.realpath(shutil.which(options.syft) or options.syft)
    ours = scan if os.path.basename(program) == "scan" else build
    folder = pathlib.Path(options.folder).resolve()
    work = pathlib.Path(tempfile.mkdtemp())
    kept = pathlib.Path(options.keep or work).resolve()
    kept.mkdir(parents=True, exist_ok=True)
    only = {name for name in options.only.split(",") if name}
    if options.reuse:
        for path in sorted((folder / "images").glob("*")):
            if not only or path.name in only:
                # Beside the inputs, so that their blobs can be linked.
                reused(program, syft, path, kept, pathlib.Path(tempfile.mkdtemp(dir=folder)))
        return
    sums, failed = Sums(), 0
    columns = ("input", "ours", "syft", "missing", "extra", "CPU s", "syft", "MiB", "syft")
    line = "{:24} {:>6} {:>6} {:>7} {:>6}  {:>7} {:>7}  {:>6} {:>6}"
    print(line.format(*columns))
    for kind in KINDS:
        for path in sorted((folder / kind).glob("*")):
            if only and path.name not in only:
                continue
            name = f"{kind}/{path.name}"
            mine, theirs = (kept / f"{kind}-{path.name}.{side}.json" for side in ("ours", "syft"))
            run = ours(program, kind, path, mine, work)
            other, archives = measured(syft, kind, path, theirs, work)
            failure = run.failure or other["failure"]
            if failure:
                print(f"{name}: {failure}", flush=True)
                failed += 1
                continue
            documents = [json.loads(file.read_text()) for file in (mine, theirs)]
            compared = Compared(Document(documents[0], archives), Document(documents[1]))
            sums.add(compared)
            cost = (run.cpu, other["cpu"])
            sums.cost[:2] = [a + b for a, b in zip(sums.cost[:2], cost)]
            sums.cost[2:] = [max(a, b) for a, b in zip(sums.cost[2:], (run.memory, other["memory"]))]
            counts = (len(compared.ours.packages), len(compared.peer.packages))
            faults = [sum(one == side for one, _ in compared.unexplained) for side in ("missing", "extra")]
            numbers = (f"{run.cpu:.2f}", f"{other['cpu']:.2f}", f"{run.memory:.0f}", f"{other['memory']:.0f}")
            print(line.format(name[:24], *counts, *faults, *numbers), flush=True)
            if options.explain:
                explain(name, compared)
    print()
    table(sums)
    shutil.rmtree(work)
    sys.exit(1 if failed else 0)


def measured(syft, kind, path, output, work):
    """The cost of syft's document, which may be there already; and unpacked archives."""
    note = output.with_suffix(".cost")
    if output.exists() and note.exists():
        return json.loads(note.read_text())
    archives, tree = [], path
    if kind == "archives":
        tree = work / "unpacked"
        shutil.rmtree(tree, ignore_errors=True)
        archives = unpack(path, tree)
    run = peer(syft, kind, tree, output)
    cost = [{"cpu": run.cpu, "memory": run.memory, "failure": run.failure}, archives]
    if not run.failure:
        note.write_text(json.dumps(cost))
    return cost


main()
