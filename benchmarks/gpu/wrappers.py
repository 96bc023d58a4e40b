"""Wrappers, worlds, exits, pictures and checkpoints on a card, against the same on the CPU.

Training amplifies rounding, so no fixed bound fits a run of several steps. A run on the card may
differ from the CPU's by as much as a second CPU run whose first weights are off by 2^-43 of
themselves: a thousand roundings of float64, more than a step of these nets has in any one sum.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.data import Data
from harness.data.pictures import Batches
from harness.exits import losses
from harness.nets.perceptron import mlp
from harness.record.checkpoint import load_checkpoint, save_checkpoint
from parallel import STRATEGIES, DataParallel, ModelParallel, World, train
from resnet.model import resnet

OFF = 2.0**-43
STEPS = 12
Made = dict[str, torch.Tensor]


def checks(device: str, small: bool) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """Every style and strategy, then the rest; `small` leaves out nothing, it is small as it is."""
    styles = ["torch", "localSGD", *STRATEGIES]
    found = [(f"DataParallel {s}", partial(against_cpu, wrapped, s, device)) for s in styles]
    found += [
        (f"train {s}, sim(4)", partial(against_cpu, simulated, s, device)) for s in STRATEGIES
    ]
    rest = {
        "ModelParallel is the bare model": model_parallel,
        "exits, batched and one by one": exits,
        "pictures as on the CPU": pictures,
        "checkpoint, dense": partial(resumed, pattern="dense"),
        "checkpoint, iddl": partial(resumed, pattern="iddl"),
    }
    return [*found, *((name, partial(check, device=device)) for name, check in rest.items())]


def against_cpu(run: Callable[..., Made], name: str, device: str) -> dict[str, Any]:
    """A run on the device between two runs on the CPU."""
    exact, moved, got = run(name, "cpu"), run(name, "cpu", OFF), run(name, device)
    found = {}
    for key, value in exact.items():
        bound = float((moved[key] - value).abs().max())
        off = float((got[key].cpu() - value).abs().max())
        found[key] = [float(f"{v:.2g}") for v in (off, bound)]
        assert off <= bound, f"{key}: off by {off:.3g}, a start off by 2^-43 gives {bound:.3g}"
    return {"off, allowed": found}


def samples(device: str) -> Data:
    """Three hundred samples of four classes, in float64."""
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(300, 20, generator=g).double(), torch.randint(4, (300,), generator=g)
    data = Data("random", "random", x[:240], y[:240], x[240:], y[240:])
    return data.to(device)


@torch.no_grad()
def start(off: float) -> nn.Sequential:
    """A small net; its weights off by so much of themselves."""
    net = mlp((20, 64, 64, 4)).double()
    for p in net.parameters():
        p.mul_(1 + off)
    return net


def wrapped(style: str, device: str, off: float = 0.0) -> Made:
    """A dozen steps of an ordinary loop around DataParallel with four replicas on one device."""
    workers = None if style == "torch" else 4
    places = dict(device_ids=[device], output_device=device, workers=workers)
    options: dict[str, Any] = (
        {"iterations": 3} if style in ("localSGD", "local_sgd", "post_local_sgd", "ist") else {}
    )
    net = DataParallel(style=style, model=start(off), seed=3, **places, **options)
    optimizer, data = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.5), samples(device)
    for k in range(STEPS):
        x, y = (v[16 * k : 16 * k + 16] for v in (data.train_x, data.train_y))
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    net.eval()
    return {"weights": flat(net.state_dict()), "outputs": net(data.test_x).detach()}


def simulated(strategy: str, device: str, off: float = 0.0) -> Made:
    """The rows of parallel.train with four workers on one device."""
    sgd = partial(torch.optim.SGD, lr=0.05, momentum=0.5)
    rows = train(
        start(off).to(device), samples(device), F.cross_entropy, sgd, strategy, World.sim(4),
        steps=STEPS, batch_size=16, every=4,
    )  # fmt: skip
    keys = "train_loss", "test_loss"
    return {"losses": torch.tensor([[row[k] for k in keys] for row in rows], dtype=torch.float64)}


def flat(state: dict[str, torch.Tensor]) -> torch.Tensor:
    """All values of a state in a row."""
    return torch.cat([v.flatten().double() for v in state.values() if v.is_floating_point()])


def model_parallel(device: str) -> dict[str, Any]:
    """Two parts on one device: the model's own numbers, bit for bit, also of its gradients."""
    bare, split = start(0.0).to(device), start(0.0)
    net = ModelParallel(model=split, layer_split=[2], devices=[device, device])
    x = samples(device).test_x
    outputs = bare(x), net(x)
    for y in outputs:
        y.square().sum().backward()
    assert torch.equal(*outputs)
    pairs = zip(bare.parameters(), net.parameters(), strict=True)
    assert all(torch.equal(a.grad, b.grad) for a, b in pairs)  # pyright: ignore
    return {}


@torch.no_grad()
def exits(device: str) -> dict[str, Any]:
    """Samples of a batch leave where they leave alone, with the same answers."""
    torch.manual_seed(0)
    net: Any = resnet(10, exits=(1, 2, 3), width=8).double().eval().to(device)
    x = torch.randn(48, 3, 32, 32).double().to(device)
    scores = torch.stack([net.score(logits) for logits in net.forward_exits(x)[:-1]])
    bounds = [between(s, 0.6) for s in scores]
    both, alone = net.early(x, bounds), [net.early(one, bounds) for one in x.split(1)]
    assert torch.equal(both.exit, torch.cat([a.exit for a in alone]))
    off = float((both.logits - torch.cat([a.logits for a in alone])).abs().max())
    # Logits of a few units after 13 layers of sums of up to 576 float64 products.
    bound = 13 * 576 * 2.0**-53 * 100
    assert off <= bound, f"logits off by {off:.3g}"
    assert len(both.exit.unique()) == 4
    return {"off": off, "exits": both.exit.bincount(minlength=4).tolist()}


def between(scores: torch.Tensor, share: float) -> float:
    """A threshold midway between two neighbouring scores."""
    order = scores.sort().values
    k = int(share * len(order))
    return float((order[k] + order[k + 1]) / 2)


def pictures(device: str) -> dict[str, Any]:
    """Cropped, flipped, normalised: bit for bit those of the CPU."""
    g = torch.Generator().manual_seed(0)
    x, y = torch.rand(200, 3, 32, 32, generator=g), torch.arange(200) % 10
    data, index = Data("cifar10", "random", x, y, x, y), torch.arange(0, 200, 3)
    for layout in (torch.contiguous_format, torch.channels_last):
        found = []
        for place in ("cpu", device):
            batches = Batches(replace(data).to(place), "flip", 5, layout)
            batches.begin(7)
            found.append([v.cpu() for v in batches.draw(index.to(place))])
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True)), str(layout)
    return {}


def resumed(device: str, pattern: str) -> dict[str, Any]:
    """Six steps, and three steps, a checkpoint and three more.

    Without an answer that is equal bit for bit, the difference must be within that of two runs
    of six steps; the record has both.
    """
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        whole, again = trained(device, pattern, 6), trained(device, pattern, 6)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state.pt"
            trained(device, pattern, 3, save=path)
            parts = trained(device, pattern, 6, load=path)
    finally:
        torch.use_deterministic_algorithms(False)
    off, spread = (float((v - whole).abs().max()) for v in (parts, again))
    assert off <= spread, f"off by {off:.3g}, two whole runs differ by {spread:.3g}"
    return {"bitwise": off == 0, "off": off, "spread of two runs": spread}


def trained(
    device: str, pattern: str, steps: int, save: Path | None = None, load: Path | None = None
) -> torch.Tensor:
    """The weights after so many steps in all, from the start or from a file."""
    net: Any = resnet(10, pattern, exits=(2,), width=8).to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, fused=True)
    state = load_checkpoint(load) if load else None
    if state:
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
    for k in range(state["steps"] if state else 0, steps):
        g = torch.Generator().manual_seed(k)
        x = torch.randn(32, 3, 32, 32, generator=g).to(device)
        y = torch.randint(10, (32,), generator=g).to(device)
        optimizer.zero_grad()
        losses(net.forward_exits(x), y).sum().backward()
        optimizer.step()
    if save:
        held = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "steps": steps}
        save_checkpoint(save, held)
    return flat(net.state_dict()).cpu()
