"""Gradients are clipped by the norm of the whole net where updates wait, in every world."""

import pytest
import torch
import torch.nn.functional as F

from parallel.identities import pipelines
from parallel.identities.pipelines import (
    distance,
    minibatches,
    net,
    pipeline,
    task,
    trained,
    weights,
)
from parallel.pipeline.policies import policy
from parallel.training.loop import rows
from parallel.world.run import run
from parallel.world.world import World

LIMIT = 0.05


def by_hand(found, stages):
    model = net(stages)
    optimizer = torch.optim.SGD(model.parameters(), **pipelines.SGD)
    for x, y in minibatches(found):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), LIMIT)
        optimizer.step()
    return [p.detach() for p in model.state_dict().values()]


@pytest.mark.parametrize("order", [None, 1])
@pytest.mark.parametrize(
    ("schedule", "stages", "micro"),
    [
        *[("1f1b", 2, 3), ("1f1b", 4, 3), ("gpipe", 4, 2), ("naive", 3, 1)],
        *[("interleaved", 4, 2), ("zb_h1", 4, 3), ("zbv", 4, 3)],
    ],
)
def test_it_is_the_norm_of_the_whole_net(schedule, stages, micro, order):
    found = trained(pipeline(None, stages, schedule=schedule, micro=micro, clip=LIMIT, order=order))
    wanted = by_hand(found, stages)
    free = weights(trained(pipeline(None, stages, schedule=schedule, micro=micro)))
    assert distance(weights(found), wanted) < 1e-12
    assert distance(free, wanted) > 1e-3


def test_processes_clip_as_the_simulation_does():
    how = pipeline(None, 3, micro=3, clip=LIMIT)
    parts = (
        net(3),
        task(),
        F.cross_entropy,
        pipelines.partial(torch.optim.SGD, **pipelines.SGD),
        how,
    )
    given = dict(batch_size=7, seed=3, reshuffle=False)
    worlds = World.sim(3), World.procs(3, threads=1)
    (first,), (second,) = (list(run(w, rows, parts, given, 12, 12)) for w in worlds)
    for key in ("train_loss", "test_loss"):
        assert abs(first[key] - second[key]) < 1e-12


def test_where_nothing_waits_each_stage_is_clipped_by_itself():
    clipped = trained(pipeline(policy("pipedream"), 3, clip=LIMIT))
    free = trained(pipeline(policy("pipedream"), 3))
    assert distance(weights(clipped), weights(free)) > 1e-3
