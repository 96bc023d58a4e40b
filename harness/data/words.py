"""Texts as numbers: what a word is, which words count, and how a text becomes a row of them.

    "It's a GREAT film!<br />A must-see."    it's a great film a must see
    a word       a run of letters and digits, in lower case, with apostrophes inside it
    0, 1         padding, and every word that is not among the most frequent
    2, 3, ...    the most frequent word, the next one, ...; equals by alphabet

A text is cut after `length` words; a shorter one is padded at its end.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

PADDING, UNKNOWN = 0, 1
MARKS = 2  # numbers that are no words
RULE = 1  # to be raised with any change of what this file does to a text
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def split(text: str) -> list[str]:
    """The words of a text."""
    return _WORD.findall(text.lower().replace("<br />", " ").replace("\u2019", "'"))


def vocabulary(texts: Iterable[Sequence[str]], most: int) -> dict[str, int]:
    """The number of each of the most frequent words of these texts."""
    counts: Counter[str] = Counter()
    for words in texts:
        counts.update(words)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
    return {word: MARKS + i for i, (word, _) in enumerate(ranked)}


def encode(texts: Sequence[Sequence[str]], numbers: dict[str, int], length: int) -> np.ndarray:
    """A row of `length` numbers for each text."""
    kind = np.min_scalar_type(MARKS + len(numbers))
    rows = np.full((len(texts), length), PADDING, kind)
    for row, words in zip(rows, texts, strict=True):
        found = [numbers.get(word, UNKNOWN) for word in words[:length]]
        row[: len(found)] = found
    return rows
