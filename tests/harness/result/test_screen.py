"""Tables at every width: nothing is cut, nothing is left out, and no line is too long."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from harness import cli
from harness.result import costs, screen, table
from tests.harness.result.test_figure import experiment

WIDTHS = range(40, 201)
MODELS = [
    {"name": "MLP-3-1", "mean": 0.9528, "low": 0.9459, "high": 0.9597, "n": 5},
    {"name": "a-rather-long-name-of-an-arm", "mean": 0.1, "low": None, "high": None, "n": 1},
]
FACTS = dict(connections=11_164_352, parameters=13_110, flops=1_112_071_234, bytes=44_734_408)
TIMES = dict(train_time=12.3456, inference_time=0.000456)


def results(models=MODELS):
    """A table as a study ends on."""
    return table.cells([line | FACTS | TIMES for line in models])


def costs_table():
    """A table as the verb costs prints."""
    facts = FACTS | dict(macs=555_420_000, latency_1_us=55.61, latency_128_us=7_901_568.4)
    return costs.cells([{"name": line["name"], **facts} for line in MODELS], millions=True)


def printed(capsys, monkeypatch, width, *words, **more):
    monkeypatch.setenv("COLUMNS", str(width))
    screen.show(*words, **more)
    return capsys.readouterr().out


@pytest.mark.parametrize("made", [results, costs_table])
def test_no_cell_is_ever_cut_or_left_out(made, capsys, monkeypatch):
    heads, rows = made()
    for width in WIDTHS:
        text = printed(capsys, monkeypatch, width, "a title", heads, rows)
        assert "…" not in text
        for cell in (cell for row in rows for cell in row):
            # Whole, and no part of a longer number.
            assert re.search(rf"(?<![\d.,]){re.escape(cell)}(?![\d,])", text), (width, cell, text)
        assert max(map(cell_len, text.splitlines())) <= width, (width, text)


CELL = st.text("0123456789.,±", min_size=1, max_size=30)


@given(st.data(), st.integers(1, 8), st.integers(0, 4), st.integers(40, 200))
def test_any_table_keeps_every_cell_at_any_width(data, columns, rows, width):
    heads = data.draw(st.lists(st.text("abc ", max_size=25), min_size=columns, max_size=columns))
    cells = [data.draw(st.lists(CELL, min_size=columns, max_size=columns)) for _ in range(rows)]
    from rich.console import Console

    console = Console(width=width)
    with console.capture() as shown:
        for part in screen.layout(heads, cells, width):
            console.print(part, soft_wrap=True)
    words = re.split(r"[^\d.,±]+", shown.get())
    for cell in (cell for row in cells for cell in row):
        assert cell in words, (cell, shown.get())


@pytest.mark.parametrize("folder", ["mlp", "resnet", "parallel"])
def test_the_list_of_plans_is_readable_at_any_width(folder, capsys, monkeypatch):
    import importlib

    plans = importlib.import_module(f"{folder}.experiments").PLANS
    for width in (40, 60, 80, 100, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        assert cli.main(plans, folder, {}, ["--list"]) == 0
        text = capsys.readouterr().out
        assert "…" not in text
        assert max(map(cell_len, text.splitlines())) <= width
        words = set(re.split(r"[\s│]+", text))
        for name, plan in plans.items():
            assert {name, *plan.question.split(), str(len(plan.arms))} <= words, (width, text)


def test_a_wide_terminal_shows_one_table_and_a_narrow_one_shows_blocks(capsys, monkeypatch):
    heads, rows = results(MODELS[:1])
    shown = {
        width: printed(capsys, monkeypatch, width, "", heads, rows).count("MLP-3-1")
        for width in (60, 100, 200)
    }
    assert shown == {60: 2, 100: 1, 200: 1}


def test_brackets_in_a_cell_are_no_markup(capsys, monkeypatch):
    text = printed(capsys, monkeypatch, 80, "[bold]", ["[red]"], [["[1]"]])
    assert all(word in text for word in ("[bold]", "[red]", "[1]"))


def test_a_log_has_no_terminals_width(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    heads, rows = results(MODELS[:1])
    screen.show("", heads, rows)
    assert "inference us/test set" in capsys.readouterr().out


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_overview_stays_within_the_terminal(width, capsys, monkeypatch):
    from parallel.experiments import PLANS, VERBS

    monkeypatch.setenv("COLUMNS", str(width))
    assert cli.main(PLANS, "parallel", VERBS, ["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    starts = {
        line.index(PLANS[name].question.split()[0])
        for name in ("smoke", "gossip_mnist")
        for line in lines
        if line.startswith(f"  {name} ")
    }
    assert len(starts) == 1  # a long name does not push its text out of the column


def test_the_help_of_a_plan_stays_within_the_terminal(capsys, monkeypatch):
    from mlp.experiments import PLANS

    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main(PLANS, "mlp", {}, ["paper", "--help"])
    assert max(map(cell_len, capsys.readouterr().out.splitlines())) <= 80


def test_both_verbs_of_costs_have_the_same_first_keys(capsys):
    from mlp.costs import main as of_mlp
    from resnet.costs import main as of_resnet

    assert of_mlp(["smoke", "--json", "--no-latency"]) == 0
    first = json.loads(capsys.readouterr().out)[0]
    assert of_resnet(["--json", "--depths", "10", "--patterns", "iddl", "--width", "8"]) == 0
    second = json.loads(capsys.readouterr().out)[0]
    assert list(second) == [key for key in first if key != "biases"]


def test_what_the_verbs_share_takes_no_place_from_what_they_have_of_their_own():
    from resnet.costs import Options

    options = Options((18, 34), mode="iddl")
    assert (options.depths, options.latency) == ((18, 34), False)


def test_the_results_of_a_record_are_shown_whole(capsys, monkeypatch):
    heads, rows = table.cells(table.summarize(experiment()))
    text = printed(capsys, monkeypatch, 40, "mlp smoke", heads, rows)
    assert all(cell in text for row in rows for cell in row)
