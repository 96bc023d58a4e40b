"""Answers a wrong keyword with the class that was called and the name that was meant."""

import difflib
import functools
import inspect
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
Self = TypeVar("Self")


def checked(init: Callable[Concatenate[Self, P], None]) -> Callable[Concatenate[Self, P], None]:
    """Wrap an `__init__` so that it looks at its keywords first; editors see its signature.

    (Python says "SparseLinear.__init__() got an unexpected keyword argument", also where the user
    wrote another class, and before 3.13 it has no word about the near name.)
    """
    known = [name for name in inspect.signature(init).parameters if name != "self"]

    @functools.wraps(init)
    def wrapper(self: Self, *args: P.args, **keywords: P.kwargs) -> None:
        for name, value in keywords.items():
            if name not in known:
                raise TypeError(_answer(type(self), name, value, known))
        init(self, *args, **keywords)

    return wrapper


def _answer(kind: type, name: str, value: object, known: list[str]) -> str:
    fixed = getattr(kind, "PATTERN", None)
    if name == "pattern" and fixed:
        general = kind.__mro__[1].__name__
        return f"{kind.__name__} has pattern {fixed!r}: take {general}(..., pattern={value!r})"
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{kind.__name__} has no keyword {name!r}: {hint}it has {', '.join(known)}"
