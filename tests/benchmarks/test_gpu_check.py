"""The script for a borrowed card, run on the CPU with small sizes."""

import json
import time
from functools import partial
from itertools import product

import pytest
import torch

from benchmarks.gpu import check, pipelines, suite, twins, wrappers
from tests.python import python


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Runs parts on the CPU; gives the exit code and the record."""
    before = torch.get_num_threads()

    def run(*parts):
        code = check.main(["--out", str(tmp_path), "--device", "cpu", "--parts", *parts])
        return code, json.loads((tmp_path / "check.json").read_text())

    yield run
    torch.set_num_threads(before)


def chosen(monkeypatch, part, *names):
    """Only these checks of a part: the others are alike, and a card runs them all."""
    module = {"twins": twins, "wrappers": wrappers, "pipelines": pipelines}[part]
    every = module.checks("cpu", True)
    picked = [(name, call) for name, call in every if name in names]
    assert len(picked) == len(names)
    monkeypatch.setattr(module, "checks", lambda device, small: picked)


RUNS = [], ["pipelines"], ["steps"], ["compiled"], ["backends", "kernels"], ["layers"], ["blocks"]


def test_the_plan_is_within_four_minutes_and_runs_nothing(capsys):
    assert sorted(part for run in RUNS for part in run) == sorted(check.APART)
    for named in RUNS:
        assert check.main(["--plan", *(["--parts", *named] if named else [])]) == 0
        out = capsys.readouterr().out
        parts = named or [p for p in check.PARTS if p not in check.APART]
        for part in parts:
            expected, at_most = check.PARTS[part]
            assert f"{part:10} about {expected:3} s, cut off after {at_most:3} s" in out
        assert len(out.splitlines()) == len(parts) + 1
        assert sum(check.PARTS[part][1] for part in parts) <= 240


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.filterwarnings("ignore:.*batching rule")
def test_checks_pass_on_the_cpu_and_leave_one_small_record(results, monkeypatch, capsys):
    # (the limits are a card's; this processor may be busy with other things)
    unhurried = {part: (expected, 3600) for part, (expected, _) in check.PARTS.items()}
    monkeypatch.setattr(check, "PARTS", unhurried)
    cases = "linear_case 1 float32", "linear_case 2 bfloat16", "conv_case 0 float64"
    chosen(monkeypatch, "twins", *cases, "stacked, conv", "autocast, linear", "deepcopy, conv")
    uses = "DataParallel easgd", "train local_sgd, sim(4)", "exits, batched and one by one"
    more = "ModelParallel is the bare model", "pictures as on the CPU", "checkpoint, iddl"
    chosen(monkeypatch, "wrappers", *uses, *more)
    late = "policy spectrain_v1", "schedule 1f1b", "saved in flight, lwp", "residual_lstm sgd"
    chosen(monkeypatch, "pipelines", *late)
    code, record = results("machine", "twins", "wrappers", "pipelines")
    assert code == 0, capsys.readouterr().out
    assert list(record["parts"]) == ["machine", "twins", "wrappers", "pipelines"]
    assert [len(lines) for lines in record["parts"].values()] == [1, 6, 6, 4]
    assert len(json.dumps(record)) < 100_000
    assert record["parts"]["machine"][0]["provenance"]["versions"]["torch"]
    resumed = record["parts"]["wrappers"][-1]
    assert resumed["bitwise"] is True
    for line in record["parts"]["wrappers"][:2]:
        assert all(0 == off < allowed for off, allowed in line["off, allowed"].values())


def test_a_wrong_connection_is_above_the_bound_in_every_type():
    """What the bound is for: the twin reads one input that the layer does not."""
    from bibd import SparseLinear

    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        layer = SparseLinear(64, 64, dtype=dtype)
        x = torch.randn(32, 64).to(dtype)

        def wrong(x, weight, bias=None):
            return torch.nn.functional.linear(x.roll(1, 1), weight, bias)

        twins.compare(layer, torch.nn.functional.linear, x, 64, 1)
        with pytest.raises(AssertionError, match="above the bound"):
            twins.compare(layer, wrong, x, 64, 1)


def test_what_fails_or_takes_too_long_is_a_line_and_the_rest_goes_on(results, monkeypatch, capsys):
    def fails():
        raise RuntimeError("no kernel image")

    def lasts():
        time.sleep(60)

    calls = [("bad", fails), ("good", dict), ("long", lasts), ("late", dict)]
    monkeypatch.setattr(twins, "checks", lambda device, small: calls)
    monkeypatch.setitem(check.PARTS, "twins", (1, 1))
    code, record = results("twins", "machine")
    lines = record["parts"]["twins"]
    assert code == 1
    assert [line["ok"] for line in lines] == [False, True, False, False]
    assert lines[0]["error"] == "RuntimeError: no kernel image"
    assert "the time of this part has run out" in lines[2]["error"]
    assert record["parts"]["machine"][0]["ok"]
    assert "twins: 1 of 4 passed" in capsys.readouterr().out


def test_steps_are_timed_and_seeds_run_side_by_side(monkeypatch):
    from benchmarks.gpu import beside, steps

    monkeypatch.setattr(steps, "STEPS", 2)
    monkeypatch.setattr(beside, "SECONDS", 0.02)
    size = dict(width=4, batch_size=8)
    every = dict(steps.checks("cpu", False))
    assert len(every) == 9 * 3 * 2 + 3 * 2
    config = every["ResNet-18, bf16 autocast, graph"].args[1]
    line = steps.timed("cpu", config, "bf16 autocast", "graph", size)
    assert 0 < line["ms"]["least"] <= line["ms"]["median"] <= line["ms"]["most"]
    assert beside.streams("cpu", 2, size)["steps a second"] > 0


@pytest.mark.slow
def test_processes_count_their_steps_together():
    from benchmarks.gpu import beside

    found = beside.processes("cpu", 2, dict(width=4, batch_size=8))
    assert found["steps a second"] > 0


def test_graphs_are_checked_and_what_differs_is_named(results, monkeypatch):
    from benchmarks.gpu import graphs

    quick = "stack with dropout", "a step that waits", "a capture that fails"
    picked = [(name, call) for name, call in graphs.checks("cpu", True) if name in quick]
    assert len(picked) == len(quick)
    monkeypatch.setattr(graphs, "checks", lambda device, small: picked)
    code, record = results("graphs")
    assert code == 0, record
    assert [line["ok"] for line in record["parts"]["graphs"]] == [True] * 3
    with pytest.raises(AssertionError, match="other: 1 tensors, first a"):
        graphs.same(*[([], {"a": torch.tensor(float(k))}) for k in (0, 1)], "other")


@pytest.mark.slow
def test_trainers_repeat_themselves_to_the_bit(results, monkeypatch):
    """All of part `graphs`: without a card there is one more eager run in the place of a graph."""
    monkeypatch.setitem(check.PARTS, "graphs", (30, 3600))
    code, record = results("graphs")
    assert code == 0, record


def test_kernels_without_a_card_are_lines_that_say_so(results):
    code, record = results("kernels")
    lines = record["parts"]["kernels"]
    assert code == 0
    skipped = [line["name"] for line in lines if "skipped" in line]
    assert all(any(of in name for of in ("rows_", "weights_", "triton", "bsr")) for name in skipped)
    ran = [line for line in lines if "error" in line]
    assert [line["variant"] for line in ran] == ["gather and bmm", "8 classes of 8 products"]
    assert all(line["forward ratio bf16"] > 0 for line in ran)


def test_backends_without_a_card_say_so_and_layers_are_timed(results, monkeypatch):
    monkeypatch.setitem(check.PARTS, "layers", (40, 3600))  # (a compiler may have to run first)
    code, record = results("backends", "layers")
    assert code == 0
    assert all("need a card" in line["skipped"] for line in record["parts"]["backends"])
    lines = record["parts"]["layers"]
    assert {line["pattern"] for line in lines} == {"bibd", "tiled-16"}
    for line in lines:
        assert line["path"] in ("dense", "native", "bag")
        assert line["ratio"] == pytest.approx(line["dense ms"] / line["ms"], abs=1e-3)
        assert list(line["replayed"]) == ["nn.Linear", "dense"]


def test_backends_hold_layers_on_a_card_that_is_none(monkeypatch):
    """As on a card, with kernels by the book of their tables."""
    from benchmarks.gpu import backends
    from tests.bibd.kernels.gpu import card

    kernels = card.put_in(monkeypatch, shared=227 << 10, units=132)
    monkeypatch.setattr(backends, "MOST", 300)
    monkeypatch.setattr(backends, "SIZE", 128)
    found = backends.case_of("cuda", 2, "cpu")
    assert max(found["shares"].values()) <= 1
    assert len(kernels) == 3
    backends.used(backends.repeated, "cuda", "cpu")
    backends.used(backends.mapped, "cuda", "cpu")
    with pytest.raises(AssertionError, match="the dense path did the work"):
        backends.on_a_card("cuda", lambda: backends.used(backends.repeated, "triton", "cpu"))


def test_backends_hold_convolutions_on_a_card_that_is_none(monkeypatch):
    from benchmarks.gpu import backends
    from bibd.kernels.gpu import tiles
    from tests.bibd.kernels.gpu import card, test_windows

    card.put_in(monkeypatch)
    monkeypatch.setattr(tiles.Tiles, "_start", test_windows.by_the_book)
    monkeypatch.setattr(backends, "CHANNELS", 64)
    test_windows.by_the_book.calls = 0
    for seed in (0, 9):
        found = backends.on_a_card("cuda", partial(backends.images, "triton", seed, "cpu"))
        assert max(found["shares"].values()) <= 1
    assert test_windows.by_the_book.calls == 4 * 2
    backends.used_images(backends.mapped, "triton", "cpu")


def test_convolutions_are_timed_and_say_what_they_are(results):
    code, record = results("blocks")
    assert code == 0, record
    lines = record["parts"]["blocks"]
    assert len(lines) == 2 * 2 * 2
    assert {(line["dtype"], line["order"], line["train"]) for line in lines} == set(
        product(("bf16", "fp32"), ("first", "last"), (True, False))
    )
    for line in lines:
        assert list(line["replayed"]) == ["nn.Conv2d", "dense"]
        assert line["gain"] is None


def test_tests_that_name_a_card_are_found():
    assert "tests/harness/test_cli.py" in suite.files()
    assert not any("test_gpu_check" in name for name in suite.files())


def test_the_script_needs_no_tyro_and_says_what_it_needs(tmp_path):
    """The lent machine has torch, rich, pytest; neither tyro nor what it stands on."""
    for name in ("tyro", "docstring_parser", "typeguard"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is not there')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "from benchmarks.gpu import check, compiled, graphs, machine, modules, steps, suite, twins, wrappers\n"
    code += "check.main(['--device', 'cuda'])"
    done = python("-c", code)
    assert done.returncode == 2
    assert "--out DIR is needed" in done.stderr
