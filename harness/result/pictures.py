"""Pictures drawn one by one, so that one that fails stops nothing else.

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
    """Every picture; the first that fails raises its error, as a test wants it."""
    return [picture for drawer in drawers.values() for picture in drawer()]


def draw(drawers: Drawers) -> tuple[list[Picture], bool]:
    """The pictures that can be drawn, and whether those are all; a line for each that cannot."""
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
    """What was not drawn, and why, in one line on stderr."""
    reason = (str(error).strip().splitlines() or [""])[0]
    text = f"{type(error).__name__}: {reason}".removesuffix(": ")
    print(f"figure not drawn: {name} ({text})", file=sys.stderr)
