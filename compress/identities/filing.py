"""Identities of packed nets: what comes out of a file is what went in, and sizes are sizes.

Coders are held to plain-Python twins that share no line with them: Huffman's length to a heap, sums
of gradients to autograd of an explicit table.
"""

import heapq
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from bibd import SparseLinear
from compress.file import bits, counted, gaps, huffman, places, rans, share, symbols
from compress.identities import packing
from harness.result.identity import Identity, furthest, roundings

WEIGHTS, SAMPLES, LARGEST = 60, 16, 10.0


def identities() -> Iterator[Identity]:
    """Yield the identities of files."""
    for name, stream in streams().items():
        yield Identity(f"rANS, {name} = itself", "exact", lambda s=stream: through_rans(s))
        yield Identity(f"symbols, {name} = itself", "exact", lambda s=stream: through_symbols(s))
    yield Identity("decisions by their chances = themselves", "exact", decisions)
    yield Identity("numbers of any size = themselves", "exact", numbers)
    for way in places.NAMES:
        yield Identity(f"places, {way} = themselves", "exact", lambda w=way: through_places(w))
    for width in (2, 4, 8, 16, None):
        told = "as they are" if width is None else f"{width} bits"
        title = f"pack -> unpack in this process, {told}"
        yield Identity(title, "bitwise", lambda w=width: packing.through_file(w))
    yield Identity("pack -> unpack in a fresh process, 3 bits", "bitwise", packing.in_a_process)
    yield Identity("pack(unpack) = the same file", "bitwise", packing.again)
    yield Identity("no bits: the net's own weights", "bitwise", packing.own_weights)
    yield Identity("sizes by layer and purpose = the file", "exact", packing.adding_up)
    yield Identity("Huffman's length = a heap's, plain Python", "exact", huffman_length)
    yield Identity("steps with filler zeros lead to the places", "exact", fillers)
    limit = roundings(WEIGHTS, LARGEST)  # sums of so many gradients
    yield Identity("gradient of a centroid = sum of its weights'", "rounding", gradients, limit)
    title = "gradient of a centroid is not their mean"
    yield Identity(title, "negative", lambda: gradients(mean=True))


def streams() -> dict[str, np.ndarray]:
    """Return streams of symbols below 16."""
    draw = np.random.default_rng(0)
    return {
        "random": draw.integers(0, 16, 5000),
        "skewed": np.minimum(draw.geometric(0.6, 40_000) - 1, 15),
        "constant": np.full(3000, 7),
        "one symbol": np.array([5]),
        "empty": np.zeros(0, dtype=np.int64),
    }


def unequal(found: np.ndarray, made: np.ndarray) -> int:
    """Return how many elements differ; one where the lengths do."""
    return int((found != made).sum()) if found.shape == made.shape else max(1, len(made))


def through_rans(stream: np.ndarray) -> int:
    """Count the symbols that rANS gives back otherwise."""
    freq = rans.frequencies(np.bincount(stream, minlength=16))
    return unequal(rans.decode(rans.encode(stream, freq), freq, len(stream)), stream)


def through_symbols(stream: np.ndarray) -> int:
    """Count the symbols that the shortest way, and counting, give back otherwise."""
    short = stream[:2000]
    found = counted.decode(counted.encode(short, 4), 4, len(short))
    way = symbols.decode(symbols.encode(stream, 4), 4, len(stream))
    return unequal(way, stream) + unequal(found, short)


def decisions() -> int:
    """Count the decisions that come back otherwise."""
    draw = np.random.default_rng(1)
    chances = draw.integers(bits.LEAST, bits.ONE - bits.LEAST, 3000).tolist()
    made = draw.integers(0, 2, 3000)
    decoder = bits.Decoder(bits.encode(made.tolist(), chances))
    found = np.array([decoder.bit(f) for f in chances])
    decoder.end()
    return unequal(found, made)


def numbers() -> int:
    """Count the numbers around powers of two that come back otherwise."""
    made = np.unique([2**k + d for k in range(52) for d in (-1, 0, 1)])
    return unequal(gaps.decode(gaps.encode(made), len(made)), made)


def through_places(way: str) -> int:
    """Count the places of a table that one way gives back otherwise."""
    pattern = SparseLinear(36, 24, "random", seed=4).pattern
    flat = pattern.flat if way == "described" else pattern.flat[::2]
    flat = np.arange(24 * 36) if way == "all" else flat
    table = places.Table(24, 36, 1, np.arange(36))
    codes = [bytes([places.ALL])] if way == "all" else places.ways(flat, table, pattern)
    some = [code for code in codes if places.NAMES[code[0]] == way]
    assert some, f"no code is {way}"
    return sum(unequal(places.decode(code, table)[0], flat) for code in some)


def huffman_length() -> float:
    """Compare the length of Huffman's code with that of one that a heap has built."""
    draw = np.random.default_rng(2)
    some = [draw.geometric(0.05, size).tolist() for size in (1, 2, 3, 17, 256)]
    return furthest(*(abs(huffman.length(counts) - by_heap(counts)) for counts in some))


def by_heap(counts: list[int]) -> int:
    """Return the bits of a code that joins the two rarest until one is left."""
    heap, total = list(counts), 0
    heapq.heapify(heap)
    while len(heap) > 1:
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        total += joined
        heapq.heappush(heap, joined)
    return total if len(counts) > 1 else counts[0]


def fillers() -> int:
    """Count the places that steps of 3 bits do not lead to."""
    flat = np.unique(np.random.default_rng(3).integers(0, 900, 60))
    step, filler = huffman.steps(flat, 3)
    assert step.max() <= 8
    return unequal(np.cumsum(step)[~filler] - 1, flat)


def gradients(mean: bool = False) -> float:
    """Compare gradients of centroids with sums (or means) of those of a plain weight."""
    draw = torch.Generator().manual_seed(0)
    layer: Any = nn.Linear(10, WEIGHTS // 10, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=draw, dtype=torch.float64))
        layer.weight[:, ::3] = 0
    x = torch.randn(SAMPLES, 10, generator=draw, dtype=torch.float64)
    holder = nn.Sequential(layer)
    share.share(holder, 2)
    gather = layer.parametrizations["weight"][0]
    centroids = layer.parametrizations["weight"].original
    plain = layer.weight.detach().clone().requires_grad_()
    holder(x).square().mean().backward()
    nn.functional.linear(x, plain).square().mean().backward()
    found, whole = centroids.grad, plain.grad
    assert whole is not None
    assert whole.abs().max() <= LARGEST
    made = []
    for k in range(len(centroids)):
        part = [float(whole.reshape(-1)[p]) for p in gather.places[gather.index == k]]
        made.append(sum(part) / (len(part) if mean else 1))
    return furthest(*(abs(float(found[k]) - made[k]) for k in range(len(made))))
