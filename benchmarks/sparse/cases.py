"""What is raced: the layers of the tables, and on the other side the best that torch has.

Each case returns its sides by name; "ours" is always the call of a layer, as users have it. The
dense and the sparse sides get every preparation that can be made once (weights in oneDNN's own
layout, CSR structures, transposed copies for the backward products), outside the time.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.sparse.residual import dense, net
from bibd import SparseConv2d, SparseLinear, kernels
from bibd.kernels import native
from bibd.pattern import make_pattern

Sides = dict[str, Callable[[], Any]]


def product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None):
    """F.linear by oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def groups_like(width: int, q: float) -> int:
    """The divisor of a width that is nearest to q: a grouped layer of about as many products."""
    divisors = [g for g in range(1, width + 1) if width % g == 0]
    return min(divisors, key=lambda g: abs(g - q))


def linear(width: int, batch: int) -> tuple[float, Sides]:
    """Forward, rows of samples in and out."""
    layer = SparseLinear(width, width)
    p, bias, x = layer.pattern, layer.bias, torch.randn(batch, width)
    assert bias is not None
    q, weight = width * width / p.nonzeros, torch.randn(width, width)
    indices, starts = torch.from_numpy(p.indices.copy()), torch.from_numpy(p.indptr.copy())
    values = layer.weight.detach().clone()
    csr = torch.sparse_csr_tensor(starts, indices, values, (width, width))
    other = scipy.sparse.csr_matrix((values.numpy(), p.indices, p.indptr), shape=(width, width))
    numbers, offset = x.numpy(), bias.detach().numpy()
    groups = groups_like(width, q)
    blocks = torch.randn(groups, width // groups, width // groups)

    def bag():
        columns = x.t().contiguous()
        y = F.embedding_bag(
            indices,
            columns,
            starts,
            mode="sum",
            per_sample_weights=values,
            include_last_offset=True,
        )
        return y.t().contiguous() + bias

    def from_csr(x):
        return (csr @ x.t()).t().contiguous() + bias if batch > 1 else csr @ x[0] + bias

    def grouped():
        y = torch.bmm(x.view(batch, groups, -1).transpose(0, 1), blocks)
        return y.transpose(0, 1).reshape(batch, width) + bias

    def from_scipy():
        if batch == 1:
            return other @ numbers[0] + offset
        return np.ascontiguousarray((other @ numbers.T).T) + offset

    return q, {
        "ours": lambda: layer(x),
        "oneDNN": lambda: product(x, weight, bias),
        "F.linear": lambda: F.linear(x, weight, bias),
        "embedding_bag": bag,
        "torch CSR": lambda: from_csr(x),
        "scipy CSR": from_scipy,
        "grouped": grouped,
    }


def linear_training(width: int, batch: int) -> tuple[float, Sides]:
    """Forward, and the gradients of input, weight and bias."""
    layer = SparseLinear(width, width)
    p, g = layer.pattern, torch.randn(batch, width)
    x = torch.randn(batch, width, requires_grad=True)
    q, weight = width * width / p.nonzeros, torch.randn(width, width, requires_grad=True)
    bias = torch.randn(width, requires_grad=True)
    indices, starts = torch.from_numpy(p.indices.copy()), torch.from_numpy(p.indptr.copy())
    values = layer.weight.detach().clone().requires_grad_()
    csr = torch.sparse_csr_tensor(starts, indices, values.detach(), (width, width)).requires_grad_()
    fixed, back, gt, xt = (
        t.detach().clone().contiguous() for t in (weight, weight.t(), g.t(), x.t())
    )

    def three():
        y = product(x.detach(), fixed, bias.detach())
        return y, product(g, back), product(gt, xt), g.sum(0)

    def trained(y, leaves):
        return torch.autograd.grad(y, leaves, g)

    def bag():
        y = F.embedding_bag(
            indices, x.t().contiguous(), starts, mode="sum", per_sample_weights=values,
            include_last_offset=True,
        )  # fmt: skip
        return trained(y.t().contiguous() + bias, [x, values, bias])

    return q, {
        "ours": lambda: trained(layer(x), [x, layer.weight, layer.bias]),
        "oneDNN": three,
        "F.linear": lambda: trained(F.linear(x, weight, bias), [x, weight, bias]),
        "embedding_bag": bag,
        "torch CSR": lambda: trained((csr @ x.t()).t().contiguous() + bias, [x, csr, bias]),
    }


def conv_sides(channels: int, size: int, batch: int):
    """A sparse 3 x 3 layer, dense weights of its size, and its input."""
    layer = SparseConv2d(channels, channels, 3, padding=1)
    q = channels * channels / layer.pattern.nonzeros
    plain = nn.Conv2d(channels, channels, 3, padding=1)
    grouped = nn.Conv2d(channels, channels, 3, padding=1, groups=groups_like(channels, q))
    return q, layer, plain, grouped, torch.randn(batch, channels, size, size)


def conv(channels: int, size: int, batch: int) -> tuple[float, Sides]:
    """Forward of a 3 x 3 convolution."""
    q, layer, plain, grouped, x = conv_sides(channels, size, batch)
    last = x.to(memory_format=torch.channels_last)
    other = nn.Conv2d(channels, channels, 3, padding=1).to(memory_format=torch.channels_last)
    grouped_last = grouped.to(memory_format=torch.channels_last) if batch > 1 else grouped
    steps = (1, 1), (1, 1), (1, 1), 1
    reorder = torch._C._nn.mkldnn_reorder_conv2d_weight  # pyright: ignore
    kept = reorder(plain.weight.detach().to_mkldnn(), *steps, x.shape)

    def prepacked(t):
        call = torch.ops.mkldnn._convolution_pointwise
        return lambda: call(t, kept, plain.bias, *steps, "none", [], "")

    return q, {
        "ours": lambda: layer(x),
        "plain": lambda: plain(x),
        "channels_last": lambda: other(last),
        "prepacked": prepacked(x),
        "prepacked, channels_last": prepacked(last),
        "grouped": lambda: grouped_last(last if batch > 1 else x),
    }


def conv_training(channels: int, size: int, batch: int) -> tuple[float, Sides]:
    """Forward, and the gradients of input, weight and bias."""
    q, layer, plain, grouped, x = conv_sides(channels, size, batch)
    last = x.to(memory_format=torch.channels_last).requires_grad_()
    other = nn.Conv2d(channels, channels, 3, padding=1).to(memory_format=torch.channels_last)
    x.requires_grad_()
    g = torch.randn_like(x)
    g_last = g.to(memory_format=torch.channels_last)

    def step(module, t, grad):
        leaves = [t, module.weight, module.bias]
        return lambda: torch.autograd.grad(module(t), leaves, grad)

    return q, {
        "ours": step(layer, x, g),
        "plain": step(plain, x, g),
        "channels_last": step(other, last, g_last),
        "grouped": step(grouped, x, g),
    }


def sparse(inputs: int, outputs: int, size: int, stride: int, bias: bool) -> nn.Module:
    """The convolutions of the sparse net; its shortcuts are dense."""
    kind = SparseConv2d if size > 1 else nn.Conv2d
    return kind(inputs, outputs, size, stride, size // 2, bias=bias)


def alike(inputs: int, outputs: int, size: int, stride: int, bias: bool) -> nn.Module:
    """A grouped convolution with about as many products."""
    q = inputs * outputs / make_pattern("bibd", inputs, outputs).nonzeros
    groups = groups_like(inputs, q) if size > 1 else 1
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=bias)


def residual(batch: int, train: bool) -> tuple[float, Sides]:
    """A residual net: inference with norms folded, or one step of SGD."""
    kinds = {"ours": sparse, "channels_last": dense, "plain": dense, "grouped": alike}
    sides = {}
    for name, kind in kinds.items():
        x, labels = torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,))
        model = net(kind, norm=train)
        if name in ("channels_last", "grouped"):
            model.to(memory_format=torch.channels_last)
            x = x.to(memory_format=torch.channels_last)
        sides[name] = _step(model, x, labels) if train else _forward(model.eval(), x)
    return _work(dense) / _work(sparse), sides


def _forward(model, x):
    return lambda: model(x)


def _step(model, x, labels):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step():
        loss = F.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _work(kind) -> int:
    from harness import cost

    return cost.facts(net(kind, norm=False), (3, 32, 32))["macs"]


def overhead(width: int = 64) -> Sides:
    """One sample through a layer, and through the bare call of the library."""
    layer, x, y = (
        SparseLinear(width, width, backend="native"),
        torch.randn(1, width),
        torch.empty(1, width),
    )
    table, call = kernels.table(layer.pattern), native._calls()[0]
    assert layer.bias is not None
    pointers = x.data_ptr(), layer.weight.data_ptr(), layer.bias.data_ptr(), y.data_ptr(), table.out
    keep = layer, x, y
    return {"ours": lambda: layer(x), "bare": lambda: call(0, *pointers, 1, 1, 1) or keep}
