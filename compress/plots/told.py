"""What records tell of files: runs of an arm, its densities, its files as means with intervals."""

from typing import Any

from harness.experiment import Experiment, Run
from harness.result import figure, titles
from harness.result.stats import interval

STORED = "stored"  # how most files hold batch norms: as they are


def stands_on(whole: Experiment, means: bool = False) -> str:
    """Say data, split and seeds in one line; `means` are drawn without intervals."""
    run = next(iter(whole.done()))
    each = [count for arm in whole.arms() if (count := len(runs(whole, arm)))]
    told = f"means of {titles.span(each)} seeds" if means and max(each) > 1 else titles.seeds(each)
    return f"{run.config['data']} ({run.facts.get('split', '?')}), {told}"


def runs(whole: Experiment, arm: str) -> list[Run]:
    """Return the finished runs of an arm."""
    return [run for run in whole.done() if run.arm == arm]


def files(found: list[Run], row: int) -> list[dict[str, Any]]:
    """Return the files of a row, small to large, each the mean of all seeds with intervals.

    Args:
        found: Runs of one arm.
        row: Which of their rows.
    """
    told = [run.rows[row].get("files", []) for run in found]
    out = []
    for same in zip(*told, strict=False):
        error = interval([100 * (1 - f["test_accuracy"]) for f in same])
        size = interval([f["bytes"] for f in same])
        norms = same[0].get("norms", STORED)
        head = {"bits": same[0]["bits"], "norms": norms}
        out.append(head | {"bytes": size, "error": error, "files": same})
    return sorted(out, key=lambda f: f["bytes"].mean)


def by_norms(found: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return files by how they hold batch norms: the end of a label, empty where all do alike."""
    ways = sorted({f["norms"] for f in found}, reverse=True)
    if len(ways) < 2:
        return {"": found} if found else {}
    return {f", norms {way}": [f for f in found if f["norms"] == way] for way in ways}


def points(found: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Return bytes and errors as the columns that are drawn."""
    return {"x": [f["bytes"].mean for f in found], **figure.columns(f["error"] for f in found)}


def dense(whole: Experiment, arm: str) -> Any:
    """Return the error of an arm's dense net in per cent, with its interval."""
    return interval([100 * (1 - run.rows[0]["test_accuracy"]) for run in runs(whole, arm)])


def densities(whole: Experiment, arm: str) -> list[float]:
    """Return the densities of an arm's rows, the dense net's first."""
    return [row["density"] for row in runs(whole, arm)[0].rows]
