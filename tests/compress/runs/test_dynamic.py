"""Training of nets whose connections stay, move, or are pruned."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from bibd import DynamicLinear, SparseLinear, kernels
from bibd.layer import SparseLayer
from compress.plans.dynamic import METHODS, SMOKE, arms
from compress.runs.dynamic import Run, build, counts
from compress.trainer import describe, read, train
from harness.job import Job

SHORT = replace(SMOKE, epochs=3, density=0.2)
LAYERS = {
    "dense": nn.Linear,
    "gradual": nn.Linear,
    "static": SparseLinear,
    "fan_in": SparseLinear,
    "subset": nn.Linear,
    "bibd": SparseLinear,
    "set": DynamicLinear,
    "rigl": DynamicLinear,
    "rigl_fan_in": DynamicLinear,
}


def config(method: str):
    if method == "subset":
        return replace(SHORT, method=method, density=0.15)
    densities = "bibd" if method == "bibd" else "erk"
    return replace(SHORT, method=method, densities=densities)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_goes_on_from_a_checkpoint_bit_for_bit(method):
    whole = Job()
    rows = list(train(config(method), 0, whole))
    half = Job()
    steps = train(config(method), 0, half)
    first = next(steps)
    saved = copy.deepcopy(half.state(1))
    rest = Job(saved=saved)
    more = list(train(config(method), 0, rest))
    assert [_told(r) for r in [first, *more]] == [_told(r) for r in rows]
    ours, theirs = (job.parts["net"].net.state_dict() for job in (whole, rest))
    assert all(torch.equal(v, theirs[k]) for k, v in ours.items())


def _told(row):
    return {k: v for k, v in row.items() if k != "train_time"}


@pytest.mark.parametrize("method", METHODS)
def test_each_method_has_its_layers_and_its_count(method):
    asked = config(method)
    data = read(asked, Job())
    net = build(asked, data, seed=0)
    kind = LAYERS[method]
    assert type(net[0]) is kind and type(net[2]) is kind  # noqa: PT018
    widths = (64, *asked.hidden, 10)
    held = [
        m.pattern.nonzeros if isinstance(m, SparseLayer) else m.weight.numel() for m in net[::2]
    ]
    assert held == counts(asked, widths)
    told = describe(asked, Job())["connections"]
    masked = method in ("gradual", "subset")
    assert told == (round(asked.density * 3056) if masked else sum(held))
    assert data.split


@pytest.mark.parametrize("method", ["set", "rigl", "rigl_fan_in"])
def test_connections_move_and_keep_their_number(method):
    run = Run(config(method), read(SHORT, Job()), 0)
    before = [m.pattern for m in run.net if isinstance(m, DynamicLinear)]
    run.row(0, lambda share: None)
    after = [m.pattern for m in run.net if isinstance(m, DynamicLinear)]
    assert [p.nonzeros for p in before] == [p.nonzeros for p in after]
    assert all(a.digest() != b.digest() for a, b in zip(before, after, strict=True))
    if method == "rigl_fan_in":
        assert all((a.fan_in == b.fan_in).all() for a, b in zip(before, after, strict=True))


def test_gradual_pruning_ends_at_its_density_and_stays_there():
    run = Run(config("gradual"), read(SHORT, Job()), 0)
    for epoch in range(3):
        run.row(epoch, lambda share: None)
    held = sum(int((m.weight != 0).sum()) for m in run.net if isinstance(m, nn.Linear))
    assert held == round(0.2 * 3056)


def test_starts_and_places_depend_on_the_seed_alone():
    first, again, other = (build(config("rigl"), read(SHORT, Job()), seed=s) for s in (0, 0, 1))
    assert torch.equal(first[0].to_dense(), again[0].to_dense())
    assert first[0].pattern.digest() != other[0].pattern.digest()


@pytest.mark.parametrize("method", METHODS)
def test_the_last_row_says_what_the_training_holds(method):
    """By hand: 4 bytes a number, of which there are weights, gradients and momentum."""
    asked = config(method)
    first, *_, last = train(asked, 0)
    assert "memory" not in first
    found, numbers = last["memory"], sum(counts(asked, (64, *asked.hidden, 10))) + 32 + 24 + 10
    assert found["weights"] == found["gradients"] == found["moments"] == 4 * numbers
    masked = method in ("gradual", "subset")
    assert found["masks"] == (5 * 3056 if masked else 0)  # (a byte and a factor for each weight)
    dense = method in ("dense", "gradual", "subset")
    assert (found["tables"] == 0) == dense
    assert found["change"] == (4 * 3056 if method in ("rigl", "rigl_fan_in") else 0)
    assert found["all"] == sum(v for k, v in found.items() if k != "all")


def test_tables_of_kernels_count_from_when_they_are_built():
    layer = SparseLinear(784, 32, "random", seed=0, nonzeros=1000, backend="native")
    before = kernels.held(layer.pattern)
    table = kernels.table(layer.pattern)
    by_hand = 8 * 1000 + 4 * (33 + 785 + 3 * 1000)  # places; both ways to read, and an order
    assert before == 0
    assert kernels.held(layer.pattern) == by_hand
    assert table.nonzeros == 1000


def test_a_loss_that_is_lost_fails_the_run_in_words():
    broken = replace(config("static"), lr=1e30)
    *_, last = train(broken, 0)
    assert "the loss became" in last["failed"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"method": "rigle"}, "did you mean 'rigl'"),
        ({"densities": "erdos"}, "unknown densities 'erdos'"),
        ({"density": 0.0}, r"density must be in \(0, 1\], got 0.0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"hidden": ()}, "hidden must be widths"),
        ({"lr": -1.0}, "lr must be above 0"),
    ],
)
def test_a_wrong_config_is_refused_in_words(change, text):
    with pytest.raises(ValueError, match=text):
        replace(SMOKE, **change)


def test_every_arm_is_named_by_what_it_is():
    for name, arm in arms(SMOKE, (30.0, 10.0)).items():
        method, _, rest = name.partition("-")
        assert arm.method == method
        if rest and rest != "bibd":
            assert arm.density == pytest.approx(float(rest) / 100)
