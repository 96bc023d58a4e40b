"""Shows a sweep: bars on a terminal, plain lines in a log, events to a parent, or nothing.

Each is told begin, rows (once an epoch) and end for every group of seeds of an arm that trains;
several may at a time.
People are told on stderr, so that stdout stays for results.
"""

import json
import sys
import threading
import time
from typing import Any

from harness.engine.protocol import Group
from harness.experiment import plain
from harness.job import Job

BAR, SPARE = 20, 6  # columns of a bar, and those at the right that stay empty
Rows = list[dict[str, Any] | None]  # one per seed; None where a seed has ended before the others


class Quiet:
    """Shows nothing; the base of all that show a sweep."""

    def begin(self, arm: str, seeds: list[int], epochs: int, job: Job) -> None:
        """Take note that a group of seeds starts."""

    def rows(self, arm: str, seeds: list[int], rows: Rows) -> None:
        """Take note that an epoch is done."""

    def end(self, arm: str, seeds: list[int], note: str = "") -> None:
        """Take note that the group is done; `note` says if anything went wrong."""

    def lost(self, arm: str, seeds: list[int], words: str = "") -> None:
        """Take note that the process which had this group is gone, and its last words."""

    def close(self) -> None:
        """Take note that the sweep is over."""


class Events(Quiet):
    """Tells a parent process what happens, as one JSON list per line on stdout."""

    def begin(self, arm: str, seeds: list[int], epochs: int, job: Job) -> None:
        """Tell the parent that a group of seeds starts."""
        done = (job.saved or {}).get("epochs", 0)
        self._tell("begin", arm, seeds, epochs, done)

    def rows(self, arm: str, seeds: list[int], rows: Rows) -> None:
        """Tell the parent the rows of an epoch."""
        self._tell("rows", arm, seeds, rows)

    def end(self, arm: str, seeds: list[int], note: str = "") -> None:
        """Tell the parent that a group is done, and the note."""
        self._tell("end", arm, seeds, note)

    def refused(self, words: str, everywhere: bool) -> None:
        """Tell the parent that this member must not train, and whether nobody may."""
        self._tell("refused", words, everywhere)

    def _tell(self, *event: Any) -> None:
        print(json.dumps(plain(event)), flush=True)


class Lines(Quiet):
    """Prints one line per group, and more where epochs take long."""

    def __init__(self, groups: int, metric: str = "test_accuracy", row: str = "epoch"):
        self.groups, self.number, self.metric, self.row = groups, 0, metric, row
        self.active: dict[Group, dict[str, Any]] = {}

    def begin(self, arm: str, seeds: list[int], epochs: int, job: Job) -> None:
        """Remember when the group starts, to say later how long it took."""
        self.number += 1
        head = f"[{self.number}/{self.groups}] {arm} seeds {span(seeds)}"
        now = time.monotonic()
        self.active[arm, tuple(seeds)] = {
            "head": head,
            "epochs": epochs,
            "start": now,
            "last": now,
            "text": "",
        }

    def rows(self, arm: str, seeds: list[int], rows: Rows) -> None:
        """Print the epoch, though at most one line in ten seconds."""
        a = self.active[arm, tuple(seeds)]
        a["text"] = summary(rows, self.metric)
        if time.monotonic() - a["last"] > 10:
            a["last"] = time.monotonic()
            self._say(f"{a['head']} {self.row} {_epoch(rows)}/{a['epochs']} {a['text']}")

    def end(self, arm: str, seeds: list[int], note: str = "") -> None:
        """Print the last values of the group, or what went wrong."""
        a = self.active.pop((arm, tuple(seeds)))
        seconds = time.monotonic() - a["start"]
        self._say(f"{a['head']} done in {seconds:.1f} s  {note or a['text']}")

    def lost(self, arm: str, seeds: list[int], words: str = "") -> None:
        """Print that the group has to be started again."""
        if a := self.active.pop((arm, tuple(seeds)), None):  # (several may meet the same)
            self.number -= 1
            self._say(f"{a['head']} was lost: {words}")

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _progress() -> Any:
    """Make the bars of a terminal: what moves has a fixed place, words have the rest.

        ━━━━━━━━━━━━━━━━━━━━  26% 0:00:12 all arms
        ━━━━━━━━━━╺━━━━━━━━━  50% 0:00:03 B-MLP-3-1 seeds 0-4 epoch 3/10 loss 0.1413
                                          accuracy 0.9400

    The last columns stay empty. A terminal writes ^C at the cursor, behind the last bar; where that
    starts a new line, the first bar is left behind when the bars are drawn again.
    """
    from rich.console import Console
    from rich.constrain import Constrain
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    console = Console(stderr=True)

    class Fixed(Progress):
        def get_renderables(self):
            yield Constrain(self.make_tasks_table(self.tasks), max(40, console.width - SPARE))

    def place(width: int) -> Column:
        return Column(width=width, no_wrap=True)

    return Fixed(
        BarColumn(BAR, table_column=place(BAR)),
        TextColumn("{task.percentage:>3.0f}%", table_column=place(4)),
        TimeRemainingColumn(table_column=place(7)),
        TextColumn("{task.description} {task.fields[text]}", table_column=Column(overflow="fold")),
        console=console,
        refresh_per_second=5,
    )


class Bars(Quiet):
    """Shows a bar for the sweep and one per arm that trains, which moves within an epoch too."""

    def __init__(self, groups: int, metric: str = "test_accuracy", row: str = "epoch"):
        self.active: dict[Group, dict[str, Any]] = {}
        self.finished, self.metric, self.row = 0, metric, row
        self.progress = _progress()
        self.sweep = self.progress.add_task("all arms", total=groups, text="")
        self.progress.start()
        self.over = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        """Read from the jobs how far the arms are within their epochs, since nobody calls."""
        while not self.over.wait(0.2):
            self.refresh()

    def begin(self, arm: str, seeds: list[int], epochs: int, job: Job) -> None:
        """Show a bar for this arm."""
        task = self.progress.add_task(f"{arm} seeds {span(seeds)}", total=epochs, text="")
        done = (job.saved or {}).get("epochs", 0)
        self.active[arm, tuple(seeds)] = {"task": task, "job": job, "epoch": done, "epochs": epochs}

    def rows(self, arm: str, seeds: list[int], rows: Rows) -> None:
        """Move the arm's bar on by an epoch."""
        a = self.active[arm, tuple(seeds)]
        a["epoch"], a["job"].progress = _epoch(rows), 0.0
        text = f"{self.row} {a['epoch']}/{a['epochs']} {summary(rows, self.metric)}"
        self.progress.update(a["task"], text=text)

    def refresh(self) -> None:
        """Move all bars to where their arms are."""
        share = 0.0
        for a in list(self.active.values()):
            done = min(a["epoch"] + a["job"].progress, a["epochs"])
            share += done / a["epochs"]
            if a["task"] in self.progress.task_ids:  # (it may have ended meanwhile)
                self.progress.update(a["task"], completed=done)
        self.progress.update(self.sweep, completed=self.finished + share)

    def end(self, arm: str, seeds: list[int], note: str = "") -> None:
        """Take the arm's bar away; keep a line if something went wrong."""
        self.finished += 1
        self.progress.remove_task(self.active.pop((arm, tuple(seeds)))["task"])
        if note:
            self.progress.console.print(f"{arm}: {note}", markup=False)

    def lost(self, arm: str, seeds: list[int], words: str = "") -> None:
        """Take the arm's bar away, and say what happened."""
        if a := self.active.pop((arm, tuple(seeds)), None):
            self.progress.remove_task(a["task"])
            self.progress.console.print(f"{arm} was lost: {words}", markup=False)

    def close(self) -> None:
        """Leave the finished bar on the screen."""
        self.over.set()
        self.refresh()
        self.progress.stop()


def make_show(groups: int, quiet: bool, metric: str = "test_accuracy", row: str = "epoch") -> Quiet:
    """Return the display that fits the place (a quiet one where nothing is to be watched)."""
    if quiet or not groups:
        return Quiet()
    return (Bars if sys.stderr.isatty() else Lines)(groups, metric, row)


def _epoch(rows: Rows) -> int:
    return max(row["epoch"] for row in rows if row)


def summary(rows: Rows, metric: str = "test_accuracy") -> str:
    """Return the mean loss and metric over the seeds that still train, as one line."""
    parts = []
    for key in dict.fromkeys(("train_loss", metric)):
        values = [row[key] for row in rows if row and type(row.get(key)) in (int, float)]
        if values:
            name = key.removeprefix("train_").removeprefix("test_").replace("_", " ")
            parts.append(f"{name} {sum(values) / len(values):.4f}")
    return " ".join(parts)


def span(seeds: list[int]) -> str:
    """Return seeds as a short text, such as 0-9 or 0,2,5."""
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ",".join(map(str, seeds))
