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
from harness.record import store
from harness.record.study import Study
from harness.result import export, listing, page, table, titles
from harness.result.answer import answer
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
    found = [listing.runs(study, bool(running))]
    return store.write(study.out / "report.html", text(study, whole, running, pictures, found))


def text(
    study: Study,
    whole: Experiment,
    running: Sequence[Run] = (),
    pictures: Sequence[Any] = (),
    more: Sequence[str] = (),
) -> str:
    """Return the page; what is in `more` stands at its end.

    While runs go on, all that will stand above a place has its room from the beginning, so that
    the page does not move under its reader when it loads itself again.
    """
    live = bool(running)
    shown = Experiment(whole.folder, whole.plan, whole.question, [*whole.runs], whole.provenance)
    shown.runs += [run for run in running if run.status == DONE]
    failures = _failures(study, whole)
    body = [
        f"<h1>{_e(study.folder)}: {_e(study.name)}</h1>",
        _answer(study, whole, live),
        _status(study, whole, running),
        _results(study, whole, live),
        _comparisons(study, whole, live),
        listing.settings(study, live),
        "" if live else failures,
        _pictures(pictures) if pictures else _curves(study, shown, live),
        failures if live else "",
        _provenance(study, whole),
        *more,
    ]
    title = f"{study.folder} {study.name}: {study.plan.question}"
    return page.page(title, body, refresh=live)


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


def _answer(study: Study, whole: Experiment, live: bool) -> str:
    """Return the question and, in the same breath, what is known of its answer."""
    found = answer(whole, study.plan) or "No run has finished yet."
    so_far = "So far: " if live and whole.done() else ""
    room = ' class="room"' if live else ""
    return f"<p{room}>{prose(study.plan.question)} <strong>{_e(so_far + found)}</strong></p>"


def _status(study: Study, whole: Experiment, running: Sequence[Run]) -> str:
    planned = len(study.plan.arms) * len(study.plan.seeds)
    text = f"{len(whole.done())} runs done; the plan has {planned}."
    if failed := len(table.failures(whole)):
        text += f" {failed} failed."
    if running:
        epochs = max(len(run.rows) for run in running)
        text += f" Now: {_e(running[0].arm)}, {len(running)} seeds, {study.plan.row} {epochs}."
    expect = f"<p>Expected: {prose(study.plan.expect)}</p>" if study.plan.expect else ""
    return f"<p>{text}</p>{expect}"


def _results(study: Study, whole: Experiment, live: bool) -> str:
    lines = table.summarize(whole, study.plan.measure.name)
    if not lines and not live:
        return ""
    heads, rows = table.cells(lines, study.plan.measure, study.plan.row)
    if live:
        there = {line["name"] for line in lines}
        rows += [_later(arm, heads) for arm in study.plan.arms if arm not in there]
    shown = page.table(heads, rows, "results")
    note = _note(whole, lines, study.plan.row)
    return f'<h2>Results</h2><p class="small">{note}</p>{shown}{_files(study, lines)}'


def _note(whole: Experiment, lines: Sequence[dict[str, Any]], row: str) -> str:
    """Say what the table of results stands on."""
    if not lines:
        return f"Last {row}."
    note = f"Last {row} ({titles.span(line['epochs'] for line in lines)}), {_stands_on(whole)}."
    if mixed := table.mixed(whole):
        note += f" {mixed[:1].upper()}{mixed[1:]}."
    return _e(note)


def _later(name: str, heads: Sequence[str]) -> list[str]:
    """Return a line of a table that keeps its place until there is something to say."""
    return [name, "not done yet", *[""] * (len(heads) - 2)]


def _files(study: Study, lines: Sequence[dict[str, Any]]) -> str:
    """Return links that download the table as CSV and as JSON."""
    if not lines:
        return '<p class="small">No run has finished yet.</p>'
    name = f"{study.folder}-{study.name}"
    links = (
        page.download(f"{name}.csv", "text/csv", export.as_csv(lines)),
        page.download(f"{name}.json", "application/json", export.as_json(lines)),
    )
    return f'<p class="small">All digits of this table: {", ".join(links)}</p>'


def _stands_on(whole: Experiment) -> str:
    splits = {
        (r.config.get("data", "?"), r.facts.get("split", "split not said")) for r in whole.done()
    }
    return "; ".join(titles.data(data, split) for data, split in sorted(splits))


def _comparisons(study: Study, whole: Experiment, live: bool) -> str:
    found = table.differences(whole, study.plan)
    rows = [[f"{d.first} - {d.second}", d.text, d.verdict] for d in found]
    heads = ["difference, paired by seed", "mean and 95 % interval", "verdict"]
    if live:
        there = {(d.first, d.second) for d in found}
        later = (pair for pair in study.plan.compare if pair not in there)
        rows += [_later(" - ".join(pair), heads) for pair in later]
    if not rows:
        return ""
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


def _curves(study: Study, shown: Experiment, live: bool = False) -> str:
    from harness.result import figure

    found, number = [], count(1)
    for metric in dict.fromkeys((study.plan.measure.name, "train_loss", "test_loss")):
        arms = [arm for arm in shown.arms() if figure.by_epoch(shown, metric, arm)]
        arms = list(study.plan.arms) if arms and live else arms
        words = f"{metric.replace('_', ' ')} per {study.plan.row}"
        if arms:
            found.append(f"<h2>{_e(words)}</h2>")
        for start in range(0, len(arms), MOST_CURVES):
            some = arms[start : start + MOST_CURVES]
            fig = figure.curves(shown, metric, some, row=study.plan.row)
            told = f"{words}, of the models that have begun." if live else ""
            found.append(page.picture(fig, next(number), told))
    note = '<p class="small">Lines are means over seeds, tints their 95 % intervals.</p>'
    return "".join(found) + (note if found else "")


def _provenance(study: Study, whole: Experiment) -> str:
    blocks = "".join(f"<pre>{_e(_lines(facts))}</pre>" for facts in whole.provenance.values())
    folded = page.fold("Provenance", blocks)
    return f"<h2>Reproduce</h2><pre>{_e(reproduce(study))}</pre>{folded}"


def _lines(facts: dict) -> str:
    flat = {}
    for key, value in facts.items():
        flat |= value if isinstance(value, dict) else {key: value}
    return "\n".join(f"{key}: {value}" for key, value in flat.items())
