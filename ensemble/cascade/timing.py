"""Measures the time of a cascade beside that of its whole chain, call by call in turn."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from bibd.pattern import check_whole
from ensemble.cascade.asking import asked
from ensemble.cascade.module import Cascade
from ensemble.reading import samples
from harness.exits.timing import race
from harness.names import kind_of


def timed(
    cascade: Cascade,
    x: torch.Tensor,
    batch: int,
    calls: int = 50,
    beside: Mapping[str, Callable[[torch.Tensor], Any]] | None = None,
) -> list[dict[str, Any]]:
    """Return the milliseconds of a call: p50, p99 and mean, of the cascade and of others.

    Args:
        cascade: It is put into eval mode.
        x: Inputs, at least one batch of them.
        batch: Samples of a call.
        calls: Calls of each side at most.
        beside: Other nets to be timed on the same samples in the same minutes, by name.

    Raises:
        ValueError: x is too short for one batch, or something else than a cascade.
    """
    if not isinstance(cascade, Cascade):
        raise ValueError(f"timed takes a Cascade, got {kind_of(cascade)}: others go into beside=")
    for name, number in (("batch", batch), ("calls", calls)):
        check_whole(name, number, 1)
    if beside is not None and not isinstance(beside, Mapping):
        raise ValueError(f"beside= are nets by name, {{'dense': net}}, got {kind_of(beside)}")
    cascade.eval()
    everybody = replace(cascade.rule, thresholds=1.0, agree=None)
    sides: dict[str, Callable[[torch.Tensor], Any]] = {
        "cascade": cascade,
        "all links": lambda part: asked(cascade.links, part, everybody),
        **(beside or {}),
    }
    found = race(sides, samples(x), batch, calls)
    return [{"name": name, "batch": batch, **found[name]} for name in sides]
