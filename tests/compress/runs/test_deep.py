"""Nets that are pruned in steps and written as files."""

import copy
from dataclasses import replace

import pytest
import torch

from compress.plans.coded import SMOKE as CODED
from compress.plans.deep import PLANS, SMOKE
from compress.runs import deep, files
from compress.runs.twins import dense_twin
from compress.trainer import build, check, describe, read, train
from harness.job import Job

SHORT = replace(SMOKE, dense=2, each=2, sharing=1, bits=(3,))


def test_a_run_goes_on_between_steps_bit_for_bit():
    whole = list(train(SHORT, 0))
    half = Job()
    first = next(steps := train(SHORT, 0, half))
    saved = copy.deepcopy(half.state(1))
    steps.close()
    assert [first, *train(SHORT, 0, Job(saved=saved))] == whole


def test_each_step_has_its_density_and_its_files():
    rows = list(train(SHORT, 0))
    assert [row["density"] for row in rows] == [1.0, 0.3, 0.15]
    assert rows[0]["files"] == []
    for row in rows[1:]:
        (file,) = row["files"]
        assert file["kept"] <= round(row["density"] * 3056)
        assert file["bytes"] == sum(file["purposes"].values())
        assert file["ratio"] == pytest.approx(4 * 3122 / file["bytes"], rel=1e-3)
    assert rows[2]["files"][0]["bytes"] < rows[1]["files"][0]["bytes"]


def test_what_is_judged_is_what_is_on_the_disk(monkeypatch):
    """A decoder that loses a weight changes the accuracy that is told."""
    data = read(SHORT, Job())
    net = deep.build(SHORT, data, 0)
    right = files.written(net, data, 3)
    real = files.unpack

    def lossy(path, into):
        real(path, into)
        with torch.no_grad():
            into[-1].weight.zero_()

    monkeypatch.setattr(files, "unpack", lossy)
    wrong = files.written(deep.build(SHORT, data, 0), data, 3)
    assert wrong["bytes"] == right["bytes"]
    assert wrong["test_loss"] != right["test_loss"]


def test_making_a_file_leaves_the_net_as_it_is():
    data = read(SHORT, Job())
    net = deep.build(SHORT, data, 0)
    before = copy.deepcopy(net.state_dict())
    named = dict(epochs=1, batch_size=32, lr=0.002, momentum=0.9, seed=0, first=0)
    files.coded(net, data, 2, lambda done: None, **named)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


@pytest.mark.parametrize("method", ["dense", "bibd", "fan_in", "subset", "rigl", "gradual"])
def test_every_kind_of_net_ends_with_its_files(method):
    sizes = dict(density=0.15) if method in ("subset", "rigl", "gradual") else {}
    densities = "bibd" if method in ("bibd", "fan_in") else "erk"
    config = replace(CODED, method=method, epochs=2, bits=(3,), densities=densities, **sizes)
    check(config, Job())
    first, last = train(config, 0)
    assert "files" not in first
    (file,) = last["files"]
    assert file["bytes"] > 0
    where = file["purposes"]["where"]
    if method in ("bibd", "fan_in", "dense"):
        assert where < 64  # family, size, seed, digest: no byte for a place
    else:
        assert where > 64


def test_a_subset_stays_inside_its_design():
    config = replace(CODED, method="subset", epochs=1, density=0.15)
    job = Job()
    list(train(config, 0, job))
    net = job.parts["net"].net
    from compress.runs.dynamic import supersets

    for name, pattern in supersets(net).items():
        kept = net.get_submodule(name).weight.detach().numpy() != 0
        assert kept.any()
        assert not (kept & ~pattern.mask()).any()


@pytest.fixture(scope="module")
def designed():
    """A short run of B-ResNet-18: config, its rows, and the net at its end."""
    (config,) = PLANS["deep_resnet_smoke"].arms.values()
    config = replace(config, dense=1, each=1, bits=(2,), batch_size=128)
    check(config, Job())
    job = Job()
    rows = list(train(config, 0, job))
    return config, rows, job.parts["net"]


def test_the_places_of_designs_take_no_bytes_and_those_of_a_part_few(designed):
    config, rows, _ = designed
    first, second = ([f["purposes"]["where"] for f in row["files"]] for row in rows)
    held = describe(config, Job())["connections"]
    assert rows[0]["files"][0]["kept"] == held
    assert [row["density"] for row in rows] == [pytest.approx(held / 43_940), 0.1]
    kept = rows[1]["files"][0]["kept"]
    # (a bit for each connection of the design, and an eighth of that for tables, is what a part
    # takes at most; places among all weights would take more than three bits for each kept one)
    assert max(first) < 1000 < min(second) <= max(second) < held / 8 * 9 / 8 + 1000
    assert kept == round(0.1 * 43_940)


def test_norms_are_stored_or_folded_and_folding_saves_bytes(designed):
    for row in designed[1]:
        stored, folded = row["files"]
        assert "norms" not in stored
        assert folded["norms"] == "folded"
        saved = stored["purposes"]["biases"] - folded["purposes"]["biases"]
        assert saved > 0
        assert folded["bytes"] < stored["bytes"]


def test_what_is_pruned_stays_inside_the_designs(designed):
    run = designed[2]
    for name, pattern in run.supersets.items():
        kept = run.net.get_submodule(name).weight.detach().flatten(2).any(2).numpy()
        assert kept.any()
        assert not (kept & ~pattern.mask()).any()
    assert len(run.supersets) == 16  # (two in each of eight blocks; shortcuts are dense)


def test_the_dense_twin_of_a_net_of_designs_is_the_same_function():
    config = next(iter(PLANS["deep_resnet_smoke"].arms.values()))
    data = read(config, Job())
    net = build(config, data, 3).double().eval()
    twin, _ = dense_twin(net)
    x = data.test_x[:8].double()
    torch.testing.assert_close(twin(x), net(x), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(files.folded(twin)(x), net(x), rtol=1e-10, atol=1e-10)


def test_a_density_above_that_of_the_designs_is_refused():
    config = next(iter(PLANS["deep_resnet_smoke"].arms.values()))
    with pytest.raises(ValueError, match=r"begin with 0.5, and the net's designs have 0\.2"):
        check(replace(config, densities=(0.5,)), Job())


def test_lenet_5_has_the_published_number_of_weights():
    from harness.nets.lenet import lenet5

    net = lenet5()
    assert sum(p.numel() for p in net.parameters() if p.ndim > 1) == 430_500
    assert sum(p.numel() for p in net.parameters() if p.ndim == 1) == 580
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert torch.equal(lenet5(seed=3).stages[0].weight, lenet5(seed=3).stages[0].weight)
    with pytest.raises(ValueError, match="at least 16 x 16 pixels, got 8 x 8"):
        lenet5((1, 8, 8))


def test_signals_of_lenet_5_grow_no_more_than_those_of_pictures():
    # (windows of 25 and 500 numbers: with He's start for ReLUs both would double the variance)
    from harness.nets.lenet import lenet5

    x = torch.randn(64, 1, 28, 28, generator=torch.manual_seed(0))
    first = [lenet5(seed=k).stages[0](x).var().item() for k in range(20)]
    assert 0.7 < sum(first) / len(first) < 1.3  # its deviation: sqrt(2 / 25 / 20 / 20) = .014


def test_a_net_tells_its_costs():
    assert describe(SHORT, Job())["connections"] == 3056


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"net": "lenet"}, "unknown net 'lenet'"),
        ({"densities": (0.1, 0.2)}, r"densities fall, between 1 and 0; got \(0.1, 0.2\)"),
        ({"bits": (9,)}, "bits are 1 to 8"),
        ({"norms": ("fold",)}, "unknown way to keep norms 'fold'"),
        ({"norms": ()}, "norms are some of stored, folded, got none"),
        ({"sharing": 0}, "sharing must be at least 1, got 0"),
        ({"shared_lr": 0.0}, "lr and shared_lr must be above 0"),
    ],
)
def test_a_wrong_config_is_refused_in_words(change, text):
    with pytest.raises(ValueError, match=text):
        replace(SHORT, **change)


def test_a_subset_that_is_larger_than_its_design_is_refused():
    config = replace(CODED, method="subset", density=0.9)
    with pytest.raises(ValueError, match="above that of the designs"):
        next(train(config, 0))
