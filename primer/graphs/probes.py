"""What a way to a graph keeps of Python: small functions, and a comparison with the function.

A capture is a function from (f, an example of its argument) to one that stands for f from then on.
It is asked at another argument, where Python would do something else: the answer is kept, lost (it
answers, but not as the function does), or refused (it says that it cannot).
"""

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np

from primer.graphs.built import build
from primer.graphs.source import read
from primer.graphs.traced import trace

Capture = Callable[[Callable, float], Callable[[float], Any]]


def branch(x):
    """Does one thing or another, as the value says."""
    y = x * x
    if x > 0.0:
        y = y * x
    return y


def loop(x):
    """Goes round as often as the value says."""
    while x > 1.0:
        x = x * 0.5
    return x


def said(x):
    """Says something on the way."""
    print(x)
    return x * x


def square(x):
    """Stands for a function from elsewhere."""
    return x * x


def calls(x):
    """Uses a function that is defined elsewhere."""
    return square(x) * x


PROBES = {"branch": branch, "loop": loop, "print": said, "call": calls}
FIRST, LATER = 4.0, (-3.0, 9.0)  # traced with the first; then asked at the others


def verdict(capture: Capture, probe: Callable) -> str:
    """Return "kept", "lost" or "refused"."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            stands = capture(probe, FIRST)
            stands(FIRST)  # (whoever traces at the first call has traced now)
        same = all(_observed(stands, x) == _observed(probe, x) for x in LATER)
    except Exception:
        return "refused"
    return "kept" if same else "lost"


def _observed(f: Callable, x: float) -> tuple[float, bool]:
    """Return the answer, and whether anything was said."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        y = float(f(x))
    return y, bool(said.getvalue())


def _graph(make: Callable) -> Capture:
    def capture(f, example):
        graph = make(f, example)
        return lambda x: graph.evaluate(x=np.asarray(x))

    return capture


WAYS: dict[str, Capture] = {
    "built": _graph(lambda f, example: build(f, "x")),
    "source": _graph(lambda f, example: read(f, "x")),
    "traced": _graph(lambda f, example: trace(f, x=np.asarray(example))),
}


def table(captures: dict[str, Capture]) -> dict[str, dict[str, str]]:
    """Return the verdict of each capture on each probe."""
    return {
        name: {what: verdict(capture, probe) for what, probe in PROBES.items()}
        for name, capture in captures.items()
    }
