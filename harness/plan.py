"""A plan: the question, the arms that answer it, and how often each is repeated.

A plan may hold anything and is never pickled; what it makes, the Experiment, holds data only.
Each arm is a frozen dataclass. The name of its folder carries a hash of the fields that differ
from their defaults, so that a new knob with a default does not orphan old results.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any

from harness.experiment import plain
from harness.metric import Metric, metric_of
from harness.names import check


@dataclass(frozen=True)
class Plan:
    """A study: its question, the arms that answer it, and the seeds of each.

    `minutes` is the estimate for all of it on 2 cores; `expect` the result to compare with;
    `compare` the pairs of arms whose difference, paired by seed, is reported; `metric` the key of
    the rows that arms are judged by (a name as in harness.metric, or a Metric); `threads` how many
    an arm can use well (small nets: 1, and several arms at a time; None: all of them, one arm);
    `members` how many seeds train as one stack, where they train so (None: all of an arm's; fewer
    make more groups, for as many cores); `keep` leaves the trained weights beside each run. Batch
    systems are asked for `cores` (default: the threads), `memory_gb` and `gpus` for each training.
    `row` is what a row of a run stands for, where that is no epoch: a member, a level.
    """

    question: str
    arms: Mapping[str, Any]
    seeds: tuple[int, ...]
    minutes: float
    expect: str = ""
    compare: tuple[tuple[str, str], ...] = ()
    metric: str | Metric = "test_accuracy"
    threads: int | None = None
    members: int | None = None
    keep: bool = False
    cores: int | None = None
    memory_gb: float | None = None
    gpus: float = 0
    row: str = "epoch"

    def __post_init__(self):
        metric_of(self.metric)
        if self.members is not None and self.members < 1:
            raise ValueError(f"members of a stack are at least 1, got {self.members}")

    @property
    def measure(self) -> Metric:
        """The metric with its direction and unit."""
        return metric_of(self.metric)

    def stacked(self, seeds: Sequence[int]) -> list[tuple[int, ...]]:
        """Return these seeds in stacks, in which the same ones meet whichever are left."""
        if self.members is None:
            return [tuple(seeds)]
        stacks: dict[int, list[int]] = {}
        for seed in seeds:
            stacks.setdefault(seed // self.members, []).append(seed)
        return [tuple(stack) for stack in stacks.values()]

    def shared(self) -> dict[str, Any]:
        """Return the fields on which all arms agree, which are what an override may change."""
        first, *rest = [as_dict(config) for config in self.arms.values()]
        return {k: v for k, v in first.items() if all(other[k] == v for other in rest)}

    def override(self, changes: Mapping[str, Any]) -> "Plan":
        """Return the plan with some shared fields changed in every arm."""
        for name in changes:
            check("override", name, self.shared())
        return replace(self, arms={k: replace(v, **changes) for k, v in self.arms.items()})


def as_dict(config: Any) -> dict[str, Any]:
    """Return the config as builtin values."""
    return plain(asdict(config), type(config).__name__)


def non_defaults(config: Any) -> dict[str, Any]:
    """Return the fields of a config that differ from their defaults."""
    defaults = {f.name: f.default for f in fields(config) if f.default is not MISSING}
    values = as_dict(config)
    return {k: v for k, v in values.items() if k not in defaults or v != plain(defaults[k])}


def digest(values: Mapping[str, Any]) -> str:
    """Return eight hexadecimal digits that identify a mapping of builtin values."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def arm_key(name: str, config: Any) -> str:
    """Return the name of the arm's folder: `<arm>-<hash of the non-default fields>`."""
    return f"{name}-{digest(non_defaults(config))}"


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read seeds as typed: "5" is the first five (0 to 4), "3-7" a range, "0,2,9" a list."""
    try:
        if text.isdigit():
            seeds = list(range(int(text)))
        elif "," not in text and "-" in text:
            low, high = map(int, text.split("-"))
            seeds = list(range(low, high + 1))
        else:
            seeds = [int(part) for part in text.split(",") if part]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0:
        raise ValueError(
            f"--seeds got {text!r}; expected a count such as 5 (seeds 0 to 4), a range such as 3-7 "
            "or a list such as 0,2,9"
        )
    return tuple(dict.fromkeys(seeds))


def duration(minutes: float) -> str:
    """Return minutes in words, such as 20 s, 2.5 min or 6 h."""
    if minutes >= 300:
        return f"{minutes / 60:.0f} h"
    if minutes >= 1:
        return f"{round(minutes, 1 if minutes < 10 else 0):g} min"
    return f"{max(1, round(minutes * 60))} s"
