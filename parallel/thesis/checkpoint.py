"""Goes on from checkpoints: each rank keeps two, and the newest step that all have is taken.

One rank may fail to write what the others have written (its disk is full, it was killed): a step
that all have is then the one before. What is newer than the step that was taken is removed.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.experiment import plain
from harness.record.checkpoint import load_checkpoint, save_checkpoint
from parallel.thesis.options import Options
from parallel.thesis.setting import Setting
from parallel.training.training import Training
from parallel.world.comm import Comm

NONE = -1.0  # the step of a checkpoint that is not there


class Checkpoints:
    """The last two states of the workers here, on disk."""

    def __init__(self, comm: Comm, options: Options, setting: Setting, training: Training):
        self.comm, self.options, self.setting, self.training = comm, options, setting, training
        self.latest = options.folder / f"rank_{comm.rank}.cp.pt"
        self.before = options.folder / f"rank_{comm.rank}.before.cp.pt"

    def save(self) -> None:
        """Write the present state; the last one stays as the one before."""
        if self.latest.exists():
            os.replace(self.latest, self.before)
        save_checkpoint(self.latest, self._described() | {"session": self.training.state_dict()})

    def restore(self) -> bool:
        """Go on from the newest step that all ranks have; warn where a rank has none.

        Raises:
            ValueError: the states are of another run, or no step is one that all have.
        """
        held = {int(s["session"]["done"]): s for s in map(load_checkpoint, self._paths()) if s}
        steps = self._of_all(sorted(held))
        absent = [f"rank_{r}.cp.pt" for r, one in enumerate(steps) if not one]
        if absent:
            self._say(f"{', '.join(absent)} not in {self.options.folder}: from the start")
            return False
        for saved in held.values():
            self._check(saved)
        step = _newest(steps, self.options.folder)
        self.training.load_state_dict(held[step]["session"])
        self._tidy(held, step)
        if self.training.done >= self.setting.epochs * self.training.shards.steps:
            epochs = self.training.done // self.training.shards.steps
            self._say(f"{epochs} epochs are done already: nothing is left to train")
        return True

    def _paths(self) -> tuple[Path, Path]:
        return self.before, self.latest

    def _of_all(self, own: list[int]) -> list[set[int]]:
        """Return the steps that each rank says it has: none reads the files of another."""
        padded = [NONE] * (2 - len(own)) + [float(step) for step in own]
        told = zip(*(self.comm.everyone(step) for step in padded), strict=True)
        return [{int(step) for step in one if step != NONE} for one in told]

    def _tidy(self, held: dict[int, Any], step: int) -> None:
        """Make the state that was taken the latest, so that the next one keeps it."""
        if step != max(held):
            os.replace(self.before, self.latest)

    def _described(self) -> dict[str, Any]:
        """Return what has to be the same for going on."""
        options = self.options
        rates = {k: v for k, v in plain(asdict(self.setting)).items() if k != "epochs"}
        return {
            "world": options.world if options.rank is None else "procs",
            "workers": options.num_workers,
            "digest": self.training.digest,
            "rates": rates | {"weight_decay": options.weight_decay},
        }

    def _check(self, saved: dict[str, Any]) -> None:
        mine, folder = self._described(), self.options.folder
        for key in ("world", "workers"):
            if saved[key] != mine[key]:
                raise ValueError(
                    f"--from-checkpoint: {folder} holds a run with {key} {saved[key]}, this "
                    f"one has {mine[key]}: take the same, or another --exp-id"
                )
        if saved["digest"] != mine["digest"]:
            raise ValueError(
                f"--from-checkpoint: {folder} holds another run (experiment, method and its "
                "options, batch size, seed): take the same options, or another --exp-id"
            )
        for key, before in saved["rates"].items():
            if (now := mine["rates"][key]) != before:
                raise ValueError(
                    f"--from-checkpoint: {folder} was trained with {key} {before}, this call "
                    f"has {now}: take the same, or another --exp-id"
                )

    def _say(self, text: str) -> None:
        if self.comm.rank == 0:
            print(f"--from-checkpoint: {text}", file=sys.stderr)


def _newest(steps: Sequence[set[int]], folder: Path) -> int:
    common = set.intersection(*steps)
    if common:
        return max(common)
    held = "; ".join(f"rank {r}: {', '.join(map(str, sorted(s)))}" for r, s in enumerate(steps))
    raise ValueError(
        f"--from-checkpoint: the ranks have no step in common in {folder} ({held}): restore the "
        "files that are missing, or leave --from-checkpoint out to start over"
    )
