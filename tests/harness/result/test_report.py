"""The report while runs go on, and its links: what stands above a place keeps its room."""

import re
import xml.etree.ElementTree as tree
from dataclasses import replace

import pytest

from harness.experiment import Experiment, Run
from harness.result import report
from tests.harness.result.test_figure import ARMS, PLAN, Config, experiment, study

RUNNING = [Run("high", 7, "high", {}, [{"epoch": 1, "test_accuracy": 0.9, "train_loss": 2.0}])]
MANY = replace(PLAN, arms=ARMS | {f"arm-{i}": Config(i) for i in range(3, 20)})


def page(tmp_path, whole, running=(), plan=PLAN):
    return report.text(replace(study(tmp_path), plan=plan), whole, running)


@pytest.mark.parametrize("plan", [PLAN, MANY])
def test_while_it_runs_all_that_will_be_there_has_its_place(tmp_path, plan):
    """Lines of tables, figures and folds are as many at the first row as at the end."""
    first = page(tmp_path, Experiment("mlp", "smoke"), RUNNING, plan)
    later = page(tmp_path, experiment(), RUNNING, plan)
    for mark in ("<h2", "<details open", "<table", "<tr", "<svg", "<figcaption"):
        assert first.count(mark) == later.count(mark) - (mark == "<h2") > 0, mark
    assert later.count("<details>") == first.count("<details>") == 1  # of provenance, at the end
    captions = [re.findall(r"<figcaption>.*?</figcaption>", text) for text in (first, later)]
    assert captions[0] == captions[1]
    assert later.index("Failed runs") > later.index("</figure>")  # the one that is new to both
    assert first.count("not done yet") == len(plan.arms) + len(plan.compare)


def test_a_page_that_stands_still_has_only_what_there_is(tmp_path):
    whole = page(tmp_path, experiment())
    assert "not done yet" not in whole
    assert "<details open" not in whole
    assert whole.index("Failed runs") < whole.index("<figure")


def test_the_first_line_is_question_and_answer(tmp_path):
    (told,) = re.findall(r"</h1><p>(.*?)</p>", page(tmp_path, experiment()))
    assert told.startswith("Which is higher? <strong>high is better than low: ")
    (told,) = re.findall(r"</h1><p[^>]*>(.*?)</p>", page(tmp_path, experiment(), RUNNING))
    assert told.startswith("Which is higher? <strong>So far: high is better than low: ")


def test_each_run_that_has_a_folder_here_is_linked(tmp_path):
    mine = study(tmp_path)
    for arm, seed in (("low", 0), ("low", 2), ("high", 3)):
        mine.seed_dir(arm, seed).mkdir(parents=True)
    for changed, up in ((mine, ""), (replace(mine, overrides={"width": 3}), "../")):
        path = report.write(changed, experiment())
        links = re.findall(r'<a href="([^"]*)">seed (\d)</a>', path.read_text())
        assert [(link[: len(up)], seed) for link, seed in links] == [(up, s) for s in "023"]
        assert all((path.parent / link).is_dir() for link, _ in links)
        assert "high: seed 0, seed 1, seed 2, <a" in path.read_text()
    assert "folder of each run" not in page(tmp_path, experiment())


def test_a_picture_has_its_least_width_and_the_font_of_its_letters(tmp_path):
    found = re.findall(r"<svg.*?</svg>", page(tmp_path, experiment()))
    assert found
    for svg in found:
        style = tree.fromstring(svg).get("style")  # (which refuses an attribute said twice)
        assert style.startswith("min-width:")
        assert "font-family:'DejaVu Sans'" in style
