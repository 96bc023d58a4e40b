"""One step in seven libraries: the gradients of a small net's loss, as each of them has it written.

    loss = mean of (tanh(x w1 + b1) w2 + b2 - y)^2

Each function takes the parameters, x and y as NumPy arrays of float32, and returns a function
without arguments that computes the four gradients. Libraries are imported where they are used: of
the seven only PyTorch is among our own requirements (extra `frameworks` brings the others).
"""

import inspect
from collections.abc import Callable

import numpy as np

SIZES = {"samples": 64, "inputs": 16, "width": 32, "outputs": 4}


def draw(seed: int = 0) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return parameters w1, b1, w2, b2, and x and y."""
    random = np.random.default_rng(seed)
    n, i, w, o = SIZES.values()
    shapes = [(i, w), (1, w), (w, o), (1, o), (n, i), (n, o)]
    arrays = [random.uniform(-0.5, 0.5, shape).astype(np.float32) for shape in shapes]
    return arrays[:4], arrays[4], arrays[5]


def primer(params, x, y):
    """Our tape, on NumPy."""
    from primer.tape import grad

    ones, mean = np.ones((len(x), 1), x.dtype), np.float32(1 / y.size)

    def loss(w1, b1, w2, b2):
        far = (x @ w1 + ones @ b1).tanh() @ w2 + ones @ b2 + -y
        return (far * far).total() * mean

    return lambda: grad(loss, *params)


def torch_eager(params, x, y):
    """PyTorch: a tape of each call."""
    import torch

    leaves = [torch.tensor(p, requires_grad=True) for p in params]
    x, y = torch.tensor(x), torch.tensor(y)

    def loss(w1, b1, w2, b2):
        return ((torch.tanh(x @ w1 + b1) @ w2 + b2 - y) ** 2).mean()

    return lambda: torch.autograd.grad(loss(*leaves), leaves)


def torch_compile(params, x, y):
    """PyTorch, compiled at the first call."""
    import torch

    leaves = [torch.tensor(p, requires_grad=True) for p in params]
    x, y = torch.tensor(x), torch.tensor(y)

    @torch.compile
    def loss(w1, b1, w2, b2):
        return ((torch.tanh(x @ w1 + b1) @ w2 + b2 - y) ** 2).mean()

    return lambda: torch.autograd.grad(loss(*leaves), leaves)


def torch_fx(params, x, y):
    """PyTorch, traced with symbols; the trace is then run eagerly."""
    import torch
    from torch.fx import symbolic_trace

    leaves = [torch.tensor(p, requires_grad=True) for p in params]
    x, y = torch.tensor(x), torch.tensor(y)

    def loss(w1, b1, w2, b2, x, y):
        return ((torch.tanh(x @ w1 + b1) @ w2 + b2 - y) ** 2).mean()

    traced = symbolic_trace(loss)
    return lambda: torch.autograd.grad(traced(*leaves, x, y), leaves)


def jax_jit(params, x, y):
    """JAX: traced and compiled at the first call, gradient included."""
    import jax  # pyright: ignore[reportMissingImports]
    import jax.numpy as jnp  # pyright: ignore[reportMissingImports]

    def loss(w1, b1, w2, b2):
        return ((jnp.tanh(x @ w1 + b1) @ w2 + b2 - y) ** 2).mean()

    step = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3)))
    return lambda: jax.block_until_ready(step(*params))


def autograd(params, x, y):
    """Autograd: NumPy, traced at each call."""
    import autograd.numpy as anp  # pyright: ignore[reportMissingImports]
    from autograd import grad  # pyright: ignore[reportMissingImports]

    def loss(params):
        w1, b1, w2, b2 = params
        return anp.mean((anp.tanh(x @ w1 + b1) @ w2 + b2 - y) ** 2)

    step = grad(loss)
    return lambda: step(params)


def keras(params, x, y):
    """Keras has layers and a step, and no gradients of its own: at rate 1 a step is minus one."""
    from keras import Sequential, layers, optimizers  # pyright: ignore[reportMissingImports]

    hidden = layers.Dense(params[0].shape[1], activation="tanh")
    net = Sequential([layers.Input(x.shape[1:]), hidden, layers.Dense(y.shape[1])])
    net.compile(optimizers.SGD(1.0), "mse")
    shaped = [p.reshape(w.shape) for p, w in zip(params, net.get_weights(), strict=True)]

    def step():
        net.set_weights(shaped)
        net.train_on_batch(x, y)
        after = zip(params, net.get_weights(), strict=True)
        return [p - w.reshape(p.shape) for p, w in after]

    return step


STEPS: dict[str, Callable] = {
    "primer": primer,
    "torch": torch_eager,
    "torch.compile": torch_compile,
    "torch.fx": torch_fx,
    "jax.jit": jax_jit,
    "autograd": autograd,
    "keras": keras,
}


def lines(name: str) -> int:
    """Return the lines of code of a step: without blank ones, its head, and its docstring."""
    head = f"def {STEPS[name].__name__}", '"""'
    source = inspect.getsource(STEPS[name]).splitlines()
    return sum(bool(line.strip()) and not line.strip().startswith(head) for line in source)


def far(step: Callable) -> float:
    """Return how far the gradients of a step are from those of our tape in float64."""
    exact = primer(*_double(*draw()))()
    found = [np.asarray(g) for g in step()]
    return max(float(abs(a - b).max()) for a, b in zip(exact, found, strict=True))


def _double(params, x, y):
    return [p.astype(float) for p in params], x.astype(float), y.astype(float)
