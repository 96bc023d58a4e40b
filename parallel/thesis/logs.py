"""Writes what a run leaves to read: the log of each worker, and the description of the run."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch.nn.functional as F

from harness.data import Data
from harness.experiment import plain
from harness.record import store
from parallel.thesis.bunyan import Log
from parallel.thesis.options import Options
from parallel.thesis.setting import Setting
from parallel.training.training import Training, tested
from parallel.world.comm import Comm


class Logs:
    """The log files of the workers here."""

    def __init__(self, comm: Comm, options: Options, training: Training):
        self.comm, self.options, self.training = comm, options, training
        self.files: list[Log] = []

    @contextlib.contextmanager
    def open(self, go_on: bool) -> Iterator[None]:
        """Hold a file per worker open for the block."""
        folder, level = self.options.folder, self.options.log_level
        if not go_on:
            self._clear(folder)
        self.files = [Log(folder / f"rank_{r}.log", r, level, go_on) for r in self.comm.ranks]
        try:
            yield
        finally:
            for file in self.files:
                file.close()

    def _clear(self, folder: Path) -> None:
        """Remove what an earlier run of this name left: each rank its own, rank 0 the rest."""
        here = 0 in self.comm.ranks
        if here and (folder / "rank_0.log").exists():
            text = f"the logs in {folder} are replaced (--exp-id names another folder)"
            print(text, file=sys.stderr)
        for path in [*folder.glob("rank_*.log"), *folder.glob("rank_*.cp.pt")]:
            number = path.name.removeprefix("rank_").split(".")[0]
            rank = int(number) if number.isdigit() else -1
            if rank in self.comm.ranks or (here and rank >= self.options.num_workers):
                path.unlink(missing_ok=True)

    def progress(self) -> None:
        """Log the training loss and the validation of each worker."""
        s = self.training
        epoch = -(-s.done // s.shards.steps)
        held = replace(s.data, test_x=s.data.validation_x, test_y=s.data.validation_y)  # pyright: ignore
        for i, file in enumerate(self.files):
            where = {"Rank": file.rank, "Epoch": epoch, "Update": s.done}
            if s.backward.latest[i] is not None:
                file.write({**where, "TrainLoss": s.backward.latest[i]})
            loss, accuracy = tested(s.worker(i), held, F.cross_entropy)
            file.write({**where, "ValLoss": loss})
            file.accuracy(where, "ValAcc", accuracy)

    def end(self) -> dict[str, Any]:
        """Test each worker and their mean; logs and returns what came out."""
        s = self.training
        accuracies = s.worker_accuracies()
        for file, accuracy in zip(self.files, accuracies, strict=True):
            file.accuracy({"Rank": file.rank}, "TestAcc", accuracy)
        row = s.row()
        everyone = self._everyone(accuracies)
        here = 'weights="metropolis" or matching=True', "--elastic-weights metropolis"
        notes = [
            note.replace(*here).replace(" or matching=True", "")
            for note in s.executor.strategy.notes(*s.executor.tally)
        ]
        if 0 in self.comm.ranks:
            self.files[0].accuracy({"Rank": 0}, "AggTestAcc", row["test_accuracy"])
            self.files[0].write(row, "telemetry", "DEBUG")
            for note in notes:
                self.files[0].write({}, note, "WARNING")
        return row | {"worker_accuracy": everyone, "notes": notes, "split": s.data.split}

    def _everyone(self, accuracies: list[float]) -> list[float]:
        return accuracies if self.comm.alone else self.comm.everyone(accuracies[0])


def describe(options: Options, setting: Setting, data: Data) -> None:
    """Write down everything that was asked for, with defaults."""
    place, _, port = options.master_loc.rpartition(":")
    content = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(options).items()}
    content |= {
        "setting": asdict(setting),
        "data": {"name": data.name, "split": data.split, "train": len(data.train_y)},
        "master_addr": place,
        "master_port": port,
        "timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "__version__": version("iddl"),
    }
    store.write(options.folder / "metadata.json", store.to_json(plain(content)))
