"""Identities of patterns that move: choices are those of a plain sort, training is a masked one."""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from bibd import DynamicLinear
from compress.identities.masked import MOMENTUM, RATE, Twin
from compress.moving.choose import at_most_by_row, largest, largest_by_row, smallest
from compress.moving.moving import METHODS, Method, Moving, change
from harness.result.identity import Identity, furthest, roundings
from harness.seeding import generator

SIZES, NONZEROS, STEPS, EVERY = (20, 16, 5), (120, 40), 500, 20
SHARES = (0.0, 0.1, 0.3, 1.0)


def identities() -> Iterator[Identity]:
    """Yield the identities of moving patterns."""
    yield Identity("the largest and the smallest = a plain sort, ties too", "exact", sorted_choice)
    yield Identity("the largest of each row = a plain sort, ties too", "exact", sorted_rows)
    yield Identity("what each row may lose at most = a plain sort", "exact", limited_rows)
    title = "after any change: as many connections, none of those dropped"
    yield Identity(title, "exact", conserved)
    yield Identity("rigl_fan_in: each output keeps its number", "exact", fan_in)
    for method in METHODS:
        check = lambda method=method: masked(method)  # noqa: E731
        title = f"{method}: {STEPS} steps = a masked dense net"
        yield Identity(title, "rounding", check, _bound())
    yield Identity("rigl on what a net without its gradient would grow", "negative", blind)


def _bound() -> float:
    """Sums of at most 20 products in other orders, over 500 steps at a rate that does not amplify.

    A step adds about 2 * 20 roundings of numbers up to 4 to each weight, times the rate; momentum
    adds each ten times.
    """
    return roundings(STEPS * 2 * SIZES[0] * RATE / (1 - MOMENTUM), 4.0)


def _drawn(seed: int, *shape: int) -> np.ndarray:
    """Numbers with many ties."""
    return np.random.default_rng(seed).integers(0, 6, shape) / 4


def _plain(scores: list[float], count: int) -> list[int]:
    return sorted(sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:count])


def sorted_choice() -> float:
    """Count the choices that a plain sort would not make."""
    wrong = 0
    for seed in range(20):
        scores = _drawn(seed, 30)
        for count in (0, 1, 7, 30):
            wrong += largest(scores, count).tolist() != _plain(scores.tolist(), count)
            wrong += smallest(scores, count).tolist() != _plain((-scores).tolist(), count)
    return wrong


def sorted_rows() -> float:
    """Count the choices within rows that a plain sort would not make."""
    wrong = 0
    for seed in range(20):
        scores = _drawn(seed, 6, 9)
        counts = np.random.default_rng(seed).integers(0, 10, 6)
        made = [
            row * 9 + at
            for row in range(6)
            for at in _plain(scores[row].tolist(), int(counts[row]))
        ]
        wrong += largest_by_row(scores, counts).tolist() != made
    return wrong


def limited_rows() -> float:
    """Count the choices that a row-by-row sort would not make."""
    wrong = 0
    for seed in range(20):
        sizes, rows = _drawn(seed, 24), np.arange(24) // 6
        drop, most = smallest(sizes, 13), np.array([0, 2, 6, 3])
        made: list[int] = []
        for row in range(4):
            own = [int(i) for i in drop if rows[i] == row]
            best = _plain([-float(sizes[i]) for i in own], min(len(own), int(most[row])))
            made += [own[i] for i in best]
        wrong += at_most_by_row(drop, rows, sizes, most).tolist() != sorted(made)
    return wrong


def _changed(method: str, seed: int, share: float):
    layer = DynamicLinear(9, 7, _regular(seed, 9, 7), bias=False)
    draw = generator(seed, "design")
    sizes, scores = _drawn(seed, layer.pattern.nonzeros), _drawn(seed + 99, 63)
    drop, grow = change(layer.pattern, sizes, scores, share, method, draw)
    before = layer.pattern
    return before, drop, grow, layer.rewire(drop, grow, None)


def _regular(seed: int, v: int, b: int):
    """A pattern with 1 to `v` inputs an output."""
    from bibd import from_mask

    made = torch.Generator().manual_seed(seed)
    return from_mask((torch.rand(b, v, generator=made).argsort(1) < 1 + seed % v).numpy())


def conserved() -> float:
    """Count changes that lose or add connections, or grow what they dropped."""
    wrong = 0
    for method in METHODS:
        for seed in range(12):
            for share in SHARES:
                before, drop, grow, after = _changed(method, seed, share)
                wrong += before.nonzeros != after.nonzeros
                wrong += bool(set(before.flat[drop]) & set(grow.tolist()))
    return wrong


def fan_in() -> float:
    """Count the outputs that have more or fewer connections than before."""
    pairs = [_changed("rigl_fan_in", seed, share) for seed in range(12) for share in SHARES]
    return sum(int((before.fan_in != after.fan_in).sum()) for before, _, _, after in pairs)


def _net() -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for (v, b), n in zip(pairwise(SIZES), NONZEROS, strict=True):
        layers += [DynamicLinear(v, b, "random_fan_in", seed=n, nonzeros=n), nn.Tanh()]
    return nn.Sequential(*layers[:-1]).double()


def _batch(t: int) -> tuple[torch.Tensor, torch.Tensor]:
    made = torch.Generator().manual_seed(t)
    x = torch.randn(16, SIZES[0], generator=made).double()
    return x, torch.stack([x[:, i] * x[:, i + 1] for i in range(SIZES[-1])], 1)


def masked(method: Method) -> float:
    """Return how far a net that moves ends from dense weights under masks."""
    net, rows = _net(), [m for m in _net() if isinstance(m, DynamicLinear)]
    optimizer = torch.optim.SGD(net.parameters(), RATE, momentum=MOMENTUM)
    moving = Moving(net, optimizer, method, steps=STEPS, every=EVERY)
    twin = Twin(rows, method)
    for t in range(STEPS):
        x, y = _batch(t)
        optimizer.zero_grad()
        with moving:
            F.mse_loss(net(x), y).backward()
        twin.step(x, y, moving.due, moving.share)
        moving.step()
    own: list[DynamicLinear] = [m for m in net if isinstance(m, DynamicLinear)]
    apart = [m.to_dense() - w for m, w in zip(own, twin.weights, strict=True)]
    for layer, mask in zip(own, twin.masks, strict=True):
        if (layer.pattern.mask() != mask.numpy()).any():
            return math.inf
    return furthest(*(float(d.detach().abs().max()) for d in apart))


def blind() -> float:
    """Return how far rigl is from set, which does not look at gradients."""
    found = []
    for method in ("rigl", "set"):
        _, _, grow, _ = _changed(method, 2, 0.3)
        found.append(set(grow.tolist()))
    return len(found[0] ^ found[1])
