"""Every identity of pipelines holds, and one that does not is found."""

from dataclasses import dataclass
from functools import partial

import pytest
import torch

from harness.result.findings import LIMITS, find
from parallel import verify
from parallel.identities import chosen, pipelines
from parallel.identities import pipeline_oracle as oracle
from parallel.identities.predictions import one_weight, step
from parallel.pipeline import build, joint, stage
from parallel.pipeline.actions import Table
from parallel.pipeline.policies import POLICIES, policy
from parallel.pipeline.schedules import SCHEDULES, one_f_one_b
from parallel.pipeline.weights import PipeDream, Policy, Predicting, SpecTrain2, Vanilla

FAST = (
    *("pipeline", "vanilla", "two_bw", "spectrain_v1", "pipemare"),
    *("1f1b", "interleaved", "async_1f1b"),
)
OTHERS = [n for n in (*SCHEDULES, *POLICIES) if n not in FAST]


@pytest.mark.parametrize("name", FAST)
def test_its_identities_hold_from_the_first_steps_on(name, monkeypatch):
    monkeypatch.setattr(pipelines, "STEPS", 12)  # (8 stages are full after 7 of them)
    held(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FAST, *OTHERS])
def test_its_identities_hold(name):
    held(name)


def held(name):
    found = verify(name)
    assert found.ok, found
    assert len(found) >= (2 if name == "async_1f1b" else 7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spectrain_v1", "two_bw", "zbv", "interleaved"])
def test_processes_are_the_simulation(name):
    found = verify(name, "procs")
    assert found.ok, found
    assert any(f.identity == "processes = simulation" for f in found)


def failed(thing):
    return {f.identity for f in verify(thing) if not f.ok}


def fails(thing, title):
    """Whether the identity of this title does not hold; no other one is asked for."""
    subject, identities = chosen.chosen(thing, "sim")
    ((_, kind, measure),) = (one for one in identities if one[0] == title)
    return not find(subject, title, kind, measure).ok


def test_a_policy_that_lies_about_its_versions_is_found(monkeypatch):
    monkeypatch.setattr(pipelines, "STEPS", 12)

    @dataclass(frozen=True)
    class Fewer(PipeDream):
        def held(self, stage, stages):
            return 1

    assert failed(Fewer()) == {"delays N-1-k, versions as in theory"}


def test_a_policy_that_looks_further_than_it_says_is_found():
    class Further(SpecTrain2):
        def forward(self, weights, t):
            return weights.ahead(weights.delay + (weights.stage == 0))

    assert fails(Further(), "looks as far ahead as in theory")


class Behind(Policy):
    """One version older in the forward pass, the newest in the backward pass, at every stage."""

    def kept(self, stage, stages):
        return 1

    def forward(self, weights, t):
        return weights.version(weights.number - 1)


class Beyond(Predicting):
    """Looks on in the backward pass, at every stage."""

    def reach(self, stage, stages):
        return stages - 1 - stage, 1


@pytest.mark.parametrize("kind", [Behind, Beyond])
def test_passes_that_differ_on_the_last_stage_are_the_oracles(kind, monkeypatch):
    def seen(rule, past, k, n, t):
        now = max(0, t - (n - 1 - k))
        ahead = oracle._ahead(past, now, n - 1 - k, rule.lr)
        return past.w[max(0, now - 1)] if kind is Behind else ahead

    def back(rule, past, k, n, t, _):
        return past.w[t] if kind is Behind else oracle._ahead(past, t, 1, rule.lr)

    monkeypatch.setattr(oracle, "forward_weights", seen)
    monkeypatch.setattr(oracle, "backward_weights", back)
    monkeypatch.setitem(POLICIES, "mine", kind)
    assert pipelines.by_oracle(kind()) < LIMITS["rounding"]
    monkeypatch.setattr(kind, "swaps", False)
    assert pipelines.by_oracle(kind()) > 1e3 * LIMITS["rounding"]


def test_an_engine_that_asks_the_last_stage_once_is_found(monkeypatch):
    monkeypatch.setattr(build, "late", lambda policy, stage, stages: stage < stages - 1)
    assert fails(Beyond(), "looks as far ahead as in theory")


def test_a_policy_that_writes_to_the_true_weights_is_found():
    class Writes(Vanilla):
        def forward(self, weights, t):
            for w in weights.newest.values():
                w.mul_(0.999)
            return weights.newest

    assert fails(Writes(), "true weights change in updates only")


def test_an_engine_that_leaves_out_an_update_is_not_the_oracle(monkeypatch):
    before = stage.Stage.update
    late = lambda self, t: before(self, t) if t else self.weights.after()  # noqa: E731
    monkeypatch.setattr(stage.Stage, "update", late)
    assert pipelines.by_oracle(policy("vanilla")) > 1e3 * LIMITS["rounding"]


def test_an_engine_whose_backward_sees_the_forward_weights_is_not_vanilla(monkeypatch):
    monkeypatch.setattr(Vanilla, "swaps", False)
    assert pipelines.by_oracle(policy("vanilla")) > 1e3 * LIMITS["rounding"]


def test_replicas_whose_gradients_are_averaged_alike_are_not_one(monkeypatch):
    """Shares of the minibatch are added up; a mean of them is too short by their number."""
    before = joint.added
    mean = lambda states: {k: v / len(states) for k, v in before(states).items()}  # noqa: E731
    monkeypatch.setattr(joint, "added", mean)
    assert pipelines.by_replicas(policy("vanilla")) > LIMITS["negative"]


def test_a_schedule_of_ones_own_is_verified():
    def mine(stages: int, minibatches: int, micro: int) -> Table:
        return one_f_one_b(stages, minibatches, micro)

    found = verify(mine)
    assert found.ok, found
    assert {f.subject for f in found} == {"mine"}

    def short(stages: int, minibatches: int, micro: int) -> Table:
        whole = one_f_one_b(stages, minibatches, micro)
        return Table("short", tuple(row[:-1] for row in whole.ranks), stages, minibatches, micro)

    assert fails(short, "tables complete, no deadlock")


def test_words_of_the_command_line():
    assert chosen.names(("pipeline", "lwp", "zbv")) == ["lwp", "zbv"]
    assert chosen.names(("pipeline",)) == ["pipeline", *SCHEDULES, *POLICIES]
    with pytest.raises(ValueError, match="did you mean 'spectrain_v1'"):
        chosen.names(("spectrain_v11",))


def test_prediction_errs_by_the_square_of_the_rate():
    """Along a smooth path: a quarter of the error at half of the rate, ever more so."""
    errors = []
    for lr in (0.02, 0.01, 0.005):
        found = one_weight(partial(torch.optim.SGD, lr=lr, momentum=0.5), 3, "velocity")
        (w,) = found.params.values()
        wanted = w
        for t in range(33):
            if t == 30:
                wanted = found.ahead(3)["w"].clone()
            step(found, torch.sin(w.detach()))
        errors.append(float((wanted - found.newest["w"]).norm()))
    first, second = errors[0] / errors[1], errors[1] / errors[2]
    assert abs(second - 4) < abs(first - 4)
    assert 3 < second < 4.5
