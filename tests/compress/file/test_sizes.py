"""Sizes: bytes that add up to the file, what others make of the same net, and Han's account."""

import heapq
import io
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from compress import pack, sizes, unpack
from compress.file import huffman, others, verbs
from compress.file.sizes import PURPOSES
from tests.compress.file.nets import Mixed, pruned, same
from tests.drawn import examples


@pytest.mark.parametrize("make", [pruned, Mixed])
@pytest.mark.parametrize("bits", [3, 16, None])
def test_the_bytes_by_layer_and_purpose_add_up_to_the_file(tmp_path, make, bits):
    packed = pack(make(), tmp_path / "net", bits)
    found = sizes(tmp_path / "net")
    assert sum(layer.total for layer in found.layers) == found.total == packed.bytes
    assert found.whole().total == packed.bytes
    rows = found.objects()
    assert rows[-1]["bytes"] == packed.bytes == (tmp_path / "net").stat().st_size
    assert all(row["bytes"] == sum(row[p] for p in PURPOSES) for row in rows)


def test_weights_and_those_that_are_kept_are_counted(tmp_path):
    net = Mixed()
    packed = pack(net, tmp_path / "net")
    layers = {layer.name: layer for layer in sizes(tmp_path / "net").layers}
    assert (layers["conv"].weights, layers["described"].weights) == (216, 192)
    assert layers["sparse_conv"].weights == 8 * 8 * 9
    for name in ("conv", "described", "learned"):
        assert layers[name].kept == torch.count_nonzero(packed.state[f"{name}.weight"])
    assert layers["recurrent"].bytes["whole"] > 4 * 36
    assert layers["norm"].bytes["biases"] > 0


def test_ratios_refer_to_every_weight_in_float32(tmp_path):
    pack(pruned(), tmp_path / "net")
    assert len(repr(sizes(tmp_path / "net"))) < 80
    dense = 4 * (20 * 12 + 12 + 12 * 5 + 5)
    assert sizes(tmp_path / "net").dense == dense
    net = nn.Sequential(*pruned(), nn.Embedding(7, 4), nn.BatchNorm1d(4))
    pack(net, tmp_path / "net", whole="2")
    assert sizes(tmp_path / "net").dense == dense + 4 * (7 * 4 + 4 * 4)  # (its counter is no float)


@given(st.lists(st.integers(0, 50), max_size=40))
@examples(200)
def test_huffman_is_as_long_as_a_heap_says(counts):
    assert huffman.length(counts) == by_heap(counts)


def by_heap(counts):
    """The bits of a code that is built: symbols get the depths of their leaves."""
    heap = [(n, i, {i: 0}) for i, n in enumerate(counts) if n]
    heapq.heapify(heap)
    if len(heap) == 1:
        return heap[0][0]
    while len(heap) > 1:
        a, b = heapq.heappop(heap), heapq.heappop(heap)
        depths = {k: d + 1 for k, d in (a[2] | b[2]).items()}
        heapq.heappush(heap, (a[0] + b[0], a[1], depths))
    return sum(counts[k] * d for k, d in heap[0][2].items()) if heap else 0


@given(st.sets(st.integers(0, 500), max_size=60), st.integers(1, 8))
@examples(100)
def test_steps_with_fillers_lead_to_the_places(places, bits):
    flat = np.array(sorted(places), dtype=np.int64)
    step, filler = huffman.steps(flat, bits)
    assert np.array_equal(np.cumsum(step)[~filler] - 1, flat)
    assert ((step >= 1) & (step <= 1 << bits)).all()
    assert (step[filler] == 1 << bits).all()


def test_the_example_of_three_bits():
    step, filler = huffman.steps(np.array([0, 3, 14]), 3)  # behind the start: 1, 3, and 11
    assert step.tolist() == [1, 3, 8, 3]
    assert filler.tolist() == [False, False, True, False]


def test_hans_account_of_a_layer():
    weight = np.zeros((4, 50))
    weight[0, [0, 1, 40]] = 0.5, 0.25, 0.5
    found = huffman.count("fc", weight, 4, convolution=False)
    assert (found.kept, found.fillers, found.value_bits, found.gap_bits) == (3, 1, 1, 5)
    assert found.fixed == 4 * 6
    # values 2, 1 and a filler: 2 + 2 x 2 bits; steps 1 1 32 7: 2 + 2 x 2 bits
    assert (found.values, found.gaps, found.codebook, found.biases) == (6, 6, 64, 128)
    assert found.bits == 6 + 6 + 64 + 128
    assert huffman.count("conv", weight, 0, convolution=True).fillers == 0
    assert huffman.count("none", np.zeros((2, 2)), 0, convolution=False).bits == 0


def test_others_keep_the_same_net(tmp_path):
    packed = pack(pruned((60, 40, 10), 0.05), tmp_path / "net", 3)
    found = {o.name: o for o in others.others(packed.state)}
    buffer = io.BytesIO()
    torch.save(dict(packed.state), buffer)
    assert found["torch.save"].bytes == len(buffer.getvalue())
    assert found["torch.save"].bytes > 4 * 2800
    assert packed.bytes < found["bz2 of a byte a weight"].bytes
    assert not found["entropy, no structure"].file
    numbers = np.frombuffer(others.a_byte_each({"w": packed.state["2.weight"].numpy()}), np.uint8)
    assert np.count_nonzero(numbers[-400:]) == torch.count_nonzero(packed.state["2.weight"])


def test_a_byte_is_too_little_for_weights_that_share_nothing():
    arrays = {"a.weight": np.random.default_rng(0).normal(size=(20, 20))}
    assert others.a_byte_each(arrays) is None
    names = [o.name for o in others.others({"a.weight": torch.randn(20, 20)})]
    assert not any("byte" in name for name in names)


def test_the_entropy_of_a_net():
    weight = np.zeros((4, 4))
    weight[0] = 1, 1, 2, 2  # a quarter is kept, of two values
    kept = 16 * (0.25 * 2 + 0.75 * np.log2(4 / 3))
    assert others.floor({"a": weight, "b": np.ones(3)}) == np.ceil((kept + 4 + 32 + 48) / 8)


def test_the_verbs(tmp_path, capsys):
    net = nn.Sequential(*pruned(), nn.GRU(5, 2))
    torch.save(net.state_dict(), tmp_path / "net.pt")
    argv = [str(tmp_path / "net.pt"), str(tmp_path / "net"), "--bits", "3"]
    assert verbs.pack([*argv, "--whole", "3"]) == 0
    out = capsys.readouterr().out
    assert f"{(tmp_path / 'net').stat().st_size:,} bytes" in out
    assert verbs.unpack([str(tmp_path / "net"), str(tmp_path / "back.pt")]) == 0
    assert same(torch.load(tmp_path / "back.pt", weights_only=True), unpack(tmp_path / "net"))
    capsys.readouterr()
    to = ["--to", str(tmp_path / "t.csv")]
    assert verbs.show([str(tmp_path / "net"), "--json", *to]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all("name" in row for row in rows)
    assert next(r for r in rows if r["name"] == "all")["bytes"] == (tmp_path / "net").stat().st_size
    assert (tmp_path / "t.csv").read_text().startswith("name,")
    for count in ("file", "han"):
        assert verbs.show([str(tmp_path / "net"), "--count", count]) == 0
        assert capsys.readouterr().out


def test_at_no_bits_all_layers_are_said_to_be_whole(tmp_path, capsys):
    torch.save(pruned().state_dict(), tmp_path / "net.pt")
    argv = [str(tmp_path / "net.pt"), str(tmp_path / "net"), "--bits"]
    assert verbs.pack([*argv, "0"]) == 0
    assert "stored whole, bit by bit: all layers\n" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        verbs.pack([*argv, "99"])
    assert "Expected one of ('0', '1'" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match=r"no folder .*none: make it first"):
        verbs.unpack([str(tmp_path / "net"), str(tmp_path / "none" / "back.pt")])


def test_a_run_of_a_study_is_packed_by_its_weights(tmp_path, capsys):
    from harness.record import weights

    net = pruned()
    weights.save(tmp_path, net)
    assert (
        verbs.pack([str(tmp_path / "weights.pt"), str(tmp_path / "net"), "--bits", "0", "--json"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["bytes"] == (tmp_path / "net").stat().st_size
    state = unpack(tmp_path / "net")
    assert all(torch.equal(state[k], v) for k, v in net.state_dict().items())


def test_verbs_answer_what_is_no_state_in_words(tmp_path):
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match=r"list\.pt holds list, expected a state_dict"):
        verbs.pack([str(tmp_path / "list.pt"), str(tmp_path / "net")])
    with pytest.raises(FileNotFoundError, match=r"no file .*none\.pt: name a state_dict"):
        verbs.pack([str(tmp_path / "none.pt"), str(tmp_path / "net")])
    with pytest.raises(ValueError, match="expected a file that ends in"):
        verbs.show([str(tmp_path / "net"), "--to", "x.y"])


def test_a_checkpoint_is_packed_by_the_one_state_in_it(tmp_path):
    state = pruned().state_dict()
    torch.save({"model": state, "epoch": 3}, tmp_path / "c.pt")
    assert verbs.pack([str(tmp_path / "c.pt"), str(tmp_path / "net")]) == 0
    assert list(unpack(tmp_path / "net")) == list(state)
    torch.save({"model": state, "average": state}, tmp_path / "c.pt")
    with pytest.raises(ValueError, match=r"several states \('model', 'average'\), expected one"):
        verbs.pack([str(tmp_path / "c.pt"), str(tmp_path / "net")])


@pytest.mark.parametrize("net", [{"epoch": 3}, nn.BatchNorm1d(4)], ids=["object", "norm"])
@pytest.mark.parametrize("count", ["file", "han"])
def test_files_without_layers_have_sizes_too(tmp_path, capsys, net, count):
    pack(net, tmp_path / "net")
    assert verbs.show([str(tmp_path / "net"), "--count", count]) == 0
    assert " bytes" in capsys.readouterr().out


def test_a_file_that_is_no_state_is_answered_without_advice_to_run_it(tmp_path):
    path = tmp_path / "notes.md"
    path.write_text("# notes")
    with pytest.raises(ValueError, match=r"notes\.md is no state_dict") as told:
        verbs.pack([str(path), str(tmp_path / "net")])
    assert "weights_only" not in str(told.value)
    assert path.read_text() == "# notes"
