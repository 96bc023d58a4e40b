"""`--to FILE`: every table as CSV, LaTeX, Markdown and JSON."""

import json
import re

import pandas
import pytest

from harness import cli
from harness.result import export
from mlp.experiments import PLANS

LINES = [
    {"name": "a_b & 50 % #1", "mean": 1 / 3, "n": 5, "low": None, "parts": [1, 2]},
    {"name": 'says "so", twice', "mean": 1e-12, "n": 6, "low": 0.1, "more": 7},
]
HEADS = ["model", "test accuracy, 95 % interval", "bytes_sent"]
ROWS = [["a_b & 50 % #1", "0.3333 ± 0.0100 (n=5)", "$1"], ["x|y", "0.1", "{2}"]]


def test_csv_comes_back_to_the_last_digit(tmp_path):
    path = export.write(tmp_path / "t.csv", LINES, HEADS, ROWS)
    frame = pandas.read_csv(path, dtype={"mean": str})
    assert list(frame) == ["name", "mean", "n", "low", "parts", "more"]
    assert frame["name"].tolist() == [line["name"] for line in LINES]
    assert list(map(float, frame["mean"])) == [1 / 3, 1e-12]
    assert frame["n"].tolist() == [5, 6]
    assert frame["low"].isna().tolist() == [True, False]
    assert json.loads(frame["parts"][0]) == [1, 2]


def test_json_is_the_objects_themselves(tmp_path):
    assert json.loads(export.write(tmp_path / "t.json", LINES, HEADS, ROWS).read_text()) == LINES


def test_latex_is_balanced_escaped_and_needs_booktabs_only(tmp_path):
    text = export.write(tmp_path / "t.tex", LINES, HEADS, ROWS).read_text()
    assert re.findall(r"\\usepackage\{(\w+)\}", text) == ["booktabs"]
    body = text.split("\n", 1)[1]
    assert re.findall(r"\\(begin|end)\{(\w+)\}", body) == [("begin", "tabular"), ("end", "tabular")]
    assert r"a\_b \& 50 \% \#1 & 0.3333 $\pm$ 0.0100 (n=5) & \$1 \\" in body
    assert r"x|y & 0.1 & \{2\} \\" in body
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert [len(re.findall(r"(?<!\\)&", line)) for line in lines] == [2, 2, 2]
    assert not re.search(r"(?<!\\)[%#_]", body)
    commands = set(re.findall(r"\\([a-z]+)", body))
    assert commands == {"begin", "end", "toprule", "midrule", "bottomrule", "pm"}


def test_markdown_has_as_many_cells_in_every_line(tmp_path):
    text = export.write(tmp_path / "t.md", LINES, HEADS, ROWS).read_text()
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()] == [4] * 4
    assert "x\\|y" in text


@pytest.mark.parametrize("words", [["--list"], ["costs"], ["smoke"]])
def test_another_ending_names_the_four_before_anything_is_done(words, tmp_path, capsys):
    verbs = {"costs": cli.Verb("", "mlp.costs:main")}
    some = ["--results", str(tmp_path / "r")] if words == ["smoke"] else []
    assert cli.main(PLANS, "mlp", verbs, [*words, *some, "--to", "t.xlsx"]) == 2
    said = capsys.readouterr()
    assert ".csv, .tex, .md or .json, such as t.csv" in said.err
    assert said.out == ""
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("form", export.FORMS)
def test_a_plan_and_the_list_and_the_costs_go_to_a_file(form, tmp_path, capsys):
    verbs = {"costs": cli.Verb("", "mlp.costs:main")}
    calls = {"plans": ["--list"], "costs": ["costs", "smoke", "--no-latency"]}
    if form == ".csv":
        words = "smoke --arms MLP-3-1 --seeds 2 --epochs 1 --jobs 1 --results"
        calls["run"] = [*words.split(), str(tmp_path / "r")]
    for name, words in calls.items():
        path = tmp_path / f"{name}{form}"
        assert cli.main(PLANS, "mlp", verbs, [*words, "--json", "--to", str(path)]) == 0
        found = json.loads(capsys.readouterr().out)
        lines = found["table"] if name == "run" else found
        assert path.read_text().count("\n") >= len(lines) + 1
        if form == ".json":
            assert json.loads(path.read_text()) == lines
        if form == ".csv":
            assert pandas.read_csv(path)["name"].tolist() == [line["name"] for line in lines]
