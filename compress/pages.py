"""Tables and numbers of the compression study for the pages, from its records: see `make pages`.

A plan without a record has a table that says so; each joins as soon as its record is committed.
"""

from collections.abc import Callable
from functools import cache, partial
from math import isnan
from statistics import fmean

from compress.experiments import PLANS
from compress.plots import dynamic, files, int8, levels, tickets
from compress.plots.kinds import NAMES as KINDS
from compress.plots.kinds import best, frontier
from harness.experiment import Experiment
from harness.result import pages
from harness.result.pages import Rows, fixed
from harness.result.stats import Interval, interval

NOT_RUN = "not run yet"
ENOUGH = 2  # seeds from which an arm has an interval
SIZE = 7000  # bytes of files of which kinds of nets are compared


@cache
def record(plan: str) -> Experiment | None:
    """Return the committed record of a plan, which is read once; None where it has not been run."""
    return pages.recorded("compress", plan)


def moving(plan: str) -> Rows:
    """Return error, connections and CPU time of each way to place connections."""
    head = "connections", "how many", "test error, %", "minus those that stay, points", "CPU s"
    yield *head, "held, KiB"
    whole = record(plan)
    if not whole:
        yield NOT_RUN, *[""] * 5
        return
    for arm in whole.arms():
        if len(found := files.runs(whole, arm)) >= ENOUGH:
            yield _arm(whole, arm, found)


def _arm(whole: Experiment, arm: str, found: list) -> list[str]:
    method, _, percent = arm.partition("-")
    other = "static-bibd" if arm == "bibd" else f"static-{percent}"
    values = whole.last(arm, "test_accuracy"), whole.last(other, "test_accuracy")
    shared = sorted(set(values[0]) & set(values[1])) if arm != other else []
    less = interval(values[0][s] - values[1][s] for s in shared) if len(shared) > 1 else None
    seconds = fmean(sum(row["train_time"] for row in run.rows) for run in found)
    name = dynamic.ALONE.get(arm) or dynamic.NAMES.get(method, method)
    wrong = pages.mean([100 * (1 - v) for v in values[0].values()], 2)
    return [
        name,
        f"{found[0].facts['connections']:,}",
        wrong,
        _gain(less),
        fixed(seconds, 0),
        "" if isnan(kib := dynamic.held(found)) else fixed(kib, 0),
    ]


def _gain(less: Interval | None) -> str:
    """Format a difference in points; without its interval where all seeds say the same."""
    if less is None:
        return ""
    return fixed(100 * less.mean, 2, "+") if less.half is None else pages.points(less)


def made(plan: str, first: str = "dense, %") -> Rows:
    """Return the files of each density: bytes, ratio, error before and after."""
    yield "net", "weights left", "bits", "bytes on the disk", "ratio", "test error, %", first
    whole = record(plan)
    if not whole:
        yield NOT_RUN, *[""] * 6
        return
    for arm in whole.arms():
        if len(found := files.runs(whole, arm)) >= ENOUGH:
            for k, row in enumerate(found[0].rows):
                for f in files.files(found, k):
                    before = pages.mean([100 * (1 - r.rows[0]["test_accuracy"]) for r in found], 2)
                    yield _file(arm, f"{100 * row['density']:.3g} %", f, before)


def _file(arm: str, share: str, file: dict, before: str) -> list[str]:
    ratio = fmean(f["ratio"] for f in file["files"])
    error = pages.mean([100 * (1 - f["test_accuracy"]) for f in file["files"]], 2)
    size = f"{fmean(f['bytes'] for f in file['files']):,.0f}"
    bits = str(file["bits"]) + (", folded" if file["norms"] == "folded" else "")
    return [arm, share, bits, size, f"{fixed(ratio, 1)} x", error, before]


def before(arm: str = "LeNet-300-100") -> str:
    """Tell the error of a dense net, in per cent."""
    found = files.runs(_deep(), arm)
    return pages.mean([100 * (1 - run.rows[0]["test_accuracy"]) for run in found], 2)


def after(density: float, bits: int, words: str, arm: str = "LeNet-300-100") -> str:
    """Tell how much smaller a file of a net is, and its error in per cent."""
    found = files.runs(_deep(), arm)
    row = next(k for k, row in enumerate(found[0].rows) if row["density"] == density)
    (file,) = [f for f in files.files(found, row) if f["bits"] == bits]
    ratio = fmean(f["ratio"] for f in file["files"])
    error = pages.mean([100 * (1 - f["test_accuracy"]) for f in file["files"]], 2)
    return f"{fixed(ratio, 1)} {words} {error}"


def over_dense(density: float, bits: int) -> str:
    """Tell by how many points files of Fashion-MNIST are better than their own dense nets."""
    whole = record("deep_fashion")
    assert whole, "the record of plan deep_fashion is committed"
    found = files.runs(whole, "LeNet-300-100")
    row = next(k for k, row in enumerate(found[0].rows) if row["density"] == density)
    (file,) = [f for f in files.files(found, row) if f["bits"] == bits]
    pairs = zip(file["files"], found, strict=True)
    gains = [f["test_accuracy"] - run.rows[0]["test_accuracy"] for f, run in pairs]
    return pages.prose(interval(gains))


def over(kind: str, other: str, size: int) -> str:
    """Tell by how many points a kind's best file of at most so many bytes is above another's."""
    whole = record("bytes")
    assert whole, "the record of plan bytes is committed"
    one, two = (
        [file for file in best(whole, name) if file["bytes"].mean <= size][-1]["files"]
        for name in (kind, other)
    )
    pairs = zip(one, two, strict=True)
    return pages.prose(interval([a["test_accuracy"] - b["test_accuracy"] for a, b in pairs]))


def places() -> str:
    """Tell how many bits the place of a connection takes in files of LeNet-300-100."""
    found = files.runs(_deep(), "LeNet-300-100")
    each = [
        fmean(8 * f["purposes"]["where"] / f["kept"] for f in file["files"])
        for k in range(1, len(found[0].rows))
        for file in files.files(found, k)
    ]
    return f"{fixed(min(each), 1)} to {fixed(max(each), 1)}"


def _deep() -> Experiment:
    whole = record("deep")
    assert whole, "the record of plan deep is committed"
    return whole


def kinds(plan: str) -> Rows:
    """Return the best files of each kind of net: those that no smaller one of it betters."""
    yield "net", "bytes on the disk", "test error, %"
    whole = record(plan)
    if not whole:
        yield NOT_RUN, "", ""
        return
    for kind, name in KINDS.items():
        found = frontier(whole, kind)
        for x, mean, high in zip(found["x"], found["mean"], found["high"], strict=True):
            yield name, f"{x:,.0f}", f"{fixed(mean, 2)} ± {fixed(high - mean, 2)}"


def claims() -> Rows:
    """Return the paper's claims of lottery tickets, what a reproduction found, and we."""
    yield "weights left", "claim: the ticket", "paper", "reproduction", "here"
    whole = record("tickets")
    if not whole:
        yield NOT_RUN, *[""] * 4
        return
    for claim in tickets.CLAIMS:
        if (found := tickets.found(whole, claim)) and found.half is not None:
            here = f"{fixed(found.mean, 2)} ± {fixed(found.half, 2)}"
            share = f"{100 * claim.remaining:.1f} %"
            yield share, claim.words, f"{claim.paper:g}", f"{claim.reproduction:g}", here


def starts(plan: str) -> Rows:
    """Return what nets reach at each level, by what their weights start from."""
    yield levels.HEAD
    if whole := record(plan):
        yield from levels.rows(whole)
    else:
        yield NOT_RUN, *[""] * 4


def rounded() -> Rows:
    """Return what int8 makes of each net: accuracy beside float32, bytes of the file."""
    yield "net", "made by", "test accuracy", "minus float32, points", "bytes", "of float32's"
    whole = record("int8")
    if not whole:
        yield NOT_RUN, *[""] * 5
        return
    for arm in whole.arms():
        if len(files.runs(whole, arm)) >= ENOUGH:
            for way in int8.ways(whole, arm):
                cells = way.accuracy.amount(1, 4), _gain(way.gain), f"{way.bytes:,.0f}"
                yield arm, int8.NAMES[way.name], *cells, fixed(way.ratio, 3)


def plans() -> Rows:
    """Return the plans but for those that only try the path of another."""
    shown = {name: plan for name, plan in PLANS.items() if not name.endswith("_smoke")}
    yield from pages.plans("compress", shown)


TABLES: dict[str, Callable[[], Rows]] = {
    "plans": plans,
    "dynamic": partial(moving, "dynamic"),
    "dynamic_fashion": partial(moving, "dynamic_fashion"),
    "dynamic_wide": partial(moving, "dynamic_wide"),
    "deep": partial(made, "deep"),
    "deep_fashion": partial(made, "deep_fashion"),
    "deep_resnet": partial(made, "deep_resnet", "float32, %"),
    "bytes": partial(kinds, "bytes"),
    "tickets": claims,
    "tickets_conv": partial(starts, "tickets_conv"),
    "tickets_resnet": partial(starts, "tickets_resnet"),
    "int8": rounded,
}
VALUES: dict[str, Callable[[], str]] = {
    "dense": before,
    "near": partial(after, 0.08, 4, "x smaller at"),
    "small": partial(after, 0.02, 5, "x at"),
    "dense_5": partial(before, "LeNet-5"),
    "small_5": partial(after, 0.02, 3, "x at", "LeNet-5"),
    "places": places,
    "where_design": partial(over, "gradual", "bibd", SIZE),
    "where_random": partial(over, "gradual", "fan_in", SIZE),
    "where_narrow": partial(over, "gradual", "narrow", SIZE),
    "where_moved": partial(over, "gradual", "rigl", SIZE),
    "design_small": partial(over, "bibd", "fan_in", 2500),
    "design_large": partial(over, "bibd", "fan_in", 30_000),
    "design_part": partial(over, "bibd", "subset", SIZE),
    "fashion": partial(over_dense, 0.08, 4),
    "fashion_small": partial(over_dense, 0.02, 5),
}
