"""pack and unpack: the file is small, and decodes to the very state that pack returned."""

import os
import signal

import numpy as np
import pytest
import torch
from torch import nn

import bibd
import compress
from bibd import SparseLinear
from compress import bake, pack, share, unpack
from compress.file import container, learned, places, reading
from harness.record import store
from tests.compress.file.nets import Mixed, prune, pruned, same, superset
from tests.python import python

EVERY_WAY = [1, 3, 8, 16, None, {"0": 2, "2": None}]


@pytest.mark.parametrize("bits", EVERY_WAY, ids=str)
def test_a_file_decodes_to_what_pack_returned(tmp_path, bits):
    packed = pack(pruned(), tmp_path / "net", bits)
    assert packed.bytes == (tmp_path / "net").stat().st_size
    assert "tensor(" not in repr(packed)
    assert same(unpack(tmp_path / "net"), packed.state)
    net = pruned(seed=5)
    unpack(tmp_path / "net", net)
    assert same(net.state_dict(), packed.state)
    assert same(packed.into(pruned(seed=6)).state_dict(), packed.state)


@pytest.mark.parametrize("bits", [4, None])
def test_layers_of_all_kinds(tmp_path, bits):
    net = Mixed()
    packed = pack(net, tmp_path / "net", bits)
    assert same(unpack(tmp_path / "net"), packed.state)
    assert list(packed.state) == list(net.state_dict())
    unpack(tmp_path / "net", net)
    assert same(net.state_dict(), packed.state)


def test_another_process_decodes_the_same_bits(tmp_path):
    packed = pack(Mixed(), tmp_path / "net", 4)
    torch.save(dict(packed.state), tmp_path / "state")
    code = (
        "import sys, torch\nfrom compress import unpack\n"
        "from tests.compress.file.nets import same\n"
        "assert same(unpack(sys.argv[1]), torch.load(sys.argv[2], weights_only=True))"
    )
    done = python("-c", code, tmp_path / "net", tmp_path / "state")
    assert done.returncode == 0, done.stderr


def test_with_no_bits_the_state_is_the_nets_own(tmp_path):
    net = Mixed()
    packed = pack(net, tmp_path / "net", None)
    assert same(packed.state, unsigned(net))


def unsigned(net):
    """A net's state without zeros below zero, which masks leave and which files do not keep."""
    state = net.state_dict()
    return {k: v + 0 if v.is_floating_point() else v for k, v in state.items()}


def test_what_no_layer_of_pack_has_is_whole_and_named(tmp_path):
    net = Mixed()
    packed = pack(net, tmp_path / "net", 2)
    names = [n for n in net.state_dict() if n.startswith(("recurrent.", "embedding.", "mask"))]
    assert sorted(packed.whole) == sorted(names)
    assert same({k: packed.state[k] for k in names}, {k: net.state_dict()[k] for k in names})


def test_complex_weights_are_whole_and_named(tmp_path):
    net = nn.Linear(3, 2, bias=False, dtype=torch.complex64)
    packed = pack(net, tmp_path / "net", 2)
    assert packed.whole == ("weight",)
    assert torch.equal(unpack(tmp_path / "net")["weight"], net.weight)


def test_layers_that_were_asked_for_are_whole(tmp_path):
    net = pruned()
    packed = pack(net, tmp_path / "net", 2, whole=("2*",))
    assert packed.whole == ("2.weight", "2.bias")
    assert torch.equal(packed.state["2.weight"], net[2].weight)
    assert len(packed.state["0.weight"].unique()) <= 5
    assert pack(net, tmp_path / "net", 2, whole="2").whole == ("2.weight", "2.bias")
    sparse = nn.Sequential(SparseLinear(16, 12, "bibd", seed=3))
    packed = pack(sparse, tmp_path / "net", 2, whole="0")
    assert same(packed.state, sparse.state_dict())


def test_names_that_no_layer_has_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"unknown layer to store whole '4': .*there are 0, 2"):
        pack(pruned(), tmp_path / "net", whole=("0", "4"))
    with pytest.raises(ValueError, match=r"unknown layer with bits 'fc1': there are 0, 2"):
        pack(pruned(), tmp_path / "net", {"fc1": 3, "*": 4})
    with pytest.raises(ValueError, match=r"unknown layer with a superset '1': "):
        pack(pruned(), tmp_path / "net", supersets={"1": superset()})
    assert not list(tmp_path.iterdir())


def test_a_tied_weight_is_stored_once_and_is_one_tensor_again(tmp_path):
    net = Mixed()
    packed = pack(net, tmp_path / "net")
    assert packed.state["first.weight"] is packed.state["embedding.weight"]
    size = packed.bytes
    net.first.weight = nn.Parameter(net.embedding.weight.detach().clone())
    assert pack(net, tmp_path / "net").bytes > size


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("bits", [3, 16, None])
def test_other_types_come_back_as_they_were(tmp_path, dtype, bits):
    net = pruned().to(dtype)
    packed = pack(net, tmp_path / "net", bits)
    assert {x.dtype for x in packed.state.values()} == {dtype}
    assert same(unpack(tmp_path / "net"), packed.state)
    if bits is None or (bits == 16 and dtype == torch.float16):
        assert same(packed.state, unsigned(net))


def test_weights_share_as_many_values_as_bits_say_and_zeros_stay(tmp_path):
    net = pruned((30, 40, 10), 0.5)
    for bits in (1, 2, 5):
        state = pack(net, tmp_path / "net", bits).state
        for name in ("0.weight", "2.weight"):
            kept = state[name][net.state_dict()[name] != 0]
            assert len(kept.unique()) <= 1 << bits
            assert torch.count_nonzero(state[name]) <= torch.count_nonzero(net.state_dict()[name])


def test_a_large_layer_is_coded_by_a_table(tmp_path):
    net = nn.Sequential(nn.Linear(300, 200))
    nn.init.normal_(net[0].weight)
    packed = pack(net, tmp_path / "net", 4)
    assert same(unpack(tmp_path / "net"), packed.state)
    old, new = net[0].weight.detach(), packed.state["0.weight"]
    book = new.unique()
    assert len(book) == 16
    near = (old.reshape(-1, 1) - book).abs().amin(1).view_as(old)
    # The nearest of the centroids, two of which may be off by the rounding of a half each.
    assert ((old - new).abs() <= near + 2 * 2.0**-11 * book.abs().max()).all()


def test_learning_is_for_so_many_places_of_a_file_and_for_what_it_saves(tmp_path, monkeypatch):
    net = pruned((60, 60, 60, 60), 0.3)
    with torch.no_grad():
        for layer in net[::2]:
            layer.weight[:, 20:] = 0  # (two columns of three are never kept, which is learned)
    ways = lambda: [parts[0][0] for parts in held(tmp_path / "net") if len(parts) == 3]  # noqa: E731
    pack(net, tmp_path / "net")
    assert ways() == [places.LEARNED] * 3
    monkeypatch.setattr(learned, "ROOM", 3600 * 2)
    packed = pack(net, tmp_path / "net")
    assert ways()[:2] == [places.LEARNED] * 2
    assert ways()[2] != places.LEARNED
    assert same(unpack(tmp_path / "net"), packed.state)


def held(path):
    return container.read(path.read_bytes()).parts


def test_packing_what_was_unpacked_changes_nothing(tmp_path):
    net = pruned()
    first = pack(net, tmp_path / "net", 3)
    again = pack(first.into(net), tmp_path / "again", 3)
    assert same(first.state, again.state)
    assert (tmp_path / "net").read_bytes() == (tmp_path / "again").read_bytes()


def test_trained_centroids_are_the_codebook(tmp_path):
    net = pruned()
    share(net, 2)
    with torch.no_grad():
        net[0].parametrizations.weight.original.mul_(1.37)
    with pytest.raises(ValueError, match=r"0\.parametrizations\.weight\.0 is still .*bake\(net\)"):
        pack(net, tmp_path / "net", 2)
    bake(net)
    state = pack(net, tmp_path / "net", 2).state
    assert torch.equal(state["0.weight"], net[0].weight.half().float())


def test_a_state_is_packed_like_its_net(tmp_path):
    net = pruned()
    a, b = pack(net, tmp_path / "a"), pack(net.state_dict(), tmp_path / "b")
    assert same(a.state, b.state)
    assert a.bytes == b.bytes
    with pytest.raises(ValueError, match=r"sparse_conv\.weight .* load it into its net and pack"):
        pack(Mixed().state_dict(), tmp_path / "c")


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("value", [0.0, 0.25, 7e4, 1e-7])
def test_weights_of_one_value_and_of_none(tmp_path, value):
    net = nn.Sequential(nn.Linear(9, 4), nn.Linear(4, 0), nn.Linear(0, 3))
    nn.init.constant_(net[0].weight, value)
    packed = pack(net, tmp_path / "net")
    assert same(unpack(tmp_path / "net"), packed.state)
    assert torch.equal(packed.state["0.weight"], net[0].weight)  # (as a half, or else as a single)


def test_small_variances_and_large_biases_keep_their_digits(tmp_path):
    net = nn.BatchNorm1d(3)
    net.running_var.copy_(torch.tensor([1e-7, 1.0, 9e4]))
    with torch.no_grad():
        net.bias.copy_(torch.tensor([7e4, 1.0, 2.0]))
    packed = pack(nn.Sequential(net), tmp_path / "net")
    assert torch.equal(packed.state["0.running_var"], net.running_var)
    assert torch.equal(packed.state["0.bias"], net.bias)


@pytest.mark.parametrize("name", ["0.weight", "2.bias"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_by_name(tmp_path, name, bad):
    net = pruned()
    with torch.no_grad():
        net.get_parameter(name)[0].fill_(bad)
    with pytest.raises(ValueError, match=rf"{name}: \d+ of \d+ values are NaN or infinite"):
        pack(net, tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_bits_that_there_are_not_are_refused(tmp_path):
    for bits in (0, 9, 2.5, True, "4"):
        with pytest.raises(ValueError, match=r"bits must be 1 to 8 .*, 16 .* or None"):
            pack(pruned(), tmp_path / "net", bits)
    with pytest.raises(ValueError, match=r"bits= says nothing of layer '2': add \{\"\*\": 4\}"):
        pack(pruned(), tmp_path / "net", {"0": 3})
    with pytest.raises(ValueError, match="pack takes a net or its state_dict"):
        pack([1], tmp_path / "net")


def test_objects_are_stored_if_they_are_plain_data(tmp_path):
    class Noting(nn.Linear):
        noted: object = None

        def get_extra_state(self):
            return self.noted

        def set_extra_state(self, state):
            self.noted = state

    net = nn.Sequential(Noting(3, 2))
    net[0].noted = {"steps": 5, "names": ["a"]}
    packed = pack(net, tmp_path / "net")
    assert packed.whole == ("0._extra_state",)
    other = nn.Sequential(Noting(3, 2))
    unpack(tmp_path / "net", other)
    assert other[0].noted == {"steps": 5, "names": ["a"]}
    net[0].noted = prune
    with pytest.raises(ValueError, match=r"0\._extra_state: it is of type function, which cannot"):
        pack(net, tmp_path / "net")


def test_a_kill_while_packing_leaves_the_old_file(tmp_path):
    old = pack(pruned(), tmp_path / "net").state
    code = (
        "import os, signal, sys\nfrom compress import pack\nfrom harness.record import store\n"
        "from tests.compress.file.nets import pruned\n"
        "store.os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)\n"
        "pack(pruned(seed=9), sys.argv[1])"
    )
    done = python("-c", code, tmp_path / "net")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert same(unpack(tmp_path / "net"), old)


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*runs: make it first"):
        pack(pruned(), tmp_path / "runs" / "net")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path, monkeypatch):
    old = pack(pruned(), tmp_path / "net").state

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(store.os, "replace", full)
    with pytest.raises(OSError, match=r"could not write .* What was there before is intact"):
        pack(pruned(seed=9), tmp_path / "net")
    monkeypatch.undo()
    assert same(unpack(tmp_path / "net"), old)
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_a_file_for_another_net_names_both_shapes(tmp_path):
    pack(pruned(), tmp_path / "net")
    other = pruned((20, 13, 5))
    before = {k: v.clone() for k, v in other.state_dict().items()}
    with pytest.raises(
        ValueError, match=r"0\.weight: \(13, 20\) floats in the model, \(12, 20\) floats"
    ):
        unpack(tmp_path / "net", other)
    assert same(other.state_dict(), before)
    sparse = nn.Sequential(SparseLinear(16, 12, "random", seed=1))
    pack(sparse, tmp_path / "net")
    with pytest.raises(ValueError, match=r"these values belong to pattern random.*seed=1"):
        unpack(tmp_path / "net", nn.Sequential(SparseLinear(16, 12, "random", seed=2)))


def test_what_was_decoded_before_writing_is_what_counts(tmp_path, monkeypatch):
    right = reading.decode
    monkeypatch.setattr(reading, "decode", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pack(pruned(), tmp_path / "net")
    assert not (tmp_path / "net").exists()
    monkeypatch.setattr(reading, "decode", right)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_net_on_a_gpu_is_packed_and_gets_its_state_back_there(tmp_path):
    net = Mixed().cuda()
    packed = pack(net, tmp_path / "net")
    assert {x.device.type for x in packed.state.values()} == {"cpu"}
    unpack(tmp_path / "net", net)
    assert {p.device.type for p in net.parameters()} == {"cuda"}
    assert same({k: v.cpu() for k, v in net.state_dict().items()}, packed.state)


def test_a_layer_left_without_connections_is_packed_and_read_in_every_way(tmp_path):
    def net():
        return nn.Sequential(nn.Linear(12, 10), nn.Linear(10, 6), nn.ReLU(), nn.Linear(6, 3))

    found = net()
    masks = compress.prune(found, 0.5)
    masks["1.weight"][:] = False
    compress.freeze(found, masks)
    kept = pack(found, tmp_path / "net", bits=None)
    assert "1.weight" not in kept.whole
    assert sorted(compress.patterns(tmp_path / "net")) == ["0", "1", "3"]
    x = torch.randn(4, 12)
    dense, sparse = net(), net()
    unpack(tmp_path / "net", dense, dense=True)
    bibd.sparsify(sparse, compress.patterns(tmp_path / "net"))
    unpack(tmp_path / "net", sparse)
    assert not dense[1].weight.any()
    for other in (dense, sparse):
        torch.testing.assert_close(other(x), found(x), atol=2e-3, rtol=0)  # (biases are halves)


@pytest.mark.parametrize("scale", [1e60, 1e-60])
def test_values_beyond_float32_are_refused_or_stored_as_they_are(tmp_path, scale):
    net = nn.Linear(4, 4, bias=False).double()
    with torch.no_grad():
        net.weight *= scale
    for bits in (4, 16):
        with pytest.raises(ValueError, match="are beyond float32, in which shared values"):
            pack(net, tmp_path / "net", bits)
    assert torch.equal(pack(net, tmp_path / "net", None).state["weight"], net.weight)


@pytest.mark.parametrize("net", [nn.Linear(3, 3, device="meta"), nn.LazyLinear(3)])
def test_weights_without_values_are_refused(net, tmp_path):
    with pytest.raises(ValueError, match="weight has no values yet"):
        pack(net, tmp_path / "net")


def test_net_and_file_the_other_way_round_are_said(tmp_path):
    net, path = pruned(), tmp_path / "net"
    with pytest.raises(ValueError, match=r"the net comes first, .*: pack\(net, '.*net'\)"):
        pack(path, net)
    with pytest.raises(ValueError, match=r"unpack\('.*net', net\); got a Sequential"):
        unpack(net, path)


def test_a_folder_and_no_file_are_said(tmp_path):
    with pytest.raises(ValueError, match="is a folder, and unpack reads one file"):
        unpack(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no file .*: pack\(net, .*\) writes it"):
        unpack(tmp_path / "none")
