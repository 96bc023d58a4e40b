"""Says, as data, in what form gradients are sent where they are averaged, and what that weighs.

    Bfloat16()           every number with 8 significant bits
    Largest(fraction)    of each tensor its largest numbers, and where they are
    LowRank(rank)        of each matrix two thin ones, where that is less; all else as it is

A codec stands in an operation, AllReduce("gradients", LowRank(2)); parallel.replicas.coded carries
it out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

INDEX = 4  # bytes of a place: an int32
MOST = 2**31 - 1  # numbers that these can tell apart


@dataclass(frozen=True)
class Codec:
    """The base: as much as a ring of whole gradients, or as two waves of slices."""

    ring: ClassVar[bool] = False
    """Whether a worker sends to the next one only, and not to all others."""

    def size(self, shape: Sequence[int], itemsize: int) -> int:
        """Return the bytes of what a worker sends of a tensor with numbers of so many bytes."""
        raise NotImplementedError

    def copies(self, workers: int) -> int:
        """Return how often all workers together send what one has."""
        return 2 * (workers - 1)

    def rounds(self, workers: int) -> int:
        """Return how many messages follow one another."""
        raise NotImplementedError


@dataclass(frozen=True)
class Bfloat16(Codec):
    """Slices go to their owners, who give the mean to all: rounded to bfloat16 both times."""

    def size(self, shape: Sequence[int], itemsize: int) -> int:
        """Return two bytes for each number."""
        return 2 * math.prod(shape)

    def rounds(self, workers: int) -> int:
        """Return the two waves."""
        return 2


@dataclass(frozen=True)
class Largest(Codec):
    """Each worker gives its own largest numbers to all others."""

    fraction: float = 0.01

    def __post_init__(self):
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction must be in (0, 1], got {self.fraction}")

    def count(self, numbers: int) -> int:
        """Return how many of a tensor's numbers are sent: ceil(fraction * numbers), at least one.

        Raises:
            ValueError: an int32 is too short to tell the places.
        """
        if numbers > MOST:
            raise ValueError(f"a tensor of {numbers} numbers: places are int32, {MOST} at most")
        # (0.07 * 100 is a little more than 7)
        return min(numbers, max(1, math.ceil(self.fraction * numbers - 1e-9)))

    def size(self, shape: Sequence[int], itemsize: int) -> int:
        """Return the bytes of the numbers and of their places."""
        return self.count(math.prod(shape)) * (INDEX + itemsize)

    def copies(self, workers: int) -> int:
        """Return one for each pair, in both directions."""
        return workers * (workers - 1)

    def rounds(self, workers: int) -> int:
        """Return one, as all messages go at once."""
        return 1


@dataclass(frozen=True)
class LowRank(Codec):
    """P = M Q is averaged by a ring, made orthonormal, and Q = M^T P by a second one."""

    ring: ClassVar[bool] = True

    rank: int = 2

    def __post_init__(self):
        if type(self.rank) is not int or self.rank < 1:
            raise ValueError(f"rank is a number of columns, 1 or more, got {self.rank!r}")

    def pays(self, shape: Sequence[int]) -> bool:
        """Return whether two thin matrices are less than the tensor."""
        return len(shape) > 1 and self.rank * sum(matrix(shape)) < math.prod(shape)

    def size(self, shape: Sequence[int], itemsize: int) -> int:
        """Return the bytes of both, or of the tensor."""
        thin = self.rank * sum(matrix(shape)) if self.pays(shape) else math.prod(shape)
        return thin * itemsize

    def rounds(self, workers: int) -> int:
        """Return those of both rings."""
        return 4 * (workers - 1)


def matrix(shape: Sequence[int]) -> tuple[int, int]:
    """Return rows and columns of a tensor seen as a matrix: outputs, and all that they read."""
    return shape[0], math.prod(shape[1:])
