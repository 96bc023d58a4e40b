"""Derives streams from seeds: one number per run, and from it independent sources by name.

    init     the first weights          order    the data order, a function of (seed, epoch)
    design   random patterns            noise    masks drawn while training, by (seed, epoch)
    peers    who talks to whom                member   the seeds of an ensemble's members
    sample   which samples a member sees

No source knows how often another was asked, so adding a layer does not reshuffle the data, and a
run that starts again at epoch 7 sees what it would have seen.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

STREAMS = ("init", "order", "design", "noise", "peers", "member", "sample")


def derive(seed: int, stream: str, *keys: int) -> int:
    """Return a 63-bit seed for a stream of `seed` and further keys, such as the epoch."""
    assert stream in STREAMS, stream
    entropy = [seed, zlib.crc32(stream.encode()), *keys]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator(seed: int, stream: str, *keys: int) -> torch.Generator:
    """Return a torch generator of that stream, on the CPU so that devices see equal numbers."""
    return torch.Generator().manual_seed(derive(seed, stream, *keys))


def order(seed: int, epoch: int, n: int) -> torch.Tensor:
    """Return the order of n samples in this epoch."""
    return torch.randperm(n, generator=generator(seed, "order", epoch))


@contextmanager
def seeded(seed: int, stream: str, *keys: int) -> Iterator[None]:
    """Let torch's global generator give the numbers of this stream inside the block."""
    # (all cards are named: torch warns of them where there are several and none is)
    cards = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng([*cards]):
        torch.manual_seed(derive(seed, stream, *keys))
        yield
