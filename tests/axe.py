"""What axe-core finds in a page: contrast, labels, headings, ids. Nothing is to be left."""

import pytest

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright",
    reason="axe-core comes with axe-playwright-python: pip install 'iddl[browser]'",
)


def faults(shown):
    """Return each rule that is broken, in words, and the first place where it is."""
    found = axe.Axe().run(shown).response["violations"]
    return [(each["id"], each["help"], each["nodes"][0]["html"][:200]) for each in found]
