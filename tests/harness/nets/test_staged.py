"""The nets in parts: composition, cuts, seeds, states, gradients, and what torchvision builds."""

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.models.googlenet import BasicConv2d

from harness import cost
from harness.nets.densenet import LAYERS, densenet121
from harness.nets.dropout import KeyedDropout, distinct, set_key
from harness.nets.googlenet import googlenet
from harness.nets.sequence import residual_lstm, transformer
from harness.nets.vgg import vgg16

TEXTS = dict(width=8, words=50)
NETS = {
    "vgg16": lambda **more: vgg16(width=2, **more),
    "densenet121": lambda **more: densenet121(width=4, **more),
    "googlenet": lambda **more: googlenet(width=8, **more),
    "residual_lstm": lambda **more: residual_lstm(**TEXTS, **more),
    "transformer": lambda **more: transformer(**TEXTS, length=12, **more),
}
# How many modules the SpecTrain script put on each device, in ours.
CUTS = {
    "vgg16": {2: [4, 12], 4: [2, 3, 5, 6]},
    "densenet121": {2: [2, 4], 4: [2, 1, 1, 2]},
    "googlenet": {2: [3, 8], 4: [2, 1, 2, 6]},
    "residual_lstm": {2: [3, 3], 4: [2, 1, 1, 2]},
    "transformer": {2: [2, 3], 4: [1, 1, 1, 2]},
}
of_each = pytest.mark.parametrize("name", NETS)


def inputs(name, samples=3):
    drawn = torch.Generator().manual_seed(0)
    if name in ("residual_lstm", "transformer"):
        return torch.randint(0, 52, (samples, 12), generator=drawn)
    return torch.randn(samples, 3, 32, 32, generator=drawn)


def parameters(net):
    return sum(p.numel() for p in net.parameters())


@of_each
def test_the_stages_in_order_are_the_net_bit_for_bit(name):
    net = NETS[name]()
    for mode in (True, False):
        net.train(mode)
        x = inputs(name)
        for stage in net.stages:
            x = stage(x)
            assert isinstance(x, torch.Tensor)
        assert torch.equal(x, net(inputs(name)))
        assert x.shape[0] == 3


@of_each
@pytest.mark.parametrize("devices", [2, 4])
def test_the_published_cuts_give_each_device_the_modules_that_it_had(name, devices):
    net = NETS[name]().eval()
    ends = [0, *net.CUTS[devices], len(net.stages)]
    parts = [net.stages[a:b] for a, b in pairwise(ends)]
    assert [len(part) for part in parts] == CUTS[name][devices]
    x = inputs(name)
    for part in parts:
        x = part(x)
    assert torch.equal(x, net(inputs(name)))


@of_each
def test_a_seed_decides_all_weights_and_nothing_else_does(name):
    before = torch.random.get_rng_state()
    one = NETS[name](seed=3).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(1)
    again, other = NETS[name](seed=3).state_dict(), NETS[name](seed=4).state_dict()
    assert all(torch.equal(one[k], again[k]) for k in one)
    weights = [k for k, v in one.items() if v.ndim > 1]
    assert not any(torch.equal(one[k], other[k]) for k in weights)


@of_each
def test_a_state_that_is_loaded_gives_the_same_answers(name):
    net, other = NETS[name](seed=0), NETS[name](seed=1)
    net.train()(inputs(name))  # (running statistics move)
    assert not torch.equal(net.eval()(inputs(name)), other.eval()(inputs(name)))
    other.load_state_dict(net.state_dict())
    assert torch.equal(net(inputs(name)), other(inputs(name)))


@of_each
def test_every_parameter_gets_a_gradient(name):
    net = NETS[name](**({"dropout": 0.0} if name in ("vgg16", "transformer") else {})).double()
    x = inputs(name, 8)
    x = x if x.dtype == torch.int64 else x.double()
    F.cross_entropy(net(x), torch.arange(8) % 2).backward()
    for key, p in net.named_parameters():
        assert p.grad is not None, key
        assert p.grad.abs().max() > 0, key


@of_each
def test_classes_and_channels_are_what_is_asked_for(name):
    images = name in ("vgg16", "densenet121", "googlenet")
    net = NETS[name](classes=7, **({"channels": 1} if images else {})).eval()
    x = inputs(name)[:, :1] if images else inputs(name)
    assert net(x).shape == (3, 7)


@pytest.mark.parametrize("name", ["vgg16", "transformer"])
def test_dropout_is_keyed_and_no_two_layers_share_masks(name):
    net = NETS[name]().train()
    distinct(net)
    layers = [m for m in net.modules() if isinstance(m, KeyedDropout)]
    assert len(layers) == {"vgg16": 2, "transformer": 6}[name]
    assert {m.p for m in layers} == {0.5}
    assert not [m for m in net.modules() if isinstance(m, nn.Dropout)]
    x = inputs(name)
    set_key(net, seed=0, step=1)
    first = net(x)
    torch.manual_seed(5)
    assert torch.equal(net(x), first)
    for other in ({"step": 2}, {"seed": 1}, {"workers": (1,)}):
        set_key(net, **{"seed": 0, "step": 1, "workers": (0,), **other})
        assert not torch.equal(net(x), first), other


@pytest.mark.parametrize(
    ("make", "width", "said"),
    [
        (vgg16, 0, "width of VGG16 is a multiple of 1, such as 1, 2, 4, 8; got 0"),
        (densenet121, 5, "width of DenseNet121 is a multiple of 2, such as 2, 4, 8, 16; got 5"),
        (googlenet, 12, "width of GoogLeNet is a multiple of 8, such as 8, 16, 32, 64; got 12"),
        (residual_lstm, 1.5, "width of ResidualLSTM is a multiple of 1, .* got 1.5"),
        (transformer, 6, "width of Transformer is a multiple of 4, such as 4, 8, 16, 32; got 6"),
    ],
)
def test_a_width_of_which_no_whole_channels_come_is_refused(make, width, said):
    with pytest.raises(ValueError, match=said):
        make(width)


def meta(make, **options):
    """A net of torchvision without numbers."""
    with torch.device("meta"):
        return make(num_classes=10, **options)


def their_vgg():
    return meta(torchvision.models.vgg16, init_weights=False)


def their_densenet():
    net = meta(torchvision.models.densenet121)
    with torch.device("meta"):
        net.features.conv0 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    net.features.norm0 = net.features.relu0 = net.features.pool0 = nn.Identity()
    return net


def their_googlenet():
    net = meta(torchvision.models.googlenet, aux_logits=False, init_weights=False)
    with torch.device("meta"):
        net.conv1 = BasicConv2d(3, 192, kernel_size=3, padding=1)
        for name, part in net.named_children():
            if name.startswith("inception"):
                old = part.branch3[1].conv
                sizes = (old.in_channels, old.out_channels, old.out_channels)
                new = [BasicConv2d(*sizes[i : i + 2], kernel_size=3, padding=1) for i in (0, 1)]
                part.branch3[1] = nn.Sequential(*new)
    net.maxpool1 = net.conv2 = net.conv3 = net.maxpool2 = nn.Identity()
    net.maxpool3, net.maxpool4 = (nn.MaxPool2d(3, 2, padding=1) for _ in range(2))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-5
    return net


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(vgg16, their_vgg), (densenet121, their_densenet), (googlenet, their_googlenet)],
)
def test_at_full_width_it_is_the_net_of_torchvision_with_a_stem_for_small_images(ours, theirs):
    """Weights go over in their order; where ours differs on purpose theirs is changed above."""
    net, other = ours(), theirs()
    assert parameters(net) == parameters(other)
    x = inputs("vgg16", 2)
    net.train()(x)  # so that running statistics are no zeros and ones
    held = dict(zip(other.state_dict(), net.state_dict().values(), strict=True))
    other.load_state_dict(held, assign=True)
    with torch.no_grad():
        expected, got = other.eval()(x), net.eval()(x)
    # Sums in another order differ by about sqrt(25,088 products) x 6e-8 = 1e-5 a layer.
    assert torch.allclose(got, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    assert expected.std() > 0


def test_the_published_sizes():
    assert round(parameters(densenet121()) / 1e6, 1) == 7.0
    growth, width = 32, 64
    held, count = width, 27 * width
    for block, layers in enumerate(LAYERS):
        for _ in range(layers):
            count += 2 * held + held * 4 * growth + 8 * growth + 36 * growth**2
            held += growth
        if block < 3:
            count += 2 * held + held**2 // 2
            held //= 2
    assert parameters(densenet121()) == count + 2 * held + 10 * held + 10


def test_an_eighth_of_the_width_is_a_sixty_fourth_of_the_convolutions():
    for make in (densenet121, googlenet):
        large, small = (cost.total(make(width), (3, 32, 32)) for width in (64, 8))
        assert 55 < large.macs / small.macs < 64  # (the first and the last layer shrink by 8)


def test_weights_of_vgg_have_the_spread_of_he_and_biases_are_zero():
    net = vgg16(16)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert not module.bias.any()
            n, reads = module.weight.numel(), module.weight[0].numel()
            spread = float(module.weight.detach().double().pow(2).mean().sqrt()) * math.sqrt(
                reads / 2
            )
            assert abs(spread - 1) < 6 / math.sqrt(2 * n)  # six deviations of this estimate
