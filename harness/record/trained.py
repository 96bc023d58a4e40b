"""Finds what a run has left: its config, its seed, and the weights that it kept.

results/<study>/<plan>/<arm>-<hash>/seed-<s>/      run.json, and weights.pt where they were kept
"""

from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from harness.record import store, weights

T = TypeVar("T")


class Trained(NamedTuple, Generic[T]):
    """A finished run and the state dict of its net."""

    config: T
    seed: int
    state: dict[str, Any]


def read(folder: Path, kind: type[T]) -> Trained[T]:
    """Return what is in the folder of a run.

    Args:
        folder: Of one run, seed-<s>.
        kind: The class of its study's configs.

    Raises:
        FileNotFoundError: no weights; says how they are kept.
        ValueError: no run, or one of another study.
    """
    run = store.load_run(folder)
    if run is None:
        raise ValueError(
            f"{folder} is no finished run (it has no run.json): name a folder such as "
            "results/<study>/<plan>/<arm>-<hash>/seed-0"
        )
    how = f"train that run alone, with --seeds {run.seed}-{run.seed} --keep-weights"
    state = weights.read(folder / weights.FILE, how)
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in run.config.items()}
    try:
        return Trained(kind(**values), run.seed, state)
    except TypeError as error:
        raise ValueError(f"{folder} is a run of another study ({error})") from None
