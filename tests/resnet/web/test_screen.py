"""What the ResNet's page says of all pictures, by a runtime that is none: each exit is 60 % sure."""

import base64

import pytest

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
