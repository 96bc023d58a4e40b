"""Starts a run from the weights of another run of the same seed.

An arm says so in its config, so that the key of its folder does too:

    start: tuple[str, ...] = ()         # ("plan", "arm") of this study, or ("study", "plan", "arm")

The trainer finds them in `job.start`. They are those that the other run kept (Plan.keep, or
--keep-weights) under the same results root; where they are missing, the error is the command that
makes them.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.names import check
from harness.record import weights
from harness.record.study import Study
from harness.sweep import modules


def path(folder: str, name: str, arm: str, seed: int, root: Path) -> Path:
    """Return the file with the weights that this run of a study kept.

    Raises:
        ValueError: no such plan or arm.
        FileNotFoundError: there is no file; says what to type.
    """
    plans = modules.plans(folder)
    plan = plans[check(f"plan of {folder}", name, plans)]
    study = Study(folder, name, plan, root)
    file = study.seed_dir(check(f"arm of {folder} {name}", arm, plan.arms), seed) / weights.FILE
    if not file.exists():
        raise FileNotFoundError(f"no trained weights at {file}: {_how(study, arm, seed)}")
    return file


def _how(study: Study, arm: str, seed: int) -> str:
    """Return the command that makes the weights; a run on record without them is not done again."""
    words = ["python", "-m", study.folder, study.name, "--arms", arm, "--seeds", f"{seed}-{seed}"]
    command = shlex.join([*words, "--keep-weights"])
    if not study.to_do(arm, (seed,), study.collect()):
        return (
            "that run is on record without them; train it in a folder of its own by "
            f"`{command} --results DIR`, and add `--results DIR` here too"
        )
    return f"make them by `{command}{_results(study.root)}`"


def _results(root: Path) -> str:
    return "" if root == Path("results") else f" --results {shlex.quote(str(root))}"


def files(study: Study, arm: str, seeds: Sequence[int]) -> list[Path]:
    """Return the weight files that these seeds of an arm start from; none if it starts anew."""
    words: tuple[str, ...] = tuple(getattr(study.plan.arms[arm], "start", ()))
    if not words:
        return []
    if len(words) not in (2, 3):
        raise ValueError(
            f"{arm}: start is (plan, arm) or (study, plan, arm) of the run to start from, got "
            f"{words}"
        )
    folder = words[0] if len(words) == 3 else study.folder
    name, other = words[-2:]
    return [path(folder, name, other, seed, study.root) for seed in seeds]


def states(study: Study, arm: str, seeds: Sequence[int]) -> tuple[dict[str, Any], ...]:
    """Return what `job.starts` holds: a state dict for each seed."""
    return tuple(weights.read(file) for file in files(study, arm, seeds))


def facts(study: Study, arm: str, seed: int) -> dict[str, str]:
    """Return, for the record, which run the weights come from, by the key of its arm."""
    found = files(study, arm, [seed])
    return {"start": found[0].parent.relative_to(study.root).as_posix()} if found else {}
