"""Early exits: they really leave, and the answers are those of one sample at a time."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness import cost
from harness.exits import (
    CRITERIA,
    EarlyExit,
    attach,
    losses,
    measure,
    outcome,
    record,
)
from harness.exits.leaving import check_thresholds
from harness.exits.thresholds import leave_at
from resnet.model import resnet
from tests.python import python
from tests.tree import ROOT

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
def test_what_exits_say_is_how_samples_leave():
    """`at_exits`, from which graphs are made: its first `leaves` is the exit of `early`."""
    net = trained_a_little(pattern="bibd").double()
    x = torch.randn(40, 3, 32, 32, dtype=torch.float64)
    scores = [net.score(logits).sort().values for logits in net.forward_exits(x)[:-1]]
    for bounds in ([float(s[19:21].mean()) for s in scores], [1, 0, 1]):
        found, want = net.at_exits(x, bounds), net.early(x, bounds)
        leaves = torch.stack([said.leaves for said in found])
        assert torch.equal(leaves.int().argmax(0), want.exit)
        for i, said in enumerate(found):
            mine = want.exit == i
            torch.testing.assert_close(said.logits[mine], want.logits[mine], rtol=0, atol=1e-12)
            torch.testing.assert_close(said.score[mine], want.score[mine], rtol=0, atol=1e-12)
        rest = found[1].on
        for stage in net.stages[3:]:
            rest = stage(rest)
        torch.testing.assert_close(rest, found[-1].logits, rtol=0, atol=1e-12)


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


OWN_NET = """
import sys
import torch
from torch import nn
from harness.exits import EarlyExit, attach, fit, losses, record

torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Sequential(nn.MaxPool2d(2), nn.Flatten()),
    nn.Linear(4 * 16, 3),
)
model = attach(net, after=(1, 2), shape=(1, 8, 8), classes=3, head="linear")
assert isinstance(model, EarlyExit) and model.stages is net and model.exits == 3
x, y = torch.randn(40, 1, 8, 8), torch.arange(40) % 3
losses(model(x)[None], y).sum().backward()
best = fit(record(model, x, y), budget=1e6)
with torch.no_grad():
    answers = model.early(x, best["thresholds"])
    assert torch.equal(model.early(x, 1).logits, net(x))
shares = [(answers.exit == k).float().mean().item() for k in range(3)]
assert all(abs(a - b) < 1e-6 for a, b in zip(shares, best["shares"])), (shares, best)
print([m for m in sys.modules if m.split(".")[0] in ("resnet", "mlp", "parallel", "bibd")])
"""


def test_a_net_of_ones_own_gets_exits_without_any_study():
    done = python("-c", OWN_NET, timeout=180)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_face_says_what_is_there_and_no_module_bears_its_names():
    from harness import exits

    for name in exits.__all__:
        assert getattr(exits, name) is not None
        assert not (ROOT / "harness" / "exits" / f"{name}.py").exists()
    assert dir(exits) == sorted(exits.__all__)
    with pytest.raises(AttributeError, match="no attribute 'atach'; it has Answers, CRITERIA"):
        exits.atach  # noqa: B018


def test_words_of_exits_cost_no_torch():
    code = "import sys, harness.exits, harness.exits.words; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_heads_are_of_the_type_and_on_the_device_of_the_net():
    net = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 2)).double().to("meta")
    head = attach(net, (0,), (6,), 2, head="linear").heads[0]
    assert {(p.dtype, p.device.type) for p in head.parameters()} == {(torch.float64, "meta")}


def test_nets_that_do_not_follow_the_protocol_are_refused():
    class Net(nn.Module):
        def __init__(self, *stages):
            super().__init__()
            self.stages = nn.Sequential(*stages)

    flat = nn.Sequential(nn.Flatten(), nn.Linear(8 * 64, 10))
    fine = Net(nn.Conv2d(3, 8, 3, padding=1), flat)
    assert attach(fine, (0,), (3, 8, 8), 10).exits == 2
    for net, shape, classes, text in (
        (nn.ReLU(), (3,), 2, "ReLU has no `stages`, an nn.Sequential that is the whole net"),
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
    for labels in (torch.zeros(3), torch.zeros(5), torch.zeros(4, 10)):
        with pytest.raises(ValueError, match=r"4 samples need as many labels, a tensor of shape"):
            record(net, torch.zeros(4, 3, 32, 32), labels)
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
