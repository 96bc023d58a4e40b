"""Logarithmic axes are labelled as people write numbers, and no two labels touch."""

from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from harness.result import figure


def axes(low, high, width=4.0, **scale):
    """An axis of each kind from low to high."""
    with figure.style():
        fig = Figure(figsize=(width, 3))
        ax = fig.add_subplot()
        ax.plot([low, high], [low, high])
        ax.set_xscale("log", **scale)
        ax.set_yscale("log", **scale)
    figure.settle(fig)
    return ax


def shown(axis):
    low, high = sorted(axis.get_view_interval())
    places = [place for place in axis.get_majorticklocs() if low <= place <= high]
    return axis.get_major_formatter().format_ticks(places)


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (400, 7000, ["500", "1,000", "2,000", "5,000"]),
        (0.0002, 0.05, ["0.001", "0.01"]),
        (1, 900_000, ["1", "100", "10,000", "1,000,000"]),
    ],
)
def test_plain_numbers_as_many_as_have_room(low, high, texts):
    assert shown(axes(low, high).xaxis) == texts


@pytest.mark.parametrize("width", [2, 3, 7])
@pytest.mark.parametrize("high", [30, 3000, 300_000])
def test_labels_do_not_touch(width, high):
    ax = axes(20, high, width)
    ax.figure.draw_without_rendering()
    for axis, side in ((ax.xaxis, "x"), (ax.yaxis, "y")):
        boxes = [label.get_window_extent() for label in axis.get_ticklabels()]
        ends = sorted((getattr(box, f"{side}0"), getattr(box, f"{side}1")) for box in boxes)
        assert ends
        assert all(a <= b for (_, a), (b, _) in pairwise(ends))


def test_powers_of_two_and_labels_of_ones_own_stay_what_they_are():
    assert shown(axes(1, 64, base=2).xaxis) == ["1", "2", "4", "8", "16", "32", "64"]
    ax = axes(1, 64)
    with figure.style():
        fig = Figure()
        ax = fig.add_subplot()
        ax.set(xscale="log", yscale="log", xlim=(1, 100), ylim=(1, 1e12))
        ax.set_xticks([3, 30], ["three", "thirty"])
    figure.settle(fig)
    assert shown(ax.xaxis) == ["three", "thirty"]
    assert "10^" in shown(ax.yaxis)[0]  # beyond ten millions a power is shorter


@pytest.mark.parametrize("base", [2, 10])
@pytest.mark.parametrize(("low", "high"), [(320, 480), (21, 29), (5.5, 7.5), (0.22, 0.24)])
def test_an_axis_that_is_shorter_than_a_decade_has_labels_too(low, high, base):
    texts = shown(axes(low, high, base=base).xaxis)
    assert len(texts) > 1
    assert all(low * 0.9 < float(text) < high * 1.1 for text in texts)


@pytest.mark.parametrize("places", [[], [30, 70]])
def test_places_of_ones_own_stay(places):
    with figure.style():
        ax = Figure().add_subplot()
        ax.set(xscale="log", xlim=(10, 1000))
        ax.set_xticks(places)
    figure.settle(ax.figure)
    assert shown(ax.xaxis) == [str(place) for place in places]
