"""What the plans of staleness answer, of a record whose answers are known; and their pictures."""

from dataclasses import asdict, replace

import pytest

from harness.experiment import Experiment, Run
from parallel import plot_parallel_experiments as plot
from parallel.plans import optimizers, spectrain, staleness
from parallel.plots import rates
from parallel.plots.rates import Cell
from parallel.plots.spectrain import table

# accuracy of two seeds by method and rate, nets of 4 layers
KNOWN = {
    "sgd": {0.001: (0.80, 0.82), 0.01: (0.90, 0.92), 0.05: (0.93, 0.95)},
    "pipedream": {0.001: (0.80, 0.82), 0.01: (0.92, 0.94), 0.05: (0.1, 0.1)},
    "spectrain_v1": {0.001: (0.82, 0.84), 0.01: (0.95, 0.97), 0.05: (0.9, 0.1)},
    "vanilla+spike": {0.001: (0.5, 0.52), 0.01: (0.1, 0.1), 0.05: (0.1, 0.1)},
}


def run(plan, name, config, seed, accuracy):
    row = {"epoch": 1, "train_loss": 1.0, "test_loss": 1.0, "test_accuracy": accuracy}
    return Run(name, seed, name, asdict(config), [row], {"split": "360 others"})


@pytest.fixture
def known():
    runs = [
        run("staleness", f"{name}-4-{rate:g}", config, seed, accuracy)
        for name, by_rate in KNOWN.items()
        for rate, values in by_rate.items()
        for seed, accuracy in enumerate(values)
        for config in [staleness.method(staleness.DIGITS, name, 4, rate)]
    ]
    return Experiment("parallel", "staleness", "?", runs)


def test_the_largest_rate_is_the_last_within_a_point_of_the_best_of_sgd(known):
    found = rates.cells(known)
    assert rates.holds(found, "mlp", "sgd", 4) == 0.05
    assert rates.holds(found, "mlp", "pipedream", 4) == 0.01  # .93, and SGD's best is .94
    assert rates.holds(found, "mlp", "spectrain_v1", 4) == 0.01
    assert rates.holds(found, "mlp", "vanilla+spike", 4) is None
    assert rates.best(found, "mlp", "pipedream", 4) == Cell("mlp", "pipedream", 4, 0.01)


def test_a_method_is_compared_by_seed_at_the_same_rate(known):
    found = rates.cells(known)
    first, second = (Cell("mlp", name, 4, 0.01) for name in ("spectrain_v1", "pipedream"))
    assert rates.gain(found, first, second).mean == pytest.approx(0.03)
    assert rates.gain(found, first, second).n == 2
    assert rates.gain(found, first, Cell("mlp", "lwp", 4, 0.01)) is None


def test_the_answers_are_printed(known):
    text = "\n".join(plot.table(known))
    assert "N = 4  spectrain_v1: 0.001: 2.0, 0.01: 3.0, 0.05: 40.0 ± 508.2" in text
    assert "vanilla+spike       " in text
    assert "none  51.0 ±12.7 (0.001)" in text


def test_pictures_hold_the_numbers_that_they_draw(known):
    drawn = {name: data for name, _, data in plot.figures(known)}
    assert set(drawn) == {"parallel_rates", "parallel_largest", "parallel_prediction"}
    line = drawn["parallel_rates"]["series"]["plain, 4 stages"]["pipedream"]
    assert line["x"] == [0.001, 0.01, 0.05]
    assert line["mean"] == pytest.approx([0.81, 0.93, 0.1])
    assert drawn["parallel_largest"]["series"]["plain"]["pipedream"] == [0.01]
    gains = drawn["parallel_prediction"]["series"]["plain, 4 stages"]["spectrain_v1"]
    assert gains["mean"] == pytest.approx([2.0, 3.0, 40.0])


def test_a_record_of_part_of_a_plan_is_drawn(known):
    known.runs = [r for r in known.runs if r.config["weights"] == "sgd"]
    assert len(plot.figures(known)) == 3
    assert not any(line.rstrip().endswith(":") for line in plot.table(known))


def filled(plan, value):
    arms = {**spectrain.PLANS, **optimizers.PLANS}[plan].arms
    runs = [
        run(plan, name, replace(config), seed, value(i, seed))
        for i, (name, config) in enumerate(arms.items())
        for seed in (0, 1, 2)
    ]
    return Experiment("parallel", plan, "?", runs)


@pytest.mark.parametrize("plan", [*spectrain.PLANS, *optimizers.PLANS])
def test_the_other_plans_are_drawn_with_every_arm(plan):
    whole = filled(plan, lambda i, seed: 0.5 + i / 500 + seed / 100)
    ((_, fig, data),) = plot.figures(whole)
    drawn = sum(
        len(line["mean"]) for lines in data["series"].values() for line in lines.values() if line
    )
    assert drawn == len(whole.arms())
    assert fig.axes


def test_numbers_of_the_script_stand_beside_ours_and_what_is_not_shown_is_said_so():
    whole = filled("spectrain_images", lambda i, seed: 0.5 + (seed * i) % 3 / 100)
    lines = {line.split()[0]: line for line in table(whole)}
    assert "script, one run: 88.11" in lines["vgg16-spectrain_v1-4"]
    assert "(no difference shown)" in lines["vgg16-vanilla-2"]
    assert "minus no pipeline" not in lines["vgg16-sgd"]
