"""Pictures carry their text; times are positive and of the least."""

import base64

import pytest
from matplotlib.figure import Figure

from primer.picture import Picture, best


def test_a_picture_has_its_text_where_readers_of_pages_look_for_it():
    text = "a line that goes up from the left to the right"
    data, metadata = Picture(Figure(figsize=(1, 1)), text)._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert metadata["image/png"]["alt"] == data["text/plain"] == text


def test_a_text_that_says_nothing_is_refused():
    with pytest.raises(ValueError, match="say in a sentence what the picture shows, got 'a plot'"):
        Picture(Figure(), "a plot")


def test_best_calls_until_the_time_is_over():
    calls = []
    assert best(lambda: calls.append(1), seconds=0.01) > 0
    assert len(calls) > 1
