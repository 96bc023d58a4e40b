"""Plans `balance` and `density`: equal budgets, and what is said about them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness import cost
from harness.experiment import Experiment, Run
from harness.plan import as_dict
from mlp import plot_mlp_experiments as plot
from mlp.costs import costs
from mlp.experiments import PLANS
from mlp.model import build, patterns
from mlp.plans.balance import PATTERNS
from mlp.plots import balance as plot_balance
from mlp.plots import contrasts as balance
from mlp.plots.contrasts import SETTINGS

ARMS = PLANS["balance"].arms
EQUAL = ("bibd", "iddl", "biregular", "grouped", "bibd-canonical", "iddl-canonical")


@pytest.mark.parametrize("name", [*PATTERNS, "bibd-canonical", "iddl-canonical"])
def test_every_pattern_has_the_same_budget(name):
    for seed in (0, 7):
        tables = patterns(ARMS[f"{name}-mnist-flat"], 1024, seed)
        assert [p.shape for p in tables] == [(1024, 256), (256, 272)]
        assert [p.nonzeros for p in tables] == [8192, 4352]
        for p, fan_in, fan_out in zip(tables, (32, 16), (8, 17), strict=True):
            if name in (*EQUAL, "fan-in"):
                assert (p.fan_in == fan_in).all()
            if name in EQUAL:
                assert (np.bincount(p.indices, minlength=p.in_features) == fan_out).all()


def test_labels_of_the_layers():
    def labels(name):
        return [p.label for p in patterns(ARMS[f"{name}-mnist-short"], 1024, 3)]

    assert labels("bibd") == labels("bibd-canonical") == ["packing", "BIBD"]  # 256 < 1024: Fisher
    for name in ("iddl", "biregular", "fan-in", "random", "grouped"):
        assert labels(name) == ["irregular", "irregular"]


def test_relabelling_is_the_same_design_in_another_order_anew_per_seed():
    relabelled, canonical = (ARMS[f"{name}-mnist-flat"] for name in ("bibd", "bibd-canonical"))
    a, b, c = (patterns(relabelled, 1024, seed)[0] for seed in (0, 0, 1))
    assert a.digest() == b.digest() != c.digest()
    one, two = (patterns(canonical, 1024, seed)[0] for seed in (0, 1))
    assert one.digest() == two.digest() != a.digest()
    rng = np.random.default_rng(a.seed)
    rows, columns = rng.permutation(256), rng.permutation(1024)
    mask = np.zeros((256, 1024), dtype=bool)
    mask[np.ix_(rows, columns)] = one.mask()
    assert (a.mask() == mask).all()
    iddl = patterns(ARMS["iddl-mnist-flat"], 1024, 0)[0]
    assert iddl.seed == a.seed  # paired: the same relabelling of pixels for every design


def test_dense_nets_at_the_same_count():
    def total(arm):
        return cost.total(build(arm, 1024, 10, 0), (1024,)).nonzeros

    sparse = total(ARMS["bibd-mnist-flat"])
    assert sparse == 8192 + 4352 + 2720
    assert total(ARMS["by-layer-mnist-flat"]) == 8192 + 4352 + 5440
    lines = {line["name"]: line["connections"] for line in costs("balance", measured=False)}
    assert lines["bibd-mnist-flat"] == lines["random-fashion-short"] == sparse
    assert lines["full-mnist-flat"] == 1024 * 256 + 256 * 272 + 2720
    density = PLANS["density"].arms
    for q in (8, 16, 32):
        counts = {total(density[f"{name}-{q}-mnist"]) for name in PATTERNS}
        assert counts == {32 * q * q + q * q * (q + 1) + 10 * q * (q + 1)}
        assert total(density[f"narrow-{q}-mnist"]) == pytest.approx(counts.pop(), rel=2e-3)
    same = replace(density["bibd-16-mnist"])
    assert same == ARMS["bibd-mnist-short"]


def test_all_layers_start_by_their_true_fan_in():
    torch.manual_seed(0)
    for name, fans in {"bibd": (32, 16), "random": (32, 16), "full": (1024, 256)}.items():
        net = build(ARMS[f"{name}-mnist-flat"], 1024, 10, 0)
        for stage, fan in zip(net.stages, fans, strict=False):
            values = stage[0].weight
            assert values.square().mean().item() == pytest.approx(2 / fan, rel=0.08)
            assert stage[0].bias.abs().max().item() <= 1.01 * (fan / 2) ** -0.5
    old = build(PLANS["paper"].arms["MLP-3-1"], 784, 10, 0)
    assert old.stages[0][0].weight.abs().max().item() <= 784**-0.5  # torch's own start, as before


def test_the_three_numbers():
    """A design is the best in all three; groups are the worst."""
    found = {name: balance.measures(balance.arm(name, "mnist", "short")) for name in PATTERNS}
    for predictor, best in (("sigma2", min), ("coverage", max), ("imbalance", min)):
        assert best(found, key=lambda name: found[name][predictor]) == "bibd"
    assert max(found, key=lambda name: found[name]["sigma2"]) == "grouped"
    second = balance.certificates(balance.arm("bibd", "mnist", "short"))[1]
    measured = balance._measure(second)
    assert measured == pytest.approx({"sigma2": 1, "coverage": 1, "imbalance": 0})


def made(gain=0.0, seeds=5) -> Experiment:
    """A record in which every arm has the accuracy that its name says."""
    rng, runs = np.random.default_rng(0), []
    for name, config in ARMS.items():
        level = 0.9 + (gain if name.startswith("bibd-mnist") else 0)
        for seed in range(seeds):
            row = {"epoch": 9, "test_accuracy": level + float(rng.normal()) * 1e-3}
            facts = {"connections": 15264, "split": "official"}
            runs.append(Run(name, seed, name, as_dict(config), [row], facts))
    return Experiment("mlp", "balance", "", runs)


def test_effects_are_paired_and_found_where_they_are():
    whole = made(gain=0.05)
    found = balance.effects(whole, "bibd", "random")
    assert list(found) == SETTINGS
    assert "bibd-mnist-short is better than" in found["mnist", "short"].verdict
    assert found["mnist", "flat"].interval.mean == pytest.approx(0.05, abs=2e-3)
    assert "no difference shown" in found["fashion", "flat"].verdict
    half = Experiment("mlp", "balance", "", [r for r in whole.runs if "mnist" in r.arm])
    assert list(balance.effects(half, "bibd", "random")) == [SETTINGS[0], SETTINGS[2]]
    lines = balance.predictions(whole)
    assert len(lines) == 12
    mnist = next(x for x in lines if x["name"] == "imbalance mnist short")
    assert mnist["spearman"] < 0  # the most balanced is the best here
    assert balance.predictions(whole, ["grouped"])[0]["arms"] == 5


def test_a_diamond_is_an_interval_that_excludes_0_and_one_seed_has_none():
    def marks(seeds):
        fig = dict(f[:2] for f in plot.figures(made(0.05, seeds)))["mlp_experiments_effects"]
        return {line.get_marker() for ax in fig.axes for line in ax.lines} & {"D", "o"}

    assert marks(5) == {"D", "o"}
    assert marks(1) == {"o"}


def test_figures_of_both_plans(tmp_path):
    whole = made()
    found = {stem: (fig, data) for stem, fig, data in plot.figures(whole)}
    assert set(found) == {"mlp_experiments_effects", "mlp_experiments_predictors"}
    fig, data = found["mlp_experiments_effects"]
    assert [ax.get_title() for ax in fig.axes] == [
        "MNIST, 10 epochs",
        "Fashion-MNIST, 10 epochs",
        "MNIST, until flat",
        "Fashion-MNIST, until flat",
    ]
    assert set(data["mnist short"]) == set(plot_balance.COMPARED)
    assert "5 seeds" in plot.stands_on(whole)
    assert plot.figures(Experiment("mlp", "balance", "", [])) == []
    runs = []
    for name, config in PLANS["density"].arms.items():
        connections = 100 * int(name.split("-")[-2])
        for seed in range(2):
            row = {"epoch": 9, "test_accuracy": 0.9 + seed / 100}
            runs.append(Run(name, seed, name, as_dict(config), [row], {"connections": connections}))
    whole = Experiment("mlp", "density", "", runs)
    lines = list(plot.table(whole))
    assert len(lines) == 2 + 42 + 1 + 36
    assert lines[-1].startswith("bibd-32-fashion - narrow-32-fashion")
    ((stem, fig, data),) = plot.figures(whole)
    assert stem == "mlp_experiments_density"
    assert data["mnist"]["bibd"]["connections"] == [800, 1600, 3200]
    assert [ax.get_title("left") for ax in fig.axes] == ["a", "b", "c", "d"]
    gaps = data["differences"]["mnist"]
    assert set(gaps) == {*PATTERNS, "narrow"} - {plot_balance.REFERENCE}
    assert gaps["bibd"]["connections"] == [800, 1600, 3200]
    assert gaps["bibd"]["mean"] == pytest.approx([0, 0, 0])  # every arm was given the same values


def test_deviations_are_paired_by_seed():
    """What all patterns of a seed have in common is not in the interval."""
    runs = []
    for name, config in ARMS.items():
        for seed in range(3):
            accuracy = 0.8 + 0.05 * seed + (0.06 if name.startswith("bibd-mnist") else 0.0)
            row = {"epoch": 9, "test_accuracy": accuracy}
            runs.append(Run(name, seed, name, as_dict(config), [row], {}))
    whole = Experiment("mlp", "balance", "", runs)
    found = balance.deviations(whole, "mnist", "short")
    assert list(found) == list(PATTERNS)
    assert found["bibd"].mean == pytest.approx(0.05)  # 0.06 - 0.06 / 6
    assert found["random"].mean == pytest.approx(-0.01)
    assert found["bibd"].half == pytest.approx(0, abs=1e-9)
    whole.runs = [run for run in runs if run.arm != "random-mnist-short"]
    assert balance.deviations(whole, "mnist", "short") == {}


def test_predictors_show_an_interval_at_every_point():
    """A row of panels for each set of images; a bar for each pattern and length of training."""
    found = {stem: (fig, data) for stem, fig, data in plot.figures(made())}
    fig, data = found["mlp_experiments_predictors"]
    assert [ax.get_title("left") for ax in fig.axes] == list("abcdef")
    assert all(len(ax.containers) == 2 * len(PATTERNS) for ax in fig.axes)
    assert fig.axes[0].get_ylabel().startswith("MNIST")
    assert fig.axes[3].get_ylabel().startswith("Fashion-MNIST")
    for points in data["points"].values():
        assert all(i["low"] < i["mean"] < i["high"] for i in points.values())


def test_neighbours_stand_side_by_side_and_all_others_where_they_are():
    places = plot_balance._side_by_side({"a": 0.0, "b": 0.499, "c": 0.5, "d": 1.0}, log=False)
    at = [places(name, 0.0) for name in "abcd"]
    assert at[0] == 0.0
    assert at[3] == 1.0
    assert at[2] - at[1] == pytest.approx(0.045)
    assert (at[1] + at[2]) / 2 == pytest.approx(0.4995)
    logs = plot_balance._side_by_side({"a": 0.1, "b": 1.0, "c": 10.0}, log=True)
    assert [logs(name, 0.0) for name in "abc"] == pytest.approx([0.1, 1.0, 10.0])
