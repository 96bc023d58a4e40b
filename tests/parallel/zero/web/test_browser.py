"""The page of `python -m parallel memory` in a real browser: its numbers are Python's."""

import random
from itertools import pairwise

import pytest

from parallel.zero.formulas import STAGES, STATES, table
from parallel.zero.memory import said
from parallel.zero.web import points
from parallel.zero.web.page import PAPER, PRECISIONS, write
from tests import browser as real
from tests.axe import faults

pytestmark = real.NEEDS


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("page") / "memory.html", PAPER)


@pytest.fixture
def show(browser, path):
    """Open the page at a width; at the end of the test it must have said and asked nothing."""
    with real.visits(browser, [real.address(path)]) as visit:
        yield lambda width=1280, **how: visit(real.address(path), width, **how)


def test_the_page_computes_what_python_does(show):
    """To the bit: both add and multiply the same float64 in the same order."""
    draw = random.Random(0)
    settings = [
        dict(params=int(10 ** draw.uniform(0, 13)), ranks=draw.choice([1, 3, 64, 1000]),
             optimizer=optimizer, precision=precision,
             activations=draw.choice([1, int(10 ** draw.uniform(0, 12))]))
        for optimizer in STATES for precision in PRECISIONS for _ in range(20)
    ]  # fmt: skip
    code = "(all) => all.map((s) => terms.strategies.map((one) => [held(one, s), total(one, s),"
    found = show().evaluate(f"{code} sent(one, s)]))", settings)
    kinds = ("parameters", "gradients", "optimizer", "activations")
    for setting, lines in zip(settings, found, strict=True):
        words = [setting[k] for k in ("params", "ranks", "optimizer", "precision", "activations")]
        want = table(*words)
        assert lines == [[[w[k] for k in kinds], w["held"], w["sent"]] for w in want]


def test_bytes_are_said_as_the_command_says_them(show):
    draw = random.Random(1)
    sizes = [0, 7, 999, 1000, 1250, 1750, 31.25e9, 31.35e9, 999_950, 2.5e15]
    sizes += [10 ** draw.uniform(0, 15) for _ in range(500)]
    assert show().evaluate("(all) => all.map(said)", sizes) == [said(v) for v in sizes]


def test_the_example_of_the_paper_is_on_the_page(show):
    shown = show()
    held = shown.locator("#stages b").all_inner_texts()
    assert held == ["120.0 GB", "31.4 GB", "16.6 GB", "1.9 GB"]
    assert shown.inner_text("#answer") == (
        "zero2: each of 64 ranks holds 16.6 GB and sends 29.5 GB in a step."
    )
    shown.fill("#ranks", "0")
    assert (
        shown.inner_text("#answer") == "zero2: a rank alone holds 120.0 GB and sends 0 B in a step."
    )
    shown.click("#paper")
    assert shown.locator("#stages b").all_inner_texts() == held


def test_measured_points_lie_on_the_curves(show):
    """Where the setting is theirs; their height is that of the curve, to a tenth of a pixel."""
    shown, found = show(), points.read()
    assert shown.locator(".point").count() == 0
    assert "Adam in float32, of what is held" in shown.inner_text("#note")
    shown.click("#measured")
    assert shown.locator("#close .point").count() == len(found)
    own = [p for p in found if p.strategy == "zero2"]
    assert shown.locator("#close .point.mine").count() == len(own)
    shown.check("[value=zero3]")
    heights = [float(e.get_attribute("cy")) for e in shown.locator("circle.point.ours.mine").all()]
    code = "(ranks) => scale(state, at('close').clientWidth, near, measuredAt(state))"
    code += ".y(total(terms.strategies[3], { ...state, ranks }))"
    assert len(heights) == 2
    for ranks, height in zip((2, 4), heights, strict=True):
        assert height == pytest.approx(shown.evaluate(code, ranks), abs=0.1)
    shown.fill("#activations", "1")  # (the curves have them, what was held after a step has not)
    assert shown.locator(".point").count() == 0
    assert "choose both and no activations" in shown.inner_text("#note")
    shown.click("#measured")
    shown.check("[value=sgd]")
    assert shown.locator(".point").count() == 0


@pytest.mark.parametrize("width", real.HEIGHTS)
def test_it_fits_at_every_width(show, width):
    shown = show(width, color_scheme="dark" if width in (320, 768) else "light")
    shown.click("#measured")
    for part in shown.locator("details").all():
        part.locator("summary").click()
    shown.fill("#params", shown.get_attribute("#params", "max"))
    real.fits(shown, width, ("#answer", "#stages", "#key", "#params", "#curves", "#close", "#note"))
    assert faults(shown) == []
    code = """(pictures) => pictures.flatMap((picture) => {
      const [whole, ...letters] = [picture, ...picture.querySelectorAll("text")]
        .map((e) => e.getBoundingClientRect());
      return letters.map((r) => [r.left >= whole.left, r.right <= whole.right, r.height > 11]);
    })"""
    letters = shown.locator(".picture").evaluate_all(code)
    assert len(letters) > 20
    assert all(all(one) for one in letters)


def test_names_of_curves_never_cover_each_other(show):
    shown = show()
    shown.fill("#activations", shown.get_attribute("#activations", "max"))
    for picture in ("#curves", "#close"):
        tops = sorted(
            shown.locator(f"{picture} text", has_text=name).first.bounding_box()["y"]
            for name in STAGES
        )
        assert all(b - a >= 13 for a, b in pairwise(tops))


def test_keys_do_all(show):
    """Tab goes through it, arrows move sliders and choices, and the answer follows."""
    shown, names = show(), []
    for _ in range(10):
        shown.keyboard.press("Tab")
        names.append(shown.evaluate("document.activeElement.name || document.activeElement.id"))
        if not names[-1].startswith(("strategy", "precision", "optimizer")):
            assert (
                shown.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            )
    order = ["strategy", "params", "ranks", "activations", "precision", "optimizer"]
    assert names[:8] == [*order, "paper", "measured"]
    shown.focus("#ranks")
    before = shown.inner_text("#answer")
    shown.keyboard.press("ArrowRight")
    assert (
        shown.inner_text("#ranks-said") == shown.get_attribute("#ranks", "aria-valuetext") == "96"
    )
    assert shown.inner_text("#answer") != before
    shown.focus("[value=zero2]")
    shown.keyboard.press("ArrowDown")
    assert shown.inner_text("#answer").startswith("zero3: each of 96 ranks")
    ring = "getComputedStyle(document.activeElement.parentElement).outlineStyle"
    assert shown.evaluate(ring) == "solid"


def test_it_can_be_used_without_seeing_it(show):
    shown = show()
    tree = shown.locator("body").aria_snapshot()
    for said_of_it in [
        'group "Strategy"', 'radio "zero2 16.6 GB" [checked]', 'slider "Weights that are trained',
        'slider "Ranks"', 'slider "Activations a rank keeps, in numbers"', 'group "Precision"',
        'group "Optimizer"', 'button "Paper\u2019s example"', 'button "As measured"',
        'img "What a rank holds by each strategy, over 1 to 1,024 ranks. With 64: all_reduce 120.0',
        'heading "What a rank holds" [level=1]', "main:", "status:",
    ]:  # fmt: skip
        assert said_of_it in tree, (said_of_it, tree)
    assert shown.get_attribute("html", "lang") == "en"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_and_bars_stand_out(show, scheme):
    shown = show(color_scheme=scheme)
    real.letters_stand_out(shown)
    tone = real.tones(shown, ["card", *(f"kind{k}" for k in range(4))])
    for k in range(4):
        assert real.contrast(tone[f"kind{k}"], tone["card"]) >= 3
