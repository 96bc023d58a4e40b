"""Notebooks were executed as committed, and run again."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.tree import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.name)
def test_notebooks(path):
    """Executed as committed: counts in order, outputs kept, no errors; and they run again."""
    book = nbformat.read(path, as_version=4)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any(cell.outputs for cell in cells)
    assert path.stat().st_size < 2 * 2**20
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
