"""Finds the modules of a study by the names that they have in every folder.

    <study>/experiments.py               PLANS, VERBS; imports no torch
    <study>/trainer.py                   `train` or `train_stack`: rows
    <study>/plot_<name>_experiments.py   `figures(experiment)`: pictures   (optional)

A study may lie within another folder: of `examples.wine` the name is `wine`.
"""

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from harness.plan import Plan


def plans(study: str) -> Mapping[str, Plan]:
    """Return the plans of a study."""
    return importlib.import_module(f"{study}.experiments").PLANS


def trainer(study: str) -> Any:
    """Return the study's module that has `train` or `train_stack`.

    Raises:
        ValueError: the study has none.
    """
    name = f"{study}.trainer"
    if importlib.util.find_spec(name) is None:
        raise ValueError(f"the study {study} has no trainer.py, which yields the rows of a run")
    return importlib.import_module(name)


def together(trainer: Any, config: Any) -> bool:
    """Return whether the seeds of an arm train as one stack.

    That is where the trainer has a `train_stack`; if it has both kinds, its `stacks` says so.
    """
    says = getattr(trainer, "stacks", lambda config: True)
    return hasattr(trainer, "train_stack") and says(config)


def pictures(study: str) -> Any | None:
    """Return the module that draws the study's own pictures, or None."""
    name = f"{study}.plot_{study.rpartition('.')[2]}_experiments"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None
