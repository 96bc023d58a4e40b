"""A real browser for tests of pages: what a page says, asks for and lets overflow is a finding.

    from tests.browser import WIDTHS, look, marks  # noqa: F401
    pytestmark = marks

    def test_it(look):
        look(path, 375)                     # fails at the end if the page has said or asked a thing
"""

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDTHS = {320: 640, 375: 667, 768: 1024, 1280: 800}
why = "a browser is driven by playwright: pip install 'iddl[browser]'"
sync_api = pytest.importorskip("playwright.sync_api", reason=why)
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=why)
marks = [
    pytest.mark.skipif(
        not CHROMIUM, reason="there is no chromium on the PATH: apt install chromium"
    ),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # (of playwright's driver)
]


@contextmanager
def opened():
    """Chromium, without a window."""
    with sync_api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Views:
    """Opens pages at a width, and keeps what they have said and what they have asked for."""

    def __init__(self, browser):
        self.browser, self.said, self.asked = browser, [], []

    def __call__(self, path, width, scheme="light"):
        view = {"width": width, "height": WIDTHS[width]}
        shown = self.browser.new_context(viewport=view, color_scheme=scheme).new_page()
        shown.on("console", lambda message: self.said.append(message.text))
        shown.on("pageerror", lambda error: self.said.append(str(error)))
        shown.on("request", lambda request: self.asked.append(request.url))
        shown.goto(f"file://{path}")
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        return shown

    def close(self):
        """Close all; they must have said nothing and asked for files of this machine only."""
        for context in self.browser.contexts:
            context.close()
        assert self.said == []
        assert [url for url in self.asked if not url.startswith(("file:", "data:"))] == []


def faults(shown):
    """What axe-core finds: contrast, labels, headings, ids; nothing is to be left."""
    found = axe.Axe().run(shown).response["violations"]
    return [(each["id"], each["help"], each["nodes"][0]["html"][:200]) for each in found]
