"""The page in a real browser: what is drawn is read, at every width, and nobody is asked."""

from math import hypot

import pytest
import torch

from tests import browser as real
from tests.axe import faults
from tests.mlp.web.net import INPUTS, STROKES, page

pytestmark = real.NEEDS
WIDTHS = 320, 375, 768, 1280, 1920


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page in float32 and in int8, and the nets on them."""
    return {how: page(tmp_path_factory.mktemp("page"), how) for how in (False, True)}


@pytest.fixture
def show(browser, pages):
    """Open the page at a width; at the end of the test it must have said and asked nothing."""
    with real.visits(browser, [real.address(path) for path, _ in pages.values()]) as visit:
        yield lambda width=1280, int8=False, **how: visit(
            real.address(pages[int8][0]), width, **how
        )


def spots(shown, stroke):
    """Where the points of a stroke are on the screen."""
    shown.locator("#pad").scroll_into_view_if_needed()
    box = shown.locator("#pad").bounding_box()
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]


def by_mouse(shown, strokes):
    for stroke in strokes:
        first, *rest = spots(shown, stroke)
        shown.mouse.move(*first)
        shown.mouse.down()
        for spot in rest:
            shown.mouse.move(*spot)
        shown.mouse.up()


def by_touch(shown, strokes):
    hand = shown.context.new_cdp_session(shown)

    def touch(kind, *points):
        where = [{"x": x, "y": y} for x, y in points]
        hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})

    for stroke in strokes:
        first, *rest = spots(shown, stroke)
        touch("touchStart", first)
        for spot in rest:
            touch("touchMove", spot)
        touch("touchEnd")
    hand.detach()


@pytest.mark.parametrize(("width", "by"), [(375, by_touch), (1280, by_mouse)])
def test_ten_digits_of_ten_are_read(show, width, by):
    shown = show(width, has_touch=by is by_touch)
    read = []
    for strokes in STROKES.values():
        by(shown, strokes)
        read.append(shown.inner_text("#digit"))
        shown.click("#clear")
    assert read == [str(digit) for digit in STROKES]
    assert shown.inner_text("#told") == "Nothing is drawn yet."


@pytest.mark.parametrize("last", ["palm", "finger"])
def test_a_palm_beside_the_finger_draws_nothing(show, last):
    """It is put down while a finger draws, moves, and is lifted before or after it."""
    shown, line = show(375, has_touch=True), [(0.5, y / 10) for y in range(1, 9)]
    by_touch(shown, [line])
    alone = shown.evaluate("strokes")
    shown.click("#clear")
    hand = shown.context.new_cdp_session(shown)
    fingers, palms = spots(shown, line), spots(shown, [(0.9, y) for _, y in line])

    def touch(kind, **points):  # (who is left out is lifted)
        where = [{"x": x, "y": y, "id": len(name)} for name, (x, y) in points.items()]
        hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})

    touch("touchStart", finger=fingers[0])
    for k, (finger, palm) in enumerate(zip(fingers, palms, strict=True)):
        both = {"finger": finger, "palm": palm}
        touch("touchMove", **(both if k < 4 else {last: both[last]}))
    touch("touchEnd")
    assert shown.evaluate("strokes") == (alone if last == "finger" else [alone[0][:4]])
    by_touch(shown, [line])  # (and the next finger draws)
    assert shown.evaluate("strokes[1]") == alone[0]


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_at_every_width(show, width):
    shown = show(width, color_scheme="dark" if width in (320, 768) else "light")
    for drawn in (False, True):
        real.fits(shown, width, ("#pad", "#bars", "#way", "#cost", "table"))
        assert faults(shown) == []
        if not drawn:
            before = shown.locator("#pad").bounding_box()
            by_mouse(shown, STROKES[7])
    assert shown.locator("#pad").bounding_box() == before  # nothing moves under the pen
    assert before["width"] == pytest.approx(before["height"], abs=1)


def test_a_phone_shows_answer_and_drawing_without_scrolling(show):
    shown = show(375, has_touch=True)
    for name in ("#digit", "#bars", "#pad"):
        box = shown.locator(name).bounding_box()
        assert box["y"] + box["height"] <= real.HEIGHTS[375], name


@pytest.mark.parametrize("int8", [False, True])
@torch.no_grad()
def test_the_page_computes_the_net(show, pages, int8):
    """Logits within 1e-5, the exit where each sample leaves, and what that takes."""
    shown, net = show(int8=int8), pages[int8][1]
    x = torch.rand(60, INPUTS, generator=torch.Generator().manual_seed(3))
    x *= (torch.rand(60, INPUTS, generator=torch.Generator().manual_seed(4)) < 0.2).float()
    score = net.score(net.forward_exits(x)[0]).sort().values
    bound = float(score[29:31].mean())  # half of them leave
    code = "([all, bound]) => all.map((x) => { const f = answer(Float32Array.from(x), bound);"
    code += " return [[...f.logits], f.exit, f.macs, f.sure]; })"
    found = shown.evaluate(code, [x.tolist(), bound])
    want, costs = net.early(x, bound), [cost.macs for cost in net.costs()]
    logits = torch.tensor([f[0] for f in found])
    assert (logits - want.logits).abs().max() <= 1e-5 * max(1.0, float(want.logits.abs().max()))
    assert [f[1] for f in found] == want.exit.tolist()
    assert want.exit.bincount().tolist() == [30, 30]
    assert [f[2] for f in found] == [costs[e] for e in want.exit.tolist()]
    sure = torch.tensor([f[3] for f in found], dtype=torch.float64)
    torch.testing.assert_close(sure, want.score, rtol=0, atol=1e-5)


def picture(strokes):
    """What the page makes of strokes, in plain Python: the box of the ink, its centre of mass."""
    points = [point for stroke in strokes for point in stroke]
    low, high = ([f(p[i] for p in points) for i in (0, 1)] for f in (min, max))
    scale = (20 - 2 * 1.3) / max(*(b - a for a, b in zip(low, high, strict=True)), 0.02)
    shift = [14 - scale * (a + b) / 2 for a, b in zip(low, high, strict=True)]
    for turn in (0, 1):
        lines = [
            [[p[i] * scale + shift[i] for i in (0, 1)] for p in (stroke[max(n - 1, 0)], stroke[n])]
            for stroke in strokes
            for n in range(len(stroke))
        ]
        ink = [[darkness(x, y, lines) for x in range(28)] for y in range(28)]
        total = sum(map(sum, ink))
        middle = [
            sum(v * (x, y)[i] for y, row in enumerate(ink) for x, v in enumerate(row)) / total
            for i in (0, 1)
        ]
        if not turn:
            shift = [shift[i] + 14 - middle[i] for i in (0, 1)]
    return ink, middle


def darkness(x, y, lines):
    """How dark a pixel is: by its distance from the nearest line."""
    far = 100.0
    for (ax, ay), (bx, by) in lines:
        length = (bx - ax) ** 2 + (by - ay) ** 2
        t = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length if length else 0
        t = max(0, min(1, t))
        far = min(far, hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay)))
    return max(0.0, min(1.0, 1.8 - far))


@pytest.mark.parametrize("digit", [1, 4, 5])
def test_a_drawing_becomes_a_picture_as_mnist_has_it(show, digit):
    found = show().evaluate("(strokes) => [...picture(strokes)]", STROKES[digit])
    ink, middle = picture(STROKES[digit])
    whole = torch.zeros(32, 32, dtype=torch.float64)
    whole[2:30, 2:30] = torch.tensor(ink, dtype=torch.float64)
    found = torch.tensor(found, dtype=torch.float64).view(32, 32)
    torch.testing.assert_close(found, whole, rtol=0, atol=2**-24)  # it is stored in float32
    assert middle == pytest.approx([14, 14], abs=0.1)
    rows, columns = (whole.amax(axis).nonzero().flatten() for axis in (1, 0))
    assert 19 <= max(int(r[-1] - r[0]) + 1 for r in (rows, columns)) <= 21


def test_where_one_draws_does_not_matter(show):
    """Half as large and in a corner: nearly the same picture (up to the rounding of points)."""
    small = [[[0.05 + x / 2, 0.45 + y / 2] for x, y in stroke] for stroke in STROKES[3]]
    code = "(strokes) => [...picture(strokes)]"
    shown = show()
    one, two = (torch.tensor(shown.evaluate(code, s)) for s in (STROKES[3], small))
    torch.testing.assert_close(one, two, rtol=0, atol=1e-5)


def test_keys_draw_too(show):
    shown = show()
    shown.focus("#pad")
    for key in ["ArrowUp"] * 9 + [" "] + ["ArrowDown"] * 18 + [" "]:
        shown.keyboard.press(key)
    assert shown.inner_text("#digit") == "1"
    assert shown.inner_text("#live").startswith("1, ")
    shown.keyboard.press("Backspace")
    assert shown.inner_text("#live") == "The drawing is empty."


def test_the_slider_says_who_leaves(show):
    shown = show()
    by_mouse(shown, STROKES[2])
    assert "left at exit 1 of 2" in shown.inner_text("#told")
    assert "10,752 multiply-adds of 17,824" in shown.inner_text("#cost")
    assert "of 1 hidden layer" not in shown.get_attribute("#way", "aria-label")
    shown.fill("#sure", "1")
    assert "left at exit 2 of 2" in shown.inner_text("#told")
    assert "17,824 multiply-adds of 17,824" in shown.inner_text("#cost")
    assert "through 2 of 2 hidden layers" in shown.get_attribute("#way", "aria-label")
    lines = "lines(answer(picture(strokes), 1)).map((l) => [l.level, l.from, l.to, l.last])"
    found = shown.evaluate(lines)
    assert {level for level, *_ in found} == {0, 1, 2}
    assert {to for *_, to, last in found if last} == {2}


def test_lines_are_connections_that_added(show, pages):
    """Each is a connection of the net, and none into its unit that is left out adds more."""
    shown, (_, net) = show(), pages[False]
    by_mouse(shown, STROKES[8])
    x = torch.tensor(shown.evaluate("[...picture(strokes)]"))
    found = shown.evaluate("lines(answer(picture(strokes), 0)).map((l) => [l.level, l.from, l.to])")
    with torch.no_grad():
        hidden = net.stages[0](x)
        full = {0: net.stages[0][0].to_dense() * x, 1: net.heads[0][1].weight * hidden}
    for (level, to), count in {(lv, to): 14 if lv else 4 for lv, _, to in found}.items():
        mine = {origin for lv, origin, o in found if (lv, o) == (level, to)}
        added = full[level][to]
        most = added.topk(count).indices[added.topk(count).values > 0].tolist()
        assert mine == set(most)


def test_it_can_be_used_without_seeing_it(show):
    """Everything that one can act on has a name, is reached by Tab, and shows that it is."""
    shown = show()
    names = []
    for _ in range(5):
        shown.keyboard.press("Tab")
        names.append(
            shown.evaluate("document.activeElement.id || document.activeElement.className")
        )
        assert shown.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert names == ["pad", "undo", "clear", "sure", "scroll"]
    tree = shown.locator("body").aria_snapshot()
    for said in [
        'application "Drawing area"',
        'button "Undo"',
        'button "Clear"',
        'slider "Leave early when more than 64 % sure"',
        'list "How likely the net finds each digit"',
        'img "Nothing is drawn yet."',
        'region "What each exit costs"',
        'columnheader "multiply-adds"',
        'rowheader "exit 1"',
        "main:",
        "status",
    ]:
        assert said in tree, said
    assert shown.get_attribute("html", "lang") == "en"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_stand_out(show, scheme):
    real.letters_stand_out(show(color_scheme=scheme))
