"""The builder: published costs, torchvision and masked dense nets as oracles, wrong settings."""

import copy
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.resnet import ResNet as TorchvisionResNet

from bibd import SparseConv2d
from bibd.families import FAMILIES
from harness import cost
from resnet.costs import Options, costs, counted
from resnet.model import resnet
from resnet.words import DEPTHS, name
from tests.drawn import examples

PUBLISHED = {  # FLOPs (M) as the original README prints them, and parameters
    ("dense", 18): ("556.65", 11_173_962),
    ("dense", 34): ("1161.45", 21_282_122),
    ("dense", 50): ("1304.69", 23_520_842),
    ("iddl", 18): ("54.71", 769_656),
    ("iddl", 34): ("99.70", 1_335_512),
    ("iddl", 50): ("205.03", 3_820_994),
    ("random", 18): ("54.71", 769_656),
    ("random", 34): ("99.70", 1_335_512),
    ("random", 50): ("205.03", 3_820_994),
}
# Not published; what the same rule gives.
PREDICTED = {
    ("dense", 101): "2520.19",
    ("dense", 152): "3736.47",
    ("iddl", 101): "275.22",
    ("iddl", 152): "351.55",
}


@pytest.fixture(scope="module")
def counts():
    lines = costs(Options(mode="iddl"))
    return {line["name"]: line for line in lines}


@pytest.mark.parametrize(("pattern", "depth"), PUBLISHED)
def test_costs_are_the_published_ones(counts, pattern, depth):
    line = counts[name(depth, pattern)]
    assert (f"{line['flops'] / 1e6:.2f}", line["parameters"]) == PUBLISHED[pattern, depth]


@pytest.mark.parametrize(("pattern", "depth"), PREDICTED)
def test_costs_of_deeper_nets_follow_the_same_rule(counts, pattern, depth):
    assert f"{counts[name(depth, pattern)]['flops'] / 1e6:.2f}" == PREDICTED[pattern, depth]


def test_costs_by_looking_at_the_weights(counts):
    """Not what the layers say of themselves: entries that are not 0, times positions."""
    model, macs, entries = resnet(18, "iddl"), 0, 0
    sizes = {}
    for n, m in model.named_modules():
        if hasattr(m, "weight") and not isinstance(m, nn.BatchNorm2d):
            m.register_forward_hook(lambda m, i, o, n=n: sizes.update({n: o[0, 0].numel()}))
    model.eval()(torch.zeros(1, 3, 32, 32))
    for n, positions in sizes.items():
        m = model.get_submodule(n)
        weight = m.to_dense() if hasattr(m, "to_dense") else m.weight
        entries += int(weight.count_nonzero())
        macs += int(weight.count_nonzero()) * (positions if weight.ndim == 4 else 1)
    assert (macs, entries) == (counts["B-ResNet-18"]["macs"], counts["B-ResNet-18"]["connections"])


def test_costs_of_heads_groups_and_the_split_classifier():
    net = resnet(18, exits=(2, 3))
    assert [sum(p.numel() for p in h.parameters()) for h in net.heads] == [118_826, 94_250]
    trunk = (286.98, 421.20, 555.42)
    heads = (9.52, 9.52 + 4.74, 9.52 + 4.74)
    for c, a, b in zip(net.costs(), trunk, heads, strict=True):
        assert c.macs / 1e6 == pytest.approx(a + b, abs=0.011)
    assert cost.total(net, (3, 32, 32)) == net.costs()[-1]
    grouped = cost.total(resnet(18, groups=4), (3, 32, 32))
    assert f"{grouped.flops('iddl') / 1e6:.2f}" == "146.13"  # 147.36 by thop, less its norms' half
    split = resnet(18, groups=4, classifier="split")
    assert sum(p.numel() for p in split.parameters()) == 2_935_298


def test_other_counters_and_why_they_differ():
    # FlopCounterMode: 2 per multiply-add, nothing else. thop: multiply-adds, 4 per element of a norm,
    # the average pooling, and nothing for a layer that it does not know.
    for depth, features in ((18, 512), (50, 2048)):
        total = cost.total(resnet(depth), (3, 32, 32))
        found = counted(resnet(depth), (3, 32, 32))
        assert found["flop_counter"] == 2 * total.macs
        assert total.flops("true") == found["flop_counter"] + 2 * total.norm_elements + 10
        assert found["thop"] == total.macs + 4 * total.norm_elements + features * 17
    sparse = resnet(18, "iddl")
    total, found = cost.total(sparse, (3, 32, 32)), counted(copy.deepcopy(sparse), (3, 32, 32))
    unknown = sum(
        line.cost.macs for line in cost.layers(sparse, (3, 32, 32)) if line.kind == "SparseConv2d"
    )
    assert found["thop"] == total.macs - unknown + 4 * total.norm_elements + 512 * 17


def test_costs_as_json(command):
    words = ["costs", "--depths", "18", "--patterns", "iddl", "--mode", "iddl", "--json"]
    done = command("resnet", *words, "--exits", "2", "3", results=False)
    assert done.returncode == 0, done.stderr
    (line,) = json.loads(done.stdout)
    assert line["name"] == "B-ResNet-18-EE"
    assert len(line["exit_macs"]) == 3
    wrong = command("resnet", "costs", "--depths", "19", results=False)
    assert wrong.returncode == 2
    assert "did you mean '18'? there are 10, 18" in wrong.stderr


def like_torchvision(depth):
    kind = BasicBlock if depth < 50 else Bottleneck
    net = TorchvisionResNet(kind, list(DEPTHS[depth][1]), num_classes=10)
    net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    net.maxpool = nn.Identity()
    return net


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_torchvisions_net_is_the_oracle(depth):
    torch.manual_seed(0)
    theirs, ours = like_torchvision(depth).double(), resnet(depth).double()
    pairs = list(zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))
    assert all(a.shape == b.shape for a, b in pairs)
    with torch.no_grad():
        for m in theirs.modules():  # statistics and scales that are not 0 and 1
            if isinstance(m, nn.BatchNorm2d):
                for t in (m.weight, m.bias, m.running_mean):
                    t.uniform_(0.5, 1.5)
        for mine, other in pairs:
            mine.copy_(other)
    x, y = torch.randn(4, 3, 16, 16, dtype=torch.float64), torch.tensor([0, 3, 5, 9])
    for training in (False, True):
        a, b = (net.train(training)(x) for net in (ours, theirs))
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)
    for net in (ours, theirs):
        F.cross_entropy(net(x), y).backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad, rtol=1e-8, atol=1e-10)


def masked_twin(net):
    """The same net with ordinary convolutions that hold zeros."""
    twin = copy.deepcopy(net)
    for parent in list(twin.modules()):
        for key, m in list(parent.named_children()):
            if isinstance(m, SparseConv2d):
                conv = nn.Conv2d(
                    *(m.in_channels, m.out_channels, m.kernel_size, m.stride, m.padding),
                    **dict(groups=m.groups, bias=False, dtype=m.weight.dtype),
                )
                conv.weight.data = m.to_dense().detach().clone()
                setattr(parent, key, conv)
    return twin


@pytest.mark.parametrize(
    "settings_",
    [
        dict(depth=10, pattern="iddl"),
        dict(depth=10, pattern="bibd", groups=4, preact=True),
        dict(depth=50, pattern="random_biregular", sparse_shortcuts=True),
        dict(depth=18, pattern="random", groups=2, match="bibd"),
    ],
    ids=str,
)
def test_sparse_nets_are_masked_dense_ones(settings_):
    net = resnet(width=16, seed=3, **settings_).double()
    twin = masked_twin(net)
    assert not any(isinstance(m, SparseConv2d) for m in twin.modules())
    x, y = torch.randn(4, 3, 16, 16, dtype=torch.float64), torch.tensor([1, 2, 3, 4])
    for model in (net, twin):
        F.cross_entropy(model.train()(x), y).backward()
    assert torch.allclose(net.eval()(x), twin.eval()(x), rtol=1e-9, atol=1e-10)
    compared = 0
    for key, m in net.named_modules():
        if isinstance(m, SparseConv2d):
            full = twin.get_submodule(key).weight.grad
            on = full.reshape(-1, *m.kernel_size)[m._places()]
            assert torch.allclose(m.weight.grad, on, rtol=1e-7, atol=1e-10)
            compared += 1
    assert compared == sum(isinstance(m, SparseConv2d) for m in net.modules()) > 6


def test_preactivation_by_hand():
    torch.manual_seed(0)
    net = resnet(10, preact=True, width=4).double().eval()
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)

    def norm_relu(m, z):
        return F.relu(F.batch_norm(z, m.running_mean, m.running_var, m.weight, m.bias))

    z = F.conv2d(x, net.stages[0][0].weight, padding=1)
    for k in range(1, 5):
        (block,) = net.stages[k]
        stride = 1 if k == 1 else 2
        conv1, norm, _, conv2 = block.main
        a = norm_relu(block.before[0], z)
        b = F.conv2d(a, conv1.weight, stride=stride, padding=1)
        b = F.conv2d(norm_relu(norm, b), conv2.weight, padding=1)
        z = b + (z if k == 1 else F.conv2d(a, block.shortcut.weight, stride=stride))
    features = norm_relu(net.stages[5][0], z).mean((2, 3))
    last = net.stages[5][-1]
    assert torch.allclose(net(x), F.linear(features, last.weight, last.bias), atol=1e-10)


def test_which_convolutions_are_sparse():
    names = [n for n, m in resnet(18, "iddl").named_modules() if isinstance(m, SparseConv2d)]
    assert len(names) == 16
    assert all(".main." in n for n in names)
    more = resnet(50, "iddl", sparse_shortcuts=True)
    names = [n for n, m in more.named_modules() if isinstance(m, SparseConv2d)]
    assert sum(".shortcut." in n for n in names) == 4
    assert sum(".main." in n for n in names) == 48


FITTING = sorted(set(FAMILIES) - {"tiled", "dense"})


@examples(40)
@given(
    st.sampled_from(FITTING),
    st.sampled_from([1, 2, 4, 8, 16]),
    st.sampled_from([10, 50]),
    st.sampled_from([16, 32]),
    st.integers(0, 99),
)
def test_no_filter_is_dead(pattern, groups, depth, width, seed):
    net = resnet(depth, pattern, groups, width=width, seed=seed)
    for m in net.modules():
        if isinstance(m, SparseConv2d):
            assert m.pattern.fan_in.min() >= 1
            assert m.groups == groups


def test_equal_connections_by_match():
    def connections(**options):
        return cost.total(resnet(18, width=16, **options), (3, 32, 32)).nonzeros

    assert connections(pattern="random_biregular") == connections(pattern="iddl")
    bibd = connections(pattern="bibd")
    assert bibd != connections(pattern="iddl")
    for pattern in ("random_biregular", "random", "random_fan_in"):
        assert connections(pattern=pattern, match="bibd") == bibd
    assert connections(pattern="random", match="bibd", groups=4) == connections(
        pattern="bibd", groups=4
    )


def test_seeds_share_nothing_they_should_not():
    def tables(**options):
        net = resnet(10, width=16, **options)
        return [m.pattern.digest() for m in net.modules() if isinstance(m, SparseConv2d)]

    assert tables(pattern="iddl", seed=0) == tables(pattern="iddl", seed=1)
    assert tables(pattern="random", seed=0) != tables(pattern="random", seed=1)
    assert tables(pattern="random", seed=1) == tables(pattern="random", seed=1)
    assert tables(pattern="bibd", relabel=True, seed=0) != tables(pattern="bibd", seed=0)
    same = tables(pattern="random_biregular", seed=0)
    assert len(set(same)) == len(same)  # each layer draws for itself
    a, b = (resnet(10, width=8, seed=s).stages[0][0].weight for s in (0, 1))
    assert not torch.equal(a, b)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 8, 8)])
def test_stages_and_sizes(shape):
    net = resnet(10, width=8, classes=7, shape=shape).eval()
    x = torch.randn(3, *shape)
    y = x
    for stage in net.stages:
        y = stage(y)
    assert torch.equal(y, net(x))
    (logits,) = net.forward_exits(x)
    assert logits.shape == (3, 7)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (dict(depth=20), "unknown depth 20.*there are 10, 18, 34"),
        (dict(groups=3), r"groups=3 must divide the 16 channels: choose of 1, 2, 4, 8, 16"),
        (dict(groups=0), "groups must be a whole number of at least 1, got 0"),
        (dict(pattern="bibdd"), "unknown pattern 'bibdd': did you mean 'bibd'"),
        (dict(exits=(5,)), "no exit after stage 5: this net has stages 0 to 5.*after 0 to 4"),
        (dict(exits=(3, 2)), "ascending order, got \\(3, 2\\)"),
        (dict(exits=(2,), head="deep"), "unknown head 'deep'"),
        (dict(classifier="ensemble"), "unknown classifier 'ensemble'"),
        (
            dict(pattern="bibd", match="iddl"),
            "match='iddl' is for patterns whose count can be chosen",
        ),
        (dict(pattern="dense", match="iddl"), "random_biregular\\), not for 'dense'"),
        (dict(pattern="tiled", groups=8), "convolution 1 .*tiled needs sizes that 4 divides"),
    ],
    ids=str,
)
def test_wrong_settings(wrong, text):
    with pytest.raises(ValueError, match=text):
        resnet(**{"depth": 10, "width": 16} | wrong)


def test_wrong_arguments():
    for wrong, text in {
        ("depth", "18"): "unknown depth '18'",
        ("init", "zeros"): "unknown init 'zeros'",
        ("match", "bibdd"): "unknown pattern 'bibdd'",
        ("exits", (True,)): "no exit after stage True",
        ("exits", ("2",)): "no exit after stage 2",
        ("shape", (32, 32)): r"shape must be channels, height, width of an image, got \(32, 32\)",
    }.items():
        with pytest.raises(ValueError, match=text):
            resnet(**{"depth": 10, "width": 8} | dict([wrong]))
    assert resnet(10, width=8, exits=2).after == (2,)
    assert resnet(10, width=8, exits=(np.int64(2), 3)).after == (2, 3)


def test_costs_with_exits_are_of_one_net_in_every_column():
    options = Options(depths=(10,), patterns=("iddl",), width=8, exits=(2, 3), counters=True)
    (line,) = costs(options)
    assert line["flop_counter"] == 2 * line["macs"] == 2 * line["exit_macs"][-1]


def test_wrong_images():
    net = resnet(10, width=8)
    with pytest.raises(ValueError, match=r"expected a batch \(samples, 3, height, width\), got"):
        net(torch.zeros(4, 1, 28, 28))
    with pytest.raises(ValueError, match=r"got \(3, 32, 32\)"):
        net(torch.zeros(3, 32, 32))
    with pytest.raises(ValueError, match="a batch of one sample in training"):
        net.train()(torch.zeros(1, 3, 32, 32))
    assert net.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
