"""Opens pages of SBOMs in a browser, and uses them with mouse and keyboard.

Usage: sbom_viewer.py JACKAL [FOLDER]

FOLDER gets screenshots. It needs `playwright` (PyPI) and `chromium` (Debian).
"""

import hashlib
import io
import json
import pathlib
import random
import subprocess
import sys
import tarfile
import tempfile

from browser import check, launched, opened

jackal = pathlib.Path(sys.argv[1]).resolve()
shots = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
LICENCES = ["MIT", "Apache-2.0", "ISC", "BSD-3-Clause", "GPL-2.0-only", "MPL-2.0", "(MIT OR Apache-2.0)"]
IMAGE = "registry.example.com/team/web"
HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"onmouseover=\"alert(1)",
    "pay\u202elap-moc.evil",
    "zero\u200bwidth",
    "x" * 3000,
    "__proto__",
    "constructor",
]


def lock(count, release):
    """A lock file; in the second release, some packages have other versions, and some came or went."""
    random.seed(7)
    packages = {"": {"name": "app", "version": "1.0.0"}}
    for at in range(count):
        name = f"{random.choice(['fast', 'tiny', 'node', 'web', 'left', 'super'])}-{random.choice(['pad', 'parse', 'stream', 'cache', 'router'])}-{at:05}"
        version = f"{random.randrange(12)}.{random.randrange(30)}.{random.randrange(9)}"
        licence = random.choice(LICENCES)
        if release == 2 and at % 400 == 0:
            version = "99.0.1"
        if at % 900 == release:
            continue
        packages[f"node_modules/{name}"] = {"version": version, "license": licence, "resolved": f"https://registry.npmjs.org/{name}"}
    return json.dumps({"name": "app", "version": "1.0.0", "lockfileVersion": 3, "packages": packages})


def status(entries):
    return "".join(
        f"Package: {name}\nStatus: install ok installed\nVersion: {version}\nArchitecture: amd64\nMaintainer: A <a@example.com>\nDescription: {name}\n\n"
        for name, version in entries
    )


def blob(layout, data, media):
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}


def image(layout, tag, version):
    """An image of three layers: a system, a program that it lacks, and a damaged database."""
    layers = [
        {"etc/os-release": "ID=debian\nVERSION_ID=12\nPRETTY_NAME=Debian 12\n", "var/lib/dpkg/status": status([("bash", "5.2"), ("zlib1g", version)])},
        {"srv/app/package.json": json.dumps({"name": "left-pad", "version": "1.3.0", "license": "MIT"})},
        {"var/lib/rpm/rpmdb.sqlite": "damaged"},
    ]
    descriptors, ids = [], []
    for files in layers:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            for name, text in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(text.encode())
                tar.addfile(info, io.BytesIO(text.encode()))
        data = raw.getvalue()
        ids.append("sha256:" + hashlib.sha256(data).hexdigest())
        descriptors.append(blob(layout, data, "application/vnd.oci.image.layer.v1.tar"))
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": ids}}
    media = "application/vnd.oci.image.manifest.v1+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": media,
        "config": blob(layout, json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": descriptors,
    }
    entry = blob(layout, json.dumps(manifest).encode(), media)
    entry["annotations"] = {"org.opencontainers.image.ref.name": f"{IMAGE}:{tag}"}
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def package(work, release, count):
    folder = work / f"release-{release}"
    (folder / "locked").mkdir(parents=True)
    (folder / "locked/package-lock.json").write_text(lock(count, release))
    (folder / "hostile/var/lib/dpkg").mkdir(parents=True)
    (folder / "hostile/var/lib/dpkg/status").write_text(status([(name, f"1.{release}") for name in HOSTILE]))
    image(folder / "layout", f"1.{release}", f"1:1.2.{release}")
    (folder / "jackal.yaml").write_text(
        f"""kind: JackalPackageConfig
metadata: {{name: demo, version: 1.{release}.0, architecture: amd64}}
components:
- name: locked
  files: [{{source: locked, target: /srv/locked}}]
- name: hostile
  files: [{{source: hostile, target: /srv/hostile}}]
- name: web
  imageArchives: [{{path: layout, images: ['{IMAGE}:1.{release}']}}]
"""
    )
    create = [jackal, "package", "create", ".", "--confirm", "--sbom-viewer", "-o", work, "--cache-dir", work / "cache"]
    subprocess.run(create, cwd=folder, check=True, capture_output=True)
    return work / f"jackal-package-demo-amd64-1.{release}.0.tar.zst"


def frame(page):
    """Milliseconds of the median and the slowest frame while the list is scrolled."""
    times = page.evaluate(
        """() => new Promise((done) => {
          const times = [], rows = document.querySelector('#rows');
          let n = 0, last = performance.now();
          const step = (now) => {
            times.push(now - last);
            last = now;
            rows.scrollTop += n % 10 ? 333 : 9000;
            if (++n < 120) requestAnimationFrame(step); else done(times.slice(2));
          };
          requestAnimationFrame(step);
        })"""
    )
    times.sort()
    return times[len(times) // 2], times[-1]


def shown(page):
    return page.inner_text("#shown")


def names(page):
    return page.locator("#rows .row > span:first-child").all_inner_texts()


def shot(page, name):
    if shots:
        page.wait_for_timeout(100)
        page.screenshot(path=shots / f"{name}.png")


def use(page):
    """The list of packages: search, filters, order, keyboard."""
    page.click("#tab-packages")
    page.wait_for_timeout(150)
    everything = shown(page)
    check(page.locator("#rows .row").count() < 100, "only visible rows are in the page")
    page.keyboard.press("/")
    page.keyboard.type("zlib1g deb")
    page.wait_for_timeout(150)
    check(shown(page).startswith("1 of ") and names(page) == ["zlib1g"], "the search leaves one package")
    page.keyboard.press("Escape")
    page.wait_for_timeout(150)
    check(shown(page) == everything, "Escape ends the search")
    page.select_option("#by-document", index=1)
    page.wait_for_timeout(150)
    check("19,9" in shown(page), f"a document is chosen: {shown(page)}")
    page.select_option("#by-licence", index=1)
    page.wait_for_timeout(150)
    licences = set(page.locator("#rows .row > span:nth-child(4)").all_inner_texts())
    check(len(licences) == 1, f"a licence is chosen: {licences}")
    page.click("#clear")
    page.select_option("#by-layer", index=2)
    page.wait_for_timeout(150)
    check(names(page) == ["left-pad"], f"a layer is chosen: {names(page)}")
    page.click("#clear")
    page.wait_for_timeout(150)
    page.select_option("#by-type", label=page.locator("#by-type option", has_text="npm").inner_text())
    page.get_by_role("button", name="Version").first.click()
    page.get_by_role("button", name="Version").first.click()
    page.wait_for_timeout(200)
    first = page.locator("#rows .row > span:nth-child(2)").first.inner_text()
    check(first in ["11.29.8", "99.0.1"], f"versions are in the order of numbers: {first}")
    page.click("#clear")
    page.get_by_role("button", name="Name").first.click()
    page.focus("#rows")
    page.keyboard.press("End")
    page.wait_for_timeout(200)
    check(page.is_visible("#detail"), "a package is chosen by the keyboard")
    check(page.locator('#rows .row[aria-selected="true"]').count() == 1, "the row of it is in view")
    page.keyboard.press("Escape")
    check(not page.is_visible("#detail"), "its details are closed by the keyboard")


def hostile(page):
    page.click("#tab-packages")
    page.click("#clear")
    page.keyboard.press("/")
    page.keyboard.type("var/lib/dpkg hostile")
    page.wait_for_timeout(200)
    found = names(page)
    check(len(found) == len(HOSTILE), f"all hostile names are listed: {len(found)}")
    for name in HOSTILE[:3]:
        check(name in found, f"shown as text: {name}")
    check("pay\\u{202e}lap-moc.evil" in found and "zero\\u{200b}width" in found, "characters that are not seen are written out")
    shot(page, "hostile")
    for row in range(len(HOSTILE)):
        page.locator("#rows .row").nth(row).hover()
        page.locator("#rows .row").nth(row).click()
    check(page.locator("img, iframe, a").count() == 0 and not page.faults, "no name becomes an element, or runs")
    overflow = page.evaluate("() => document.documentElement.scrollWidth > innerWidth")
    check(not overflow, "the longest name does not widen the page")
    shot(page, "hostile-detail")
    page.keyboard.press("Escape")
    page.click("#clear")


with tempfile.TemporaryDirectory() as work, launched() as browser:
    work = pathlib.Path(work)
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    old, new = package(work, 1, 20_000), package(work, 2, 20_000)
    inspect = [jackal, "package", "inspect", "sbom"]
    pages = {"alone": work / "alone.html", "diff": work / "diff.html"}
    subprocess.run([*inspect, new, "--html", pages["alone"]], check=True, capture_output=True)
    subprocess.run([*inspect, new, "--html", pages["diff"], "--against", old], check=True, capture_output=True)
    print(f"{pages['alone'].stat().st_size / 1e6:.1f} MB for 20,000 packages", flush=True)
    unpacked = work / "unpacked"
    subprocess.run([*inspect, new, "--output", unpacked], check=True, capture_output=True)
    packed = unpacked / "demo/sbom-viewer-demo.html"
    check(packed.read_bytes() == pages["alone"].read_bytes(), "--sbom-viewer packs the same page")

    for name, file in pages.items():
        for scheme in ["light", "dark"]:
            page = opened(browser, file, scheme)
            for tab in ["packages", "changes", "documents", "unread"]:
                if page.query_selector(f"#tab-{tab}"):
                    page.click(f"#tab-{tab}")
                    page.wait_for_timeout(150)
                    shot(page, f"{name}-{scheme}-{tab}")
            page.click("#tab-packages")
            page.wait_for_timeout(150)
            page.locator("#rows .row").nth(3).click()
            shot(page, f"{name}-{scheme}-detail")
            check(not page.faults and page.asked == [file.as_uri()], f"{name}, {scheme}: no errors, and nothing is loaded")
            page.close()

    page = opened(browser, pages["diff"], "light")
    check(page.is_visible("#change-rows"), "a comparison begins with the changes")
    kinds = page.locator("#by-change option").all_inner_texts()
    # The two releases lack other packages, 50 versions differ, and so do those of the image and the hostile ones.
    changed = 50 + 1 + len(HOSTILE)
    check(kinds[1:] == ["added (23)", "removed (23)", f"changed ({changed})"], f"changes are counted: {kinds}")
    page.keyboard.press("/")
    page.keyboard.type("zlib1g")
    page.wait_for_timeout(200)
    row = page.locator("#change-rows .row").all_inner_texts()
    check(len(row) == 1 and "1:1.2.1" in row[0] and "1:1.2.2" in row[0], f"another tag of an image is compared: {row}")
    page.keyboard.press("Escape")
    page.click("#tab-unread")
    page.wait_for_timeout(150)
    check("rpmdb.sqlite" in page.inner_text("#unread-rows"), "what was not read is listed")
    use(page)
    hostile(page)
    page.click("#tab-packages")
    page.wait_for_timeout(200)
    median, slowest = frame(page)
    print(f"{median:.1f} ms a frame while scrolling 20,000 packages, the slowest {slowest:.1f} ms", flush=True)
    for label, act in [("search", "by('search').value = 'pad'; search()"), ("sort", "sort.by = 'version'; refresh()")]:
        took = page.evaluate(f"() => new Promise((done) => {{ const start = performance.now(); {act}; requestAnimationFrame(() => setTimeout(() => done(performance.now() - start))); }})")
        print(f"{took:.0f} ms until a {label} is shown", flush=True)
    check(not page.faults, f"no errors: {page.faults}")
    page.close()

    narrow = opened(browser, pages["diff"], "light")
    narrow.set_viewport_size({"width": 420, "height": 800})
    narrow.click("#tab-packages")
    narrow.wait_for_timeout(150)
    shot(narrow, "narrow")
    check(narrow.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), "a narrow window needs no scrolling to the side")
    narrow.close()
