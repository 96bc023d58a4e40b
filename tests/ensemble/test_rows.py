"""A row of a growing ensemble is a member, and is called so."""

from ensemble.experiments import PLANS, VERBS
from harness.cli import main


def test_a_row_is_called_what_it_is(tmp_path, capsys):
    """Its time is that of all passes of a member."""
    words = ["smoke", "--seeds", "1", "--arms", "B-3-1-independent", "--each", "2"]
    words += ["--results", str(tmp_path), "--no-figures", "--jobs", "1"]
    assert main(PLANS, "ensemble", VERBS, words) == 0
    said = capsys.readouterr()
    assert "/member" in said.out
    assert "epoch" not in said.out
    page = next(tmp_path.rglob("report.html")).read_text()
    assert "Last member (3)" in page
