"""A card that is none, with an empty file of choices."""

import pytest

from bibd.kernels import tune
from bibd.kernels.gpu import compile, tiles
from tests.bibd.kernels.gpu import card as fake


@pytest.fixture
def card(tmp_path, monkeypatch):
    """Take every CPU tensor for one on a card; gives the kernels that are made."""
    monkeypatch.setenv("IDDL_CACHE", str(tmp_path))
    for name in ("_chosen", "_used"):
        monkeypatch.setattr(tune, name, {})
    monkeypatch.setattr(compile, "_said", set())
    tune.path.cache_clear()
    yield fake.put_in(monkeypatch)
    tune.path.cache_clear()


@pytest.fixture
def book(card, monkeypatch):
    """Convolve by the book of the lists of tiles."""
    from tests.bibd.kernels.gpu.test_windows import by_the_book

    by_the_book.calls = 0
    monkeypatch.setattr(tiles.Tiles, "_start", by_the_book)
