"""What can be verified: strategies, weight policies and schedules, by name, as objects, or made."""

import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from harness.names import unknown
from parallel.identities.which import Identity, applying
from parallel.identities.which_pipelines import of_all, of_policy, of_schedule
from parallel.pipeline.actions import Table
from parallel.pipeline.policies import POLICIES, policy
from parallel.pipeline.schedules import SCHEDULES
from parallel.pipeline.weights import Policy
from parallel.strategy import STRATEGIES, Strategy, make

PIPELINE = "pipeline"  # stands for all that pipelines fulfil
Thing = str | Strategy | Policy | Callable[[], Strategy] | Callable[..., Table]

# What the built-in ones are verified with: small periods, so that much happens in few steps.
SETTINGS: dict[str, dict[str, Any]] = {
    "top_k": dict(fraction=0.2),
    "local_sgd": dict(period=3),
    "post_local_sgd": dict(period=4, switch=5),
    "diloco": dict(period=3),
    "hierarchical": dict(period=3),
    "easgd": dict(alpha=0.2, period=2),
    "gossip_pull": dict(probability=0.6),
    "gossip_push": dict(probability=0.6),
    "elastic_gossip": dict(probability=0.6, period=2, alpha=0.3),
    "push_sum": dict(probability=0.6),
    "ist": dict(period=4),
    "pipemare": dict(warmup=7),
}


def names(words: tuple[str, ...]) -> list[str]:
    """What these words of a command line mean; none: all strategies; pipeline: all of pipelines.

    Raises:
        ValueError: an unknown name.
    """
    if words == (PIPELINE,):
        return [PIPELINE, *SCHEDULES, *POLICIES]
    known = [*STRATEGIES, PIPELINE, *POLICIES, *SCHEDULES]
    for word in words:
        if word not in known:
            raise unknown("strategy, weight policy or schedule", word, known)
    if words[:1] == (PIPELINE,):
        return list(words[1:])
    return list(words or STRATEGIES)


def chosen(thing: Thing, world: str) -> tuple[str, Iterator[Identity]]:
    """Its name, and the identities that it has to fulfil.

    Raises:
        ValueError: an unknown name.
    """
    if isinstance(thing, str):
        (name, *_) = names((thing,))
        return name, _named(name, world)
    if isinstance(thing, type) and issubclass(thing, Policy):
        thing = thing()
    if isinstance(thing, Policy):
        return type(thing).__name__, of_policy(thing, world)
    if isinstance(thing, Strategy):
        name = type(thing).__name__
        return name, applying(name, lambda: copy.deepcopy(thing), world)
    name = getattr(thing, "__name__", "strategy")
    if _makes_tables(thing):
        return name, of_schedule(thing, world)  # pyright: ignore[reportArgumentType]
    return name, applying(name, thing, world)  # pyright: ignore[reportArgumentType]


def _named(name: str, world: str) -> Iterator[Identity]:
    first = SETTINGS.get(name, {})
    if name in STRATEGIES:
        return applying(name, lambda: make(name, **first), world)
    if name in POLICIES:
        return of_policy(policy(name, **first), world)
    return of_all() if name == PIPELINE else of_schedule(name, world)


def _makes_tables(thing: Any) -> bool:
    """Whether it is a schedule: it asks for stages, minibatches and micro."""
    try:
        return "stages" in inspect.signature(thing).parameters
    except (TypeError, ValueError):
        return False
