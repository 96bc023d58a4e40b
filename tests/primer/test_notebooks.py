"""A formula of a note is held by its notebook: with one term more, the notebook fails."""

import re
from importlib import import_module

import nbformat
import pytest
import torch

from tests.tree import ROOT

FORMULAS = {
    "11_graphs": ["graphs.example.nodes", "graphs.example.macs", "graphs.steps.lines"],
    "12_memory": [
        *(f"memory.layout.{name}" for name in ("lines", "offsets", "strides")),
        *(f"memory.cache.{name}" for name in ("misses", "columns")),
        *(f"memory.levels.{name}" for name in ("flops", "moved")),
    ],
    "13_convolution": [f"convolution.costs.{cost}" for cost in ("macs", "held", "adds")],
    "14_work_depth": [
        *(f"depth.bounds.{name}" for name in ("works", "depths", "brent")),
        *(f"depth.elements.{name}" for name in ("made", "depth")),
    ],
    "15_all_reduce": [
        *(f"allreduce.costs.{name}" for name in ("messages", "numbers", "posted", "seconds")),
        "allreduce.costs.sent",
        *(f"allreduce.fusion.{name}" for name in ("posted", "sent")),
    ],
    "16_batch_size": [
        *(f"batch.costs.{name}" for name in ("kept", "macs", "held", "line")),
        *(f"batch.{name}" for name in ("noise.squared", "valley.steps", "valley.best")),
        "batch.valley.rate",
    ],
    "17_what_fills_memory": [
        *(f"filling.states.{name}" for name in ("held", "lent")),
        *("batch.costs.kept", "filling.files.letters"),
    ],
    "10_autodiff": [
        *(f"autodiff.sides.{name}" for name in ("macs", "held", "crossing")),
        *(f"autodiff.checkpoint.{name}" for name in ("macs", "held")),
    ],
}
CASES = [(book, name) for book, names in FORMULAS.items() for name in names]


def play(book):
    """Run the cells one after the other, in this process."""
    names = {"__name__": "__main__"}
    for cell in nbformat.read(ROOT / "notebooks" / f"{book}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{book}:{cell.id}", "exec"), names)


def more(value):
    """One more, of a number or of each in a row of them."""
    return type(value)(v + 1 for v in value) if isinstance(value, tuple | list) else value + 1


@pytest.mark.slow
@pytest.mark.parametrize(("book", "name"), CASES)
def test_a_formula_with_one_term_more_makes_its_notebook_fail(book, name, monkeypatch):
    module, _, function = f"primer.{name}".rpartition(".")
    right = getattr(import_module(module), function)
    monkeypatch.setattr(import_module(module), function, lambda *a, **k: more(right(*a, **k)))
    monkeypatch.chdir(ROOT / "notebooks")
    threads = torch.get_num_threads()
    try:
        with pytest.raises(AssertionError):
            play(book)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("book", FORMULAS)
def test_a_note_has_what_a_note_has(book):
    """A question, a picture with a text, asserts against counters, exercises, sources."""
    cells = nbformat.read(ROOT / "notebooks" / f"{book}.ipynb", as_version=4).cells
    assert cells[0].source.splitlines()[0].endswith("?")
    code = "".join(cell.source + "\n" for cell in cells if cell.cell_type == "code")
    assert code.count("assert ") >= 5
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    pages = [o["data"].get("text/html", "") for o in outputs if "data" in o]
    (picture,) = [page for page in pages if page.startswith("<img")]
    (text,) = re.findall(r' alt="([^"]+)"', picture)
    assert len(text.split()) > 20
    assert not [o for o in outputs if o.get("name") == "stderr"]
    last = cells[-1].source
    _, exercises, sources = last.replace("## Sources", "## Exercises").split("## Exercises")
    assert sources.strip()
    assert [line[:2] for line in exercises.splitlines() if line[:1].isdigit()] == ["1.", "2.", "3."]
