"""Runs what `python -m parallel gossip` asks for: every worker, in either world."""

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from parallel.thesis.checkpoint import Checkpoints
from parallel.thesis.logs import Logs, describe
from parallel.thesis.options import Options
from parallel.thesis.setting import Setting, filled, model, read, strategy
from parallel.training.shards import Shards
from parallel.training.training import Training
from parallel.world import run as worlds
from parallel.world.comm import Comm
from parallel.world.world import World


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield the last row (of rank 0, or of this one with --rank)."""
    setting = filled(options)
    data, _ = read(options)  # so that what is missing is said before anything starts
    Shards(len(data.train_y), options.num_workers, setting.batch_size, options.seed)  # (checks)
    world = _world(options)
    before = torch.get_num_threads()
    if options.world == "sim":
        torch.set_num_threads(options.num_threads)
    try:
        yield from worlds.run(world, work, options, setting)
    finally:
        torch.set_num_threads(before)


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


def work(comm: Comm, options: Options, setting: Setting) -> Iterator[dict[str, Any]]:
    """Train as one process of a world, and yield one row at the end."""
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
    checkpoints = Checkpoints(comm, options, setting, training)
    go_on = options.from_checkpoint and checkpoints.restore()
    if 0 in comm.ranks:
        describe(options, setting, data)
    with logs.open(go_on):
        last = setting.epochs * training.shards.steps
        while training.done < last:
            training.step()
            if training.done % options.log_interval == 0:
                logs.progress()
            epoch, rest = divmod(training.done, training.shards.steps)
            often = options.checkpoint_interval
            if not rest and often and epoch % often == 0:
                checkpoints.save()
        yield logs.end()
