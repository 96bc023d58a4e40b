"""Default devices, and tracers that follow a layer."""

import pytest
import torch
from torch import nn

from bibd import BibdLinear, SparseConv2d, SparseLinear


def test_default_devices_do_not_leak():
    with torch.device("meta"):
        layer = SparseLinear(64, 72, device="cpu")
    large = BibdLinear(1024, 1056)
    x = torch.randn(2, 1024)
    with torch.device("meta"):
        y = large(x)
    assert y.device.type == layer.weight.device.type == "cpu"
    torch.testing.assert_close(y, nn.functional.linear(x, large.to_dense(), large.bias))


def test_tracers_can_follow():
    net = nn.Sequential(
        SparseConv2d(4, 8, 3, padding=1, padding_mode="reflect"), nn.Flatten(), BibdLinear(512, 520)
    )
    x = torch.randn(2, 4, 8, 8)
    followed = torch.fx.symbolic_trace(net)
    torch.testing.assert_close(followed(x), net(x))
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.utils.flop_counter import FlopCounterMode

    torch.testing.assert_close(make_fx(net)(x)(x), net(x))
    with FlopCounterMode(display=False) as counter:
        net(x)
    assert counter.get_total_flops() > 0
    sparse = torch.eye(512).to_sparse()
    torch.testing.assert_close(net[2](sparse), net[2](torch.eye(512)))


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_jit_trace():
    layer, x = BibdLinear(1024, 1056), torch.randn(2, 1024)
    torch.testing.assert_close(torch.jit.trace(layer, x)(x), layer(x))
