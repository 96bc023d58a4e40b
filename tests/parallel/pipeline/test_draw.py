"""Pictures of a table over its clock, and of the weights that a minibatch meets; the text grid."""

import itertools
import json

import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from harness.result import figure
from parallel.pipeline import draw, terminal
from parallel.pipeline.actions import Action, versions
from parallel.pipeline.clock import UNIT, simulate
from parallel.pipeline.schedules import async_1f1b, gpipe, one_f_one_b, schedule, zb_h1, zbv
from parallel.pipeline.seen import draw_versions


def boxes(fig):
    """Left, right and row of each box, with the text inside and its colour."""
    (ax,) = fig.axes
    texts = {t.get_position(): t for t in ax.texts}
    found = {}
    for box in (p for p in ax.patches if isinstance(p, Rectangle)):
        begin, width, middle = box.get_x(), box.get_width(), box.get_y() + box.get_height() / 2
        text = next(
            (
                t.get_text()
                for (x, y), t in texts.items()
                if begin < x < begin + width and abs(y - middle) < 0.1
            ),
            "",
        )
        found[round(middle), begin, begin + width] = text, box.get_facecolor()[:3]
    return found


def test_every_action_is_a_box_of_its_color_with_its_number():
    clock = simulate(schedule("1f1b", 8, 1, 16))
    fig = draw.timeline(clock)
    found = boxes(fig)
    timed = {a: t for a, t in clock.times.items() if a.op != "U"}
    assert len(found) == len(timed) == 2 * 8 * 16
    for action, (begin, end) in timed.items():
        assert found[action.stage, begin, end] == (
            str(action.micro),
            to_rgb(draw.COLORS[action.op]),
        )
    assert len(fig.axes[0].lines) == 8  # updates that take no time
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["forward", "backward", "update"]


def test_numbers_are_read_at_the_size_at_which_they_are_printed():
    """Of the largest table that is promised: 8 ranks, 16 micro-batches."""
    for name in ("gpipe", "1f1b", "zb_h1"):
        fig = draw.timeline(simulate(schedule(name, 8, 1, 16)))
        fig.dpi = figure.STYLE["savefig.dpi"]
        fig.draw_without_rendering()
        (ax,) = fig.axes
        rectangles = [p for p in ax.patches if isinstance(p, Rectangle)]
        for text, box in zip(ax.texts, rectangles, strict=True):
            assert text.get_fontsize() >= 4
            assert text.get_window_extent().width < box.get_window_extent().width


def test_later_stages_of_a_rank_are_paler():
    table = zbv(4, micro=2)
    clock = simulate(table)
    found = boxes(draw.timeline(clock))
    for action, (begin, end) in clock.times.items():
        if action.op != "U":
            color = found[table.home[action.stage], begin, end][1]
            plain = to_rgb(draw.COLORS[action.op])
            assert (color == plain) == (action.stage < 2)
            assert sum(color) >= sum(plain)


def test_colors_are_told_apart_in_grey_where_they_meet():
    grey = {
        op: sum(map(float.__mul__, (0.299, 0.587, 0.114), to_rgb(c)))
        for op, c in draw.COLORS.items()
    }
    for ops in ("FBU", "FIWU"):
        levels = sorted(grey[op] for op in ops)
        assert min(b - a for a, b in itertools.pairwise(levels)) > 0.1


def test_a_picture_is_written_as_png_eps_and_data(tmp_path):
    clock = simulate(zb_h1(3, micro=4), {**UNIT, "U": 1})
    paths = figure.save(draw.timeline(clock), tmp_path / "zb", draw.data(clock))
    assert [path.suffix for path in paths] == [".png", ".eps", ".json"]
    assert paths[1].read_text()[:4] == "%!PS"
    data = json.loads(paths[2].read_text())
    assert data["ranks"][1][0] == ["1F0", 1.0, 2.0]
    assert (data["schedule"], data["source"]) == ("zb_h1", "simulated from given costs")


def test_too_many_actions_are_refused_in_words():
    clock = simulate(gpipe(4, micro=700))
    with pytest.raises(ValueError, match="5604 actions are too many to see: expected at most 5000"):
        draw.timeline(clock)
    with pytest.raises(
        ValueError, match="2109 columns are too many to read: expected at most 2000"
    ):
        terminal.grid(clock)


def test_the_text_is_cut_into_blocks_of_the_width_of_the_terminal():
    clock = simulate(one_f_one_b(2, micro=3))
    whole = terminal.grid(clock).splitlines()
    first, second = (part.splitlines() for part in terminal.grid(clock, width=22).split("\n\n"))
    assert max(map(len, (*first, *second))) <= 22
    for row, head, rest in zip(whole, first, second, strict=True):
        assert (head.ljust(21) + rest[3:]).rstrip() == row.rstrip()


def test_the_text_takes_times_that_are_no_whole_numbers():
    clock = simulate(one_f_one_b(2, micro=2), {"F": 0.1, "B": 0.3})
    assert terminal.grid(clock).splitlines() == [
        "0: F0 F1 .  .  .  B0------ .  B1------",
        "1: .  F0 B0------ F1 B1------ .  .  .",
    ]


def seen(forward, backward, stages=3, minibatch=4):
    """Which version each F and B of a minibatch meets by the table, with a policy's s."""
    met = versions(async_1f1b(stages, minibatches=2 * stages + minibatch))
    at = {(k, op): met[Action(k, op, minibatch)] for k in range(stages) for op in "FB"}
    ahead = {"F": forward, "B": backward or forward}
    return {(k, op): (at[k, op if backward else "F"], ahead[op](k)) for k, op in at}


def v1():
    return seen(lambda k: k // 2 + 2 - k, lambda k: k // 2)


def v2():
    return seen(lambda k: 2 - k, None)


def test_versions_of_minibatch_4_with_predictions_v1():
    """The seed's picture: s = 2, 1, 1 forward and 0, 0, 1 backward, both to the same version."""
    found = v1()
    assert [found[k, "F"] for k in range(3)] == [(2, 2), (3, 1), (4, 1)]
    assert [found[k, "B"] for k in range(3)] == [(4, 0), (4, 0), (4, 1)]
    texts = [text for text, _ in boxes(draw_versions(found, 4)).values()]
    assert texts == [
        "$w_{2}$$\\rightarrow \\hat{w}_{4}$\ns = 2", "$w_{4}$\ns = 0",
        "$w_{3}$$\\rightarrow \\hat{w}_{4}$\ns = 1", "$w_{4}$\ns = 0",
        "$w_{4}$$\\rightarrow \\hat{w}_{5}$\ns = 1", "$w_{4}$$\\rightarrow \\hat{w}_{5}$\ns = 1",
    ]  # fmt: skip


def test_versions_of_minibatch_4_with_predictions_v2():
    found = v2()
    assert [found[k, op] for op in "FB" for k in range(3)] == [(2, 2), (3, 1), (4, 0)] * 2


def test_the_way_of_a_minibatch_is_drawn_where_the_clock_has_it():
    clock = simulate(async_1f1b(3, minibatches=9))
    found = boxes(draw_versions(v1(), 4, clock, "v1"))
    colored = {where: text for where, (text, color) in found.items() if len(set(color)) > 1}
    assert set(colored) == {(k, *clock.times[Action(k, op, 4)]) for k in range(3) for op in "FB"}
    others = [text for text, color in found.values() if len(set(color)) == 1]
    assert {"B2", "F5", "B3", "F6"} < set(others)
    assert not {"F4", "B4", ""} & set(others)


def test_a_minibatch_that_misses_a_stage_is_refused():
    found = v1()
    del found[1, "B"]
    with pytest.raises(
        ValueError, match=r"an F and a B of each of 3 stages, and see \[\(1, 'B'\)\]"
    ):
        draw_versions(found, 4)
