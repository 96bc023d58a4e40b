"""The benchmark of libraries: a line of each that is there, and a word about each that is not."""

import pytest

from benchmarks import frameworks


def test_a_library_is_measured():
    line = frameworks.measured("primer")
    assert line["first_ms"] > 0
    assert line["later_ms"] > 0
    assert (line["branch"], line["operations"], line["modules"]) == ("kept", "eager", "none")


def test_what_cannot_be_imported_is_told(monkeypatch):
    monkeypatch.setattr(frameworks, "CODE", "import nothing_of_that_name  # {!r}")
    assert frameworks.alone("jax.jit") == {
        "name": "jax.jit",
        "error": "ModuleNotFoundError: No module named 'nothing_of_that_name'",
    }


def test_a_name_that_is_not_there_is_answered(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["frameworks", "--only", "jaxjit"])
    with pytest.raises(SystemExit):
        frameworks.main()
    assert "did you mean 'jax.jit'?" in capsys.readouterr().err
