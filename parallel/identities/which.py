"""Chooses the identities that a strategy has to fulfil: name, class and check of each."""

from collections.abc import Callable, Iterator

from parallel.identities import averaging as identities
from parallel.identities import machines, pushes
from parallel.identities import subnets as subnet_identities
from parallel.identities.averaging import Maker
from parallel.identities.coded import of_codec
from parallel.identities.slices import of_slices
from parallel.strategy import STRATEGIES
from parallel.strategy.averaging import LocalSGD, PostLocalSGD
from parallel.strategy.compressed import Compressed
from parallel.strategy.diloco import DiLoCo
from parallel.strategy.easgd import EASGD
from parallel.strategy.gossip import ElasticGossip, Gossip
from parallel.strategy.hierarchical import Hierarchical
from parallel.strategy.ist import IST
from parallel.strategy.push_sum import PushSum
from parallel.strategy.zero import ZeRO1

Identity = tuple[str, str, Callable[[], float]]


def applying(name: str, maker: Maker, world: str) -> Iterator[Identity]:
    """Yield the identities that a strategy has to fulfil."""
    sample = maker()
    sample.init(identities.team(sample))  # (puts options into their final form)
    yield (
        "plans are matched and the same when asked again",
        "exact",
        lambda: identities.plans(maker),
    )
    if not sample.centre and not sample.outer:
        yield "one worker is plain SGD", "bitwise", lambda: identities.one_worker(maker)
    if sample.average == ("params",):  # (the oracle moves weights only)
        yield "simulation = plain-Python oracle", "rounding", lambda: identities.by_oracle(maker)
    if world == "procs":
        yield "processes = simulation", "rounding", lambda: identities.by_processes(maker)
    yield "saved and loaded = uninterrupted", "bitwise", lambda: identities.resumed(maker)
    yield "bytes sent = bytes planned", "exact", lambda: identities.counted(maker)
    if type(sample) not in STRATEGIES.values() or isinstance(sample, PushSum):
        yield (
            "bytes planned = formula, in the long run",
            "exact",
            lambda: identities.on_average(maker),
        )
    elif not isinstance(sample, Gossip):
        yield "bytes planned = formula", "exact", lambda: identities.by_formula(maker)
    if isinstance(sample, ElasticGossip | EASGD | PushSum) or type(sample) is LocalSGD:
        yield (
            "the sum is kept where nothing is learned",
            "rounding",
            lambda: identities.conserved(maker),
        )
    if type(sample) is LocalSGD:
        yield (
            "H = 1, unweighted, is all-reduce (momentum, Nesterov, decay)",
            "rounding",
            identities.h_one,
        )
        yield "H = 1 is not all-reduce for Adam", "negative", identities.h_one_adam
    if isinstance(sample, DiLoCo):
        yield "rate 1 without momentum is local SGD", "rounding", identities.no_outer
        yield "its momentum is not local SGD", "negative", lambda: identities.no_outer(momentum=0.9)
        yield "outer steps = torch.optim.SGD on the mean", "rounding", identities.outer_by_torch
    if isinstance(sample, Hierarchical):
        yield "one machine is all-reduce", "bitwise", machines.one_machine
        yield "machines of one worker are local SGD", "bitwise", machines.one_each
        yield "H = 1, unweighted, is all-reduce", "rounding", machines.every_step
        yield "workers of a machine hold the same", "bitwise", lambda: machines.alike(maker)
        yield "bytes between machines = formula", "exact", lambda: machines.crossed(maker)
    if type(sample) is PostLocalSGD:
        yield "never switched, it is all-reduce", "bitwise", identities.never_switched
    if isinstance(sample, Gossip):
        yield "scalar test vectors", "rounding", lambda: identities.vectors(type(sample))
        yield "nobody picks himself", "exact", lambda: identities.selfish(maker)
    if isinstance(sample, PushSum):
        yield "if nobody skips, it is exponential after the step", "bitwise", pushes.even
        yield "all come to the mean of all starts", "rounding", lambda: pushes.agreed(PushSum)
        without = lambda: pushes.agreed(pushes.Massless)  # noqa: E731
        yield "without masses they come to another", "negative", without
    if isinstance(sample, IST):
        yield "deal and collect are the identity", "bitwise", lambda: subnet_identities.dealt(maker)
        yield "neurons are disjoint and cover", "exact", subnet_identities.disjoint
        yield (
            "a middle matrix trains its W diagonal blocks only",
            "exact",
            lambda: subnet_identities.blocks(maker),
        )
    if isinstance(sample, Compressed):
        yield from of_codec(sample.sends)
    if isinstance(sample, ZeRO1):
        yield from of_slices(maker, world)
