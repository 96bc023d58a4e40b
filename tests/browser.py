"""A real Chromium for the tests of pages, driven by playwright; where one is missing, they skip."""

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
sync_api = pytest.importorskip(
    "playwright.sync_api", reason="a browser is driven by playwright: pip install 'iddl[browser]'"
)
NEEDS = [
    pytest.mark.skipif(
        not CHROMIUM, reason="there is no chromium on the PATH: apt install chromium"
    ),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # (of playwright's driver)
]
HEIGHTS = {320: 640, 375: 667, 768: 1024, 1280: 800, 1920: 1080}


def address(path):
    """Where the browser finds a file."""
    return f"file://{path}"


@contextmanager
def launched():
    """A browser."""
    with sync_api.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def visits(browser, own):
    """What opens a page at a width; at the end pages have said nothing, and asked for `own` only.

    What a page says are messages of its console and errors; what it asks for are addresses.
    """
    contexts, said, asked = [], [], []

    def visit(url, width=1280, **how):
        view = {"width": width, "height": HEIGHTS[width]}
        contexts.append(browser.new_context(viewport=view, **how))
        shown = contexts[-1].new_page()
        shown.on("console", lambda message: said.append(message.text))
        shown.on("pageerror", lambda error: said.append(str(error)))
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(url)
        return shown

    yield visit
    for context in contexts:
        context.close()
    assert said == []
    assert {url for url in asked if not url.startswith(("data:", "blob:"))} <= set(own)


def tones(shown, names):
    """How light the colours of these names are, as the style of a page has them."""
    code = "(names) => names.map((n) => getComputedStyle(document.documentElement)"
    found = shown.evaluate(f"{code}.getPropertyValue('--' + n))", names)
    return dict(zip(names, map(luminance, found), strict=True))


def luminance(colour):
    parts = [int(colour.strip()[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)


LETTERS = ("ink", "back"), ("ink", "card"), ("soft", "back"), ("soft", "card"), ("mark", "back")


def letters_stand_out(shown):
    """At least 4.5 to 1 for letters, 3 to 1 for what a bar and a border of focus are drawn in."""
    tone = tones(shown, ["back", "card", "ink", "soft", "mark", "faint"])
    for letters, ground in LETTERS:
        assert contrast(tone[letters], tone[ground]) >= 4.5, (letters, ground)
    assert contrast(tone["mark"], tone["faint"]) >= 3


def fits(shown, width, names):
    """Nothing is wider than the screen, and what has these names is on it."""
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    for name in names:
        box = shown.locator(name).bounding_box()
        assert 0 <= box["x"] <= box["x"] + box["width"] <= width, name
