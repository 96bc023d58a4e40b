"""The verb `verify`: its words, its files, and its exit status."""

import csv
import json

import pytest

from harness.result.findings import LIMITS


def test_the_command_line(command):
    done = command("parallel", "verify", "local_sgd", "--json", results=False)
    assert done.returncode == 0, done.stderr
    lines = json.loads(done.stdout)
    assert all(line["ok"] and line["deviation"] is not None for line in lines)
    assert {line["kind"] for line in lines} == {"bitwise", "rounding", "exact", "negative"}
    wrong = command("parallel", "verify", "localsgd", results=False)
    assert wrong.returncode == 2
    assert "did you mean 'local_sgd'" in wrong.stderr


def test_verify_writes_its_table_to_a_file(tmp_path, capsys):
    from parallel import verify as _  # noqa: F401
    from parallel.identities.findings import main

    assert main(["all_reduce", "--json", "--to", str(tmp_path / "found.csv")]) == 0
    lines = json.loads(capsys.readouterr().out)
    with open(tmp_path / "found.csv") as file:
        written = list(csv.DictReader(file))
    assert [line["name"] for line in written] == [line["name"] for line in lines]
    assert float(written[0]["deviation"]) == lines[0]["deviation"]
    assert main(["no_comm", "--to", str(tmp_path / "found.tex")]) == 0
    assert "no\\_comm & plans are matched" in (tmp_path / "found.tex").read_text()
    with pytest.raises(ValueError, match="expected a file that ends in"):
        main(["no_comm", "--to", "found.latex"])


def test_verify_ends_with_1_where_something_fails(monkeypatch, capsys):
    from parallel import verify as _  # noqa: F401
    from parallel.identities.findings import main

    monkeypatch.setitem(LIMITS, "negative", 1e9)
    assert main(["local_sgd"]) == 1
    assert "FAILED" in capsys.readouterr().out
