"""Ends a call: shows the table, report and figures (the record stands already) and their places.

Numbers come first: whatever a picture meets, the table has been shown and the record written.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.experiment import FAILED, Experiment
from harness.record.provenance import command
from harness.record.rows import lacking
from harness.record.study import Study
from harness.result import export, figure, pictures, report, screen, table
from harness.sweep import blame, drawn
from harness.sweep.options import Options


def finish(
    study: Study, whole: Experiment, arms: Sequence[str], seeds: tuple[int, ...], options: Options
) -> int:
    """Show the record and write what shows it; returns 1 if a run failed or nobody did it."""
    talk = not (options.quiet or options.json)
    if talk:
        _print_table(study, whole, seeds)
    if options.to:
        _write_table(study, whole, options.to)
    page, figures = show(study, whole, talk, options.figures)
    if options.json:
        print(json.dumps(document(study, whole, [page, *figures])))
    elif talk:
        print(f"record:  {study.out / 'experiment.json'}")
        if options.figures:
            print(f"figures: {figure.brief(figures)}")
        print(f"report:  {page}")
    return _status(study, whole, arms, seeds)


def _print_table(study: Study, whole: Experiment, seeds: tuple[int, ...]) -> None:
    metric = study.plan.measure
    lines = table.summarize(whole, metric.name)
    screen.show(f"{study.folder} {study.name}", *table.cells(lines, metric, study.plan.row))
    if note := table.mixed(whole):
        print(note)
    for difference in table.differences(whole, study.plan):
        print(difference.sentence)
    if any(run.seed not in seeds for run in whole.runs):
        print("(the table holds all seeds on record, not only those of this call)")


def _write_table(study: Study, whole: Experiment, path: Path) -> None:
    metric = study.plan.measure
    lines = table.summarize(whole, metric.name)
    export.write(path, lines, *table.cells(lines, metric, study.plan.row))


def show(study: Study, whole: Experiment, talk: bool, save: bool = True) -> tuple[Path, list[Path]]:
    """Draw report and figures, unless the last ones still hold; returns where they are."""
    known = drawn.still_good(study)
    if known is not None:
        return study.out / "report.html", known
    found, complete = _draw(study, whole, talk)
    page = report.write(study, whole, pictures=[fig for _, fig, _ in found])
    if not save:
        return page, []
    paths, written = pictures.save(found, study.out)
    if complete and written:
        drawn.remember(study, paths)
    return page, paths


def _draw(study: Study, whole: Experiment, talk: bool) -> tuple[list[pictures.Picture], bool]:
    try:
        drawers = drawn.drawers_of(study, whole)
    except Exception as error:  # a plot module that cannot even be imported
        pictures.tell("all", error)
        return [], False
    if talk and drawers:
        count = "the" if "all" in drawers else len(drawers)
        print(f"drawing {count} figures ...", file=sys.stderr, flush=True)
    return pictures.draw(drawers)


def document(study: Study, whole: Experiment, paths: Sequence[Path]) -> dict:
    """Return what --json prints."""
    metric = study.plan.measure
    return {
        "folder": study.folder,
        "plan": study.name,
        "metric": metric.name,
        "better": metric.better,
        "unit": metric.unit,
        "scale": metric.scale,
        "table": table.summarize(whole, metric.name),
        "comparisons": [
            {"name": f"{d.first} - {d.second}", "verdict": d.verdict, **vars(d.interval)}
            for d in table.differences(whole, study.plan)
        ],
        "failed": table.failures(whole),
        "paths": [str(path) for path in (study.out / "experiment.json", *paths)],
    }


def _status(study: Study, whole: Experiment, arms: Sequence[str], seeds: tuple[int, ...]) -> int:
    """Say on stderr what is missing; returns 1 if anything is missing that nobody works on."""
    failed, unseen = table.failures(whole), lacking(whole.runs, study.plan.measure.name)
    for text in failed:
        print(f"failed: {text}", file=sys.stderr)
    if traces := _traces(study, whole):
        print(f"the whole traceback: {traces[0]}", file=sys.stderr)
    if unseen:
        print(f"nothing to compare: {unseen}", file=sys.stderr)
    lost = _lost(study, whole, arms, seeds)
    if lost:
        print(f"not done (their process was killed?): {', '.join(lost)}", file=sys.stderr)
    if failed or lost:
        print(f"try them again with: {command()}", file=sys.stderr)
    return 1 if failed or lost or unseen else 0


def _traces(study: Study, whole: Experiment) -> list[Path]:
    """Return the files of what went wrong in the runs that failed here."""
    broken = [run for run in whole.runs if run.status == FAILED]
    files = [study.seed_dir(run.arm, run.seed) / blame.FILE for run in broken]
    return [file for file in files if file.exists()]


def _lost(
    study: Study, whole: Experiment, arms: Sequence[str], seeds: tuple[int, ...]
) -> list[str]:
    """Return the runs of this call that are neither done nor failed nor in anybody's hands."""
    broken = {(run.arm, run.seed) for run in whole.runs if run.status == FAILED}
    todo = study.opened(arms, seeds, whole)
    left = [(a, s) for a in arms for s in todo[a] if (a, s) not in broken]
    lost = [f"{arm} seed {seed}" for arm, seed in left if study.abandoned(arm, seed)]
    if len(left) > len(lost):
        print(f"{len(left) - len(lost)} runs are in the hands of another process", file=sys.stderr)
    return lost
