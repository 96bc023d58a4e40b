"""Reads command lines into dataclasses, with errors that are sentences and name no class.

tyro puts "Error parsing Options:" before what a dataclass says of its own values. Here tyro reads
the words only; the class checks its values afterwards, and main prints its sentence.
"""

import inspect
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import fields, make_dataclass
from typing import Any, TypeVar

import tyro

T = TypeVar("T")


def unchecked(kind: type, extra: Sequence[Any] = ()) -> type:
    """Return the same frozen dataclass without its __post_init__ and with `extra` fields."""
    nothing = {"__post_init__": lambda self: None}
    return make_dataclass("Flags", extra, bases=(kind,), frozen=True, namespace=nothing)


def width() -> int:
    """Return the columns of the terminal, up to a length of line that is easy to read."""
    return min(shutil.get_terminal_size().columns, 100)


def wrapped(text: str) -> str:
    """Set paragraphs as a description of tyro's, within the width of the terminal.

    tyro takes a line that begins with a letter to go on in the same line: so others are indented.
    """
    fill = textwrap.TextWrapper(width(), subsequent_indent="  ", break_on_hyphens=False).fill
    return "\n\n".join(fill(" ".join(part.split())) for part in text.split("\n\n"))


def empty(label: str) -> str:
    """Return the hint at an option that is a list: its default, also where that is nothing."""
    return f"(default: {label or 'none'})"


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
        unchecked(kind),
        prog=prog,
        description=wrapped(inspect.cleandoc(kind.__doc__ or "")),
        args=list(argv),
        config=config,
    )
    return kind(**{f.name: getattr(parsed, f.name) for f in fields(kind)})  # pyright: ignore
