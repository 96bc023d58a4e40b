"""What the pages say of a GPU is what its records hold, and what has not run is said so."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks import pages_gpu, pages_steps
from benchmarks.gpu import crossover, layers
from benchmarks.gpu.check import PARTS
from benchmarks.gpu.studies import LINES
from bibd.kernels.gpu import compile as compiling
from harness.record.study import Study
from harness.result import pages
from harness.sweep import modules
from harness.sweep.options import parse
from tests.parallel.records import made


def table(rows):
    head, *lines = [list(row) for row in rows]
    assert all(len(line) == len(head) for line in lines)
    return [dict(zip(head, line, strict=True)) for line in lines]


def dense(size, batch, times):
    return [
        {"name": f"dense {size}, {batch}, {t}", "ok": True, "forward": ms, "train": 3 * ms}
        for t, ms in zip(pages_gpu.TYPES, times, strict=True)
    ]


def form(ms, **more):
    line = {"name": f"fine 64 x 8, bf16, {more.get('batch', 32)}: {ms}", "ok": True}
    line |= {"size": 64, "terms": 8, "batch": 32, "dtype": "bf16", "forward ms": ms}
    return line | more


@pytest.fixture
def record(monkeypatch):
    """Put these lines in the place of the record of part `kernels`."""

    def put(*found):
        monkeypatch.setattr(pages_gpu, "lines", lambda record, part: list(found))

    return put


def test_a_case_has_its_fastest_form_and_the_dense_times_of_its_size_and_batch(record):
    record(
        *dense(64, 32, (1.0, 2.0, 8.0)),
        *dense(64, 4, (9.0, 9.0, 9.0)),
        form(0.5),
        form(0.25),
        form(0.01, ok=False),
        form(3.0, batch=4),
        form(0.4, **{"train ms": 1.5}),
    )
    _, line = pages_gpu.kernels()
    assert line[:3] == ("single connections, 64 square, 8 a row", "8", "bf16")
    assert line[3:7] == ("0.250, 3.000", "4.0, 3.0", "8.0, 3.0", "32.0, 3.0")
    assert line[7:] == ("1.500", "2.0", "4.0", "16.0")
    assert pages_gpu.gains("fine") == "3.0 to 4.0"


def test_every_case_of_the_record_has_its_line_and_no_form_of_it_is_faster():
    lines = table(pages_gpu.kernels())
    timed = [x for x in pages_gpu.lines("kernels-h100", "kernels") if x.get("batch") and x["ok"]]
    assert len(lines) == len(pages_gpu.cases())
    for (case, dtype), forms in pages_gpu.cases().items():
        (line,) = (x for x in lines if (x["product"], x["type"]) == (case, dtype))
        least = [
            min(x["forward ms"] for x in forms if x["batch"] == batch and "forward ms" in x)
            for batch in pages_gpu.batches(forms)
        ]
        assert line["forward, ms"] == ", ".join(f"{ms:.3f}" for ms in least)
    assert sum(map(len, pages_gpu.cases().values())) == len(timed)


def test_every_part_and_every_line_of_studies_says_what_has_run():
    lines = [tuple(line) for line in pages_gpu.ran()]
    assert len(set(lines)) == len(lines)  # (part machine is in all records)
    found = {line["command"] for line in table(pages_gpu.ran())}
    assert {f"`python -m benchmarks.gpu.check --parts {part}`" for part in PARTS} <= found
    assert {f"`python -m benchmarks.gpu.studies {line}`" for line in LINES} <= found
    for line, rounds in LINES.items():
        plans = {command.split()[1] for one in rounds for command in one.commands}
        assert plans == {name.split("/")[0] for _, name, _ in pages_gpu.STUDIES[line]}


def test_a_record_lies_where_the_command_of_its_line_puts_it():
    for line, rounds in LINES.items():
        commands = [command.split() for one in rounds for command in one.commands]
        for (study, plan, *words), (_, name, part) in zip(
            commands, pages_gpu.STUDIES[line], strict=True
        ):
            whole = modules.plans(study)[plan]
            options, changes = parse(plan, whole, study, words)
            place = Study(study, plan, whole.override(changes), Path(), changes).out
            assert place.as_posix() == f"{study}/{name}"
            assert list(options.arms or whole.arms) == list(part.arms)


def test_a_study_in_part_names_what_is_whole_and_what_is_not(monkeypatch):
    begun = lambda arm: arm.startswith("vgg16") or arm == "resnet50-sgd"  # noqa: E731
    whole = made("spectrain_full", lambda arm, seed: 0.5, wanted=begun)
    whole.provenance["here"] = {"gpu": "a card", "cpu": "a processor"}
    for run in whole.runs:
        run.provenance = "here"
    put = {"spectrain_full": whole}
    monkeypatch.setattr(pages, "recorded", lambda study, plan: put.get(plan))
    lines = [x for x in table(pages_gpu.ran()) if x["command"].endswith("studies pipelines`")]
    assert [line["what has run"] for line in lines] == [
        "`spectrain_full`: 30 of 54 runs (vgg16 whole; resnet50 in part, 1 of 9 arms)",
        "`spectrain_texts`: not run",
    ]
    assert lines[0]["on"] == "a card"


def test_a_check_that_failed_is_named(monkeypatch):
    card = {"name": "machine", "ok": True, "card": {"name": "a card"}}
    parts = {"machine": [card], "twins": [{"name": "a", "ok": True}, {"name": "b", "ok": False}]}
    monkeypatch.setattr(pages_gpu, "lines", lambda record, part: parts.get(part, []))
    found = {line["command"].split()[-1]: line for line in table(pages_gpu.ran())}
    assert found["twins`"]["what has run"] == "1 of 2 checks passed (not: b)"
    assert found["steps`"]["what has run"] == "not run"


def layer(batch, ratio, path="dense", **more):
    line = {"name": f"{batch}", "ok": True, "size": 64, "pattern": "bibd", "batch": batch}
    line |= {"dtype": "bf16", "train": False, "terms": 8.0, "path": path}
    return line | {"ratio": ratio, "ms": 1.0, "dense ms": ratio} | more


def test_layers_have_a_line_for_each_pass_with_path_and_gain_by_batch(monkeypatch):
    again = {"nn.Linear": 6.0, "dense": 4.0, "cuda": 2.0}
    late = {"name": "late", "ok": False, "error": "TooLate: the time of this part has run out"}
    few = layer(64, 0.7, replayed={"nn.Linear": 1.0, "dense": 1.0})
    many = layer(4096, 2.0, "cuda", replayed=again)
    found = [many, few, layer(64, 0.9, train=True), late]
    card = {"name": "machine", "ok": True, "card": {"name": "NVIDIA X1 80GB"}}
    parts = {"machine": [card], "layers": found}
    monkeypatch.setattr(pages_gpu, "records", lambda: ["one"])
    monkeypatch.setattr(pages_gpu, "lines", lambda record, part: parts.get(part, []))
    first, second = table(pages_gpu.layers())
    assert first["card"] == "X1"
    assert first["layer"] == "bibd, 64 square, 8 a row"
    assert first["path (batch)"] == "dense (64), cuda (4,096)"
    assert first["nn.Linear / it"] == "0.7, 2.0"
    assert first["replayed"] == "dense 1.0, cuda 3.0"
    assert (second["pass"], second["replayed"]) == ("training", "")
    said = {line["command"].split()[-1]: line for line in table(pages_gpu.ran())}
    assert said["layers`"]["what has run"] == "3 of 3 checks passed, 1 not reached in its time"


def test_steps_of_every_net_that_the_record_has_are_told():
    timed = [x for x in pages_gpu.lines("layers-h100", "steps") if x["ok"] and "ms" in x]
    lines = table(pages_steps.steps())
    assert len(lines) * (len(lines[0]) - 1) == len(timed) == 54
    (one,) = (x for x in timed if x["name"] == "R-ResNet-34, tf32, graph")
    (line,) = (x for x in lines if x["net"] == "R-ResNet-34")
    assert line["tf32, graph"] == f"{one['ms']['median']:.1f}"
    assert pages_steps.step("ResNet-18", "graph") == lines[0]["bf16 autocast, graph"]
    ratio = {
        x["name"]: x["graph ms"]["median"] for x in pages_gpu.lines("compiled-h200", "compiled")
    }
    assert pages_steps.over("compiled") == f"{ratio['B-ResNet-18'] / ratio['ResNet-18']:.2f}"
    assert [line["seeds of ResNet-18 at a time"] for line in table(pages_steps.beside())] == [
        "1",
        "3",
        "9",
    ]


def test_the_map_has_a_panel_for_each_pattern_type_and_pass(tmp_path, capsys):
    found = [layer(64, 1.0), layer(512, 2.0, "cuda"), layer(64, 0.5, train=True)]
    card = {"name": "machine", "ok": True, "card": {"name": "a card"}}
    path = tmp_path / "check.json"
    path.write_text(json.dumps({"parts": {"machine": [card], "layers": found}}))
    assert crossover.main([str(path), "--to", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "crossover.json").read_text()) == found
    assert (tmp_path / "crossover.png").stat().st_size > 1000
    fig = crossover.draw(found, "a card")
    assert [ax.get_title() for ax in fig.axes] == ["bibd, bf16, forward", "bibd, bf16, training"]
    assert [t.get_text() for t in fig.axes[0].texts] == ["1\ndense", "2\ncuda"]
    again = {"nn.Linear": 6.0, "dense": 4.0, "cuda": 2.0}
    once_more = crossover.panels([layer(64, 1.0, replayed=again)])["bibd, bf16, forward, replayed"]
    assert [(line["path"], line["ratio"]) for line in once_more] == [("cuda", 3.0)]
    assert "replayed" not in fig.get_suptitle()
    both = crossover.draw([layer(64, 1.0, replayed=again)], "a card")
    assert "(replayed: the fastest)" in " ".join(both.get_suptitle().split())
    alone = layer(64, 1.0, replayed={"nn.Linear": 1.0})  # (no path takes the case)
    assert len(crossover.panels([alone])) == 1
    path.write_text(json.dumps({"parts": {"machine": [card]}}))
    with pytest.raises(SystemExit):
        crossover.main([str(path)])
    assert "holds no line of part layers" in capsys.readouterr().err


def test_a_path_that_takes_no_case_has_no_time_where_the_reason_was_said_before(monkeypatch):
    layer, x = SimpleNamespace(backend="auto"), torch.ones(1, 2)
    monkeypatch.setattr(compiling, "_said", {"no kernel"})

    def timed(call, device):
        if layer.backend == "cuda":
            compiling.notice("no kernel")
        return 1.0

    monkeypatch.setattr(layers, "timed", timed)
    found = dict(layers.replayed(layer, ["dense", "cuda"], nn.Linear(2, 2), x, False))
    assert found == {"nn.Linear": 1.0, "dense": 1.0}
    assert compiling._said == {"no kernel"}
