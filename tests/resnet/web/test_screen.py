"""What the ResNet's page says of all pictures, by a runtime that is none: each exit is 60 % sure."""

import base64
from io import BytesIO

import pytest
from PIL import Image

from resnet.web import write as writing
from resnet.web.runtime import Runtime
from tests import browser as real

pytestmark = real.NEEDS
COUNT = 6
FACE = """var ort = {
  env: { wasm: {} }, Tensor: class {},
  InferenceSession: { create: async () => ({ run: async () => {
    await new Promise((done) => setTimeout(done, 20));
    return { logits: { data: [1, 0] }, score: { data: [0.6] }, on: 1 };
  } }) },
};"""
KNOWN = {
    "classes": ["one", "other"], "shape": [1, 1, 1], "mean": [0], "scale": [1], "macs": [1, 2],
    "thresholds": [0.5], "labels": [0] * COUNT, "pixels": base64.b64encode(bytes(COUNT)).decode(),
}  # fmt: skip


@pytest.fixture
def shown(tmp_path, browser):
    writing.write(tmp_path, Runtime(FACE, {"mjs": b"", "wasm": b""}, ""), [b""] * 2, KNOWN, "")
    page = browser.new_page()
    page.goto(real.address(tmp_path / "index.html"))
    real.expect(page.locator("#answer")).to_contain_text("left at exit 1 of 2")
    yield page
    page.close()


def test_what_was_read_under_other_thresholds_is_forgotten(shown):
    marks, every = shown.locator("#pictures span"), shown.locator("#every")
    for bound, left in (("0.9", 2), ("0.5", 1)):
        shown.click("#all")
        real.expect(marks.first).not_to_be_empty()
        shown.fill("#bound0", bound)  # (not all are read yet)
        real.expect(shown.locator("#all")).to_be_enabled()
        assert every.inner_text() == "".join(marks.all_inner_texts()) == ""
        shown.click("#all")
        real.expect(every).to_contain_text(f"{COUNT} left at exit {left}")
        assert {mark[2:] for mark in marks.all_inner_texts()} == {f"exit {left}"}


def png(colour):
    made = BytesIO()
    Image.new("RGBA", (3, 3), colour).save(made, "png")
    return {"name": "a.png", "mimeType": "image/png", "buffer": made.getvalue()}


@pytest.mark.parametrize(
    ("colour", "light"),
    [
        ((255, 0, 0, 255), 76), ((0, 255, 0, 255), 150), ((0, 0, 255, 255), 29),
        ((93, 93, 93, 255), 93), ((0, 0, 0, 0), 255),
    ],
)  # fmt: skip
def test_a_net_of_one_channel_reads_how_light_a_picture_is(shown, colour, light):
    """Of red, green and blue .299, .587 and .114; where a picture is clear, the paper is white."""
    shown.set_input_files("#own", png(colour))
    real.expect(shown.locator("#shown")).to_have_attribute("aria-label", "a picture of your own")
    assert shown.evaluate("[...chosen.values]") == [light]


def test_the_same_file_can_be_chosen_again(shown):
    for _ in range(2):
        shown.set_input_files("#own", png("red"))
        own = real.expect(shown.locator("#shown"))
        own.to_have_attribute("aria-label", "a picture of your own")
        assert shown.evaluate("at('own').files.length") == 0  # (nothing is left to be the same)
        shown.locator("[name=picture]").first.check(force=True)
        own.to_have_attribute("aria-label", "picture 1: one")
