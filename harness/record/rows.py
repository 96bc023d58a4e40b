"""The rows protocol: what a trainer yields, one plain dict for each epoch of a seed.

    key                       needed   what it is
    epoch                     yes      a whole number, counted from 1, each one once
    the plan's metric         yes      a number; None in an epoch that was not tested
    failed                    no       a sentence: this seed is over and is listed as FAILED; such a
                                       row needs no metric
    train_loss                no       shown while the study runs, and drawn by the report
    test_loss                 no       drawn by the report
    train_time                no       seconds of this epoch; the table shows the mean
    inference_time            no       seconds of one pass over the test set; likewise
    any other                 no       builtin values, kept in the record

Every row is checked when it comes, whoever watches, so that the outcome of a run does not depend
on bars, a pipe or --quiet.
"""

from collections.abc import Sequence
from typing import Any

from harness.experiment import DONE, FAILED, Run
from harness.names import kind_of


class RowError(ValueError):
    """Raised where a trainer yields what is no row; it says what came and what is expected."""


def check_group(rows: Any, seeds: Sequence[int]) -> None:
    """Check that train_stack has yielded a row (or None) for each seed.

    Raises:
        RowError: says what came.
    """
    if not isinstance(rows, list | tuple) or len(rows) != len(seeds):
        got = f"{len(rows)} of them" if isinstance(rows, list | tuple) else kind_of(rows)
        raise RowError(
            f"train_stack yields for each epoch a list with a row for each of the {len(seeds)} "
            f"seeds (None for one that has ended); got {got}"
        )


def check_row(row: Any, metric: str) -> None:
    """Check that a row has what a plan with this metric needs.

    Raises:
        RowError: says which key is missing, what the row has, and what to write.
    """
    if not isinstance(row, dict):
        raise RowError(f"a trainer yields one plain dict for each epoch, got {kind_of(row)}")
    epoch = row.get("epoch")
    if type(epoch) is not int or epoch < 1:
        got = f"has epoch={epoch!r}" if "epoch" in row else f"has no 'epoch' (it has {_keys(row)})"
        raise RowError(f"a row {got}: expected 'epoch', a whole number counted from 1")
    if row.get("failed"):
        return
    if metric not in row:
        raise RowError(
            f"no row has {metric!r} (rows have {_keys(row)}): set Plan.metric to the key that "
            f"arms are judged by, or yield {metric!r}"
        )
    value = row[metric]
    if value is not None and type(value) not in (int, float):
        raise RowError(f"a row has {kind_of(value)} as {metric!r}: expected a number, or None")


def check_next(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Check that a row comes after those that a seed has, also where it goes on after a stop.

    Raises:
        RowError: says which epoch came, and how to go on.
    """
    last = rows[-1]["epoch"] if rows else 0
    if row["epoch"] <= last:
        raise RowError(
            f"a row has epoch={row['epoch']} after one of epoch {last}: yield each epoch once, and "
            "begin where job.attach(...) says, which is how many are done"
        )


def tell_broken(run: Run) -> None:
    """Turn a finished run that no table can show into a failed one, so that it is tried again."""
    if run.status != DONE:
        return
    broken = next((row for row in run.rows if "epoch" not in row), None)
    if broken is not None:
        run.error = f"its record has a row without 'epoch' (it has {_keys(broken)})"
    elif not run.rows:
        run.error = "its record has no row"
    run.status = FAILED if run.error else run.status


def lacking(runs: Sequence[Run], metric: str) -> str | None:
    """Return a complaint if runs are done but none of them ends with the metric; else None."""
    last = [run.rows[-1] for run in runs if run.status == DONE]
    if not last or any(row.get(metric) is not None for row in last):
        return None
    return (
        f"no finished run has {metric!r} in its last row (rows have {_keys(last[0])}): set "
        "Plan.metric to the key that arms are judged by"
    )


def _keys(row: dict) -> str:
    return ", ".join(map(str, row)) or "nothing"
