"""Pictures carry their text; times are positive and of the least."""

import base64
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from primer.picture import Picture, best


def test_a_picture_has_its_text_where_readers_of_pages_look_for_it():
    text = 'a line that goes "up" from the left to the right'
    picture = Picture(Figure(figsize=(1, 1)), text)
    (image,) = ElementTree.fromstring(f"<p>{picture._repr_html_()[:-1]}/></p>")
    assert image.get("alt") == repr(picture) == text
    kind, _, png = image.get("src").partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(png).startswith(b"\x89PNG")


def test_a_text_that_says_nothing_is_refused():
    with pytest.raises(ValueError, match="say in a sentence what the picture shows, got 'a plot'"):
        Picture(Figure(), "a plot")


def test_best_calls_until_the_time_is_over():
    calls = []
    assert best(lambda: calls.append(1), seconds=0.01) > 0
    assert len(calls) > 1
