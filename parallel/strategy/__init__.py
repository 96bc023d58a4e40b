"""Finds strategies by name.

>>> from parallel import STRATEGIES
>>> STRATEGIES["elastic_gossip"](alpha=0.5, probability=1 / 32)
"""

import inspect
from collections.abc import Callable
from typing import Any

from harness.names import check, unknown
from parallel.strategy.averaging import GradientAllReduce, Local, LocalSGD, NoComm, PostLocalSGD
from parallel.strategy.base import Strategy
from parallel.strategy.compressed import BF16, PowerSGD, TopK
from parallel.strategy.diloco import DiLoCo
from parallel.strategy.easgd import EASGD
from parallel.strategy.gossip import ElasticGossip, GossipPull, GossipPush
from parallel.strategy.graph import Exponential, Ring
from parallel.strategy.hierarchical import Hierarchical
from parallel.strategy.ist import IST
from parallel.strategy.push_sum import PushSum
from parallel.strategy.zero import ZeRO1, ZeRO2, ZeRO3

STRATEGIES: dict[str, Callable[..., Strategy]] = {
    "local": Local,
    "no_comm": NoComm,
    "all_reduce": GradientAllReduce,
    "bf16": BF16,
    "top_k": TopK,
    "power_sgd": PowerSGD,
    "local_sgd": LocalSGD,
    "post_local_sgd": PostLocalSGD,
    "diloco": DiLoCo,
    "hierarchical": Hierarchical,
    "easgd": EASGD,
    "gossip_pull": GossipPull,
    "gossip_push": GossipPush,
    "elastic_gossip": ElasticGossip,
    "ring": Ring,
    "exponential": Exponential,
    "push_sum": PushSum,
    "ist": IST,
    "zero1": ZeRO1,
    "zero2": ZeRO2,
    "zero3": ZeRO3,
}


def make(name: str, **options: Any) -> Strategy:
    """Make a strategy by its name, with its options checked by name.

    Raises:
        ValueError: unknown name or option, with the nearest one that exists.
    """
    maker = STRATEGIES[check("strategy", name, STRATEGIES)]
    known = list(inspect.signature(maker).parameters)
    for option in options:
        if option not in known:
            raise unknown(f"option of {name}", option, known)
    return maker(**options)


def of(config: Any) -> Strategy:
    """Make the strategy that a config names, with those of its options that are fields of it."""
    known = inspect.signature(STRATEGIES[config.strategy]).parameters
    return make(config.strategy, **{k: getattr(config, k) for k in known if hasattr(config, k)})


__all__ = ["STRATEGIES", "Strategy", "make", "of"]
