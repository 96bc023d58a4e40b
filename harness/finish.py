"""The end of a call: figures, report, table, and where they are."""

import importlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from typing import Any

from harness import figure, report, table
from harness.experiment import Experiment
from harness.study import Study


def finish(study: Study, whole: Experiment, left: Sequence[str], quiet: bool, as_json: bool) -> int:
    """Write what the aggregate shows and say so; 1 if any run failed."""
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
        print(f"record:  {study.out / 'experiment.json'}")
        print(f"figures: {figure.brief(figures)}")
        print(f"report:  {page}")
    for text in failed:
        print(f"failed: {text}", file=sys.stderr)
    if failed:
        print(f"try the failed runs again with: {report.reproduce(study)}", file=sys.stderr)
    open_runs = len(left) - len(failed)
    if open_runs > 0:
        print(f"{open_runs} runs are not done (another process has them)", file=sys.stderr)
    return 1 if failed else 0


def draw(study: Study, whole: Experiment) -> list[tuple[str, Any, Any]]:
    """Name, figure and data of the folder's own pictures, if it has a plot module."""
    name = f"{study.folder}.plot_{study.folder}_experiments"
    if importlib.util.find_spec(name) is None or not whole.done():
        return []
    return importlib.import_module(name).figures(whole)
