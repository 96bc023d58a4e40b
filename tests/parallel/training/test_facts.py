"""What a pipeline tells of itself: theory is what was counted, and who is slow is named."""

import time
import warnings
from collections import deque
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from parallel import World
from parallel.identities import averaging as identities
from parallel.identities.pipelines import STEPS, pipeline, trained, training
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.policies import POLICIES, policy
from parallel.pipeline.stage import Stage
from parallel.training.pace import slow
from parallel.training.pipelined import Pipelined
from parallel.world.run import run
from tests.parallel.pipeline.test_faults import limit

PAIRS = ("versions", "versions_bytes", "activations", "boundary_bytes", "gradient_bytes")


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("name", POLICIES)
def test_what_a_policy_holds_and_sends_is_what_theory_says(name, replicas):
    found = trained(pipeline(policy(name), 3, replicas=replicas), measured=True).facts()
    for pair in PAIRS:
        assert found[f"{pair}_counted"] == found[f"{pair}_theory"], pair
    assert found["delays_counted"] == found["delays_theory"]


@pytest.mark.parametrize("options", [dict(schedule="zbv"), dict(schedule="gpipe"), dict(clip=0.1)])
def test_what_a_schedule_holds_and_sends_is_what_theory_says(options):
    """Nothing is late where updates wait; the bubble of the table is that of one minibatch."""
    found = trained(pipeline(None, 4, micro=3, **options), measured=True).facts()
    for pair in PAIRS:
        assert found[f"{pair}_counted"] == found[f"{pair}_theory"], pair
    assert found["delays_counted"] == [{0: 3 * STEPS}] * 4
    assert found["versions_counted"] == [1] * 4
    if options.get("schedule") == "gpipe":
        assert found["bubble_table"] == 3 / 6  # (P - 1) / (m + P - 1)


def test_bytes_of_activations_are_those_that_autograd_saves():
    """Four micro-batches of 7 samples on the first stage of four; 4, 6 and 6 numbers of 8 bytes.

    Of linear, tanh, linear, tanh: the input of each linear layer, and the output of each tanh.
    """
    found = trained(pipeline(policy("pipedream"), 4), measured=True).facts()
    assert found["activation_bytes_counted"][0] == 4 * 7 * (4 + 6 + 6) * 8
    recomputed = trained(pipeline(policy("recomputed"), 4), measured=True).facts()
    assert recomputed["activation_bytes_counted"][0] == 4 * 7 * 4 * 8


def test_measured_and_simulated_are_told_apart():
    """In one process nobody waits for another, so that there is no measured bubble."""
    session = trained(pipeline(policy("vanilla"), 3), measured=True)
    found = session.facts()
    assert found["bubble_measured"] is None
    assert session.row()["idle_measured"] is None
    assert found["bubble_table"] == pytest.approx(2 / (STEPS + 2))
    assert 0 < found["bubble_simulated"] < 1
    assert found["samples_per_second_simulated"] > found["samples_per_second_measured"] > 0
    assert training(pipeline(None, 2), measured=True).facts()["samples_per_second_measured"] is None


def test_facts_change_no_number():
    ends = []
    for asked in (False, True):
        session = training(pipeline(policy("spectrain_v1"), 3), measured=asked)
        for _ in range(STEPS):
            session.step()
            if asked:
                session.facts()
        ends.append({k: v.clone() for k, v in session.consensus().items()})
    assert identities.apart(*ends) == 0


class Slow(nn.Module):
    """A layer that takes its time."""

    def forward(self, x):
        time.sleep(0.02)
        return x


def uneven(comm, how):
    layers = nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), Slow(), nn.Linear(6, 3), nn.Identity()
    words = nn.Sequential(*layers).double(), identities.task(), F.cross_entropy
    optimizer = partial(torch.optim.SGD, lr=0.05)
    session = Pipelined(*words, optimizer, how, comm, batch_size=7, seed=5, steps=8)
    for _ in range(8):
        session.step()
    row, found = session.row(), session.facts()
    notes = session.notes()
    if comm.rank == 0:
        yield row["idle_measured"], found, notes
    else:
        assert notes == []


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_stage_slower_than_all_is_named_at_the_end(replicas):
    how = Pipeline(3, weights="pipedream", layer_split=[2, 4], replicas=replicas)
    world = World.procs(3 * replicas, threads=1, timeout=30)
    with limit(90):
        ((idle, found, (note,)),) = run(world, uneven, how)
    who = "stage 1 of replica" if replicas > 1 else "stage 1 takes"
    assert note.startswith(who), note
    assert 'the pipeline waits for it; layer_split="measured" balances by times' in note
    assert 0 < idle < 1
    assert 0 < found["bubble_measured"] < 1
    for pair in PAIRS:
        assert found[f"{pair}_counted"] == found[f"{pair}_theory"], pair
    assert found["delays_counted"] == found["delays_theory"]


def test_a_simulation_listens_to_its_stages_only_where_somebody_has_asked():
    session = training(pipeline(policy("vanilla"), 2))
    assert session.executor.stages[0].forward.__func__ is Stage.forward  # (nothing comes between)
    with pytest.raises(ValueError, match=r"make it with Pipelined\(\.\.\., measured=True\)"):
        session.facts()
    listening = training(pipeline(policy("vanilla"), 2), measured=True)
    assert listening.executor.stages[0].forward.func == listening.copies.meter.ears[0]._call


def known(paces, how):
    session = training(how)
    session.copies.paces = paces
    return slow(session.copies)


@pytest.mark.parametrize("paces", [(), (0.003,), (0.001, 0.0014, 0.001), (1e-5, 9e-5, 1e-5)])
def test_nobody_is_named_where_nobody_is_much_slower(paces):
    """Half as slow again is not told, nor what is less than a millisecond."""
    assert known(paces, pipeline(None, 3)) == []


def test_who_is_slow_is_named_by_stages_and_replica():
    (note,) = known((0.001, 0.001, 0.0031), pipeline(None, 3))
    assert note.startswith("stage 2 takes 3.1 ms an update, the others 1.0 on the median: the")
    (note,) = known((1e-3, 1e-3, 1e-3, 9e-3), pipeline(None, 2, replicas=2))
    assert note.startswith("stage 1 of replica 1 takes 9.0 ms")
    (note,) = known((1e-3, 9e-3), pipeline(None, 4, schedule="zbv", layer_split="measured"))
    assert note.startswith("rank 1 (stages 1 and 2) takes")
    assert note.endswith("it was cut by measured times: its layers, or its machine, are slower now")


def test_the_meter_counts_what_it_sees():
    """A stage that keeps one version more is told."""
    session = training(pipeline(policy("pipedream"), 2), measured=True)
    extra = {k: w.clone() for k, w in session.executor.stages[1].weights.newest.items()}
    session.executor.stages[1].weights.older = deque([extra], maxlen=1)
    session.step()
    meter = session.copies.meter
    assert meter.of("versions") == {0: 1, 1: 2}
    assert meter.of("stash")[1] == 2 * session.executor.stages[1].weights.bytes()


def test_train_warns_of_a_slow_stage(monkeypatch):
    from parallel import train
    from parallel.training import pipelined

    monkeypatch.setattr(pipelined, "slow", lambda copies: ["stage 1 takes long"])
    parts = identities.net(), identities.task()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        list(train(*parts, strategy=Pipeline(2, layer_split=[2]), steps=2))
    assert [str(one.message) for one in told] == ["stage 1 takes long"]
