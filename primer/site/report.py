"""The record of a plan that was published, as the report that the study itself writes."""

from base64 import b64encode
from importlib import import_module
from pathlib import Path

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
    """Return the records of all plans that were run on purpose."""
    return sorted((ROOT / "results").glob("*/*/experiment.json"))


def write(path: Path, site: Path) -> Leaf:
    """Write the report of a record, and return what the index says of it."""
    folder, name = path.parts[-3:-1]
    plan = import_module(f"{folder}.experiments").PLANS[name]
    study = Study(folder, name, plan, Path("results"))
    whole = Study(folder, name, plan, ROOT / "results").aggregate()
    found, _ = pictures.draw(drawn.drawers_of(study, whole))
    figs = [fig for _, fig, _ in found]
    card = figs[0] if figs else figure.curves(whole, plan.measure.name, whole.arms()[:MOST])
    place = f"reports/{folder}-{name}.html"
    text = reports.text(study, whole, pictures=figs)
    store.write(site / place, text.replace("<main>", f"<main>{HOME}", 1))
    words = f"{markup.plain(plan.question)} {answer(whole, plan)}"
    svg = drawing.slim(figure.svg(card))
    address = f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
    return Leaf(place, f"{folder}: {name}", words, address, figure.sentence(card))
