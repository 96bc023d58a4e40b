"""Tables and numbers of cables for `pages.py`: seconds to the goal, measured beside predicted."""

from collections.abc import Callable
from functools import cache, partial

from harness.experiment import Experiment
from harness.result import pages
from harness.result.pages import Rows, fixed
from harness.result.stats import Interval, paired
from parallel.plots import link

NOT_RUN = "not run yet"


@cache
def record(plan: str) -> Experiment | None:
    """Return the committed record of a plan, which is read once; None where it has not been run."""
    return pages.recorded("parallel", plan)


def seconds(plan: str) -> Rows:
    """Return the table of seconds to the goal, and of what was predicted in brackets."""
    whole = record(plan)
    cables = link.links(whole) if whole else []
    yield "strategy", *(link.words(cable) for cable in cables)
    if not whole:
        yield (NOT_RUN,)
        return
    for name in link.kinds(whole):
        yield link.LABELS.get(name, name), *(_cell(whole, name, cable) for cable in cables)


def _cell(whole: Experiment, name: str, cable: link.Link) -> str:
    runs = link.of(whole, name, cable)
    if not runs:
        return ""
    found, plan = link.to_goal(runs), link.predicted(whole, name, cable)
    limit = runs[0].config["limit"]
    reached = sum(bool(run.rows[-1]["reached"]) for run in runs)
    text = _seconds(found) if found else f"{reached} of {len(runs)} in {limit:g} s"
    return f"{text} ({fixed(plan, 1)})" if plan is not None else text


def _seconds(found: Interval) -> str:
    half = "" if found.half is None else f" ± {fixed(found.half, 1)}"
    return f"{fixed(found.mean, 1)}{half}"


def sooner(plan: str, first: str, second: str, cable: link.Link) -> str:
    """Tell by how many seconds the first is at the goal before the second, paired by seed."""
    whole = record(plan)
    assert whole, f"the record of plan {plan} is committed"
    one, two = (link.of(whole, name, cable) for name in (first, second))
    assert link.all_reached([*one, *two]), "who was stopped before the goal has no seconds to it"
    a, b = ({run.seed: run.rows[-1]["seconds"] for run in runs} for runs in (one, two))
    found = paired(first, second, b, a)
    assert found
    text = f"{fixed(found.interval.mean, 1)} ± {fixed(found.interval.half or 0, 1)}"
    return text.replace("-", pages.MINUS)


def off(plan: str) -> str:
    """Tell in per cent how far the worst prediction is from what was measured."""
    whole = record(plan)
    assert whole, f"the record of plan {plan} is committed"
    found = []
    for cable in link.links(whole)[1:]:  # (by the first one the work is known)
        for name in link.kinds(whole):
            runs = link.of(whole, name, cable)
            measured, told = link.to_goal(runs), link.predicted(whole, name, cable)
            if measured and told is not None:
                found.append(100 * abs(told / measured.mean - 1))
    return f"{fixed(max(found), 0)} %"


TABLES: dict[str, Callable[[], Rows]] = {
    "link": partial(seconds, "link"),
    "link_pairs": partial(seconds, "link_pairs"),
}
FAST, MIDDLE, SLOW = (1000.0, 0.0), (100.0, 0.0), (10.0, 0.0)
VALUES: dict[str, Callable[[], str]] = {
    "pairs_all_reduce": partial(sooner, "link_pairs", "hierarchical", "all-reduce", MIDDLE),
    "pairs_local_fast": partial(sooner, "link_pairs", "local-sgd", "hierarchical", FAST),
    "pairs_local": partial(sooner, "link_pairs", "local-sgd", "hierarchical", MIDDLE),
    "pairs_local_slow": partial(sooner, "link_pairs", "local-sgd", "hierarchical", SLOW),
    "pairs_off": partial(off, "link_pairs"),
}
