"""Reads command lines into dataclasses, with errors that are sentences and name no class.

tyro puts "Error parsing Options:" before what a dataclass says of its own values. Here tyro reads
the words only; the class checks its values afterwards, and main prints its sentence.
"""

from collections.abc import Sequence
from dataclasses import fields, make_dataclass
from typing import Any, TypeVar

import tyro

T = TypeVar("T")


def unchecked(kind: type, extra: Sequence[Any] = ()) -> type:
    """Return the same frozen dataclass without its __post_init__ and with `extra` fields."""
    nothing = {"__post_init__": lambda self: None}
    return make_dataclass("Flags", extra, bases=(kind,), frozen=True, namespace=nothing)


def read(kind: type[T], argv: Sequence[str], prog: str, pairs: bool = False) -> T:
    """Read the command line into this frozen dataclass; tyro explains typos in flags.

    Args:
        kind: The dataclass.
        argv: The command line.
        prog: What the help calls the command.
        pairs: Whether there is a --no-x beside every --x.

    Raises:
        ValueError: what the class says of its values.
    """
    config = () if pairs else (tyro.conf.FlagCreatePairsOff,)
    parsed = tyro.cli(
        unchecked(kind), prog=prog, description=kind.__doc__, args=list(argv), config=config
    )
    return kind(**{f.name: getattr(parsed, f.name) for f in fields(kind)})  # pyright: ignore
