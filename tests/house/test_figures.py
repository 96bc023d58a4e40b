"""Committed figures are those of the committed records."""

import pytest

from tests.tree import ROOT


def test_committed_figures_of_the_two_plans_are_of_their_records(committed):
    from harness.record import store
    from mlp.plots import balance as plot_balance

    for plan in ("balance", "density"):
        whole = store.load(ROOT / "results" / "mlp" / plan / "experiment.json")
        committed("mlp", plan, plot_balance.figures(whole))


def test_committed_figures_are_of_the_committed_records():
    import json

    from harness.record import store
    from harness.result.stats import interval

    for plan in ("paper", "fashion"):
        whole = store.load(ROOT / "results" / "mlp" / plan / "experiment.json")
        folder = ROOT / "figure" / "mlp" / plan
        for suffix in ("png", "eps"):
            assert (folder / f"experiments.{suffix}").exists()
        data = json.loads((folder / "experiments.json").read_text())
        for series in data["series"].values():
            for arm, mean in zip(series["arm"], series["mean"], strict=True):
                got = interval(whole.final(arm, "test_accuracy").values()).mean
                assert mean == pytest.approx(got, abs=1e-12)
