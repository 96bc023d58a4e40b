"""`python -m parallel memory`: the table of the paper, and nets that are counted."""

import json

import pytest
import torch
import torchvision

from parallel.zero.formulas import table
from parallel.zero.memory import counted, main, said


def test_the_command_prints_the_table_of_the_paper(command):
    words = ["--params", "7.5e9", "--ranks", "64", "--optimizer", "adam", "--precision", "mixed"]
    done = command("parallel", "memory", *words, results=False)
    assert done.returncode == 0, done.stderr
    for held in ("120.0 GB", "31.4 GB", "16.6 GB", "1.9 GB"):
        assert held in done.stdout


@pytest.mark.parametrize(
    ("optimizer", "precision", "each"),
    [
        ("adam", "float32", 16),
        ("momentum", "float32", 12),
        ("sgd", "float32", 8),
        ("sgd", "mixed", 8),
    ],
)
def test_all_reduce_holds_weight_gradient_and_state_of_each(optimizer, precision, each):
    whole, *_, last = table(1000, 4, optimizer, precision)
    assert whole["held"] == 1000 * each
    assert last["held"] == 250 * each
    size = 1000 * (2 if precision == "mixed" else 4)
    assert (whole["sent"], last["sent"]) == (2 * size * 3 / 4, 3 * size * 3 / 4)


def test_a_model_is_counted_without_memory(capsys):
    net = torchvision.models.resnet18()
    assert counted("resnet18") == sum(p.numel() for p in net.parameters())
    assert main(["--model", "resnet18", "--ranks", "2", "--json"]) == 0
    whole, *_ = json.loads(capsys.readouterr().out)
    assert whole["parameters"] == 2 * counted("resnet18")
    assert counted("parallel.identities.averaging:net") == 93


def test_the_table_goes_to_a_file(tmp_path, capsys):
    assert main(["--params", "93", "--ranks", "3", "--to", str(tmp_path / "held.csv")]) == 0
    assert "zero3" in (tmp_path / "held.csv").read_text()
    assert "93 weights on 3 ranks" in capsys.readouterr().out


def broken():
    """A model of somebody's who has made a mistake in it."""
    raise ValueError("my own")


def test_a_table_needs_no_memory_for_the_weights(capsys):
    assert main(["--params", "1e18", "--ranks", "2", "--json"]) == 0
    whole, *_ = json.loads(capsys.readouterr().out)
    assert whole["parameters"] == 2e18


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "expected one of --params"),
        (["--params", "9", "--model", "resnet18"], "expected one of --params"),
        (["--params", "many"], "expected a whole number such as 7.5e9"),
        (["--params", "inf"], "expected a whole number"),
        (["--params", "1.5"], "expected a whole number"),
        (["--params", "1e308"], r"expected a whole number such as 7\.5e9, up to 1e\+18"),
        (["--params", "9", "--activations", "nan"], "expected a whole number"),
        (["--params", "0"], "1 or more weights"),
        (["--params", "9", "--ranks", "0"], "1 or more weights and ranks"),
        (["--params", "9", "--optimizer", "adm"], "did you mean 'adam'"),
        (["--model", "resnet19"], "did you mean 'resnet1"),
        (["--model", "nowhere.at:all"], r"expected package\.module:function"),
        (["--model", "json:loads"], r"without arguments failed \(TypeError: loads\(\) missing"),
        (["--model", f"{__name__}:broken"], r"without arguments failed \(ValueError: my own\)"),
        (["--model", "parallel.identities.averaging:task"], "expected an nn.Module, got a Data"),
    ],
)
def test_wrong_words(words, text):
    with pytest.raises(ValueError, match=text):
        main(words)


def test_bytes_are_said_in_the_unit_that_fits():
    assert [said(v) for v in (0, 999, 1e3, 31.4e9)] == ["0 B", "999 B", "1.0 kB", "31.4 GB"]
    assert torch.get_default_device() == torch.device("cpu")
