"""The picture of tickets, and the claims: the record's numbers, paired by seed."""

import pytest

from compress.plot_compress_experiments import drawers, table
from compress.plots import levels, tickets
from harness.experiment import Experiment, Run


@pytest.fixture
def whole():
    runs = []
    for seed in (0, 1):
        rows = [
            {"epoch": 1, "remaining": 1.0, "stop": 1000, "test_accuracy": 0.97},
            {"epoch": 2, "remaining": 0.211, "stop": 600 + 100 * seed, "test_accuracy": 0.975,
             "new": {"stop": 1400, "test_accuracy": 0.971 - seed / 1000},
             "random": {"stop": 1500, "test_accuracy": 0.96}},
        ]  # fmt: skip
        facts = {"split": "official"}
        runs.append(Run("LeNet-300-100", seed, "k", {"data": "mnist"}, rows, facts=facts))
    return Experiment("compress", "tickets", "?", runs)


def test_claims_are_differences_of_the_same_seed(whole):
    by_words = {(c.remaining, c.key, c.against): tickets.found(whole, c) for c in tickets.CLAIMS}
    assert by_words[0.211, "stop", "dense"].mean == pytest.approx((40 + 30) / 2)
    assert by_words[0.211, "stop", "new"].mean == pytest.approx((14 / 6 + 2) / 2)
    assert by_words[0.211, "test_accuracy", "new"].mean == pytest.approx((0.4 + 0.5) / 2)
    assert by_words[0.135, "test_accuracy", "dense"] is None  # (no such level in the record)


def test_the_picture_has_a_line_for_each_way(whole):
    ((_, fig, data),) = list(drawers(whole)["fig_compress_experiments_tickets"]())
    assert list(data["series"]["stop"]) == list(tickets.NAMES.values())
    assert data["series"]["stop"]["the same start"]["x"] == pytest.approx([100, 21.1])
    low, high = fig.axes[0].get_xlim()
    assert low > high  # fewer weights to the right


def test_the_table_has_levels_and_claims(whole):
    lines = list(table(whole))
    assert any("21.10" in x and "random masks" in x for x in lines)
    assert any("38.0" in x and "35.00" in x for x in lines)


@pytest.fixture
def rewound():
    """Two seeds of a net of convolutions, whose weights go back to three steps."""
    runs = []
    for seed in (0, 1):
        shift = seed / 1000
        rows = [
            {"epoch": 1, "remaining": 1.0, "stop": 900, "test_accuracy": 0.8 + shift},
            {"epoch": 2, "remaining": 0.135, "stop": 900, "test_accuracy": 0.77,
             "step-2000": {"stop": 500, "test_accuracy": 0.81 + 3 * shift},
             "step-500": {"stop": 600 + seed, "test_accuracy": 0.79}},
        ]  # fmt: skip
        config = {"data": "cifar10", "net": "resnet_20"}
        runs.append(Run("ResNet-20", seed, "k", config, rows, facts={"split": "holdout"}))
    return Experiment("compress", "tickets_resnet", "?", runs)


def test_chains_of_levels_have_lines_in_the_order_of_their_steps(rewound):
    ((_, _, data),) = list(drawers(rewound)["fig_compress_experiments_tickets"]())
    lines = data["series"]["test_accuracy"]
    assert list(lines) == ["the same start", "back to step 500", "back to step 2,000"]
    assert lines["back to step 2,000"]["x"] == pytest.approx([13.5])
    assert any("13.50" in x and "back to step 500" in x for x in table(rewound))


def test_claims_about_lenet_are_not_asked_of_another_net(rewound):
    assert not any(tickets.found(rewound, claim) for claim in tickets.CLAIMS)
    assert not any("claim" in line for line in table(rewound))


def test_each_way_to_start_stands_beside_the_dense_nets_of_its_seeds(rewound):
    dense, same, early, late = levels.rows(rewound)
    assert dense[:2] == ["100.0 %", "dense"]
    assert dense[3:] == ["", "900"]
    assert same[1:3] == ["the same start", "77.00"]  # (the same in both seeds: no interval)
    assert early[1:3] == ["back to step 500", "79.00"]
    assert late[1] == "back to step 2,000"
    assert late[3].startswith("+1.10")
