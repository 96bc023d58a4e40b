"""The ResNet's page in a real browser, opened from the disk: it answers as the net does."""

from io import BytesIO

import pytest
import torch
from PIL import Image

from harness.data.pictures import images
from resnet.trainer import layout
from resnet.web.facts import chosen
from resnet.web.page import main
from tests import browser as real
from tests.axe import faults
from tests.bibd.onnx.needs import needs_the_extra
from tests.resnet.web.net import PLAIN, PLANS, RUNTIME, kept

MISSING = f"there is no {RUNTIME.name} here: npm install {RUNTIME.name}"
pytestmark = [
    *real.NEEDS,
    needs_the_extra,
    pytest.mark.skipif(not RUNTIME.is_dir(), reason=MISSING),
]
FILES = "index.html", "ort.js", "runtime.js", "net.js"
COUNT = 20


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of the page, the net, and its data."""
    place = tmp_path_factory.mktemp("page")
    folder, net, data = kept(place)
    words = [str(folder), "--out", str(place / "page"), "--pictures", str(COUNT)]
    assert main([*words, "--runtime", str(RUNTIME)]) == 0
    return place / "page", net, data


@pytest.fixture
def show(browser, made):
    """Open the page at a width; at the end of the test it must have said and asked nothing."""
    own = [real.address(made[0] / name) for name in FILES]
    with real.visits(browser, own) as visit:

        def ready(width=1280, **how):
            shown = visit(own[0], width, **how)
            real.expect(shown.locator("#answer")).to_contain_text("exit", timeout=30_000)
            return shown

        yield ready


@torch.no_grad()
def test_the_page_computes_the_net(show, made):
    """Logits within 1e-5, and the exit where each picture leaves, under thresholds between."""
    shown, (_, net, data) = show(), made
    index = chosen(data.test_y, COUNT)
    x = (data.test_x[index] * 255).round() / 255
    x = images(x, data, layout(PLANS["smoke"].arms[PLAIN], "cpu"))
    scores = [net.score(logits).sort().values for logits in net.forward_exits(x)[:-1]]
    bounds = [float((s[COUNT // 2] + s[COUNT // 2 - 1]) / 2) for s in scores]
    code = """async (bounds) => {
      const found = [];
      for (let k = 0; k < net.labels.length; k++) found.push(await answer(picture(k), bounds));
      return found;
    }"""
    found, want = shown.evaluate(code, bounds), net.early(x, bounds)
    assert [len(said) - 1 for said in found] == want.exit.tolist()
    assert want.exit.unique().tolist() == [0, 1, 2]
    logits = torch.tensor([said[-1]["logits"] for said in found])
    torch.testing.assert_close(logits, want.logits, rtol=0, atol=1e-5)
    score = torch.tensor([said[-1]["score"] for said in found], dtype=torch.float64)
    torch.testing.assert_close(score, want.score, rtol=0, atol=1e-5)
    assert [said[-1]["digit"] for said in found] == want.logits.argmax(1).tolist()


def test_thresholds_say_who_leaves(show, made):
    shown, (_, net, _) = show(), made
    macs = [f"{cost.macs:,}" for cost in net.costs()]
    for bounds, left in ((("0", "1"), 1), (("1", "0"), 2), (("1", "1"), 3)):
        for k, bound in enumerate(bounds):
            shown.fill(f"#bound{k}", bound)
        real.expect(shown.locator("#answer")).to_contain_text(f"exit {left} of 3")
        assert f"{macs[left - 1]} multiply-adds of {macs[-1]}" in shown.inner_text("#cost")
        asked = shown.locator("#exits li").evaluate_all("(all) => all.map((e) => e.className)")
        assert asked == [*[""] * (left - 1), "here", *["idle"] * (3 - left)]
        assert shown.inner_text("#exits").count("not asked") == 3 - left


def test_all_pictures_are_read(show):
    shown = show()
    shown.click("#all")
    real.expect(shown.locator("#every")).to_contain_text("answers are right")
    said, marks = shown.inner_text("#every"), shown.locator("#pictures span").all_inner_texts()
    assert len(marks) == COUNT
    right = sum(mark.startswith("\u2713") for mark in marks)
    assert said.startswith(f"{right} of {COUNT} answers are right.")
    for exit in (1, 2, 3):
        count = sum(mark.endswith(f"exit {exit}") for mark in marks)
        assert f"{count} left at exit {exit}" in said


def test_pictures_are_chosen_by_keys_and_told(show):
    shown, names = show(), []
    for _ in range(6):
        shown.keyboard.press("Tab")
        names.append(shown.evaluate("document.activeElement.name || document.activeElement.id"))
    assert names[:5] == ["bound0", "bound1", "picture", "all", "own"]
    shown.focus("[name=picture]:checked")
    shown.keyboard.press("ArrowRight")
    real.expect(shown.locator("#truth")).to_contain_text("class 1")
    assert shown.get_attribute("#shown", "aria-label") == "picture 2: class 1"
    tree = shown.locator("body").aria_snapshot()
    for said in (
        'radio "picture 2: class 1" [checked]', 'group "Pictures of the test set"', "status:",
        'slider "leave when more than 13 % sure"', 'button "Read them all"',
        'button "Your own picture"', 'list "What each exit says"', 'img "picture 2: class 1"',
    ):  # fmt: skip
        assert said in tree, (said, tree)


def test_a_picture_of_ones_own_is_read(show, made):
    """Of the size of the net its pixels are taken as they are."""
    shown = show()
    code = """async () => {
      const canvas = document.createElement("canvas");
      paint(canvas, picture(3));
      const file = await new Promise((done) => canvas.toBlob(done));
      return [...await own(file)].map((v, k) => v - picture(3)[k]);
    }"""
    assert set(shown.evaluate(code)) == {0}
    shown.set_input_files("#own", {"name": "a.png", "mimeType": "image/png", "buffer": b"no"})
    real.expect(shown.locator("#answer")).to_contain_text("a.png is no picture")


def test_a_picture_that_is_slow_to_read_does_not_displace_a_later_choice(show):
    shown = show()
    shown.evaluate("""() => {
      const read = own, gate = new Promise((done) => { window.letGo = done; });
      window.own = async (file) => { const values = await read(file); await gate; return values; };
    }""")
    png = BytesIO()
    Image.new("RGB", (9, 9), "red").save(png, "png")
    mine = {"name": "a.png", "mimeType": "image/png", "buffer": png.getvalue()}
    shown.set_input_files("#own", mine)
    shown.focus("[name=picture]")
    shown.keyboard.press("ArrowRight")
    picked = shown.get_attribute("#shown", "aria-label")
    assert picked.startswith("picture ")
    shown.evaluate("() => { letGo(); return new Promise((done) => setTimeout(done, 50)); }")
    assert shown.get_attribute("#shown", "aria-label") == picked
    shown.set_input_files("#own", mine | {"name": "b.png"})  # (nothing is picked after it)
    real.expect(shown.locator("#shown")).to_have_attribute("aria-label", "a picture of your own")


@pytest.mark.parametrize("width", real.HEIGHTS)
def test_it_fits_at_every_width(show, width):
    shown = show(width, color_scheme="dark" if width in (320, 768) else "light")
    shown.click("#all")
    real.expect(shown.locator("#every")).to_contain_text("answers are right")
    real.fits(
        shown, width, ("#shown", "#answer", "#exits", "#pictures", "#own + *, .buttons", "#every")
    )
    assert faults(shown) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_stand_out(show, scheme):
    real.letters_stand_out(show(color_scheme=scheme))


def test_a_page_alone_says_what_it_misses(browser, made, tmp_path):
    (tmp_path / "index.html").write_bytes((made[0] / "index.html").read_bytes())
    shown = browser.new_page()
    shown.goto(real.address(tmp_path / "index.html"))
    real.expect(shown.locator("#answer")).to_contain_text("This page does not work here")
    assert "ort.js is not there" in shown.inner_text("#answer")
    shown.close()
