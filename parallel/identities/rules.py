"""Says which rule of the plain-Python oracle a strategy is held against."""

from functools import partial
from typing import Any

from torch import nn

from parallel.identities import coded_oracle, oracle
from parallel.identities.talks import Machines, PushSums, in_groups
from parallel.replicas.coded.factored import first
from parallel.strategy import Strategy
from parallel.strategy.averaging import GradientAllReduce, Local, LocalSGD, NoComm, PostLocalSGD
from parallel.strategy.diloco import DiLoCo
from parallel.strategy.easgd import EASGD
from parallel.strategy.gossip import ElasticGossip, GossipPull, GossipPush
from parallel.strategy.hierarchical import Hierarchical
from parallel.strategy.push_sum import PushSum
from parallel.strategy.zero import ZeRO1
from parallel.world.codecs import Codec
from parallel.world.ops import AllReduce, messages


def talk(s: Strategy, start: list[float], net: nn.Sequential, seed: int) -> oracle.Talk:
    """Return a strategy's rule in the oracle's words; an unknown one's by its plan and rows.

    Args:
        s: The strategy, which knows its number of workers.
        start: The weights of worker 0, as one list.
        net: What is trained, for the shapes of its tensors.
        seed: Of the run.
    """
    talks = lambda step: messages(s.plan(seed, step).before)  # noqa: E731
    if isinstance(s, PostLocalSGD):
        period, switch = s.period, s.switch
        late = lambda k: k > switch and (k - switch - s.phase) % period == 0  # noqa: E731
        return oracle.Averages(lambda k: k <= switch, late, s.weighted)
    if isinstance(s, DiLoCo):
        late = lambda k: (k - s.phase) % s.period == 0  # noqa: E731
        return oracle.Outer(start, late, s.weighted, *s.outer)
    if isinstance(s, Hierarchical):
        late = lambda k: s.machines > 1 and (k - s.phase) % s.period == 0  # noqa: E731
        return Machines(s.per_machine, late, s.weighted)
    if isinstance(s, LocalSGD):
        late = lambda k: (k - s.phase) % s.period == 0  # noqa: E731
        return oracle.Averages(lambda k: False, late, s.weighted)
    if isinstance(s.sends, Codec):
        return coded_oracle.of(s, seed, lists(net), partial(_first, net, seed))
    if isinstance(s, GradientAllReduce | ZeRO1):
        return oracle.Averages(lambda k: True, lambda k: False, s.weighted)
    if isinstance(s, EASGD):
        return oracle.Centre(start, s.strength, s.period)
    if isinstance(s, ElasticGossip):
        return oracle.Springs("elastic", talks, s.alpha, s.weights)
    if isinstance(s, GossipPull | GossipPush):
        return oracle.Springs("pull" if isinstance(s, GossipPull) else "push", talks)
    if isinstance(s, PushSum):
        return PushSums(lambda step: messages(s.plan(seed, step).after), s.workers)
    if isinstance(s, Local | NoComm):
        return oracle.Talk()
    return DeclaredPushes(s, seed) if s.push_sum else Declared(s, seed)


def lists(model: nn.Sequential) -> oracle.Net:
    """Return the weights and biases of a net of linear layers."""
    linears = [m for m in model if isinstance(m, nn.Linear)]
    return [(m.weight.tolist(), m.bias.tolist()) for m in linears]


def _first(net: nn.Sequential, seed: int, k: int, rank: int) -> oracle.Vectors:
    """Return what the second factor of tensor number k is before the first step."""
    name, p = list(net.named_parameters())[k]
    return first(seed, name, p.shape[1], rank).tolist()


class Declared(oracle.Averages):
    """The rule of an unknown strategy for the oracle: what its plan and rows say, by numbers."""

    def __init__(self, strategy: Strategy, seed: int):
        plan = lambda step: strategy.plan(seed, step)  # noqa: E731
        self.op = lambda step: plan(step).gradients
        early = lambda step: bool((op := self.op(step)) and not op.among)  # noqa: E731
        late = lambda step: AllReduce("state") in plan(step).after  # noqa: E731
        super().__init__(early, late, strategy.weighted)
        self.strategy, self.seed = strategy, seed

    def gradients(self, step: int, g: oracle.Vectors, counts: list[int]) -> oracle.Vectors:
        """Return the mean of all, of one's group, or what one has."""
        found, op = super().gradients(step, g, counts), self.op(step)
        if not (op and op.among):
            return found
        return in_groups(g, counts if self.weighted else [1] * len(counts), op.among)

    def _mixed(self, ops: Any, w: oracle.Vectors) -> oracle.Vectors:
        if not messages(ops):
            return [[0.0] * len(w[0]) for _ in w]
        table = self.strategy.mixing(ops)
        return [
            [
                sum(a * w[k][j] for k, a in table.get(i, {i: 1.0}).items()) - w[i][j]
                for j in range(len(w[0]))
            ]
            for i in range(len(w))
        ]

    def displacements(self, step: int, w: oracle.Vectors) -> oracle.Vectors:
        """Return what the messages before the step add to each worker."""
        return self._mixed(self.strategy.plan(self.seed, step).before, w)

    def after(self, step: int, w: oracle.Vectors) -> oracle.Vectors:
        """Return the weights after the messages that follow the step."""
        w = super().after(step, w)
        moved = self._mixed(self.strategy.plan(self.seed, step).after, w)
        return [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(w, moved, strict=True)]


class DeclaredPushes(oracle.Talk):
    """The rule of an unknown push-sum: numerators and masses move as its plan and columns say."""

    def __init__(self, strategy: Strategy, seed: int):
        self.strategy, self.plan = strategy, partial(strategy.plan, seed)
        self.masses, self.begun = [1.0] * strategy.workers, []

    def _pushed(self, ops: Any, z: oracle.Vectors, u: oracle.Vectors) -> oracle.Vectors:
        """Return the ratios after numerators m z + u, and masses m, were pushed."""
        table = self.strategy.mixing(ops) if messages(ops) else {}
        rows = [table.get(i, {i: 1.0}) for i in range(len(z))]
        each = zip(self.masses, z, u, strict=True)
        xs = [[m * a + b for a, b in zip(old, new, strict=True)] for m, old, new in each]
        self.masses = [sum(p * self.masses[k] for k, p in row.items()) for row in rows]
        return [
            [sum(p * xs[k][j] for k, p in row.items()) / m for j in range(len(xs[0]))]
            for row, m in zip(rows, self.masses, strict=True)
        ]

    def displacements(self, step: int, w: oracle.Vectors) -> oracle.Vectors:
        """Return what the messages before the step add to each worker."""
        self.begun = self._pushed(self.plan(step).before, w, [[0.0] * len(own) for own in w])
        return coded_oracle.less(self.begun, w)

    def after(self, step: int, w: oracle.Vectors) -> oracle.Vectors:
        """Return the ratios, after the numerators have made the step and were pushed."""
        return self._pushed(self.plan(step).after, self.begun, coded_oracle.less(w, self.begun))
