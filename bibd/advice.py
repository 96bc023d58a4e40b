"""Warns at a line of the user's program, however deep in this package a warning arises."""

import sys
import warnings

from bibd.sizes import whole_sizes


class UnreadInputs(UserWarning):
    """Warns that some inputs of a layer reach no output, so that what they say is lost."""


def warn(text: str, kind: type[Warning] = UserWarning) -> None:
    """Warn at the line outside of bibd and torch from which the call came."""
    level, frame = 2, sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(("bibd", "torch.")):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, kind, stacklevel=level)


def unread(layer: str, inputs: int, outputs: int, missed: int) -> None:
    """Warn that a layer leaves inputs out, and name the ways to have them read."""
    ways = f"sizes that make a whole design are {whole_sizes(inputs, outputs)} (bibd.nearest)"
    if outputs < inputs:
        ways = f"pattern 'bibd_dual' reads them all, and so does a dense layer; {ways}"
    warn(f"{layer}: {missed} of {inputs} inputs are read by no output; {ways}", UnreadInputs)
