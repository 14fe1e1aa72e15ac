"""Chromium for the tests of pages. It needs `playwright` (PyPI) and `chromium` (Debian)."""

import contextlib
import shutil
import sys

from playwright.sync_api import sync_playwright


def check(holds, what):
    if not holds:
        sys.exit(f"FAILED: {what}")
    print(f"ok: {what}", flush=True)


@contextlib.contextmanager
def launched():
    path = shutil.which("chromium") or sys.exit("no chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser, page_file, scheme):
    """A page that notes its errors and what it loads."""
    page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
    page.faults, page.asked = [], []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("dialog", lambda dialog: page.faults.append("a text was run as a script"))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(page_file.as_uri())
    page.wait_for_timeout(300)
    return page
