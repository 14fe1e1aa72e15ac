#!/usr/bin/env python3
"""Compares two syft-JSON documents: ours and the one of syft.

    sbom_compare.py OURS PEER [--verbose]

Packages are compared by (type, name, version), and those that both have by each field.
Prints recall and precision for each type. Exits with 1 if a difference remains that no
rule below explains, or a purl differs. benches/sbom.py imports the comparison.
"""

import collections
import json
import sys
import typing
import urllib.parse

FIELDS = ("purl", "language", "licences", "locations", "metadataType")


def purl(text):
    """The decoded purl with its subpath in the name, and its sorted qualifiers."""
    text, _, subpath = text.partition("#")
    text, _, qualifiers = text.partition("?")
    pairs = tuple(sorted(urllib.parse.unquote(pair) for pair in qualifiers.split("&") if pair))
    name = urllib.parse.unquote(text)
    if subpath:
        # The peer puts all but three elements of a Go path into the subpath.
        head, at, version = name.rpartition("@")
        name = f"{head}/{subpath}@{version}" if at else f"{name}/{subpath}"
    return name, pairs


class Package:
    """A package of a document, in a form that can be compared."""

    def __init__(self, item):
        self.id = item["id"]
        self.key = (item["type"], item["name"], item["version"])
        self.kind, self.name, self.version = self.key
        self.metadata = item.get("metadata") or {}
        self.paths = frozenset(place["path"] for place in item["locations"])
        # Before schema 15, they were texts.
        cpes = (cpe if isinstance(cpe, str) else cpe["cpe"] for cpe in item.get("cpes") or [])
        self.cpes = set(cpes)
        self.fields = {
            "purl": purl(item.get("purl", "")),
            "language": item.get("language", ""),
            "licences": sorted({one["spdxExpression"] or one["value"] for one in item.get("licenses") or []}),
            "locations": sorted({located(place) for place in item["locations"]}),
            "metadataType": item.get("metadataType", ""),
        }
        self.found_by = item.get("foundBy", "")

    def __str__(self):
        return " ".join((*self.key, *sorted(self.paths)[:2]))


def located(place):
    """A location, with its layer and what it is evidence of."""
    evidence = (place.get("annotations") or {}).get("evidence", "")
    # In our documents, the archive around a file is a location as well.
    return place["path"], place.get("layerID", ""), evidence


class Document:
    def __init__(self, document, archives=()):
        """`archives` are paths that only our documents have as locations."""
        self.packages = [Package(item) for item in document["artifacts"]]
        for package in self.packages:
            places = package.fields["locations"]
            inside = [place for place in places if place[0] not in archives or place[2] != "supporting"]
            package.fields["locations"] = inside
            package.paths = frozenset(place[0] for place in package.fields["locations"])
        self.files = {file["id"]: file["location"]["path"] for file in document.get("files") or []}
        self.source = document["source"]["id"]
        self.distro = document.get("distro") or {}
        self.version = document["descriptor"]["version"]
        self.relationships = document["artifactRelationships"]

    def is_before(self, *version):
        """Whether a syft of an earlier version wrote it."""
        numbers = self.version.split(".")[:2]
        return all(number.isdigit() for number in numbers) and tuple(map(int, numbers)) < version

    def edges(self, packages):
        """The edges between some packages, files and the source, counted."""
        names = {package.id: package.key for package in packages}
        names.update(self.files)
        names[self.source] = "source"
        found = collections.Counter()
        for edge in self.relationships:
            parent, child = names.get(edge["parent"]), names.get(edge["child"])
            if parent is None or child is None:
                continue
            kind = edge["type"]
            if kind == "contains":
                kind = "contains-package" if parent == "source" else "contains-file"
            metadata = edge.get("metadata") or {}
            found[(kind, parent, child, metadata.get("kind", ""))] += 1
        return found


class Compared:
    """What two documents have in common, and where they differ."""

    def __init__(self, ours, peer):
        self.ours, self.peer = ours, peer
        self.pairs, self.extra, self.missing, self.soft = [], [], [], 0
        self.pair(lambda package: package.key, ours.packages, peer.packages)
        go = lambda packages: [one for one in packages if one.kind == "go-module"]
        rest = lambda packages: [one for one in packages if one.kind != "go-module"]
        # Only a version that one side leaves open.
        extra, missing, paired = self.extra, self.missing, len(self.pairs)
        self.extra, self.missing = rest(extra), rest(missing)
        self.pair(without_version, go(extra), go(missing))
        self.soft = len(self.pairs) - paired
        self.explained = collections.Counter()
        self.unexplained, self.declared = [], []
        for side, packages in (("missing", self.missing), ("extra", self.extra)):
            for package in packages:
                reason = explained(side, package, self)
                if reason:
                    self.explained[(side, package.kind, reason)] += 1
                    self.declared += [package] if reason == DECLARED else []
                else:
                    self.unexplained.append((side, package))

    def pair(self, key, left, right):
        """Pairs packages of equal key, those with the same files first."""
        groups = collections.defaultdict(lambda: ([], []))
        for side, packages in enumerate((left, right)):
            for package in packages:
                groups[key(package)][side].append(package)
        for mine, theirs in groups.values():
            for alike in (lambda a, b: a.paths == b.paths, lambda a, b: a.paths & b.paths, lambda a, b: True):
                for package in list(theirs):
                    found = next((one for one in mine if alike(one, package)), None)
                    if found:
                        mine.remove(found)
                        theirs.remove(package)
                        self.pairs.append((found, package))
            self.extra += mine
            self.missing += theirs

    def kinds(self):
        """For each type: packages of ours, of the peer, missing and extra ones, and those
        of them that a rule explains."""
        table = {}
        sides = (self.ours.packages, self.peer.packages, self.missing, self.extra)
        for column, packages in enumerate(sides):
            for package in packages:
                table.setdefault(package.kind, [0] * 6)[column] += 1
        columns = {"missing": 4, "extra": 5}
        for (side, kind, _), count in self.explained.items():
            if side in columns:
                table[kind][columns[side]] += count
        return table

    def edges(self):
        """The edges of ours and of the peer, of packages that both have."""
        ours, peer = [mine for mine, _ in self.pairs], [theirs for _, theirs in self.pairs]
        mine, theirs = self.ours.edges(ours), self.peer.edges(peer + self.declared)
        # Of packages that only we take together, the same edge comes twice.
        if self.declared:
            theirs = collections.Counter({edge: min(count, max(mine[edge], 1)) for edge, count in theirs.items()})
        # In lock files, syft takes a package to need every version of another one.
        known = {(kind, parent[:2], child) for kind, parent, child, _ in mine if kind == "dependency-of"}
        for edge in list(theirs):
            kind, parent, child, _ = edge
            if kind == "dependency-of" and edge not in mine and (kind, parent[:2], child) in known:
                self.explained[("missing edge", parent[0], "it needs another version of it")] += theirs.pop(edge)
        return mine, theirs

    def differences(self):
        """The fields that differ: (field, ours, peer, the pair's package)."""
        for mine, theirs in self.pairs:
            for field in FIELDS:
                if mine.fields[field] != theirs.fields[field]:
                    yield field, mine.fields[field], theirs.fields[field], theirs

    def metadata(self):
        """For each field of the metadata of pairs: (type and field, ours, peer, package)."""
        for mine, theirs in self.pairs:
            kind = theirs.fields["metadataType"]
            for field in sorted({*mine.metadata, *theirs.metadata}):
                a, b = mine.metadata.get(field), theirs.metadata.get(field)
                if a is not None or b is not None:
                    yield f"{kind}.{field}", ordered(a), ordered(b), theirs


def ordered(value):
    """Lists of files in a fixed order: syft's depends on the run."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return sorted(value, key=lambda item: json.dumps(item, sort_keys=True))
    return value


OPEN = ("(devel)", "UNKNOWN", "")


def without_version(package):
    return package.name, "" if package.version in OPEN else package.version


class Rule(typing.NamedTuple):
    """A known fault of syft, or something that we do and it does not."""

    # `missing` of ours, or `extra` in ours.
    side: str
    reason: str
    applies: typing.Callable


def is_deinstalled(package, compared):
    """syft 1.18 lists removed packages: they own no files."""
    if package.kind != "deb" or not compared.peer.is_before(1, 20):
        return False
    lists = [path for path in package.paths if path.endswith(".md5sums") or "/doc/" in path]
    owned = package.metadata.get("files") or []
    return not lists and all(file.get("isConfigFile") for file in owned)


def is_main_module(package, compared):
    known = {one.name for one in compared.ours.packages if one.kind == "go-module"}
    return package.kind == "go-module" and package.version in OPEN and package.name in known


def declares(package):
    kind = package.fields["metadataType"]
    return "lock" in kind or "requirements" in kind or kind == "go-module-entry"


def is_declared(package, compared):
    """What is installed says more than a lock file, so we list it once in a component."""
    installed = getattr(compared, "installed", None)
    if installed is None:
        ours = compared.ours.packages
        installed = compared.installed = {one.key for one in ours if not declares(one)}
    return declares(package) and package.key in installed


def is_for_development(package, compared):
    """syft finds the package.json beside a yarn.lock in the root of a scan only, and lists
    there more than what is needed as well. Of a file that we read, it lists the rest."""
    if package.fields["metadataType"] != "javascript-yarn-lock-entry":
        return False
    read = getattr(compared, "read", None)
    if read is None:
        read = compared.read = {path for one in compared.ours.packages for path in one.paths}
    return package.paths <= read


DECLARED = "declared, and listed as installed"

RULES = (
    Rule("missing", "removed package", is_deinstalled),
    Rule("missing", "version of a main module", is_main_module),
    Rule(
        "missing",
        "local replacement named by its path",
        lambda package, _: package.kind == "go-module" and package.name.startswith("."),
    ),
    Rule("missing", DECLARED, is_declared),
    Rule("missing", "only development needs it, by yarn.lock", is_for_development),
    Rule(
        "extra",
        "older syft has another type for it",
        lambda package, compared: package.kind == "php-pear" and compared.peer.is_before(1, 20),
    ),
)


def explained(side, package, compared):
    """The reason of the first rule that explains a difference."""
    for rule in RULES:
        if rule.side == side and rule.applies(package, compared):
            return rule.reason
    return None


def share(part, whole):
    """A ratio as text; `-` of nothing."""
    return f"{part / whole:.4f}" if whole else "-"


def load(path):
    with open(path, encoding="utf-8") as file:
        return Document(json.load(file))


def main():
    arguments = [word for word in sys.argv[1:] if not word.startswith("--")]
    verbose = "--verbose" in sys.argv
    if len(arguments) != 2:
        sys.exit(__doc__)
    compared = Compared(load(arguments[0]), load(arguments[1]))
    for kind, (mine, theirs, missing, extra, *_) in sorted(compared.kinds().items()):
        recall, precision = share(theirs - missing, theirs), share(mine - extra, mine)
        print(f"{kind:12} ours {mine:6} peer {theirs:6} recall {recall} precision {precision}")
    if compared.soft:
        print(f"{compared.soft} equal but for a version that one side leaves open")
    for (side, kind, reason), count in sorted(compared.explained.items()):
        print(f"  {side} {count}x {kind} [{reason}]")
    shown = compared.unexplained if verbose else compared.unexplained[:40]
    for side, package in shown:
        print(f"  {side} {package}")
    # The peer leaves the version open in the purl as well.
    purls = [
        difference
        for difference in compared.differences()
        if difference[0] == "purl" and difference[3].version not in OPEN
    ]
    for _, mine, theirs, package in purls if verbose else purls[:40]:
        print(f"  purl of {package.kind} {package.name}: {mine}, expected {theirs}")
    unexplained = len(compared.unexplained) + len(purls)
    print(f"{unexplained} unexplained differences")
    sys.exit(1 if unexplained else 0)


if __name__ == "__main__":
    main()
