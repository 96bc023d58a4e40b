"""Computes the identities of gradients in codecs: what is sent, and what is kept for later."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from parallel.identities.averaging import apart, furthest, trained
from parallel.replicas.coded import coder_of
from parallel.replicas.coded.coder import shares
from parallel.replicas.coded.sparse import largest
from parallel.strategy import Strategy, make
from parallel.world.codecs import Bfloat16, Codec, Largest, LowRank
from parallel.world.comm import Comm, State

SHAPES = {"matrix": (9, 12), "kernel": (8, 3, 2, 2), "bias": (7,)}
COUNTS = ((3, 2, 2), (1, 0, 5), (1, 1, 1))  # samples of each worker, in turn
UNIT = 2.0**-8  # what rounding to 8 bits changes at most, of a number
Identity = tuple[str, str, Callable[[], float]]


def drawn(draw: torch.Generator, workers: int = 3) -> State:
    """Return gradients of each worker."""
    return {k: _numbers(draw, workers, *shape) for k, shape in SHAPES.items()}


def _numbers(draw: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=draw, dtype=torch.float64)


def weighted(rows: State, counts: Sequence[float]) -> State:
    """Return n times the part that each worker has in the mean."""
    factors = torch.tensor(shares(counts), dtype=torch.float64)
    return {k: torch.einsum("w,w...->w...", factors, v) for k, v in rows.items()}


def conserved(codec: Codec, steps: int = 6) -> float:
    """Compare what was sent and what is kept to what was given, and kept before."""
    coder, draw, worst = coder_of(codec, Comm(3), 0), torch.Generator().manual_seed(0), 0.0
    before: Any = dict.fromkeys(SHAPES, 0.0)
    for step in range(steps):
        counts, rows = COUNTS[step % len(COUNTS)], drawn(draw)
        mean = coder.settle(coder.mean(rows, counts), [], [])
        after = {k: _kept(coder, k, v) for k, v in rows.items()}
        given = {k: v.sum(0) + before[k] for k, v in weighted(rows, counts).items()}
        worst = max(worst, apart({k: 3 * mean[k][0] + after[k] for k in rows}, given))
        before = after
    return worst


def _kept(coder: Any, name: str, like: torch.Tensor) -> torch.Tensor:
    """Return the sum of what all workers keep of a tensor."""
    kept = coder.memory["rest"].get(name, torch.zeros_like(like))
    return kept.sum(0).view(like.shape[1:])


def one_or_the_other(codec: Largest) -> float:
    """Count numbers that are neither sent as they are nor kept as they are, or that are both."""
    wrong, draw = 0, torch.Generator().manual_seed(0)
    for value in drawn(draw).values():
        row = value.flatten(1)
        places, sent, kept = largest(row, codec.count(row.shape[1]))
        whole = torch.zeros_like(row).scatter(1, places.long(), sent)
        wrong += int(((whole != row) & (kept != row)).sum() + ((whole != 0) & (kept != 0)).sum())
    return float(wrong)


def as_all_reduce(strategy: Strategy) -> float:
    """Compare a training to one of whole gradients."""
    both = (trained(s).executor.consensus() for s in (strategy, make("all_reduce")))
    return apart(*both)


def beyond_two_roundings() -> float:
    """Count numbers whose mean is further from the exact one than two roundings can be."""
    wrong, draw = 0, torch.Generator().manual_seed(0)
    for counts in COUNTS:
        rows = drawn(draw)
        mean = coder_of(Bfloat16(), Comm(3), 0).mean(rows, counts)
        parts = weighted(rows, counts)
        for k, v in parts.items():
            size, exact = v.abs().mean(0), v.mean(0)
            # (each number first, then their mean; either way by a float32)
            far = (size * (1 + UNIT) + exact.abs()) * UNIT * (1 + 2.0**-14)
            wrong += int(((mean[k][0] - exact).abs() > far).sum())
    return float(wrong)


def of_short_numbers(bits: int) -> float:
    """Compare the mean of whole numbers below 2^bits, of 4 workers, to the exact one."""
    draw = torch.Generator().manual_seed(0)
    rows = {"w": torch.randint(-(2**bits), 2**bits, (4, 99), generator=draw).double()}
    mean = coder_of(Bfloat16(), Comm(4), 0).mean(rows, [1] * 4)
    return float((mean["w"][0] - rows["w"].mean(0)).abs().max())


def of_rank(rank: int, codec: LowRank) -> float:
    """Compare what is sent to the mean, which has this rank, of gradients that have any."""
    draw, worst = torch.Generator().manual_seed(rank), []
    noise = {k: v - v.mean(0) for k, v in drawn(draw).items() if codec.pays(v.shape[1:])}
    for k, v in noise.items():
        a, b = v[0].flatten(1).shape
        thin = _numbers(draw, a, rank) @ _numbers(draw, rank, b)
        rows = {k: v + thin.view(v.shape[1:])}
        mean = coder_of(codec, Comm(3), 0).mean(rows, [1] * 3)
        worst.append(float((mean[k][0] - rows[k].mean(0)).abs().max()))
    return furthest(worst)


def of_codec(codec: Codec) -> Iterator[Identity]:
    """Yield the identities of a codec: name, class and check of each."""
    if isinstance(codec, Bfloat16):
        yield "two roundings from the mean at most", "exact", beyond_two_roundings
        yield "means of 5 bits are exact", "bitwise", partial(of_short_numbers, 5)
        yield "means of 12 bits are not", "negative", partial(of_short_numbers, 12)
        return
    kept = "sent and kept = given and kept before"
    yield f"{kept}, of all workers", "rounding", partial(conserved, codec)
    if isinstance(codec, Largest):
        yield f"{kept}, number by number", "exact", partial(one_or_the_other, codec)
        for fraction, what, kind in ((1.0, "is", "rounding"), (0.2, "is not", "negative")):
            yield f"fraction {fraction} {what} all-reduce", kind, partial(_top_k, fraction)
    if isinstance(codec, LowRank):
        yield "means of rank 2 are sent whole", "rounding", partial(of_rank, 2, LowRank(2))
        yield "means of rank 3 are not", "negative", partial(of_rank, 3, LowRank(2))
        for rank, what, kind in ((9, "is", "rounding"), (1, "is not", "negative")):
            yield f"rank {rank} of 6 {what} all-reduce", kind, partial(_power_sgd, rank)


def _top_k(fraction: float) -> float:
    return as_all_reduce(make("top_k", fraction=fraction))


def _power_sgd(rank: int) -> float:
    return as_all_reduce(make("power_sgd", rank=rank))
