"""Which identities a weight policy, a schedule and pipelines at all have to fulfil."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from parallel.identities import pipelines as staged
from parallel.identities import predictions as ahead
from parallel.pipeline.actions import Table, held
from parallel.pipeline.answers import asked, own_answers
from parallel.pipeline.checks import check
from parallel.pipeline.clock import simulate
from parallel.pipeline.formulas import activations, makespan, sizes_of
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.policies import POLICIES
from parallel.pipeline.schedules import SCHEDULES
from parallel.pipeline.weights import Policy, Predicting, TwoBW, VerticalSync

REPLICAS = "two and three replicas of each stage = one"
GRADIENTS = "gradients between replicas = formula"
COPIES = "processes with replicas = simulation"
Identity = tuple[str, str, Callable[[], float]]
BUILT_IN = (Policy, Predicting, *POLICIES.values())
SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.8, weight_decay=0.01)


def of_policy(policy: Policy, world: str) -> Iterator[Identity]:
    """Those of a weight policy, in pipelines that never wait; of one's own also what was asked."""
    kind = type(policy)
    own = own_answers(kind, BUILT_IN)
    with asked(own) as counts:
        yield from _of_policy(policy, world)
    if kind not in POLICIES.values():
        names = ", ".join(own) or f"nothing (all is as in {kind.__mro__[1].__name__})"
        title = f"each answer of its own was asked for: {names}"
        yield title, "exact", lambda: unasked(own, counts)


def unasked(own: Collection[str], counts: Mapping[str, int]) -> float:
    """None of the answers, or an error that names those for which nobody has asked.

    Raises:
        ValueError: a pipeline would go by other answers than the policy's author thinks.
    """
    never = [name for name in own if not counts[name]]
    if never:
        raise ValueError(
            f"nobody has asked for {', '.join(never)} (`held` is asked for by the `theory` of "
            "Policy, not by one of your own): leave it out"
        )
    return 0.0


def _of_policy(policy: Policy, world: str) -> Iterator[Identity]:
    if type(policy) in POLICIES.values():
        yield "engine = sequential oracle", "rounding", lambda: staged.by_oracle(policy)
        spike = replace(policy, spike=True)
        yield (
            "engine = oracle, with spike compensation",
            "rounding",
            lambda: staged.by_oracle(spike),
        )
    yield "any legal order = table order", "bitwise", lambda: staged.any_order(policy)
    yield "one stage is plain SGD", "bitwise", lambda: staged.one_stage(policy)
    yield "delays N-1-k, versions as in theory", "exact", lambda: staged.traced(policy)
    yield "looks as far ahead as in theory", "exact", lambda: staged.reach(policy)
    if isinstance(policy, TwoBW | VerticalSync):
        yield "sees one version at every stage", "exact", lambda: staged.even(policy)
    yield "true weights change in updates only", "bitwise", lambda: staged.untouched(policy)
    yield "saved in flight and loaded = uninterrupted", "bitwise", lambda: staged.resumed(policy)
    yield "bytes sent = formula", "exact", lambda: staged.counted(policy)
    yield REPLICAS, "rounding", lambda: staged.by_replicas(policy)
    yield GRADIENTS, "exact", lambda: staged.gradients_counted(policy)
    if world == "procs":
        yield "processes = simulation", "rounding", lambda: staged.by_processes(policy)
        yield COPIES, "bitwise", lambda: staged.by_processes(policy, 2, replicas=2)


def of_schedule(schedule: str | Callable[..., Table], world: str) -> Iterator[Identity]:
    """Those of a schedule that waits; of async_1f1b those of its table."""
    yield "tables complete, no deadlock", "exact", lambda: complete(schedule)
    if schedule in SCHEDULES:
        yield "time and activations = formulas", "exact", lambda: by_formula(schedule)  # pyright: ignore
    how = {} if schedule == "async_1f1b" else fitting(schedule)
    if not how:
        return
    for micro in dict.fromkeys((how["micro"], 2 * how["micro"])):
        same: dict[str, Any] = {**how, "micro": micro}
        title = f"{micro} micro-batches = the whole minibatch, every tensor"
        yield title, "rounding", lambda same=same: staged.full_batch(stages=4, **same)
    yield "any legal order = table order", "bitwise", lambda: staged.any_order(None, **how)
    yield "bytes sent = formula", "exact", lambda: staged.counted(None, **how)
    yield REPLICAS, "rounding", lambda: staged.by_replicas(None, **how)
    yield GRADIENTS, "exact", lambda: staged.gradients_counted(None, **how)
    yield "saved and loaded = uninterrupted", "bitwise", lambda: staged.resumed(None, 4, **how)
    if world == "procs":
        yield "processes = simulation", "rounding", lambda: staged.by_processes(None, 4, **how)


def fitting(schedule: str | Callable[..., Table]) -> dict[str, Any]:
    """A schedule of 4 stages with micro-batches that do not divide 7, if it takes such."""
    for micro in (3, 4, 2, 1):
        with contextlib.suppress(ValueError):
            Pipeline(4, schedule, micro=micro)
            return {"schedule": schedule, "micro": micro}
    return {}


def tables(schedule: str | Callable[..., Table], most: int = 8) -> Iterator[Table]:
    """Of all sizes that the schedule takes."""
    make = SCHEDULES[schedule] if isinstance(schedule, str) else schedule
    for stages in range(1, most + 1):
        for micro in (*range(1, 10), 16, 33):
            with contextlib.suppress(ValueError):
                yield make(stages, 3, micro)


def complete(schedule: str | Callable[..., Table]) -> float:
    """How many tables are not whole; an error says what is wrong with the first."""
    found = 0
    for table in tables(schedule):
        check(table)
        found += 1
    return 0.0 if found else 1.0


def by_formula(name: str) -> float:
    """Makespan and activations of the simulated table against the closed forms (F = 1, B = 2)."""
    wrong = 0
    for table in tables(name, 6):
        sizes = sizes_of(table)
        with contextlib.suppress(ValueError):  # (zbv has none for several flushed minibatches)
            wrong += simulate(table).makespan != makespan(*sizes)
        wrong += held(table) != list(activations(*sizes))
    return float(wrong)


def of_all() -> Iterator[Identity]:
    """What prediction and its relatives are, whatever the policy."""
    nesterov = "compensation for a delay of one is Nesterov's momentum"
    yield "a steady velocity is predicted exactly", "rounding", ahead.stationary
    yield "without momentum: along the last gradient", "rounding", ahead.last_gradient
    yield "displacement = velocity for SGD", "rounding", lambda: ahead.displaced(SGD, "velocity")
    adam = partial(torch.optim.Adam, lr=0.05)
    yield "displacement = Adam's own step", "rounding", lambda: ahead.displaced(adam, "adam")
    yield "displacement is not Adam's mean gradient", "negative", ahead.not_adams_mean
    for delay in (1, 2, 5):
        yield (
            f"compensated for {delay}: SGD's response to an impulse",
            "rounding",
            partial(ahead.impulse, delay),
        )
    yield nesterov, "rounding", ahead.nesterov
    yield "pipedream with Nesterov = AsyncPP's recursion", "rounding", ahead.recipe
    yield "pipemare without T1 and T2 = vanilla", "bitwise", ahead.bare_pipemare
    yield "lwp = spectrain_v2 for SGD", "rounding", ahead.lwp_is_v2
    yield "five methods that all differ", "negative", ahead.closest
    for kind in ahead.LAYERS:
        yield f"backward by notes = by writing: {kind}", "bitwise", partial(ahead.swapped, kind)
