"""Answers a name that does not exist in one sentence: what came, what is near, what there is."""

import difflib
from collections.abc import Iterable


def unknown(what: str, got: object, known: Iterable[str]) -> ValueError:
    """Return the error to raise when `got` is none of `known`.

    >>> unknown("plan", "papre", ["smoke", "paper"])
    ValueError("unknown plan 'papre': did you mean 'paper'? there are smoke, paper")
    """
    known = list(known)
    near = difflib.get_close_matches(str(got), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return ValueError(f"unknown {what} {got!r}: {hint}there are {', '.join(known)}")


def check(what: str, got: str, known: Iterable[str]) -> str:
    """Return `got` itself if it is known, and raise otherwise."""
    known = list(known)
    if got not in known:
        raise unknown(what, got, known)
    return got
