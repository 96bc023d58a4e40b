"""Builds all ResNets of the study: CIFAR stem, any depth, and settings that combine.

    stages   0 stem     3x3, `width` channels, no pooling
             1 2 3 4    blocks of width, 2, 4 and 8 times width; 2 to 4 halve the image
             5          global average, classifier

    net = resnet(18, pattern="bibd", groups=4, exits=(2, 3))        sparse, vertical, horizontal

`harness.exits` puts heads after stages; the net itself ends at the last.
"""

from itertools import pairwise

import torch
from torch import nn

from bibd.pattern import check_family, check_whole
from harness.exits import EarlyExit, attach
from harness.exits.words import CRITERIA, HEADS
from harness.names import check, unknown
from harness.seeding import seeded
from harness.stack import Loop
from resnet.blocks import Convolutions, basic, bottleneck
from resnet.words import CLASSIFIERS, DEPTHS, INITS, check_match


class ResNet(nn.Module):
    """A row of stages that maps (batch, channels, height, width) to logits (batch, classes)."""

    def __init__(self, stages: nn.Sequential, channels: int):
        super().__init__()
        self.stages, self.channels = stages, channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        self.check(x)
        return self.stages(x)

    def forward_exits(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the logits of every exit, of which this net has one."""
        return [self(x)]

    def check(self, x: torch.Tensor) -> None:
        """Refuse inputs that torch would take in silence, or refuse in words that do not help.

        Raises:
            ValueError: no batch of images with these channels; one sample in training.
        """
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(
                f"expected a batch (samples, {self.channels}, height, width), got "
                f"{tuple(x.shape)}: build the net with channels= as the images have"
            )
        if self.training and len(x) == 1:
            raise ValueError(
                "a batch of one sample in training: its batch norms have nothing to compare with; "
                "take two or more samples, or call eval() first"
            )

    @classmethod
    def stack(cls, nets: "list[ResNet]") -> nn.Module:
        """Run nets one after the other: for convolutions on a CPU nothing is faster."""
        return Loop(nets)


class SplitClassifier(nn.Module):
    """A linear layer for each slice of the features, and one over what they answer.

    (The original study's "vertical ensemble". It is trained as one network with one loss.)
    """

    def __init__(self, features: int, classes: int, parts: int = 4):
        super().__init__()
        if features % parts:
            raise ValueError(f"a split classifier needs features that {parts} divides")
        sizes = [(features // parts, classes)] * parts
        self.parts = nn.ModuleList(nn.Linear(*size) for size in sizes)
        self.join = nn.Linear(parts * classes, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        slices = x.chunk(len(self.parts), dim=1)
        return self.join(torch.cat([m(s) for m, s in zip(self.parts, slices, strict=True)], dim=1))


def resnet(
    depth: int = 18,
    pattern: str = "dense",
    groups: int = 1,
    exits: tuple[int, ...] = (),
    *,
    width: int = 64,
    classes: int = 10,
    shape: tuple[int, int, int] = (3, 32, 32),
    preact: bool = False,
    sparse_shortcuts: bool = False,
    classifier: str = "linear",
    head: str = "conv",
    criterion: str = "max_probability",
    match: str = "",
    relabel: bool = False,
    init: str = "true",
    seed: int = 0,
) -> ResNet | EarlyExit:
    """Build a net with this seed's first weights and patterns.

    Args:
        depth: 10, 18, 34 (basic blocks), 50, 101 or 152 (bottlenecks).
        pattern: Connections between channels in the blocks' main path: a family of bibd.
        groups: Separate parts of channels there, each with a design of its own.
        exits: Stages after which a head answers early, counted from the stem (0).
        width: Channels of the stem.
        classes: Number of logits.
        shape: Shape of one image: channels, height, width.
        preact: Norm and ReLU before the convolutions.
        sparse_shortcuts: The pattern also for the 1 x 1 shortcuts.
        classifier: "linear" or "split".
        head: Kind of the early heads (harness.exits).
        criterion: When a sample is sure enough to leave.
        match: Take as many connections as this family, for families that let one choose.
        relabel: Permute inputs and outputs of each design by the seed.
        init: "true": Kaiming normal by what a filter reads; "dense": as in the original study.
        seed: Seed of weights and random patterns.

    Raises:
        ValueError: a setting that does not exist or does not fit.
    """
    if depth not in DEPTHS:
        raise unknown("depth", depth, map(str, DEPTHS))
    check("classifier", classifier, CLASSIFIERS)
    check("init", init, INITS)
    check("head", head, HEADS)
    check("criterion", criterion, CRITERIA)
    check_family(pattern)
    check_match(pattern, match)
    if len(shape) != 3:
        raise ValueError(f"shape must be channels, height, width of an image, got {shape}")
    for name, value in {"groups": groups, "width": width, "classes": classes}.items():
        check_whole(name, value, 1)
    if width % groups:
        fit = ", ".join(str(g) for g in range(1, min(width, 64) + 1) if width % g == 0)
        raise ValueError(f"groups={groups} must divide the {width} channels: choose of {fit}")
    convs = Convolutions(pattern, groups, match, relabel, init, sparse_shortcuts, seed)
    with seeded(seed, "init"):
        net = ResNet(_stages(depth, width, classes, shape[0], preact, classifier, convs), shape[0])
        return attach(net, exits, shape, classes, head, criterion) if exits else net


def _stages(depth, width, classes, channels, preact, classifier, convs) -> nn.Sequential:
    expansion, counts = DEPTHS[depth]
    stem = [convs.dense(channels, width, 3, 1)]
    stages = [nn.Sequential(*stem, *([] if preact else _norm_relu(width)))]
    widths = [width, *(expansion * width * 2**k for k in range(4))]
    for k, (inputs, outputs) in enumerate(pairwise(widths)):
        stages.append(_stage(convs, counts[k], inputs, outputs, 2 if k else 1, expansion, preact))
    outputs = widths[-1]
    last = SplitClassifier(outputs, classes) if classifier == "split" else None
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), last or nn.Linear(outputs, classes)]
    return nn.Sequential(*stages, nn.Sequential(*(_norm_relu(outputs) if preact else []), *end))


def _stage(convs, count, inputs, outputs, stride, expansion, preact) -> nn.Sequential:
    make = basic if expansion == 1 else bottleneck
    blocks = [make(convs, inputs, outputs // expansion, stride, preact)]
    blocks += [make(convs, outputs, outputs // expansion, 1, preact) for _ in range(1, count)]
    return nn.Sequential(*blocks)


def _norm_relu(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
