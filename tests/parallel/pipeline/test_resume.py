"""Saved with minibatches in flight, and loaded into a new training: as if nothing had happened."""

import io
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.nets.dropout import KeyedDropout
from parallel.identities import averaging as identities
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.policies import POLICIES
from parallel.training.pipelined import Pipelined
from parallel.world.comm import Comm

OPTIMIZERS = {
    "SGD": partial(torch.optim.SGD, lr=0.05, momentum=0.8, weight_decay=0.01),
    "Adam": partial(torch.optim.Adam, lr=0.01),
}
SYNCHRONOUS = {
    "naive": dict(stages=3),
    "gpipe": dict(stages=3),
    "1f1b": dict(stages=3),
    "interleaved": dict(stages=4, chunks=2),
    "zb_h1": dict(stages=3),
    "zbv": dict(stages=4),
}


def net():
    """A layer of everything that remembers or draws, in each of three stages and the last of four."""
    torch.manual_seed(0)
    first = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.2), nn.Tanh()
    second = nn.Linear(6, 6), KeyedDropout(0.3, 0), nn.BatchNorm1d(6), nn.ReLU(inplace=True)
    third = nn.Linear(6, 6), nn.BatchNorm1d(6, momentum=None), KeyedDropout(0.2, 1)
    return nn.Sequential(*first, *second, *third, nn.Dropout(0.1), nn.Linear(6, 3)).double()


def training(pipeline, optimizer="SGD", model=net, **options):
    options = dict(batch_size=6, seed=5, steps=9, resumable=True) | options
    words = model(), identities.task(), F.cross_entropy, OPTIMIZERS[optimizer], pipeline
    return Pipelined(*words, Comm(pipeline.ranks), **options)


def asynchronous(name):
    return Pipeline(3, weights=name, micro=1 + (name == "two_bw"), layer_split=[3, 7], clip=0.5)


def through_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def everything(session):
    """Weights, running statistics, optimizers, and what is known of the last minibatches."""
    found = {k: v.clone() for k, v in session.consensus().items()}
    for k, stage in session.executor.stages.items():
        for name, p in stage.weights.params.items():
            state = stage.weights.stepper.state[p]
            found |= {f"{k}.{name}.{key}": torch.as_tensor(v) for key, v in state.items()}
    return found | {"losses": torch.tensor([loss for loss, _ in session.tally.losses])}


def resumed_as_whole(make, at=4):
    """Saved after some updates while another goes on; the deviation of the two at the end."""
    whole, new = make(), make()
    for _ in range(at):
        whole.step()
    state = through_file(whole.state_dict())
    new.load_state_dict(state)
    while whole.done < whole.steps:
        whole.step()
        new.step()
    assert new.comm.sent == whole.comm.sent
    return identities.apart(everything(whole), everything(new))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", POLICIES)
def test_a_pipeline_saved_in_flight_goes_on_bit_for_bit(name, optimizer):
    """Batch norms, whose statistics must not move twice, and both kinds of dropout are in it."""
    make = partial(training, asynchronous(name), optimizer)
    session = make()
    for _ in range(4):
        session.step()
    assert any(stage.flights for stage in session.executor.stages.values())
    assert resumed_as_whole(make) == 0


@pytest.mark.parametrize("name", SYNCHRONOUS)
def test_a_pipeline_that_waits_is_saved_between_minibatches(name):
    options = SYNCHRONOUS[name]
    split = [3, 7] if options["stages"] == 3 else [3, 7, 9]
    assert (
        resumed_as_whole(
            lambda: training(
                Pipeline(schedule=name, micro=2, layer_split=split, clip=0.5, **options)
            )
        )
        == 0
    )


@pytest.mark.parametrize("at", [0, 1, 8, 9])
def test_it_is_saved_while_the_pipeline_fills_and_while_it_drains(at):
    assert resumed_as_whole(partial(training, asynchronous("spectrain_v1")), at) == 0


def test_what_was_saved_does_not_change_when_the_training_goes_on():
    """Nor does what was loaded: it can be loaded again."""
    make = partial(training, asynchronous("spectrain_v2"), "Adam")
    whole = make()
    for _ in range(4):
        whole.step()
    state = whole.state_dict()
    ends = [whole, make(), make()]
    for session in ends:
        if session is not whole:
            session.load_state_dict(state)
        while session.done < 9:
            session.step()
    for session in ends[1:]:
        assert identities.apart(everything(session), everything(whole)) == 0


def test_it_can_be_loaded_where_something_else_is_in_flight():
    make = partial(training, asynchronous("vertical_sync"))
    whole, later = make(), make()
    for _ in range(3):
        whole.step()
    state = whole.state_dict()
    for _ in range(6):
        later.step()
    later.load_state_dict(state)
    for session in (whole, later):
        while session.done < 9:
            session.step()
    assert identities.apart(everything(later), everything(whole)) == 0


@pytest.mark.parametrize("name", ["vanilla", "spectrain_v1", "pipeoptim", "pipemare"])
def test_forward_weights_that_were_not_kept_are_asked_for(name):
    session = training(asynchronous(name), resumable=False)
    session.step()
    with pytest.raises(ValueError, match="did not keep: make the training with resumable=True"):
        session.state_dict()


def test_keeping_forward_weights_changes_no_number():
    kept, freed = (
        training(asynchronous("spectrain_v1"), resumable=resumable) for resumable in (True, False)
    )
    for _ in range(9):
        kept.step()
        freed.step()
    assert identities.apart(everything(kept), everything(freed)) == 0


@pytest.mark.parametrize(
    "other",
    [
        lambda: training(asynchronous("pipedream")),
        lambda: training(Pipeline(3, weights="spectrain_v1", layer_split=[3, 8], clip=0.5)),
        lambda: training(asynchronous("spectrain_v1"), seed=6),
        lambda: training(asynchronous("spectrain_v1"), steps=10),
    ],
)
def test_a_state_of_another_run_is_refused(other):
    state = training(asynchronous("spectrain_v1")).state_dict()
    with pytest.raises(
        ValueError, match=r"this state is of another run: .* \(cut at layer_split=\[3, 7\], here"
    ):
        other().load_state_dict(state)


def test_rows_go_on_too():
    """The losses since the last row, the samples and the bytes are in the state."""
    make = partial(training, asynchronous("pipedream"))
    whole, new = make(), make()
    for _ in range(4):
        whole.step()
    new.load_state_dict(through_file(whole.state_dict()))
    for session in (whole, new):
        session.step()
    times = ("train_time", "inference_time")
    a, b = ({k: v for k, v in s.row().items() if k not in times} for s in (whole, new))
    assert a == b
