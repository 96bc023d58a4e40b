"""NCCL: refused where ranks would share a card, and the same numbers where each has one."""

import pytest
import torch

from parallel.world import cards
from parallel.world.run import run
from parallel.world.world import World

PAIR = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA cards")


def sums(comm):
    """Rows of what two ranks sum, on whatever their backend has."""
    x = torch.arange(6.0, device=comm.group.device) * (comm.rank + 1)
    torch.distributed.all_reduce(x)
    yield {"sum": x.tolist(), "device": x.device.type}


def test_nccl_is_refused_where_ranks_would_share_a_card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"2 ranks on this machine, which has 1 GPUs: .*'gloo'"):
        list(run(World.procs(2, backend="nccl"), sums))
    cards.refuse_few(1)


@PAIR
def test_two_cuda_cards_sum_as_two_processors_do():
    (there,), (here,) = (list(run(World.procs(2, backend=b), sums)) for b in ("nccl", "gloo"))
    assert (there["device"], here["device"]) == ("cuda", "cpu")
    assert there["sum"] == here["sum"]
