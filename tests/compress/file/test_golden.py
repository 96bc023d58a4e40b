"""Files of every format decode to the same bits for ever."""

import pytest

from compress import unpack
from compress.file import container, places
from tests.compress.file.golden import FOLDER, digest

DIGESTS = {1: "115dc83c7459ca31c3445969d1ff2dcc9e9992844d51de109268dbc2dd32ca60"}


@pytest.mark.parametrize("number", DIGESTS)
def test_a_golden_file_decodes_to_the_same_bits(number):
    assert digest(unpack(FOLDER / f"format-{number}.iddlz")) == DIGESTS[number]


def test_each_format_has_its_golden_file():
    assert max(DIGESTS) == container.FORMAT
    found = sorted(path.name for path in FOLDER.iterdir())
    assert found == sorted(f"format-{number}.iddlz" for number in DIGESTS)


def test_the_golden_file_has_every_kind_of_tensor_and_way_of_places():
    made = container.read((FOLDER / f"format-{container.FORMAT}.iddlz").read_bytes())
    assert {entry.kind for entry in made.entries} == set(range(7))
    ways = {
        parts[0][0] for entry, parts in zip(made.entries, made.parts, strict=True) if not entry.kind
    }
    assert ways == set(range(len(places.NAMES)))
    learned = [
        p[0] for e, p in zip(made.entries, made.parts, strict=True) if not e.kind and p[0][0] == 7
    ]
    assert {code[1] for code in learned} == {0, 1}  # with and without what the layer before keeps
