"""How each library takes hold of a function, for the probes."""

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


def _on(tensor: Callable, f: Callable) -> Callable[[float], Any]:
    return lambda x: f(tensor(x))
