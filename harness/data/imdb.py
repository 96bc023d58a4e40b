"""Reviews of films as numbers of words, and whether they praise: aclImdb, 25,000 + 25,000.

    load("imdb", root, words=10_000, length=200)        train_x (25000, 200), whole numbers

Classes are 0, negative, and 1, positive. The vocabulary is of what is trained on (for a holdout:
of the first four fifths), so that no test text has a say in it. The texts of both classes take
turns, by their ids: the first so many are balanced, and as the ids of a film's reviews lie side by
side, hardly a film is on both sides of a split.

What was read is kept as `imdb-tokens/` beside the folder (harness.data.kept) and made anew where
texts, rule, words or length have changed. `harness.data.reviews` says what is read and refused.
"""

from itertools import chain
from pathlib import Path

import numpy as np

from harness.data import words as rule
from harness.data.kept import Arrays, kept
from harness.data.reviews import CLASSES, Texts, source
from harness.data.tensors import Data, held_out

NAMES = ("negative", "positive")


def imdb(root: Path, official: bool, *, words: int = 10_000, length: int = 200) -> Data:
    """The set, with so many words beside padding and unknown, cut or padded to one length.

    Raises:
        ValueError: words or length below 1.
        DataError: texts that are missing or damaged.
    """
    for name, value in (("words", words), ("length", length)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} of imdb is a whole number, 1 or more, got {value!r}")
    found = source(root)
    parts = ["train", "test"] if official else ["train"]
    made = f"{words}x{length}-{'official' if official else 'holdout'}"
    key = f"imdb {made} by rule {rule.RULE} of {found.stamp(parts)}"
    file = root / "imdb-tokens" / f"{made}.kept"
    return _data(kept(file, key, lambda: _make(found.read(parts), official, words, length)))


def _make(texts: Texts, official: bool, words: int, length: int) -> Arrays:
    train, y = _in_turns(texts, "train")
    counted = train if official else train[: held_out(len(train))]
    numbers = rule.vocabulary(counted, words)
    arrays = {"train_x": rule.encode(train, numbers, length), "train_y": y}
    test, y = _in_turns(texts, "test") if official else ([], y[:0])
    return arrays | {"test_x": rule.encode(test, numbers, length), "test_y": y}


def _in_turns(texts: Texts, part: str) -> tuple[list[list[str]], np.ndarray]:
    """A negative text, a positive one, and so on; as words, and their classes."""
    both = zip(*(texts[f"{part}/{kind}"] for kind in CLASSES), strict=True)
    mixed = [rule.split(text) for text in chain.from_iterable(both)]
    return mixed, np.arange(len(mixed)) % 2


def _data(arrays: Arrays) -> Data:
    import torch

    parts = {k: torch.from_numpy(a.astype(np.int64)) for k, a in arrays.items()}
    split = f"official split, {len(parts['train_x'])} train / {len(parts['test_x'])} test"
    return Data("imdb", split, **parts, names=NAMES)
