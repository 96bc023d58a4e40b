"""`python -m benchmarks.resnet_loader`: which share of a training step the pictures take.

A batch of 128 CIFAR-like images, cropped and flipped, by harness.data.pictures (resident tensors,
one gather) and by torchvision's transforms in a DataLoader without workers, beside one
training step of nets of the study; in turn, round by round, and the medians.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import tyro
from torch.utils.data import DataLoader, Dataset

from benchmarks.sparse.rounds import race
from benchmarks.telling import written
from harness.cost import synchronize
from harness.data import Data
from harness.data.pictures import NORMS, Batches
from harness.engine.machine import pick_device
from harness.record.provenance import collect
from harness.result import screen
from harness.sweep.launch import keep_pages
from resnet.experiments import PLANS
from resnet.plans.config import Config
from resnet.trainer import answers, build, layout, make_optimizer, step

NETS = {
    "ResNet-18, width 16": PLANS["cpu"].arms["ResNet-18"],
    "B-ResNet-18, width 16": PLANS["cpu"].arms["B-ResNet-18"],
    "ResNet-18, width 64": PLANS["paper"].arms["ResNet-18"],
    "B-ResNet-18, width 64": PLANS["paper"].arms["B-ResNet-18"],
}
IMAGES, BATCH = 10_000, 128


@dataclass(frozen=True)
class Options:
    """Share of a training step that goes into making its batch."""

    rounds: int = 7
    """Of each side, in turn."""
    threads: int = 0
    """Of torch; 0: as many as it takes."""
    device: str = "auto"
    """cpu or cuda."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the record there."""
    json: bool = False
    """Print one JSON document and nothing else."""


class Pictures(Dataset):
    """As torchvision serves CIFAR-10: a PIL image at a time, through the usual transforms."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor):
        from torchvision import transforms as t

        self.x, self.y = (x * 255).byte().permute(0, 2, 3, 1).numpy(), y.tolist()
        crop = t.RandomCrop(32, padding=4), t.RandomHorizontalFlip()
        self.transform = t.Compose([*crop, t.ToTensor(), t.Normalize(*NORMS["cifar10"])])

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.x[index])), self.y[index]


def measure(options: Options) -> list[dict[str, Any]]:
    """One object per net."""
    device = pick_device(options.device)
    x, y = torch.rand(IMAGES, 3, 32, 32, device=device), torch.arange(IMAGES, device=device) % 10
    data = Data("cifar10", "random pixels", x, y, x, y)
    return [_line(name, config, data, options) for name, config in NETS.items()]


def _line(name: str, config: Config, data: Data, options: Options) -> dict[str, Any]:
    device = data.train_x.device
    lay = layout(config, device.type)
    batches = Batches(data, "flip", 0, lay)
    batches.begin(0)
    net = build(config, data, 0).to(device).to(memory_format=lay).train()  # pyright: ignore
    optimizer = make_optimizer(config, net)
    index = torch.arange(BATCH, device=device) * 7
    images, labels = batches.draw(index)
    loader = _endless(Pictures(data.train_x.cpu(), data.train_y.cpu()))
    sides: dict[str, Callable[[], Any]] = {
        "ours": lambda: batches.draw(index),
        "loader": lambda: next(loader),
        "step": lambda: step(config, partial(answers, config, net), optimizer, images, labels),
    }
    waited = {k: _waiting(call, device) for k, call in sides.items()}
    times = {k: median(t) / 1e3 for k, t in race(waited, options.rounds, 0.3).items()}
    return {
        "name": name,
        **{f"{k}_ms": v for k, v in times.items()},
        "share": times["ours"] / (times["ours"] + times["step"]),
        "loader_share": times["loader"] / (times["loader"] + times["step"]),
    }


def _endless(pictures: Pictures):
    while True:
        yield from DataLoader(pictures, BATCH, shuffle=True, drop_last=True)


def _waiting(call: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    def timed() -> None:
        call()
        synchronize(device)

    return timed


def main() -> int:
    """Run the benchmark."""
    options = tyro.cli(Options, prog="python -m benchmarks.resnet_loader")
    keep_pages()
    if options.threads:
        torch.set_num_threads(options.threads)
    document = {"table": measure(options), "rounds": options.rounds, "provenance": collect()}
    if written(options, document):
        return 0
    heads = ["net", "ours, ms", "DataLoader, ms", "step, ms", "share, ours", "share, DataLoader"]
    rows = [
        [line["name"], *(f"{line[k]:.2f}" for k in ("ours_ms", "loader_ms", "step_ms"))]
        + [f"{line[k]:.1%}" for k in ("share", "loader_share")]
        for line in document["table"]
    ]
    screen.show(f"a batch of {BATCH} pictures, {torch.get_num_threads()} threads", heads, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
