"""The report: one HTML file with nothing outside it, rewritten as the run goes.

While a study runs the page reloads itself every few seconds; afterwards it stands still.
"""

import html
import math
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.experiment import DONE, Experiment, Run
from harness.record import store
from harness.record.study import Study
from harness.result import table

MOST_CURVES = 12  # arms in one figure; more leave no room beside their legend
CSS = """
body{font:16px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse;font-size:.9rem}th,td{padding:.25rem .7rem;text-align:right}
th:first-child,td:first-child{text-align:left}thead th{border-bottom:2px solid #222}
tr:nth-child(even){background:#f5f5f5}.scroll{overflow-x:auto}
code,pre{background:#f2f2f2;padding:.1rem .3rem;white-space:pre-wrap;overflow-wrap:anywhere}
figure{margin:2rem 0}svg{max-width:100%;height:auto}
.fail{color:#a00}.small{font-size:.85rem;color:#555}
"""


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
        f"<p>{_e(study.plan.question)}</p>",
        _status(study, whole, running),
        _results(study, whole),
        _comparisons(study, whole),
        _failures(study, whole),
        _pictures(pictures) if pictures else _curves(study, shown),
        _provenance(study, whole),
    ]
    refresh = '<meta http-equiv="refresh" content="5">' if running else ""
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{refresh}'
        f"<title>{_e(study.folder)} {_e(study.name)}</title><style>{CSS}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )
    return store.write(study.out / "report.html", page)


class Live:
    """Rewrites the report during a run, spending at most a twentieth of the time on it."""

    def __init__(self, study: Study, clock: Callable[[], float] = time.monotonic):
        self.study, self.clock, self.next = study, clock, clock() + 3.0

    def __call__(self, running: Sequence[Run]) -> None:
        """Maybe write."""
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
    """The command that makes this study."""
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


def _e(text: object) -> str:
    return html.escape(str(text))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{_e(h)}</th>" for h in heads)
    body = "".join("<tr>" + "".join(f"<td>{_e(c)}</td>" for c in row) + "</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def _status(study: Study, whole: Experiment, running: Sequence[Run]) -> str:
    planned = len(study.plan.arms) * len(study.plan.seeds)
    text = f"{len(whole.done())} runs done; the plan has {planned}."
    if running:
        epochs = max(len(run.rows) for run in running)
        text += f" Now: {_e(running[0].arm)}, {len(running)} seeds, epoch {epochs}."
    expect = f"<p>Expected: {_e(study.plan.expect)}</p>" if study.plan.expect else ""
    return f"<p><strong>{text}</strong></p>{expect}"


def _results(study: Study, whole: Experiment) -> str:
    lines = table.summarize(whole, study.plan.measure.name)
    if not lines:
        return "<h2>Results</h2><p>No run has finished yet.</p>"
    epochs = sorted({line["epochs"] for line in lines})
    span = str(epochs[0]) if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]}"
    note = f"Last epoch ({span}), {_stands_on(whole)}."
    shown = _table(*table.cells(lines, study.plan.measure))
    return f'<h2>Results</h2><p class="small">{_e(note)}</p>{shown}'


def _stands_on(whole: Experiment) -> str:
    splits = {
        (r.config.get("data", "?"), r.facts.get("split", "split not said")) for r in whole.done()
    }
    return "; ".join(f"{data}: {split}" for data, split in sorted(splits))


def _comparisons(study: Study, whole: Experiment) -> str:
    found = table.differences(whole, study.plan)
    if not found:
        return ""
    rows = [[f"{d.first} - {d.second}", d.text, d.verdict] for d in found]
    heads = ["difference, paired by seed", "mean and 95 % interval", "verdict"]
    note = "Intervals are per comparison, not adjusted for their number."
    return f'<h2>Comparisons</h2>{_table(heads, rows)}<p class="small">{note}</p>'


def _failures(study: Study, whole: Experiment) -> str:
    found = table.failures(whole)
    if not found:
        return ""
    items = "".join(f"<li>{_e(text)}</li>" for text in found)
    retry = f"<p>Try again with <code>{_e(reproduce(study))}</code></p>"
    return f'<h2 class="fail">Failed runs</h2><ul>{items}</ul>{retry}'


def _pictures(pictures: Sequence[Any]) -> str:
    from harness.result import figure

    return "".join(f"<figure>{figure.svg(fig)}</figure>" for fig in pictures)


def _curves(study: Study, shown: Experiment) -> str:
    from harness.result import figure

    found = []
    for metric in dict.fromkeys((study.plan.measure.name, "train_loss", "test_loss")):
        arms = [arm for arm in shown.arms() if figure.by_epoch(shown, metric, arm)]
        if arms:
            found.append(f"<h2>{_e(metric.replace('_', ' '))} per epoch</h2>")
        for start in range(0, len(arms), MOST_CURVES):
            fig = figure.curves(shown, metric, arms[start : start + MOST_CURVES])
            found.append(figure.svg(fig))
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
