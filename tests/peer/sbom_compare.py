#!/usr/bin/env python3
"""Compares two syft-JSON documents: ours and the one of syft.

    sbom_compare.py OURS PEER [--verbose]

Packages of the ecosystems that jackal catalogues are compared by (type, name,
version, purl), with purls decoded and without qualifiers. Prints recall and precision
for each type. Exits with 1 if a difference remains that no rule below explains.
"""

import collections
import json
import sys
import urllib.parse

# Types that jackal catalogues.
COVERED = {"deb", "apk", "python", "npm", "go-module", "rust-crate"}


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


def packages(document):
    """The packages of a document, counted."""
    found = collections.Counter()
    for item in document["artifacts"]:
        if item["type"] in COVERED:
            found[(item["type"], item["name"], item["version"], purl(item.get("purl", "")))] += 1
    return found


def loose(key):
    """A package without the fields in which syft is known to differ."""
    kind, name, version, _ = key
    if kind == "go-module" and version in ("(devel)", "UNKNOWN", ""):
        version = "UNKNOWN"
    return kind, name, version


def deinstalled(document):
    """Packages that syft 1.18 lists although they are removed: they own no files."""
    gone = set()
    for item in document["artifacts"]:
        metadata = item.get("metadata") or {}
        paths = [place["path"] for place in item["locations"]]
        lists = [path for path in paths if path.endswith(".md5sums")]
        if item["type"] == "deb" and not lists and not any("/doc/" in path for path in paths):
            owned = metadata.get("files") or []
            if all(file.get("isConfigFile") for file in owned):
                gone.add((item["name"], item["version"]))
    return gone


def explained(key, ours, removed):
    """Whether a peer-only package is one of the peer's known differences."""
    kind, name, version, _ = key
    if kind == "deb" and (name, version) in removed:
        return "removed package"
    if kind == "go-module" and version in ("(devel)", "UNKNOWN", ""):
        if any(k[0] == kind and k[1] == name for k in ours):
            return "version of a main module"
    if kind == "go-module" and name.startswith("."):
        return "local replacement named by its path"
    return None


def cover(ours, peer):
    """Takes equal packages out of both sides, strictly and then loosely."""
    left, right = ours - peer, peer - ours
    spare = collections.defaultdict(list)
    for key in left.elements():
        spare[loose(key)].append(key)
    soft = 0
    for key in list(right.elements()):
        # Only a purl that one side lacks, or a version the peer leaves open.
        candidates = spare[loose(key)] if key[0] == "go-module" else []
        if candidates:
            left[candidates.pop()] -= 1
            right[key] -= 1
            soft += 1
    return +left, +right, soft


def main():
    arguments = [word for word in sys.argv[1:] if not word.startswith("--")]
    verbose = "--verbose" in sys.argv
    if len(arguments) != 2:
        sys.exit(__doc__)
    with open(arguments[0], encoding="utf-8") as mine, open(arguments[1], encoding="utf-8") as other:
        ours_document, peer_document = json.load(mine), json.load(other)
    ours, peer = packages(ours_document), packages(peer_document)
    extra, missing, soft = cover(ours, peer)
    removed = deinstalled(peer_document)
    unexplained = 0
    for kind in sorted({key[0] for key in list(ours) + list(peer)}):
        of = lambda bag: sum(count for key, count in bag.items() if key[0] == kind)
        mine, theirs = of(ours), of(peer)
        recall = (theirs - of(missing)) / theirs if theirs else 1.0
        precision = (mine - of(extra)) / mine if mine else 1.0
        print(f"{kind:12} ours {mine:6} peer {theirs:6} recall {recall:.4f} precision {precision:.4f}")
    if soft:
        print(f"{soft} equal but for a version that one side leaves open")
    for word, bag in (("missing", missing), ("extra", extra)):
        shown = 0
        for key, count in sorted(bag.items()):
            reason = explained(key, ours, removed) if word == "missing" else None
            if reason is None:
                unexplained += count
            if verbose or (reason is None and shown < 40):
                shown += 1
                print(f"  {word} {count}x {key[0]} {key[1]} {key[2]} {key[3]}" + (f" [{reason}]" if reason else ""))
    beyond = collections.Counter(
        item["type"] for item in peer_document["artifacts"] if item["type"] not in COVERED
    )
    if beyond:
        print("types not covered yet: " + ", ".join(f"{kind} {count}" for kind, count in sorted(beyond.items())))
    print(f"{unexplained} unexplained differences")
    sys.exit(1 if unexplained else 0)


main()
