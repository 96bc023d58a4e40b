"""The table that the plot script prints, for each kind of plan."""

from collections.abc import Iterable, Iterator
from statistics import fmean

from ensemble.plots import bars, budget, cascade, factors, worth
from ensemble.plots.growth import kinds, nets, stands_on
from harness.experiment import Experiment
from harness.result.stats import interval, paired


def lines(whole: Experiment) -> Iterator[str]:
    """Yield the lines of the table of this record."""
    kind = whole.plan.partition("_")[0]
    if kind in ("paper", "original"):
        yield from _sizes(whole)
    if kind != "original":
        yield from {"budget": _budget, "cascade": _cascade, "factors": factors.text}.get(
            kind, _growth
        )(whole)


def _growth(whole: Experiment) -> Iterator[str]:
    """Yield accuracy of each arm, and what is gained over one net."""
    yield stands_on(whole)
    head = "mean of probabilities", "majority", "boosting's vote", "minus one net, as long"
    more = f"{'worth, independent members':<28} {head[3]}"
    yield f"{'':<28} {head[0]:<22} {head[1]:<22} {head[2]:<22} {more}"
    for net in nets(whole):
        for kind in kinds(whole, net):
            arm = f"{net}-{kind}"
            cells = [cell(whole, arm, k) for k in ("test_accuracy", "hard_accuracy")]
            cells.append(cell(whole, arm, "vote_accuracy"))
            more = f"{worth.told(whole, net, kind):<28} {_gain(whole, net, kind)}"
            yield f"{arm:<28} " + " ".join([*(f"{c:<22}" for c in cells), more])


def cell(whole: Experiment, arm: str, key: str) -> str:
    """Format the mean of an arm and its interval; a dash where it has none."""
    values = [v for v in whole.last(arm, key).values() if v is not None]
    return interval(values).text() if values else "-"


def _gain(whole: Experiment, net: str, kind: str) -> str:
    first, second = f"{net}-{kind}", f"{net}-single"
    a, b = (whole.last(arm, "test_accuracy") for arm in (first, second))
    found = paired(first, second, a, b) if kind != "single" else None
    return found.text if found else "-"


def _sizes(whole: Experiment) -> Iterator[str]:
    """Yield accuracy by size of the original study's rule, beside what it published."""
    yield f"{'members':<8} {'accuracy of the vote':<28} {'gain, points':<24} published (one run)"
    gains = bars.gains(whole)
    for m, found in bars.by_size(whole).items():
        gain = gains[m].amount(100, 2) if m in gains else "-"
        yield f"{m:<8} {interval(found.values()).text():<28} {gain:<24} {bars.PUBLISHED[m]:.4f}"


def _budget(whole: Experiment) -> Iterator[str]:
    """Yield accuracy, calibrated likelihood and times of each side."""
    yield budget.stands_on(whole)
    head = f"{'':<22} {'connections':>11}  {'accuracy':<24} {'calibrated NLL':<24}"
    head += f" {'training':>8} {'step':>6} {'call 1':>7} {'call 128':>9}"
    yield f"{head}   MACs of training, times: over the dense net's"
    for length in budget.lengths(whole):
        plain = budget.runs(whole, "dense", length)
        for side in budget.NAMES:
            if found := budget.runs(whole, side, length):
                cells = [_mean(r.rows[-1][k] for r in found) for k in budget.SCORES]
                costs = budget.costs(found)
                times = [costs[k] for k in ("training step", "call at batch 1")]
                yield (
                    f"{side + '-' + length:<22} {found[0].facts['connections']:>11,}  "
                    f"{cells[0]:<24} {cells[1]:<24} {budget.training(found, plain):>8} "
                    f"{times[0]:>6.2f} {times[1]:>7.2f} "
                    f"{costs['call at batch 128']:>9.2f}"
                )


def _cascade(whole: Experiment) -> Iterator[str]:
    """Yield accuracy, multiply-adds and times of each chain under its fitted threshold."""
    yield cascade.stands_on(whole)
    head = f"{'':<18} {'accuracy':<24} {'asking all':<24} {'MACs (k)':>9} {'p99':>8} {'time 1':>8}"
    yield f"{head} {'time 128':>9}   times: over the dense net's"
    for arm in whole.arms():
        if found := cascade.runs(whole, arm):
            cells = [_mean(r.rows[-1][k] for r in found) for k in ("test_accuracy",
                     "whole_accuracy")]  # fmt: skip
            spent = [cascade.spent(found, axis) for axis in cascade.AXES]
            p99 = [r.rows[-1].get("fitted", {}).get("p99", r.rows[-1]["macs"]) for r in found]
            yield (
                f"{arm:<18} {cells[0]:<24} {cells[1]:<24} {spent[0]:>9.1f} "
                f"{fmean(p99) / 1e3:>8.1f} {spent[1]:>8.2f} {spent[2]:>9.2f}"
            )


def _mean(values: Iterable[float]) -> str:
    return interval(values).text()
