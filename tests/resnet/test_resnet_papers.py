"""README, figures and notebooks of the ResNet study say what its records say."""

import json

import pytest

from harness import cost
from harness.record import store
from harness.result.stats import interval
from resnet import plot_resnet_experiments as plot
from resnet.costs import counted
from resnet.model import resnet
from resnet.plans.published import PUBLISHED
from resnet.plots import factors as plot_factors
from resnet.words import name
from tests.tree import ROOT

README = (ROOT / "README.md").read_text()
PLANS = ("cpu", "factors", "exits", "groups")


def record(plan):
    return store.load(ROOT / "results" / "resnet" / plan / "experiment.json")


def mean(values, scale=1, digits=4):
    i = interval(values)
    return f"{scale * i.mean:.{digits}f} ± {scale * i.half:.{digits}f}"


def costs_rows():
    """Published FLOPs and accuracies, and what is counted and built here."""
    for pattern in ("dense", "iddl", "random", "bibd"):
        for depth in (18, 34, 50):
            net = resnet(depth, pattern)
            total = cost.total(net, (3, 32, 32))
            arm = name(depth, pattern)
            cells = [f"{total.flops('iddl') / 1e6:.2f}", f"{total.macs / 1e6:.2f}"]
            cells += [f"{total.flops('true') / 1e6:.2f}", f"{total.nonzeros:,}"]
            cells += [f"{sum(p.numel() for p in net.parameters()):,}"]
            old = PUBLISHED.get(arm)
            yield [arm, *cells, f"{old:.4f}" if old else ""]


def counters_rows():
    for arm, depth, pattern in (("ResNet-18", 18, "dense"), ("B-ResNet-18", 18, "iddl")):
        total = cost.total(resnet(depth, pattern), (3, 32, 32))
        found = counted(resnet(depth, pattern), (3, 32, 32))
        numbers = total.macs, total.flops("iddl"), total.flops("true"), *found.values()
        yield [arm, *(f"{n / 1e6:.2f}" for n in numbers)]


def cpu_rows():
    whole = record("cpu")
    for arm in whole.arms():
        runs = [r for r in whole.done() if r.arm == arm]
        facts = runs[0].facts
        found = ", ".join(f"{n} {label}" for label, n in facts["labels"].items())
        counts = f"{facts['connections']:,}", f"{facts['flops_iddl'] / 1e6:.2f}"
        yield [arm, *counts, found, mean(whole.final(arm, "test_accuracy").values())]


def factors_rows():
    found = plot_factors.analysis(record("factors"))
    for t in found.terms:
        yield [t.name.replace(":", " x "), f"{t.df}", f"{t.share:.3f}", f"{t.f:.1f}", f"{t.p:.2g}"]


def effects_rows():
    found = plot_factors.analysis(record("factors"))
    for e in found.effects:
        if ":" not in e.term:
            star = "\\*" if e.interval.low > 0 or e.interval.high < 0 else ""
            yield [e.term, *e.levels, f"{e.interval.mean:+.2f} ± {e.interval.half:.2f}{star}"]


def groups_rows():
    whole = record("groups")
    for groups in (1, 2, 4, 8, 16):
        cells = [str(groups)]
        for pattern in ("dense", "iddl"):
            arm = name(18, pattern, groups)
            facts = next(r.facts for r in whole.done() if r.arm == arm)
            values = whole.final(arm, "test_accuracy").values()
            cells += [f"{facts['macs'] / 1e6:.2f}", mean(values)]
        yield cells


def exits_rows():
    """Accuracy of each exit alone, and what thresholds from held-out images gave on the test."""
    whole = record("exits")
    for arm in whole.arms():
        runs = [r for r in whole.done() if r.arm == arm]
        last = [r.rows[-1] for r in runs]
        cells = [arm, f"{runs[0].facts['trunk_macs'] / 1e6:.2f}"]
        for number in range(3):
            cells.append(mean([row["exit_accuracy"][number] for row in last]))
        for aim in ("lose 0.5%", "80% of MACs"):
            lines = [next(x for x in row["exits"]["fitted"] if x["name"] == aim) for row in last]
            tests = [line["test"] for line in lines if "test" in line]
            macs = sum(t["macs"] for t in tests) / len(tests) / 1e6
            cells.append(f"{mean([t['accuracy'] for t in tests])} at {macs:.2f}")
        yield cells


def time_rows():
    found = json.loads((ROOT / "figure" / "resnet" / "exits" / "time.json").read_text())
    for line in found["table"]:
        setting = line["name"].split(", ", 1)[1]
        setting = setting if not setting[0].isdigit() else f"threshold {float(setting):.3f}"
        numbers = [f"{line['accuracy']:.4f}", f"{line['macs'] / 1e6:.2f}"]
        numbers += [f"{line[k]:.2f}" for k in ("p50", "p99", "mean")]
        yield [line["arm"], str(line["batch"]), setting, *numbers]


def loader_rows():
    found = json.loads((ROOT / "benchmarks" / "resnet_loader.json").read_text())
    for line in found["table"]:
        numbers = [f"{line[k]:.2f}" for k in ("ours_ms", "loader_ms", "step_ms")]
        yield [line["name"], *numbers, *(f"{line[k]:.1%}" for k in ("share", "loader_share"))]


TABLES = {
    "costs": costs_rows,
    "counters": counters_rows,
    "cpu": cpu_rows,
    "factors": factors_rows,
    "effects": effects_rows,
    "groups": groups_rows,
    "exits": exits_rows,
    "time": time_rows,
    "loader": loader_rows,
}


@pytest.mark.parametrize("table", TABLES)
def test_the_tables_of_the_readme_are_the_records(table):
    begin, end = f"<!-- resnet {table} -->", f"<!-- end resnet {table} -->"
    assert begin in README
    text = README.split(begin)[1].split(end)[0]
    rows = [f"| {' | '.join(row)} |" for row in TABLES[table]()]
    assert rows
    for row in rows:
        if table != "time" or row in text:  # (the README shows some of the times)
            assert row in text
    if table == "time":
        shown = [
            line
            for line in text.splitlines()
            if line.startswith("| ResNet") or line.startswith("| B-")
        ]
        assert len(shown) > 6
        assert set(shown) <= set(rows)


@pytest.mark.parametrize("plan", PLANS)
def test_committed_figures_are_of_the_committed_records(plan, committed):
    whole = record(plan)
    assert len({run.seed for run in whole.done()}) >= 3
    assert all("holdout" in kept["note"] for kept in committed("resnet", plan, plot.figures(whole)))
