"""Pages of the site in a real browser: at every width, without a network, and for all readers."""

from io import BytesIO

import pytest
from PIL import Image

from primer.site.__main__ import main
from tests.axe import faults
from tests.browser import NEEDS, address, fits, visits

pytest.importorskip("nbconvert", reason="pip install 'iddl[dev]'")
pytestmark = NEEDS
PAGES = (
    "notebooks/05_early_exit.html",  # wide tables and pictures
    "notebooks/10_autodiff.html",  # formulas
    "source/primer/tape.py.html",
    "reports/parallel-gossip_cifar10.html",
    "index.html",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for name in ("05_early", "10_autodiff", "parallel-gossip_cifar10"):
        assert main(["--out", str(folder), "--only", name]) == 0
    return folder


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_it_fits_asks_nobody_and_can_be_read_by_all(browser, site, name, width):
    own = [address(path) for path in site.rglob("*.*")]
    with visits(browser, own) as visit:
        shown = visit(address(site / name), width, color_scheme="dark" if width % 3 else "light")
        fits(shown, width, ("h1", "main"))
        assert faults(shown) == []
        broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).length"
        assert shown.evaluate(broken) == 0


@pytest.mark.parametrize("name", ["notebooks/05_early_exit.html", "index.html"])
def test_pictures_are_as_dark_as_the_page(browser, site, name):
    """Their corners are paper: that of the page, within what an inversion rounds."""
    with visits(browser, [address(path) for path in site.rglob("*.*")]) as visit:
        shown = visit(address(site / name), color_scheme="dark")
        picture = shown.locator("img").first
        picture.scroll_into_view_if_needed()
        corner, page = (
            Image.open(BytesIO(png)).convert("L").getpixel((2, 2))
            for png in (picture.screenshot(), shown.screenshot())
        )
        assert page < 40
        assert abs(corner - page) < 8


def test_formulas_are_drawn(browser, site):
    """The formula is higher than a line of text would be wide, and stands in a box of its own."""
    with visits(browser, [address(path) for path in site.rglob("*.*")]) as visit:
        shown = visit(address(site / "notebooks/10_autodiff.html"))
        formula = shown.locator("math").first.bounding_box()
        assert formula["width"] > 200 > formula["height"] > 10
        assert "$" not in shown.inner_text("main")
