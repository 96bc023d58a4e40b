"""What torch.distributed.checkpoint has from n ranks, m load, under any stage."""

import os
from functools import partial

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint import CheckpointException, FileSystemWriter

from parallel import DataParallel, World
from parallel.identities import averaging as identities
from parallel.world.run import run
from parallel.zero import checkpoint
from tests.parallel.processes import limit
from tests.parallel.zero.test_zero import ADAM, MOMENTUM, Odd, go_on


def started(name, workers, optimizer, model):
    net = DataParallel(style=name, model=model, workers=workers)
    return net, optimizer(net.parameters())


@pytest.mark.parametrize(
    ("saved", "loaded", "workers"),
    [
        *(("zero1", "zero1", 3), ("zero1", "zero3", 2), ("zero2", "zero2", 4)),
        *(("zero3", "zero3", 3), ("zero3", "zero3", 1), ("zero3", "zero2", 4)),
    ],
)
def test_what_three_have_saved_any_number_loads_under_any_stage(saved, loaded, workers, tmp_path):
    """Then they go on alike, to the bit where they are as many under the same stage."""
    first = started(saved, 3, MOMENTUM, identities.net())
    go_on(*first, 4)
    for group in first[1].param_groups:
        group["lr"] = 0.03  # (by a schedule, say)
    checkpoint.save(*first, tmp_path / "four")
    second = started(loaded, workers, MOMENTUM, identities.net(1))
    checkpoint.load(*second, tmp_path / "four")
    assert second[0].steps == 4
    # (a mean of equal numbers below 1 rounds, too)
    assert identities.apart(first[0].state_dict(), second[0].state_dict()) <= 2**-52
    for pair in (first, second):
        go_on(*pair, 5)
    apart = identities.apart(first[0].state_dict(), second[0].state_dict())
    assert apart == 0 if (saved, 3) == (loaded, workers) else apart <= 1e-12


STAGES = ["zero1", "zero2", "zero3"]


class Filters(nn.Module):
    """Weights that lie in memory otherwise than their axes say, and statistics."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.norm, self.out = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)
        self.double().to(memory_format=torch.channels_last)

    def forward(self, x):
        return self.out(self.norm(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("loaded", STAGES)
@pytest.mark.parametrize("saved", STAGES)
def test_a_list_of_states_is_loaded_under_any_stage(saved, loaded, workers):
    def go_on(net, optimizer, steps):
        for k in range(steps):
            g = torch.Generator().manual_seed(net.steps + k)
            x = torch.randn(12, 3, 5, 5, dtype=torch.float64, generator=g)
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()

    first = started(saved, 2, MOMENTUM, Filters(0))
    second = started(loaded, workers, MOMENTUM, Filters(1))
    go_on(*first, 3)
    second[0].load_training_state([first[0].training_state(first[1])], second[1])
    # (a mean of statistics below 1 rounds)
    assert identities.apart(first[0].state_dict(), second[0].state_dict()) <= 2**-52
    if workers == 2:  # (batches that are cut otherwise have other statistics)
        for pair in (first, second):
            go_on(*pair, 3)
        assert identities.apart(first[0].state_dict(), second[0].state_dict()) <= 1e-12


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.NAdam, torch.optim.ASGD])
def test_what_an_optimizer_keeps_of_a_whole_parameter_is_not_cut_but_copied(kind, tmp_path):
    """A number without axes is as long as a slice of one number; each slice counts by itself."""
    pairs = [
        started("zero1", workers, partial(kind, lr=0.01), identities.net(k))
        for k, workers in enumerate((2, 13, 5))
    ]
    go_on(*pairs[0], 2)
    checkpoint.save(*pairs[0], tmp_path)
    checkpoint.load(*pairs[1], tmp_path)
    pairs[2][0].load_training_state([pairs[0][0].training_state(pairs[0][1])], pairs[2][1])
    for pair in pairs:
        go_on(*pair, 2)
    for net, _ in pairs[1:]:
        assert identities.apart(pairs[0][0].state_dict(), net.state_dict()) <= 1e-12


@pytest.mark.parametrize("workers", [2, 3])
def test_statistics_frozen_and_unreached_weights(workers, tmp_path):
    first = started("zero3", 2, ADAM, Odd().double())
    go_on(*first, 3)
    checkpoint.save(*first, tmp_path / "three")
    with torch.no_grad():
        other = Odd().double()
        for p in other.parameters():
            p.add_(1)
    second = started("zero2", workers, ADAM, other)
    checkpoint.load(*second, tmp_path / "three")
    assert identities.apart(first[0].state_dict(), second[0].state_dict()) <= 2**-52


def test_who_holds_no_slices_or_another_net_is_told(tmp_path):
    net = started("zero2", 2, MOMENTUM, nn.Linear(4, 3))
    checkpoint.save(*net, tmp_path / "none")
    with pytest.raises(ValueError, match="only workers that hold slices"):
        checkpoint.save(*started("all_reduce", 2, MOMENTUM, nn.Linear(4, 3)), tmp_path / "no")
    with pytest.raises(ValueError, match="the states have 12 of the numbers 0 to 18 of weight"):
        checkpoint.load(*started("zero2", 2, MOMENTUM, nn.Linear(4, 7)), tmp_path / "none")


def test_over_an_old_one_is_the_new_one_or_none(tmp_path, monkeypatch):
    """Of an interrupted one some ranks' numbers may be the new ones, and some the old."""
    net = started("zero2", 2, MOMENTUM, identities.net())
    checkpoint.save(*net, tmp_path)
    go_on(*net, 1)
    checkpoint.save(*net, tmp_path)
    other = started("zero2", 2, MOMENTUM, identities.net(1))
    checkpoint.load(*other, tmp_path)
    assert other[0].steps == 1
    monkeypatch.setattr(FileSystemWriter, "write_data", lambda *_: 1 / 0)
    with pytest.raises(CheckpointException):
        checkpoint.save(*net, tmp_path)
    with pytest.raises(FileNotFoundError):
        checkpoint.load(*other, tmp_path)


def as_script(comm, style, place, saved):
    """What a script under torchrun does, in a process of a world."""
    os.environ.update(RANK=str(comm.rank), WORLD_SIZE=str(comm.workers))
    net, optimizer = started(style, None, MOMENTUM, identities.net(int(saved)))
    if saved:
        checkpoint.load(net, optimizer, place)
    go_on(net, optimizer, 5 if saved else 4)
    if not saved:
        checkpoint.save(net, optimizer, place)
    yield net.state_dict()


@pytest.mark.slow
def test_two_processes_save_and_others_load(tmp_path):
    """Of zero3; four of zero2 and two of zero3 go on, as a simulation that was not interrupted."""
    words = as_script, "zero3", tmp_path / "saved", False
    with limit(120):
        list(run(World.procs(2, timeout=30), *words))
        (two,) = run(World.procs(2, timeout=30), *words[:3], True)
        (four,) = run(World.procs(4, timeout=30), as_script, "zero2", words[2], True)
    net, optimizer = started("zero3", 2, MOMENTUM, identities.net())
    go_on(net, optimizer, 9)
    assert identities.apart(two, net.state_dict()) <= 1e-12
    assert identities.apart(four, net.state_dict()) <= 1e-12
