"""Synchronous data parallelism whose gradients are sent in a codec (parallel.world.codecs).

             sent of a tensor                             what the step takes
bf16         2 bytes of each number, as in a ring         the mean, rounded twice
top_k        ceil(f N) of N numbers and places, to all    the mean of each worker's largest numbers
power_sgd    rank (a + b) numbers of a b, as in a ring    the mean's projection on rank directions

As they are, N numbers of float32 are 4 N bytes in a ring (times 2 (n - 1) / n). top_k and power_sgd
keep what was not sent, and add it to the next gradient (error feedback). One worker alone sends
nothing, and so loses nothing.
"""

from dataclasses import dataclass

from parallel.strategy.averaging import GradientAllReduce
from parallel.world.codecs import Bfloat16, Codec, Largest, LowRank
from parallel.world.ops import NOTHING, AllReduce, Round


@dataclass
class Compressed(GradientAllReduce):
    """The base: gradients are averaged in every step, in the codec that `sends` says."""

    def init(self, workers: int) -> None:
        """Check what the codec checks, and prepare the round of all steps."""
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

    @property
    def sends(self) -> Codec:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Two thin matrices in place of each that is worth it."""
        return LowRank(self.rank)
