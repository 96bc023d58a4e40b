"""Tells whether an earlier call's report and figures still show what they would show now."""

import importlib.util
from collections.abc import Iterable
from pathlib import Path

import harness.result
from harness.experiment import Experiment
from harness.record import store
from harness.record.study import Study
from harness.result.pictures import Drawers
from harness.sweep import modules

NOTE = ".drawn"  # names what the last complete drawing wrote; its time is that of the drawing


def drawers_of(study: Study, whole: Experiment) -> Drawers:
    """Return what there is to draw: nothing without a plot module, or before a run is done."""
    module = modules.pictures(study.folder) if whole.done() else None
    if module is None:
        return {}
    if hasattr(module, "drawers"):
        return module.drawers(whole)
    return {"all": lambda: module.figures(whole)}


def remember(study: Study, paths: Iterable[Path]) -> None:
    """Note that the report and these figures are up to date."""
    store.write(study.out / NOTE, store.to_json([path.name for path in paths]))


def still_good(study: Study) -> list[Path] | None:
    """Return the last drawing's files, unless what they show or are made by has changed."""
    note = study.out / NOTE
    if not note.exists():
        return None
    paths = [study.out / name for name in store.read_json(note)]
    made_of = [study.out / "experiment.json", study.out / "report.html", *paths, *_sources(study)]
    drawn = note.stat().st_mtime_ns
    fresh = all(path.exists() and path.stat().st_mtime_ns <= drawn for path in made_of)
    return paths if fresh else None


def _sources(study: Study) -> list[Path]:
    """Return the files of code that draws: the study's folder, and harness/result."""
    spec = importlib.util.find_spec(study.folder)
    own = spec.submodule_search_locations if spec else None
    homes = [*(own or ()), *harness.result.__path__]
    return [path for home in homes for path in Path(home).rglob("*.py")]
