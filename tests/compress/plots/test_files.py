"""The pictures of files: every point is a file of the record, and the bytes add up."""

import pytest

from compress.plot_compress_experiments import drawers, table
from compress.plots import kinds
from harness.experiment import Experiment, Run

PURPOSES = {"where": 30, "values": 40, "codebook": 10, "biases": 15, "whole": 0, "header": 5}


def file(bits: int, size: int, accuracy: float) -> dict:
    return {
        "bits": bits, "bytes": size, "ratio": 1000 / size, "kept": 80, "test_accuracy": accuracy,
        "purposes": PURPOSES,
    }  # fmt: skip


def deep(arm: str = "LeNet-5", seeds: int = 2) -> Experiment:
    runs = []
    for seed in range(seeds):
        shift = seed / 100
        rows = [
            {"epoch": 1, "density": 1.0, "test_accuracy": 0.9 + shift, "files": []},
            {"epoch": 2, "density": 0.1, "test_accuracy": 0.9,
             "files": [file(4, 200, 0.88 + shift), file(3, 100, 0.86 + shift)]},
        ]  # fmt: skip
        facts = {"split": "official"}
        runs.append(Run(arm, seed, arm, {"data": "mnist", "net": "lenet_5"}, rows, facts=facts))
    return Experiment("compress", "deep", "?", runs)


def coded(**arms: list) -> Experiment:
    config, facts = {"data": "mnist"}, {"split": "official"}
    runs = [
        Run(arm.replace("_", "-"), seed, arm, config,
            [{"epoch": 1, "test_accuracy": 0.9, "files": found}], facts=facts)
        for arm, found in arms.items() for seed in (0, 1)
    ]  # fmt: skip
    return Experiment("compress", "bytes", "?", runs)


def drawn(whole: Experiment, name: str):
    ((found, fig, data),) = list(drawers(whole)[name]())
    assert found == name
    return fig, data


def test_a_line_for_each_density_goes_from_small_files_to_large_ones():
    fig, data = drawn(deep(), "fig_compress_experiments")
    line = data["series"]["LeNet-5"]["10 % of the weights"]
    assert line["x"] == [100, 200]
    assert line["mean"] == pytest.approx([13.5, 11.5])
    assert fig.axes[0].get_xscale() == "log"


@pytest.mark.parametrize(("data", "names"), [("mnist", {"Han", "DNS", "SWS"}), ("digits", set())])
def test_what_was_published_stands_beside_the_same_data_only(data, names):
    whole = deep()
    for run in whole.runs:
        run.config["data"] = data
    fig, _ = drawn(whole, "fig_compress_experiments")
    assert names == {text.get_text() for text in fig.axes[0].texts} - {"MIRACLE"}


def test_files_that_hold_norms_otherwise_have_lines_and_rows_of_their_own():
    whole = deep("B-ResNet-18")
    for run in whole.runs:
        smaller = file(4, 150, 0.87 + run.seed / 100) | {"norms": "folded"}
        run.rows[0] |= {"density": 0.1139, "files": [file(4, 300, 0.88 + run.seed / 100)]}
        run.rows[1]["files"].append(smaller)
    _, data = drawn(whole, "fig_compress_experiments")
    assert list(data["series"]["B-ResNet-18"]) == [
        "11.4 % of the weights",
        "10 % of the weights, norms stored",
        "10 % of the weights, norms folded",
        "dense",
    ]
    assert data["series"]["B-ResNet-18"]["10 % of the weights, norms folded"]["x"] == [150]
    _, data = drawn(whole, "fig_compress_experiments_bits")
    assert list(data["series"])[2] == "B-ResNet-18\n10 %, 4 bits, norms folded"
    assert sum("norms folded" in line for line in table(whole)) == 1


def test_published_points_say_whether_a_file_was_written():
    fig, _ = drawn(deep(), "fig_compress_experiments")
    shown = fig.axes[0].get_legend_handles_labels()[1]
    assert "published, counted, no file" in shown
    assert "published, a file" in shown
    texts = [text.get_text() for text in fig.axes[0].texts]
    assert "Han" in texts and "MIRACLE" in texts  # noqa: PT018


def test_bits_by_purpose_add_up_to_the_file():
    _, data = drawn(deep(), "fig_compress_experiments_bits")
    ((name, bar),) = data["series"].items()
    assert name == "LeNet-5\n10 %, 4 bits"
    assert sum(bar.values()) == pytest.approx(8 * 100 / 80)


def test_bars_without_intervals_promise_none():
    for seeds, said in ((2, "means of 2 seeds"), (1, "1 seed, no interval")):
        fig, data = drawn(deep(seeds=seeds), "fig_compress_experiments_bits")
        assert data["note"].endswith(said)
        assert said in fig.get_suptitle()


def test_names_of_published_points_lie_on_white_above_the_bars():
    fig, _ = drawn(deep("LeNet-300-100"), "fig_compress_experiments")
    most = max(artist.get_zorder() for artist in fig.axes[0].lines)
    for text in fig.axes[0].texts:
        assert text.get_zorder() > most
        assert text.get_bbox_patch().get_facecolor()[:3] == (1, 1, 1)


def test_of_a_kind_only_files_are_drawn_that_no_smaller_one_betters():
    arms = {"gradual_2": [file(2, 50, 0.7), file(3, 80, 0.9)], "gradual_4": [file(2, 90, 0.8)]}
    whole = coded(**arms, rigl_2=[file(2, 60, 0.8)])
    assert kinds.frontier(whole, "gradual")["x"] == [50, 80]
    _, data = drawn(whole, "fig_compress_experiments_bytes")
    assert set(data["series"]) == {"gradual", "rigl"}


def test_the_table_has_a_line_for_each_file():
    lines = list(table(deep()))
    assert any("LeNet-5, 10 %" in x and " 3 " in x and " 100 " in x for x in lines)
    assert len(list(table(coded(rigl_2=[file(2, 60, 0.8)])))) == 3
