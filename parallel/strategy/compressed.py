"""Synchronous data parallelism whose gradients are sent in a codec (parallel.world.codecs).

             sent by a worker in a step               what the step takes
bf16         half of all_reduce (float32)             the mean, rounded twice; nothing is kept
top_k        (n - 1) ceil(f N) (4 + 4) of N numbers   the mean of each worker's largest numbers
power_sgd    2 r (a + b) in place of 2 r' a b         the mean's projection on r directions

top_k and power_sgd keep what was not sent, and add it to the next gradient (error feedback). One
worker alone sends nothing, and so loses nothing.
"""

from dataclasses import dataclass

from parallel.strategy.averaging import GradientAllReduce
from parallel.strategy.base import fraction
from parallel.world.codecs import Bfloat16, Codec, Largest, LowRank
from parallel.world.ops import NOTHING, AllReduce, Round


@dataclass
class Compressed(GradientAllReduce):
    """The base: gradients are averaged in every step, in the codec that `sends` says."""

    def init(self, workers: int) -> None:
        """Prepare the round of all steps."""
        super().init(workers)
        self.round = Round(before=(AllReduce("gradients", self.sends),))

    @property
    def sends(self) -> Codec:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The codec."""
        raise NotImplementedError

    def plan(self, seed: int, step: int) -> Round:
        """Average what the codec leaves of the gradients, in every step."""
        return self.round if self.workers > 1 else NOTHING

    def theory(self, size: float, steps: int = 1) -> float:
        """Return the bytes, if what a worker sends of its gradients has `size` of them."""
        return self.sends.copies(self.workers) * size * steps / self.workers


@dataclass
class BF16(Compressed):
    """Gradients travel as bfloat16, and are added up in float32."""

    name = "bf16"

    @property
    def sends(self) -> Codec:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Two bytes for each number."""
        return Bfloat16()


@dataclass
class TopK(Compressed):
    """Each worker sends the largest numbers of its gradients, and keeps the others for later.

    Args:
        fraction: How many, of each tensor.
    """

    fraction: float = 0.01

    name = "top_k"

    def init(self, workers: int) -> None:
        """Check the fraction."""
        fraction("fraction", self.fraction)
        super().init(workers)

    @property
    def sends(self) -> Codec:  # pyright: ignore[reportIncompatibleVariableOverride]
        """So many numbers of each tensor, with their places."""
        return Largest(self.fraction)


@dataclass
class PowerSGD(Compressed):
    """Matrices of gradients travel as two thin ones; the rest is kept for later.

    Args:
        rank: Columns of each of the two.
    """

    rank: int = 2

    name = "power_sgd"

    def init(self, workers: int) -> None:
        """Check the rank."""
        if not isinstance(self.rank, int) or isinstance(self.rank, bool) or self.rank < 1:
            raise ValueError(f"rank is a number of columns, 1 or more, got {self.rank!r}")
        super().init(workers)

    @property
    def sends(self) -> Codec:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Two thin matrices in place of each that is worth it."""
        return LowRank(self.rank)
