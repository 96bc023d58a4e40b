"""Trains one arm with one seed. All chance comes from harness.seeding, so that it can resume."""

import torch
from sklearn.datasets import load_wine
from torch.nn.functional import cross_entropy

from harness.data import Data, load
from harness.nets.perceptron import mlp
from harness.seeding import order


def wine(root, official):
    """178 wines, 13 measures."""
    return Data.from_tensors(*load_wine(return_X_y=True), name="wine")


def train(config, seed, job):
    """A row per epoch: `epoch`, the metric of the plan, and whatever else is worth keeping."""
    data = load(config.data, job.data_root, device=job.device)
    data = data.scaled() if config.scale else data
    net = mlp((*data.shape, 16, data.classes), seed).to(job.device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    for epoch in range(job.attach(net=net, optimizer=optimizer), config.epochs):
        for i in order(seed, epoch, len(data.train_y)).split(16):
            optimizer.zero_grad()
            cross_entropy(net(data.train_x[i]), data.train_y[i]).backward()
            optimizer.step()
        right = net(data.test_x).argmax(1) == data.test_y
        recalls = [right[data.test_y == k].double().mean().item() for k in range(data.classes)]
        yield {"epoch": epoch + 1, "worst_recall": min(recalls)}
