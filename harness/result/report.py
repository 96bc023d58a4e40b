"""Writes the report: one HTML file with nothing outside it, rewritten as the run goes.

While a study runs the page reloads itself every few seconds; afterwards it stands still.
"""

import math
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from harness.experiment import DONE, Experiment, Run
from harness.plan import as_dict
from harness.record import store
from harness.record.study import Study
from harness.result import export, page, table, titles
from harness.result.page import plain as _e
from harness.result.page import prose

MOST_CURVES = 12  # arms in one figure; more leave no room beside their legend


def write(
    study: Study, whole: Experiment, running: Sequence[Run] = (), pictures: Sequence[Any] = ()
) -> Path:
    """Write report.html into the study's folder.

    `running` are runs with some of their epochs; `pictures` the study's own figures, which take
    the place of the plain curves.
    """
    shown = Experiment(whole.folder, whole.plan, whole.question, [*whole.runs], whole.provenance)
    shown.runs += [run for run in running if run.status == DONE]
    body = [
        f"<h1>{_e(study.folder)}: {_e(study.name)}</h1>",
        f"<p>{prose(study.plan.question)}</p>",
        _status(study, whole, running),
        _results(study, whole),
        _comparisons(study, whole),
        _arms(study),
        _failures(study, whole),
        _pictures(pictures) if pictures else _curves(study, shown),
        _provenance(study, whole),
    ]
    title = f"{study.folder} {study.name}: {study.plan.question}"
    return store.write(study.out / "report.html", page.page(title, body, refresh=bool(running)))


class Live:
    """Rewrites the report during a run, spending at most a twentieth of the time on it."""

    def __init__(self, study: Study, clock: Callable[[], float] = time.monotonic):
        self.study, self.clock, self.next = study, clock, clock() + 3.0

    def __call__(self, running: Sequence[Run]) -> None:
        """Rewrite the report, unless that was done too short a time ago."""
        begin = self.clock()
        if begin < self.next:
            return
        try:
            write(self.study, self.study.collect(), running)
        except OSError:
            raise
        except Exception as error:  # a page must not end a run
            self.next = math.inf
            reason = f"{type(error).__name__}: {error}"
            print(f"report.html is not rewritten until the end ({reason})", file=sys.stderr)
            return
        end = self.clock()
        self.next = end + max(3.0, 20 * (end - begin))


def reproduce(study: Study) -> str:
    """Return the command line that makes this study."""
    words = ["python", "-m", study.folder, study.name]
    for name, value in study.overrides.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", str(value)]
    if study.root != Path("results"):
        words += ["--results", str(study.root)]
    return shlex.join(words)


def _status(study: Study, whole: Experiment, running: Sequence[Run]) -> str:
    planned = len(study.plan.arms) * len(study.plan.seeds)
    text = f"{len(whole.done())} runs done; the plan has {planned}."
    if running:
        epochs = max(len(run.rows) for run in running)
        text += f" Now: {_e(running[0].arm)}, {len(running)} seeds, epoch {epochs}."
    expect = f"<p>Expected: {prose(study.plan.expect)}</p>" if study.plan.expect else ""
    return f"<p><strong>{text}</strong></p>{expect}"


def _results(study: Study, whole: Experiment) -> str:
    lines = table.summarize(whole, study.plan.measure.name)
    if not lines:
        return "<h2>Results</h2><p>No run has finished yet.</p>"
    span = titles.span(line["epochs"] for line in lines)
    note = f"Last epoch ({span}), {_stands_on(whole)}."
    if mixed := table.mixed(whole):
        note += f" {mixed[:1].upper()}{mixed[1:]}."
    shown = page.table(*table.cells(lines, study.plan.measure), "results")
    return f'<h2>Results</h2><p class="small">{_e(note)}</p>{shown}{_files(study, lines)}'


def _files(study: Study, lines: Sequence[dict[str, Any]]) -> str:
    """Return links that download the table as CSV and as JSON."""
    name = f"{study.folder}-{study.name}"
    links = (
        page.download(f"{name}.csv", "text/csv", export.as_csv(lines)),
        page.download(f"{name}.json", "application/json", export.as_json(lines)),
    )
    return f'<p class="small">All digits of this table: {", ".join(links)}</p>'


def _arms(study: Study) -> str:
    """Return a table of what the names of the arms stand for: the settings that differ."""
    shared = study.plan.shared()
    settings = {arm: as_dict(config) for arm, config in study.plan.arms.items()}
    keys = [key for key in next(iter(settings.values())) if key not in shared]
    if not keys:
        return ""
    rows = [[arm, *(_setting(of[key]) for key in keys)] for arm, of in settings.items()]
    heads = ["model", *(key.replace("_", " ") for key in keys)]
    shown = page.table(heads, rows, "settings of the models", words=range(1, len(heads)))
    return f"<details><summary>What the names of the models mean</summary>{shown}</details>"


def _setting(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _stands_on(whole: Experiment) -> str:
    splits = {
        (r.config.get("data", "?"), r.facts.get("split", "split not said")) for r in whole.done()
    }
    return "; ".join(titles.data(data, split) for data, split in sorted(splits))


def _comparisons(study: Study, whole: Experiment) -> str:
    found = table.differences(whole, study.plan)
    if not found:
        return ""
    rows = [[f"{d.first} - {d.second}", d.text, d.verdict] for d in found]
    heads = ["difference, paired by seed", "mean and 95 % interval", "verdict"]
    note = "Intervals are per comparison, not adjusted for their number."
    shown = page.table(heads, rows, "comparisons", words=(2,))
    return f'<h2>Comparisons</h2>{shown}<p class="small">{note}</p>'


def _failures(study: Study, whole: Experiment) -> str:
    found = table.failures(whole)
    if not found:
        return ""
    items = "".join(f"<li>{_e(text)}</li>" for text in found)
    retry = f"<p>Try again with <code>{_e(reproduce(study))}</code></p>"
    return f'<h2 class="fail">Failed runs</h2><ul>{items}</ul>{retry}'


def _pictures(pictures: Sequence[Any]) -> str:
    return "<h2>Figures</h2>" + "".join(map(page.picture, pictures, count(1)))


def _curves(study: Study, shown: Experiment) -> str:
    from harness.result import figure

    found, number = [], count(1)
    for metric in dict.fromkeys((study.plan.measure.name, "train_loss", "test_loss")):
        arms = [arm for arm in shown.arms() if figure.by_epoch(shown, metric, arm)]
        if arms:
            found.append(f"<h2>{_e(metric.replace('_', ' '))} per epoch</h2>")
        for start in range(0, len(arms), MOST_CURVES):
            fig = figure.curves(shown, metric, arms[start : start + MOST_CURVES])
            found.append(page.picture(fig, next(number)))
    note = '<p class="small">Lines are means over seeds, tints their 95 % intervals.</p>'
    return "".join(found) + (note if found else "")


def _provenance(study: Study, whole: Experiment) -> str:
    blocks = "".join(f"<pre>{_e(_lines(facts))}</pre>" for facts in whole.provenance.values())
    return (
        f"<h2>Reproduce</h2><pre>{_e(reproduce(study))}</pre>"
        f"<details><summary>Provenance</summary>{blocks}</details>"
    )


def _lines(facts: dict) -> str:
    flat = {}
    for key, value in facts.items():
        flat |= value if isinstance(value, dict) else {key: value}
    return "\n".join(f"{key}: {value}" for key, value in flat.items())
