"""Early exits: they really leave, and the answers are those of one sample at a time."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness import cost
from harness.exits.exits import CRITERIA, EarlyExit, attach, check_thresholds, leaves, losses
from harness.exits.thresholds import Record, fit, leave_at, outcome, record, sweep
from harness.exits.timing import measure
from resnet.model import resnet

NETS = {
    "dense": dict(pattern="dense"),
    "sparse": dict(pattern="bibd", groups=2),
    "linear heads": dict(pattern="dense", head="linear"),
    "pooled, preact": dict(pattern="iddl", head="pool", preact=True),
}


@torch.enable_grad()
def trained_a_little(**options):
    """A net whose exits disagree and are neither sure nor clueless, with statistics of its own."""
    torch.manual_seed(0)
    net = resnet(10, exits=(1, 2, 3), width=8, **options)
    x = torch.randn(64, 3, 32, 32)
    y = torch.randint(10, (64,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        losses(net.forward_exits(x), y).sum().backward()
        optimizer.step()
    return net.eval()


def one_at_a_time(net, x, bounds):
    """The slow twin: every exit of every sample alone, and a loop that looks at them in turn."""
    found = []
    for sample in x:
        outputs = net.forward_exits(sample[None])
        for number, logits in enumerate(outputs):
            p = torch.softmax(logits[0].double(), 0).tolist()
            score = plain_score(net.criterion, p)
            last = number == len(outputs) - 1
            if last or bounds[number] <= 0 or (score > bounds[number] and bounds[number] < 1):
                found.append((number, logits[0], score))
                break
    return found


def plain_score(criterion, p):
    first, second = sorted(p, reverse=True)[:2]
    if criterion == "max_probability":
        return first
    if criterion == "margin":
        return first - second
    return 1 + sum(q * math.log(q) for q in p if q > 0) / math.log(len(p))


@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_compacted_exits_are_those_of_one_sample_at_a_time(name):
    net = trained_a_little(**NETS[name]).double()
    x = torch.randn(50, 3, 32, 32, dtype=torch.float64)
    for criterion in CRITERIA:
        net.criterion = criterion
        scores = torch.stack([net.score(o) for o in net.forward_exits(x)[:-1]])
        bounds = [float(s.quantile(0.6)) for s in scores]
        expected = one_at_a_time(net, x, bounds)
        assert len({number for number, _, _ in expected}) == 4
        for batch in (1, 7, 128):
            parts = [net.early(part, bounds) for part in x.split(batch)]
            exits = torch.cat([p.exit for p in parts]).tolist()
            logits = torch.cat([p.logits for p in parts])
            assert exits == [number for number, _, _ in expected]
            same = torch.stack([logits for _, logits, _ in expected])
            assert torch.allclose(logits, same, rtol=1e-10, atol=1e-10)
            assert logits.argmax(1).tolist() == same.argmax(1).tolist()
            got = torch.cat([p.score for p in parts])
            assert got.tolist() == pytest.approx([s for _, _, s in expected], abs=1e-10)


@torch.no_grad()
def test_in_float32_only_samples_at_the_threshold_may_differ():
    net = trained_a_little()
    x = torch.randn(300, 3, 32, 32)
    scores = torch.stack([net.score(o) for o in net.forward_exits(x)[:-1]])
    bounds = [float(s.quantile(0.5)) for s in scores]
    near = ((scores - torch.tensor(bounds)[:, None]).abs() < 1e-5).any(0)
    found = [torch.cat([net.early(p, bounds).exit for p in x.split(b)]) for b in (1, 7, 128)]
    for other in found[1:]:
        differ = found[0] != other
        assert not (differ & ~near).any()
    assert near.sum() < 10  # (the quantiles themselves are samples)


@torch.no_grad()
def test_finished_samples_are_not_computed_any_further():
    """What each stage really sees, counted: the survivors, and no more."""
    net = trained_a_little()
    seen = [[] for _ in net.stages]
    for i, stage in enumerate(net.stages):
        stage.register_forward_pre_hook(lambda m, inputs, i=i: seen[i].append(len(inputs[0])))
    x = torch.randn(100, 3, 32, 32)
    scores = [net.score(o) for o in net.forward_exits(x)[:-1]]
    for sizes in seen:
        sizes.clear()
    found = net.early(x, [float(s.median()) for s in scores])
    left = [int((found.exit > k).sum()) for k in range(3)]
    assert 0 < left[2] < left[1] < left[0] < 100
    assert seen == [[100], [100], [left[0]], [left[1]], [left[2]], [left[2]]]
    for sizes in seen:
        sizes.clear()
    net.early(x, 0)
    assert seen == [[100], [100], [], [], [], []]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@torch.no_grad()
def test_always_and_never_are_the_first_and_the_last_exit(layout):
    net = trained_a_little().to(memory_format=layout)
    x = torch.randn(20, 3, 32, 32).contiguous(memory_format=layout)
    every = net.forward_exits(x)
    for criterion in CRITERIA:
        net.criterion = criterion
        first, last = net.early(x, 0.0), net.early(x, 1.0)
        assert torch.equal(first.logits, every[0])
        assert torch.equal(last.logits, every[-1])
        assert torch.equal(last.logits, net(x))
        assert first.exit.tolist() == [0] * 20
        assert last.exit.tolist() == [3] * 20
    only_second = net.early(x, [1, 0, 1])
    assert torch.equal(only_second.logits, every[1])


def test_extremes_hold_whatever_the_rounding():
    sure = torch.tensor([1.0, 1.0 + 1e-7, float("nan"), -1e-9])
    assert leaves(sure, 1.0).tolist() == [False] * 4
    assert leaves(sure, 0.0).tolist() == [True] * 4
    assert leaves(sure, 0.5).tolist() == [True, True, False, False]
    flat, peaked = torch.zeros(3, 10), torch.tensor([[1e4] + [0.0] * 9])
    for f in CRITERIA.values():
        assert -1e-6 <= f(flat).min() <= f(peaked).max() <= 1 + 1e-6
        assert f(peaked.double()).item() == pytest.approx(1)
    assert CRITERIA["entropy"](flat.double()).abs().max() < 1e-12
    assert CRITERIA["margin"](flat).abs().max() == 0


def test_the_words_of_the_settings_are_the_criteria():
    from harness.exits import words
    from resnet.words import STAGES

    assert set(words.CRITERIA) == set(CRITERIA)
    assert len(resnet(10, width=8).stages) == STAGES


def test_any_net_with_stages_can_have_exits():
    from mlp.experiments import PLANS
    from mlp.model import build

    net = build(PLANS["paper"].arms["B-MLP-3-1"], 784, 10, seed=0)
    model = attach(net, (0,), (784,), 10, head="linear").eval()
    x = torch.randn(9, 784)
    assert torch.equal(model(x), net(x))
    assert torch.equal(model.early(x, 1).logits, net(x))
    assert torch.equal(model.early(x, 0).logits, model.forward_exits(x)[0])
    first, last = model.costs()
    assert first.macs == 448 + 16 * 10
    assert last.macs == 728 + 160
    with pytest.raises(ValueError, match=r"head 'conv' needs images.*use head='linear'"):
        attach(net, (0,), (784,), 10)


def test_nets_that_do_not_follow_the_protocol_are_refused():
    class Net(nn.Module):
        def __init__(self, *stages):
            super().__init__()
            self.stages = nn.Sequential(*stages)

    flat = nn.Sequential(nn.Flatten(), nn.Linear(8 * 64, 10))
    fine = Net(nn.Conv2d(3, 8, 3, padding=1), flat)
    assert attach(fine, (0,), (3, 8, 8), 10).exits == 2
    for net, shape, classes, text in (
        (nn.Linear(3, 2), (3,), 2, "Linear has no `stages`, an nn.Sequential that is the whole"),
        (Net(nn.Conv2d(3, 8, 3), nn.ReLU()), (3, 8, 8), 10, r"the last stage gives \(8, 6, 6\)"),
        (fine, (3, 8, 8), 7, r"the last stage gives \(10,\), expected \(7,\)"),
        (fine, (3, 9, 9), 10, r"an input of shape \(3, 9, 9\) does not go through"),
    ):
        with pytest.raises(ValueError, match=text):
            attach(net, (0,), shape, classes)


def test_the_wrapper_is_transparent():
    net = resnet(10, width=8, exits=(2,))
    assert isinstance(net, EarlyExit)
    bare = resnet(10, width=8)
    bare.load_state_dict(net.net.state_dict())
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(net.eval()(x), bare.eval()(x))
    assert not net.net.training
    inner = {id(p) for p in net.net.parameters()} | {id(p) for p in net.heads.parameters()}
    assert {id(p) for p in net.parameters()} == inner
    assert net.double().early(x.double(), 0.3).logits.dtype == torch.float64
    assert net.stages is net.net.stages


def test_frozen_heads_leave_the_stages_as_they_would_be_without():
    """Step by step and bit by bit; so the last exit of such a net is the plain net."""
    torch.manual_seed(0)
    plain, net = resnet(10, width=8, seed=5), resnet(10, width=8, exits=(2, 3), seed=5)
    x, y = torch.randn(16, 3, 32, 32), torch.randint(10, (16,))
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (plain, net)]
    for _ in range(3):
        for model, optimizer in zip((plain, net), optimizers, strict=True):
            optimizer.zero_grad()
            outputs = [model(x)] if model is plain else model.forward_exits(x, frozen=True)
            losses(outputs, y).sum().backward()
            optimizer.step()
    for a, b in zip(plain.state_dict().values(), net.net.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    joint = resnet(10, width=8, exits=(2, 3), seed=5)
    losses(joint.forward_exits(x), y)[0].backward()
    assert joint.stages[1][0].main[0].weight.grad.abs().sum() > 0
    assert joint.stages[3][0].main[0].weight.grad.abs().sum() == 0


def test_losses_by_hand():
    outputs, y = [torch.randn(5, 3), torch.randn(5, 3)], torch.tensor([0, 1, 2, 1, 0])
    by_hand = [-sum(F.log_softmax(o, 1)[i, k] for i, k in enumerate(y)) / 5 for o in outputs]
    assert torch.allclose(losses(outputs, y), torch.stack(by_hand))


def test_costs_are_cumulative_sums():
    net = resnet(10, "bibd", width=8, exits=(1, 3))
    costs = net.costs()
    sizes = [(3, 32, 32), (8, 32, 32), (8, 32, 32), (16, 16, 16), (32, 8, 8), (64, 4, 4)]
    parts = [cost.total(s, size).macs for s, size in zip(net.stages, sizes, strict=True)]
    heads = [cost.total(net.heads[0], sizes[2]).macs, cost.total(net.heads[1], sizes[4]).macs]
    assert [c.macs for c in costs] == [
        sum(parts[:2]) + heads[0],
        sum(parts[:4]) + sum(heads),
        sum(parts) + sum(heads),
    ]
    assert net.trunk().macs == sum(parts)


def records(rng, samples, exits=2):
    scores = rng.random((exits, samples))
    right = rng.random((exits + 1, samples)) < np.linspace(0.5, 0.8, exits + 1)[:, None]
    right[:-1] |= scores > 0.7  # sure answers are right
    return Record(scores, right, tuple(np.cumsum(rng.integers(10, 50, exits + 1)).tolist()))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 1), st.floats(0, 1))
def test_outcomes_by_a_plain_loop(seed, a, b):
    found = records(np.random.default_rng(seed), 40)
    o, macs, hits, at = outcome(found, (a, b)), 0, 0, [0, 0, 0]
    for i in range(40):
        exit_ = 2
        for k, bound in ((1, b), (0, a)):
            if bound <= 0 or (bound < 1 and found.scores[k, i] > bound):
                exit_ = k
        at[exit_] += 1
        macs += found.macs[exit_]
        hits += bool(found.right[exit_, i])
    assert o["shares"] == pytest.approx([n / 40 for n in at])
    assert sum(o["shares"]) == pytest.approx(1)
    assert o["macs"] == pytest.approx(macs / 40)
    assert o["accuracy"] == pytest.approx(hits / 40)


def test_the_sweep_goes_from_the_first_exit_to_the_last():
    found = records(np.random.default_rng(1), 500)
    curve = sweep(found)
    assert len(curve) == 21
    assert (curve[0]["shares"], curve[-1]["shares"]) == ([1, 0, 0], [0, 0, 1])
    assert curve[0]["accuracy"] == found.right[0].mean()
    assert curve[-1]["accuracy"] == found.right[-1].mean()
    macs = [point["macs"] for point in curve]
    assert macs == sorted(macs)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("exits", [1, 2])
def test_fitted_thresholds_are_the_best_of_all_candidates(seed, exits):
    """Brute force over every combination is the oracle."""
    found = records(np.random.default_rng(seed), 200, exits)
    grid = [[0.0, *np.quantile(s, np.linspace(0, 1, 65)), 1.0] for s in found.scores]
    every = [outcome(found, pair) for pair in itertools.product(*grid)]
    full = outcome(found, 1.0)
    target = full["accuracy"] - 0.01
    best = fit(found, accuracy=target)
    assert best["accuracy"] >= target
    assert best["macs"] == min(o["macs"] for o in every if o["accuracy"] >= target)
    budget = 0.7 * full["macs"]
    within = [o["accuracy"] for o in every if o["macs"] <= budget]
    if within:
        best = fit(found, budget=budget)
        assert best["macs"] <= budget
        assert best["accuracy"] == max(within)


def test_fits_of_many_exits_are_no_worse_than_one_threshold_for_all():
    found = records(np.random.default_rng(3), 400, exits=4)
    target = outcome(found, 1.0)["accuracy"] - 0.01
    best = fit(found, accuracy=target)
    assert best["accuracy"] >= target
    grid = np.linspace(0, 1, 201)
    shared = [outcome(found, float(t)) for t in grid]
    assert best["macs"] <= min(o["macs"] for o in shared if o["accuracy"] >= target)


def test_fits_that_cannot_be():
    found = records(np.random.default_rng(0), 100)
    with pytest.raises(ValueError, match=r"no thresholds reach accuracy 1\.01; the best is 0"):
        fit(found, accuracy=1.01)
    with pytest.raises(ValueError, match="no thresholds stay within 1 MACs; the least is"):
        fit(found, budget=1)
    for wrong in ({}, {"accuracy": 0.5, "budget": 10}):
        with pytest.raises(ValueError, match="either accuracy= or budget="):
            fit(found, **wrong)


@torch.no_grad()
def test_what_is_recorded_is_what_early_does():
    net = trained_a_little()
    x, y = torch.randn(90, 3, 32, 32), torch.randint(10, (90,))
    found = record(net, x, y, batch=90)
    bounds = [float(np.median(s)) for s in found.scores]
    assert leave_at(found, bounds).tolist() == net.early(x, bounds).exit.tolist()
    answers = net.early(x, bounds)
    right = (answers.logits.argmax(1) == y).double().mean().item()
    assert outcome(found, bounds)["accuracy"] == pytest.approx(right)
    lines = measure(net, x, batch=30, calls=3, thresholds=[0.0, 0.5])
    names = ["full net", "all exits, nobody leaves", "0.0", "0.5"]
    assert [line["name"] for line in lines] == names
    assert all(0 < line["p50"] <= line["p99"] for line in lines)


@pytest.mark.parametrize("wrong", [1.5, -0.1, [0.5], [0.5, 0.5, 2.0], [0.1, 0.2, 0.3, 0.4]])
def test_thresholds_outside(wrong):
    with pytest.raises(ValueError, match=r"a threshold in \[0, 1\] for each of 3 early exits"):
        check_thresholds(wrong, 3)


def test_thresholds_of_all_kinds_and_a_batch_of_nobody():
    for bound in (0.5, np.float32(0.5), torch.tensor(0.5), np.full(2, 0.5), torch.full((2,), 0.5)):
        assert check_thresholds(bound, 2) == (0.5, 0.5)
    assert check_thresholds(1, 2) == (1.0, 1.0)
    with pytest.raises(ValueError, match="a threshold in"):
        check_thresholds(float("nan"), 2)
    net = resnet(10, width=8, exits=(2,)).eval()
    for bound in (0, 0.5, 1):
        nobody = net.early(torch.zeros(0, 3, 32, 32), bound)
        assert nobody.logits.shape == (0, 10)
        assert len(nobody.exit) == 0


def test_wrong_inputs():
    net = resnet(10, width=8, exits=(2,)).eval()
    with pytest.raises(ValueError, match=r"a net in training leaves nobody out: call eval\(\)"):
        resnet(10, width=8, exits=(2,)).early(torch.zeros(2, 3, 32, 32), 0.5)
    for wrong in (None, ("a",), [[0.1]]):
        with pytest.raises(ValueError, match=r"a threshold in \[0, 1\]"):
            net.early(torch.zeros(2, 3, 32, 32), wrong)
    with pytest.raises(ValueError, match="2 samples make no batch of 5"):
        measure(net, torch.zeros(2, 3, 32, 32), 5, 3, [0.5])
    with pytest.raises(ValueError, match="no samples to record"):
        record(net, torch.zeros(0, 3, 32, 32), torch.zeros(0))
    with pytest.raises(ValueError, match=r"shape \(3, 32, 32\), got \(4, 3, 28, 28\)"):
        net.early(torch.zeros(4, 3, 28, 28), 0.5)
    with pytest.raises(ValueError, match=r"shape \(3, 32, 32\), got \(4, 1, 32, 32\)"):
        net.forward_exits(torch.zeros(4, 1, 32, 32))
    with pytest.raises(ValueError, match="a batch of one sample in training"):
        net.train().forward_exits(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="unknown criterion 'entrpy': did you mean 'entropy'"):
        EarlyExit(resnet(10, width=8), (2,), [nn.Identity()], (3, 32, 32), "entrpy")
    with pytest.raises(ValueError, match="2 exits need as many heads, got 1"):
        EarlyExit(resnet(10, width=8), (2, 3), [nn.Identity()], (3, 32, 32))
