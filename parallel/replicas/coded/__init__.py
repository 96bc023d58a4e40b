"""Averages gradients that are sent in a codec (parallel.world.codecs): a coder for each."""

from parallel.replicas.coded.coder import Coder
from parallel.replicas.coded.factored import Factored
from parallel.replicas.coded.rounded import Rounded
from parallel.replicas.coded.sparse import Sparse
from parallel.strategy.base import Strategy
from parallel.world.codecs import Bfloat16, Codec, Largest, LowRank
from parallel.world.comm import Comm
from parallel.world.ops import Op

CODERS: dict[type[Codec], type[Coder]] = {Bfloat16: Rounded, Largest: Sparse, LowRank: Factored}


def coder_of(codec: Codec, comm: Comm, seed: int) -> Coder:
    """Return what averages gradients in this codec.

    Raises:
        ValueError: a codec that none carries out.
    """
    if type(codec) not in CODERS:
        known = ", ".join(kind.__name__ for kind in CODERS)
        raise ValueError(f"{codec}: no coder carries it out; there are some for {known}")
    return CODERS[type(codec)](codec, comm, seed)


def same_codec(op: Op, strategy: Strategy) -> None:
    """Refuse an operation in another codec than the one that theory counts.

    Raises:
        ValueError: names both.
    """
    if getattr(op, "codec", None) not in (None, strategy.sends):
        raise ValueError(
            f"plan: {op}, but {type(strategy).__name__}.sends is {strategy.sends!r}: it says in "
            "which codec gradients are sent, and whose bytes theory counts"
        )


__all__ = ["Coder", "coder_of", "same_codec"]
