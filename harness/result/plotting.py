"""Does what all plot scripts share: finds a dump, prints its table, draws and publishes it.

`run(argv, HERE, figures, lines)` is the whole of such a script but for the pictures.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import tyro

from harness.experiment import Experiment
from harness.record import store
from harness.record.rows import tell_broken
from harness.result import pictures

KINDS = (".json", ".p", ".pkl", ".pickle")
Figures = Callable[[Experiment], list[tuple[str, Any, Any]]]  # name, figure, data of each


@dataclass(frozen=True)
class Options:
    """Draw a dump of a study, or its record."""

    dump: tyro.conf.Positional[Path | None] = None
    """A dump (.p, .pkl) or a record (.json); default: the newest beside this script."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Where the figures go; default: beside this script."""
    publish: bool = False
    """Also write them into figure/<study>/<plan>/, which is tracked."""


def run(
    argv: Sequence[str],
    here: Path,
    figures: Figures,
    lines: Callable[[Experiment], Iterable[str]],
    read: Callable[[Path], Experiment] = store.load,
    more: Callable[[Experiment, Path, str], None] | None = None,
    drawers: Callable[[Experiment], pictures.Drawers] | None = None,
) -> int:
    """Run a plot script; returns 2 for a dump that cannot be read, 1 if no picture can be drawn.

    Args:
        argv: The command line.
        here: Folder of the script, which has the name of the study.
        figures: Draws them.
        lines: The table as text.
        read: Reads a dump.
        more: Writes other files; gets the experiment, the folder and the time of the run.
        drawers: Draws them one by one, so that one that fails stops no other.
    """
    options = tyro.cli(Options, args=list(argv), config=(tyro.conf.FlagCreatePairsOff,))
    name = f"{here.name}_experiments"
    try:
        dump, out = options.dump or newest(here, name), options.out or here
        if dump.exists() and dump.suffix not in KINDS:
            raise ValueError(
                f"{dump} is no record: expected an experiment.json, or a pickle of one (.p, .pkl)"
            )
        whole = read(dump)
        check(whole, dump, here)
        text = "\n".join(_lines(whole, lines))
        print(text)
        begin = begin_time(dump)
        store.write(out / "log" / f"{name}_plot_{begin}.log", text + "\n")
        public = here.parent / "figure" / here.name / whole.plan if options.publish else None
        found, complete = pictures.draw(
            drawers(whole) if drawers else {"the figures": lambda: figures(whole)}
        )
        _draw(whole, found, out, public)
        if more:
            more(whole, out, begin)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0 if found or complete else 1


def check(whole: Experiment, dump: Path, here: Path) -> None:
    """Refuse a record of another study, and one of which nothing can be drawn.

    Raises:
        ValueError: says what the record is, and which script draws it.
    """
    name = whole.folder.rpartition(".")[2]  # (of examples.wine: wine)
    if name != here.name:
        raise ValueError(
            f"{dump} is a record of {whole.folder} (plan {whole.plan}), and this script draws "
            f"those of {here.name}: try {whole.folder.replace('.', '/')}/plot_{name}_experiments.py"
        )
    for run in whole.runs:
        tell_broken(run)
    if not whole.done():
        broken = next((f": {run.arm} seed {run.seed}: {run.error}" for run in whole.runs), "")
        raise ValueError(f"{dump} holds no run that is done; there is nothing to draw{broken}")


def _lines(whole: Experiment, lines: Callable[[Experiment], Iterable[str]]) -> list[str]:
    """Return the table, or a line that says so where the study's columns do not fit the record."""
    found: list[str] = []
    try:
        found += lines(whole)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        print(f"the table ends here ({type(error).__name__}: {error})", file=sys.stderr)
    return found


def newest(folder: Path, name: str) -> Path:
    """Return the latest dump in the folder, by the time in its name."""
    dumps = sorted(folder.glob(f"{name}_*.p"))
    if not dumps:
        study = name.removesuffix("_experiments")
        raise FileNotFoundError(
            f"no dump {name}_*.p in {folder}: run `bash {study}/run_{name}.sh` "
            f"first, or name a dump or a record (results/{study}/<plan>/experiment.json)"
        )
    return dumps[-1]


def begin_time(dump: Path) -> str:
    """Return when the run began, from the name of its dump or else from the environment."""
    found = re.search(r"\d{8}_\d{6}", dump.name)
    return found[0] if found else os.environ.get("BEGIN_TIME", f"{datetime.now():%Y%m%d_%H%M%S}")


def picture(stem: str, study: str) -> str:
    """Return the name of a picture in figure/<study>/<plan>/, without the name of the study.

    Beside the plot script a picture is called `mlp_experiments_loss`; there it is `loss`.
    """
    return re.sub(rf"^(fig_)?{re.escape(study)}_(experiments_)?", "", stem)


def _draw(whole: Experiment, found: list[tuple[str, Any, Any]], out: Path, public: Path | None):
    """Save all figures, and say where they are."""
    from harness.result import figure

    paths = [p for stem, fig, data in found for p in figure.save(fig, out / stem, data)]
    print(f"figures: {figure.brief(paths)}")
    if public:
        names = [
            (public / picture(stem, public.parent.name), fig, data) for stem, fig, data in found
        ]
        paths = [p for stem, fig, data in names for p in figure.save(fig, stem, data)]
        print(f"published: {figure.brief(paths)}")
