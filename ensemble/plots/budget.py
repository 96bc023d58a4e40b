"""What one budget of connections buys, in pictures.

members       accuracy and calibrated NLL over the first members           a column: short, flat
cost          both over multiply-adds and over measured time                a row: one of the two
reliability   accuracy minus confidence, before and after the temperature
diversity     disagreement over the accuracy of a member alone
"""

from collections import Counter
from collections.abc import Iterator
from statistics import fmean
from typing import Any

from ensemble.plans.budget import LENGTHS, SIDES
from harness.experiment import Experiment, Run
from harness.result import figure, titles
from harness.result.pictures import Drawers, Picture
from harness.result.stats import interval

NAMES = {
    "dense": "one dense net",
    "narrow-4": "4 narrow dense nets",
    "packed-4": "4 packed in one",
    "wide-4": "4 wide sparse nets",
    "different-22": "22 sparse, a design each",
    "one-22": "22 sparse, one design",
    "random-22": "22 sparse, random",
    "slim-22": "22 slim dense nets",
    "pruned-4": "4 pruned",
    "rigl-4": "4 sparse, moving (RigL)",
    "random-4": "4 sparse, random",
}
SCORES = {"test_accuracy": "test accuracy", "calibrated_nll": "calibrated NLL"}
BINS, ENOUGH = 15, 100  # of reliability; samples in a bin that is shown


def drawers(whole: Experiment) -> Drawers:
    """Return what draws each picture, by its name."""
    return {
        "ensemble_members": lambda: _members(whole),
        "ensemble_cost": lambda: _cost(whole),
        "ensemble_reliability": lambda: _reliability(whole),
        "ensemble_diversity": lambda: _diversity(whole),
    }


def lengths(whole: Experiment) -> list[str]:
    """Return how long nets were trained, of what was run."""
    return [n for n in LENGTHS if any(run.arm.endswith(f"-{n}") for run in whole.done())]


def runs(whole: Experiment, side: str, length: str) -> list[Run]:
    """Return the finished runs of a side."""
    return [
        run for run in whole.done() if run.arm == f"{side}-{length}" and "sizes" in run.rows[-1]
    ]


def stands_on(whole: Experiment) -> str:
    """Say data, split, epochs and seeds in one line."""
    run = next(iter(whole.done()))
    epochs = [
        f"{length} {rs[0].config['epochs']} epochs"
        for length in lengths(whole)
        for rs in [[r for r in whole.done() if r.arm.endswith(f"-{length}")]]
    ]
    seeds = titles.seeds([*Counter(r.arm for r in whole.done()).values()])
    return f"{run.config['data']} ({run.facts['split']}), {', '.join(epochs)}, {seeds}"


def over(found: list[Run], key: str) -> dict[str, list]:
    """Return a score over the first members, as `figure.band` takes it."""
    sizes = [line["members"] for line in found[0].rows[-1]["sizes"]]
    columns = zip(*([s[key] for s in r.rows[-1]["sizes"]] for r in found), strict=True)
    return {"x": sizes, **figure.columns(interval(values) for values in columns)}


def _members(whole: Experiment) -> Iterator[Picture]:
    data = {
        f"{key}, {length}": {
            side: over(found, key) for side in SIDES if (found := runs(whole, side, length))
        }
        for key in SCORES
        for length in lengths(whole)
    }
    if not data or not all(data.values()):
        return
    fig, axes = _grid(whole, len(SCORES), len(lengths(whole)))
    for ax, lines in zip(axes.flat, data.values(), strict=True):
        for side, line in lines.items():
            figure.band(ax, line, list(SIDES).index(side), NAMES[side])
        ax.set_xscale("log", base=2)
        ax.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
    for line, label in zip(axes, SCORES.values(), strict=True):
        line[0].set_ylabel(label)
    for ax, length in zip(axes[0], lengths(whole), strict=True):
        ax.set_title(length, fontsize=10)
    for ax in axes[-1]:
        ax.set_xlabel("members")
    _finish(whole, fig)
    yield "ensemble_members", fig, {"note": stands_on(whole), "series": data}


def costs(found: list[Run]) -> dict[str, float]:
    """Return what a side costs: multiply-adds, and times as multiples of the dense net's."""
    facts, times = found[0].facts, [run.rows[-1]["time"] for run in found]
    many = {"inference MACs": facts["macs"] / 1e6, "training MACs": facts["train_macs"] / 1e12}
    for key, name in (
        ("step", "training step"), ("call_1", "call at batch 1"), ("call_128", "call at batch 128"),
    ):  # fmt: skip
        many[name] = fmean(t[key] / t[f"dense_{key}"] for t in times)
    return many


def training(found: list[Run], plain: list[Run]) -> str:
    """Return the multiply-adds of a training as a multiple of the dense net's; a dash without."""
    if not plain:
        return "-"
    share = found[0].facts["train_macs"] / plain[0].facts["train_macs"]
    return f"{float(f'{share:.10g}'):.2f}"


AXES = {
    "training MACs": "training MACs (T)",
    "training step": "CPU time of a step, over the dense net's",
    "call at batch 128": "CPU time at batch 128, over the dense net's",
}


def _cost(whole: Experiment) -> Iterator[Picture]:
    data: dict[str, Any] = {}
    for side in SIDES:
        for length in lengths(whole):
            if found := runs(whole, side, length):
                scores = {k: interval(r.rows[-1][k] for r in found) for k in SCORES}
                ends = {k: [i.mean, *i.ends] for k, i in scores.items()}
                data[f"{side}-{length}"] = {**costs(found), **ends}
    if not data:
        return
    fig, axes = _grid(whole, len(SCORES), len(AXES))
    for line, (key, label) in zip(axes, SCORES.items(), strict=True):
        for ax, (name, axis) in zip(line, AXES.items(), strict=True):
            for arm, told in data.items():
                _point(ax, arm, told[name], told[key], arm.endswith(f"-{lengths(whole)[-1]}"))
            ax.set_xscale("log")
            ax.tick_params(axis="x", labelsize=9, labelrotation=45)
            ax.set_xlabel(axis, fontsize=9)
        line[0].set_ylabel(label)
    _finish(whole, fig, _filled(whole))
    yield "ensemble_cost", fig, {"note": stands_on(whole), "points": data}


def _point(ax: Any, arm: str, x: float, y: list[float], filled: bool) -> None:
    side = arm.rpartition("-")[0]
    look = {k: v for k, v in figure.look(list(SIDES).index(side)).items() if k != "linestyle"}
    ends = [[y[0] - y[1]], [y[2] - y[0]]]
    face = {} if filled else {"markerfacecolor": "white"}
    label = NAMES[side] if filled else None
    ax.errorbar([x], [y[0]], yerr=ends, capsize=3, linestyle="none", label=label, **look, **face)


def bins(found: list[Run], which: str) -> dict[str, list[float]]:
    """Return confidence and accuracy minus confidence of the bins with enough samples."""
    sums: dict[int, list[float]] = {}
    for run in found:
        for n, sure, right in run.rows[-1]["reliability"][which]:
            place = sums.setdefault(min(BINS - 1, int(sure * BINS)), [0.0, 0.0, 0.0])
            for k, v in enumerate((n, n * sure, n * right)):
                place[k] += v
    kept = [sums[k] for k in sorted(sums) if sums[k][0] >= ENOUGH]
    return {"x": [s / n for n, s, _ in kept], "gap": [(r - s) / n for n, s, r in kept]}


def _reliability(whole: Experiment) -> Iterator[Picture]:
    data = {
        f"{length}, {which}": {
            side: bins(found, which) for side in SIDES if (found := runs(whole, side, length))
        }
        for length in lengths(whole)
        for which in ("raw", "calibrated")
    }
    if not data or not all(data.values()):
        return
    fig, axes = _grid(whole, len(lengths(whole)), 2, sharex=True, sharey=True)
    for ax, (name, lines) in zip(axes.flat, data.items(), strict=True):
        for side, line in lines.items():
            look = figure.look(list(SIDES).index(side))
            ax.plot(line["x"], line["gap"], markersize=4, label=NAMES[side], **look)
        ax.axhline(0, color="black", linewidth=0.8)
        ax.set_title(name.replace("raw", "before T").replace("calibrated", "after T"), fontsize=10)
    for ax in axes[:, 0]:
        ax.set_ylabel("accuracy minus confidence")
    for ax in axes[-1]:
        ax.set_xlabel("confidence")
    _finish(whole, fig, f"; bins of at least {ENOUGH} samples, of all seeds together")
    yield "ensemble_reliability", fig, {"note": stands_on(whole), "series": data}


def _diversity(whole: Experiment) -> Iterator[Picture]:
    data = {
        f"{side}-{length}": {
            "x": fmean(r.rows[-1]["mean_accuracy"] for r in found),
            "y": fmean(r.rows[-1]["disagreement"] for r in found),
        }
        for side in SIDES
        for length in lengths(whole)
        if (found := runs(whole, side, length)) and found[0].rows[-1]["disagreement"] is not None
    }
    if not data:
        return
    fig, axes = _grid(whole, 1, 1)
    for arm, told in data.items():
        filled = arm.endswith(f"-{lengths(whole)[-1]}")
        _point(axes[0, 0], arm, told["x"], [told["y"]] * 3, filled)
    axes[0, 0].set(xlabel="accuracy of a member alone", ylabel="two members disagree")
    _finish(whole, fig, _filled(whole))
    yield "ensemble_diversity", fig, {"note": stands_on(whole), "points": data}


def _filled(whole: Experiment) -> str:
    short, *more = lengths(whole)
    return f"; filled: {more[0]}, hollow: {short}" if more else ""


def _grid(whole: Experiment, rows: int, columns: int, **options: Any) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    with figure.style():
        fig = Figure(figsize=(max(3.4 * columns, 4.4) + 2.6, 2.7 * rows + 0.7))
        axes = fig.subplots(rows, columns, squeeze=False, **options)
    return fig, axes


def _finish(whole: Experiment, fig: Any, more: str = "") -> None:
    """Put the legend of all panels beside them, letters on them, and say what they stand on."""
    with figure.style():
        fig.legend(*fig.axes[0].get_legend_handles_labels(), loc="outside right center")
        titles.letters(fig.axes)
        titles.headline(fig, stands_on(whole), more)
