"""Runs a study: every arm, its seeds side by side, resuming what an earlier call left.

A folder's train module offers

    train_stack(config, seeds, job) -> rows of all seeds, a list per epoch       or
                                       (None for a seed that has ended before the others)
    train(config, seed, job)        -> rows of one seed, a dict per epoch
    stacks(config)                  -> whether train_stack is for this arm       (if it has both)
    describe(config, job)           -> facts that do not change with the epoch   (optional)
    check(config, job)              -> raises ValueError for what cannot train   (optional)
    paths()                         -> which ways to compute were taken since    (optional)

A row is a plain dict with `epoch` and the plan's metric; harness.record.rows states the whole
protocol, and every row is checked by it: what breaks it fails the run, in words. A config has a
field `epochs`.

For each group of seeds:  claim -> restore -> { row, checkpoint } per epoch -> run.json -> release.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.data import DataError
from harness.engine.machine import release
from harness.experiment import FAILED, Experiment, Run, plain
from harness.job import Job
from harness.plan import as_dict
from harness.record import rows as protocol
from harness.record import store, weights
from harness.record.checkpoint import load_checkpoint, save_checkpoint
from harness.record.provenance import collect as collect_provenance
from harness.record.study import Study
from harness.sweep import blame, modules, stands, start
from harness.sweep.show import Quiet, span


@dataclass
class Sweep:
    """One call's work: which seeds and arms of a study to run, where, and who watches."""

    study: Study
    trainer: Any
    seeds: tuple[int, ...]
    arms: tuple[str, ...]
    show: Quiet
    device: str = "cpu"
    data_root: str | None = None
    checkpoint_every: float = 5.0
    keep: bool = False  # the trained weights, beside each run
    live: Any = None  # called with the experiment so far, after each epoch
    provenance: dict[str, Any] = field(default_factory=dict)
    whole: Experiment | None = None  # what is on record, if the caller has just read it
    since: float = field(default_factory=lambda: float(os.environ.get("IDDL_SINCE", time.time())))

    def run(self) -> Experiment:
        """Run everything that is not done yet; the aggregate is written whatever happens."""
        whole = self.whole or self.study.collect()
        self._check(whole)
        try:
            for arm, todo in self.study.opened(self.arms, self.seeds, whole).items():
                if todo:
                    self._arm(arm, todo)
        finally:
            whole = self.study.save()
        return whole

    def _check(self, whole: Experiment) -> None:
        """Ask the trainer, if it can tell, whether the arms that are to train can.

        Members of a crew do not for a plan as written, which is known to: each would ask for all.
        """
        if os.environ.get("IDDL_MEMBER") and not self.study.overrides:
            return
        job = Job(self.device, self.data_root)
        for arm, open_seeds in self.study.opened(self.arms, self.seeds, whole).items():
            start.files(self.study, arm, open_seeds)
            if open_seeds:
                check_arm(self.trainer, arm, self.study.plan.arms[arm], job)

    def _arm(self, arm: str, todo: list[int]) -> None:
        """Run the open seeds of an arm in stacks if they train so, else one by one."""
        together = modules.together(self.trainer, self.study.plan.arms[arm])
        for share in self.study.plan.stacked(todo) if together else [(seed,) for seed in todo]:
            with ExitStack() as holds:
                mine = self._claim(arm, share, holds)
                for seeds, saved in self._groups(arm, mine):
                    begin = time.monotonic()
                    self._group(arm, seeds, saved)
                    release(self.device, time.monotonic() - begin)

    def _claim(self, arm: str, share: Sequence[int], holds: ExitStack) -> list[int]:
        """Return those of these open seeds that are held by no other process."""
        mine = []
        with store.locked(self.study.arm_dir(arm) / ".lock"):
            for seed in share:
                folder = self.study.seed_dir(arm, seed)
                if holds.enter_context(store.claim(folder)) and not self._tried(folder):
                    mine.append(seed)
        return mine

    def _tried(self, folder: Path) -> bool:
        """Return whether another process has done this run, or failed at it, since the start."""
        run = store.load_run(folder)
        if run is None:
            return False
        protocol.tell_broken(run)
        return run.status != FAILED or (folder / "run.json").stat().st_mtime >= self.since

    def _groups(self, arm: str, mine: list[int]) -> Iterator[tuple[list[int], dict | None]]:
        """Yield the groups with a checkpoint as they were, then the other seeds as a new one."""
        for path in sorted(self.study.arm_dir(arm).glob("group-*.pt")):
            saved = load_checkpoint(path)
            if saved and set(saved["seeds"]) <= set(mine) and self._leads_on(path, arm, saved):
                mine = [seed for seed in mine if seed not in saved["seeds"]]
                yield saved["seeds"], saved
        if mine:
            yield mine, None

    def _leads_on(self, path: Path, arm: str, saved: dict) -> bool:
        """Return whether a run can go on from this checkpoint; removes one that leads nowhere."""
        now = stands.facts(self.study.plan.arms[arm])
        if other := stands.changed(saved, now):
            what = f"its checkpoint is of {saved[stands.FACT]}, and the file is {now[stands.FACT]}"
            print(f"{arm} seeds {span(saved['seeds'])}: {what} now: begun anew", file=sys.stderr)
        if other or not saved["parts"]:  # (nothing was attached: what trained is lost)
            path.unlink()
            return False
        return True

    def _group(self, arm: str, seeds: list[int], saved: dict | None) -> None:
        config = self.study.plan.arms[arm]
        job = Job(self.device, self.data_root, saved, starts=start.states(self.study, arm, seeds))
        runs = [self._open(arm, seed, (saved or {}).get("rows", {})) for seed in seeds]
        self.show.begin(arm, seeds, config.epochs, job)
        keep = False
        try:
            self._train(arm, config, runs, job)
        except (DataError, OSError, KeyboardInterrupt):
            raise
        except Exception as error:
            keep = True  # the checkpoint: what failed may not fail next time
            for run in runs:
                run.error = run.error or blame.words(error, self.trainer)
                blame.keep(error, self.study.seed_dir(arm, run.seed))
        for run in runs:
            run.status = FAILED if run.error else run.status
            store.save_run(run, self.study.seed_dir(arm, run.seed))
        if not keep:
            self.study.checkpoint(arm, seeds).unlink(missing_ok=True)
        errors = sorted({run.error for run in runs if run.error})
        self.show.end(arm, seeds, f"FAILED: {'; '.join(errors)}" if errors else "")

    def _open(self, arm: str, seed: int, rows: dict[int, list]) -> Run:
        folder = self.study.seed_dir(arm, seed)
        store.check_config(folder, as_dict(self.study.plan.arms[arm]))
        run = self.study.new_run(arm, seed)
        run.rows = list(rows.get(seed, []))
        run.error = run.rows[-1].get("failed") if run.rows else None
        blame.clear(folder)
        store.write(folder / "metrics.jsonl", "".join(map(store.to_json, run.rows)))
        return run

    def _train(self, arm: str, config: Any, runs: list[Run], job: Job) -> None:
        paths = getattr(self.trainer, "paths", dict)
        paths()  # (those of an arm before)
        self._sign(runs)
        describe = getattr(self.trainer, "describe", None)
        facts = plain(describe(config, job) if describe else {}, "describe") | stands.facts(config)
        for run in runs:
            run.facts = facts | start.facts(self.study, arm, run.seed)
        path = self.study.checkpoint(arm, [run.seed for run in runs])
        last = time.monotonic()
        for rows in _rows(self.trainer, config, [run.seed for run in runs], job):
            protocol.check_group(rows, [run.seed for run in runs])
            for run, row in zip(runs, rows, strict=True):
                self._record(run, row)
            self.show.rows(arm, [run.seed for run in runs], rows)
            if all(run.error for run in runs):
                break
            if job.parts and time.monotonic() - last >= self.checkpoint_every:
                save_checkpoint(path, _checkpoint(runs, job))
                last = time.monotonic()
            if self.live:
                self.live(runs)
        if not all(run.rows for run in runs):
            raise protocol.RowError("the trainer yielded no row; expected one for each epoch")
        if (self.keep or self.study.plan.keep) and len(runs) == 1 and not runs[0].error:
            weights.save(self.study.seed_dir(arm, runs[0].seed), job.parts["net"])
        if taken := paths():
            self._sign(runs, kernels=taken)

    def _sign(self, runs: list[Run], **more: Any) -> None:
        if not self.provenance:
            self.provenance = collect_provenance(self.device)
        key = self.study.save_provenance(self.provenance | more)
        for run in runs:
            run.provenance = key

    def _record(self, run: Run, row: dict[str, Any] | None) -> None:
        if run.error or row is None:
            return
        protocol.check_row(row, self.study.plan.measure.name)
        protocol.check_next(row, run.rows)
        store.append_row(self.study.seed_dir(run.arm, run.seed), row)
        run.rows.append(row)
        run.error = row.get("failed")


def check_arm(trainer: Any, arm: str, config: Any, job: Job) -> None:
    """Refuse an arm that cannot train, as far as its trainer can tell beforehand.

    Raises:
        ValueError: names the arm and what does not fit.
        DataError: the data is not there.
    """
    try:
        if not hasattr(config, "epochs"):
            raise ValueError(f"its {type(config).__name__} has no field `epochs`, which bars count")
        if hasattr(trainer, "check"):
            trainer.check(config, job)
    except DataError:
        raise
    except ValueError as error:
        raise ValueError(f"{arm}: {error}") from None


def _rows(trainer: Any, config: Any, seeds: list[int], job: Job) -> Iterator[list[dict | None]]:
    """Yield lists of rows from either kind of trainer (without a stack, groups are of one)."""
    if modules.together(trainer, config):
        yield from trainer.train_stack(config, seeds, job)
        return
    assert len(seeds) == 1, seeds
    yield from ([row] for row in trainer.train(config, seeds[0], job))


def _checkpoint(runs: list[Run], job: Job) -> dict[str, Any]:
    epochs = max(len(run.rows) for run in runs)  # of those that train longest
    seeds = [run.seed for run in runs]
    rows = {run.seed: run.rows for run in runs}
    return job.state(epochs, seeds=seeds, rows=rows, csv=runs[0].facts.get(stands.FACT))
