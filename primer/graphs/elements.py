"""The four elements of a library for neural networks, as far as a library has them.

Operations on tensors; gradients, also of higher order; speed on devices and many of them; modules
to build and train with. Whether a name is there can be looked up; whether Python runs at each call,
and whether a second derivative comes out right, is tried.
"""

import importlib
import sys

from primer.graphs.captures import CAPTURES
from primer.graphs.probes import Capture

MANY = {"torch": "torch.distributed", "jax": "jax.sharding", "keras": "keras.distribution"}
MODULES = {"torch": "torch.nn", "keras": "keras.layers"}


def elements(name: str) -> dict[str, str]:
    """Return the four elements of a library, as far as it has them."""
    library = name.split(".")[0]
    return {
        "operations": "eager" if runs(CAPTURES[name]) == 3 else "graph",
        "second derivative": second(library),
        "many devices": _there(MANY, library),
        "modules": _there(MODULES, library),
    }


def square(x):
    """Return a product; seen by Python's profiler wherever Python runs it."""
    return x * x


def caller(x):
    """Call it."""
    return square(x)


def runs(capture: Capture) -> int:
    """Return how often Python runs a function that is captured once and asked three times."""
    stands = capture(caller, 2.0)
    stands(2.0)  # (whoever traces at the first call has traced now)
    seen: list[str] = []

    def watch(frame, event, argument):
        if event == "call" and frame.f_code is square.__code__:
            seen.append(event)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        for x in (2.0, 3.0, 4.0):
            stands(x)
    finally:
        sys.setprofile(before)
    return len(seen)


def second(library: str) -> str:
    """Return whether the library has gradients of gradients: those of x^3 at 2 are 12."""
    if library not in ("torch", "jax", "autograd"):
        return "none"
    found = _second_of_torch() if library == "torch" else _second_of(library)
    return "yes" if float(found) == 12 else "wrong"


def _second_of(library: str):
    grad = importlib.import_module(library).grad
    return grad(grad(lambda x: x * x * x))(2.0)


def _second_of_torch():
    import torch

    x = torch.tensor(2.0, requires_grad=True)
    (once,) = torch.autograd.grad(x * x * x, x, create_graph=True)
    return torch.autograd.grad(once, x)[0]


def _there(names: dict[str, str], library: str) -> str:
    return importlib.import_module(names[library]).__name__ if library in names else "none"
