"""What the page says of plans that have no record yet, part of one, or a whole one."""

import pytest

from harness.result import pages
from parallel import pages_nets, pages_staleness
from parallel.plans import optimizers, spectrain, staleness
from tests.parallel.records import made

NETS = list(spectrain.PLANS)


@pytest.fixture
def with_records(monkeypatch):
    """Put these records in the place of the committed ones."""

    def put(*records):
        known = {whole.plan: whole for whole in records}
        monkeypatch.setattr(pages, "recorded", lambda study, plan: known.get(plan))
        pages_nets.record.cache_clear()
        pages_staleness.found.cache_clear()

    yield put
    monkeypatch.undo()
    pages_nets.record.cache_clear()
    pages_staleness.found.cache_clear()


def body(rows):
    """The lines below the head by their first cell; each as long as the head, with no empty cell."""
    head, *lines = [list(row) for row in rows]
    assert all(len(line) == len(head) and all(line) for line in lines)
    return {line[0]: dict(zip(head[1:], line[1:], strict=True)) for line in lines}


def late(arm, seed):
    """Prediction 3 points above stashing, which is 5 below no pipeline; noise of mean 0."""
    kinds = "-sgd", "vanilla", "pipedream", "spectrain"
    kind = next(k for k, word in enumerate(kinds) if word in f"-{arm}")
    return 0.9 - (0.0, 0.05, 0.05, 0.02)[kind] + (seed - 1) * kind / 1000


def test_without_any_record_every_table_is_whole_and_says_so(with_records):
    with_records()
    lines = body(pages_nets.nets())
    assert lines["the script's VGG16 (not run here)"]["SpecTrain v1, N = 4"] == "88.11"
    assert len(lines) == len(spectrain.ROWS)
    told = body(pages_nets.nets_told())
    assert {line["state"] for line in told.values()} == {"not run yet"}
    assert len(told) == len(NETS)
    assert list(body(pages_nets.of_optimizers()).values()) == [{"state": "not run yet"}]
    assert pages_nets.shown() == "none of these plans has been run yet"
    assert pages_nets.little() == "none"
    assert pages_nets.runs() == "0 of 54 runs are done"


@pytest.mark.parametrize("plan", NETS)
def test_a_whole_record_of_nets_stands_beside_the_numbers_of_the_script(plan, with_records):
    whole = made(plan, late)
    with_records(whole)
    nets = {run.config["net"] for run in whole.runs}
    lines = body(pages_nets.nets())
    assert len(lines) == len(spectrain.ROWS) + len(nets)
    assert not any("not run" in cell for line in lines.values() for cell in line.values())
    told = body(pages_nets.nets_told())
    for net in nets:
        title = f"{pages_nets.TITLES[net]}, {pages_nets.WIDTHS[plan]}"
        assert lines[title]["no pipeline"].startswith("90.")
        assert told["PipeDream, N = 2 minus no pipeline"][title].startswith("-5.")
        assert told["SpecTrain v2, N = 4 minus PipeDream, N = 4"][title].startswith("+3.")
    n = len(nets)
    some = f"of {8 * n} differences to no pipeline {8 * n} exclude 0, of {4 * n} "
    assert pages_nets.shown().startswith(some)
    assert pages_nets.little() == "none"


def test_where_the_interval_holds_zero_the_page_says_no_difference_shown(with_records):
    with_records(made("spectrain_texts", lambda arm, seed: 0.7 + (len(arm) * (seed + 1)) % 3 / 100))
    told = body(pages_nets.nets_told())
    cells = [cell for line in told.values() for cell in line.values()]
    unsure = [cell for cell in cells if cell.endswith(", no difference shown")]
    assert unsure
    assert "of 16 differences to no pipeline 0 exclude 0" in pages_nets.shown()


def test_a_record_of_part_of_a_plan_says_what_was_not_run(with_records):
    begun = lambda arm: arm.startswith("vgg16") or arm == "resnet50-sgd"  # noqa: E731
    with_records(made("spectrain_full", late, wanted=begun))
    lines = body(pages_nets.nets())
    some = lines["ResNet50, full width"]
    assert some["no pipeline"].startswith("90.")
    assert {cell for head, cell in some.items() if head != "no pipeline"} == {"not run"}
    assert "the script's ResNet50" in lines
    assert "the script's GoogLeNet (not run here)" in lines
    assert set(body(pages_nets.nets_told())["vanilla, N = 4 minus no pipeline"].values()) > {
        "not run"
    }
    assert pages_nets.runs() == "30 of 54 runs are done"


def test_one_seed_has_no_interval_and_that_is_said(with_records):
    with_records(made("spectrain_images3", late, seeds=(1,)))
    cell = body(pages_nets.nets())["GoogLeNet, an eighth as wide"]["no pipeline"]
    assert cell == "90.0 (n=1, no interval)"
    told = body(pages_nets.nets_told())["vanilla, N = 2 minus no pipeline"]
    assert set(told.values()) == {"-5.0 (n=1, no interval)"}
    assert "of 8 differences to no pipeline 0 exclude 0" in pages_nets.shown()


@pytest.mark.parametrize(("accuracy", "learned"), [(0.55, True), (0.45, False)])
def test_nets_that_have_hardly_begun_to_learn_are_named(accuracy, learned, with_records):
    """Half of the way from chance, 10 %, to the script's 91.1 % is 50.55 %."""
    with_records(made("spectrain_images", lambda arm, seed: accuracy))
    assert ("VGG16, an eighth as wide" in pages_nets.little()) is not learned


def test_optimizers_are_compared_at_the_rate_that_is_best_without_a_pipeline(with_records):
    best = {kind: rates[1] for kind, rates in optimizers.RATES.items()}

    def value(arm, seed):
        method, kind, _, rate = arm.split("-")
        top = 0.9 if float(rate) == best[kind] else 0.8
        return top - 0.1 * (method == "two_bw" and kind == "adamw") + seed % 2 / 1000

    with_records(made("optimizers", value))
    lines = body(pages_nets.of_optimizers())
    assert len(lines) == len(optimizers.STAGES) * len(optimizers.RATES)
    assert lines["Muon, N = 8"]["best rate"] == f"{best['muon']:g}"
    assert lines["AdamW, N = 4"]["2BW minus it"].startswith("-10.0")
    assert "no difference shown" not in lines["AdamW, N = 4"]["2BW minus it"]


def test_a_record_without_some_optimizers_has_their_lines_too(with_records):
    """Muon is not in every release of torch."""
    with_records(made("optimizers", lambda arm, seed: 0.8, wanted=lambda arm: "-muon-" not in arm))
    lines = body(pages_nets.of_optimizers())
    assert set(lines["Muon, N = 4"].values()) == {"not run"}
    assert lines["SGD, N = 4"]["best rate"] != "not run"


def held_at(arm, seed):
    """Everybody holds at the smallest rate, prediction at the second, no pipeline at the third."""
    name, _, rate = arm.removeprefix("residual/").rsplit("-", 2)
    most = 0.005 if name == "sgd" else 0.002 if name in staleness.PREDICTED else 0.001
    return 0.8 + seed / 1000 - 0.3 * (float(rate) > most)


def test_fashion_joins_the_tables_of_staleness_with_its_record(with_records):
    with_records(made("staleness_fashion", held_at))
    lines = body(pages_staleness.held())
    assert set(lines["PipeDream (stash)"].values()) == {"0.001"}
    assert set(lines["SpecTrain v1"].values()) == {"0.002"}
    assert list(lines["SpecTrain v1"]) == [
        "Fashion, plain, N = 4",
        "Fashion, plain, N = 8",
        "Fashion, residual, N = 4",
        "Fashion, residual, N = 8",
    ]
    assert lines.keys() == body(pages_staleness.best()).keys()
    told = body(pages_staleness.told())["Fashion, plain, N = 4"]
    assert told["v1 minus no pipeline"] == "+0.0 (n=3, no spread)"
    assert (
        "plain nets of 4 stages hold with PipeDream (stash) at 0.001" in pages_staleness.fashion()
    )


def test_a_record_of_fashion_that_is_not_whole_has_no_hole(with_records):
    begun = lambda arm: "-4-" in arm and not arm.startswith(("lwp", "residual/"))  # noqa: E731
    with_records(made("staleness_fashion", held_at, seeds=(0,), wanted=begun))
    assert "LWP" not in body(pages_staleness.held())
    assert set(body(pages_staleness.best())["2BW"].values()) == {"80.0 (n=1, no interval) (0.001)"}
    assert all(body(pages_staleness.told()))


def test_a_method_that_holds_at_no_rate_of_fashion_holds_nowhere(with_records):
    with_records(made("staleness_fashion", lambda arm, seed: 0.8 if "sgd-" in arm else 0.5))
    text = pages_staleness.fashion()
    assert "residual nets of 8 stages hold with PipeDream (stash) nowhere" in text
