"""The gradients of torch's own schedules, in two processes, are those of the engine's.

Batches of 8 in 4 micro-batches of 2: all weights of samples are powers of two, so that both find
the same gradients of each micro-batch, with the same calls, and only the order in which they are
added up may differ. A sum of m terms, in whatever order, is within (m - 1) eps / 2 times the sum of
their sizes of the true one (to first order), so two such sums are within (m - 1) eps times it.
"""

import multiprocessing

import pytest
import torch
import torch.nn.functional as F
from torch import distributed, nn

from parallel.identities.pipelines import minibatches, net, pipeline, training

RANKS, MICRO, BATCH = 2, 4, 8
LEAST = (2, 7)  # 2.6 does not divide by the number of micro-batches, and waits forever on gloo
KINDS = {  # of ours: torch's, and our options; what of a rank's stages comes after the first
    "gpipe": ("ScheduleGPipe", {}, None),
    "1f1b": ("Schedule1F1B", {}, None),
    "interleaved": ("ScheduleInterleaved1F1B", {"chunks": 2}, lambda rank: rank + RANKS),
    "zb_h1": ("ScheduleInterleavedZeroBubble", {"chunks": 2}, lambda rank: rank + RANKS),
    "zbv": ("ScheduleZBVZeroBubble", {}, lambda rank: 2 * RANKS - 1 - rank),
}


def stages_of(name, rank):
    second = KINDS[name][2]
    return [rank] if second is None else [rank, second(rank)]


def by_torch(rank, name, place, x, y, results):
    """A step of torch's schedule; tells the gradients of the stages of this rank."""
    from torch.distributed import pipelining
    from torch.distributed.pipelining import schedules

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{place}", rank=rank, world_size=RANKS)
    own, count = stages_of(name, rank), RANKS * len(stages_of(name, rank))
    layers = list(net(count))
    modules = [nn.Sequential(*layers[4 * k : 4 * k + 4]) for k in own]
    device = torch.device("cpu")
    made = [
        pipelining.PipelineStage(module, k, count, device)
        for k, module in zip(own, modules, strict=True)
    ]
    kind = getattr(schedules, KINDS[name][0])
    schedule = kind(made if len(own) > 1 else made[0], MICRO, loss_fn=F.cross_entropy)
    schedule.step(*([x] if 0 in own else []), target=y if count - 1 in own else None)
    found = {k: [p.grad for p in m.parameters()] for k, m in zip(own, modules, strict=True)}
    results.put({k: [g.numpy() for g in each] for k, each in found.items()})
    distributed.barrier()
    distributed.destroy_process_group()


def gradients_of_torch(name, place, x, y):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    words = name, place, x, y, results
    members = [context.Process(target=by_torch, args=(r, *words)) for r in range(RANKS)]
    try:
        for one in members:
            one.start()
        found = {}
        for _ in members:
            found |= results.get(timeout=120)
    finally:
        for one in members:
            one.join(20)
            one.kill()
    return [torch.from_numpy(g) for k in sorted(found) for g in found[k]]


def terms(count, x, y):
    """The sum over micro-batches of the sizes of their gradients, each by a share of 1 / MICRO."""
    model = net(count)
    total = [torch.zeros_like(p) for p in model.parameters()]
    for a, b in zip(x.chunk(MICRO), y.chunk(MICRO), strict=True):
        each = torch.autograd.grad(F.cross_entropy(model(a), b), list(model.parameters()))
        total = [t + g.abs() / MICRO for t, g in zip(total, each, strict=True)]
    return total


def gradients(optimizer):
    return {id(p): p.grad for group in optimizer.param_groups for p in group["params"]}


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_gradients_are_those_of_torchs_own_schedule(name, tmp_path):
    pytest.importorskip("torch.distributed.pipelining")
    if tuple(map(int, torch.__version__.split(".")[:2])) < LEAST:
        pytest.skip(f"{KINDS[name][0]} of torch {torch.__version__} does not work on gloo")
    count = RANKS * len(stages_of(name, 0))
    how = pipeline(None, count, schedule=name, micro=MICRO, **KINDS[name][1])
    session = training(how, batch_size=BATCH, steps=24)
    x, y = minibatches(session)[0]
    assert len(x) == BATCH
    used: dict[int, torch.Tensor] = {}
    for stage in session.executor.stages.values():
        stage.weights.stepper.register_step_pre_hook(lambda made, *_: used.update(gradients(made)))
    session.step()
    ours = [used[id(p)] for p in session.model.parameters()]
    theirs = gradients_of_torch(name, tmp_path / "store", x, y)
    bounds = [(MICRO - 1) * torch.finfo(torch.float64).eps * t for t in terms(count, x, y)]
    assert len(ours) == len(theirs) == 4 * count
    for a, b, bound in zip(ours, theirs, bounds, strict=True):
        assert a is not None
        assert bool(((a - b).abs() <= bound).all())
        assert bool(a.any())
