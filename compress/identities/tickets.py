"""Identities of tickets: levels that prune nothing, ladders by hand, sparse stacks, what was saved.

A dense stack with masks and a stack of sparse layers make the same sums in another order: after the
few steps that are made here, in float64, that is far below 1e-12.
"""

import io
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from compress.tickets.branches import branch, following
from compress.tickets.course import Course
from compress.tickets.ladder import ladder
from compress.tickets.level import Level, Tensors, dense
from harness.data import Data
from harness.job import Job
from harness.result.identity import Identity, apart, furthest
from harness.seeding import seeded
from harness.stack import stack
from harness.train.fit import fit

INPUTS, CLASSES, BATCH, SEEDS, EPOCHS = 10, 3, 16, (3, 4), 2
LENET = {"a": 235_200, "b": 30_000, "c": 1_000}
BY_HAND = [  # 20 % of the first two and 10 % of the last go, with pencil and paper
    {"a": 235_200, "b": 30_000, "c": 1_000},
    {"a": 188_160, "b": 24_000, "c": 900},
    {"a": 150_528, "b": 19_200, "c": 810},
    {"a": 120_422, "b": 15_360, "c": 729},
    {"a": 96_338, "b": 12_288, "c": 656},
    {"a": 77_070, "b": 9_830, "c": 590},
]


def net(seed: int, conv: bool = False) -> nn.Sequential:
    """Return a small net with a start of its own."""
    with seeded(seed, "init"):
        if conv:
            layers = nn.Unflatten(1, (1, 2, 5)), nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten()
            return nn.Sequential(*layers, nn.Linear(16, CLASSES)).double()
        layers = nn.Linear(INPUTS, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU()
        return nn.Sequential(*layers, nn.Linear(8, CLASSES)).double()


def data() -> Data:
    """Return samples around three corners, in float64."""
    g = torch.Generator().manual_seed(9)
    y = torch.arange(150) % CLASSES
    x = torch.randn(150, INPUTS, generator=g, dtype=torch.float64)
    x[:, :CLASSES] += 1.5 * nn.functional.one_hot(y, CLASSES)
    parts = (x[:90], y[:90], x[90:120], y[90:120], x[120:], y[120:])
    return Data("corners", "made", *parts)


STEPS = EPOCHS * 6  # (90 samples in batches of 16)


def start(conv: bool = False, seeds: tuple[int, ...] = SEEDS) -> Level:
    """Return level 0 of nets with starts of their own."""
    return dense([net(seed, conv) for seed in seeds], seeds)


def course(level: Level, conv: bool = False, **more: Any) -> Course:
    """Return a level in training."""
    options: dict[str, Any] = dict(iterations=STEPS, batch_size=BATCH, every=5, optimizer=sgd)
    return Course(net(0, conv), level, data(), **options | more)


def sgd(params: Any) -> torch.optim.Optimizer:
    """Return an optimizer with momentum and decay."""
    return torch.optim.SGD(params, 0.1, momentum=0.9, weight_decay=0.01)


def trained(level: Level, conv: bool = False, **more: Any) -> Level:
    """Return a level after training."""
    course(level, conv, **more).fit()
    return level


def far(a: Tensors, b: Tensors) -> float:
    """Return how far two states are apart."""
    return furthest(*[apart(a[name], b[name]) for name in a])


def identities() -> Iterator[Identity]:
    """Yield the identities of tickets."""
    yield Identity("counts of the ladder = by hand", "exact", by_hand)
    yield Identity("counts of trained levels = the ladder", "exact", counts)
    for name, conv in {"stack": False, "loop": True}.items():
        title = f"IMP with no pruning = training again, {name}"
        yield Identity(title, "bitwise", lambda c=conv: nothing(c))
        title = f"a level = what it was before it was saved, {name}"
        yield Identity(title, "bitwise", lambda c=conv: written(c))
        title = f"killed and resumed = not killed, {name}"
        yield Identity(title, "bitwise", lambda c=conv: resumed(c))
        title = f"what is pruned is zero, and the start is that of before, {name}"
        yield Identity(title, "bitwise", lambda c=conv: begun(c))
    yield Identity("level 0 = plain training of the harness", "bitwise", plain)
    yield Identity("masked stack = stack of sparse layers", "rounding", sparse)
    yield Identity("seed 2 of 2 = seed 2 alone", "rounding", alone)
    yield Identity("another start ends elsewhere", "negative", elsewhere)


def by_hand() -> float:
    """Compare the counts of LeNet-300-100 with those by hand."""
    pairs = zip(ladder(LENET, len(BY_HAND)), BY_HAND, strict=True)
    return furthest(*[abs(a[name] - b[name]) for a, b in pairs for name in b])


def counts() -> float:
    """Compare what levels hold with the ladder, in each seed."""
    level, far_off = start(), 0.0
    for want in ladder(level.sizes, 4):
        for name, mask in level.masks.items():
            far_off = furthest(far_off, *[abs(int(m.sum()) - want[name]) for m in mask])
        level = following(trained(level))
    return far_off


def nothing(conv: bool) -> float:
    """Compare two rounds of pruning nothing with one training."""
    first = trained(start(conv), conv)
    second = trained(following(first, rate=0.0, output=0.0), conv)
    return far(first.weights, second.weights)


def plain() -> float:
    """Compare level 0 with the training loop of all other studies."""
    level = trained(start())
    nets = stack([net(seed) for seed in SEEDS])
    how: dict[str, Any] = dict(seeds=SEEDS, epochs=EPOCHS, batch_size=BATCH, job=Job())
    for _ in fit(nets, sgd(nets.parameters()), data(), **how):
        pass
    held = {name: value.squeeze(2) for name, value in nets.state_dict().items() if "bias" in name}
    return far(level.weights, nets.state_dict() | held)


def written(conv: bool) -> float:
    """Compare what follows a level with what follows the level that was read from a file."""
    level = trained(start(conv), conv, keep=(3,))
    file = io.BytesIO()
    torch.save(vars(level), file)
    file.seek(0)
    again = Level(**torch.load(file, weights_only=True))
    ends = [trained(following(each, 3), conv).weights for each in (level, again)]
    return far(*ends)


def resumed(conv: bool) -> float:
    """Compare a level that goes on from a saved state with one that never stopped."""
    levels = [following(trained(start(conv), conv)) for _ in range(2)]
    first = course(levels[0], conv)
    next(iter(first))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    again = course(following(trained(start(conv), conv)), conv)
    again.load_state_dict(torch.load(file, weights_only=True))
    again.fit()
    return far(again.level.weights, trained(levels[1], conv).weights)


def begun(conv: bool) -> float:
    """Return how far weights that are out are from 0 in the end, and the start from the first."""
    first = trained(start(conv), conv)
    level = trained(following(first), conv)
    out = [float(level.weights[n][~mask].abs().max()) for n, mask in level.masks.items()]
    return furthest(far(level.start, start(conv).start), *out)


def sparse() -> float:
    """Compare dense nets under masks with nets that hold only what the masks leave."""
    first = trained(start())
    for _ in range(3):
        first = trained(following(first))
    masked, held = course(following(first)), course(following(first), sparse=True)
    layers: list[Any] = [m for m in held.side.net.modules() if hasattr(m, "backend")]
    for layer in layers:
        layer.backend = "bag"  # (what multiplies no zero, also where dense is faster)
    masked.fit()
    held.fit()
    return far(masked.level.weights, held.level.weights)


def alone() -> float:
    """Compare a seed among others with the same seed by itself."""
    among, single = (following(trained(start(seeds=s))) for s in (SEEDS, SEEDS[1:]))
    a, b = trained(among).weights, trained(single).weights
    return far({name: value[1:] for name, value in a.items()}, b)


def elsewhere() -> float:
    """Return how far a new start moves the trained weights."""
    level = following(trained(start()))
    other = branch(level, "new", [net(seed + 10) for seed in SEEDS])
    return far(trained(level).weights, trained(other).weights)
