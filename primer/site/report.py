"""The record of a plan that was published, as the report that the study itself writes."""

from base64 import b64encode
from importlib import import_module
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from harness.experiment import Experiment
from harness.plan import Plan, as_dict
from harness.record import store
from harness.record.study import Study
from harness.result import drawing, figure, pictures
from harness.result import report as reports
from harness.result.answer import answer
from harness.sweep import drawn
from primer.site import markup
from primer.site.leaf import HOME, ROOT, Leaf

MOST = 12  # arms in the picture of a record for which no study has one


def records() -> list[Path]:
    """Return the records of all plans that were run on purpose, also with other settings."""
    folder = ROOT / "results"
    return sorted((*folder.glob("*/*/experiment.json"), *folder.glob("*/*/*/experiment.json")))


def words_of(path: Path) -> tuple[str, ...]:
    """Return study, plan and, where they are others than the plan's, settings of a record."""
    return path.relative_to(ROOT / "results").parts[:-1]


def settings(path: Path, plan: Plan) -> dict[str, Any]:
    """Return the fields in which all runs of a record differ from their plan's."""
    runs = store.load(path).runs
    planned, own = [as_dict(plan.arms[run.arm]) for run in runs], runs[0].config
    shared = (f for f in own if all(f in run.config and run.config[f] == own[f] for run in runs))
    return {f: own[f] for f in shared if all(arm.get(f, own[f]) != own[f] for arm in planned)}


def curves(whole: Experiment, plan: Plan) -> Figure:
    """Draw a record for which no study has a picture."""
    return figure.curves(whole, plan.measure.name, whole.arms()[:MOST], row=plan.row)


def write(path: Path, site: Path) -> Leaf:
    """Write the report of a record, and return what the index says of it."""
    folder, name, *other = words_of(path)
    plan = import_module(f"{folder}.experiments").PLANS[name]
    changed = settings(path, plan) if other else {}
    plan = plan.override(changed)
    study = Study(folder, name, plan, Path("results"), changed)
    whole = Study(folder, name, plan, ROOT / "results", changed).aggregate()
    found, _ = pictures.draw(drawn.drawers_of(study, whole))
    figs = [fig for _, fig, _ in found]
    card = figs[0] if figs else curves(whole, plan)
    place = f"reports/{'-'.join((folder, name, *other))}.html"
    text = reports.text(study, whole, pictures=figs)
    store.write(site / place, text.replace("<main>", f"<main>{HOME}", 1))
    words = f"{markup.plain(plan.question)} {answer(whole, plan)}"
    svg = drawing.slim(figure.svg(card))
    address = f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
    title = f"{folder}: {name}" + "".join(f", {k} {v}" for k, v in changed.items())
    return Leaf(place, title, words, address, figure.sentence(card))
