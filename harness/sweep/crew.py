"""Runs one sweep by several processes of few threads, which is faster for small nets.

Where they run is an engine's business (harness.sweep.engine); here is how many they are, what they
are told, and what people see of what they tell.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from harness.experiment import Run
from harness.job import Job
from harness.record.provenance import command
from harness.record.study import Study
from harness.sweep.engine import Engine, Members, local
from harness.sweep.show import Quiet


class Crew:
    """Runs a study as `size` members with `threads` threads each."""

    def __init__(
        self,
        study: Study,
        size: int,
        threads: int,
        show: Quiet,
        live: Callable[[Any], None],
        engine: Engine = local,
    ):
        self.study, self.size, self.show, self.live = study, size, show, live
        self.engine = engine
        self.env = {"OMP_NUM_THREADS": str(threads), "IDDL_MEMBER": "1", "IDDL_JOBS": str(size)}
        self.env |= {"IDDL_COMMAND": command(), "IDDL_SINCE": str(time.time())}
        self.running: dict[tuple[str, tuple[int, ...]], list[Run]] = {}

    def run(self, argv: Sequence[str]) -> int:
        """Wait for all members; returns the worst of their exit statuses.

        Raises:
            KeyboardInterrupt: after the members have ended.
        """
        return self.engine(Members(argv, self.size, self.env), self.hear)

    def hear(self, event: list[Any]) -> None:
        """Show what a member tells."""
        self._event(*event)

    def _event(self, kind: str, arm: str, seeds: list[int], *rest: Any) -> None:
        group = arm, tuple(seeds)
        if kind == "begin":
            epochs, done = rest
            self.running[group] = [self.study.new_run(arm, seed) for seed in seeds]
            self.show.begin(arm, seeds, epochs, Job(saved={"epochs": done}))
        elif kind == "rows":
            for run, row in zip(self.running[group], rest[0], strict=True):
                if row:  # (None: that seed has ended before the others)
                    run.rows.append(row)
            self.show.rows(arm, seeds, rest[0])
            self.live([run for runs in self.running.values() for run in runs])
        else:
            self.running.pop(group, None)
            self.show.end(arm, seeds, rest[0])
