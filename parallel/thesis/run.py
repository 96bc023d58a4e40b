"""What a worker of `python -m parallel gossip` does, in either world.

model, rate, momentum, epochs, batch, decay         iris, mnist, cifar10: see SETTINGS
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.data import Data, load
from harness.experiment import plain
from harness.nets import perceptron
from harness.record import store
from harness.record.checkpoint import load_checkpoint, save_checkpoint
from harness.seeding import order
from parallel.strategy import Strategy, make
from parallel.thesis.bunyan import Log
from parallel.thesis.main import METHODS, Options
from parallel.training.shards import Shards
from parallel.training.training import Training, tested
from parallel.world.comm import Comm
from parallel.world.world import World


@dataclass(frozen=True)
class Setting:
    """The defaults of one experiment."""

    learning_rate: float
    momentum: float
    epochs: int
    batch_size: int
    anneal_milestones: tuple[int, ...]
    anneal_factor: float
    nesterov: bool
    validation: int


SETTINGS = {
    "iris": Setting(0.01, 0.99, 3, 4, (2000,), 0.1, False, 25),
    "mnist": Setting(0.001, 0.99, 100, 128, (), 0.5, True, 8800),
    "cifar10": Setting(0.01, 0.9, 50, 128, (15, 30, 40), 0.5, True, 5200),
}


def run(options: Options) -> Iterator[dict[str, Any]]:
    """The last row (of rank 0, or of this one with --rank)."""
    setting = _filled(options)
    data, _ = read(options)  # so that what is missing is said before anything starts
    Shards(len(data.train_y), options.num_workers, setting.batch_size, options.seed)  # (checks)
    world = _world(options)
    before = torch.get_num_threads()
    if options.world == "sim":
        torch.set_num_threads(options.num_threads)
    try:
        yield from world.run(work, options, setting)
    finally:
        torch.set_num_threads(before)


def _filled(options: Options) -> Setting:
    """The experiment's defaults, and what was given instead (0 is given)."""
    default = SETTINGS[options.experiment]
    given = {k: getattr(options, k, None) for k in vars(default)}
    filled = replace(default, **{k: v for k, v in given.items() if v is not None})
    nesterov = filled.nesterov and not options.no_nesterov and filled.momentum > 0
    return replace(filled, nesterov=nesterov)


def _world(options: Options) -> World:
    if options.rank is not None:
        place, _, port = options.master_loc.rpartition(":")
        if not place or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"--master-loc {options.master_loc!r}: expected address:port")
        ranks = {"RANK": str(options.rank), "WORLD_SIZE": str(options.num_workers)}
        os.environ.update(ranks, MASTER_ADDR=place, MASTER_PORT=port)
        return World.env(timeout=options.timeout, backend=_backend(options))
    if options.world == "sim":
        return World.sim(options.num_workers)
    words = dict(timeout=options.timeout, threads=options.num_threads, backend=_backend(options))
    return World.procs(options.num_workers, **words)


def _backend(options: Options) -> str | None:
    if options.comm_backend != "nccl" or options.no_gpu:
        return "gloo"
    if not torch.cuda.is_available():
        raise ValueError("--comm-backend nccl needs a GPU for each worker here: take gloo")
    return "nccl"


def read(options: Options) -> tuple[Data, Any]:
    """Training, validation and test set, and what draws batches of images."""
    setting = SETTINGS[options.experiment]
    if options.experiment == "iris":
        return _iris(load("iris", options.data_root), options.seed), None
    data = load(options.experiment, options.data_root, options.test_split)
    data = data.validate(setting.validation)
    if options.experiment == "mnist":
        norm = lambda x: (x.flatten(1) - 0.1307) / 0.3081  # noqa: E731
        return data.map(norm, ("train_x", "validation_x", "test_x")), None
    from harness.data.pictures import Batches, images

    layout = torch.channels_last
    batches = Batches(data, "flip", options.seed, layout)
    seen = lambda x: images(x, data, layout)  # noqa: E731
    return data.map(seen, ("validation_x", "test_x")), batches


def _iris(data: Data, seed: int) -> Data:
    """100 flowers to train, 25 to validate, 25 to test."""
    mix = order(seed, 0, 150)
    x, y = torch.cat([data.train_x, data.test_x])[mix], torch.cat([data.train_y, data.test_y])[mix]
    xs, ys = x.split([100, 25, 25]), y.split([100, 25, 25])
    split = "100 train, 25 validation, 25 test by the seed"
    return Data("iris", split, xs[0], ys[0], xs[2], ys[2], xs[1], ys[1])


def model(options: Options, data: Data, rank: int) -> nn.Module:
    """A worker's first weights: those of its own seed where nothing is shared."""
    seed = options.seed + rank
    if options.experiment != "cifar10":
        return {"iris": perceptron.iris, "mnist": perceptron.mnist}[options.experiment](seed)
    from resnet.model import resnet

    return resnet(18, width=options.width or 64, classes=data.classes, preact=True, seed=seed).to(
        memory_format=torch.channels_last  # pyright: ignore
    )


def strategy(options: Options) -> Strategy:
    """The method, in our words."""
    name = METHODS["local" if options.num_workers == 1 else options.agg_method]
    words: dict[str, Any] = {}
    if options.agg_method in ("elasticGossip", "gossipingSgd") and options.num_workers > 1:
        words = dict(period=options.agg_period, probability=options.agg_prob)
        words["penalty"] = options.penalty if options.weighted_gossip else None
    if name == "elastic_gossip":
        words |= dict(alpha=options.elastic_alpha, weights=options.elastic_weights)
    return make(name, **words)


def work(comm: Comm, options: Options, setting: Setting) -> Iterator[dict[str, Any]]:
    """Train; one row at the end."""
    data, batches = read(options)

    def decay(step: int) -> float:
        epoch = (step - 1) // training.shards.steps
        return setting.anneal_factor ** sum(epoch >= m for m in setting.anneal_milestones)

    sgd = partial(
        torch.optim.SGD,
        lr=setting.learning_rate,
        momentum=setting.momentum,
        nesterov=setting.nesterov,
        weight_decay=options.weight_decay,
    )
    training = Training(
        lambda rank: model(options, data, rank),
        data,
        F.cross_entropy,
        sgd,
        strategy(options),
        comm,
        batch_size=setting.batch_size,
        seed=options.seed,
        batches=batches,
        schedule=decay,
        each=True,
    )
    logs = Logs(comm, options, training)
    go_on = options.from_checkpoint and _restore(options, setting, training)
    if 0 in comm.ranks:
        _metadata(options, setting, data)
    with logs.open(go_on):
        last = setting.epochs * training.shards.steps
        while training.done < last:
            training.step()
            if training.done % options.log_interval == 0:
                logs.progress()
            epoch, rest = divmod(training.done, training.shards.steps)
            often = options.checkpoint_interval
            if not rest and often and epoch % often == 0:
                save_checkpoint(_place(options, comm), _saved(options, setting, training))
        yield logs.end()


class Logs:
    """The files of the workers here."""

    def __init__(self, comm: Comm, options: Options, training: Training):
        self.comm, self.options, self.training = comm, options, training
        self.files: list[Log] = []

    @contextlib.contextmanager
    def open(self, go_on: bool) -> Iterator[None]:
        """A file per worker."""
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
        """What an earlier run of this name has left, by each rank its own, by rank 0 the rest."""
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
        """Training loss and validation of each worker."""
        s = self.training
        epoch = -(-s.done // s.shards.steps)
        held = replace(s.data, test_x=s.data.validation_x, test_y=s.data.validation_y)  # pyright: ignore
        for i, file in enumerate(self.files):
            where = {"Rank": file.rank, "Epoch": epoch, "Update": s.done}
            if s.latest[i] is not None:
                file.write({**where, "TrainLoss": s.latest[i]})
            loss, accuracy = tested(s.worker(i), held, F.cross_entropy)
            file.write({**where, "ValLoss": loss})
            file.accuracy(where, "ValAcc", accuracy)

    def end(self) -> dict[str, Any]:
        """Test of each worker, and of their mean."""
        s = self.training
        accuracies = s.worker_accuracies()
        for file, accuracy in zip(self.files, accuracies, strict=True):
            file.accuracy({"Rank": file.rank}, "TestAcc", accuracy)
        row = s.row()
        everyone = self._everyone(accuracies)
        here = 'weights="metropolis" or matching=True', "--elastic-weights metropolis"
        notes = [
            note.replace(*here).replace(" or matching=True", "")
            for note in s.executor.strategy.notes()
        ]
        if 0 in self.comm.ranks:
            self.files[0].accuracy({"Rank": 0}, "AggTestAcc", row["test_accuracy"])
            self.files[0].write(row, "telemetry", "DEBUG")
            for note in notes:
                self.files[0].write({}, note, "WARNING")
        return row | {"worker_accuracy": everyone, "notes": notes, "split": s.data.split}

    def _everyone(self, accuracies: list[float]) -> list[float]:
        return accuracies if self.comm.alone else self.comm.everyone(accuracies[0])


def _place(options: Options, comm: Comm) -> Path:
    return options.folder / f"rank_{comm.rank}.cp.pt"


def _saved(options: Options, setting: Setting, training: Training) -> dict[str, Any]:
    where = {"world": options.world if options.rank is None else "procs"}
    what = {"workers": options.num_workers, "digest": training.digest}
    rates = {k: v for k, v in plain(asdict(setting)).items() if k != "epochs"}
    rates |= {"weight_decay": options.weight_decay}
    return {**where, **what, "rates": rates, "session": training.state_dict()}


def _restore(options: Options, setting: Setting, training: Training) -> bool:
    """Go on from the files of all ranks; a warning where one is not there.

    Raises:
        ValueError: they are of another world or another number of workers.
    """
    alone = training.comm.alone
    names = ["rank_0.cp.pt"] if alone else [f"rank_{r}.cp.pt" for r in range(options.num_workers)]
    absent = [name for name in names if not (options.folder / name).exists()]
    if absent:
        if training.comm.rank == 0:
            text = f"--from-checkpoint: {', '.join(absent)} not in {options.folder}: from the start"
            print(text, file=sys.stderr)
        return False
    saved: Any = load_checkpoint(_place(options, training.comm))
    mine = _saved(options, setting, training)
    for key in ("world", "workers"):
        if saved[key] != mine[key]:
            raise ValueError(
                f"--from-checkpoint: {options.folder} holds a run with {key} {saved[key]}, this "
                f"one has {mine[key]}: take the same, or another --exp-id"
            )
    if saved["digest"] != mine["digest"]:
        raise ValueError(
            f"--from-checkpoint: {options.folder} holds another run (experiment, method and its "
            "options, batch size, seed): take the same options, or another --exp-id"
        )
    for key, before in saved["rates"].items():
        if (now := mine["rates"][key]) != before:
            raise ValueError(
                f"--from-checkpoint: {options.folder} was trained with {key} {before}, this call "
                f"has {now}: take the same, or another --exp-id"
            )
    training.load_state_dict(saved["session"])
    if training.done >= setting.epochs * training.shards.steps and training.comm.rank == 0:
        epochs = training.done // training.shards.steps
        text = f"--from-checkpoint: {epochs} epochs are done already: nothing is left to train"
        print(text, file=sys.stderr)
    return True


def _metadata(options: Options, setting: Setting, data: Data) -> None:
    """Everything that was asked for, with defaults."""
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
