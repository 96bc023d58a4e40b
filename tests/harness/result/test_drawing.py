"""A drawing on a page is matplotlib's to half of a hundredth of a point, in half of the bytes."""

import re
import xml.etree.ElementTree as tree

import pytest

from harness.result import drawing, figure
from tests.harness.result.test_figure import experiment

DRAWN = ("path", "use", "text", "tspan", "rect", "image", "clipPath")
PLACES = ("d", "x", "y", "width", "height")


@pytest.fixture(scope="module")
def svg():
    fig = figure.curves(experiment(), "test_accuracy", ["low", "high"])
    fig.axes[0].set_title(r"$10^{3}$  and a < b")
    fig.axes[0].text(1, 0.6, "turned", rotation=30)
    return figure.svg(fig)


def drawn(svg):
    """What is drawn, in its order."""
    elements = [(e.tag.split("}")[1], e) for e in tree.fromstring(svg).iter()]
    return [(tag, e) for tag, e in elements if tag in DRAWN]


def numbers(element):
    text = " ".join(element.get(key, "") for key in PLACES)
    return [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", text)]


def style(element):
    """Its rules but the fonts."""
    rules = re.split(r";\s*", element.get("style", "").strip("; "))
    return {re.sub(r":\s+", ":", rule) for rule in rules if not rule.startswith("font-family")}


def test_all_is_drawn_where_it_was(svg):
    before, after = drawn(svg), drawn(drawing.slim(svg))
    assert [tag for tag, _ in before] == [tag for tag, _ in after]
    for (tag, old), (_, new) in zip(before, after, strict=True):
        assert numbers(new) == pytest.approx(numbers(old), abs=0.005 + 1e-9), tag
        assert (new.text or "").strip() == (old.text or "").strip()
        assert style(new) == style(old)
        turned = old.get("transform", "")
        assert new.get("transform", "") == ("" if turned.startswith("rotate(-0") else turned)
    assert "turned" in [e.text for _, e in after]
    assert len(drawing.slim(svg)) < 0.7 * len(svg)


def test_names_are_kept_where_somebody_refers_to_them(svg):
    root = tree.fromstring(drawing.slim(svg, "f7-"))
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    asked = {e.get("href").removeprefix("#") for e in root.iter() if e.get("href")}
    clips = [e.get("clip-path") for e in root.iter() if e.get("clip-path")]
    asked |= {clip.removeprefix("url(#").removesuffix(")") for clip in clips}
    assert sorted(ids) == sorted(asked)
    assert all(name.startswith("f7-") for name in ids)
    assert clips


def test_fonts_of_their_own_stay_and_the_others_are_said_once():
    mono = "font-family: 'DejaVu Sans Mono', monospace"
    sans = "font: bold 11px 'DejaVu Sans', 'Arial', sans-serif; text-anchor: middle"
    svg = f'<svg xmlns="{drawing.SVG}"><text style="{mono}">a</text><text style="{sans}">b</text></svg>'
    found = drawing.slim(svg)
    assert f'style="{mono.replace(": ", ":")}"' in found
    assert f'style="font:bold 11px {drawing.FONT};text-anchor:middle"' in found
