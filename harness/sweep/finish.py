"""The end of a call: figures, report, table, and where they are."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from harness.experiment import FAILED, Experiment
from harness.record.provenance import command
from harness.record.study import Study
from harness.result import figure, report, table
from harness.sweep import modules


def finish(
    study: Study,
    whole: Experiment,
    arms: Sequence[str],
    seeds: tuple[int, ...],
    quiet: bool,
    as_json: bool,
) -> int:
    """Write what the aggregate shows and say so; 1 if a run failed or nobody did it."""
    pictures = draw(study, whole)
    figures = [
        path for stem, fig, data in pictures for path in figure.save(fig, study.out / stem, data)
    ]
    page = report.write(study, whole, pictures=[fig for _, fig, _ in pictures])
    failed = table.failures(whole)
    lines = table.summarize(whole, study.plan.metric)
    found = table.differences(whole, study.plan)
    if as_json:
        document = {
            "folder": study.folder,
            "plan": study.name,
            "metric": study.plan.metric,
            "table": lines,
            "comparisons": [
                {"name": f"{d.first} - {d.second}", "verdict": d.verdict, **vars(d.interval)}
                for d in found
            ],
            "failed": failed,
            "paths": [str(p) for p in (study.out / "experiment.json", page, *figures)],
        }
        print(json.dumps(document))
    elif not quiet:
        table.show(f"{study.folder} {study.name}", *table.cells(lines))
        for d in found:
            print(f"{d.verdict}: {d.interval.text(100, 2)} points")
        if any(run.seed not in seeds for run in whole.runs):
            print("(the table holds all seeds on record, not only those of this call)")
        print(f"record:  {study.out / 'experiment.json'}")
        print(f"figures: {figure.brief(figures)}")
        print(f"report:  {page}")
    for text in failed:
        print(f"failed: {text}", file=sys.stderr)
    broken = {(run.arm, run.seed) for run in whole.runs if run.status == FAILED}
    left = [(a, s) for a in arms for s in study.to_do(a, seeds, whole) if (a, s) not in broken]
    lost = [f"{arm} seed {seed}" for arm, seed in left if study.abandoned(arm, seed)]
    if len(left) > len(lost):
        print(f"{len(left) - len(lost)} runs are in the hands of another process", file=sys.stderr)
    if lost:
        print(f"not done (their process was killed?): {', '.join(lost)}", file=sys.stderr)
    if failed or lost:
        print(f"try them again with: {command()}", file=sys.stderr)
    return 1 if failed or lost else 0


def draw(study: Study, whole: Experiment) -> list[tuple[str, Any, Any]]:
    """Name, figure and data of the folder's own pictures, if it has a plot module."""
    own = modules.pictures(study.folder) if whole.done() else None
    return own.figures(whole) if own else []
