"""The report in a real browser, at every width and in both schemes."""

from dataclasses import replace

import pytest

from harness.experiment import Experiment, Run
from harness.result import figure, report
from tests.axe import faults
from tests.browser import NEEDS, address, fits, visits
from tests.harness.result.test_figure import experiment, study

pytestmark = NEEDS
RUNNING = [Run("high", 7, "high", {}, [{"epoch": 1, "test_accuracy": 0.9}])]


@pytest.fixture
def look(browser, made, tmp_path):
    """Open a report at a width; what it has asked for is itself."""
    own = [made, study(tmp_path).out / "report.html"]
    with visits(browser, map(address, own)) as visit:
        yield lambda path, width, scheme="light": visit(address(path), width, color_scheme=scheme)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report with a wide figure of four panels."""
    mine = study(tmp_path_factory.mktemp("report"))
    mine.seed_dir("low", 0).mkdir(parents=True)
    with figure.style():
        wide = figure.Figure(figsize=(11, 3))
        for ax in wide.subplots(1, 4):
            ax.plot([400, 9000], [0.1, 0.2], label="line")
            ax.set(xscale="log", xlabel="connections", ylabel="accuracy")
    narrow = figure.curves(experiment(), "test_accuracy", ["low", "high"])
    return report.write(mine, experiment(), pictures=[narrow, wide])


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_it_fits_and_is_legible_at_every_width(look, made, width):
    shown = look(made, width, "dark" if width in (320, 768) else "light")
    fits(shown, width, ("h1", "main"))
    assert faults(shown) == []
    for box in shown.locator("figure .scroll").all():
        inside = box.evaluate("b => [b.clientWidth, b.scrollWidth]")
        drawn = box.locator("svg").bounding_box()
        assert drawn["width"] <= inside[1]  # what does not fit can be scrolled to
        assert inside[0] <= width
    sizes = "[...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect().height)"
    assert min(shown.evaluate(sizes)) >= 9


def test_figures_are_dark_where_the_page_is(look, made):
    """A pixel at the corner of a figure is about as dark as the paper around it."""
    for scheme, dark in (("dark", True), ("light", False)):
        png = look(made, 1280, scheme).locator("figure svg").first.screenshot()
        assert (corner(png) < 0.15) == dark
        assert (corner(png) > 0.9) != dark


def corner(png):
    from io import BytesIO

    from matplotlib.image import imread

    return imread(BytesIO(png))[1, 1, :3].mean()


def test_the_page_stays_where_it_is_when_it_loads_itself_again(look, tmp_path):
    """From no run that is done to eight of them: a heading that is looked at does not move."""
    mine = study(tmp_path)
    page = report.write(mine, Experiment("mlp", "smoke"), RUNNING)
    page.write_text(page.read_text().replace('content="5"', 'content="1"'))
    shown = look(page, 375)
    heading = shown.locator("h2", has_text="test accuracy per epoch")
    heading.scroll_into_view_if_needed()
    shown.evaluate("scrollBy(0, 100); window.old = true")
    before = heading.bounding_box()
    later = replace(experiment(), runs=[run for run in experiment().runs if run.status == "done"])
    report.write(mine, later, RUNNING)
    shown.wait_for_function("!window.old && document.body.innerText.includes('So far')")
    shown.wait_for_function("scrollY > 0")
    assert heading.bounding_box() == pytest.approx(before, abs=1)  # (pages scroll by whole pixels)
