"""Tables and numbers of the studies for the pages: see `make pages`.

Those of pipelines are in `pages_pipelines.py`, of ZeRO in `pages_zero.py`, of cables in
`pages_link.py`.
"""

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.experiment import Experiment, Run
from harness.result import pages
from harness.result.pages import Rows, fixed, mean
from harness.result.stats import Interval, interval
from parallel import pages_link, pages_pipelines, pages_zero
from parallel.experiments import PLANS
from parallel.plans.gossip import CHANCES, THESIS, THESIS_CIFAR
from parallel.plans.subnets import WIDTHS
from parallel.plans.workers import NUMBERS
from parallel.plot_parallel_experiments import megabytes

RECORD = Path(__file__).resolve().parent.parent / "benchmarks" / "parallel_worlds.json"


@cache
def record(plan: str) -> Experiment:
    """Return the committed record of a plan, which is read once."""
    return pages.record("parallel", plan)


@cache
def costs() -> dict[str, Any]:
    """Return the record of `python -m benchmarks.parallel_worlds`."""
    return json.loads(RECORD.read_text())


def runs(plan: str, arm: str) -> list[Run]:
    """Return the finished runs of an arm."""
    return [run for run in record(plan).done() if run.arm == arm]


def sent(plan: str, arm: str) -> float:
    """Return the MB that a worker sends in a run."""
    return fmean(map(megabytes, runs(plan, arm)))


def minus(plan: str, first: str, second: str) -> Interval:
    """Return the interval of the first arm minus the second, paired by seed."""
    return pages.difference(record(plan), first, second)


def accuracy(plan: str, arm: str, digits: int = 4) -> str:
    """Format mean and interval of an arm's accuracy, that of the mean of all weights."""
    return mean(record(plan).last(arm, "test_accuracy").values(), digits)


def gossip(plan: str, thesis: dict[str, Any], epochs: int) -> Rows:
    """Return the table of bytes and accuracies, beside the single runs of the thesis."""
    yield (
        "arm", "MB", "accuracy of worker 0", "of the mean of all weights", "mean minus all-reduce",
        f"thesis, {epochs} epochs, one run: worker 0 / mean",
    )  # fmt: skip
    for arm in record(plan).arms():
        first = mean(run.rows[-1]["worker_accuracy"][0] for run in runs(plan, arm))
        less = "" if arm == "all-reduce" else pages.points(minus(plan, arm, "all-reduce"))
        old = " / ".join("-" if v is None else f"{v:.4f}" for v in thesis[arm])
        yield arm, fixed(sent(plan, arm), 0), first, accuracy(plan, arm), less, old


def pairs() -> Rows:
    """Return the table of elastic gossip minus pull at the same probability."""
    yield "p", "elastic minus pull, points"
    for n in CHANCES:
        yield f"1/{n}", pages.points(minus("gossip_mnist", f"elastic-1/{n}", f"pull-1/{n}"))


def ist() -> Rows:
    """Return the table of accuracy, bytes, multiply-adds and time by width."""
    yield (
        "w", "local SGD", "subnets", "subnets, not rescaled", "subnets minus local SGD, points",
        "local SGD: MB a worker", "M multiply-adds", "s",
        "subnets: MB a worker", "M multiply-adds", "s",
    )  # fmt: skip
    for width in WIDTHS:
        arms = [f"{kind}-{width}" for kind in ("local-sgd", "ist", "ist-unscaled")]
        cells = [accuracy("ist", arm) for arm in arms]
        cells.append(pages.points(minus("ist", arms[1], arms[0])))
        for arm in arms[:2]:
            cells.append(fixed(sent("ist", arm), 1))
            cells.append(fixed(runs("ist", arm)[0].facts["worker_macs"] / 1e6, 3))
            cells.append(fixed(fmean(r.rows[-1]["train_time"] for r in runs("ist", arm)), 1))
        yield str(width), *cells


def workers() -> Rows:
    """Return the table of accuracy and distance to the mean of 1 to 64 workers."""
    kinds = "all-reduce", "local-sgd", "elastic", "no-comm"
    words = "all-reduce", "local SGD", "elastic gossip", "nobody talks"
    yield "workers", *words, f"distance: {words[1]}", *words[2:]
    for n in NUMBERS:
        cells = [accuracy("workers", f"{kind}-{n}", 3) for kind in kinds]
        for kind in kinds[1:]:
            values = record("workers").last(f"{kind}-{n}", "consensus_distance").values()
            cells.append(fixed(fmean(values), 2))
        yield str(n), *cells


def simulation() -> Rows:
    """Return the table of milliseconds that a step of 64 workers takes."""
    yield "net", "one program", "loop", "processes", "loop / program", "processes / program"
    for line in costs()["simulation"]:
        times = [fixed(line[k] / 1e3, 2) for k in ("sim_us", "loop_us", "processes_us")]
        ratios = [fixed(line[k], 1) for k in ("loop_over_sim", "processes_over_sim")]
        yield line["name"], *times, *ratios


def payload() -> Rows:
    """Return the table of MB by the formula, as counted, and by the loopback's own counter."""
    yield "strategy", "formula", "counted", "loopback", "loopback / counted"
    for line in costs()["payload"]:
        cells = [fixed(line[k] / 1e6, 1) for k in ("theory", "payload", "interface")]
        yield f"`{line['name']}`", *cells, fixed(line["interface_over_payload"], 3)


def wrapper() -> Rows:
    """Return the table of milliseconds of a wrapped step, and how much more than without."""
    yield "style", "ms", "more than by hand"
    for line in costs()["wrapper"]:
        more = f"{fixed(100 * line['overhead'], 1, '+')} %"
        yield f'`"{line["name"]}"`', fixed(line["us"] / 1e3, 1), more


def share(plan: str, first: str, second: str) -> str:
    """Format the bytes of the first arm as a share of those of the second."""
    return f"{fixed(100 * sent(plan, first) / sent(plan, second), 0)} %"


def of_local_sgd(key: str, digits: int) -> str:
    """Format what subnets need of local SGD's bytes, multiply-adds or time."""
    return f"{fixed(100 * costs()['subnets'][0][key], digits)} %"


def times_faster(key: str) -> str:
    """Format how much faster one program is, for both nets."""
    first, second = (line[key] for line in costs()["simulation"])
    return f"{fixed(first, 0)} and {fixed(second, 0)}"


def alone() -> str:
    """Format the accuracy of worker 0 of 64 by itself."""
    found = runs("workers", "elastic-64")
    return fixed(interval(r.rows[-1]["worker_accuracy"][0] for r in found).mean, 3)


def together() -> str:
    """Format the accuracy of the mean of the 64 workers."""
    return fixed(fmean(record("workers").last("elastic-64", "test_accuracy").values()), 3)


def _said(say: Callable[..., str], *words: str, digits: int = 2) -> Callable[[], str]:
    return lambda: say(minus(*words), digits)


TABLES: dict[str, Callable[[], Rows]] = {
    "gossip_mnist": partial(gossip, "gossip_mnist", THESIS, 100),
    "gossip_cifar10": partial(gossip, "gossip_cifar10", THESIS_CIFAR, 50),
    "pairs": pairs,
    "ist": ist,
    "workers": workers,
    "simulation": simulation,
    "payload": payload,
    "wrapper": wrapper,
    "plans": partial(pages.plans, "parallel", PLANS),
    **pages_link.TABLES,
    **pages_pipelines.TABLES,
    **pages_zero.TABLES,
}
MNIST, CIFAR = "gossip_mnist", "gossip_cifar10"
VALUES: dict[str, Callable[[], str]] = {
    "elastic_32": _said(pages.prose, MNIST, "elastic-1/32", "all-reduce"),
    "elastic_128": _said(pages.loss, MNIST, "elastic-1/128", "all-reduce"),
    "elastic_512": _said(pages.loss, MNIST, "elastic-1/512", "all-reduce"),
    "pull_32": _said(pages.loss, MNIST, "pull-1/32", "all-reduce"),
    "bytes_32": partial(share, MNIST, "elastic-1/32", "all-reduce"),
    "bytes_128": partial(share, MNIST, "elastic-1/128", "all-reduce"),
    "equal_bytes_32": _said(pages.prose, MNIST, "elastic-1/32", "pull-1/8"),
    "equal_bytes_128": _said(pages.prose, MNIST, "elastic-1/128", "pull-1/32"),
    "equal_bytes_512": _said(pages.prose, MNIST, "elastic-1/512", "pull-1/128"),
    "cifar_elastic": _said(pages.loss, CIFAR, "elastic-1/32", "all-reduce", digits=1),
    "cifar_pull": _said(pages.loss, CIFAR, "pull-1/32", "all-reduce", digits=1),
    "cifar_pair": _said(pages.prose, CIFAR, "elastic-1/32", "pull-1/32", digits=1),
    "narrow_subnets": _said(pages.loss, "ist", "ist-128", "local-sgd-128", digits=1),
    "wide_subnets": _said(pages.loss, "ist", "ist-1024", "local-sgd-1024", digits=1),
    "wide_bytes": partial(share, "ist", "ist-1024", "local-sgd-1024"),
    "wide_against_narrow": _said(pages.prose, "ist", "ist-1024", "local-sgd-128", digits=1),
    "elastic_32_workers": _said(pages.loss, "workers", "elastic-32", "all-reduce-32", digits=1),
    "alone": alone,
    "together": together,
    "loop": partial(times_faster, "loop_over_sim"),
    "processes": partial(times_faster, "processes_over_sim"),
    "subnet_bytes": partial(of_local_sgd, "bytes_share", 1),
    "subnet_macs": partial(of_local_sgd, "macs_share", 1),
    "subnet_time": partial(of_local_sgd, "us_share", 0),
    **pages_link.VALUES,
    **pages_pipelines.VALUES,
    **pages_zero.VALUES,
}
