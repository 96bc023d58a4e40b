"""Functions of torch.nn.init and norms of torch.nn.utils, as they are meant for a matrix."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import bibd
from bibd import BibdConv2d, BibdLinear, SparseConv2d, SparseLinear, from_blocks

F64 = torch.float64


def test_kaiming_gets_the_fan_in_that_each_output_has():
    """Two kinds of rows, of 4 and of 64 inputs: each has the deviation of its own fan-in."""
    blocks = [range(4)] * 400 + [range(64)] * 100
    layer = SparseLinear(64, 500, from_blocks(64, blocks))
    torch.manual_seed(0)
    bibd.init(layer, nn.init.kaiming_normal_, nonlinearity="relu")
    weight = layer.to_dense().detach()
    few, many = weight[:400, :4], weight[400:]
    for values, fan in ((few, 4), (many, 64)):
        # The deviation of n normal values is known to 1 / sqrt(2 n); four of those.
        near = 4 / (2 * values.numel()) ** 0.5
        assert values.std().item() == pytest.approx((2 / fan) ** 0.5, rel=near)


@pytest.mark.parametrize("groups", [1, 4])
def test_xavier_of_a_convolution_gets_both_fans(groups):
    layer = SparseConv2d(64, 64, 3, groups=groups, pattern="dense")
    bibd.init(layer, nn.init.xavier_uniform_)
    fan = 9 * 64 / groups
    bound = (6 / (2 * fan)) ** 0.5
    top = layer.weight.abs().max().item()
    # The largest of n uniform values misses the bound by about 1 / n of it.
    assert bound * (1 - 20 / layer.weight.numel()) < top <= bound * (1 + 1e-6)


def test_a_model_is_drawn_in_one_call_dense_layers_too():
    net = nn.Sequential(
        BibdConv2d(9, 12, 3), nn.Conv2d(12, 4, 1), BibdLinear(16, 20), nn.Linear(20, 3)
    )
    biases = [m.bias.clone() for m in net]
    assert bibd.init(net, nn.init.constant_, val=0.5) is net
    assert all((m.weight == 0.5).all() for m in net)
    assert all(torch.equal(m.bias, b) for m, b in zip(net, biases, strict=True))


def test_what_is_a_property_of_the_whole_matrix_is_refused_by_name():
    for fn in (nn.init.orthogonal_, nn.init.dirac_, nn.init.eye_):
        with pytest.raises(ValueError, match=f"{fn.__name__} is about a whole matrix"):
            bibd.init(BibdLinear(16, 20), fn)
    stack = SparseLinear.stack([BibdLinear(16, 20)] * 2)
    with pytest.raises(ValueError, match="stacked already"):
        bibd.init(stack, nn.init.zeros_)


@pytest.mark.parametrize(
    "fn", [nn.init.kaiming_normal_, nn.init.kaiming_uniform_, nn.init.xavier_normal_]
)
def test_the_usual_loop_over_parameters_is_noticed_at_the_first_call(fn):
    net = nn.Sequential(BibdConv2d(64, 72, 3), nn.ReLU())
    for p in net.parameters():
        if p.ndim > 1:
            fn(p)
    x = torch.randn(1, 64, 5, 5)
    with pytest.warns(
        UserWarning, match=r"fan-in of 9; each filter reads 72 values: take bibd.init"
    ):
        net(x)
    net(x)  # it is said once


def test_right_starts_and_loaded_values_are_no_news(recwarn):
    x = torch.randn(1, 64, 5, 5)
    plain, drawn, loaded = (BibdConv2d(64, 72, 3) for _ in range(3))
    bibd.init(drawn, nn.init.kaiming_normal_, nonlinearity="relu")
    loaded.load_state_dict(plain.state_dict())
    with torch.no_grad():
        for layer in (plain, drawn, loaded, copy.deepcopy(plain)):
            layer(x)
        again = BibdConv2d(64, 72, 3)
        again.reset_parameters()
        again(x)
    assert not recwarn.list


@pytest.mark.parametrize("assign", [False, True])
def test_loaded_values_of_the_scale_of_a_wrong_start_are_no_start(assign, recwarn):
    trained, loaded = BibdConv2d(64, 72, 3), BibdConv2d(64, 72, 3)
    nn.init.kaiming_normal_(trained.weight)
    loaded.load_state_dict(trained.state_dict(), assign=assign)
    loaded(torch.randn(1, 64, 5, 5))
    assert not recwarn.list
    with pytest.warns(UserWarning, match="take bibd.init"):
        trained(torch.randn(1, 64, 5, 5))


def layers():
    return BibdLinear(20, 14, dtype=F64), BibdConv2d(9, 12, 3, padding=1, dtype=F64)


def dense_twin(layer):
    """nn.Linear or nn.Conv2d with the same numbers."""
    if isinstance(layer, SparseLinear):
        twin = nn.Linear(layer.in_features, layer.out_features, dtype=F64)
    else:
        twin = nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1, dtype=F64)
    twin.weight.data = layer.to_dense().detach().clone()
    twin.bias.data = layer.bias.detach().clone()
    return twin


def inputs(layer):
    shape = (5, 20) if isinstance(layer, SparseLinear) else (2, 9, 6, 6)
    return torch.randn(*shape, dtype=F64)


@pytest.mark.parametrize("which", [0, 1])
def test_weight_norm_has_one_length_an_output_as_the_dense_layer_has(which):
    layer = layers()[which]
    twin, x = parametrizations.weight_norm(dense_twin(layer)), inputs(layer)
    bibd.weight_norm(layer)
    (length, direction), theirs = (
        list(layer.parametrizations.weight.parameters()),
        twin.parametrizations.weight,
    )
    torch.testing.assert_close(length.flatten(), theirs.original0.flatten())
    torch.testing.assert_close(layer(x), twin(x))
    with torch.no_grad():
        length.mul_(3)
        theirs.original0.mul_(3)
    layer(x).square().sum().backward()
    twin(x).square().sum().backward()
    torch.testing.assert_close(length.grad.flatten(), theirs.original0.grad.flatten())
    assert direction.grad.shape == direction.shape


@pytest.mark.parametrize("which", [0, 1])
def test_spectral_norm_is_that_of_the_matrix(which):
    layer = layers()[which]
    x, before = inputs(layer), layer.to_dense().detach()
    bibd.spectral_norm(layer, n_power_iterations=200)
    layer(x)  # an iteration of its own in training, as torch's
    after = layer.to_dense().detach()
    largest = torch.linalg.matrix_norm(before.flatten(1), 2)
    torch.testing.assert_close(after, before / largest, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*torch.nn.utils.weight_norm.*")
@pytest.mark.parametrize(
    "norm",
    [
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
    ],
)
@pytest.mark.parametrize("called", [False, True])
def test_norms_of_a_list_of_values_are_refused_by_name(norm, called):
    layer, x = layers()[0], torch.randn(5, 20, dtype=F64)
    if called:  # so that the way to compute it is known already
        layer(x)
    norm(layer)
    name = norm.__name__
    with pytest.raises(ValueError, match=rf"BibdLinear\(20, 14\): torch's {name} would .*bibd\."):
        layer(x)
    with pytest.raises(ValueError, match=r"bibd\.weight_norm is for sparse layers, got Linear"):
        bibd.weight_norm(nn.Linear(3, 3))
