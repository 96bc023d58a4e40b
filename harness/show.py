"""Who watches a sweep: bars on a terminal, plain lines in a log, or nobody. Always on stderr."""

import sys
import time
from typing import Any

from harness.job import Job


class Quiet:
    """Nobody."""

    def begin(self, arm: str, seeds: list[int], epochs: int, job: Job) -> None:
        """A group of seeds starts."""

    def rows(self, arm: str, rows: list[dict[str, Any]]) -> None:
        """An epoch is done."""

    def end(self, arm: str, note: str = "") -> None:
        """The group is done; the note says if anything went wrong."""

    def close(self) -> None:
        """The sweep is over."""


class Lines(Quiet):
    """One line per group, and one per epoch where epochs take long."""

    def __init__(self, groups: int):
        self.groups, self.number = groups, 0

    def begin(self, arm: str, seeds: list[int], epochs: int, job: Job) -> None:
        """Remember when, to say how long."""
        self.number += 1
        self.head = f"[{self.number}/{self.groups}] {arm} seeds {_span(seeds)}"
        self.epochs, self.start, self.last, self.text = epochs, time.monotonic(), 0.0, ""

    def rows(self, arm: str, rows: list[dict[str, Any]]) -> None:
        """At most one line in ten seconds."""
        self.text = summary(rows)
        if time.monotonic() - max(self.start, self.last) > 10:
            self.last = time.monotonic()
            print(f"{self.head} epoch {rows[0]['epoch']}/{self.epochs} {self.text}", file=sys.stderr)

    def end(self, arm: str, note: str = "") -> None:
        """The last values, or what went wrong."""
        seconds = time.monotonic() - self.start
        text = note or self.text
        print(f"{self.head} done in {seconds:.1f} s  {text}", file=sys.stderr, flush=True)


class Bars(Quiet):
    """One bar for the sweep, one for the arm that trains; it moves within an epoch too."""

    def __init__(self, groups: int):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        class Live(Progress):
            def get_renderables(inner):
                self.refresh()
                yield from super().get_renderables()

        columns = (
            TextColumn("{task.description:<28}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
        )
        self.job: Job | None = None
        self.progress = Live(*columns, console=Console(stderr=True), refresh_per_second=5)
        self.sweep = self.progress.add_task("all arms", total=groups, text="")
        self.arm = self.progress.add_task("", total=1, text="", visible=False)
        self.finished, self.epoch, self.epochs = 0, 0, 1
        self.progress.start()

    def begin(self, arm: str, seeds: list[int], epochs: int, job: Job) -> None:
        """Reset the lower bar."""
        self.job, self.epochs = job, epochs
        self.epoch = (job.saved or {}).get("epochs", 0)
        self.name = f"{arm} seeds {_span(seeds)}"
        self.progress.reset(self.arm, description=self.name, text="", visible=True, total=epochs)

    def rows(self, arm: str, rows: list[dict[str, Any]]) -> None:
        """Move it on by an epoch."""
        self.epoch = rows[0]["epoch"]
        assert self.job is not None
        self.job.progress = 0.0
        self.progress.update(self.arm, text=f"epoch {self.epoch}/{self.epochs} {summary(rows)}")

    def refresh(self) -> None:
        """Called at each redraw: where the arm is within its epoch."""
        within = self.job.progress if self.job else 0.0
        done = min(self.epoch + within, self.epochs)
        self.progress.update(self.arm, completed=done)
        self.progress.update(self.sweep, completed=self.finished + (done / self.epochs) % 1)

    def end(self, arm: str, note: str = "") -> None:
        """Count it."""
        self.finished += 1
        self.epoch, self.job = 0, None
        if note:
            self.progress.console.print(f"[bold]{self.name}[/] {note}", markup=True)

    def close(self) -> None:
        """Leave the finished bars on the screen."""
        self.progress.update(self.arm, visible=False)
        self.progress.stop()


def make_show(groups: int, quiet: bool) -> Quiet:
    """The one that fits the place."""
    if quiet:
        return Quiet()
    return Bars(groups) if sys.stderr.isatty() else Lines(groups)


def summary(rows: list[dict[str, Any]]) -> str:
    """Mean over the group of what most people look at."""
    parts = []
    for key, name in (("train_loss", "loss"), ("test_accuracy", "accuracy")):
        values = [row[key] for row in rows if row.get(key) is not None]
        if values:
            parts.append(f"{name} {sum(values) / len(values):.4f}")
    return " ".join(parts)


def _span(seeds: list[int]) -> str:
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ",".join(map(str, seeds))
