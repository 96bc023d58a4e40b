"""The options of the thesis' code, what they may be, and which of them change nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Annotated, Literal

import tyro

from harness.names import check

METHODS = {
    "local": "local",
    "noComm": "no_comm",
    "gradAllReduce": "all_reduce",
    "elasticGossip": "elastic_gossip",
    "gossipingSgd": "gossip_pull",
}

# What numbers may be, by the names of the options.
RULES = {
    "num_workers num_threads log_interval agg_period checkpoint_interval": (
        "1 or more",
        lambda v: v >= 1,
    ),
    "batch_size val_batch_size test_batch_size width": ("1 or more", lambda v: v >= 1),
    "epochs seed anneal_milestones": ("0 or more", lambda v: v >= 0),
    "learning_rate weight_decay anneal_factor": ("a number, 0 or more", lambda v: 0 <= v < inf),
    "momentum": ("in [0, 1)", lambda v: 0 <= v < 1),
    "agg_prob elastic_alpha": ("in (0, 1]", lambda v: 0 < v <= 1),
    "penalty": ("in (0, 100]", lambda v: 0 < v <= 100),
    "timeout": ("a number of seconds above 0", lambda v: 0 < v < inf),
}


@dataclass(frozen=True)
class Options:
    """One run of the thesis' experiments; 0 is a value, not "the experiment's default"."""

    experiment: str = "iris"
    """iris, mnist or cifar10."""
    agg_method: str = "gradAllReduce"
    """local, noComm, gradAllReduce, elasticGossip or gossipingSgd."""
    agg_period: int = 1
    """Communicate only when the update's number (from 1) is a multiple."""
    agg_prob: float = 1.0
    """Probability that a worker starts a talk in such an update."""
    elastic_alpha: float = 0.5
    """Moving rate of elasticGossip."""
    elastic_weights: Literal["thesis", "metropolis"] = "thesis"
    """thesis: every talk pulls with the moving rate; metropolis: busy workers are pulled less."""
    weighted_gossip: bool = False
    """Pick near workers more often (random points of the unit square)."""
    penalty: float = 1.0
    """With --weighted-gossip: weights are 1 / (distance + 1e-5) ** penalty."""
    epochs: int | None = None
    """Passes over the training set; default: the experiment's."""
    learning_rate: float | None = None
    """Default: the experiment's."""
    momentum: float | None = None
    """Default: the experiment's."""
    no_nesterov: bool = False
    """Plain momentum."""
    weight_decay: float = 0.0
    """Of SGD."""
    anneal_milestones: tuple[int, ...] | None = None
    """Epochs at which the rate is multiplied by --anneal-factor; default: the experiment's."""
    anneal_factor: float | None = None
    """Default: the experiment's."""
    batch_size: int | None = None
    """Of all workers together (need not divide); default: the experiment's."""
    val_batch_size: int | None = None
    """Accepted; evaluation is done in parts of its own."""
    test_batch_size: int | None = None
    """Accepted; evaluation is done in parts of its own."""
    num_workers: int = 4
    """1 means --agg-method local."""
    num_threads: int = 1
    """Of torch, per worker."""
    log_interval: int = 10
    """Updates between two lines of the log, each with a validation."""
    checkpoint_interval: int | None = None
    """Epochs between two checkpoints; default: none."""
    from_checkpoint: bool = False
    """Go on from the checkpoints of this --exp-id, if all are there."""
    exp_id: str = "unspecified"
    """Name of the log folder."""
    log_path: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The log folder itself; default: logs/<exp-id>."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least that is logged."""
    seed: int = 1234
    """Of everything."""
    world: Literal["procs", "sim"] = "procs"
    """procs: a process per worker; sim: all workers in this process."""
    timeout: float = 60.0
    """Seconds after which a wait for another worker ends."""
    rank: int | None = None
    """Run this worker only, and meet the others at --master-loc."""
    master_loc: str = "127.0.0.1:29500"
    """With --rank: where rank 0 is."""
    comm_backend: str = "tcp"
    """gloo or nccl; tcp, which torch no longer has, means gloo."""
    no_gpu: bool = False
    """Stay on the CPU."""
    no_eval_on_gpu: bool = False
    """Accepted; evaluation is where the training is."""
    sync_cuda: bool = False
    """Accepted; nothing is measured asynchronously."""
    momentum_correction: bool = False
    """Accepted; the thesis' code reads it and never uses it."""
    data_root: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of downloaded data sets; default: $IDDL_DATA, else ~/.cache/iddl."""
    test_split: Literal["official", "holdout"] = "official"
    """holdout: test on the last fifth of the training set (no official test file needed)."""
    width: int | None = None
    """cifar10: channels of the stem; default 64."""
    json: bool = False
    """Print one JSON document on stdout and nothing else."""
    version: bool = False
    """Print the version."""

    def __post_init__(self):
        check("experiment", self.experiment, ("iris", "mnist", "cifar10"))
        check("agg-method", self.agg_method, METHODS)
        check("comm-backend", self.comm_backend, ("tcp", "gloo", "nccl"))
        for names, (rule, fits) in RULES.items():
            for name in names.split():
                value = getattr(self, name)
                for one in value if isinstance(value, tuple) else (value,):
                    if one is not None and not fits(one):
                        raise ValueError(f"--{name.replace('_', '-')} must be {rule}, got {one}")
        if not self.exp_id or Path(self.exp_id).name != self.exp_id:
            raise ValueError(
                f"--exp-id is the name of a folder in logs/, got {self.exp_id!r} (--log-path DIR "
                "takes any place)"
            )
        if self.rank is not None and self.world == "sim":
            raise ValueError("--rank is of --world procs; sim has all workers in one process")
        if self.rank is not None and not 0 <= self.rank < self.num_workers:
            raise ValueError(f"--rank {self.rank} of --num-workers {self.num_workers}")

    @property
    def folder(self) -> Path:
        """The folder of logs and checkpoints."""
        return self.log_path or Path("logs") / self.exp_id


def unused(options: Options) -> Iterator[tuple[list[str], str]]:
    """Yield the options that were given and change nothing, with the reason."""
    gossips = options.agg_method in ("elasticGossip", "gossipingSgd")
    elastic = options.agg_method == "elasticGossip"
    groups = [
        (gossips, "agg_prob agg_period weighted_gossip", f"--agg-method {options.agg_method}"),
        (elastic, "elastic_alpha elastic_weights", f"--agg-method {options.agg_method}"),
        (options.weighted_gossip, "penalty", "without --weighted-gossip"),
        (options.experiment == "cifar10", "width", f"--experiment {options.experiment}"),
        (options.experiment != "iris", "test_split", "Iris is split by the seed"),
        (False, "momentum_correction", "as in the thesis' code"),
    ]
    for used, names, why in groups:
        given = [n for n in names.split() if getattr(options, n) != getattr(Options, n)]
        if given and not used:
            yield [f"--{name.replace('_', '-')}" for name in given], why
