"""The identities of pipelines. Each returns how far off it is; parallel.verify knows the limits.

All in float64 on a small task: 40 samples of 4 numbers, two layers of 6 in each stage, batches of 7
that do not divide, SGD with momentum and decay at a rate at which the dynamics do not amplify
rounding (at 0.3 a pipeline of three stages makes 1e-8 of it).
"""

import copy
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.data import Data
from harness.seeding import seeded
from parallel.identities import pipeline_oracle as oracle
from parallel.pipeline.actions import Action
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.policies import POLICIES
from parallel.pipeline.stage import Stage
from parallel.pipeline.staleness import delays
from parallel.pipeline.weights import Policy, TwoBW, late
from parallel.training.loop import rows
from parallel.training.pipelined import Pipelined
from parallel.world.comm import Comm
from parallel.world.run import run
from parallel.world.world import World

DEPTHS, STEPS, BATCH, SEED = (2, 3, 4, 6), 24, 7, 3
SGD = dict(lr=0.05, momentum=0.8, weight_decay=0.01)


def net(stages: int) -> nn.Sequential:
    """Four layers a stage: linear, tanh, linear, tanh (the last has none)."""
    widths = [4, *[6] * (2 * stages - 1), 3]
    with seeded(SEED, "init"):
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b, dtype=torch.float64), nn.Tanh()]
    return nn.Sequential(*layers[:-1], nn.Identity())


def task(samples: int = 40) -> Data:
    """Noise with classes."""
    with seeded(SEED, "order"):
        x, y = torch.randn(samples, 4), torch.randint(0, 3, (samples,))
    data = Data.from_tensors(x, y, test=(x, y))
    return data.map(lambda v: v.double(), ("train_x", "test_x"))


def pipeline(policy: Policy | None, stages: int, **options: Any) -> Pipeline:
    """As many micro-batches as the policy needs, cut by four layers."""
    micro = max(1, stages - 1) if isinstance(policy, TwoBW) else 1
    split = [4 * k for k in range(1, stages)]
    given: dict[str, Any] = dict(weights=policy, micro=micro, layer_split=split)
    return Pipeline(stages, **(given | options))


def training(how: Pipeline, optimizer: Any = None, **options: Any) -> Pipelined:
    """Untrained; all ranks in this process."""
    given: dict[str, Any] = dict(batch_size=BATCH, seed=SEED, steps=STEPS) | options
    maker = optimizer or partial(torch.optim.SGD, **SGD)
    return Pipelined(net(how.stages), task(), F.cross_entropy, maker, how, Comm(how.ranks), **given)


def trained(how: Pipeline, optimizer: Any = None, **options: Any) -> Pipelined:
    """After all steps."""
    found = training(how, optimizer, **options)
    for _ in range(STEPS):
        found.step()
    return found


def distance(a: Iterable[torch.Tensor], b: Iterable[torch.Tensor]) -> float:
    """The largest deviation of two lists of tensors."""
    return max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True))


def weights(found: Pipelined) -> list[torch.Tensor]:
    """Of the net."""
    return list(found.consensus().values())


def minibatches(found: Pipelined) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """All that it trains on, in order."""
    index = (found.shards.at(t + 1)[0] for t in range(STEPS))
    return [(found.data.train_x[i], found.data.train_y[i]) for i in index]


def by_oracle(policy: Policy) -> float:
    """The engine against the sequential loop."""
    name = next(k for k, kind in POLICIES.items() if type(policy) is kind)
    extra = {k: getattr(policy, k) for k in ("warmup", "drift") if hasattr(policy, k)}
    numbers = SGD["lr"], SGD["momentum"], SGD["weight_decay"]
    rule = oracle.Rule(name, *numbers, policy.spike, **extra)
    worst = 0.0
    for stages in DEPTHS:
        found = trained(pipeline(policy, stages))
        layers = [(m.weight.detach(), m.bias.detach()) for m in net(stages)[::2]]  # pyright: ignore
        cut = [layers[2 * k : 2 * k + 2] for k in range(stages)]
        wanted = oracle.run(cut, minibatches(found), rule)
        worst = max(worst, distance([w for one in wanted for w in one], weights(found)))
    return worst


def any_order(policy: Policy | None, **options: Any) -> float:
    """Three random legal orders against table order."""
    first = weights(trained(pipeline(policy, 4, **options)))
    others = (weights(trained(pipeline(policy, 4, order=k, **options))) for k in (1, 2, 3))
    return max(distance(first, one) for one in others)


def one_stage(policy: Policy | None) -> float:
    """Against an ordinary loop with torch's optimizer."""
    found = trained(pipeline(policy, 1))
    return distance(weights(found), plain(found, net(1)))


def plain(found: Pipelined, model: nn.Module) -> list[torch.Tensor]:
    """An ordinary loop on the same minibatches."""
    optimizer = torch.optim.SGD(model.parameters(), **SGD)  # pyright: ignore
    for x, y in minibatches(found):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return [p.detach() for p in model.state_dict().values()]


class Watch:
    """What the policy sees at each action: which versions, and how far ahead."""

    def __init__(self, found: Pipelined):
        self.found = found
        self.seen: dict[Action, int] = {}
        self.most: dict[int, int] = {}
        found.executor.watch = self

    def __call__(self, action: Action, stage: Stage) -> None:
        """Note it down."""
        if action.op in "FB":
            self.seen[action] = stage.weights.number
        flights = [f.seen for f in stage.flights.values() if f.seen]
        own = [*flights, *stage.weights.older, stage.weights.newest]
        k = stage.weights.stage
        self.most[k] = max(self.most.get(k, 0), len({id(one) for one in own}))


def traced(policy: Policy) -> float:
    """Delays N-1-k, and versions held as in theory, from what was done."""
    wrong = 0
    for stages in range(1, 7):
        found = training(pipeline(policy, stages))
        watch = Watch(found)
        for _ in range(STEPS):
            found.step()
        counts = delays(found.table)
        for k in range(stages):
            theory = policy.theory(k, stages)
            wrong += watch.most[k] != theory["versions"]
            if found.table.micro == 1:
                full = [a for a in counts if a.stage == k and a.minibatch >= stages]
                wrong += sum(counts[a] != stages - 1 - k for a in full)
    return float(wrong)


def even(policy: Policy) -> float:
    """How many forward passes see another version than theory says: one delay at every stage."""
    wrong = 0
    for stages in range(2, 7):
        found = training(pipeline(policy, stages))
        numbers: dict[int, dict[int, int]] = {k: {} for k in range(stages)}

        def watch(action: Action, stage: Stage, numbers=numbers) -> None:
            nonlocal wrong
            k, weights = action.stage, stage.weights
            numbers[k][id(weights.newest)] = weights.number  # (kept alive by what is in flight)
            if action.op == "F":
                seen = stage.flights[action.minibatch, action.micro].seen
                delay = policy.theory(k, weights.stages)["delay"]
                wrong += numbers[k][id(seen)] != max(0, action.minibatch - delay)

        for k, stage in found.executor.stages.items():
            numbers[k][id(stage.weights.newest)] = 0
        found.executor.watch = watch
        for _ in range(STEPS):
            found.step()
    return float(wrong)


def reach(policy: Policy) -> float:
    """How many updates ahead the passes of each stage look, from what they saw."""
    wrong = 0
    for stages in range(2, 9):
        found = training(pipeline(policy, stages))
        asked: dict[tuple[int, str], set[int]] = {}
        for k, stage in found.executor.stages.items():
            _listen(stage, k, asked)
        for _ in range(STEPS):
            found.step()
        for k in range(stages):
            s = policy.theory(k, stages)["ahead"]
            wrong += asked.get((k, "F"), {0}) != {s[0]}
            back = "B" if late(policy, k, stages) else "F"  # (one answer, for both passes)
            wrong += policy.swaps and asked.get((k, back), {0}) != {s[1]}
    return float(wrong)


def _listen(stage: Stage, k: int, asked: dict[tuple[int, str], set[int]]) -> None:
    """Note how far ahead the weights of a stage are asked for."""
    ahead, forward, backward = stage.weights.ahead, stage.forward, stage.backward
    now = ["F"]

    def noted(steps: int) -> Any:
        asked.setdefault((k, now[0]), set()).add(steps)
        return ahead(steps)

    def named(op: str, call: Callable) -> Callable:
        def called(*args: Any) -> Any:
            now[0] = op
            return call(*args)

        return called

    stage.weights.ahead = noted  # pyright: ignore[reportAttributeAccessIssue]
    stage.forward = named("F", forward)  # pyright: ignore[reportAttributeAccessIssue]
    stage.backward = named("B", backward)  # pyright: ignore[reportAttributeAccessIssue]


def untouched(policy: Policy) -> float:
    """The true weights change in updates only."""
    found = training(pipeline(policy, 3))
    stages = found.executor.stages
    kept = {k: [p.detach().clone() for p in s.weights.params.values()] for k, s in stages.items()}
    worst = [0.0]

    def watch(action: Action, stage: Stage) -> None:
        now = [p.detach() for p in stage.weights.params.values()]
        if action.op != "U":
            worst[0] = max(worst[0], distance(now, kept[action.stage]))
        kept[action.stage] = [p.clone() for p in now]

    found.executor.watch = watch
    for _ in range(STEPS):
        found.step()
    return worst[0]


def resumed(policy: Policy | None, stages: int = 3, **options: Any) -> float:
    """Saved in the middle, with minibatches in flight, and loaded into a new training."""
    first = training(pipeline(policy, stages, **options), resumable=True)
    for _ in range(STEPS // 2):
        first.step()
    state = copy.deepcopy(first.state_dict())
    second = training(pipeline(policy, stages, **options), resumable=True)
    second.load_state_dict(state)
    for one in (first, second):
        for _ in range(STEPS - STEPS // 2):
            one.step()
    return max(distance(weights(first), weights(second)), abs(first.comm.sent - second.comm.sent))


def counted(policy: Policy | None, **options: Any) -> float:
    """Every boundary between ranks is crossed by each sample twice, 6 numbers of 8 bytes wide."""
    found = trained(pipeline(policy, 4, **options))
    home = [found.table.home[k] for k in range(4)]
    boundaries = sum(a != b for a, b in pairwise(home))
    return abs(found.comm.sent - 2 * boundaries * 6 * 8 * found.samples)


def by_replicas(policy: Policy | None, stages: int = 4, **options: Any) -> float:
    """Two and three copies of each stage against one; the last batch of an epoch leaves one idle.

    Each tensor differs by rounding only: the gradient of a minibatch is a sum over its samples,
    which replicas make in parts. Steps of SGD at a stable rate do not amplify it.
    """
    one = weights(trained(pipeline(policy, stages, **options), batch_size=13))
    several = (pipeline(policy, stages, replicas=r, **options) for r in (2, 3))
    return max(distance(one, weights(trained(how, batch_size=13))) for how in several)


def gradients_counted(policy: Policy | None, **options: Any) -> float:
    """Between replicas each update sends its gradients twice for every copy but one."""
    found = trained(pipeline(policy, 4, replicas=3, **options))
    one = trained(pipeline(policy, 4, **options))
    size = sum(p.numel() * p.element_size() for p in found.model.parameters())
    wrong = abs(found.copies.gradients - STEPS * 2 * (3 - 1) * size)
    return wrong + abs(found.comm.sent - found.copies.gradients - one.comm.sent)


def by_processes(policy: Policy | None, stages: int = 3, **options: Any) -> float:
    """Processes against the simulation."""
    how = pipeline(policy, stages, **options)
    parts = net(stages), task(), F.cross_entropy, partial(torch.optim.SGD, **SGD), how
    given = dict(batch_size=BATCH, seed=SEED, reshuffle=False)
    both = []
    for world in (World.sim(how.ranks), World.procs(how.ranks, threads=1)):
        both.append(list(run(world, rows, parts, given, STEPS, STEPS // 3)))
    keys = "train_loss", "test_loss", "test_accuracy", "bytes_payload"
    pairs = zip(*both, strict=True)
    return max(abs(a[k] - b[k]) for a, b in pairs for k in keys)


def full_batch(stages: int, **options: Any) -> float:
    """A synchronous schedule against an ordinary loop on whole minibatches."""
    how = pipeline(None, stages, **options)
    found = trained(how)
    return distance(weights(found), plain(found, net(stages)))
