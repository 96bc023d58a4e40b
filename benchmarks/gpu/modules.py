"""What torch and users do with modules, done with sparse layers: stacks, vmap, compile, copies.

Two evaluations of a net of two layers differ by at most 4 gamma(n) S, where n is the number of
terms of a sum (here below 150) and S what the net gives of |x| with the absolute values of its
weights (ReLU only shrinks an error). Nets are float64, but for autocast, where x, each weight, bias
and output are rounded to bfloat16: 8 roundings at most.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from bibd import SparseConv2d, SparseLinear
from harness.stack import stack

CLOSE = 4 * 150 * 2.0**-53
HALVES = 8 * 2.0**-8
Made = Callable[[int], tuple[nn.Module, torch.Tensor]]


def module_checks(device: str, small: bool) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """Every use of every kind of layer."""
    kinds: dict[str, Made] = {"linear": partial(linear, device), "conv": partial(conv, device)}
    compiler = "aot_eager" if small else "inductor"
    uses = {
        "stacked": stacked,
        "vmap over members": mapped,
        "torch.compile": partial(compiled, compiler=compiler),
        "autocast": autocast,
        "deepcopy": copied,
        "state_dict to the CPU and back": saved,
    }
    pairs = [(use, kind) for use in uses for kind in kinds]
    return [(f"{use}, {kind}", partial(uses[use], kinds[kind])) for use, kind in pairs]


def linear(device: str, seed: int) -> tuple[nn.Module, torch.Tensor]:
    """A small net of sparse linear layers, and its input."""
    torch.manual_seed(seed)
    net = nn.Sequential(SparseLinear(96, 64), nn.ReLU(), SparseLinear(64, 10, "iddl"))
    return net.to(device).double(), torch.randn(32, 96).to(device).double()


def conv(device: str, seed: int) -> tuple[nn.Module, torch.Tensor]:
    """A small net of sparse convolutions, and its input."""
    torch.manual_seed(seed)
    first, second = SparseConv2d(9, 16, 3, padding=1), SparseConv2d(16, 8, 1, pattern="iddl")
    net = nn.Sequential(first, nn.ReLU(), second).to(device).double()
    return net, torch.randn(8, 9, 8, 8).to(device).double()


def stacked(make: Made) -> dict[str, Any]:
    """Three members as one module."""
    nets, x = [make(k)[0] for k in range(3)], make(0)[1]
    inputs = torch.stack([x, -x, 2 * x])
    alone = [net(v) for net, v in zip(nets, inputs, strict=True)]
    scale = [absolute(net)(v.abs()) for net, v in zip(nets, inputs, strict=True)]
    return near(stack(nets)(inputs), torch.stack(alone), torch.stack(scale))


def mapped(make: Made) -> dict[str, Any]:
    """torch.vmap over the parameters of members that share a pattern."""
    net, x = make(0)
    params = {k: torch.stack([p, -p]).detach() for k, p in net.named_parameters()}

    def call(p: Any, v: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(net, p, (v,))

    both = torch.vmap(call, in_dims=(0, None))(params, x)
    alone = torch.stack([call({k: p[i] for k, p in params.items()}, x) for i in (0, 1)])
    return near(both, alone, absolute(net)(x.abs()))


def compiled(make: Made, compiler: str) -> dict[str, Any]:
    """torch.compile, forward and gradients."""
    net, x = make(0)
    twin, plus = copy.deepcopy(net), absolute(net)
    fast = torch.compile(twin, backend=compiler, fullgraph=True)
    outputs = [net(x), fast(x), plus(x.abs())]
    for y in outputs:
        y.sum().backward()
    for a, b, s in zip(net.parameters(), twin.parameters(), plus.parameters(), strict=True):
        near(b.grad, a.grad, s.grad)
    return near(outputs[1], outputs[0], outputs[2])


def autocast(make: Made) -> dict[str, Any]:
    """The type is the one that a dense layer gives; the values are near float64's."""
    exact, x = make(0)
    net = copy.deepcopy(exact).float()
    with torch.autocast(x.device.type, torch.bfloat16):
        y = net(x.float())
    assert y.dtype == torch.bfloat16, f"output is {y.dtype}"
    y.float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == p.dtype for p in net.parameters())
    return near(y.double(), exact(x), absolute(exact)(x.abs()), HALVES)


def copied(make: Made) -> dict[str, Any]:
    """A copy answers alike, to the bit, and shares nothing."""
    net, x = make(0)
    twin = copy.deepcopy(net)
    assert torch.equal(twin(x), net(x))
    with torch.no_grad():
        next(twin.parameters()).zero_()
    assert not torch.equal(twin(x), net(x))
    return {}


def saved(make: Made) -> dict[str, Any]:
    """To a net on the CPU and back, to the bit."""
    (net, x), (other, _) = make(0), make(1)
    there = copy.deepcopy(other).cpu()
    there.load_state_dict(net.state_dict())
    assert next(there.parameters()).device.type == "cpu"
    other.load_state_dict(there.state_dict())
    assert torch.equal(other(x), net(x))
    return near(there(x.cpu()), net(x).cpu(), absolute(net)(x.abs()).cpu())


@torch.no_grad()
def absolute(net: nn.Module) -> nn.Module:
    """The same net with the absolute values of its parameters."""
    twin = copy.deepcopy(net)
    for p in twin.parameters():
        p.abs_()
    return twin


def near(got: Any, expected: Any, scale: Any, unit: float = CLOSE) -> dict[str, Any]:
    """The largest difference as a share of its bound, unit * scale.

    Raises:
        AssertionError: it is above the bound, or the shape is another.
    """
    assert got.shape == expected.shape, f"shape {tuple(got.shape)}"
    tiny = torch.finfo(scale.dtype).tiny
    share = float(((got - expected).abs() / (unit * scale + tiny)).detach().max())
    assert share <= 1, f"{share:.3g} times the bound of {unit:.3g} S"
    return {"share": float(f"{share:.3g}")}
