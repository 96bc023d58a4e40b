"""Draws pictures one by one, so that one that fails stops nothing else.

A folder's plot module offers `figures(whole) -> [(name, figure, data), ...]`; where it also offers
`drawers(whole) -> {name: function that gives such a list}`, a picture that fails costs no other.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

Picture = tuple[str, Any, Any]  # name, figure, data
Drawers = Mapping[str, Callable[[], Iterable[Picture]]]


def all_of(drawers: Drawers) -> list[Picture]:
    """Draw every picture; the first that fails raises its error, as a test wants it."""
    return [picture for drawer in drawers.values() for picture in drawer()]


def draw(drawers: Drawers) -> tuple[list[Picture], bool]:
    """Draw what can be drawn; returns the pictures, and whether they are all.

    Each one that fails is told in a line.
    """
    found, complete = [], True
    for name, drawer in drawers.items():
        try:
            found += drawer()
        except Exception as error:
            complete = False
            tell(name, error)
    return found, complete


def save(pictures: Iterable[Picture], folder: Path) -> tuple[list[Path], bool]:
    """Write the files of each picture; one that cannot be rendered is told and left out.

    Raises:
        OSError: the disk does not take it; the next one would fare no better.
    """
    from harness.result import figure

    paths, complete = [], True
    for name, fig, data in pictures:
        try:
            paths += figure.save(fig, folder / name, data)
        except OSError:
            raise
        except Exception as error:
            complete = False
            tell(name, error)
    return paths, complete


def tell(name: str, error: Exception) -> None:
    """Print a line on stderr that says which picture was not drawn, and why."""
    reason = (str(error).strip().splitlines() or [""])[0]
    text = f"{type(error).__name__}: {reason}".removesuffix(": ")
    print(f"figure not drawn: {name} ({text})", file=sys.stderr)
