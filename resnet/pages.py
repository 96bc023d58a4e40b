"""Tables and numbers of the ResNet study for the pages, from its records: see `make pages`."""

import json
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from typing import Any

from harness import cost
from harness.experiment import Experiment, Run
from harness.result import pages
from harness.result.factorial import Analysis
from harness.result.pages import Rows, fixed, mean
from harness.result.stats import Interval
from resnet.costs import counted
from resnet.experiments import PLANS
from resnet.model import resnet
from resnet.plans.published import PUBLISHED
from resnet.plots import factors as plot_factors
from resnet.words import name

ROOT = Path(__file__).resolve().parent.parent
SHAPE = 3, 32, 32
CARD = "paper/autocast-True"  # the record of a GPU


@cache
def record(plan: str) -> Experiment:
    """Return the committed record of a plan, which is read once."""
    return pages.record("resnet", plan)


def runs(plan: str, arm: str) -> list[Run]:
    """Return the finished runs of an arm."""
    return [run for run in record(plan).done() if run.arm == arm]


def accuracy(plan: str, arm: str) -> str:
    """Format the mean accuracy of an arm and its interval."""
    return mean(record(plan).last(arm, "test_accuracy").values())


def minutes(depth: str) -> str:
    """Format how long the runs of one depth took on a card, tests included."""
    runs = [run for run in record(CARD).done() if run.arm.endswith(depth)]
    times = [sum(r["train_time"] + r["inference_time"] for r in run.rows) for run in runs]
    return f"{fixed(min(times) / 60, 1)} to {fixed(max(times) / 60, 1)}"


def millions(value: float) -> str:
    """Format a number in millions, such as 555.42."""
    return fixed(value / 1e6, 2)


def costs() -> Rows:
    """Return the table of published FLOPs and accuracies, and what is counted and built here."""
    yield (
        "model", "FLOPs (M), as published", "MACs (M)", "true FLOPs (M)", "connections",
        "parameters", "published accuracy",
    )  # fmt: skip
    for pattern in ("dense", "iddl", "random", "bibd"):
        for depth in (18, 34, 50):
            net = resnet(depth, pattern)
            total, arm = cost.total(net, SHAPE), name(depth, pattern)
            flops = millions(total.flops("iddl")), millions(total.macs)
            sizes = f"{total.nonzeros:,}", f"{sum(p.numel() for p in net.parameters()):,}"
            old = f"{PUBLISHED[arm]:.4f}" if arm in PUBLISHED else ""
            yield arm, *flops, millions(total.flops("true")), *sizes, old


def counters() -> Rows:
    """Return the table of the same nets by other counters."""
    yield "model", "MACs", "FLOPs, as published", "true FLOPs", "FlopCounterMode", "thop 0.1.1"
    for arm, pattern in (("ResNet-18", "dense"), ("B-ResNet-18", "iddl")):
        total, found = cost.total(resnet(18, pattern), SHAPE), counted(resnet(18, pattern), SHAPE)
        numbers = total.macs, total.flops("iddl"), total.flops("true"), *found.values()
        yield arm, *map(millions, numbers)


def cpu() -> Rows:
    """Return the table of five patterns at a quarter of the width."""
    yield "model", "connections", "FLOPs (M), as published", "sparse layers are", "test accuracy"
    for arm in record("cpu").arms():
        facts = runs("cpu", arm)[0].facts
        found = ", ".join(f"{n} {label}" for label, n in facts["labels"].items())
        counts = f"{facts['connections']:,}", millions(facts["flops_iddl"])
        yield arm, *counts, found, accuracy("cpu", arm)


@cache
def analysis() -> Analysis:
    """Return the analysis of plan factors."""
    found = plot_factors.analysis(record("factors"))
    assert found is not None, "the grid of plan factors is not whole"
    return found


def factors() -> Rows:
    """Return the table of which settings explain the accuracy, alone and together."""
    yield "term", "df", "share of variance", "F", "p"
    for t in analysis().terms:
        p = f"{float(f'{t.p:.10g}'):.2g}"
        yield t.name.replace(":", " x "), f"{t.df}", fixed(t.share, 3), fixed(t.f, 1), p


def effects() -> Rows:
    """Return the table of each level against the mean of all runs."""
    yield "factor", "level", "effect on accuracy, points"
    for e in analysis().effects:
        if ":" not in e.term:  # (they are in points already)
            star = "\\*" * (e.interval.low > 0 or e.interval.high < 0)  # pyright: ignore
            half = fixed(e.interval.half, 2)  # pyright: ignore
            yield e.term, *e.levels, f"{fixed(e.interval.mean, 2, '+')} ± {half}{star}"


def groups() -> Rows:
    """Return the table of accuracy and multiply-adds in 1 to 16 groups."""
    yield "groups", "dense, MACs (M)", "dense, accuracy", "modular, MACs (M)", "modular, accuracy"
    for number in (1, 2, 4, 8, 16):
        arms = [name(18, pattern, number) for pattern in ("dense", "iddl")]
        cells = [
            (millions(runs("groups", a)[0].facts["macs"]), accuracy("groups", a)) for a in arms
        ]
        yield str(number), *cells[0], *cells[1]


def exits() -> Rows:
    """Return the table of each exit's accuracy, and of held-out thresholds on the test set."""
    yield (
        "net", "MACs (M) without heads", "exit 1", "exit 2", "last exit",
        "fitted: lose 0.5 points", "fitted: 80 % of all with heads",
    )  # fmt: skip
    for arm in record("exits").arms():
        last = [run.rows[-1]["exit_accuracy"] for run in runs("exits", arm)]
        alone = [mean(row[number] for row in last) for number in range(3)]
        cells = []
        for aim in ("lose 0.5%", "80% of MACs"):
            tests = fitted(arm, aim)
            macs = millions(fmean(t["macs"] for t in tests))
            cells.append(f"{mean(t['accuracy'] for t in tests)} at {macs}")
        yield arm, millions(runs("exits", arm)[0].facts["trunk_macs"]), *alone, *cells


def fitted(arm: str, aim: str) -> list[dict[str, Any]]:
    """Return what thresholds fitted for an aim gave on the test images, by seed."""
    lines = [line for run in runs("exits", arm) for line in run.rows[-1]["exits"]["fitted"]]
    return [line["test"] for line in lines if line["name"] == aim and "test" in line]


@cache
def timed() -> list[dict[str, Any]]:
    """Return the measured times of each net and batch: full net, all exits, and thresholds."""
    return json.loads((ROOT / "figure" / "resnet" / "exits" / "time.json").read_text())["table"]


def times() -> Rows:
    """Return the table of the thresholds that were timed."""
    yield "net", "batch", "setting", "accuracy", "expected MACs (M)", "p50", "p99", "mean"
    for line in timed():
        setting = line["name"].split(", ", 1)[1]
        if setting[0].isdigit():
            setting = f"threshold {float(setting):.3f}"
        numbers = [fixed(line[k], 2) for k in ("p50", "p99", "mean")]
        cells = f"{line['accuracy']:.4f}", millions(line["macs"])
        yield line["arm"], str(line["batch"]), setting, *cells, *numbers


def loader() -> Rows:
    """Return the table of what a batch of pictures costs beside a step, in ms."""
    yield "net", "ours", "DataLoader", "step", "share, ours", "share, DataLoader"
    found = json.loads((ROOT / "benchmarks" / "resnet_loader.json").read_text())
    for line in found["table"]:
        numbers = [fixed(line[k], 2) for k in ("ours_ms", "loader_ms", "step_ms")]
        yield line["name"], *numbers, *(percent(line[k], 1) for k in ("share", "loader_share"))


def percent(share: float, digits: int = 0) -> str:
    """Format a share in per cent, such as "78 %"."""
    return f"{fixed(100 * share, digits)} %"


def minus(plan: str, first: str, second: str) -> Interval:
    """Return the interval of the first arm minus the second, paired by seed."""
    return pages.difference(record(plan), first, second)


def lost_in_groups(pattern: str) -> str:
    """Format the points that a pattern loses from 1 group to 4, mean over exits and seeds."""
    means = {
        n: fmean(
            run.rows[-1]["test_accuracy"]
            for run in record("factors").done()
            if (run.config["pattern"], run.config["groups"]) == (pattern, n)
        )
        for n in (1, 4)
    }
    return fixed(100 * (means[1] - means[4]), 1)


def two_exits() -> str:
    """Format the points that two early exits add to the last one."""
    (e,) = (e for e in analysis().effects if e.term == "exits" and e.levels == ("two",))
    return f"{fixed(2 * e.interval.mean, 1)} ± {fixed(2 * e.interval.half, 1)}"  # pyright: ignore


def share(term: str) -> str:
    """Format the share of the variance that a term explains."""
    return percent(next(t.share for t in analysis().terms if t.name == term))


def side(arm: str, batch: int, setting: str) -> dict[str, Any]:
    """Return the line of the times whose setting begins so."""
    lines = (x for x in timed() if (x["arm"], x["batch"]) == (arm, batch))
    return next(x for x in lines if x["name"].split(", ", 1)[1].startswith(setting))


def saved(arm: str, batch: int, threshold: str) -> str:
    """Format how much less time than the full net leaving early takes."""
    return percent(1 - side(arm, batch, threshold)["mean"] / side(arm, batch, "full net")["mean"])


def paid(arm: str, batch: int, threshold: str) -> str:
    """Format the points that leaving early costs."""
    full = side(arm, batch, "full net")["accuracy"]
    return fixed(100 * (full - side(arm, batch, threshold)["accuracy"]), 1)


def spent() -> str:
    """Format the share of multiply-adds that early exits need to lose half a point.

    The net is the one with a frozen trunk, and the whole is what it needs without heads.
    """
    arm = "ResNet-18-EE-frozen"
    used = fmean(t["macs"] for t in fitted(arm, "lose 0.5%"))
    return percent(used / runs("exits", arm)[0].facts["trunk_macs"])


def cost_of_half_a_point() -> str:
    """Format the points that the frozen net then loses on the test images."""
    arm = "ResNet-18-EE-frozen"
    last = fmean(record("exits").last(arm, "test_accuracy").values())
    return fixed(100 * (last - fmean(t["accuracy"] for t in fitted(arm, "lose 0.5%"))), 1)


def _said(say: Callable[..., str], *words: str) -> Callable[[], str]:
    return lambda: say(minus(*words), 1)


TABLES: dict[str, Callable[[], Iterable]] = {
    "costs": costs,
    "counters": counters,
    "cpu": cpu,
    "factors": factors,
    "effects": effects,
    "groups": groups,
    "exits": exits,
    "times": times,
    "loader": loader,
    "plans": partial(pages.plans, "resnet", PLANS),
}
VALUES: dict[str, Callable[[], str]] = {
    "card_dense": lambda: accuracy(CARD, "ResNet-18"),
    "card_modular": lambda: accuracy(CARD, "B-ResNet-18"),
    "card_minutes": lambda: minutes("-34"),
    "card_minutes_eager": lambda: minutes("-18"),
    "sparse": _said(pages.loss, "cpu", "ResNet-18", "B-ResNet-18"),
    "modular_random": _said(pages.prose, "cpu", "B-ResNet-18", "biregular-ResNet-18"),
    "bibd_random": _said(pages.prose, "cpu", "bibd-ResNet-18", "biregular-as-bibd-ResNet-18"),
    "bibd_modular": _said(pages.prose, "cpu", "bibd-ResNet-18", "B-ResNet-18"),
    "two_groups": _said(pages.loss, "groups", "B-ResNet-18", "B-ResNet-18-V2"),
    "four_groups": _said(pages.loss, "groups", "B-ResNet-18", "B-ResNet-18-V4"),
    "sixteen_dense": _said(pages.prose, "groups", "ResNet-18-V16", "ResNet-18"),
    "sixteen_modular": _said(pages.prose, "groups", "B-ResNet-18-V16", "B-ResNet-18"),
    "joint": _said(pages.prose, "exits", "ResNet-18-EE", "ResNet-18-EE-frozen"),
    "groups_dense": lambda: lost_in_groups("dense"),
    "groups_modular": lambda: lost_in_groups("iddl"),
    "groups_random": lambda: lost_in_groups("random_biregular"),
    "two_exits": two_exits,
    "share_pattern": lambda: share("pattern"),
    "share_groups": lambda: share("groups"),
    "share_exits": lambda: share("exits"),
    "share_seed": lambda: share("seed"),
    "p_pattern_groups": lambda: fixed(
        next(t.p for t in analysis().terms if t.name == "pattern:groups"), 2
    ),
    "spent": spent,
    "half_a_point": cost_of_half_a_point,
    "saved_1": lambda: saved("ResNet-18-EE", 1, "0.607"),
    "paid_1": lambda: paid("ResNet-18-EE", 1, "0.607"),
    "saved_128": lambda: saved("ResNet-18-EE", 128, "0.496"),
    "paid_128": lambda: paid("ResNet-18-EE", 128, "0.496"),
    "saved_modular": lambda: saved("B-ResNet-18-EE", 1, "0.340"),
    "paid_modular": lambda: paid("B-ResNet-18-EE", 1, "0.340"),
}
