"""Runs one sweep by several processes of few threads, which is faster for small nets.

Where they run is an engine's business (harness.engine); here is how many they are, what they are
told, what people see of what they tell, and who takes up what a dead one had in hand.
"""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from harness.engine import guest
from harness.engine.protocol import Engine, Group, Members, Needs, Place
from harness.experiment import FAILED, Run
from harness.job import Job
from harness.record import store
from harness.record.provenance import command
from harness.record.study import Study
from harness.sweep import start
from harness.sweep.show import Quiet, span

STARTS = 3  # of a group without a new epoch, until it counts as failed
NO_ARM = 2  # the status of a member that has found no arm to train


class Crew:
    """Runs the open groups of a study as `size` members with `threads` threads each."""

    def __init__(
        self,
        study: Study,
        groups: Sequence[Group],
        size: int,
        threads: int,
        show: Quiet,
        live: Callable[[Any], None],
        engine: Engine,
        place: Place,
        gpus: float = 0,
    ):
        self.study, self.groups, self.size = study, groups, size
        self.show, self.live, self.engine, self.place = show, live, engine, place
        plan = study.plan
        self.needs = Needs(plan.cores or threads, plan.memory_gb, plan.gpus or gpus)
        self.env = {"OMP_NUM_THREADS": str(threads), "IDDL_MEMBER": "1", "IDDL_JOBS": str(size)}
        self.env |= {"IDDL_COMMAND": command(), "IDDL_SINCE": str(time.time())}
        self.running: dict[Group, list[Run]] = {}
        self.left = {(arm, seed) for arm, seeds in groups for seed in seeds}
        self.epochs: dict[Group, int] = {}  # as far as each group has come in any start
        self.starts: dict[Group, int] = {}  # since it has last come further
        self.said: set[str] = set()  # why members do not train
        self.lost: dict[Group, str] = {}  # the last words of those who had it
        self.died = ""  # of one who had none in hand
        self.begun = self.ended = False  # a group in this round; a member that has said why

    def run(self, argv: Sequence[str]) -> int:
        """Wait for all members, again until none is left; returns the worst exit status.

        Raises:
            KeyboardInterrupt: after the members have ended.
        """
        while True:
            self.lost, self.died, self.begun, self.ended = {}, "", False, False
            groups = [(arm, seeds) for arm, seeds in self.groups if self._open((arm, seeds))]
            status = self.engine(self._members(argv, groups), self.hear)
            if self.died and not self.ended and status != NO_ARM:
                self._take_up([group for group in groups if self._open(group)])
            again = [group for group in self.lost if not self._given_up(group)]
            if not again:
                return status
            for arm, seeds in again:
                print(f"{arm} seeds {span([*seeds])}: starting it again", file=sys.stderr)

    def _take_up(self, left: Sequence[Group]) -> None:
        """Count as lost what nobody has begun, where members died before they could.

        (Not where one has ended by itself: it has said why, and would only say it again.) That is a
        start of these groups if no group was begun; if one was, members can get that far.
        """
        waiting = [group for group in left if group not in self.lost]
        if waiting:
            print(f"a member died with no training in hand: {self.died}", file=sys.stderr)
        for group in waiting:
            self.lost[group] = self.died
            self.starts[group] = self.starts.get(group, 0) + (not self.begun)

    def _members(self, argv: Sequence[str], groups: Sequence[Group]) -> Members:
        return Members(
            argv,
            min(self.size, max(1, len(groups))),
            self.env,
            self.study,
            groups,
            self.needs,
            self.place,
            over=lambda: not self.left,
            starts=lambda arm, seeds: start.files(self.study, arm, seeds),
        )

    def _open(self, group: Group) -> bool:
        arm, seeds = group
        return any((arm, seed) in self.left for seed in seeds)

    def _given_up(self, group: Group) -> bool:
        """Return whether a lost group needs no further start: others have it, or it has failed."""
        arm, seeds = group
        if not any(self.study.abandoned(arm, seed) for seed in seeds):
            return True
        if self.starts.get(group, 0) < STARTS:
            return False
        words = f"started {STARTS} times without a new epoch; the last time: {self.lost[group]}"
        for seed in seeds:
            run = self.study.new_run(arm, seed)
            run.status, run.error = FAILED, words
            store.save_run(run, self.study.seed_dir(arm, seed))
        return True

    def hear(self, event: list[Any]) -> None:
        """Show what a member tells."""
        self._event(*event)

    def _event(self, kind: str, *rest: Any) -> None:
        if kind in ("refused", "died"):
            getattr(self, f"_{kind}")(*rest)
            return
        arm, seeds, *more = rest
        getattr(self, f"_{kind}")((arm, tuple(seeds)), *more)

    def _begin(self, group: Group, epochs: int, done: int) -> None:
        arm, seeds = group
        self.begun = True
        self.starts[group] = self.starts.get(group, 0) + 1
        self.running[group] = [self.study.new_run(arm, seed) for seed in seeds]
        self.show.begin(arm, [*seeds], epochs, Job(saved={"epochs": done}))

    def _rows(self, group: Group, rows: list[dict[str, Any] | None]) -> None:
        for run, row in zip(self.running[group], rows, strict=True):
            if row:  # (None: that seed has ended before the others)
                run.rows.append(row)
        epoch = max(row["epoch"] for row in rows if row)
        if epoch > self.epochs.get(group, 0):
            self.epochs[group], self.starts[group] = epoch, 0
        self.show.rows(group[0], [*group[1]], rows)
        self.live([run for runs in self.running.values() for run in runs])

    def _end(self, group: Group, note: str) -> None:
        self.running.pop(group, None)
        self.left -= {(group[0], seed) for seed in group[1]}
        self.show.end(group[0], [*group[1]], note)

    def _lost(self, group: Group, words: str, died: bool) -> None:
        """Take note that the one who had this group is gone; one who ended has said why."""
        begun = self.running.pop(group, None)
        if died and not begun:  # (a start, too, though its machine was gone before it said so)
            self.starts[group] = self.starts.get(group, 0) + 1
        if died:
            self.lost[group] = words
        self.ended = self.ended or not died
        self.show.lost(group[0], [*group[1]], words)

    def _died(self, words: str) -> None:
        """Take note that a member died in start-up or between groups."""
        self.died = words

    def _refused(self, words: str, everywhere: bool) -> None:
        """Say why a member does not train; if nobody may, the study ends."""
        if everywhere:
            raise guest.Refused(words)
        if words not in self.said:  # (a machine may have been sent several groups at once)
            print(words, file=sys.stderr)
        self.said.add(words)
