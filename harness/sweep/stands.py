"""Keeps the runs of a record on one CSV file: each run carries the checksum of what it read.

A data set by name does not change; a file of one's own does, and a table of two of them is none.
"""

from collections.abc import Mapping
from typing import Any

from harness.data.names import CSV, DataError, csv_parts
from harness.experiment import Experiment
from harness.record.study import Study

FACT = "csv"


def facts(config: Any) -> dict[str, str]:
    """Return the file that a config names, with its checksum; of other data nothing."""
    name = str(getattr(config, "data", ""))
    if not name.startswith(CSV):
        return {}
    from harness.data import frame

    file, _ = csv_parts(name)
    return {FACT: frame.said(file)} if file.exists() else {}


def check(study: Study, whole: Experiment) -> None:
    """Refuse to go on with runs that stand on a file which is another one now.

    Runs that an earlier version recorded do not say what they stand on, and count.

    Raises:
        DataError: names the run, both files, and what to type.
    """
    now = {arm: facts(config) for arm, config in study.plan.arms.items()}
    for run in whole.done():
        if changed(run.facts, now[run.arm]):
            raise DataError(
                f"{run.arm} seed {run.seed} on record in {study.out} stands on {run.facts[FACT]}, "
                f"and the file is {now[run.arm][FACT]} now: one table would be of two data sets. "
                "Put the old file back, or train on the new one in another folder: --results DIR"
            )


def changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether both say what they stand on, and it differs."""
    return bool(then.get(FACT) and now.get(FACT)) and then[FACT] != now[FACT]
