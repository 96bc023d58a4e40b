"""Says in one line what a record answers: the first line of its report.

It is counted from the verdicts, so it is never stronger than the intervals; where a plan compares
nothing, it names the ends of the table.
"""

from collections.abc import Sequence

from harness.experiment import Experiment
from harness.metric import Metric
from harness.plan import Plan
from harness.result import table
from harness.result.stats import Difference, Interval

FEW = 2  # comparisons that a line can name one by one


def answer(whole: Experiment, plan: Plan) -> str:
    """Return the answer in words; empty where nothing has been measured yet."""
    found = table.differences(whole, plan)
    if found:
        return _verdicts(found)
    lines = table.summarize(whole, plan.measure.name)
    return _ends(lines, plan.measure) if lines else ""


def _verdicts(found: Sequence[Difference]) -> str:
    """Return the sentences themselves, or of many how many say what, and the one that says most."""
    if len(found) <= FEW:
        return ". ".join(d.sentence for d in found) + "."
    words = [_word(d) for d in found]
    named = [f"{text} in {words.count(word)}" for word, text in WORDS.items() if word in words]
    text = f"Of {len(found)} comparisons: {', '.join(named)}."
    shown = [d for d, word in zip(found, words, strict=True) if word in ("better", "worse")]
    most = max(shown, key=lambda d: abs(d.interval.mean), default=None)
    return text + (f" The largest: {most.sentence}." if most else "")


WORDS = {
    "better": "the first better",
    "worse": "the first worse",
    "none": "no difference shown",
    "alone": "no interval",
}


def _word(difference: Difference) -> str:
    i = difference.interval
    if i.low is None or i.high is None:
        return "alone"
    return difference.metric.judge(i.low, i.high) or "none"


def _ends(lines: list[dict], metric: Metric) -> str:
    """Return the best and the worst mean, which are no verdict."""
    if len(lines) == 1:
        return f"{_told(lines[0], metric)}."
    ordered = sorted(lines, key=lambda line: line["mean"], reverse=metric.better == "higher")
    best, worst = (_told(line, metric) for line in (ordered[0], ordered[-1]))
    if ordered[0]["mean"] == ordered[-1]["mean"]:
        return f"The means of all {len(lines)} models are equal. {best}."
    return f"Of {len(lines)} models {best} has the best mean, {worst} the worst."


def _told(line: dict, metric: Metric) -> str:
    value = Interval(line["mean"], line["low"], line["high"], line["n"])
    return f"{line['name']}: {metric.words} {value.text(*metric.of_values)}"
