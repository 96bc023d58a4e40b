"""Runs that train in float32 and make int8 of it."""

import copy
from dataclasses import replace

import pytest
import torch

from compress.int8 import extras
from compress.plans.int8 import PLANS, SMOKE, Int8
from compress.runs import int8
from compress.trainer import check, describe, read, train
from harness.job import Job
from tests.compress.int8.needs import needs_the_extra

PLAIN = replace(SMOKE, epochs=2, ways=("bf16",))
PICTURES = replace(PLANS["int8_smoke"].arms["ResNet-10"], epochs=2, ways=("bf16",))


@pytest.mark.parametrize("config", [PLAIN, PICTURES], ids=["mlp", "resnet"])
def test_a_run_goes_on_between_epochs_bit_for_bit(config):
    whole = list(train(config, 0))
    half = Job()
    first = next(steps := train(config, 0, half))
    saved = copy.deepcopy(half.state(1))
    steps.close()
    assert [first, *train(config, 0, Job(saved=saved))] == whole
    assert first["ways"] == []
    (way,) = whole[1]["ways"]
    assert way["way"] == "bf16"
    assert way["ratio"] == 0.5


@needs_the_extra
def test_each_way_has_its_accuracy_and_its_bytes():
    row = list(train(SMOKE, 0))[-1]
    found = {way["way"]: way for way in row["ways"]}
    assert tuple(found) == SMOKE.ways
    for way in found.values():
        assert abs(way["test_accuracy"] - row["test_accuracy"]) < 0.1
    size = 4 * 3122
    assert found["torchao"]["ratio"] == pytest.approx(found["torchao"]["bytes"] / size, rel=1e-3)


def test_what_is_judged_is_not_the_net_in_training():
    data = read(PLAIN, Job())
    net = int8.build(PLAIN, data, 0)
    before = copy.deepcopy(net.state_dict())
    list(int8.ways(PLAIN, net, data, 0))
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert net.training


def test_bytes_of_float32_are_those_of_the_dense_net():
    config = replace(PLAIN, pattern="bibd", hidden=(64, 72))
    net = int8.build(config, read(config, Job()), 0)
    dense = int8.build(replace(config, pattern="dense"), read(config, Job()), 0)
    assert int8.float32(net) == int8.float32(dense) == 4 * (64 * 65 + 64 * 0 + 65 * 72 + 73 * 10)


def test_a_plan_without_its_libraries_says_so_before_it_trains(monkeypatch):
    monkeypatch.setattr(extras, "missing", lambda: "no onnxruntime: type this")
    with pytest.raises(ValueError, match=r"no onnxruntime: type this; or .* --ways bf16"):
        check(SMOKE, Job())
    check(PLAIN, Job())


def test_a_net_tells_its_costs():
    assert describe(PLAIN, Job())["connections"] == 3056


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"net": "cnn"}, "unknown net 'cnn'"),
        ({"ways": ("int4",)}, "unknown way 'int4'"),
        ({"calibration": 0}, "calibration must be at least 1, got 0"),
        ({"batch_size": 1}, "batch_size must be at least 2, got 1"),
        ({"learned_lr": 0.0}, "lr and learned_lr must be above 0"),
        ({"hidden": ()}, "hidden must be widths of at least 1"),
    ],
)
def test_a_wrong_config_is_refused_in_words(change, text):
    with pytest.raises(ValueError, match=text):
        replace(PLAIN, **change)


def test_the_plan_names_every_way_of_int8():
    from compress.int8.quantize import HOME

    assert set(Int8().ways) == {"bf16", *HOME}
