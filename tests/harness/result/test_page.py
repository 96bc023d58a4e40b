"""The report as a phone, a screen reader and a program read it."""

import csv
import json
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from harness.result import figure, page, report, table
from tests.harness.result.test_figure import PLAN, experiment, study

EMPTY = ("meta", "path", "use", "rect", "image", "line", "circle", "br")


class Tree(HTMLParser):
    """Every tag with its attributes and the tags around it; every text with its tag."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs), list(self.open)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs), list(self.open)))

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attrs for name, attrs, _ in self.tags if name == tag]

    def text(self, tag):
        return [text for name, text in self.texts if name == tag]


@pytest.fixture(params=["curves", "pictures"])
def tree(request, tmp_path):
    figs = [figure.curves(experiment(), "test_accuracy", ["low", "high"]) for _ in range(2)]
    figs = figs if request.param == "pictures" else []
    plan = replace(PLAN, question="Is `high` higher?", expect="More, but `low`: less.")
    asked = replace(study(tmp_path), plan=plan)
    return Tree(report.write(asked, experiment(), pictures=figs).read_text())


def test_a_phone_gets_its_own_width_and_a_page_its_language_and_title(tree):
    assert tree.all("html") == [{"lang": "en"}]
    views = [m["content"] for m in tree.all("meta") if m.get("name") == "viewport"]
    assert views == ["width=device-width, initial-scale=1"]
    assert tree.text("title")[0] == "mlp smoke: Is `high` higher?"
    assert tree.text("h1") == ["mlp: smoke"]
    assert {"Results", "Comparisons", "Reproduce"} <= set(tree.text("h2"))


def test_every_figure_is_a_picture_with_a_sentence_and_a_caption(tree):
    drawings = tree.all("svg")
    assert drawings
    assert {svg["role"] for svg in drawings} == {"img"}
    for svg in drawings:
        assert svg["aria-label"] == "Test accuracy over epoch, for low, high."
    captions = tree.text("figcaption")
    assert captions == [f"Figure {i}. {svg['aria-label']}" for i, svg in enumerate(drawings, 1)]


def test_no_two_things_of_a_page_have_one_id_and_every_reference_is_kept(tree):
    ids = [attrs["id"] for _, attrs, _ in tree.tags if "id" in attrs]
    assert len(ids) == len(set(ids)) > 0
    uses = [value for use in tree.all("use") for key, value in use.items() if "href" in key]
    clips = [a["clip-path"] for _, a, _ in tree.tags if "clip-path" in a]
    assert uses
    assert clips
    assert {use.removeprefix("#") for use in uses} <= set(ids)
    assert {clip.removeprefix("url(#").removesuffix(")") for clip in clips} <= set(ids)


def test_tables_and_figures_scroll_in_boxes_of_their_own_that_the_keyboard_reaches(tree):
    boxes = [div for div in tree.all("div") if div.get("class") == "scroll"]
    assert len(boxes) == len(tree.all("table")) + len(tree.all("svg"))
    assert all(box["tabindex"] == "0" and box["aria-label"] for box in boxes)
    for tag, _, around in tree.tags:
        assert tag not in ("table", "svg") or around[-1] == "div"


def test_verdicts_are_at_the_left_and_backticks_are_code(tree):
    words = [attrs for tag, attrs, _ in tree.tags if tag in ("td", "th") and attrs.get("class")]
    assert {attrs["class"] for attrs in words} == {"words"}
    cells = [attrs for tag, attrs, _ in tree.tags if tag == "td"]
    texts = tree.text("td")
    assert cells[texts.index("high is better than low")] == {"class": "words"}
    assert cells[["points" in t for t in texts].index(True)] == {}
    assert tree.text("code")[:2] == ["high", "low"]


def test_the_table_can_be_taken_along_with_all_its_digits(tree):
    links = {a["download"]: unquote(a["href"].split(",", 1)[1]) for a in tree.all("a")}
    lines = table.summarize(experiment())
    assert json.loads(links["mlp-smoke.json"]) == lines
    rows = list(csv.DictReader(links["mlp-smoke.csv"].splitlines()))
    assert [(row["name"], float(row["mean"])) for row in rows] == [
        (line["name"], line["mean"]) for line in lines
    ]


def test_the_page_says_what_the_names_of_the_models_mean(tree):
    assert "What the names of the models mean" in tree.text("summary")
    assert tree.text("th")[-3:] == ["height", "low", "high"]
    assert tree.text("td")[-2:] == ["1", "2"]


def test_dark_and_light_are_the_readers_choice():
    assert "color-scheme:light dark" in page.CSS
    dark = page.CSS.split("(prefers-color-scheme:dark)")[1].split("}}")[0]
    light = page.CSS.split("@media")[0]
    for name in ("--ink", "--paper", "--shade", "--soft", "--bad", "--link"):
        assert f"{name}:" in light
        assert f"{name}:" in dark


def test_texts_of_others_are_no_markup():
    assert page.prose("a < `b & c`") == "a &lt; <code>b &amp; c</code>"
    assert "<b>" not in page.table(["<b>"], [["<b>"]], "<b>")
    assert '"><b' not in page.download("a", "text/csv", '"><b>')
