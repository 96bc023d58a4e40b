"""The verb `verify`: every identity of every subject holds."""

import pytest

from compress import verify
from compress.identities import int8
from compress.identities.findings import SUBJECTS, main
from compress.int8 import extras
from harness.result.identity import Identity


@pytest.mark.parametrize("subject", SUBJECTS)
def test_all_identities_hold(subject):
    found = verify(subject)
    assert found.ok, found
    assert len(found) >= 5
    for each in found:
        assert each.subject == subject
        assert each.kind != "rounding" or 0 < each.bound <= 1e-9


def test_the_help_of_verify_is_of_this_study():
    assert "compressed nets" in verify.__doc__
    assert all(subject in verify.__doc__ for subject in SUBJECTS)


def test_what_is_not_checked_without_the_extra_is_said(monkeypatch, capsys):
    monkeypatch.setattr(extras, "missing", lambda: extras.LINE)
    monkeypatch.setattr(int8, "identities", lambda: [Identity("1 = 1", "exact", lambda: 0.0)])
    found = verify("int8")
    assert found.notes == (f"int8: identities of onnxruntime were not checked: {extras.LINE}",)
    assert repr(found).endswith(extras.LINE)
    assert main(["int8"]) == 0
    assert "not checked: pip install" in " ".join(capsys.readouterr().out.split())
    monkeypatch.setattr(extras, "missing", str)
    assert int8.notes() == []
