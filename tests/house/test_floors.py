"""Who may import whom, who may unpickle, and how large a file may be."""

import sys

from tests.tree import PACKAGES, ROOT, run, tracked


def test_floors_hold():
    code = "from importlinter.cli import lint_imports_command as main; main(['--no-cache'])"  # (the tree may be read-only)
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stdout


def test_only_the_store_unpickles():
    """A pickle is a program: nobody but harness.record.unpickle and harness.record.store may touch one."""
    allowed = {ROOT / "harness/record/unpickle.py", ROOT / "harness/record/store.py"}
    for package in (*PACKAGES, "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            if path not in allowed:
                assert "import pickle" not in text, path
            assert "pickle.load" not in text, path
            if "torch.load(" in text:
                assert "weights_only=True" in text, path


def test_files_stay_small():
    for package in (*PACKAGES, "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 400, path
    for path in tracked():
        assert path.stat().st_size <= 2 * 2**20, path


def test_records_are_small_enough_for_git():
    for path in tracked("results/*", "figure/*", "notebooks/*"):
        assert path.stat().st_size < 2 * 2**20, path
