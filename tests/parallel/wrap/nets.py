"""Nets and batches that the tests of wrappers share."""

import torch
import torch.nn.functional as F
from torch import nn

from parallel import ModelParallel


def net(seed=0, norm=False):
    torch.manual_seed(seed)
    extra = [nn.BatchNorm1d(8)] if norm else []
    return nn.Sequential(
        nn.Linear(5, 8), *extra, nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)
    ).double()


def shallow():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)).double()


def batch(n=12, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, 5, generator=g).double(), torch.randint(3, (n,), generator=g)


def step(model, optimizer, k=0, n=12):
    x, y = batch(n, k)
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def wrapped(style="vanilla", model=None, lr=0.05, momentum=0.8, split=(2, 4), **options):
    made = ModelParallel(style=style, model=model or net(), layer_split=list(split), **options)
    return made, torch.optim.SGD(made.parameters(), lr=lr, momentum=momentum)


class VGG(nn.Module):
    """The shape of torchvision's: features, pooling, classifier."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Sequential(
            *(nn.Linear(16, 8), nn.ReLU(), nn.Dropout(0.2)),
            *(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 10)),
        )

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def vgg():
    return VGG()
