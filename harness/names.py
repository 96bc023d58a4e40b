"""Answers a name that does not exist in one sentence: what came, what is near, what there is."""

import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase


def unknown(what: str, got: object, known: Iterable[str]) -> ValueError:
    """Return the error to raise when `got` is none of `known`; nearest is what begins with it.

    >>> unknown("plan", "papre", ["smoke", "paper"])
    ValueError("unknown plan 'papre': did you mean 'paper'? there are smoke, paper")
    """
    known = list(known)
    plain = {_plain(name): name for name in reversed(known)}  # (the first of several that agree)
    longer = [name for name in plain if _plain(got) and name.startswith(_plain(got))]
    near = difflib.get_close_matches(_plain(got), plain, n=1, cutoff=0.5)
    near = [min(reversed(longer), key=len)] if longer else near
    hint = f"did you mean {plain[near[0]]!r}? " if near else ""
    return ValueError(f"unknown {what} {got!r}: {hint}there are {', '.join(known)}")


def _plain(name: object) -> str:
    """Return a name without what hands leave out or confuse: case, hyphens, underscores."""
    return str(name).lower().replace("_", "").replace("-", "")


def kind_of(value: object) -> str:
    """Return what a value is, with its article: "a list", "an int".

    >>> kind_of(3)
    'an int'
    """
    name = type(value).__name__
    vowel = name.lower().startswith(("a", "e", "i", "o", "nd"))  # (an ndarray; a union)
    return f"{'an' if vowel else 'a'} {name}"


def uncalled(value: object, arguments: str = "") -> str:
    """Return what to type where a class was given in place of an object; "" for an object.

    >>> uncalled(dict)
    ': this is a class, call it: dict()'
    """
    if not isinstance(value, type):
        return ""
    return f": this is a class, call it: {value.__name__}({arguments})"


def check(what: str, got: str, known: Iterable[str]) -> str:
    """Return `got` itself if it is known, and raise otherwise."""
    known = list(known)
    if got not in known:
        raise unknown(what, got, known)
    return got


def fitting(what: str, words: Sequence[str] | str, known: Iterable[str]) -> tuple[str, ...]:
    """Return words with * and ? as a tuple, also a single one, if each fits some known name.

    Raises:
        ValueError: a word that fits none, or that is no word.
    """
    known, words = list(known), (words,) if isinstance(words, str) else tuple(words)
    for word in words:
        if not isinstance(word, str):
            raise ValueError(f"a {what} is a name, with * and ?, got {word!r}")
        if not any(fnmatchcase(name, word) for name in known):
            raise unknown(what, word, known)
    return words
