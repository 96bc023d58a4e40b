"""Masks as plain data: table, file, torch's own format; and densities over time."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

import compress
from tests.compress.pruning.nets import conv, mlp, samples


def test_masks_print_as_a_table():
    masks = compress.Masks(
        {"fc1.weight": torch.tensor([[True, False]]), "fc2.weight": torch.ones(3, 500) > 0},
        ["so it is"],
    )
    assert repr(masks) == str(masks)
    assert str(masks).splitlines() == [
        "layer   kept     of  density",
        "fc1        1      2    50.0%",
        "fc2    1,500  1,500   100.0%",
        "all    1,501  1,502    99.9%",
        "so it is",
    ]  # fmt: skip


def test_masks_are_read_back_as_they_were_written(tmp_path):
    masks = compress.prune(conv(), 0.3, scope="layer")
    masks.notes = ("a note",)
    masks.save(tmp_path / "masks.pt")
    again = compress.Masks.load(tmp_path / "masks.pt")
    assert list(again) == list(masks)
    assert again.notes == masks.notes
    assert all(torch.equal(again[n], masks[n]) for n in masks)
    assert copy.deepcopy(again).notes == pickle.loads(pickle.dumps(again)).notes == ("a note",)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no masks at"):
        compress.Masks.load(tmp_path / "none.pt")
    torch.save({"a": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"holds no masks"):
        compress.Masks.load(tmp_path / "other.pt")
    (tmp_path / "broken.pt").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(ValueError, match=r"is damaged"):
        compress.Masks.load(tmp_path / "broken.pt")
    with pytest.raises(
        ValueError, match=r"mask 'a' is a tensor of booleans, got torch.float32: \(weight != 0\)"
    ):
        compress.Masks({"a": torch.ones(2)})


def test_torch_takes_our_masks_and_we_take_its():
    net = mlp()
    x, _y = samples(net)
    masks = compress.prune(net, 0.3)
    ours = copy.deepcopy(net)
    compress.Masked(ours, masks)
    theirs = compress.to_torch(copy.deepcopy(net), masks)
    assert torch.equal(ours(x), theirs(x))
    for held in (theirs, theirs.state_dict()):
        again = compress.from_torch(held)
        assert all(torch.equal(again[n], masks[n]) for n in masks)
    compress.from_torch(theirs, remove=True)
    plain, state = ours.state_dict(), theirs.state_dict()  # (torch changes their order)
    assert state.keys() == plain.keys()
    assert all(torch.equal(state[name], plain[name]) for name in plain)


def test_what_torch_pruned_twice_is_read_as_one_mask():
    net = mlp()
    torch_prune.l1_unstructured(net[0], "weight", 0.5)
    torch_prune.random_unstructured(net[0], "weight", 0.5)
    torch_prune.l1_unstructured(net[0], "bias", 0.5)
    with pytest.raises(
        ValueError,
        match=r"'0' is masked by torch.nn.utils.prune already: masks = compress.from_torch",
    ):
        compress.prune(net, 0.5)
    masks = compress.from_torch(net, remove=True)
    assert torch.equal(masks["0.weight"], net[0].weight != 0)
    assert "biases are masked there too" in masks.notes[0]
    with pytest.raises(ValueError, match=r"no weight is masked"):
        compress.from_torch(net)
    with pytest.raises(ValueError, match=r"a state dict has no hooks"):
        compress.from_torch({"a.weight_mask": torch.ones(2)}, remove=True)


def test_masks_of_another_net_are_refused():
    masks = compress.prune(mlp(), 0.5)
    with pytest.raises(ValueError, match=r"unknown masked weight '0.weight'"):
        compress.to_torch(nn.ModuleDict({"fc": nn.Linear(3, 3)}), masks)
    other = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 3))
    for take in (compress.to_torch, compress.Masked, compress.freeze):
        with pytest.raises(
            ValueError, match=r"mask of 0.weight has shape \(9, 12\), the weight \(3, 3\)"
        ):
            take(other, masks)


def test_steps_go_down_in_equal_ratios_and_end_exactly():
    found = compress.steps(0.1, 3)
    assert found[-1] == 0.1
    assert [b / a for a, b in zip([1.0, *found], found, strict=False)] == pytest.approx(
        [0.1 ** (1 / 3)] * 3
    )
    with pytest.raises(ValueError, match=r"0.5 is above the start, 0.1"):
        compress.steps(0.5, 3, start=0.1)
    with pytest.raises(ValueError, match=r"count of steps .* got 0"):
        compress.steps(0.5, 0)


def test_a_gradual_density_is_zhu_and_guptas_cubic():
    gradual = compress.Gradual(0.1, begin=50, steps=1000, every=300, start=0.8)
    for t in (50, 51, 400, 1050):
        s = 0.9 + (0.2 - 0.9) * (1 - (t - 50) / 1000) ** 3
        assert gradual.at(t) == pytest.approx(1 - s, rel=1e-14)
    assert gradual.at(0) == 0.8
    assert gradual.at(9999) == 0.1
    assert [t for t in range(1200) if gradual.due(t)] == [50, 350, 650, 950, 1050]
    with pytest.raises(ValueError, match=r"steps is a whole number of at least 1, got 0"):
        compress.Gradual(0.1, 0, 0)


def test_masks_follow_a_cubic_while_a_net_trains():
    net = mlp()
    x, y = samples(net)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    masked = compress.Masked(net, compress.prune(net, 1.0), optimizer)
    gradual = compress.Gradual(0.2, begin=2, steps=10, every=4)
    for step in range(16):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        if gradual.due(step):
            masked.tighten(compress.prune(net, gradual.at(step), within=masked.masks))
    assert masked.masks.kept == round(0.2 * masked.masks.of)
    assert sum(int((p != 0).sum()) for p in net.parameters() if p.ndim > 1) == masked.masks.kept


def test_a_foreign_file_is_no_advice_to_read_it_without_care(tmp_path):
    (tmp_path / "net").write_bytes(b"IDDL something else")
    with pytest.raises(ValueError, match=r"is damaged, or none \(") as error:
        compress.Masks.load(tmp_path / "net")
    assert "weights_only" not in str(error.value)
