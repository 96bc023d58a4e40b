"""Headlines in words, letters of panels, names at points, bands in both kinds of picture."""

import itertools

import pytest
from matplotlib.figure import Figure

from harness.result import figure, titles
from harness.result.labels import name_points
from harness.result.stats import Interval

HOLDOUT = "holdout: last 10000 of the training set"
OFFICIAL = "official split, 60000 train / 10000 test"


@pytest.mark.parametrize(
    ("note", "words"),
    [
        (
            f"cifar10 ({HOLDOUT}),\nwidth 16, 5 epochs, 3 seeds",
            "CIFAR-10, trained on images 0-39,999, tested on 40,000-49,999 (holdout), width 16, "
            "5 epochs, 3 seeds",
        ),
        (
            f"cifar10 ({HOLDOUT}, the first 25000 to train, of train the last 5000 for validation)",
            "CIFAR-10, trained on images 0-19,999, validated on 20,000-24,999, "
            "tested on 40,000-49,999 (holdout)",
        ),
        (
            f"mnist ({OFFICIAL}, of train the last 5000 for validation), 10 epochs",
            "MNIST, trained on 55,000, validated on 5,000, tested on the official test set of "
            "10,000, 10 epochs",
        ),
        (
            "digits (fixed stratified split, 1437 train / 360 test)",
            "Digits, trained on 1,437, tested on 360 others",
        ),
        ("iris and digits (their test sets)", "Iris and Digits (their test sets)"),
        ("mine (a split of my own), 3 epochs", "mine (a split of my own), 3 epochs"),
    ],
)
def test_a_headline_is_in_words_and_no_number_is_lost(note, words):
    assert titles.in_words(note) == words


def test_no_line_of_a_headline_begins_with_a_per_cent_sign():
    for tenths in range(40, 140):
        fig = Figure(figsize=(tenths / 10, 3))
        titles.headline(fig, f"cifar10 ({HOLDOUT}), width 16, 5 epochs, 3 seeds, 95 % intervals")
        assert "95 % " in fig.get_suptitle() or "95 %\n" in fig.get_suptitle()


@pytest.mark.parametrize("width", [5, 7, 11])
def test_a_headline_fits_its_figure_and_keeps_a_number_with_its_word(width):
    fig = Figure(figsize=(width, 3))
    fig.add_subplot()
    titles.headline(fig, f"cifar10 ({HOLDOUT}), width 16, 5 epochs, 3 seeds, 95 % intervals")
    text = fig.get_suptitle()
    assert "5 epochs" in text
    assert "95 %" in text
    assert "\\" not in text
    fig.draw_without_rendering()
    box = fig._suptitle.get_window_extent()  # pyright: ignore
    assert box.x1 <= fig.bbox.x1


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([1, 1], "1 seed, no interval"),
        ([10], "10 seeds, 95 % intervals"),
        ([5, 3, 4], "3 to 5 seeds, 95 % intervals"),
        ([5, 1], "1 to 5 seeds, 95 % intervals"),
    ],
)
def test_a_figure_says_how_many_seeds_it_stands_on(counts, words):
    assert titles.seeds(counts) == words


def test_panels_have_letters_and_a_single_one_has_none():
    fig = Figure()
    titles.letters(fig.subplots(1, 3))
    assert [ax.get_title("left") for ax in fig.axes] == ["a", "b", "c"]
    alone = Figure()
    titles.letters([alone.add_subplot()])
    assert alone.axes[0].get_title("left") == ""


def test_no_interval_is_drawn_as_the_mean_alone():
    found = figure.columns([Interval(0.5, 0.4, 0.7, 3), Interval(0.2, None, None, 1)])
    assert found == {"mean": [0.5, 0.2], "low": [0.4, 0.2], "high": [0.7, 0.2]}


def test_series_beside_each_other_stand_around_their_place():
    places = [figure.beside([4.0], i, 3)[0] for i in range(3)]
    assert places[0] < places[1] == 4.0 < places[2]


def test_names_of_near_points_do_not_cover_each_other():
    with figure.style():
        fig = Figure(figsize=(6, 4))
        ax = fig.add_subplot()
        x, y = [1.0, 1.02, 1.04, 1.06, 3.0], [1.0, 1.01, 1.0, 1.02, 2.0]
        ax.plot(x, y, "o")
        name_points(
            ax, [(a, b, str(64 + k), "black") for k, (a, b) in enumerate(zip(x, y, strict=True))]
        )
        fig.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 5
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_bands_are_transparent_but_for_eps_and_stay_so(tmp_path):
    with figure.style():
        fig = Figure()
        ax = fig.add_subplot()
        for i in range(2):
            figure.band(ax, {"x": [0, 1], "mean": [1, 1], "low": [0, 0], "high": [2, 2]}, i, "a")
    _, eps, _ = figure.save(fig, tmp_path / "a", {})
    assert [band.get_alpha() for band in ax.collections] == [figure.SHARE] * 2
    tints = [
        " ".join(f"{c:.3f}".rstrip("0") for c in figure.tint(figure.COLORS[i])) for i in range(2)
    ]
    assert all(f"{tint} setrgbcolor" in eps.read_text() for tint in tints)
    assert f"fill-opacity: {figure.SHARE}" in figure.svg(fig)
