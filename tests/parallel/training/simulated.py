"""A simulation, and what one of its workers would have come to alone: shared by the tests of training."""

import copy
from functools import partial

import torch
import torch.nn.functional as F

from parallel.identities import averaging as identities
from parallel.strategy import make
from parallel.training.training import Training
from parallel.world.comm import Comm

MOMENTUM = partial(torch.optim.SGD, **identities.MOMENTUM)
OPTIONS = dict(batch_size=7, seed=5)


def simulated(
    model,
    loss=F.cross_entropy,
    optimizer=MOMENTUM,
    name="no_comm",
    steps=6,
    n=2,
    words=OPTIONS,
    **options,
):
    parts = model, identities.task(), loss, optimizer, make(name, **options)
    session = Training(*parts, Comm(n), **words)
    for _ in range(steps):
        session.step()
    return session


def alone(session, model, loss=F.cross_entropy, optimizer=MOMENTUM, rank=0):
    """What one of its workers would have come to in a script."""
    net, data = copy.deepcopy(model), session.data
    own = optimizer(list(net.parameters()))
    for step in range(1, session.done + 1):
        index = session.shards.at(step)[rank]
        own.zero_grad()
        loss(net(data.train_x[index]), data.train_y[index]).backward()
        own.step()
    return net


def same(session, model, **words):
    for rank in range(session.comm.workers):
        net = alone(session, model, rank=rank, **words)
        mine = {k: v[rank] for k, v in session.members.get("params").items()}
        assert identities.apart(mine, {k: p.detach() for k, p in net.named_parameters()}) < 1e-12
