"""Files of sparse layers: which connections there are comes back with them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bibd import DynamicLinear, SparseLinear, sparsify
from compress import freeze, pack, patterns, unpack
from compress import prune as prune_masks
from compress.file import container
from compress.file.header import NAMED
from tests.compress.file.nets import Mixed, pruned, same, superset


def test_patterns_of_sparse_layers_come_back_and_make_the_layers(tmp_path):
    net = nn.Sequential(SparseLinear(16, 12, "bibd", seed=3), Mixed().learned)
    packed = pack(net, tmp_path / "net")
    found = patterns(tmp_path / "net")
    assert [p.digest() for p in found.values()] == [net[i].pattern.digest() for i in (0, 1)]
    other = nn.Sequential(*(SparseLinear(*p.shape, pattern=p) for p in found.values()))
    unpack(tmp_path / "net", other)
    x = torch.randn(3, 16)
    assert torch.equal(other(x), packed.into(net)(x))


def moving_net(seed=0):
    first = DynamicLinear(24, 10, "random", seed=seed, nonzeros=60)
    return nn.Sequential(first, nn.ReLU(), nn.Linear(10, 3))


@pytest.mark.parametrize("grown", [None, 2, 1])
def test_a_net_whose_connections_can_move_takes_those_of_its_file(tmp_path, grown):
    net = moving_net()
    if grown:
        net[0].rewire([0, 5], np.flatnonzero(~net[0].pattern.mask().ravel())[:grown], None)
    packed = pack(net, tmp_path / "net")
    other = moving_net(seed=7)
    assert same(unpack(tmp_path / "net", other), packed.state)
    assert other[0].pattern.digest() == net[0].pattern.digest()
    x = torch.randn(3, 24)
    assert torch.equal(other(x), packed.into(net)(x))


def test_files_that_name_moved_connections_without_saying_that_they_move_are_read(tmp_path):
    net = moving_net()
    net[0].rewire([0], np.flatnonzero(~net[0].pattern.mask().ravel())[:1], None)
    pack(net, tmp_path / "net")
    made = container.read((tmp_path / "net").read_bytes())
    old = tuple(replace(e, type="float32") if e.kind == NAMED else e for e in made.entries)
    (tmp_path / "old").write_bytes(container.write(container.Content(old, made.parts)))
    unpack(tmp_path / "old", other := moving_net(seed=7))
    assert other[0].pattern.digest() == net[0].pattern.digest()


def test_a_dense_net_for_a_file_of_sparse_layers_is_told_both_ways(tmp_path):
    net = pruned((20, 12, 5))
    packed = pack(freeze(net, prune_masks(net, 0.3)) and net, tmp_path / "net")
    with pytest.raises(
        ValueError, match=r"'0', '2' are sparse layers .*dense=True.*patterns\(path"
    ):
        unpack(tmp_path / "net", pruned())
    unpack(tmp_path / "net", pruned(), dense=True)
    sparsify(made := pruned(), patterns(tmp_path / "net"))
    unpack(tmp_path / "net", made)
    assert same(made.state_dict(), packed.state)


def test_sparse_layers_come_out_as_dense_ones(tmp_path):
    net = nn.Sequential(SparseLinear(16, 12, "random", seed=3), nn.ReLU(), Mixed().learned)
    packed = pack(net, tmp_path / "net")
    dense = nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 6))
    dense.load_state_dict(unpack(tmp_path / "net", dense=True))
    packed.into(net)
    assert torch.equal(dense[0].weight, net[0].to_dense())
    assert torch.equal(dense[2].weight, net[2].to_dense())
    mixed = pack(Mixed(), tmp_path / "mixed").into(made := Mixed())
    state = unpack(tmp_path / "mixed", dense=True)
    assert torch.equal(state["sparse_conv.weight"], made.sparse_conv.to_dense())
    assert mixed is made


def test_a_part_of_a_superset_needs_only_to_say_which_part(tmp_path):
    net, pattern = pruned((200, 120, 5)), superset(200, 120)
    with torch.no_grad():
        net[0].weight.mul_(torch.from_numpy(pattern.mask()))
    alone = pack(net, tmp_path / "alone")
    told = pack(net, tmp_path / "told", supersets={"0": pattern})
    assert told.bytes < alone.bytes
    assert same(told.state, alone.state)
    assert same(unpack(tmp_path / "told"), told.state)


def test_a_described_pattern_can_be_stored_by_its_places(tmp_path):
    net = nn.Sequential(SparseLinear(40, 30, "random", seed=3))
    words, table = (pack(net, tmp_path / "net", describe=d) for d in (True, False))
    assert words.bytes < table.bytes
    assert same(words.state, table.state)


def test_a_pattern_too_large_for_its_file_is_read_when_the_net_says_so(tmp_path):
    net = nn.Sequential(nn.Linear(4000, 1000, bias=False))
    nn.init.zeros_(net[0].weight)
    packed = pack(net, tmp_path / "net")
    with pytest.raises(ValueError, match=r"it claims tensors of 16,000,000 bytes .*most=16000000"):
        unpack(tmp_path / "net")
    assert same(unpack(tmp_path / "net", most=16_000_000), packed.state)
    unpack(tmp_path / "net", net)
