"""Says what a figure stands on: its headline in words, and the letters of its panels.

The records name a data set and its split as a program does,

    cifar10 (holdout: last 10000 of the training set, the first 10000 to train), 30 epochs

and a figure says it as a caption would:

    CIFAR-10, trained on images 0-9,999, tested on 40,000-49,999 (holdout), 30 epochs
"""

import re
import textwrap
from collections.abc import Iterable
from string import ascii_lowercase
from typing import Any

NAMES = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imdb": "IMDB",
    "iris": "Iris",
    "digits": "Digits",
}
IMAGES = 50_000  # of the training sets of CIFAR, from which a holdout is taken
LETTERS = 13.5  # of the headline's size in an inch


def headline(fig: Any, note: str, more: str = "") -> None:
    """Set the note above the figure, in words and in lines that fit its width."""
    text = in_words(note) + more
    pair = r"(\d) ((?:epochs|seeds?|workers|of)\b|%)"
    text = re.sub(pair, lambda found: f"{found[1]}\u00a0{found[2]}", text)
    lines = textwrap.wrap(text, int(LETTERS * fig.get_figwidth()), break_on_hyphens=False)
    fig.suptitle("\n".join(lines).replace("\u00a0", " "), fontsize=9, x=0.01, ha="left")


def letters(axes: Iterable[Any]) -> None:
    """Name the panels a, b, ..., to speak of them in a text; one panel needs no name."""
    axes = list(axes)
    for letter, ax in zip(ascii_lowercase, axes, strict=False):
        if len(axes) > 1:
            aside = -0.12 if ax.get_title() else 0.0  # a wide title would run into the letter
            ax.set_title(letter, loc="left", x=aside, fontsize=11, fontweight="bold")


def in_words(note: str) -> str:
    """Return the note with data sets and splits named as a reader knows them."""
    note = " ".join(note.split())
    told = re.sub(r"\b(\w+) \(([^()]+)\)", lambda found: data(*found.groups()), note)
    return re.sub(r"\b(" + "|".join(NAMES) + r")\b", lambda found: NAMES[found[0]], told)


def span(values: Iterable[int]) -> str:
    """Say from the least to the greatest of some numbers, "3 to 5", or the one that all are."""
    found = sorted(values)
    return str(found[0]) if found[0] == found[-1] else f"{found[0]} to {found[-1]}"


def seeds(counts: Iterable[int]) -> str:
    """Say how many seeds the points of a figure stand on, and whether they allow intervals."""
    counts = list(counts)
    return f"{span(counts)} {'seed, no interval' if max(counts) == 1 else 'seeds, 95 % intervals'}"


def data(name: str, split: str) -> str:
    """Name a data set and its split in words; an unknown split stays as it is."""
    shown = NAMES.get(name, name)
    sizes = re.search(r"(\d+) train / (\d+) test", split)
    held = re.search(r"holdout: last (\d+) of the training set", split)
    if held and name.startswith("cifar"):
        most = IMAGES - int(held[1])
        tested = f"tested on {most:,}-{IMAGES - 1:,} (holdout)"
    elif sizes:
        most = int(sizes[1])
        count = f"{int(sizes[2]):,}"
        official = f"the official test set of {count}"
        tested = f"tested on {official if 'official' in split else count + ' others'}"
    else:
        return f"{shown} ({split})"
    end = _number(r"the first (\d+) to train", split) or most
    start = end - _number(r"of train the last (\d+) for validation", split)
    trained = f"trained on images 0-{start - 1:,}" if held else f"trained on {start:,}"
    checked = f", validated on {start:,}-{end - 1:,}" if held else f", validated on {end - start:,}"
    return f"{shown}, {trained}{checked if start < end else ''}, {tested}"


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0
