"""Small tensors are added up together: they go into a buffer until it is full (Horovod's fusion).

    tensors   | 3 | 1 | 2 | 9 | 1 |      limit 6:      | 3 1 2 | 9 | 1 |

Bytes stay as they are, but for the zeros that fill slices up; of messages there are as many as of
buffers. (parallel/world/packing.py has one buffer for all tensors of a dtype.)
"""

from collections.abc import Sequence

import torch

from parallel.world.comm import Comm
from primer.allreduce import costs
from primer.allreduce.carried import Rows, all_reduce


def groups(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Return which tensors share a buffer of so many numbers, in their order; 0: none do."""
    found: list[list[int]] = []
    room = -1
    for i, size in enumerate(sizes):
        if size > room:
            found.append([])
            room = max(limit, size)
        found[-1].append(i)
        room -= size
    return found


def reduce_all(way: str, comm: Comm, tensors: list[Rows], limit: int) -> list[Rows]:
    """Return the sums of many tensors, of which small ones travel together."""
    sizes = [len(next(iter(rows.values()))) for rows in tensors]
    found: list[Rows] = []
    for group in groups(sizes, limit):
        own = tensors[group[0] : group[-1] + 1]
        packed = {i: torch.cat([rows[i] for rows in own]) for i in own[0]}
        sums = all_reduce(way, comm, packed)
        parts = {i: total.split([sizes[k] for k in group]) for i, total in sums.items()}
        found += [{i: parts[i][k] for i in parts} for k in range(len(group))]
    return found


def posted(way: str, n: int, sizes: Sequence[int], limit: int) -> int:
    """Return the messages of all workers, for all buffers."""
    return len(groups(sizes, limit)) * costs.posted(way, n)


def sent(way: str, n: int, sizes: Sequence[int], limit: int) -> int:
    """Return the numbers that all workers send."""
    fused = [sum(sizes[i] for i in group) for group in groups(sizes, limit)]
    return sum(sum(costs.sent(way, n, size)) for size in fused)
