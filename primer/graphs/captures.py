"""How each library takes hold of a function, for the probes; and what else it has.

The four elements of a library for neural networks: operations on tensors, gradients (also of
higher order), speed on devices and many of them, modules to build and train with. Whether a name is
there can be looked up; whether Python runs at each call, and whether a second derivative comes out
right, is tried.
"""

import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from primer.graphs import probes


def torch_compile(f, example):
    """Dynamo reads the bytecode, and leaves to Python what it cannot take."""
    import torch

    return _on(torch.tensor, torch.compile(f, backend="eager"))


def torch_fx(f, example):
    """A symbolic trace."""
    import torch
    from torch.fx import symbolic_trace

    return _on(torch.tensor, symbolic_trace(f))


def torch_eager(f, example):
    """Nothing is captured."""
    import torch

    return _on(torch.tensor, f)


def jax_jit(f, example):
    """Traced at the first call, with shapes instead of values."""
    import jax  # pyright: ignore[reportMissingImports]

    return jax.jit(f)


def autograd(f, example):
    """Every call is traced anew, on its way to the gradient; the value is that of the call."""
    from autograd import value_and_grad  # pyright: ignore[reportMissingImports]

    return lambda x: value_and_grad(f)(x)[0]


def keras(f, example):
    """A functional model: symbols with layers and operations between them."""
    import keras  # pyright: ignore[reportMissingImports]

    x = keras.Input(())
    stands = keras.Function(x, f(x))
    return lambda x: np.asarray(stands(np.array([x], np.float32))).item()


def primer(f, example):
    """As autograd: our tape of each call."""
    from primer.tape import vjp

    return lambda x: vjp(f, np.asarray(x))[0]


CAPTURES: dict[str, probes.Capture] = {
    "primer": primer,
    "torch": torch_eager,
    "torch.compile": torch_compile,
    "torch.fx": torch_fx,
    "jax.jit": jax_jit,
    "autograd": autograd,
    "keras": keras,
}

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


def runs(capture: probes.Capture) -> int:
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


def _on(tensor: Callable, f: Callable) -> Callable[[float], Any]:
    return lambda x: f(tensor(x))
