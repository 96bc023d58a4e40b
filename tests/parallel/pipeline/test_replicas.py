"""Several copies of each stage are one: every tensor, in every world, with whatever sizes."""

import os
import signal
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harness.data import Data
from harness.nets.dropout import KeyedDropout
from harness.record.checkpoint import load_checkpoint, save_checkpoint
from parallel import World, train
from parallel.identities import averaging as identities
from parallel.identities.pipelines import SGD, distance, net, pipeline, trained, weights
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.policies import policy
from parallel.pipeline.weights import TwoBW
from parallel.training.pipelined import Pipelined
from parallel.training.seeds import Seeds
from parallel.world.comm import Comm, NotFinite
from parallel.world.procs import WorkerError
from parallel.world.run import run
from tests.drawn import examples
from tests.parallel.pipeline.test_faults import limit
from tests.parallel.pipeline.test_resume import everything, through_file

MOMENTUM = partial(torch.optim.SGD, **SGD)
SCHEDULES = {
    "naive": dict(stages=3),
    "gpipe": dict(stages=3),
    "1f1b": dict(stages=3),
    "interleaved": dict(stages=4, chunks=2),
    "zb_h1": dict(stages=3),
    "zbv": dict(stages=4),
}


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("order", [None, 2])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_replicas_of_a_schedule_that_waits_are_one(schedule, order, clip):
    options = dict(schedule=schedule, micro=2, clip=clip, **SCHEDULES[schedule])
    stages = options.pop("stages")
    one = weights(trained(pipeline(None, stages, **options)))
    two = weights(trained(pipeline(None, stages, replicas=2, order=order, **options)))
    assert distance(one, two) < 1e-12


@pytest.mark.parametrize("name", ["vanilla", "pipedream", "two_bw", "spectrain_v1", "pipemare"])
@pytest.mark.parametrize("order", [None, 2])
def test_replicas_of_a_policy_are_one(name, order):
    """Versions, delays and predictions are those of one copy, because all update together."""
    one = weights(trained(pipeline(policy(name), 3)))
    three = weights(trained(pipeline(policy(name), 3, replicas=3, order=order)))
    assert distance(one, three) < 1e-12


def training(how, comm=None, data=None, model=None, **options):
    options = dict(batch_size=7, seed=5, steps=6, resumable=True) | options
    model = identities.net() if model is None else model
    words = model, data or identities.task(), F.cross_entropy, MOMENTUM, how
    return Pipelined(*words, comm or Comm(how.ranks), **options)


def ended(*words, **options):
    session = training(*words, **options)
    while session.done < session.steps:
        session.step()
    return session


@examples(15)
@given(
    batch=st.integers(2, 25),
    micro=st.integers(1, 5),
    replicas=st.integers(1, 5),
    name=st.sampled_from([None, "vanilla", "two_bw", "spectrain_v2"]),
)
def test_replicas_are_one_whatever_the_sizes(batch, micro, replicas, name):
    """Batches of 22 samples that do not divide, and replicas that have no sample of the last."""
    most = -(-min(batch, 22) // micro)
    options = dict(weights=name, micro=micro, layer_split=[2, 4], clip=0.5)
    if name == "two_bw" and micro < 2:
        return
    how = Pipeline(3, replicas=replicas, **options)
    if most < replicas:
        with pytest.raises(ValueError, match=f"take replicas={most} or fewer, or a larger batch"):
            training(how, batch_size=batch)
        return
    one, several = (ended(p, batch_size=batch) for p in (Pipeline(3, **options), how))
    assert identities.apart(one.consensus(), several.consensus()) < 1e-12
    assert abs(one.row()["train_loss"] - several.row()["train_loss"]) < 1e-12


def test_a_replica_without_samples_gives_nothing_and_stays_the_same():
    """The last batch of an epoch has one sample; stages of both replicas are equal bit for bit."""
    session = training(Pipeline(2, weights="pipedream", layer_split=[2], replicas=2), steps=4)
    first, second = session.copies.each
    assert [first.batches.own(t) for t in range(4)] == [4, 4, 4, 1]
    assert [second.batches.own(t) for t in range(4)] == [3, 3, 3, 0]
    for _ in range(4):
        session.step()
    for k in (0, 1):
        a, b = (one.executor.stages[k].weights.newest for one in session.copies.each)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)


class Chosen(nn.Module):
    """A layer that only some samples use."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x):
        return self.inner(x) if bool((x[:, 0] > 0).any()) else x


def chosen():
    torch.manual_seed(0)
    return nn.Sequential(Chosen(), nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_weight_that_no_replica_used_has_no_gradient(sign):
    """Else weight decay and momentum would move it; one that some used has theirs."""
    data = identities.task()
    data.train_x[:, 0] = data.train_x[:, 0].abs() * sign
    how = Pipeline(2, layer_split=[1])
    one = ended(how, data=data, model=chosen())
    two = ended(Pipeline(2, layer_split=[1], replicas=2), data=data, model=chosen())
    assert identities.apart(one.consensus(), two.consensus()) < 1e-12
    moved = not torch.equal(one.consensus()["0.inner.weight"], chosen()[0].inner.weight)
    assert moved == (sign > 0)


def normed(*more):
    torch.manual_seed(0)
    first = nn.BatchNorm1d(4), nn.Linear(4, 6), *more, nn.Tanh()
    return nn.Sequential(*first, nn.BatchNorm1d(6), nn.Linear(6, 3)).double()


def test_running_statistics_are_each_replicas_own_and_the_net_has_their_mean():
    """Of equal parts: the mean of their means is the mean of the whole, the variance is not."""
    split = dict(layer_split=[3])
    one = ended(Pipeline(2, **split), batch_size=22, model=normed()).consensus()
    session = ended(Pipeline(2, replicas=2, **split), batch_size=22, model=normed())
    two = session.consensus()
    assert torch.allclose(one["0.running_mean"], two["0.running_mean"], rtol=0, atol=1e-15)
    assert not torch.allclose(one["0.running_var"], two["0.running_var"], rtol=0, atol=1e-3)
    own = [one.parts.modules[0][0].running_mean for one in session.copies.each]
    assert not torch.equal(*own)
    assert torch.equal(two["0.running_mean"], own[0] + (own[1] - own[0]) / 2)
    assert two["0.num_batches_tracked"] == 6
    session.consensus()
    assert torch.equal(own[0], session.copies.each[0].parts.modules[0][0].running_mean)


def test_replicas_draw_as_micro_batches_do():
    """Dropout of R replicas is that of R micro-batches: no two of them drop the same."""
    layers = KeyedDropout(0.3, 0), nn.Dropout(0.2)
    one = ended(Pipeline(2, layer_split=[3], micro=3), model=normed(*layers), batch_size=11)
    how = Pipeline(2, layer_split=[3], replicas=3)
    three = ended(how, model=normed(*layers), batch_size=11)
    names = [name for name, _ in one.model.named_parameters()]
    a, b = ({k: s.consensus()[k] for k in names} for s in (one, three))
    assert identities.apart(a, b) < 1e-12


@pytest.mark.parametrize(
    "how",
    [
        Pipeline(2, weights="spectrain_v1", layer_split=[3], replicas=2, clip=0.5),
        Pipeline(2, weights="two_bw", micro=2, layer_split=[3], replicas=2),
        Pipeline(2, "gpipe", micro=2, layer_split=[3], replicas=2, clip=0.5),
    ],
)
def test_replicas_are_saved_in_flight_and_go_on_bit_for_bit(how):
    """With running statistics and both kinds of dropout, which differ by replica."""
    make = partial(training, how, batch_size=11, model=None)
    layers = KeyedDropout(0.3, 0), nn.Dropout(0.2)
    whole, new = (make(model=normed(*layers)) for _ in range(2))
    for _ in range(3):
        whole.step()
    new.load_state_dict(through_file(whole.state_dict()))
    for session in (whole, new):
        while session.done < 6:
            session.step()
    assert identities.apart(everything(whole), everything(new)) == 0
    assert (new.comm.sent, new.copies.gradients) == (whole.comm.sent, whole.copies.gradients)


def test_a_state_of_another_number_of_replicas_is_refused():
    two, one = (Pipeline(2, layer_split=[2], replicas=r) for r in (2, 1))
    with pytest.raises(ValueError, match="this state is of another run"):
        training(one).load_state_dict(training(two).state_dict())


def test_replicas_that_do_not_fit_are_answered_with_what_does():
    words = r"2 stages on 2 ranks, 3 replicas of them: 6, and this world has 4: take World.sim\(6\)"
    with pytest.raises(ValueError, match=words):
        training(Pipeline(2, replicas=3), Comm(4))
    for replicas in (0, 1.5):
        with pytest.raises(ValueError, match="replicas is a whole number, 1 or more, got"):
            Pipeline(2, replicas=replicas)
    words = r"5 replicas for micro-batches of up to 4 samples \(batch_size=7, micro=2\)"
    with pytest.raises(ValueError, match=words):
        training(Pipeline(2, micro=2, replicas=5))
    how, nets = Pipeline(2, layer_split=[2], replicas=2), [identities.net()]
    data = Data.from_tensors(torch.randn(9, 4), torch.arange(9) % 3)
    with pytest.raises(ValueError, match="one by one, or take replicas=1"):
        Seeds(nets, data, MOMENTUM, how, batch_size=4, seeds=[0], steps=2)


def test_what_is_not_finite_in_one_replica_is_refused_by_name():
    session = training(Pipeline(2, layer_split=[2], replicas=2, weights="pipedream"))
    session.step()
    with torch.no_grad():
        stage = session.copies.each[1].executor.stages[0]
        stage.sums["0.bias"] = torch.full_like(stage.weights.params["0.bias"], float("nan"))
    words = r"stage 0 of replica 1 has NaN or infinity in its gradient of 0.bias for minibatch 1"
    with pytest.raises(NotFinite, match=words):
        session.step()


def of_two(name, **options):
    micro = 1 + isinstance(policy(name) if name else None, TwoBW)
    return Pipeline(2, weights=name, micro=micro, layer_split=[3], replicas=2, **options)


def tensors(comm, how, place=None, until=6):
    """All tensors after each update, from processes or a simulation; they go on from a place."""
    model = normed(KeyedDropout(0.3, 0))
    session = training(how, comm, model=model, batch_size=11)
    file = place and place / f"{comm.rank}.cp.pt"
    if file and file.exists():
        session.load_state_dict(load_checkpoint(file))
    while session.done < until:
        session.step()
        row = session.row()
        state = {k: v.clone() for k, v in session.consensus().items()}
        words = "train_loss", "test_loss", "test_accuracy", "bytes_payload", "bytes_gradients"
        yield {k: row[k] for k in words}, state
    if file:
        save_checkpoint(file, session.state_dict())


@pytest.mark.parametrize(
    ("how", "parts"),
    [
        (of_two(None, clip=0.5), (6,)),
        (of_two("spectrain_v1"), (3, 6)),
        (of_two("two_bw", clip=0.5), (2, 6)),
        (of_two("pipemare"), (6,)),
    ],
)
def test_processes_are_the_simulation_bit_for_bit(how, parts, tmp_path):
    """Every row and every tensor, running statistics too; saved in flight, and on in new ones."""
    world, told = World.procs(4, threads=1, timeout=20), []
    with limit(120):
        for until in parts:
            told += run(world, tensors, how, tmp_path, until)
    torch.set_num_threads(1)
    expected = list(run(World.sim(4), tensors, how))
    assert len(told) == len(expected) == 6
    for (row, state), (wanted, whole) in zip(told, expected, strict=True):
        assert row == wanted
        assert state.keys() == whole.keys()
        assert all(torch.equal(state[name], whole[name]) for name in whole)


def fail(comm, what):
    session = training(Pipeline(2, layer_split=[2], replicas=2, weights="pipedream"), comm)
    while session.done < 6:
        if comm.rank == 3 and session.done == 2:
            if what == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            session.executor.stages[1].weights.params["0.bias"].data[1] = float("inf")
        session.step()
    yield session.row()


@pytest.mark.parametrize(
    ("what", "texts"),
    [
        (
            "die",
            [
                "rank 3: was killed by SIGKILL",
                "waiting for rank 3 (stage 1 of replica 1): rank 3 did not answer",
            ],
        ),
        ("nan", ["rank 3: NotFinite", "stage 1"]),
    ],
)
def test_a_replica_that_fails_is_named_and_all_stop(what, texts):
    with limit(60), pytest.raises(WorkerError) as caught:
        list(run(World.procs(4, timeout=4), fail, what))
    for text in texts:
        assert text in str(caught.value), str(caught.value)


def test_train_takes_replicas_and_the_world_that_they_need():
    how = Pipeline(3, weights="spectrain_v2", replicas=2, layer_split=[4, 8])
    parts = net(3), identities.task(), F.cross_entropy, MOMENTUM
    rows = list(train(*parts, strategy=how, steps=5, batch_size=7, every=5))
    alone = pipeline(policy("spectrain_v2"), 3)
    (one,) = train(*parts, strategy=alone, steps=5, batch_size=7, every=5)
    assert rows[0]["samples"] == one["samples"]
    assert abs(rows[0]["test_loss"] - one["test_loss"]) < 1e-12
    assert rows[0]["bytes_payload"] - rows[0]["bytes_gradients"] == one["bytes_payload"]
