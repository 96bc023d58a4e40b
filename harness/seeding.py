"""Seeds are streams: one number per run, and from it independent sources by name.

    init     the first weights          order    the data order, a function of (seed, epoch)
    design   random patterns            noise    masks drawn while training, by (seed, epoch)
    peers    who talks to whom

No source knows how often another was asked, so adding a layer does not reshuffle the data, and a
run that starts again at epoch 7 sees what it would have seen.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

STREAMS = ("init", "order", "design", "noise", "peers")


def derive(seed: int, stream: str, *keys: int) -> int:
    """A 63-bit seed for one stream of `seed`, and for further keys such as the epoch."""
    assert stream in STREAMS, stream
    entropy = [seed, zlib.crc32(stream.encode()), *keys]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator(seed: int, stream: str, *keys: int) -> torch.Generator:
    """A torch generator of that stream, on the CPU so that every device sees the same numbers."""
    return torch.Generator().manual_seed(derive(seed, stream, *keys))


def order(seed: int, epoch: int, n: int) -> torch.Tensor:
    """The order of n samples in this epoch."""
    return torch.randperm(n, generator=generator(seed, "order", epoch))


@contextmanager
def seeded(seed: int, stream: str, *keys: int) -> Iterator[None]:
    """Code that asks torch's global generator, such as a layer's init, asks this stream instead."""
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, stream, *keys))
        yield
