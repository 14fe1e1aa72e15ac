"""Opens reports in a browser, and uses them with mouse and keyboard.

Usage: report.py JACKAL [FOLDER]

FOLDER gets screenshots. It needs `playwright` (PyPI) and `chromium` (Debian).
"""

import pathlib
import random
import subprocess
import sys
import tempfile

from browser import check, launched, opened

jackal = pathlib.Path(sys.argv[1]).resolve()
shots = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
HEAD = "kind: JackalPipeline\nversion: 1\ntasks:\n"


def small(folder):
    text = HEAD
    for name, needs, command in [
        ("first", [], "sleep 0.2; echo 1 > first"),
        ("second", ["first"], "sleep 0.4; echo 2 > second"),
        ("beside", ["first"], "sleep 0.1; echo 3 > beside"),
        ("last", ["second", "beside"], "sleep 0.1; echo 4 > last"),
        ("broken", [], 'echo "</script><img src=x onerror=alert(1)>" >&2; exit 3'),
    ]:
        inputs = ", ".join(f"task:{need}" for need in needs)
        outputs = "" if name == "broken" else name
        text += f"  {name}: {{ run: [sh, -c, '{command}'], inputs: [{inputs}], outputs: [{outputs}], tools: [sh, sleep] }}\n"
    (folder / "jackal.pipeline.yaml").write_text(text)


def large(folder):
    random.seed(1)
    for package in range(500):
        text = HEAD
        for task in range(10):
            needs = [f"task:t{random.randrange(task)}"] if task else []
            if task == 0 and package >= 20:
                needs = [f"task:p{random.randrange(max(0, package - 60), package):03}:t{random.randrange(10)}"]
            text += f"  t{task}: {{ run: [sh, -c, 'echo {package} {task} > o{task}'], inputs: [{', '.join(needs)}], outputs: [o{task}], tools: [sh] }}\n"
        (folder / f"p{package:03}").mkdir()
        (folder / f"p{package:03}/jackal.pipeline.yaml").write_text(text)


def frame(page):
    """Milliseconds for each frame while the graph is zoomed."""
    return page.evaluate(
        """() => new Promise((done) => {
          let n = 0;
          const start = performance.now(), canvas = document.querySelector('#graph canvas');
          const step = () => {
            canvas.dispatchEvent(new WheelEvent('wheel', { deltaY: n % 2 ? 80 : -80, clientX: 600, clientY: 400 }));
            if (++n < 60) requestAnimationFrame(step); else done((performance.now() - start) / n);
          };
          requestAnimationFrame(step);
        })"""
    )


with tempfile.TemporaryDirectory() as work, launched() as browser:
    work = pathlib.Path(work)
    made = {}
    for name, fill in [("small", small), ("large", large)]:
        folder = work / name
        folder.mkdir()
        (folder / "jackal-workspace.yaml").write_text("")
        fill(folder)
        common = ["--cache-dir", str(work / "cache")]
        made[name] = work / f"{name}.html"
        run = [jackal, "build", "--keep-going", "--report", made[name], *common]
        subprocess.run(run, cwd=folder, capture_output=True)
        made[f"{name}-graph"] = work / f"{name}-graph.html"
        graph = subprocess.run([jackal, "graph", "--format", "html", *common], cwd=folder, capture_output=True, check=True)
        made[f"{name}-graph"].write_bytes(graph.stdout)
    for name, file in made.items():
        for scheme in ["light", "dark"]:
            page = opened(browser, file, scheme)
            for tab in ["summary", "timeline", "graph", "table"]:
                if page.query_selector(f"#tab-{tab}"):
                    page.click(f"#tab-{tab}")
                    page.wait_for_timeout(150)
                    if shots:
                        page.screenshot(path=shots / f"{name}-{scheme}-{tab}.png")
            check(not page.faults and page.asked == [file.as_uri()], f"{name}, {scheme}: no errors, and nothing is loaded")
            page.close()

    page = opened(browser, made["small"], "light")
    summary = page.inner_text("#summary")
    check("broken" in summary and "The slowest path" in summary, "the summary tells the failure and the slowest path")
    path = page.locator("#summary h2", has_text="The slowest path").locator("xpath=following-sibling::table[1]")
    names = path.locator("button").all_inner_texts()
    check(names == ["first", "second", "last"], f"the slowest path is the one of the tasks: {names}")
    page.keyboard.press("4")
    page.focus("#rows")
    page.keyboard.press("ArrowDown")
    check(page.is_visible("#detail"), "a task is chosen by the keyboard")
    page.keyboard.press("Escape")
    check(not page.is_visible("#detail"), "its details are closed by the keyboard")
    page.keyboard.press("/")
    page.keyboard.type("broken")
    page.wait_for_timeout(150)
    rows = page.locator("#rows .row")
    check(rows.count() == 1, "the search leaves one task")
    rows.first.click()
    check("</script><img" in page.inner_text("#detail pre"), "the log is shown as text")
    page.close()

    for name in ["large", "large-graph"]:
        page = opened(browser, made[name], "light")
        page.click("#tab-table")
        page.wait_for_timeout(150)
        check(page.locator("#rows .row").count() < 100, f"{name}: only visible rows are in the page")
        page.click("#tab-graph")
        print(f"{name}: {frame(page):.1f} ms a frame while zooming 5,000 tasks", flush=True)
        page.close()
