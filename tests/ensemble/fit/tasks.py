"""A small task, and small nets of several kinds, for members in training."""

from torch import nn

from ensemble.identities.training import CLASSES, INPUTS, dense, normed, parameters, task

__all__ = ["CLASSES", "INPUTS", "dense", "dropping", "normed", "parameters", "task"]


def dropping():
    """A net with dropout."""
    return nn.Sequential(nn.Linear(INPUTS, 8), nn.Dropout(), nn.Linear(8, CLASSES)).double()
