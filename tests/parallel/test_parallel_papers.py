"""README, figures and records of the data-parallel studies say the same."""

import json

import pytest

from harness.record import store
from harness.result.stats import interval, paired
from parallel import plot_parallel_experiments as plot
from parallel.plans.gossip import CHANCES, THESIS, THESIS_CIFAR
from parallel.plans.subnets import WIDTHS
from parallel.plans.workers import NUMBERS
from tests.tree import ROOT

README = (ROOT / "README.md").read_text()
PLANS = ("gossip_mnist", "gossip_cifar10", "ist", "workers")


def record(plan):
    return store.load(ROOT / "results" / "parallel" / plan / "experiment.json")


def mean(values, digits=4):
    i = interval(values)
    return f"{i.mean:.{digits}f} ± {i.half:.{digits}f}"


def megabytes(whole, arm):
    runs = [r for r in whole.done() if r.arm == arm]
    return sum(map(plot.megabytes, runs)) / len(runs)


def points(whole, first, second):
    """First minus second in points; * where the interval excludes 0."""
    i = paired(first, second, *(whole.final(a, "test_accuracy") for a in (first, second))).interval
    return f"{100 * i.mean:+.2f} ± {100 * i.half:.2f}" + "\\*" * (i.low > 0 or i.high < 0)


def gossip_rows(plan, old, chances):
    whole = record(plan)
    for arm in whole.arms():
        runs = [r for r in whole.done() if r.arm == arm]
        first = mean([r.rows[-1]["worker_accuracy"][0] for r in runs])
        cells = [arm, f"{megabytes(whole, arm):,.0f}", first]
        cells += [mean(whole.final(arm, "test_accuracy").values())]
        cells += ["" if arm == "all-reduce" else points(whole, arm, "all-reduce")]
        yield [*cells, " / ".join("-" if v is None else f"{v:.4f}" for v in old[arm])]


def pairs_rows():
    whole = record("gossip_mnist")
    for n in CHANCES:
        yield [f"1/{n}", points(whole, f"elastic-1/{n}", f"pull-1/{n}")]


def ist_rows():
    whole = record("ist")
    for width in WIDTHS:
        cells = [str(width)]
        for kind in ("local-sgd", "ist", "ist-unscaled"):
            cells.append(mean(whole.final(f"{kind}-{width}", "test_accuracy").values()))
        cells.append(points(whole, f"ist-{width}", f"local-sgd-{width}"))
        for kind in ("local-sgd", "ist"):
            runs = [r for r in whole.done() if r.arm == f"{kind}-{width}"]
            cells.append(f"{megabytes(whole, f'{kind}-{width}'):.1f}")
            cells.append(f"{runs[0].facts['worker_macs'] / 1e6:.3f}")
            cells.append(f"{interval(r.rows[-1]['train_time'] for r in runs).mean:.1f}")
        yield cells


def workers_rows():
    whole = record("workers")
    for n in NUMBERS:
        cells = [str(n)]
        for kind in ("all-reduce", "local-sgd", "elastic", "no-comm"):
            cells.append(mean(whole.final(f"{kind}-{n}", "test_accuracy").values(), 3))
        for kind in ("local-sgd", "elastic", "no-comm"):
            values = whole.final(f"{kind}-{n}", "consensus_distance").values()
            cells.append(f"{interval(values).mean:.2f}")
        yield cells


def bench():
    return json.loads((ROOT / "benchmarks" / "parallel_worlds.json").read_text())


def simulation_rows():
    for line in bench()["simulation"]:
        cells = [f"{line[k] / 1e3:.2f}" for k in ("sim_us", "loop_us", "processes_us")]
        ratios = [f"{line[k]:.1f}" for k in ("loop_over_sim", "processes_over_sim")]
        yield [line["name"], *cells, *ratios]


def payload_rows():
    for line in bench()["payload"]:
        cells = [f"{line[k] / 1e6:.1f}" for k in ("theory", "payload", "interface")]
        yield [f"`{line['name']}`", *cells, f"{line['interface_over_payload']:.3f}"]


def wrapper_rows():
    for line in bench()["wrapper"]:
        yield [f'`"{line["name"]}"`', f"{line['us'] / 1e3:.1f}", f"{line['overhead']:+.1%}"]


TABLES = {
    "gossip_mnist": lambda: gossip_rows("gossip_mnist", THESIS, CHANCES),
    "gossip_cifar10": lambda: gossip_rows("gossip_cifar10", THESIS_CIFAR, (32,)),
    "pairs": pairs_rows,
    "ist": ist_rows,
    "workers": workers_rows,
    "simulation": simulation_rows,
    "payload": payload_rows,
    "wrapper": wrapper_rows,
}


@pytest.mark.parametrize("table", TABLES)
def test_the_tables_of_the_readme_are_the_records(table):
    begin, end = f"<!-- parallel {table} -->", f"<!-- end parallel {table} -->"
    assert begin in README
    text = README.split(begin)[1].split(end)[0]
    rows = [f"| {' | '.join(row)} |" for row in TABLES[table]()]
    assert rows
    for row in rows:
        assert row in text


@pytest.mark.parametrize("plan", PLANS)
def test_committed_figures_are_of_the_committed_records(plan, committed):
    whole = record(plan)
    assert len({run.seed for run in whole.done()}) >= 3
    assert all(
        run.rows[-1]["bytes_planned"] == run.rows[-1]["bytes_payload"] for run in whole.done()
    )
    for kept in committed("parallel", plan, plot.figures(whole)):
        assert whole.plan != "gossip_cifar10" or "holdout" in kept["note"]


def test_the_sentences_of_the_readme_are_the_records():
    """Numbers that stand outside of the tables."""
    text = " ".join(README.split())
    whole = record("gossip_mnist")
    for first, second in (("1/32", "1/8"), ("1/128", "1/32"), ("1/512", "1/128")):
        found = points(whole, f"elastic-{first}", f"pull-{second}").replace("-", "\N{MINUS SIGN}")
        assert found in text, found
    whole = record("workers")
    runs = [r for r in whole.done() if r.arm == "elastic-64"]
    alone = interval(r.rows[-1]["worker_accuracy"][0] for r in runs).mean
    both = interval(whole.final("elastic-64", "test_accuracy").values()).mean
    assert f"has {alone:.3f}, where the mean has {both:.3f}" in text


def test_the_figures_that_were_to_be_reached():
    """What the record says of them; a figure that is not reached is said to be so in README."""
    found = bench()
    share = found["subnets"][0]
    assert share["bytes_share"] <= 0.25
    assert share["macs_share"] <= 0.20
    for line in found["payload"]:
        assert abs(line["payload_over_theory"] - 1) <= 0.01
